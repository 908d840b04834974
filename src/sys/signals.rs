//! Signals as file events: all of them blocked, and received through one signalfd(2) that says who
//! sent them.
//!
//! What was ignored or blocked when hushpipe was started was meant for the program, as with nohup(1)
//! and with `&` in a script: execve(2) hands both on, and [`hand_on`] sees to it that nothing of
//! hushpipe's own goes with them.

use std::collections::VecDeque;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How many signals one read(2) takes at the most.
const BATCH: usize = 16;

/// A signal that hushpipe got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// The sender's process id; 0 when it is the kernel or outside of the PID namespace.
    pub sender: i32,
    /// `si_code` of sigaction(2).
    pub code: i32,
}

impl Received {
    /// Whether the kernel made it, as a terminal does at Ctrl-C.
    pub const fn from_kernel(&self) -> bool {
        self.code == libc::SI_KERNEL
    }

    /// Whether hushpipe made it: a write into a closed pipe sends SIGPIPE to the writer.
    pub fn from_self(&self) -> bool {
        !self.from_kernel() && self.sender == super::process::id()
    }
}

/// Which signals are blocked: sigprocmask(2).
#[derive(Clone, Copy)]
pub struct Mask(libc::sigset_t);

impl Mask {
    /// None of them.
    pub fn empty() -> Self {
        Self(empty_set())
    }

    /// These.
    #[cfg(test)]
    pub fn of(signals: &[i32]) -> Self {
        let mut mask = Self::empty();
        for signal in signals {
            // SAFETY: the set is initialised.
            check(unsafe { libc::sigaddset(&raw mut mask.0, *signal) }).unwrap();
        }
        mask
    }

    /// As the kernel has them: bit N-1 is signal N.
    pub(super) fn bits(&self) -> u64 {
        (1..=64_i32).fold(0, |bits, signal| {
            // SAFETY: the set is initialised; a number that the C library keeps for itself is an error.
            let is_in = unsafe { libc::sigismember(&raw const self.0, signal) } == 1;
            bits | u64::from(is_in) << (signal - 1)
        })
    }

    fn set(&self) -> io::Result<()> {
        // SAFETY: the set is initialised; no old set is asked for.
        check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) })
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // SAFETY: the set is initialised.
        let is_in = |signal: &i32| unsafe { libc::sigismember(&raw const self.0, *signal) == 1 };
        f.debug_set().entries((1..=64).filter(is_in)).finish()
    }
}

/// Whether SIGPIPE was ignored when hushpipe was started, as systemd starts services.
static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// Rust's start-up and [`super::entry`] ignore SIGPIPE before anything else. So it is looked at before:
/// System V ABI, "Initialization and Termination Functions".
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look_at_pipe;

extern "C" fn look_at_pipe() {
    PIPE_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
}

