//! System calls that wait for hushpipe's word: seccomp_unotify(2).

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// linux/seccomp.h: `SECCOMP_IOCTL_NOTIF_RECV`, `_SEND`, and `_ID_VALID` as every kernel knows it.
const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;
const IS_VALID: libc::c_ulong = 0x8008_2102;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`
const CONTINUE: u32 = 1;
/// The kernel's own: make the system call again, whatever the handlers say.
const ERESTARTNOINTR: i32 = 513;

/// `struct seccomp_notif`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    architecture: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// A system call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    id: u64,
    /// The thread that makes it.
    pub tid: i32,
    /// The system call's number, in its ABI.
    pub number: i32,
    /// Whether it is not the native ABI's.
    pub compat: bool,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// What a waiting call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is made.
    GoOn,
    /// It fails.
    Fail(i32),
    /// It is made again from the start: for a caller that is held.
    Again,
}

/// The receiving end. Once it is closed, every call that it would have got fails with ENOSYS.
pub struct Listener {
    fd: AsyncFd<OwnedFd>,
    /// No process is left that could call.
    over: Cell<bool>,
}

impl Listener {
    /// Needs a tokio runtime with I/O.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the registration owns the descriptor, and nothing closes it before.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        let over = Cell::new(false);
        Ok(Self { fd, over })
    }

    /// Waits until a call may be there. Can be dropped while it waits.
    pub async fn ready(&self) -> io::Result<()> {
        if self.over.get() {
            std::future::pending::<()>().await;
        }
        self.fd.readable().await.map(drop)
    }

    /// The next call, without waiting; `None`: none is there, and [`Self::ready`] waits again.
    pub fn next(&self) -> io::Result<Option<Call>> {
        loop {
            match poll(self.fd.get_ref())? {
                Polled::Call => {}
                Polled::Nothing => {
                    self.forget();
                    return Ok(None);
                }
                Polled::Over => {
                    self.over.set(true);
                    return Ok(None);
                }
            }
            match receive(self.fd.get_ref()) {
                Ok(call) => return Ok(Some(call)),
                // The caller was killed before.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What was seen is over; a call that comes after the look wakes [`Self::ready`] anew.
    fn forget(&self) {
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        if let std::task::Poll::Ready(Ok(mut ready)) = self.fd.poll_read_ready(&mut context) {
            ready.clear_ready();
        }
    }

    /// Whether the call still waits: its caller is alive, and the number is not another's.
    pub fn is_waiting(&self, call: &Call) -> bool {
        // SAFETY: the request reads one number.
        unsafe { libc::ioctl(self.fd.as_raw_fd(), IS_VALID as _, &raw const call.id) == 0 }
    }

    /// Answers it. `false`: its caller is gone.
    pub fn answer(&self, call: &Call, answer: Answer) -> io::Result<bool> {
        let mut response = Response {
            id: call.id,
            ..Response::default()
        };
        match answer {
            Answer::GoOn => response.flags = CONTINUE,
            Answer::Fail(errno) => response.error = -errno,
            Answer::Again => response.error = -ERESTARTNOINTR,
        }
        loop {
            // SAFETY: the request reads the structure that it was given, whose layout is the kernel's.
            if unsafe { libc::ioctl(self.fd.as_raw_fd(), SEND as _, &raw const response) } == 0 {
                return Ok(true);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ENOENT) => return Ok(false),
                Some(libc::EINTR) => {}
                _ => return Err(error),
            }
        }
    }
}

/// What there is to receive.
enum Polled {
    Call,
    Nothing,
    /// Nobody is left who could call.
    Over,
}

fn poll(fd: impl AsFd) -> io::Result<Polled> {
    let mut polled = [PollFd::new(&fd, PollFlags::IN)];
    let now = Timespec::default();
    while let Err(error) = rustix::event::poll(&mut polled, Some(&now)) {
        if error != rustix::io::Errno::INTR {
            return Err(error.into());
        }
    }
    let found = polled[0].revents();
    Ok(if found.contains(PollFlags::IN) {
        Polled::Call
    } else if found.contains(PollFlags::HUP) {
        Polled::Over
    } else {
        Polled::Nothing
    })
}

fn receive(fd: &OwnedFd) -> io::Result<Call> {
    // The kernel wants zeros.
    let mut notification = Notification::default();
    // SAFETY: the request fills the structure, whose layout and size are the kernel's.
    if unsafe { libc::ioctl(fd.as_raw_fd(), RECEIVE as _, &raw mut notification) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let native = super::seccomp::Abi::NATIVE.map(super::seccomp::Abi::value);
    Ok(Call {
        id: notification.id,
        tid: notification.pid.cast_signed(),
        number: notification.number,
        compat: Some(notification.architecture) != native,
        arguments: notification.arguments,
    })
}
