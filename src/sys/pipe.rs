//! Pipes, pipe(7): anonymous and named, filled without waiting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A pipe: the end to read from, which waits, and the end to write to, which does not. Both close
/// at exec.
pub fn new() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    fs::fcntl_setfl(&write, OFlags::NONBLOCK)?;
    Ok((read, write))
}

/// As [`new`], for a program that writes: its end waits.
pub fn from_program() -> io::Result<(Reader, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((Reader::of(read)?, write))
}

/// An end to read from, on tokio.
pub struct Reader(AsyncFd<OwnedFd>);

impl Reader {
    /// Of a descriptor that has O_NONBLOCK.
    pub fn of(end: OwnedFd) -> io::Result<Self> {
        // SAFETY: an OwnedFd is the same descriptor for as long as it is there.
        let reader = unsafe { AsyncFd::register_with_interest(end, Interest::READABLE) }?;
        Ok(Self(reader))
    }

    /// Waits for bytes, and gives how many there were; 0: nobody can write any more.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.0.readable().await?;
            let read = guard.try_io(|end| Ok(rustix::io::read(end, &mut *buffer)?));
            if let Ok(result) = read {
                return result;
            }
        }
    }

    /// As [`Reader::read`]; 0 as well where there is nothing now.
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match rustix::io::read(&self.0, buffer) {
            Err(Errno::AGAIN) => Ok(0),
            other => Ok(other?),
        }
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// So many bytes went in, perhaps not all.
    Some(usize),
    /// There is no room now.
    Full,
    /// Nobody can read it any more.
    NoReader,
}

/// One write(2) to an end that does not wait. SIGPIPE must be ignored, as in every Rust program.
pub fn write(end: impl AsFd, bytes: &[u8]) -> io::Result<Written> {
    loop {
        match rustix::io::write(&end, bytes) {
            Ok(count) => return Ok(Written::Some(count)),
            Err(Errno::AGAIN) => return Ok(Written::Full),
            Err(Errno::PIPE) => return Ok(Written::NoReader),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes until all is in or there is no room; gives how much went in.
pub fn fill(end: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match write(&end, &bytes[done..])? {
            Written::Some(count) => done += count,
            Written::Full | Written::NoReader => break,
        }
    }
    Ok(done)
}

/// An end to write to, on tokio.
pub struct Writer(AsyncFd<OwnedFd>);

impl Writer {
    /// Takes an end that does not wait. Needs a tokio runtime with I/O.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned by the registration, open as long as it, and never given
        // out but borrowed: nothing closes it or puts another file in its place.
        let end = unsafe { AsyncFd::register_with_interest(end, Interest::WRITABLE) }?;
        Ok(Self(end))
    }

    /// Calls `attempt` with the end, now and whenever there may be room again, until it gives
    /// something else than `Full`. Can be dropped while it waits.
    pub async fn when_room(
        &self,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<Written>,
    ) -> io::Result<Written> {
        loop {
            let mut ready = self.0.writable().await?;
            match attempt(self.0.get_ref().as_fd())? {
                Written::Full => ready.clear_ready(),
                written => return Ok(written),
            }
        }
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

/// Makes room for so many bytes, F_SETPIPE_SZ. Fails with EPERM above fs.pipe-max-size without
/// CAP_SYS_RESOURCE.
pub fn enlarge(end: impl AsFd, bytes: usize) -> io::Result<()> {
    if rustix::pipe::fcntl_getpipe_size(&end)? < bytes {
        rustix::pipe::fcntl_setpipe_size(&end, bytes)?;
    }
    Ok(())
}

/// One read(2) from an end that does not wait, into the room that the buffer has left. `None`: nothing
/// is there now, and somebody may still write.
pub fn read(end: impl AsFd, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
    match rustix::io::retry_on_intr(|| rustix::io::read(&end, spare_capacity(buffer))) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// How many bytes are in it, not yet read; FIONREAD.
pub fn unread(end: impl AsFd) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(end)?)
}

/// Whether nobody has the other end open: poll(2) gives POLLERR to the writing end then.
pub fn is_abandoned(end: impl AsFd) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&end, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now))?;
    Ok(fds[0].revents().contains(PollFlags::ERR))
}

/// What a named pipe can be opened by once more, without having it open: neither a reader nor a
/// writer. `None`: there is no /proc.
pub fn handle(end: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match fs::open(super::filesystem::path_of(end), flags, Mode::empty()) {
        Ok(handle) => Ok(Some(handle)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens the writing end of a named pipe without waiting. `None`: nobody has it open for reading.
pub fn open_writer(path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match fs::open(path.as_os_str().as_bytes(), flags, Mode::empty()) {
        Ok(end) => Ok(Some(end)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens both ends of a named pipe at once, relative to a directory: nobody is waited for.
pub fn open_both_at(directory: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    open_at(directory, name, OFlags::RDWR)
}

/// Opens the writing end of a named pipe that someone has open for reading.
pub fn open_writer_at(directory: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    open_at(directory, name, OFlags::WRONLY)
}

fn open_at(directory: impl AsFd, name: &str, access: OFlags) -> io::Result<OwnedFd> {
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(fs::openat(directory, name, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_filled_as_far_as_there_is_room() {
        let (read, write) = new().unwrap();
        let bytes = vec![7; 1 << 20];
        let size = rustix::pipe::fcntl_getpipe_size(&write).unwrap();
        assert_eq!(fill(&write, &bytes).unwrap(), size);
        assert_eq!(unread(&read).unwrap(), size as u64);
        enlarge(&write, 2 * size).unwrap();
        assert_eq!(fill(&write, &bytes).unwrap(), size);
    }

    #[test]
    fn a_reader_that_went_away_is_seen() {
        let (read, write_end) = new().unwrap();
        assert!(!is_abandoned(&write_end).unwrap());
        drop(read);
        assert!(is_abandoned(&write_end).unwrap());
        assert_eq!(write(&write_end, b"x").unwrap(), Written::NoReader);
    }
}
