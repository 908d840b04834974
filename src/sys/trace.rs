//! Holding a process for a moment, to look at what it starts with and to change it: ptrace(2).
//!
//! A program's first exec is traced by [`begin`] in the child and [`deliver`]; later ones by
//! [`Tracee::seize`]. Stops are waited for by [`super::reaper`], the only waiter.

mod block;
mod hidden;
mod registers;
mod remote;
mod request;
mod strings;

use std::io;

pub use block::{Memory, Word, vector};
pub use hidden::Hidden;
pub use registers::{Registers, are_known};
pub use remote::{Caller, Remote, share_memory, stack_of};
pub use strings::Strings;

use super::signals::Mask;
use block::{Block, Start};
use remote::as_its_user;
use request::{last_error, ptrace};

const SEIZE: i64 = 0x4206;
const INTERRUPT: i64 = 0x4207;
const GET_EVENT_MESSAGE: i64 = 0x4201;
const GET_SIGNAL_MASK: i64 = 0x420a;
const SET_SIGNAL_MASK: i64 = 0x420b;
/// elf.h
const NT_PRSTATUS: usize = 1;
const OPTIONS: usize =
    (libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_TRACESYSGOOD) as usize;

/// Why a held process stopped: what wait(2) gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At the entry of a system call, or at its end.
    Call,
    /// It is another program now.
    Executed,
    /// As it was asked to, or with its group.
    Group,
    /// A signal is about to be delivered.
    Signal(i32),
}

impl Stop {
    /// From the status of a child that was trapped.
    pub const fn of(code: i32) -> Self {
        const EXEC: i32 = libc::SIGTRAP | libc::PTRACE_EVENT_EXEC << 8;
        match code {
            EXEC => Self::Executed,
            _ if code == libc::SIGTRAP | 0x80 => Self::Call,
            _ if code >> 8 == libc::PTRACE_EVENT_STOP => Self::Group,
            _ => Self::Signal(code & 0x7f),
        }
    }
}

/// A process that is held by hushpipe. If hushpipe dies, so does it. Dropping it does not let it go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracee(i32);

impl Tracee {
    /// Holds a process: it stops as soon as it leaves the system call it is in.
    pub fn seize(tid: i32) -> io::Result<Self> {
        as_its_user(tid, || {
            // SAFETY: the request takes numbers.
            unsafe { ptrace(SEIZE, tid, 0, OPTIONS) }.map(drop)
        })?;
        let tracee = Self(tid);
        tracee.request(INTERRUPT, 0)?;
        Ok(tracee)
    }

    /// One that is held already, by its number.
    pub const fn of(pid: i32) -> Self {
        Self(pid)
    }

    /// Under its number, after another thread than the leader executed.
    #[must_use]
    pub const fn renamed(self, pid: i32) -> Self {
        Self(pid)
    }

    /// Its number.
    pub const fn id(self) -> i32 {
        self.0
    }

