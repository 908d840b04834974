//! Files that the program is not to read, though it runs as their user: in its mount namespace an empty
//! file, /dev/null, is in their place. Nothing that runs in that namespace without CAP_SYS_ADMIN over it
//! can take that away, not even in a user namespace of its own: mount_namespaces(7).

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, mount_bind, move_mount, open_tree};

/// An empty file that everybody has.
const EMPTY: &std::ffi::CStr = c"/dev/null";

/// A regular file to be covered.
#[derive(Clone, Debug)]
pub struct Cover {
    pub(super) path: CString,
    file: (u64, u64),
}

impl Cover {
    /// Of the file that an absolute path without links leads to now; `None` if it is no regular file.
    pub fn of(path: &Path) -> Option<Self> {
        let name = CString::new(path.as_os_str().as_bytes()).ok()?;
        let stat = rustix::fs::statat(CWD, &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_file.then(|| Self {
            path: name,
            file: identity(&stat),
        })
    }

    /// Covers it in this process's mount namespace. One that cannot be reached there needs no cover; one
    /// that was replaced since is ESTALE. No allocation.
    pub(super) fn put(&self) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(CWD, self.path.as_c_str(), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(()),
            opened => opened?,
        };
        if identity(&rustix::fs::fstat(&file)?) != self.file {
            return Err(Errno::STALE);
        }
        match bind(&file) {
            // Before Linux 5.2, or refused by a container's seccomp filter.
            Err(Errno::NOSYS | Errno::PERM) => mount_bind(EMPTY, self.path.as_c_str()),
            done => done,
        }
    }
}

fn bind(file: &OwnedFd) -> Result<(), Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let empty = open_tree(CWD, EMPTY, flags)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&empty, c"", file, c"", flags)
}

#[allow(clippy::cast_lossless, clippy::unnecessary_cast)] // the fields' widths differ by target
const fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}
