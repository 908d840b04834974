//! Standard error of a process that supervises: written without waiting for whoever reads it. A log
//! driver that hangs, a pager or a terminal after Ctrl-S must not stop an init ([`super::outlet`]).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::sync::Notify;

use super::outlet::{Outlet, Standard};

/// So many bytes wait at most: the capacity of a pipe, pipe(7).
const MOST: usize = 64 * 1024;

/// How often pending lines are tried again.
const EVERY: Duration = Duration::from_millis(100);

static OUTBOX: Mutex<Outbox> = Mutex::new(Outbox::new());
static RAW: AtomicBool = AtomicBool::new(false);
static PENDING: Notify = Notify::const_new();

/// What could not be written yet.
struct Outbox {
    outlet: Option<Outlet>,
    bytes: VecDeque<u8>,
    dropped: u64,
}

/// Writes these lines, now or later, in order. Lines that there is no room for are dropped and counted.
/// A closed standard error takes everything and shows nothing.
pub fn write(lines: &[u8]) {
    let returned;
    let lines = if RAW.load(Ordering::Relaxed) {
        returned = with_returns(lines);
        &returned
    } else {
        lines
    };
    let mut outbox = outbox();
    outbox.flush();
    let done = if outbox.bytes.is_empty() {
        outbox.attempt(lines)
    } else {
        0
    };
    outbox.keep(&lines[done..], done > 0);
    if !outbox.bytes.is_empty() {
        PENDING.notify_one();
    }
}

/// Another process has the terminal so that a line feed moves straight down: [`super::pty`].
pub fn on_raw_terminal() {
    RAW.store(Standard::Error.is_terminal(), Ordering::Relaxed);
}

/// How many writes were dropped since this was last asked, once those before them are written.
pub fn dropped() -> u64 {
    let mut outbox = outbox();
    outbox.flush();
    if outbox.bytes.is_empty() {
        std::mem::take(&mut outbox.dropped)
    } else {
        0
    }
}

/// Writes what is pending whenever there is room, for as long as it is polled.
pub async fn drain() -> Infallible {
    // Before a sandbox is put on, which may refuse to open it once more.
    outbox().outlet();
    loop {
        PENDING.notified().await;
        while !outbox().flush() {
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// For the end of the process, and before it becomes the program: waits for room, at most so long, and
/// gives up the rest. Holds no descriptor of its own any more.
pub fn finish(within: Duration) {
    let deadline = Instant::now() + within;
    loop {
        let mut outbox = outbox();
        let left = deadline.saturating_duration_since(Instant::now());
        if outbox.flush() || left.is_zero() || outbox.outlet().has_room(left).is_err() {
            outbox.bytes.clear();
            outbox.outlet().close();
            return;
        }
    }
}

/// A carriage return before each line feed.
fn with_returns(lines: &[u8]) -> Vec<u8> {
    let mut returned = Vec::with_capacity(lines.len() + 8);
    for byte in lines {
        if *byte == b'\n' {
            returned.push(b'\r');
        }
        returned.push(*byte);
    }
    returned
}

fn outbox() -> MutexGuard<'static, Outbox> {
    OUTBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    const fn new() -> Self {
        Self {
            outlet: None,
            bytes: VecDeque::new(),
            dropped: 0,
        }
    }

    fn outlet(&mut self) -> &mut Outlet {
        self.outlet
            .get_or_insert_with(|| Outlet::new(Standard::Error))
    }

    /// Writes what is pending, as far as there is room. Whether nothing is left.
    fn flush(&mut self) -> bool {
        while !self.bytes.is_empty() {
            let pending = std::mem::take(&mut self.bytes);
            let (front, _) = pending.as_slices();
            let done = self.attempt(front);
            self.bytes = pending;
            if done == 0 {
                return false;
            }
            self.bytes.drain(..done);
        }
        true
    }

    /// Writes until there is no room; gives how much is done with.
    fn attempt(&mut self, bytes: &[u8]) -> usize {
        let outlet = self.outlet();
        let mut done = 0;
        while done < bytes.len() {
            match outlet.write(&bytes[done..]) {
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return done,
                // Closed: there is no other place to say it.
                Err(_) => return bytes.len(),
            }
        }
        done
    }

    /// Keeps a line for later. The rest of one that was begun is always kept.
    fn keep(&mut self, rest: &[u8], begun: bool) {
        if rest.is_empty() {
            return;
        }
        if begun || self.bytes.len() + rest.len() <= MOST {
            self.bytes.extend(rest);
        } else {
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::sys::pipe;

    fn outbox(end: OwnedFd) -> Outbox {
        Outbox {
            outlet: Some(Outlet::of_own(Standard::Error, end)),
            ..Outbox::new()
        }
    }

    #[test]
    fn a_line_that_was_begun_is_ended_and_those_without_room_are_counted() {
        let (read, write) = pipe::new().unwrap();
        let room = rustix::pipe::fcntl_getpipe_size(&write).unwrap();
        let mut outbox = outbox(write);
        let line = vec![b'a'; room + 10];
        let done = outbox.attempt(&line);
        assert_eq!(done, room);
        outbox.keep(&line[done..], true);
        outbox.keep(&vec![b'b'; MOST], false);
        outbox.keep(b"c", false);
        assert_eq!((outbox.bytes.len(), outbox.dropped), (11, 1));
        assert!(!outbox.flush());
        let mut taken = vec![0; room];
        assert_eq!(rustix::io::read(&read, &mut taken).unwrap(), room);
        assert!(outbox.flush());
        let count = rustix::io::read(&read, &mut taken).unwrap();
        assert_eq!(&taken[..count], b"aaaaaaaaaac");
    }

    #[test]
    fn without_a_reader_nothing_is_kept() {
        let (read, write) = pipe::new().unwrap();
        drop(read);
        let mut outbox = outbox(write);
        assert_eq!(outbox.attempt(b"line\n"), 5);
    }
}