/// A write into a closed pipe is an error, and ends nothing.
pub(super) fn ignore_pipe() {
    // SAFETY: no handler is installed, and no other thread runs yet. It cannot fail for this signal.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// For right before execve(2): leaves to the program what hushpipe's caller ignored, and nothing
/// that hushpipe or Rust ignores; then sets the mask. A signal that came meanwhile and is not
/// blocked takes effect now. Makes system calls alone.
///
/// Handlers become defaults by themselves. SIGCHLD is never handed on as ignored: POSIX leaves it
/// open, and a program could not wait for its children.
pub fn hand_on(mask: &Mask) -> io::Result<()> {
    hand_dispositions_on()?;
    mask.set()
}

/// As [`hand_on`], for a program whose mask its tracer sets.
pub(super) fn hand_dispositions_on() -> io::Result<()> {
    if !PIPE_IGNORED.load(Ordering::Relaxed) {
        set_default(libc::SIGPIPE)?;
    }
    set_default(libc::SIGCHLD)
}

/// The receiving end of all signals. There is to be one, made before any thread.
pub struct Signals {
    fd: Source,
    pending: VecDeque<Received>,
    original: Mask,
}

/// The descriptor, before and after a runtime knows of it.
enum Source {
    Plain(OwnedFd),
    Registered(AsyncFd<OwnedFd>),
    Failed,
}

impl Signals {
    /// Blocks every signal and receives them from now on. True faults (SIGSEGV and the like) end the
    /// process all the same: the kernel forces those that are blocked. SIGCHLD is set to its default,
    /// for one who ignores it never gets to know how a child ended.
    pub fn block_all() -> io::Result<Self> {
        set_default(libc::SIGCHLD)?;
        let all = full_set();
        let mut original = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: both point to signal sets of this frame; the call fills `original` when it gives 0.
        let original = unsafe {
            check(libc::sigprocmask(
                libc::SIG_SETMASK,
                &raw const all,
                original.as_mut_ptr(),
            ))?;
            original.assume_init()
        };
        // SAFETY: `all` is an initialised set; the descriptor given is new and nobody else's.
        let fd = unsafe {
            let fd = libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            check(fd)?;
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self {
            fd: Source::Plain(fd),
            pending: VecDeque::new(),
            original: Mask(original),
        })
    }

    /// Whether whoever started hushpipe had this signal ignored, as nohup(1) does with SIGHUP. The
    /// dispositions still are the caller's, but for SIGCHLD and Rust's SIGPIPE: so they are asked
    /// when a signal comes, not all of them at every start.
    pub fn ignored_by_caller(signal: i32) -> bool {
        match signal {
            libc::SIGPIPE => PIPE_IGNORED.load(Ordering::Relaxed),
            signal => is_ignored(signal),
        }
    }

    /// What was blocked when hushpipe was started.
    pub const fn callers_mask(&self) -> Mask {
        self.original
    }

    /// Whether a SIGCONT has come that [`Signals::next`] did not give yet. To stop now would take it
    /// back, and nobody would send another.
    pub fn is_continued(&self) -> io::Result<bool> {
        let taken = self
            .pending
            .iter()
            .any(|received| received.signal == libc::SIGCONT);
        Ok(taken || is_pending(libc::SIGCONT)?)
    }

    /// Those that have come, without waiting, in a process without a runtime.
    pub fn take(&self) -> io::Result<Vec<Received>> {
        match read(self.plain()?) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            read => read,
        }
    }

    /// What is readable when one has come, in a process without a runtime.
    pub fn source(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.plain()?.as_fd())
    }

    fn plain(&self) -> io::Result<&OwnedFd> {
        match &self.fd {
            Source::Plain(fd) => Ok(fd),
            Source::Registered(_) | Source::Failed => {
                Err(io::Error::other("the signals are those of an event loop"))
            }
        }
    }

    /// Waits for the next signal. Can be dropped and called again without losing any. Must be called
    /// within a tokio runtime with I/O, always the same.
    pub async fn next(&mut self) -> io::Result<Received> {
        loop {
            if let Some(received) = self.pending.pop_front() {
                return Ok(received);
            }
            let fd = self.fd.registered()?;
            let mut ready = fd.readable().await?;
            match read(ready.get_inner()) {
                Ok(batch) => self.pending.extend(batch),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Source {
    fn registered(&mut self) -> io::Result<&AsyncFd<OwnedFd>> {
        if let Self::Plain(_) = self
            && let Self::Plain(fd) = std::mem::replace(self, Self::Failed)
        {
            // SAFETY: the descriptor is owned by the registration, which leaves epoll before it closes
            // it; nothing else takes it out of epoll.
            let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
            *self = Self::Registered(fd?);
        }
        match self {
            Self::Registered(fd) => Ok(fd),
            Self::Plain(_) | Self::Failed => Err(io::Error::other(
                "the signals could not be registered with the event loop",
            )),
        }
    }
}

/// Set for the process that its parent, at the terminal, is stopped and continued with.
static KEPT: AtomicBool = AtomicBool::new(false);

/// From now on hushpipe stops where its parent sees that, and continues it: [`super::pty`]. It leads a
/// session, in which the kernel stops it by SIGSTOP alone.
pub fn stop_for_keeper() {
    KEPT.store(true, Ordering::Relaxed);
}

/// Suspends hushpipe as the signal (SIGTSTP, SIGTTIN, SIGTTOU or SIGSTOP) does by default, and
/// returns when it was continued: `true`. `false`: the kernel did not stop it, for it is PID 1, or in
/// an orphaned process group that no shell would continue.
pub fn suspend(signal: i32) -> io::Result<bool> {
    let signal = if KEPT.load(Ordering::Relaxed) {
        libc::SIGSTOP
    } else {
        signal
    };
    if signal == libc::SIGSTOP || !is_ignored(signal) {
        return stop(signal);
    }
    set_default(signal)?;
    let stopped = stop(signal);
    set(signal, libc::SIG_IGN)?;
    stopped
}

fn stop(signal: i32) -> io::Result<bool> {
    // SAFETY: raise takes any number; a wrong one is an error.
    check(unsafe { libc::raise(signal) })?;
    let mut set = empty_set();
    // SAFETY: `set` is an initialised set of this frame; no old set is asked for. While the signal
    // is unblocked the process stops.
    unsafe {
        check(libc::sigaddset(&raw mut set, signal))?;
        check(libc::sigprocmask(
            libc::SIG_UNBLOCK,
            &raw const set,
            ptr::null_mut(),
        ))?;
        check(libc::sigprocmask(
            libc::SIG_BLOCK,
            &raw const set,
            ptr::null_mut(),
        ))?;
    }
    // To send a stop signal takes a pending SIGCONT back: one that is pending now is what woke us.
    is_pending(libc::SIGCONT)
}

fn is_pending(signal: i32) -> io::Result<bool> {
    let mut set = empty_set();
    // SAFETY: `set` is an initialised set of this frame.
    unsafe {
        check(libc::sigpending(&raw mut set))?;
        Ok(libc::sigismember(&raw const set, signal) == 1)
    }
}

fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only fills `action`, which is read when it gave 0.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

fn set_default(signal: i32) -> io::Result<()> {
    set(signal, libc::SIG_DFL)
}

/// SIG_DFL or SIG_IGN.
fn set(signal: i32, disposition: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: zero is a valid sigaction: no flags, an empty mask, SIG_DFL. No handler is installed.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = disposition;
        check(libc::sigaction(signal, &raw const action, ptr::null_mut()))
    }
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set; it cannot fail with a valid pointer.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set; it cannot fail with a valid pointer.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn read(fd: &OwnedFd) -> io::Result<Vec<Received>> {
    const SIZE: usize = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the structure is of integers alone, for which zero is a value.
    let mut buffer: [libc::signalfd_siginfo; BATCH] = unsafe { std::mem::zeroed() };
    // SAFETY: the buffer is writable for the length given.
    let length = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), BATCH * SIZE) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    Ok(buffer[..length / SIZE]
        .iter()
        .map(|info| Received {
            signal: info.ssi_signo as i32,
            sender: info.ssi_pid as i32,
            code: info.ssi_code,
        })
        .collect())
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Ends this process by a signal, whatever was done to it before. Comes back only where the kernel
/// refuses: the init of a PID namespace cannot end itself, and some signals end nothing.
pub fn end_by(signal: i32) {
    // SAFETY: plain calls on sets and actions of ours; the default action needs no handler.
    unsafe {
        let mut only: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut only);
        libc::sigaddset(&raw mut only, signal);
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const only, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::super::child::tests::in_a_process_of_its_own;
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    /// Signals of the test's own thread, so that others do not get them.
    fn raise(signal: i32) {
        // SAFETY: raise takes any number.
        check(unsafe { libc::raise(signal) }).unwrap();
    }

    #[test]
    fn signals_from_before_the_runtime_are_kept_and_come_with_their_sender() {
        let mut signals = Signals::block_all().unwrap();
        raise(libc::SIGUSR2);
        raise(libc::SIGSEGV);
        raise(libc::SIGRTMAX());
        raise(libc::SIGRTMAX());
        runtime().block_on(async {
            let mut seen = Vec::new();
            for _ in 0..4 {
                let received = signals.next().await.unwrap();
                assert!(
                    received.from_self() && !received.from_kernel(),
                    "{received:?}"
                );
                seen.push(received.signal);
            }
            let rt = libc::SIGRTMAX();
            assert_eq!(seen, [libc::SIGSEGV, libc::SIGUSR2, rt, rt]);
        });
        signals.callers_mask().set().unwrap();
    }

    #[test]
    fn a_write_into_a_closed_pipe_is_known_to_be_our_own() {
        let mut signals = Signals::block_all().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        assert_eq!(
            rustix::io::write(&writer, b"x"),
            Err(rustix::io::Errno::PIPE)
        );
        let received = runtime().block_on(signals.next()).unwrap();
        assert_eq!(received.signal, libc::SIGPIPE);
        assert!(received.from_self());
    }

    #[test]
    fn the_callers_mask_comes_back() {
        Mask::of(&[libc::SIGURG]).set().unwrap();
        let mut after = empty_set();
        let mask = Signals::block_all().unwrap().callers_mask();
        assert_eq!(format!("{mask:?}"), format!("{{{}}}", libc::SIGURG));
        mask.set().unwrap();
        // SAFETY: a set of this frame; the mask itself is not changed.
        let blocked = unsafe {
            libc::sigprocmask(libc::SIG_BLOCK, ptr::null(), &raw mut after);
            (1..=31)
                .filter(|n| libc::sigismember(&raw const after, *n) == 1)
                .collect::<Vec<_>>()
        };
        assert_eq!(blocked, [libc::SIGURG]);
    }

    #[test]
    fn a_stop_signal_that_the_caller_ignored_is_ignored_again_after_the_suspension() {
        let code = in_a_process_of_its_own(|| {
            // In a session of its own nobody would continue it, so the kernel does not stop it.
            rustix::process::setsid().unwrap();
            set(libc::SIGTSTP, libc::SIG_IGN).unwrap();
            let slept = suspend(libc::SIGTSTP).unwrap();
            i32::from(slept) + 2 * i32::from(!is_ignored(libc::SIGTSTP))
        });
        assert_eq!(code, 0);
    }
}
