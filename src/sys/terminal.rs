//! The controlling terminal and its foreground process group: tcgetpgrp(3), tcsetpgrp(3).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::termios;

/// The terminal that controls hushpipe's session.
#[derive(Debug)]
pub struct Terminal(OwnedFd);

impl Terminal {
    /// The controlling terminal, if there is one: among the standard descriptors, else /dev/tty.
    pub fn controlling() -> io::Result<Option<Self>> {
        for fd in standard_fds() {
            // SAFETY: the descriptor is borrowed. A session of outside the PID namespace is 0 here and
            // there, which rustix's own call panics at.
            if unsafe { libc::tcgetsid(fd.as_raw_fd()) } == super::process::session() {
                return Ok(Some(Self(fd.try_clone_to_owned()?)));
            }
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
        match rustix::fs::open("/dev/tty", flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self(fd))),
            Err(Errno::NXIO | Errno::NOENT | Errno::NODEV | Errno::NOTDIR | Errno::ACCESS) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The process group in the foreground; 0 when it is outside of the PID namespace, `None` when
    /// there is none, or the terminal hung up.
    pub fn foreground(&self) -> io::Result<Option<i32>> {
        // SAFETY: the descriptor is open while `self` is borrowed.
        let group = unsafe { libc::tcgetpgrp(self.0.as_raw_fd()) };
        if group >= 0 {
            return Ok(Some(group));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOTTY | libc::EIO | libc::EOPNOTSUPP) => Ok(None),
            _ => Err(error),
        }
    }

    /// Puts a process group of the session into the foreground. SIGTTOU must be blocked. `false`: the
    /// group is gone or of another session, or the terminal hung up.
    pub fn set_foreground(&self, group: i32) -> io::Result<bool> {
        let Some(group) = Pid::from_raw(group) else {
            return Ok(false);
        };
        match termios::tcsetpgrp(&self.0, group) {
            Ok(()) => Ok(true),
            Err(Errno::NOTTY | Errno::IO | Errno::PERM | Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// How many columns the terminal behind standard error has; `None`: it is no terminal, or does not say.
pub fn columns_of_stderr() -> Option<usize> {
    let size = termios::tcgetwinsize(standard_fds()[2]).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether standard input or output is a pipe or a socket: hushpipe is then part of a pipeline.
pub fn is_piped() -> bool {
    standard_fds().into_iter().take(2).any(|fd| {
        rustix::fs::fstat(fd).is_ok_and(|stat| {
            matches!(
                FileType::from_raw_mode(stat.st_mode),
                FileType::Fifo | FileType::Socket
            )
        })
    })
}

/// Whether a program that hushpipe starts could reach a terminal: among the standard descriptors, or as
/// the one that controls the session.
pub fn is_within_reach() -> bool {
    standard_fds().into_iter().any(termios::isatty)
        || Terminal::controlling().map_or(true, |terminal| terminal.is_some())
}

fn standard_fds() -> [BorrowedFd<'static>; 3] {
    // SAFETY: Rust's runtime opens 0, 1 and 2 at the start where they are closed, and hushpipe never
    // closes them.
    unsafe { [0, 1, 2].map(|fd| BorrowedFd::borrow_raw(fd)) }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
