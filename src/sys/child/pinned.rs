//! A program that cannot change between the look at it and its start.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{AtFlags, MemfdFlags, Mode, SealFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::fork::last_errno;

/// What execve(2) gets is what was looked at, whoever may write to the file: execveat(2) executes this
/// descriptor, wherever the path leads by then.
///
/// It is the file itself where the kernel vouches for it: by fs-verity, or by a read lease (fcntl(2),
/// `F_SETLEASE`), which is given only while nobody has the file open or mapped for writing, makes who
/// opens it wait, and is seen to be broken where that takes too long. So `/proc/self/exe`, libraries
/// beside the program and its capabilities are as always. Else, and for every script, it is a copy in
/// sealed memory. A script's interpreter opens `/dev/fd/N` of it, which stays open in the program.
#[derive(Debug)]
pub struct Pinned {
    pub(super) fd: OwnedFd,
    held: Held,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    Verity,
    Lease,
    Copy { script: bool },
    Root { path: CString, as_it_was: Stamp },
}

/// What a file that is exchanged or written to does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, u64),
}

impl Pinned {
    /// The file itself, opened for reading, if it cannot change; else it is given back.
    pub fn original(file: OwnedFd) -> Result<Self, OwnedFd> {
        let held = if has_verity(&file) {
            Held::Verity
        } else if lease(&file).is_ok() {
            Held::Lease
        } else {
            return Err(file);
        };
        Ok(Self { fd: file, held })
    }

    /// A file that only root can change, with its path, as it is now. It is executed by the path, as it
    /// would be without hushpipe, if that still leads to what was looked at.
    pub fn of_root(file: OwnedFd, path: CString) -> io::Result<Self> {
        let as_it_was = Stamp::of(&rustix::fs::fstat(&file)?);
        Ok(Self {
            fd: file,
            held: Held::Root { path, as_it_was },
        })
    }

    /// The file, and nothing vouches for it any more unless it is a copy.
    pub fn into_file(self) -> OwnedFd {
        self.fd
    }

    /// Memory for a copy that can be executed. [`Self::copy`] ends it.
    pub fn blank() -> io::Result<File> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let made = match rustix::fs::memfd_create("hushpipe-program", flags | MemfdFlags::EXEC) {
            // Linux before 6.3 does not know the flag.
            Err(Errno::INVAL) => rustix::fs::memfd_create("hushpipe-program", flags),
            made => made,
        };
        Ok(File::from(made?))
    }

    /// A copy that nobody can change any more. `script`: it starts with `#!`.
    pub fn copy(written: File, script: bool) -> io::Result<Self> {
        // The program's user executes it, and a script's interpreter reads it.
        rustix::fs::fchmod(&written, Mode::from_raw_mode(0o555))?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&written, seals)?;
        Ok(Self {
            fd: written.into(),
            held: Held::Copy { script },
        })
    }

    /// What is executed.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The descriptor to execute, right before that; an error where the file may have changed. No
    /// allocation.
    pub(super) fn ready(&self) -> Result<Ready<'_>, Errno> {
        match &self.held {
            Held::Verity | Held::Copy { script: false } => Ok(Ready::File(self.fd.as_raw_fd())),
            Held::Lease if is_leased(&self.fd) => Ok(Ready::File(self.fd.as_raw_fd())),
            Held::Lease => Err(Errno::STALE),
            Held::Copy { script: true } => stays_open(&self.fd).map(Ready::File),
            Held::Root { path, as_it_was } => {
                let is = |stat: rustix::fs::Stat| Stamp::of(&stat) == *as_it_was;
                let file = rustix::fs::fstat(&self.fd)?;
                let there = rustix::fs::stat(path.as_c_str())?;
                if is(file) && is(there) {
                    Ok(Ready::Path(path))
                } else {
                    Err(Errno::STALE)
                }
            }
        }
    }
}

/// What execve(2) gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready<'a> {
    /// This open file.
    File(RawFd),
    /// What is at this path.
    Path(&'a CStr),
}

impl Stamp {
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// fs-verity: the content is fixed for good, and checked as it is read.
fn has_verity(file: &OwnedFd) -> bool {
    let flags = AtFlags::EMPTY_PATH;
    rustix::fs::statx(file, c"", flags, StatxFlags::empty())
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::VERITY))
}

/// Takes a read lease, without a signal when it is broken.
fn lease(file: &OwnedFd) -> Result<(), Errno> {
    let fd = file.as_raw_fd();
    // SAFETY: both commands take an integer and touch no memory; the descriptor is open.
    let set = unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) };
    if set != 0 {
        return Err(last_errno());
    }
    // SAFETY: as above. The kernel has made this process the owner, which SIGIO goes to.
    match unsafe { libc::fcntl(fd, libc::F_SETOWN, 0) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

fn is_leased(file: &OwnedFd) -> bool {
    // SAFETY: the command takes no argument; the descriptor is open.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) == libc::F_RDLCK }
}

/// A duplicate that stays open at exec, at a number that scripts do not use themselves.
fn stays_open(file: &OwnedFd) -> Result<RawFd, Errno> {
    [200, 20, 3]
        .into_iter()
        .find_map(|least| {
            // SAFETY: the command takes an integer; the descriptor is open.
            let made = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, least) };
            (made >= 0).then_some(made)
        })
        .ok_or(Errno::MFILE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    #[test]
    fn a_file_that_is_open_for_writing_is_not_vouched_for() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let open = || OwnedFd::from(File::open(place.path()).unwrap());
        assert!(Pinned::original(open()).is_err());
    }

    #[test]
    fn who_writes_to_a_leased_file_is_noticed() {
        let place = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let file = OwnedFd::from(File::open(&place).unwrap());
        let Ok(pinned) = Pinned::original(file) else {
            return; // the filesystem of this test has no leases
        };
        assert!(pinned.ready().is_ok());
        let again = File::open(&place).unwrap();
        assert!(pinned.ready().is_ok(), "a reader is in nobody's way");
        let writer = std::fs::OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&place);
        assert_eq!(writer.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(pinned.ready(), Err(Errno::STALE));
        drop(again);
    }
}
