//! A terminal that can hang up: the case alone holds its other end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;

use crate::harness::{Place, deadline, descendants};

use super::running::send;

pub const CTRL_C: &str = "\x03";
pub const CTRL_Z: &str = "\x1a";

/// A program that leads a session with this terminal.
pub struct Screen {
    master: Option<PtyMaster>,
    seen: String,
    child: Child,
    place: Place,
}

impl Screen {
    /// Starts it; `$I` is the init with its arguments, for a shell.
    pub fn of(words: &[&str], init: &[String], place: Place) -> Self {
        let leading = [&["setsid", "--wait", "--ctty"], words].concat();
        Self::beside(&leading, init, place)
    }

    /// The same, but what is started takes the terminal itself.
    pub fn beside(words: &[&str], init: &[String], place: Place) -> Self {
        let (master, slave) = terminal().expect("a terminal");
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(place.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", place.path())
            .env("TEST_PLACE", place.path())
            .env("TERM", "dumb")
            .env("PS1", "PROMPT> ")
            .env("I", init.join(" "))
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("setsid(1) is there");
        Self {
            master: Some(master),
            seen: String::new(),
            child,
            place,
        }
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What was started; where it leads the session, setsid(1) has become it.
    pub fn leader(&self) -> i32 {
        self.child.id() as i32
    }

    fn master(&self) -> &PtyMaster {
        self.master.as_ref().expect("it has not hung up")
    }

    pub fn send(&self, text: &str) {
        nix::unistd::write(self.master(), text.as_bytes()).expect("the terminal takes it");
    }

    /// The terminal goes away.
    pub fn hang_up(&mut self) {
        self.master = None;
    }

    /// Which group is in its foreground.
    pub fn foreground(&self) -> i32 {
        nix::unistd::tcgetpgrp(self.master()).map_or(0, nix::unistd::Pid::as_raw)
    }

    /// Whether this is shown in time, after what was waited for last.
    pub fn shows(&mut self, text: &str, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.read(left).is_err() {
                return false;
            }
        }
    }

    /// As [`Screen::shows`], and it must be.
    pub fn expect(&mut self, text: &str) {
        let shown = self.shows(text, deadline());
        assert!(shown, "no {text:?} in {:?}", self.seen);
    }

    /// What comes before this, which must come.
    pub fn read_until(&mut self, text: &str, patience: Duration) -> String {
        let until = Instant::now() + patience;
        loop {
            if let Some(at) = self.seen.find(text) {
                return self.seen.drain(..at + text.len()).collect();
            }
            let left = until.saturating_duration_since(Instant::now());
            let read = self.read(left);
            assert!(
                !left.is_zero() && read.is_ok(),
                "no {text:?} in {:?}",
                self.seen
            );
        }
    }

    fn read(&mut self, patience: Duration) -> io::Result<()> {
        let mut part = [0; 4096];
        let limit = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.master().as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, limit)? == 0 {
            return Ok(());
        }
        let count = nix::unistd::read(self.master(), &mut part)?;
        self.seen.push_str(&String::from_utf8_lossy(&part[..count]));
        Ok(())
    }

    /// The exit code of what leads the session, or that it never ends.
    pub fn end_or_never(&mut self, patience: Duration) -> String {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                return status
                    .code()
                    .map_or("a signal".to_owned(), |code| code.to_string());
            }
            if Instant::now() > until {
                return "never ends".to_owned();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Both ends; neither goes to what others start meanwhile, which would keep it from hanging up.
fn terminal() -> nix::Result<(PtyMaster, OwnedFd)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = nix::fcntl::open(ptsname_r(&master)?.as_str(), flags, Mode::empty())?;
    Ok((master, slave))
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut pids = self.place.processes();
        if matches!(self.child.try_wait(), Ok(None)) {
            pids.extend(descendants(self.leader()));
            pids.push(self.leader());
        }
        for pid in pids {
            send(pid, libc::SIGKILL);
        }
        self.child.wait().ok();
    }
}
