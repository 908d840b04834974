//! A fork, and what may be called in one.

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

use super::channel::{Channel, Report};
use super::error::{At, Fault};

/// Does it in a child that ends right after it; what that sent. The work allocates nothing.
pub(super) fn in_a_fork(work: impl FnOnce(&Channel) -> Result<(), Fault>) -> Result<Report, Fault> {
    let (ours, theirs) = Channel::pair().map_err(|errno| Fault::new(At::Channel, errno))?;
    let blocked = BlockedSignals::all();
    // SAFETY: the child makes async-signal-safe calls only and ends by _exit.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(Fault::new(At::Fork, last_errno())),
        0 => {
            let guard = ExitOnUnwind;
            if let Err(fault) = work(&theirs) {
                theirs.send_fault(fault);
            }
            drop(guard);
            exit_now(0)
        }
        pid => pid,
    };
    drop(theirs);
    let report = ours.receive();
    let waited = Pid::from_raw(pid).map_or(Err(Errno::CHILD), wait_for);
    drop(blocked);
    match (report, waited) {
        (Ok(Report::Fault(fault)), _) => Err(fault),
        (Err(errno), _) | (_, Err(errno)) => Err(Fault::new(At::Channel, errno)),
        (Ok(_), Ok(false)) => Err(Fault::new(At::Vanished, Errno::CHILD)),
        (Ok(report), Ok(true)) => Ok(report),
    }
}

/// Makes a call as another user, in a fork, where this process may become that user and needs to be.
/// The call allocates nothing.
pub(in crate::sys) fn as_user(
    uid: u32,
    call: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let uid = rustix::thread::Uid::from_raw(uid);
    in_a_fork(|_| {
        rustix::thread::set_thread_res_uid(uid, uid, uid)
            .and_then(|()| call())
            .map_err(|errno| Fault::new(At::Identity, errno))
    })
    .map(drop)
    .map_err(|fault| fault.errno)
}

/// Waits for a child that ends soon by its number, while nothing else in this process can wait.
/// Whether it ended well.
pub(super) fn wait_for(pid: Pid) -> Result<bool, Errno> {
    let ended = rustix::io::retry_on_intr(|| {
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
    })?;
    Ok(ended.is_some_and(|(_, status)| status.exit_status() == Some(0)))
}

/// A panic in a forked child must never unwind into what the parent was doing.
pub(super) struct ExitOnUnwind;

impl Drop for ExitOnUnwind {
    fn drop(&mut self) {
        if std::thread::panicking() {
            exit_now(70);
        }
    }
}

pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any number, is async-signal-safe, and does not return.
    unsafe { libc::_exit(code) }
}

/// Every signal blocked, until dropped: a handler that ran in the child would write to pipes that
/// are the parent's too.
pub(super) struct BlockedSignals {
    before: libc::sigset_t,
}

impl BlockedSignals {
    pub fn all() -> Self {
        // SAFETY: both sets are plain memory that the calls fill; SIG_SETMASK with a full set is
        // valid and cannot fail.
        unsafe {
            let mut all = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Self { before }
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: the set was filled by the kernel in `all`.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            );
        }
    }
}

pub(super) fn last_errno() -> Errno {
    // SAFETY: the location is this thread's and always valid.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// unshare(2), for a process of one thread.
pub(super) fn unshare(flags: UnshareFlags) -> Result<(), Fault> {
    // SAFETY: only CLONE_FILES would break ownership of fds, and it is never among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(|errno| Fault::new(At::Unshare, errno))
}
