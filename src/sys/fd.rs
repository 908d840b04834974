//! File descriptors on their way to the program.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd, retry_on_intr};

/// Opens /dev/null wherever standard input, output or error is closed, so that no fd that is opened
/// later lands there and is taken for it. Without a /dev/null it is an fd that can be neither read
/// nor written. For the first lines of main.
pub fn ensure_standard() -> std::io::Result<()> {
    for number in 0..3 {
        if fcntl_getfd(borrow(number)) != Err(Errno::BADF) {
            continue;
        }
        let opened = rustix::fs::openat(CWD, c"/dev/null", OFlags::RDWR, Mode::empty())
            .or_else(|_| rustix::fs::openat(CWD, c"/", OFlags::PATH, Mode::empty()))?;
        // The lowest free number is given: it is this one, and it stays open for good.
        let given = opened.into_raw_fd();
        if given != number {
            return Err(Errno::BADF.into());
        }
    }
    Ok(())
}

/// Takes over `count` fds from 3 on, which whoever executed hushpipe opened for it (sd_listen_fds(3)).
/// All are close-on-exec from now on. To be called once, before hushpipe opens any of its own. In an
/// error: the number that is not open.
pub fn take_inherited(count: usize) -> Result<Vec<OwnedFd>, (RawFd, std::io::Error)> {
    for number in (3..).take(count) {
        fcntl_setfd(borrow(number), FdFlags::CLOEXEC).map_err(|errno| (number, errno.into()))?;
    }
    noted().retain(|number| !(3..).take(count).any(|taken| taken == *number));
    let own = |number| {
        // SAFETY: it is open, and nobody else in this process owns it: it came with execve(2).
        unsafe { OwnedFd::from_raw_fd(number) }
    };
    Ok((3..).take(count).map(own).collect())
}

/// Numbers up to here are looked at when hushpipe starts.
const LOOKED_AT: RawFd = 1023;

/// What hushpipe's caller left open, until it is taken.
static INHERITED: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Notes which fds from 3 on are open. For the first lines of main: whoever executed hushpipe opened
/// them, and none is hushpipe's own.
pub fn note_inherited() {
    let limit = super::limits::open_files().min(LOOKED_AT as u64 + 1) as RawFd;
    let mut fds: Vec<libc::pollfd> = (3..limit)
        .map(|fd| libc::pollfd {
            fd,
            events: 0,
            revents: 0,
        })
        .collect();
    // SAFETY: the array is ours and of the length given; no time is waited.
    let looked = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, 0) };
    // Where it cannot be looked, none counts as inherited.
    let fds = fds.into_iter().filter(|_| looked >= 0);
    let open = fds.filter(|fd| fd.revents & libc::POLLNVAL == 0);
    *noted() = open.map(|fd| fd.fd).collect();
}

/// The fds of hushpipe's caller that nobody has taken yet.
pub fn inherited() -> Vec<RawFd> {
    noted().clone()
}

/// Takes over one of them; it is close-on-exec from now on. `None`: it was not open, or is taken.
pub fn take_one_inherited(number: RawFd) -> std::io::Result<Option<OwnedFd>> {
    let mut noted = noted();
    let Some(index) = noted.iter().position(|fd| *fd == number) else {
        return Ok(None);
    };
    fcntl_setfd(borrow(number), FdFlags::CLOEXEC)?;
    noted.swap_remove(index);
    // SAFETY: it has been open since hushpipe was executed, and is taken once: nobody else in this
    // process owns it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}

fn noted() -> MutexGuard<'static, Vec<RawFd>> {
    INHERITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An fd that is handed over: where it is, and the number it is to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    source: RawFd,
    target: RawFd,
}

impl Move {
    pub const fn new(source: RawFd, target: RawFd) -> Self {
        Self { source, target }
    }
}

