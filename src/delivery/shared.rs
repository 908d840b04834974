//! Shared directories: 0700, on memory filesystems alone, removed at the end. A marker that is
//! locked for hushpipe's life tells a living owner's directory from a dead one's.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::mount_points::{MountPoints, Standing, covered, standing};
use super::{DeliveryError, DeliveryFault, Layout, Owner};
use crate::model::{Event, Observer};
use crate::sys::filesystem::{self, Filesystem, Kind};

/// Held with an exclusive flock(2) by the hushpipe whose directory it is.
pub(super) const MARKER: &str = ".hushpipe";

/// The shared delivery directories of one launch: emptied and removed when dropped.
pub struct SharedDirectories {
    held: Vec<Held>,
    /// What was made above them; dropped after them.
    above: MountPoints,
}

struct Held {
    path: PathBuf,
    directory: OwnedFd,
    /// Its lock goes with it.
    _marker: OwnedFd,
    /// Whether the directory itself goes at the end: not when someone else made it.
    remove: bool,
}

impl SharedDirectories {
    /// Makes, or takes over, the layout's directories for an owner. What a dead hushpipe left there
    /// is removed, and [`Event::Swept`] tells of it. On a fault everything made so far is removed.
    pub fn make(
        layout: &Layout,
        owner: Owner,
        observer: &dyn Observer,
    ) -> Result<Self, DeliveryError> {
        let mut shared = Self {
            held: Vec::new(),
            above: MountPoints::default(),
        };
        for directory in &layout.directories {
            check(&directory.path).map_err(|fault| directory.error(fault))?;
            let parent = directory.path.parent().unwrap_or_else(|| Path::new("/"));
            shared.above.make(parent)?;
            let held = Held::take(&directory.path, owner, observer)
                .map_err(|fault| directory.error(fault))?;
            shared.held.push(held);
        }
        Ok(shared)
    }

    /// Descriptors of the directories, in the layout's order, for [`super::Files`].
    pub fn directories(&self) -> Result<Vec<OwnedFd>, DeliveryError> {
        let held = self.held.iter();
        held.map(|held| {
            let wrong = DeliveryError::system(held.path.display().to_string(), "cannot open it");
            held.directory.try_clone().map_err(wrong)
        })
        .collect()
    }

    /// Removes everything, and says what could not be removed.
    pub fn retire(mut self) -> Result<(), DeliveryError> {
        let mut result = Ok(());
        for held in std::mem::take(&mut self.held) {
            let path = held.path.clone();
            if let Err(fault) = held.remove() {
                result = Err(DeliveryError::about(&path, fault));
            }
        }
        result.and(std::mem::take(&mut self.above).retire())
    }
}

impl Drop for SharedDirectories {
    fn drop(&mut self) {
        for held in self.held.drain(..) {
            if held.remove().is_err() {
                // The next start sweeps it. Who wants to know calls `retire`.
            }
        }
    }
}

impl Held {
    fn take(path: &Path, owner: Owner, observer: &dyn Observer) -> Result<Self, DeliveryFault> {
        let made = match filesystem::make_directory(path, 0o700) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(source) => return Err(super::mount_points::cannot_make(source)),
        };
        let directory = filesystem::open_directory(path).map_err(system("cannot open it"))?;
        let marker = lock(&directory)?;
        let mut held = Self {
            path: path.to_owned(),
            directory,
            _marker: marker,
            remove: made,
        };
        if let Err(fault) = held.adopt(made, owner, observer) {
            if made && held.remove().is_err() {
                // The fault that is given says more.
            }
            return Err(fault);
        }
        Ok(held)
    }

    fn adopt(
        &mut self,
        made: bool,
        owner: Owner,
        observer: &dyn Observer,
    ) -> Result<(), DeliveryFault> {
        let status = filesystem::status(&self.directory).map_err(system("cannot look at it"))?;
        let own = filesystem::effective_uid();
        if status.uid != own && Some(status.uid) != owner.uid {
            return Err(DeliveryFault::Host(format!(
                "the directory belongs to uid {}, and hushpipe runs as uid {own}: choose another, \
                 or remove it",
                status.uid
            )));
        }
        let found = survey(&self.directory, status.device).map_err(system("cannot read it"))?;
        if let Some(foreign) = &found.foreign {
            return Err(foreign_entry(foreign));
        }
        if !made && !found.ours.is_empty() {
            found
                .remove(&self.directory)
                .map_err(system("cannot remove what a dead hushpipe left in it"))?;
            self.remove = true;
            observer.observe(&Event::Swept {
                path: self.path.clone(),
            });
        }
        filesystem::change_owner(&self.directory, owner.uid, owner.gid)
            .map_err(system("cannot give it to run.user"))?;
        filesystem::change_mode(&self.directory, 0o700).map_err(system("cannot set its mode"))
    }

    /// Empties the directory of what hushpipe put there, and removes it.
    fn remove(self) -> Result<(), DeliveryFault> {
        let status = filesystem::status(&self.directory).map_err(system("cannot look at it"))?;
        let found = survey(&self.directory, status.device).map_err(system("cannot read it"))?;
        found
            .remove(&self.directory)
            .and_then(|()| filesystem::unlink_at(&self.directory, MARKER))
            .map_err(system("cannot empty it"))?;
        if !self.remove {
            return Ok(());
        }
        if let Some(foreign) = &found.foreign {
            return Err(foreign_entry(foreign));
        }
        filesystem::remove_directory(&self.path).map_err(system("cannot remove it"))
    }
}

