//! Standard output and error, written without waiting for whoever reads them.
//!
//! The open file description is shared with the program and the shell, so O_NONBLOCK is never set on
//! it: a pipe or terminal is opened once more through /proc/self/fd (proc(5)), a socket is written
//! with MSG_DONTWAIT, and where neither works, poll(2) comes before writes of at most PIPE_BUF bytes.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::termios::isatty;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A pipe that poll(2) calls writable has room for so many bytes.
const CHUNK: usize = libc::PIPE_BUF;

/// How often what cannot be waited for is tried again.
const AGAIN: Duration = Duration::from_millis(1);

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// Descriptor 1.
    Output,
    /// Descriptor 2.
    Error,
}

impl Standard {
    /// Its number.
    pub const fn number(self) -> RawFd {
        match self {
            Self::Output => libc::STDOUT_FILENO,
            Self::Error => libc::STDERR_FILENO,
        }
    }

    const fn fd(self) -> BorrowedFd<'static> {
        // SAFETY: standard descriptors are open from the start (`super::fd::ensure_standard`), and nothing in
        // hushpipe closes them.
        unsafe { BorrowedFd::borrow_raw(self.number()) }
    }

    /// Whether it is a terminal.
    pub fn is_terminal(self) -> bool {
        isatty(self.fd())
    }
}

/// One of them, and how it is written.
#[derive(Debug)]
pub struct Outlet {
    which: Standard,
    way: Way,
}

/// How it is written without waiting.
#[derive(Debug)]
enum Way {
    /// Files and devices that never keep a writer waiting.
    Plain,
    /// A pipe or terminal, opened once more with O_NONBLOCK.
    Reopened(OwnedFd),
    /// A pipe or terminal that cannot be opened once more.
    Polled,
    Socket,
}

impl Outlet {
    /// Finds out how it is written: before a sandbox is put on, which may refuse to open it once more.
    pub fn new(which: Standard) -> Self {
        let fd = which.fd();
        let kind = fs::fstat(fd).map(|found| FileType::from_raw_mode(found.st_mode));
        let way = match kind {
            Ok(FileType::Socket) => Way::Socket,
            Ok(FileType::Fifo) => reopened(which),
            Ok(FileType::CharacterDevice) if isatty(fd) => reopened(which),
            _ => Way::Plain,
        };
        Self { which, way }
    }

    /// What is written goes to this descriptor, which never keeps a writer waiting.
    #[cfg(test)]
    pub fn of_own(which: Standard, own: OwnedFd) -> Self {
        let way = Way::Reopened(own);
        Self { which, way }
    }

    /// One write; gives how much was written. `AGAIN`: there is no room.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let fd = self.which.fd();
        match &self.way {
            Way::Plain => rustix::io::write(fd, bytes),
            Way::Reopened(own) => rustix::io::write(own, bytes),
            Way::Socket => rustix::net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Way::Polled if self.has_room(Duration::ZERO).is_ok_and(|room| !room) => {
                Err(Errno::AGAIN)
            }
            Way::Polled => rustix::io::write(fd, &bytes[..bytes.len().min(CHUNK)]),
        }
    }

    /// Waits until there may be room. Its owner may be used and changed meanwhile.
    pub fn room(&self) -> io::Result<impl Future<Output = io::Result<()>> + use<>> {
        let own = match &self.way {
            Way::Reopened(own) => Some(own.try_clone()?),
            _ => None,
        };
        Ok(async move {
            let Some(own) = own else {
                // What is shared with others is in no set of epoll(7).
                tokio::time::sleep(AGAIN).await;
                return Ok(());
            };
            // SAFETY: an OwnedFd is the same descriptor for as long as it is there.
            let own = unsafe { AsyncFd::register_with_interest(own, Interest::WRITABLE) }?;
            own.writable().await.map(drop)
        })
    }

    /// Waits for room at most so long.
    pub fn has_room(&self, within: Duration) -> io::Result<bool> {
        let fd = match &self.way {
            Way::Reopened(own) => own.as_fd(),
            _ => self.which.fd(),
        };
        let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
        let timeout = Timespec::try_from(within).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Holds no descriptor of its own any more.
    pub fn close(&mut self) {
        if matches!(self.way, Way::Reopened(_)) {
            self.way = Way::Polled;
        }
    }
}

fn reopened(which: Standard) -> Way {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = match which {
        Standard::Output => c"/proc/self/fd/1",
        Standard::Error => c"/proc/self/fd/2",
    };
    fs::open(path, flags, Mode::empty()).map_or(Way::Polled, Way::Reopened)
}