/// Puts every fd at its number, whatever the overlap between sources and targets, all of them
/// close-on-exec. Fds of `keep` that are in the way get other numbers. Async-signal-safe. What stood
/// at a target before is closed. In an error: the number at fault.
pub(crate) fn hand_over<'a>(
    moves: &mut [Move],
    keep: impl Iterator<Item = &'a mut OwnedFd>,
) -> Result<(), (RawFd, Errno)> {
    for fd in keep {
        let number = fd.as_raw_fd();
        if is_target(moves, number) {
            let parked = park(moves, number).map_err(|errno| (number, errno))?;
            // Its number is about to be another's: dup3 closes what is there.
            std::mem::forget(std::mem::replace(fd, parked));
        }
    }
    for index in 0..moves.len() {
        let Move { source, target } = moves[index];
        if source != target && is_target(moves, source) {
            let parked = park(moves, source).map_err(|errno| (target, errno))?;
            moves[index].source = parked.into_raw_fd();
        }
    }
    for Move { source, target } in moves.iter().copied() {
        if source != target {
            duplicate(source, target).map_err(|errno| (target, errno))?;
        }
    }
    Ok(())
}

fn is_target(moves: &[Move], number: RawFd) -> bool {
    moves.iter().any(|one| one.target == number)
}

/// Duplicates an fd to the lowest free number from 3 on that nothing is to be put at.
fn park(moves: &[Move], number: RawFd) -> Result<OwnedFd, Errno> {
    let mut least = 3;
    loop {
        while is_target(moves, least) {
            least += 1;
        }
        let parked = fcntl_dupfd_cloexec(borrow(number), least)?;
        if !is_target(moves, parked.as_raw_fd()) {
            return Ok(parked);
        }
        least = parked.as_raw_fd() + 1;
    }
}

fn duplicate(source: RawFd, target: RawFd) -> Result<(), Errno> {
    // SAFETY: dup3 touches no memory. The target is a number that the caller gives away for good:
    // the child's own table, or a process that is about to be another program.
    retry_on_intr(
        || match unsafe { libc::dup3(source, target, libc::O_CLOEXEC) } {
            -1 => Err(last_errno()),
            _ => Ok(()),
        },
    )
}

/// Lets the fds that were handed over stay open in the program. Async-signal-safe.
pub(crate) fn keep_at_exec(moves: &[Move]) -> Result<(), (RawFd, Errno)> {
    for Move { target, .. } in moves.iter().copied() {
        fcntl_setfd(borrow(target), FdFlags::empty()).map_err(|errno| (target, errno))?;
    }
    Ok(())
}

/// Marks every open fd from `first` on close-on-exec: by close_range(2) with CLOSE_RANGE_CLOEXEC
/// (Linux 5.11), else by /proc/self/fd, else by trying every number up to the limit.
/// Async-signal-safe.
pub(crate) fn close_on_exec_from(first: RawFd) -> Result<(), Errno> {
    by_close_range(first)
        .or_else(|_| by_proc(first))
        .or_else(|_| by_trying(first))
}

fn by_close_range(first: RawFd) -> Result<(), Errno> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: with this flag the call closes nothing and touches no memory.
    match unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

fn by_proc(first: RawFd) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, c"/proc/self/fd", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if let Some(number) = decimal(entry.file_name().to_bytes())
            && number >= first
        {
            fcntl_setfd(borrow(number), FdFlags::CLOEXEC)?;
        }
    }
    Ok(())
}

fn by_trying(first: RawFd) -> Result<(), Errno> {
    let limit = super::limits::open_files().min(1 << 20) as RawFd;
    for number in first..limit {
        match fcntl_setfd(borrow(number), FdFlags::CLOEXEC) {
            Ok(()) | Err(Errno::BADF) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn decimal(digits: &[u8]) -> Option<RawFd> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A number as an fd, for calls that only look at or mark it and that answer EBADF for a closed one.
fn borrow(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the number is never -1, and the calls it is used for do not close or reuse it.
    unsafe { BorrowedFd::borrow_raw(number) }
}

fn last_errno() -> Errno {
    // SAFETY: the location is this thread's and always valid.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}
