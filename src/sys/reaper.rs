//! The one waiter of the whole program: every child that ends is seen here, and nowhere else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How many children one [`Reaper::reap`] takes, so that a fork bomb cannot keep signals waiting.
const BATCH: usize = 256;

/// Children of this thread alone: hushpipe has but one, and tests that run beside keep theirs.
const OWN: i32 = libc::__WNOTHREAD;

/// What became of a child, as wait(2) tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It ended with this code, 0 to 255.
    Exited(i32),
    /// A signal ended it.
    Killed {
        /// Which.
        signal: i32,
        /// Whether it dumped core.
        core: bool,
    },
    /// A signal stopped it.
    Stopped(i32),
    /// It goes on.
    Continued,
    /// It is held by hushpipe, and stopped: ptrace(2).
    Trapped(i32),
}

impl Status {
    /// Whether the child is gone.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Exited(_) | Self::Killed { .. })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Killed { signal, core } => {
                let core = if *core { ", core dumped" } else { "" };
                write!(f, "signal {signal}{core}")
            }
            Self::Stopped(signal) => write!(f, "stopped by signal {signal}"),
            Self::Continued => f.write_str("continued"),
            Self::Trapped(code) => write!(f, "held at {code:#x}"),
        }
    }
}

/// One child and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its process id; free for others when the status is an end.
    pub pid: i32,
    /// What became of it.
    pub status: Status,
}

/// What one [`Reaper::reap`] found.
#[derive(Debug, Default)]
pub struct Reaped {
    /// Changes of children that nobody expects, in the kernel's order.
    pub changes: Vec<Change>,
    /// There may be more: call again, after others had their turn.
    pub more: bool,
}

#[derive(Default)]
struct Slot {
    status: Option<Status>,
    waker: Option<Waker>,
}

/// The waiter. Clones are the same one.
#[derive(Clone, Default)]
pub struct Reaper(Rc<RefCell<HashMap<i32, Slot>>>);

impl Reaper {
    /// A waiter that expects nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells how a child ends. To be called before the event loop has a turn after the fork. Whoever
    /// drives [`Reaper::reap`] must run beside, or it never ends.
    pub fn expect(&self, pid: i32) -> Exits {
        self.0.borrow_mut().insert(pid, Slot::default());
        Exits {
            pid,
            reaper: self.clone(),
        }
    }

    /// Takes note of the children that ended, stopped or went on, without waiting. To be called at
    /// every SIGCHLD.
    pub fn reap(&self) -> io::Result<Reaped> {
        let mut reaped = Reaped::default();
        for _ in 0..BATCH {
            match next_change()? {
                Some(change) if self.take(change) => {}
                Some(change) => reaped.changes.push(change),
                None => return Ok(reaped),
            }
        }
        reaped.more = true;
        Ok(reaped)
    }

