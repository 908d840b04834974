//! Standard error of a process that supervises: written without waiting for whoever reads it. A log
//! driver that hangs, a pager or a terminal after Ctrl-S must not stop an init.
//!
//! The open file description is shared with the program and the shell, so O_NONBLOCK is never set on
//! it: a pipe or terminal is opened once more through /proc/self/fd (proc(5)), a socket is written
//! with MSG_DONTWAIT, and where neither works, poll(2) comes before writes of at most PIPE_BUF bytes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::termios::isatty;
use tokio::sync::Notify;

/// So many bytes wait at most: the capacity of a pipe, pipe(7).
const MOST: usize = 64 * 1024;

/// A pipe that poll(2) calls writable has room for so many bytes.
const CHUNK: usize = libc::PIPE_BUF;

/// How often pending lines are tried again.
const EVERY: Duration = Duration::from_millis(100);

static OUTBOX: Mutex<Outbox> = Mutex::new(Outbox::new());
static PENDING: Notify = Notify::const_new();

/// How it is written without waiting.
enum Way {
    /// Files and devices that never keep a writer waiting.
    Plain,
    /// A pipe or terminal, opened once more with O_NONBLOCK.
    Reopened(OwnedFd),
    /// A pipe or terminal that cannot be opened once more.
    Polled,
    Socket,
}

/// What could not be written yet.
struct Outbox {
    way: Option<Way>,
    bytes: VecDeque<u8>,
    dropped: u64,
}

/// Writes these lines, now or later, in order. Lines that there is no room for are dropped and counted.
/// A closed standard error takes everything and shows nothing.
pub fn write(lines: &[u8]) {
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
    outbox().way();
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
        if outbox.flush() || left.is_zero() || has_room(left).is_err() {
            outbox.bytes.clear();
            if matches!(outbox.way, Some(Way::Reopened(_))) {
                outbox.way = Some(Way::Polled);
            }
            return;
        }
    }
}

fn outbox() -> MutexGuard<'static, Outbox> {
    OUTBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    const fn new() -> Self {
        Self {
            way: None,
            bytes: VecDeque::new(),
            dropped: 0,
        }
    }

    fn way(&mut self) -> &Way {
        self.way.get_or_insert_with(find_way)
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
        let way = self.way();
        let mut done = 0;
        while done < bytes.len() {
            match once(way, &bytes[done..]) {
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

fn find_way() -> Way {
    let stderr = io::stderr();
    let kind = fs::fstat(&stderr).map(|found| FileType::from_raw_mode(found.st_mode));
    match kind {
        Ok(FileType::Socket) => Way::Socket,
        Ok(FileType::Fifo) => reopened(),
        Ok(FileType::CharacterDevice) if isatty(&stderr) => reopened(),
        _ => Way::Plain,
    }
}

fn reopened() -> Way {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    fs::open(c"/proc/self/fd/2", flags, Mode::empty()).map_or(Way::Polled, Way::Reopened)
}

/// One write. `AGAIN`: there is no room.
fn once(way: &Way, bytes: &[u8]) -> Result<usize, Errno> {
    let stderr = io::stderr();
    match way {
        Way::Plain => rustix::io::write(stderr, bytes),
        Way::Reopened(own) => rustix::io::write(own, bytes),
        Way::Socket => rustix::net::send(stderr, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
        Way::Polled if has_room(Duration::ZERO).is_ok_and(|room| !room) => Err(Errno::AGAIN),
        Way::Polled => rustix::io::write(stderr, &bytes[..bytes.len().min(CHUNK)]),
    }
}

/// Waits for room at most so long.
fn has_room(within: Duration) -> io::Result<bool> {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    let timeout = Timespec::try_from(within).map_err(io::Error::other)?;
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pipe;

    fn outbox(end: OwnedFd) -> Outbox {
        Outbox {
            way: Some(Way::Reopened(end)),
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
