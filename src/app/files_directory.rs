//! Where files with relative paths go: the first directory in memory that hushpipe may make, so that one
//! manifest works for root and for users, on a host, in a container and in a unit.
//!
//! It looks at `$RUNTIME_DIRECTORY` (systemd), `/run/hushpipe-SERVICE`, `$XDG_RUNTIME_DIR/hushpipe-SERVICE`,
//! `/run/user/UID/hushpipe-SERVICE` and `/dev/shm/hushpipe-SERVICE`. In /dev/shm anyone can take the
//! expected name first: then it is a name that others cannot foresee.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::manifest::{Chosen, Wanted};
use crate::sys::filesystem::{self, Filesystem, Kind, effective_uid};
use crate::sys::held::{self, Site};
use crate::sys::walk::{self, Rule};

/// Memory that is writable even where nothing else is; sticky.
const MEMORY: &str = "/dev/shm";

/// How good a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// hushpipe may make it, on a disk: private files alone can be there.
    OnDisk,
    /// hushpipe may make it, in memory.
    InMemory,
}

/// The directory for this service's files. Without one that can be used it is the last: a launch says what is
/// wrong with it.
pub fn choose(wanted: &Wanted) -> Chosen {
    // What the service manager made for it counts, wherever that is.
    if let Some(given) = absolute("RUNTIME_DIRECTORY").filter(|path| fit(path).is_some()) {
        return plain(given);
    }
    let mut best: Option<(Fit, PathBuf)> = None;
    for path in candidates(wanted) {
        match fit(&path) {
            Some(Fit::InMemory) => return plain(path),
            Some(fit) if best.is_none() => best = Some((fit, path)),
            Some(Fit::OnDisk) | None => {}
        }
    }
    let in_memory = in_memory(wanted);
    match best {
        Some((_, path)) if fit(&in_memory.directory).is_none() => plain(path),
        _ => in_memory,
    }
}

const fn plain(directory: PathBuf) -> Chosen {
    Chosen {
        directory,
        note: None,
    }
}

/// A directory that a variable of this process names; the first, where systemd names several. It is no
/// variable that a manifest depends on: where files go is part of the plan.
fn absolute(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable)?;
    let first = value.as_bytes().split(|byte| *byte == b':').next()?;
    first
        .starts_with(b"/")
        .then(|| PathBuf::from(OsStr::from_bytes(first)))
}

/// All but that in /dev/shm, best first.
fn candidates(wanted: &Wanted) -> Vec<PathBuf> {
    let (uid, name) = (effective_uid(), wanted.name());
    let mut paths = vec![Path::new("/run").join(&name)];
    // Only their user may enter them.
    if uid != 0 || !wanted.other_user {
        paths.extend(absolute("XDG_RUNTIME_DIR").map(|session| session.join(&name)));
        paths.push(PathBuf::from(format!("/run/user/{uid}")).join(&name));
    }
    paths
}

/// A directory in memory for this user's own: the runtime directory, else /dev/shm.
pub fn in_memory_of_user() -> io::Result<(OwnedFd, PathBuf)> {
    let session = PathBuf::from(format!("/run/user/{}", effective_uid()));
    let own = absolute("XDG_RUNTIME_DIR").into_iter().chain([session]);
    let mut own = own.filter(|path| fit(path) == Some(Fit::InMemory));
    let path = own.next().unwrap_or_else(|| PathBuf::from(MEMORY));
    let directory = walk::directory(&path, &Rule::STRICT).map_err(io::Error::other)?;
    match filesystem::filesystem(&directory)? {
        Filesystem::Tmpfs | Filesystem::Ramfs => Ok((directory, path)),
        Filesystem::Other(_) => Err(io::Error::other("/dev/shm is not in memory")),
    }
}

/// Whether hushpipe may make directories in it, or make it.
fn fit(path: &Path) -> Option<Fit> {
    let site = Site::find(path, &Rule::STRICT).ok()?;
    let there = match site.status().ok()? {
        None => None,
        Some(found) if found.kind == Kind::Directory && found.uid == effective_uid() => {
            Some(site.open().ok()?)
        }
        Some(_) => return None,
    };
    let (nearest, _) = site.nearest();
    let directory = there.as_ref().unwrap_or(nearest);
    filesystem::can_make_entries(directory).ok()?;
    Some(match filesystem::filesystem(directory).ok()? {
        Filesystem::Tmpfs | Filesystem::Ramfs => Fit::InMemory,
        Filesystem::Other(_) => Fit::OnDisk,
    })
}

/// In /dev/shm. If another user has the usual name: that of an earlier launch that was killed, as this one
/// sweeps it, else a new one.
fn in_memory(wanted: &Wanted) -> Chosen {
    let (memory, name) = (Path::new(MEMORY), OsString::from(wanted.name()));
    let usual = memory.join(&name);
    // Without it the launch reports what is wrong with the directory.
    let Ok(open) = walk::directory(memory, &Rule::STRICT) else {
        return plain(usual);
    };
    if !is_a_strangers(&open, &name) {
        return plain(usual);
    }
    let directory = memory.join(another_name(&open, &name));
    let note = format!(
        "another user made {}: files go to {}. An absolute path, such as one below /run, is one that others \
         cannot take",
        usual.display(),
        directory.display()
    );
    Chosen {
        directory,
        note: Some(note),
    }
}

/// Whether something is there that is not hushpipe's own user's.
fn is_a_strangers(directory: &OwnedFd, name: &OsStr) -> bool {
    match filesystem::status_at(directory, name) {
        Ok(Some(found)) => found.uid != effective_uid(),
        Ok(None) | Err(_) => false,
    }
}

fn another_name(directory: &OwnedFd, usual: &OsStr) -> OsString {
    let mut prefix = usual.to_owned();
    prefix.push("-");
    let mut own = None;
    let visited = filesystem::visit_entries(directory, |name| {
        let random = name.as_bytes().strip_prefix(prefix.as_bytes());
        let is_random = random
            .is_some_and(|random| random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit));
        if is_random && !is_a_strangers(directory, name) {
            own = Some(name.to_owned());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let found = visited.ok().and(own);
    found.unwrap_or_else(|| held::unguessable(&prefix.to_string_lossy()))
}
