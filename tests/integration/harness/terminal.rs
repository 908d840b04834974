//! Programs on a terminal, as a person at the keyboard has them.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use super::{Place, deadline, wait_until};

/// A program on a terminal of its own.
pub struct Terminal {
    master: Option<File>,
    output: Receiver<Vec<u8>>,
    seen: String,
    /// The group that had the terminal before the last suspension.
    foreground: Option<nix::unistd::Pid>,
    /// Everything so far, for the message when a text does not come.
    all: String,
    pub child: Child,
    pub place: Place,
}

pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const CTRL_Z: &str = "\x1a";

impl Terminal {
    /// Starts a program as the leader of a session with a terminal. The place has a manifest whose
    /// program is cat(1).
    pub fn of(command: &[&str]) -> Self {
        let place = Place::new();
        place.write(
            "hushpipe.yaml",
            "version: 1\nservice: test\nrun: { command: [cat] }\n",
        );
        Self::within(place, command)
    }

    /// As [`Terminal::of`], in this place.
    pub fn within(place: Place, command: &[&str]) -> Self {
        let pty = nix::pty::openpty(None, None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Command::new("setsid")
            .args(["--wait", "--ctty"])
            .args(command)
            .current_dir(place.path())
            .env("PS1", "PROMPT> ")
            .env("H", concat!(env!("CARGO_BIN_EXE_hushpipe"), " run --"))
            .env("TEST_PLACE", place.path())
            .env("HOME", place.path())
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let master = File::from(pty.master);
        let mut reader = master.try_clone().unwrap();
        let (send, output) = channel();
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut part) {
                if send.send(part[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let master = Some(master);
        let seen = String::new();
        Self {
            master,
            output,
            seen,
            foreground: None,
            all: String::new(),
            child,
            place,
        }
    }

    /// An interactive bash. What is typed is not shown again.
    pub fn shell() -> Self {
        let mut shell = Self::of(&["bash", "--norc", "--noediting", "-i"]);
        shell.expect("PROMPT> ");
        shell.run("stty -echo");
        shell
    }

    pub fn send(&mut self, text: &str) {
        self.master
            .as_mut()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    pub fn line(&mut self, text: &str) {
        self.send(text);
        self.send("\n");
    }

    /// Changes the window's size: its programs get SIGWINCH.
    pub fn resize(&self, lines: u16, columns: u16) {
        let size = rustix::termios::Winsize {
            ws_row: lines,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(self.master.as_ref().unwrap(), size).unwrap();
    }

    /// The process of this name that the terminal's first program has started.
    pub fn program(&self, name: &str) -> nix::unistd::Pid {
        let is_it = |pid: &i32| {
            let comm = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            comm.is_ok_and(|comm| comm.trim_end() == name)
        };
        let all = || super::descendants(self.child.id() as i32);
        let found = wait_until(|| all().into_iter().find(is_it));
        nix::unistd::Pid::from_raw(found.unwrap_or_else(|| panic!("no {name}: {:?}", self.all)))
    }

    /// Everything that was shown so far.
    pub fn all(&self) -> &str {
        &self.all
    }

    /// Waits for the end, and gives the exit code.
    pub fn ends(&mut self) -> Option<i32> {
        wait_until(|| self.child.try_wait().unwrap())
            .unwrap_or_else(|| panic!("no end after {:?}", self.all))
            .code()
    }

    /// A command that ends, or goes to the background.
    pub fn run(&mut self, command: &str) {
        self.line(command);
        self.expect("PROMPT> ");
    }

    /// Waits for a text after the last one waited for.
    pub fn expect(&mut self, text: &str) {
        let until = Instant::now() + deadline();
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(part) => {
                    let part = String::from_utf8_lossy(&part);
                    self.seen.push_str(&part);
                    self.all.push_str(&part);
                }
                Err(error) => panic!(
                    "no {text:?}, {error}, but {:?} after {:?}",
                    self.seen, self.all
                ),
            }
        }
    }

    /// The exit code of the last command in the shell.
    pub fn expect_code(&mut self, code: u8) {
        self.line("echo code=$?.");
        self.expect(&format!("code={code}."));
        self.expect("PROMPT> ");
    }

    /// Stops the job, and says so.
    pub fn suspend(&mut self) {
        self.foreground = self.foreground_now();
        self.send(CTRL_Z);
        self.expect("Stopped");
        self.expect("PROMPT> ");
    }

    /// Continues the job that was suspended last, and waits until it has the terminal again: what is
    /// typed before goes to the shell.
    pub fn resume(&mut self) {
        self.line("fg");
        let resumed = wait_until(|| (self.foreground_now() == self.foreground).then_some(()));
        assert!(resumed.is_some(), "no foreground after {:?}", self.all);
    }

    pub fn foreground_now(&self) -> Option<nix::unistd::Pid> {
        nix::unistd::tcgetpgrp(self.master.as_ref().unwrap()).ok()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Hangs up.
        self.master = None;
        for pid in crate::harness::descendants(self.child.id() as i32) {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
        assert!(self.place.path().is_dir());
    }
}
