//! A terminal of the program's own, pty(7), in front of the one that hushpipe was started on, so that
//! hushpipe reads what the program writes. As script(1) and ssh(1) do it.
//!
//! hushpipe becomes two processes. One stays what its shell knows: it has the keys, passes on what is typed,
//! and is stopped and continued with the program. The other leads a session on the new terminal, and goes on
//! with everything else: there it and the program are jobs as on any terminal.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Pid, Signal, Uid, WaitOptions, WaitStatus};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{self, OptionalActions, Termios};
use zeroize::Zeroizing;

use super::pipe::Reader;
use super::signals::{self, Signals};
use super::{process, stderr};

/// How often the keeper looks whether a shell has put it into the foreground: nothing else says so of a job
/// that was not stopped.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// So much is typed or pasted at once.
const PIECE: usize = 4096;

/// The program's terminal.
pub struct Pty {
    /// hushpipe's end.
    master: OwnedFd,
    /// The program's.
    program: OwnedFd,
}

impl Pty {
    /// Parts hushpipe in two, and comes back in the one that goes on. The other ends as this one does. To be
    /// called while there is one thread, and no secret.
    pub fn part() -> io::Result<Self> {
        let keeper = Keeper::new()?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        // By the descriptor: a mount namespace may have another /dev/pts.
        let program = ioctl_tiocgptpeer(&keeper.master, flags)?;
        let before = termios::tcgetattr(&keeper.outer)?;
        termios::tcsetattr(&program, OptionalActions::Now, &before)?;
        let parent = process::id();
        // SAFETY: no other thread is there that could hold a lock, so the child may do what it likes.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let pty = Self {
                    master: keeper.master,
                    program,
                };
                pty.lead_session(parent)?;
                Ok(pty)
            }
            child => {
                drop(program);
                keeper.keep(child)
            }
        }
    }

    fn lead_session(&self, parent: i32) -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(&self.program)?;
        let now = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        if now != parent {
            return Err(io::Error::other("hushpipe was killed at its start"));
        }
        signals::stop_for_keeper();
        stderr::on_raw_terminal();
        Ok(())
    }

    /// The program opens its terminal as this user.
    pub fn give_to(&self, uid: Option<u32>, gid: Option<u32>) {
        // So that it can open /dev/stdout. Where this is refused, it writes all the same.
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        fs::fchown(&self.program, uid, gid).ok();
    }

    /// What is written, and the program's end.
    pub fn ends(self) -> io::Result<(Reader, OwnedFd)> {
        Ok((Reader::of(self.master)?, self.program))
    }
}

/// The process that stays at the terminal.
struct Keeper {
    /// The terminal that controls its session.
    outer: OwnedFd,
    master: OwnedFd,
    /// How the terminal was before each key went to the program.
    before: Option<Termios>,
}

/// What is still to be passed on.
#[derive(Default)]
struct Typed {
    bytes: Zeroizing<Vec<u8>>,
    done: usize,
}