    /// Takes note of the end of one child that is expected, if it has ended: for who has a pidfd that
    /// says so, and cannot rely on anybody driving [`Reaper::reap`].
    pub fn collect(&self, pid: i32) -> io::Result<()> {
        match wait(
            libc::P_PID,
            pid.cast_unsigned(),
            libc::WEXITED | libc::WNOHANG,
        ) {
            Ok(Some(change)) => {
                self.take(change);
                Ok(())
            }
            Ok(None) => Ok(()),
            // It was reaped before, and its end told.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether a child is expected: one that hushpipe started for itself.
    pub fn expects(&self, pid: i32) -> bool {
        self.0.borrow().contains_key(&pid)
    }

    /// Whether hushpipe has no child at all, neither its own nor an orphan, alive or to be reaped.
    pub fn is_childless(&self) -> io::Result<bool> {
        match wait(
            libc::P_ALL,
            0,
            libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
        ) {
            Ok(_) => Ok(false),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether the change is of a child that is expected; its end is then told.
    fn take(&self, change: Change) -> bool {
        let mut slots = self.0.borrow_mut();
        let Some(slot) = slots.get_mut(&change.pid) else {
            return false;
        };
        if change.status.is_end() {
            slot.status = Some(change.status);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
        true
    }
}

/// Ends when a child has ended; see [`Reaper::expect`]. Dropped: the child is reaped as any orphan.
pub struct Exits {
    pid: i32,
    reaper: Reaper,
}

impl Future for Exits {
    type Output = Status;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Status> {
        let mut slots = self.reaper.0.borrow_mut();
        let slot = slots.entry(self.pid).or_default();
        if let Some(status) = slot.status {
            return Poll::Ready(status);
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Exits {
    fn drop(&mut self) {
        self.reaper.0.borrow_mut().remove(&self.pid);
    }
}

/// Waits until a child that this process traces stops, and gives the status; `None`: it has ended, and
/// that is left to be told.
pub(super) fn next_stop(pid: i32) -> io::Result<Option<i32>> {
    let id = pid.cast_unsigned();
    let look = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;
    match wait(libc::P_PID, id, look)? {
        Some(Change {
            status: Status::Trapped(code),
            ..
        }) => {
            wait(libc::P_PID, id, libc::WSTOPPED | libc::WNOHANG)?;
            Ok(Some(code))
        }
        _ => Ok(None),
    }
}

fn next_change() -> io::Result<Option<Change>> {
    let options = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG;
    match wait(libc::P_ALL, 0, options) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        result => result,
    }
}

fn wait(kind: libc::idtype_t, id: libc::id_t, options: i32) -> io::Result<Option<Change>> {
    // SAFETY: zero is a valid siginfo_t; with WNOHANG the kernel leaves it so when there is no change.
    let mut info: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
    loop {
        // SAFETY: `info` is writable, and of the type that the call fills.
        if unsafe { libc::waitid(kind, id, &raw mut info, options | OWN) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: waitid filled the fields of SIGCHLD, or left all zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let status = match info.si_code {
        libc::CLD_EXITED => Status::Exited(status),
        libc::CLD_KILLED | libc::CLD_DUMPED => Status::Killed {
            signal: status,
            core: info.si_code == libc::CLD_DUMPED,
        },
        libc::CLD_CONTINUED => Status::Continued,
        libc::CLD_TRAPPED => Status::Trapped(status),
        _ => Status::Stopped(status),
    };
    Ok(Some(Change { pid, status }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forks a child that does what is asked with async-signal-safe calls alone.
    fn fork(act: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child makes system calls only and leaves by _exit.
        match unsafe { libc::fork() } {
            0 => {
                let code = act();
                // SAFETY: _exit takes any number and does not return.
                unsafe { libc::_exit(code) }
            }
            pid => pid,
        }
    }

    fn die_by(signal: i32) -> i32 {
        // SAFETY: plain calls on this process, the child.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::kill(libc::getpid(), signal);
            libc::pause();
        }
        99
    }

    /// Reaps until so many ends were seen by `reap` itself.
    fn reap_until(reaper: &Reaper, ends: usize) -> Vec<Change> {
        let mut all = Vec::new();
        while all
            .iter()
            .filter(|change: &&Change| change.status.is_end())
            .count()
            < ends
        {
            all.extend(reaper.reap().unwrap().changes);
            std::thread::yield_now();
        }
        all
    }

    #[test]
    fn every_exit_code_and_signal_is_told_exactly() {
        let reaper = Reaper::new();
        for code in 0..=255 {
            let pid = fork(|| code);
            let status = Status::Exited(code);
            assert_eq!(reap_until(&reaper, 1), [Change { pid, status }]);
        }
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGHUP, libc::SIGRTMAX()] {
            let pid = fork(|| die_by(signal));
            let status = Status::Killed {
                signal,
                core: false,
            };
            assert_eq!(reap_until(&reaper, 1), [Change { pid, status }]);
        }
        assert!(reaper.is_childless().unwrap());
    }

    #[test]
    fn a_child_that_is_expected_is_told_to_its_expecter_alone() {
        let reaper = Reaper::new();
        let ours = fork(|| 3);
        let exits = reaper.expect(ours);
        let dropped = fork(|| 4);
        drop(reaper.expect(dropped));
        let orphan = fork(|| 5);
        assert!(!reaper.is_childless().unwrap());
        let mut seen: Vec<_> = reap_until(&reaper, 2)
            .iter()
            .map(|change| change.pid)
            .collect();
        while !reaper.is_childless().unwrap() {
            assert_eq!(reaper.reap().unwrap().changes, []);
        }
        seen.sort_unstable();
        let mut expected = [dropped, orphan];
        expected.sort_unstable();
        assert_eq!(seen, expected);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        assert_eq!(runtime.block_on(exits), Status::Exited(3));
    }

    #[test]
    fn one_child_can_be_collected_without_the_others() {
        let reaper = Reaper::new();
        let other = fork(|| 8);
        let ours = fork(|| 9);
        let exits = reaper.expect(ours);
        let is_zombie = |pid| super::super::process::look_up(pid).is_some_and(|found| found.zombie);
        while !is_zombie(ours) {
            reaper.collect(ours).unwrap();
            if super::super::process::look_up(ours).is_none() {
                break;
            }
        }
        reaper.collect(ours).unwrap();
        reaper.collect(ours).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        assert_eq!(runtime.block_on(exits), Status::Exited(9));
        assert_eq!(reap_until(&reaper, 1)[0].pid, other);
    }

    #[test]
    fn an_expecter_that_waits_is_woken() {
        let reaper = Reaper::new();
        let exits = reaper.expect(fork(|| 7));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let status = runtime.block_on(async {
            let reap = async {
                while !reaper.is_childless().unwrap() {
                    reaper.reap().unwrap();
                    tokio::task::yield_now().await;
                }
            };
            tokio::join!(exits, reap).0
        });
        assert_eq!(status, Status::Exited(7));
    }

    #[test]
    fn one_call_is_bounded_and_says_that_there_is_more() {
        let reaper = Reaper::new();
        let count = BATCH + 10;
        let pids: Vec<_> = (0..count).map(|_| fork(|| 0)).collect();
        let is_zombie = |pid| super::super::process::look_up(pid).is_some_and(|found| found.zombie);
        while !pids.iter().all(|pid| is_zombie(*pid)) {
            std::thread::yield_now();
        }
        let mut ends = 0;
        let mut bounded = false;
        while ends < count {
            let reaped = reaper.reap().unwrap();
            assert!(reaped.changes.len() <= BATCH);
            bounded |= reaped.more;
            ends += reaped.changes.len();
        }
        assert!(bounded);
        assert!(reaper.is_childless().unwrap());
    }

    #[test]
    fn stops_and_continuations_are_told() {
        let reaper = Reaper::new();
        let pid = fork(|| die_by(libc::SIGSTOP));
        let told = || loop {
            if let [change] = reaper.reap().unwrap().changes[..] {
                assert_eq!(change.pid, pid);
                return change.status;
            }
            std::thread::yield_now();
        };
        assert_eq!(told(), Status::Stopped(libc::SIGSTOP));
        let fd = super::super::pidfd::open(pid).unwrap();
        assert!(super::super::pidfd::send(&fd, libc::SIGCONT).unwrap());
        assert_eq!(told(), Status::Continued);
        assert!(super::super::pidfd::send(&fd, libc::SIGKILL).unwrap());
        assert!(matches!(
            told(),
            Status::Killed {
                signal: libc::SIGKILL,
                ..
            }
        ));
        assert!(!super::super::pidfd::send(&fd, libc::SIGKILL).unwrap());
    }
}
