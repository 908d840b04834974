//! Landlock: a process gives up files that it no longer needs, for itself and what it starts.
//! landlock(7), Documentation/userspace-api/landlock.rst.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

/// `struct landlock_ruleset_attr`, its first field: all that versions before networks and scopes have.
#[repr(C)]
struct Attributes {
    handled: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// EXECUTE, the three above, REMOVE_DIR, REMOVE_FILE and seven kinds of MAKE: of the first version.
const FIRST: u64 = (1 << 13) - 1;
const EXECUTE: u64 = 1;
/// Since version 2 and 3.
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const PATH_BENEATH: libc::c_int = 1;

/// What may be done in a directory and all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading, writing, making and removing.
    Write,
}

impl Access {
    const fn bits(self, handled: u64) -> u64 {
        let wanted = match self {
            Self::Read => READ_FILE,
            Self::Write => !EXECUTE,
        };
        wanted & handled
    }
}

/// Files that stay open to this process.
#[derive(Debug)]
pub struct Ruleset {
    fd: OwnedFd,
    handled: u64,
}

impl Ruleset {
    /// An empty one: nothing may be written, made, removed or executed, nor, with `reads`, read. What
    /// is in a directory can be listed. ENOSYS or EOPNOTSUPP
    /// where there is no Landlock, or it is switched off.
    pub fn new(reads: bool) -> io::Result<Self> {
        let version = super::host::landlock_abi().ok_or(io::ErrorKind::Unsupported)?;
        let changes = FIRST & !READ_DIR & !READ_FILE;
        let handled = match version {
            0 | 1 => changes,
            2 => changes | REFER,
            _ => changes | REFER | TRUNCATE,
        };
        let handled = if reads { handled | READ_FILE } else { handled };
        let attributes = Attributes { handled };
        // SAFETY: the attributes live as long as the call, which is given their size; the descriptor is
        // new and nobody else's.
        let fd = unsafe {
            let fd = libc::syscall(
                libc::SYS_landlock_create_ruleset,
                &raw const attributes,
                size_of::<Attributes>(),
                0,
            );
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd as i32)
        };
        Ok(Self { fd, handled })
    }

    /// Allows it in the directory at this path, or in the nearest one above it that is there.
    pub fn allow_path(&self, path: &Path, access: Access) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for directory in path.ancestors() {
            if let Ok(fd) = rustix::fs::openat(CWD, directory, flags, Mode::empty()) {
                return self.allow(&fd, access);
            }
        }
        Ok(())
    }

    /// Allows it in this directory.
    pub fn allow(&self, directory: &OwnedFd, access: Access) -> io::Result<()> {
        let rule = PathBeneath {
            allowed: access.bits(self.handled),
            parent: directory.as_raw_fd(),
        };
        // SAFETY: the rule lives as long as the call, and both descriptors are open.
        let added = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.fd.as_raw_fd(),
                PATH_BENEATH,
                &raw const rule,
                0,
            )
        };
        done(added)
    }

    /// From now on this thread, and what it starts, has no more than that. Takes no_new_privs or
    /// CAP_SYS_ADMIN.
    pub fn restrict(self) -> io::Result<()> {
        // SAFETY: the call takes two integers.
        done(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.fd.as_raw_fd(), 0) })
    }
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::child::tests::in_a_process_of_its_own;
    use super::*;

    #[test]
    fn what_was_not_allowed_is_closed() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for name in ["read", "write"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("f"), "x").unwrap();
        }
        let code = in_a_process_of_its_own(|| {
            let Ok(rules) = Ruleset::new(true) else {
                return 0; // this kernel has none
            };
            rules.allow_path(&path("read"), Access::Read).unwrap();
            rules
                .allow_path(&path("write/not/there"), Access::Write)
                .unwrap();
            rustix::thread::set_no_new_privs(true).unwrap();
            rules.restrict().unwrap();
            let denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
            assert_eq!(fs::read(path("read/f")).unwrap(), b"x");
            assert!(denied(fs::write(path("read/f"), "y").unwrap_err()));
            assert!(denied(fs::read("/etc/passwd").unwrap_err()));
            fs::write(path("write/g"), "y").unwrap();
            fs::rename(path("write/g"), path("write/h")).unwrap();
            fs::remove_file(path("write/h")).unwrap();
            0
        });
        assert_eq!(code, 0);
    }
}
