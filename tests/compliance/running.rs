//! An init that runs, and what its program says.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::inits::Position;
use crate::harness::{Place, children, deadline, descendants, wait_until};

/// What a wait for a line gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// The line.
    Is(String),
    /// Nothing came in time.
    None,
    /// Nobody holds the other end any more.
    Ended,
}

/// A started init, ended with everything that came of it when the case lets go of it.
pub struct Started {
    child: Child,
    position: Position,
    lines: Receiver<String>,
    place: Place,
}

impl Started {
    pub fn new(position: Position, words: &[String], place: Place) -> Self {
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(place.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", place.path())
            .env("TEST_PLACE", place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            position,
            lines,
            place,
        }
    }

    /// What was started: the init, or unshare(1) before it.
    pub fn outer(&self) -> i32 {
        self.child.id() as i32
    }

    /// The init's process id, as the test sees it.
    pub fn init(&self) -> i32 {
        match self.position {
            Position::Child => self.outer(),
            Position::Pid1 => first_child(self.outer()),
        }
    }

    /// The program's process id, as the test sees it: to be asked before orphans come to the init.
    pub fn program(&self) -> i32 {
        first_child(self.init())
    }

    /// The next line that has this in it.
    pub fn line(&self, text: &str, patience: Duration) -> Line {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return Line::Is(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Line::None,
                Err(RecvTimeoutError::Disconnected) => return Line::Ended,
            }
        }
    }

    /// The next line that has this in it, which must come.
    pub fn expect(&self, text: &str) -> String {
        match self.line(text, deadline()) {
            Line::Is(line) => line,
            other => panic!("no {text:?}: {other:?}"),
        }
    }

    /// Two lines that must come, in any order.
    pub fn expect_both(&self, texts: [&str; 2]) -> [String; 2] {
        let first = loop {
            let line = self.expect("");
            if texts.iter().any(|text| line.contains(text)) {
                break line;
            }
        };
        if first.contains(texts[0]) {
            let second = self.expect(texts[1]);
            return [first, second];
        }
        [self.expect(texts[0]), first]
    }

    /// Sends a signal to the init from a process that is neither it nor the program.
    pub fn send(&self, number: i32) {
        send(self.init(), number);
    }

    /// How it ended: its exit code, or `signal N`.
    pub fn end(&mut self, patience: Duration) -> Option<String> {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                let signal = || status.signal().map(|number| format!("signal {number}"));
                return status.code().map(|code| code.to_string()).or_else(signal);
            }
            if Instant::now() > until {
                return None;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// [`Started::end`] in the table's words.
    pub fn end_or_never(&mut self, patience: Duration) -> String {
        self.end(patience)
            .unwrap_or_else(|| "never ends".to_owned())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let mut pids = self.place.processes();
        if matches!(self.child.try_wait(), Ok(None)) {
            pids.extend(descendants(self.outer()));
            pids.push(self.outer());
        }
        for pid in pids {
            // It may have ended by itself meanwhile.
            send(pid, libc::SIGKILL);
        }
        self.child.wait().ok();
    }
}

/// Sends any signal, real-time ones too, which the crates' types do not have.
#[allow(unsafe_code)]
pub fn send(pid: i32, number: i32) {
    assert!(pid > 1, "never to a group, or to everybody");
    // SAFETY: the call takes two integers. One that ended meanwhile is no fault of the case.
    unsafe { libc::kill(pid, number) };
}

/// As [`send`], and waits where the kernel cannot queue more for this user: kill(2) would then send a
/// real-time signal that may be lost, sigqueue(3) does not.
#[allow(unsafe_code)]
pub fn queue(pid: i32, number: i32) {
    assert!(pid > 1, "never to a group, or to everybody");
    let value = libc::sigval {
        sival_ptr: std::ptr::null_mut(),
    };
    let sent = wait_until(|| {
        // SAFETY: the call takes numbers, and a pointer that nobody follows.
        let failed = unsafe { libc::sigqueue(pid, number, value) } != 0;
        let full = std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN);
        (!(failed && full)).then_some(())
    });
    assert!(sent.is_some(), "the kernel never queues it");
}

/// The state letter of proc_pid_stat(5); `None` when it is gone.
fn state(pid: i32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process is gone, or a zombie.
pub fn has_ended(pid: i32) -> bool {
    matches!(state(pid), None | Some('Z'))
}

/// Whether a process is stopped.
pub fn is_stopped(pid: i32) -> bool {
    state(pid) == Some('T')
}

/// Whether a signal waits for the process: `SigPnd` and `ShdPnd` of proc_pid_status(5).
fn is_pending(pid: i32, number: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let sets = status.lines().filter_map(|line| {
        line.strip_prefix("SigPnd:")
            .or(line.strip_prefix("ShdPnd:"))
    });
    let mut bits = sets.filter_map(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    bits.any(|bits| bits >> (number - 1) & 1 == 1)
}

/// Waits until a process has taken a signal, and what followed from it, and sleeps again.
pub fn wait_until_taken(pid: i32, number: i32) {
    let mut asleep = 0;
    let taken = wait_until(|| {
        let sleeps = !is_pending(pid, number) && state(pid) == Some('S');
        asleep = if sleeps { asleep + 1 } else { 0 };
        (asleep == 5).then_some(())
    });
    assert!(taken.is_some(), "the init never takes it");
}

/// Waits for a process's first child.
pub fn first_child(pid: i32) -> i32 {
    let found = wait_until(|| children(pid).first().copied());
    found.unwrap_or_else(|| panic!("process {pid} starts another"))
}