impl Keeper {
    fn new() -> io::Result<Self> {
        // A description of its own, as O_NONBLOCK would be the shell's as well.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let outer = fs::open("/dev/tty", flags, Mode::empty())?;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        let keeper = Self {
            outer,
            master,
            before: None,
        };
        keeper.resize();
        Ok(keeper)
    }

    /// Stays until the child has ended, and ends in the same way.
    fn keep(mut self, child: i32) -> ! {
        let ended = Pid::from_raw(child)
            .ok_or_else(|| io::Error::from(Errno::CHILD))
            .and_then(|child| self.stay(child));
        self.release();
        match ended {
            Ok(End::Code(code)) => std::process::exit(code),
            Ok(End::Signal(signal)) => {
                signals::end_by(signal);
                std::process::exit(128 + signal)
            }
            // The child ends with this process.
            Err(error) => {
                stderr::write(format!("hushpipe: error: at the terminal: {error}\n").as_bytes());
                stderr::finish(Duration::from_secs(1));
                std::process::exit(71)
            }
        }
    }

    fn stay(&mut self, child: Pid) -> io::Result<End> {
        let received = Signals::block_all()?;
        let mut typed = Typed::default();
        loop {
            let engaged = self.engage();
            self.wait(&received, engaged, &typed)?;
            for received in received.take()? {
                if let Some(end) = self.signal(received.signal, child)? {
                    return Ok(end);
                }
            }
            if engaged {
                self.pass_on(&mut typed)?;
            }
        }
    }

    fn wait(&self, signals: &Signals, engaged: bool, typed: &Typed) -> io::Result<()> {
        let signals = signals.source()?;
        let mut all = vec![PollFd::new(&signals, PollFlags::IN)];
        if !typed.is_empty() {
            all.push(PollFd::new(&self.master, PollFlags::OUT));
        } else if engaged {
            all.push(PollFd::new(&self.outer, PollFlags::IN));
        }
        match poll(&mut all, (!engaged).then_some(&LOOK)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn signal(&mut self, signal: i32, child: Pid) -> io::Result<Option<End>> {
        match signal {
            libc::SIGCHLD => return self.child(child),
            libc::SIGWINCH => self.resize(),
            libc::SIGTTIN | libc::SIGTTOU | libc::SIGPIPE => {}
            _ if Signals::ignored_by_caller(signal) && signal != libc::SIGCONT => {}
            _ => send(child, signal),
        }
        Ok(None)
    }

    /// The child stops when the program has stopped.
    fn child(&mut self, child: Pid) -> io::Result<Option<End>> {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED;
        // Others are orphans that came to the init of a container.
        while let Some((pid, status)) = waited(options)? {
            if pid != child {
                continue;
            }
            if let Some(end) = End::of(status) {
                return Ok(Some(end));
            }
            self.release();
            signals::suspend(libc::SIGTSTP)?;
            self.engage();
            send(child, libc::SIGCONT);
        }
        Ok(None)
    }

    /// The program's terminal gets the size of this one; the kernel sends SIGWINCH there.
    fn resize(&self) {
        if let Ok(size) = termios::tcgetwinsize(&self.outer) {
            termios::tcsetwinsize(&self.master, size).ok();
        }
    }

    /// Whether each key goes to the program: when this process's group is in the foreground.
    fn engage(&mut self) -> bool {
        if !self.is_foreground() {
            self.before = None;
            return false;
        }
        if self.before.is_none()
            && let Ok(now) = termios::tcgetattr(&self.outer)
        {
            let mut raw = now.clone();
            raw.make_raw();
            if termios::tcsetattr(&self.outer, OptionalActions::Now, &raw).is_ok() {
                self.before = Some(now);
                self.resize();
            }
        }
        self.before.is_some()
    }

    fn release(&mut self) {
        // In the background it is another's by now, and SIGTTOU is blocked: it would be changed.
        if let Some(before) = self.before.take()
            && self.is_foreground()
        {
            // What was written so far is shown as it was meant.
            termios::tcsetattr(&self.outer, OptionalActions::Drain, &before).ok();
        }
    }

    fn is_foreground(&self) -> bool {
        termios::tcgetpgrp(&self.outer)
            .is_ok_and(|group| group.as_raw_nonzero().get() == process::group())
    }

    fn pass_on(&mut self, typed: &mut Typed) -> io::Result<()> {
        if typed.is_empty() {
            typed.done = 0;
            typed.bytes.resize(PIECE, 0);
            let read = rustix::io::read(&self.outer, &mut typed.bytes[..]);
            typed.bytes.truncate(*read.as_ref().unwrap_or(&0));
            match read {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                // Another group has the terminal, or it has hung up, of which SIGHUP tells as well.
                Err(Errno::IO) => std::thread::sleep(Duration::from_millis(20)),
                Err(errno) => return Err(errno.into()),
            }
        }
        if !typed.is_empty() {
            match rustix::io::write(&self.master, &typed.bytes[typed.done..]) {
                Ok(count) => typed.done += count,
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Nobody has the program's terminal any more.
                Err(Errno::IO) => typed.done = typed.bytes.len(),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

impl Typed {
    fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }
}

fn send(child: Pid, signal: i32) {
    // SAFETY: kill(2) takes any number; a child that has ended is waited for, and keeps its own until then.
    unsafe { libc::kill(child.as_raw_nonzero().get(), signal) };
}

fn waited(options: WaitOptions) -> io::Result<Option<(Pid, WaitStatus)>> {
    match rustix::process::wait(options) {
        Err(Errno::CHILD) => Ok(None),
        other => Ok(other?),
    }
}

/// How the child ended.
enum End {
    Code(i32),
    Signal(i32),
}

impl End {
    fn of(status: WaitStatus) -> Option<Self> {
        let code = status.exit_status().map(Self::Code);
        code.or_else(|| status.terminating_signal().map(Self::Signal))
    }
}