/// Locks the marker, or tells that a living hushpipe has it.
fn lock(directory: &OwnedFd) -> Result<OwnedFd, DeliveryFault> {
    loop {
        let marker = filesystem::open_marker_at(directory, MARKER)
            .map_err(system("cannot make the marker .hushpipe in it"))?;
        if !filesystem::try_lock(&marker).map_err(system("cannot lock the marker in it"))? {
            return Err(in_use());
        }
        // Its last owner may have removed it between the opening and the lock.
        let own = filesystem::status(&marker).map_err(system("cannot look at the marker"))?;
        let named = filesystem::status_at(directory, MARKER)
            .map_err(system("cannot look at the marker"))?;
        if named.is_some_and(|named| named.inode == own.inode) {
            return Ok(marker);
        }
        if own.links == 0 && filesystem::status(directory).is_ok_and(|status| status.links == 0) {
            return Err(DeliveryFault::Host(
                "another hushpipe has just removed it: start again".to_owned(),
            ));
        }
    }
}

fn in_use() -> DeliveryFault {
    DeliveryFault::Host(
        "another hushpipe that is running delivers into it: give each service a directory of its \
         own"
        .to_owned(),
    )
}

fn foreign_entry(name: &OsStr) -> DeliveryFault {
    DeliveryFault::Host(format!(
        "it holds {}, which hushpipe did not make: remove it by hand",
        name.display()
    ))
}

fn system(doing: &'static str) -> impl FnOnce(io::Error) -> DeliveryFault {
    move |source| DeliveryFault::System { doing, source }
}

/// Whether a shared directory can stand there.
pub(super) fn check(path: &Path) -> Result<(), DeliveryFault> {
    let above = match standing(path)? {
        Standing::Nothing { above } => above,
        Standing::Empty => path.to_owned(),
        Standing::Entries(entry) => {
            owned_by_dead(path, &entry)?;
            path.to_owned()
        }
    };
    let directory =
        std::fs::File::open(&above).map_err(system("cannot open the directory that is there"))?;
    match filesystem::filesystem(&directory).map_err(system("cannot ask for its filesystem"))? {
        Filesystem::Tmpfs | Filesystem::Ramfs => {}
        other @ Filesystem::Other(_) => return Err(on_disk(&above, other)),
    }
    if above == path {
        return Ok(());
    }
    filesystem::can_make_entries(&above).map_err(super::mount_points::cannot_make)
}

fn on_disk(above: &Path, found: Filesystem) -> DeliveryFault {
    DeliveryFault::Host(format!(
        "{above} is on {found}, and shared files go to memory alone (tmpfs or ramfs): choose a \
         path below /dev/shm or /run where that is a tmpfs, or give the container one (--tmpfs \
         {above})",
        above = above.display(),
        found = found.name(),
    ))
}

/// A directory with a marker that nobody holds may be taken over; any other with entries not.
fn owned_by_dead(path: &Path, entry: &str) -> Result<(), DeliveryFault> {
    let directory = filesystem::open_directory(path).map_err(system("cannot open it"))?;
    let marker = filesystem::status_at(&directory, MARKER).map_err(system("cannot look at it"))?;
    if marker.is_none_or(|marker| marker.kind != Kind::File) {
        return Err(covered(entry));
    }
    let marker = filesystem::open_marker_at(&directory, MARKER)
        .map_err(system("cannot open the marker in it"))?;
    if filesystem::try_lock(&marker).map_err(system("cannot lock the marker in it"))? {
        Ok(())
    } else {
        Err(in_use())
    }
}

/// What stands in a delivery directory.
struct Found {
    /// Made by hushpipe's layout.
    ours: Vec<(OsString, Kind)>,
    /// The least name of something else.
    foreign: Option<OsString>,
}

impl Found {
    fn remove(&self, directory: &OwnedFd) -> io::Result<()> {
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
fn survey(directory: &OwnedFd, device: u64) -> io::Result<Found> {
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
                Kind::File | Kind::Other => false,
            };
        if ours {
            found.ours.push((name, status.kind));
        } else {
            found.foreign.get_or_insert(name);
        }
    }
    Ok(found)
}

fn is_numbered(name: &OsStr, prefix: &[u8]) -> bool {
    let number = name.as_bytes().strip_prefix(prefix);
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

/// `..data`, its temporary, and links through it.
fn is_link(directory: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    if name == "..data" || name == "..data.tmp" {
        return Ok(true);
    }
    let through = filesystem::read_link_at(directory, name)?;
    Ok(through == Path::new("..data").join(name))
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

/// Removes one generation's directory and its files, relative to the directory that holds it.
pub(super) fn remove_generation(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    if filesystem::status_at(directory, name)?.is_none() {
        return Ok(());
    }
    let generation = filesystem::open_directory_at(directory, name)?;
    for entry in filesystem::entries(&generation)? {
        if is_numbered(&entry, b"..dir-") {
            let inner = filesystem::open_directory_at(&generation, &entry)?;
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
