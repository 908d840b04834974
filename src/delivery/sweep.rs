//! What hushpipe's layout puts into a delivery directory, told from what others put there. No link
//! is followed, no mount crossed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::DeliveryFault;
use super::error::system;
use super::layout::{DATA, Directory, TEMPORARY};
use super::made::{Lock, MARKER};
use super::remedies::{covered, foreign_entry, in_use};
use crate::sys::filesystem::{self, Kind, Status};
use crate::sys::held::Site;

/// What stands in a delivery directory.
pub(super) struct Found {
    /// Made by hushpipe's layout.
    pub(super) ours: Vec<(OsString, Kind)>,
    /// The least name of something else.
    pub(super) foreign: Option<OsString>,
}

impl Found {
    pub(super) fn remove(&self, directory: &OwnedFd) -> io::Result<()> {
        for (name, kind) in &self.ours {
            match kind {
                Kind::Directory => remove_generation(directory, name)?,
                _ => filesystem::unlink_at(directory, name)?,
            }
        }
        Ok(())
    }
}

/// Sorts a directory's entries, the marker aside. Nothing on another device is ours.
pub(super) fn survey(directory: &OwnedFd, device: u64) -> io::Result<Found> {
    let mut found = Found {
        ours: Vec::new(),
        foreign: None,
    };
    let mut names = filesystem::entries(directory)?;
    names.sort();
    for name in names {
        let Some(status) = filesystem::status_at(directory, &name)? else {
            continue;
        };
        if name == MARKER && status.kind == Kind::File {
            continue;
        }
        let ours = status.device == device
            && match status.kind {
                Kind::Directory => is_generation(directory, &name, device)?,
                Kind::Link => is_link(directory, &name)?,
                Kind::Fifo => true,
                Kind::File | Kind::Socket | Kind::Other => false,
            };
        if ours {
            found.ours.push((name, status.kind));
        } else {
            found.foreign.get_or_insert(name);
        }
    }
    Ok(found)
}

/// Removes what a dead hushpipe's shared files left in a directory that another is to mount on. Whether
/// there was anything.
pub(super) fn sweep(directory: &OwnedFd, marker: &OwnedFd) -> Result<bool, DeliveryFault> {
    let device = filesystem::status(directory).map_err(system("cannot look at it"))?;
    let look = || survey(directory, device.device).map_err(system("cannot read it"));
    let found = look()?;
    if found.ours.is_empty() && found.foreign.is_none() {
        return Ok(false);
    }
    let locked = Lock::Exclusive.take_in_time(marker);
    if !locked.map_err(system("cannot lock the marker in it"))? {
        return Err(in_use());
    }
    let found = look()?;
    if let Some(foreign) = &found.foreign {
        return Err(foreign_entry(foreign));
    }
    let removed = found.remove(directory);
    removed.map_err(system("cannot remove what a dead hushpipe left in it"))?;
    Ok(true)
}

/// Whether it can be hushpipe's marker: of root or this user, and with no other name.
pub(super) fn is_marker(found: Status) -> bool {
    let own = [0, filesystem::effective_uid()].contains(&found.uid);
    found.kind == Kind::File && own && found.links == 1
}

/// A directory with a marker that nobody holds may be taken over; any other with entries not.
pub(super) fn owned_by_dead(
    site: &Site,
    delivered: &Directory,
    entry: &str,
) -> Result<(), DeliveryFault> {
    let directory = site.open().map_err(system("cannot open it"))?;
    let marker = filesystem::status_at(&directory, MARKER).map_err(system("cannot look at it"))?;
    if !marker.is_some_and(is_marker) {
        return Err(covered(delivered, entry));
    }
    let marker = filesystem::open_marker_at(&directory, MARKER)
        .map_err(system("cannot open the marker in it"))?;
    let locked = Lock::Exclusive.take_in_time(&marker);
    if locked.map_err(system("cannot lock the marker in it"))? {
        Ok(())
    } else {
        Err(in_use())
    }
}

fn is_numbered(name: &OsStr, prefix: &[u8]) -> bool {
    let number = name.as_bytes().strip_prefix(prefix);
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

/// `..data`, its temporary, and links through it.
fn is_link(directory: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    if name == DATA || name == TEMPORARY {
        return Ok(true);
    }
    let through = filesystem::read_link_at(directory, name)?;
    Ok(through == Path::new(DATA).join(name))
}

/// A directory of files, and of directories of files for the other delivery directories.
fn is_generation(directory: &OwnedFd, name: &OsStr, device: u64) -> io::Result<bool> {
    if !is_numbered(name, b"..gen-") {
        return Ok(false);
    }
    let generation = filesystem::open_directory_at(directory, name)?;
    let kinds = |directory: &OwnedFd| -> io::Result<Vec<(OsString, Kind)>> {
        let mut kinds = Vec::new();
        for name in filesystem::entries(directory)? {
            if let Some(status) = filesystem::status_at(directory, &name)? {
                let same = status.device == device;
                kinds.push((name, if same { status.kind } else { Kind::Other }));
            }
        }
        Ok(kinds)
    };
    for (name, kind) in kinds(&generation)? {
        let ours = match kind {
            Kind::File => true,
            Kind::Directory if is_numbered(&name, b"..dir-") => {
                let inner = filesystem::open_directory_at(&generation, &name)?;
                kinds(&inner)?.iter().all(|(_, kind)| *kind == Kind::File)
            }
            _ => false,
        };
        if !ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What holds credentials is closed to its own owner as well.
fn make_writable(directory: &OwnedFd) -> io::Result<()> {
    let status = filesystem::status(directory)?;
    if status.uid == filesystem::effective_uid() && status.mode & 0o200 == 0 {
        filesystem::change_mode(directory, 0o700)?;
    }
    Ok(())
}

/// Removes one generation's directory and its files, relative to the directory that holds it.
pub(super) fn remove_generation(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    if filesystem::status_at(directory, name)?.is_none() {
        return Ok(());
    }
    let generation = filesystem::open_directory_at(directory, name)?;
    make_writable(&generation)?;
    for entry in filesystem::entries(&generation)? {
        if is_numbered(&entry, b"..dir-") {
            let inner = filesystem::open_directory_at(&generation, &entry)?;
            make_writable(&inner)?;
            for file in filesystem::entries(&inner)? {
                filesystem::unlink_at(&inner, file)?;
            }
            filesystem::remove_directory_at(&generation, entry)?;
        } else {
            filesystem::unlink_at(&generation, entry)?;
        }
    }
    filesystem::remove_directory_at(directory, name)
}
