//! A hushpipe that runs.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::processes::{self, children, descendants};
use super::{Output, Place, deadline, untold, wait_until};

/// A started hushpipe, ended with everything it started when the test lets go of it.
pub struct Running {
    child: Child,
    stdout: Stream,
    stderr: Stream,
    /// Taken by `wait`.
    place: Option<Place>,
}

impl Running {
    pub(super) fn new(mut child: Child, place: Place, stdin: Option<Vec<u8>>) -> Self {
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), stdin) {
            // hushpipe may end before it has read all: that is the test's to judge.
            thread::spawn(move || pipe.write_all(&bytes));
        }
        Self {
            stdout: Stream::read(child.stdout.take().expect("stdout is a pipe")),
            stderr: Stream::read(child.stderr.take().expect("stderr is a pipe")),
            child,
            place: Some(place),
        }
    }

    /// The test's place.
    pub fn place(&self) -> &Place {
        self.place.as_ref().expect("only wait() takes it")
    }

    /// The process id of what was started: hushpipe, or the program that it was started through.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The process id of hushpipe's program: waits for hushpipe's first child.
    pub fn program(&self) -> i32 {
        self.until("the program is started", || {
            children(self.pid()).first().copied()
        })
    }

    /// Waits until a closure gives something.
    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        wait_until(look).unwrap_or_else(|| self.fail(what))
    }

    fn fail(&self, what: &str) -> ! {
        panic!(
            "not there within {:?}, or it ended before: {what}\n--- stdout\n{}\n--- stderr\n{}\n---",
            deadline(),
            self.stdout.text(),
            self.stderr.text()
        )
    }

    /// Waits for a line on standard output that has this in it, after the last one waited for.
    /// Gives the line.
    pub fn wait_for_line(&self, text: &str) -> String {
        self.line_of(&self.stdout, text)
    }

    /// As [`Running::wait_for_line`], on standard error.
    pub fn wait_for_stderr(&self, text: &str) -> String {
        self.line_of(&self.stderr, text)
    }

    fn line_of(&self, stream: &Stream, text: &str) -> String {
        stream
            .line_with(text)
            .unwrap_or_else(|| self.fail(&format!("a line with {text:?}")))
    }

    /// All of standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// All of standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Asks it over its control socket, as its user would: `["rotate", "db"]`. Needs
    /// [`Hushpipe::controlled`](super::Hushpipe::controlled).
    pub fn ask(&self, words: &[&str]) -> std::process::Output {
        let socket = format!("runtime/hushpipe/{}.sock", self.pid());
        let socket = self.place().join(&socket);
        self.until("the control socket is there", || {
            socket.exists().then_some(())
        });
        let hushpipe = self
            .place()
            .bring(env!("CARGO_BIN_EXE_hushpipe"), "hushpipe");
        let output = std::process::Command::new(hushpipe)
            .args(words)
            .arg("--socket")
            .arg(socket)
            .output()
            .expect("hushpipe can be started");
        for stream in [&output.stdout, &output.stderr] {
            untold::check("its control socket", stream);
        }
        output
    }

    /// Has it ask its stores now; gives nothing back before the program has what is new.
    pub fn rotate(&self, secret: &str) {
        let output = self.ask(&["rotate", secret]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", self.stderr());
    }

    /// What `status --json` says of it.
    pub fn status(&self) -> serde_json::Value {
        let output = self.ask(&["status", "--json"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", self.stderr());
        serde_json::from_slice(&output.stdout).expect("it is JSON")
    }

    /// Sends a signal to what was started.
    pub fn signal(&self, signal: Signal) {
        self.signal_to(self.pid(), signal);
    }

    /// Whether a signal was sent to it that it has not taken yet: proc_pid_status(5).
    pub fn is_pending(&self, signal: Signal) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("it runs, or nobody has waited for it");
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        let pending = pending.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
        pending.expect("the kernel tells") & (1 << (signal as u64 - 1)) != 0
    }

    /// Sends a signal to any process.
    pub fn signal_to(&self, pid: i32, signal: Signal) {
        signal::kill(Pid::from_raw(pid), signal)
            .unwrap_or_else(|error| self.fail(&format!("{signal} to {pid}: {error}")));
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child")
    }

    /// Waits for its end, and for the end of both streams (a descendant that was left running
    /// keeps them open: then only what came so far is given).
    pub fn wait(mut self) -> Output {
        let Some(status) = wait_until(|| self.try_wait()) else {
            self.fail("hushpipe ends")
        };
        let started = Instant::now();
        for stream in [&mut self.stdout, &mut self.stderr] {
            stream.finish(started);
        }
        untold::check("its standard error", &self.stderr.bytes());
        Output {
            status,
            stdout: self.stdout.bytes(),
            stderr: self.stderr.bytes(),
            place: self.place.take().expect("only wait() takes it"),
        }
    }

    /// Asks it to end by SIGTERM and waits.
    pub fn stop(self) -> Output {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Running {
    /// Ends it and every process that came of it, each by its own id.
    fn drop(&mut self) {
        let place = self.place.as_ref().map(Place::path);
        let mut pids = place.map(processes::marked).unwrap_or_default();
        if matches!(self.child.try_wait(), Ok(None)) {
            pids.extend(descendants(self.pid()));
            pids.push(self.pid());
        }
        for pid in pids {
            // It may have ended by itself meanwhile.
            signal::kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        self.child.wait().map(ExitStatusExt::into_raw).ok();
        // A test that has failed says why: one panic is enough.
        if !thread::panicking() {
            untold::check("its standard error", &self.stderr.bytes());
        }
    }
}

/// What came from a pipe so far.
struct Stream {
    shared: Arc<(Mutex<Received>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    /// Where the next wait for a line starts.
    seen: usize,
    ended: bool,
}

impl Stream {
    fn read(mut pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Received::default()), Condvar::new()));
        let (lock, changed) = (Arc::clone(&shared), Arc::clone(&shared));
        let reader = thread::spawn(move || {
            let mut part = [0; 4096];
            loop {
                let count = pipe.read(&mut part).unwrap_or(0);
                let mut received = lock.0.lock().expect("no holder panics");
                received.bytes.extend_from_slice(&part[..count]);
                received.ended = count == 0;
                changed.1.notify_all();
                if count == 0 {
                    break;
                }
            }
        });
        Self {
            shared,
            reader: Some(reader),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.shared
            .0
            .lock()
            .expect("no holder panics")
            .bytes
            .clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The next whole line that has a text; `None` when the deadline passes or the stream ends.
    fn line_with(&self, text: &str) -> Option<String> {
        let until = Instant::now() + deadline();
        let mut received = self.shared.0.lock().expect("no holder panics");
        loop {
            let ended = received.ended;
            if let Some(line) = received.next_line_with(text) {
                return Some(line);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || ended {
                return None;
            }
            received = self
                .shared
                .1
                .wait_timeout(received, left)
                .expect("no holder panics")
                .0;
        }
    }

    /// Waits for the end of the stream, but no longer than a second after `since`.
    fn finish(&mut self, since: Instant) {
        let limit = std::time::Duration::from_secs(1);
        let mut received = self.shared.0.lock().expect("no holder panics");
        while !received.ended && since.elapsed() < limit {
            let left = limit.saturating_sub(since.elapsed());
            received = self
                .shared
                .1
                .wait_timeout(received, left)
                .expect("no holder panics")
                .0;
        }
        if received.ended {
            drop(received);
            let reader = self.reader.take().expect("only finish() takes it");
            reader.join().expect("the reader does not panic");
        }
    }
}

impl Received {
    fn next_line_with(&mut self, text: &str) -> Option<String> {
        let mut at = self.seen;
        while let Some(length) = self.bytes[at..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.bytes[at..at + length]).into_owned();
            at += length + 1;
            if line.contains(text) {
                self.seen = at;
                return Some(line);
            }
        }
        None
    }
}