    /// Its registers.
    pub fn registers(self) -> io::Result<Registers> {
        let mut bytes = vec![0_u8; 512];
        let mut vector = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let data = &raw mut vector as usize;
        // SAFETY: the kernel fills no more of the buffer than the vector says, and says how much.
        unsafe { ptrace(i64::from(libc::PTRACE_GETREGSET), self.0, NT_PRSTATUS, data) }?;
        bytes.truncate(vector.iov_len);
        Registers::new(bytes).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Changes them.
    pub fn set_registers(self, registers: &Registers) -> io::Result<()> {
        let bytes = registers.bytes();
        let mut vector = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let data = &raw mut vector as usize;
        // SAFETY: the kernel reads the buffer alone.
        unsafe { ptrace(i64::from(libc::PTRACE_SETREGSET), self.0, NT_PRSTATUS, data) }.map(drop)
    }

    /// The signals that are blocked in it.
    pub fn mask(self) -> io::Result<u64> {
        let mut mask = 0_u64;
        let data = &raw mut mask as usize;
        // SAFETY: the kernel stores as many bytes as `addr` says, the size of `mask`.
        unsafe { ptrace(GET_SIGNAL_MASK, self.0, size_of::<u64>(), data) }?;
        Ok(mask)
    }

    /// Changes them.
    pub fn set_mask(self, mask: u64) -> io::Result<()> {
        let data = &raw const mask as usize;
        // SAFETY: the kernel reads as many bytes as `addr` says, the size of `mask`.
        unsafe { ptrace(SET_SIGNAL_MASK, self.0, size_of::<u64>(), data) }.map(drop)
    }

    /// The thread that executed, at [`Stop::Executed`].
    pub fn former(self) -> io::Result<i32> {
        let mut former: libc::c_ulong = 0;
        let data = &raw mut former as usize;
        // SAFETY: the kernel stores one unsigned long.
        unsafe { ptrace(GET_EVENT_MESSAGE, self.0, 0, data) }?;
        i32::try_from(former).map_err(io::Error::other)
    }

    /// Goes on to the next entry or end of a system call, with this signal (0: none).
    pub fn go_to_call(self, signal: i32) -> io::Result<()> {
        self.request(i64::from(libc::PTRACE_SYSCALL), signal)
    }

    /// Goes on, with this signal (0: none).
    pub fn go_on(self, signal: i32) -> io::Result<()> {
        self.request(i64::from(libc::PTRACE_CONT), signal)
    }

    /// Lets it go.
    pub fn release(self) -> io::Result<()> {
        self.request(i64::from(libc::PTRACE_DETACH), 0)
    }

    /// Ends it. The number is its own until it is waited for.
    pub fn kill(self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0) {
            // Fails when it has ended, which is what is wanted.
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }

    fn request(self, request: i64, data: i32) -> io::Result<()> {
        // SAFETY: the requests of this module's own callers take a number as data.
        unsafe { ptrace(request, self.0, 0, data as usize) }.map(drop)
    }
}

/// Why a program did not get its hidden variables.
#[derive(Debug)]
pub enum DeliverError {
    /// The program runs with raised privileges.
    Raised,
    /// They take more of the stack than its limit allows.
    TooLarge,
    /// What the kernel put on its stack is not known to hushpipe.
    Unknown,
    /// The kernel refused it.
    System(io::Error),
}

impl From<io::Error> for DeliverError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Writes the hidden variables to the stack of a program that was just executed, and has run no
/// instruction yet. They replace those of the same name.
pub fn deliver(tracee: Tracee, hidden: &Hidden) -> Result<(), DeliverError> {
    let mut registers = tracee.registers()?;
    let remote = Remote::of_held(tracee.id());
    let start = Start::read(&remote, registers.word(), registers.stack());
    let start = start.ok_or_else(|| unreadable(&remote, registers.stack()))?;
    if start.is_secure() {
        return Err(DeliverError::Raised);
    }
    let strings = Strings::new(&remote);
    let is_replaced = |pointer| {
        let variable = strings.get(pointer);
        variable.is_some_and(|variable| block::is_replaced(&variable, hidden))
    };
    let block = Block::new(&start, is_replaced, hidden).ok_or(DeliverError::TooLarge)?;
    if block.length(&start) > room(tracee.id())? {
        return Err(DeliverError::TooLarge);
    }
    // From the top down: the stack grows as a program's own accesses would make it grow.
    remote.write(block.strings, hidden.bytes())?;
    remote.write(block.sp, &block.vectors)?;
    registers.set_stack(block.sp);
    Ok(tracee.set_registers(&registers)?)
}

/// Whether the memory cannot be read at all, or has something else in it.
fn unreadable(remote: &Remote, at: u64) -> DeliverError {
    if remote.read(at, &mut [0; 8]) == 8 {
        return DeliverError::Unknown;
    }
    DeliverError::System(io::ErrorKind::PermissionDenied.into())
}

/// How much of a process's stack a second block may take: a quarter of its soft limit, as execve(2)
/// allows for the first, between 96 KiB and 2 MiB.
fn room(pid: i32) -> io::Result<u64> {
    let limit = limit_of_stack(pid)?;
    Ok((limit / 4).clamp(96 << 10, 2 << 20))
}

fn limit_of_stack(pid: i32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max stack size"));
    let soft = line.and_then(|line| line.split_ascii_whitespace().next());
    Ok(match soft {
        Some("unlimited") => u64::MAX,
        Some(number) => number.parse().map_err(io::Error::other)?,
        None => return Err(io::ErrorKind::InvalidData.into()),
    })
}

/// In a child of hushpipe: is traced by its parent from now on, and stops. Makes system calls alone.
pub(super) fn begin() -> io::Result<()> {
    // SAFETY: the request takes nothing.
    unsafe { ptrace(i64::from(libc::PTRACE_TRACEME), 0, 0, 0) }?;
    // SAFETY: raise takes a number; the parent lets this thread go on.
    match unsafe { libc::raise(libc::SIGSTOP) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

/// Makes a stopped child of [`begin`] stop at its next execve(2), and lets it go on to there.
pub(super) fn follow(pid: i32) -> io::Result<Tracee> {
    // SAFETY: the request takes numbers.
    unsafe { ptrace(i64::from(libc::PTRACE_SETOPTIONS), pid, 0, OPTIONS) }?;
    let tracee = Tracee(pid);
    tracee.go_on(0)?;
    Ok(tracee)
}

/// The kernel's form of a set of signals.
pub(super) fn bits(mask: &Mask) -> u64 {
    mask.bits()
}
