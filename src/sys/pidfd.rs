//! Signals to processes that cannot be mistaken for others: pidfd_open(2), pidfd_send_signal(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::child::as_user;
use super::privileges::{self, Capabilities};

/// `PIDFD_SIGNAL_PROCESS_GROUP` of linux/pidfd.h, since Linux 6.9.
const PROCESS_GROUP: libc::c_uint = 1 << 2;

/// Opens a process. ESRCH: it is gone.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers; the descriptor given is new and nobody else's.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Sends a signal. `false`: the process is gone.
pub fn send(fd: impl AsFd, signal: i32) -> io::Result<bool> {
    found(send_with(fd, signal, 0))
}

/// Sends a signal to the process group that the process leads. `leader` is its id while it is not
/// reaped, and so cannot be another's: older kernels need it. `false`: nobody is there.
pub fn send_group(fd: impl AsFd, leader: Option<i32>, signal: i32) -> io::Result<bool> {
    let fd = fd.as_fd();
    match (send_with(fd, signal, PROCESS_GROUP), leader) {
        (Err(error), Some(leader)) if error.raw_os_error() == Some(libc::EINVAL) => {
            found(permitted(fd, || kill(-leader, signal)))
        }
        (result, _) => found(result),
    }
}

/// Blocks until the process has ended, whether reaped or not, but no longer than `limit`. Whether it
/// has.
pub fn wait_for_end(fd: impl AsFd, limit: Duration) -> io::Result<bool> {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Tells when a process has ended, be it a child or not.
#[derive(Debug)]
pub struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Watches a process by its pidfd. Needs a tokio runtime with I/O.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the registration owns the descriptor, and nothing closes it before.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self(fd))
    }

    /// Waits for the end, whether anybody reaped it or not. Can be dropped while it waits.
    pub async fn ended(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }
}

/// Sends a signal to every process of the PID namespace. Of use to its PID 1 alone, which does not
/// get it itself. `false`: nobody else is there.
pub fn send_all_as_init(signal: i32) -> io::Result<bool> {
    if super::process::id() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    found(kill(-1, signal).map_err(io::Error::from))
}

fn send_with(fd: impl AsFd, signal: i32, flags: libc::c_uint) -> io::Result<()> {
    let fd = fd.as_fd();
    permitted(fd, || send_as_self(fd, signal, flags))
}

/// Sends it; where hushpipe may not, but may become the receiver's user (CAP_SETUID without CAP_KILL, as
/// in a container with few capabilities), as that user. The call allocates nothing.
fn permitted(fd: BorrowedFd<'_>, send: impl Fn() -> Result<(), Errno>) -> io::Result<()> {
    let sent = match send() {
        Err(Errno::PERM) => match user_of(fd) {
            Some(uid) => as_user(uid, &send),
            None => Err(Errno::PERM),
        },
        sent => sent,
    };
    Ok(sent?)
}

fn send_as_self(fd: BorrowedFd<'_>, signal: i32, flags: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: the descriptor is open while `fd` is borrowed; a null siginfo means that of kill(2).
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            fd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            flags,
        )
    };
    answered(result)
}

/// The real user of a process, where hushpipe may become that user and is not yet.
fn user_of(fd: BorrowedFd<'_>) -> Option<u32> {
    if !privileges::effective().contains(Capabilities::SETUID) {
        return None;
    }
    let line = |text: String, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u32>().ok()
    };
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    let pid = line(info, "Pid:")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uid = line(status, "Uid:")?;
    (uid != rustix::process::geteuid().as_raw()).then_some(uid)
}

fn kill(target: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill takes two integers.
    answered(unsafe { libc::kill(target, signal) }.into())
}

fn answered(result: libc::c_long) -> Result<(), Errno> {
    if result >= 0 {
        return Ok(());
    }
    // SAFETY: the location is this thread's and always valid.
    Err(Errno::from_raw_os_error(unsafe {
        *libc::__errno_location()
    }))
}

fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(error) => Err(error),
    }
}
