//! The memory of another process: process_vm_readv(2), /proc/PID/mem, and word by word through ptrace(2)
//! where a container allows neither.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::block::Memory;
use super::request::{last_error, ptrace};
use crate::sys::privileges::{self, Capabilities};

/// The memory of a process that is held: nothing changes it meanwhile but threads beside.
pub struct Remote {
    pid: i32,
    /// `None`: word by word.
    memory: Option<File>,
}

impl Remote {
    /// Opens it. After execve(2) it is to be opened again.
    pub fn of_held(pid: i32) -> Self {
        let open = || File::options().read(true).write(true).open(path(pid));
        Self {
            pid,
            memory: open().ok(),
        }
    }

    /// Writes all of it.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        match &self.memory {
            Some(memory) => memory.write_all_at(bytes, at),
            None => self.poke(at, bytes),
        }
    }

    fn poke(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        const WORD: u64 = size_of::<libc::c_long>() as u64;
        let mut done = 0;
        while done < bytes.len() {
            let address = at + done as u64;
            let within = (address % WORD) as usize;
            let start = address - within as u64;
            let count = (WORD as usize - within).min(bytes.len() - done);
            let mut word = [0; WORD as usize];
            if count < WORD as usize {
                word = self.peek(start)?;
            }
            word[within..within + count].copy_from_slice(&bytes[done..done + count]);
            let value = usize::from_ne_bytes(word);
            // SAFETY: the request writes a word into the other process alone.
            unsafe {
                ptrace(
                    i64::from(libc::PTRACE_POKEDATA),
                    self.pid,
                    start as usize,
                    value,
                )
            }?;
            done += count;
        }
        Ok(())
    }

    fn peek(&self, at: u64) -> io::Result<[u8; size_of::<libc::c_long>()]> {
        let mut word = [0; size_of::<libc::c_long>()];
        // SAFETY: the raw request stores one word where `data` points to, which has room for it.
        unsafe {
            ptrace(
                i64::from(libc::PTRACE_PEEKDATA),
                self.pid,
                at as usize,
                word.as_mut_ptr() as usize,
            )
        }?;
        Ok(word)
    }
}

impl Memory for Remote {
    fn read(&self, at: u64, into: &mut [u8]) -> usize {
        if let Some(memory) = &self.memory {
            return read_at(memory, at, into);
        }
        let mut done = 0;
        for piece in into.chunks_mut(size_of::<libc::c_long>()) {
            let Ok(word) = self.peek(at + done as u64) else {
                break;
            };
            piece.copy_from_slice(&word[..piece.len()]);
            done += piece.len();
        }
        done
    }
}

/// The memory of a process that runs, or waits in a system call.
pub struct Caller {
    tid: i32,
    memory: Option<File>,
}

impl Caller {
    /// Looks for a way to read it. The error is the kernel's when hushpipe may not.
    pub fn new(tid: i32) -> io::Result<Self> {
        let looked = vm_read(tid, 0, &mut [0]).map_err(|error| error.raw_os_error());
        match looked {
            // Where nothing is mapped at 0, hushpipe may look all the same.
            Ok(_) | Err(Some(libc::EFAULT)) => return Ok(Self { tid, memory: None }),
            Err(Some(libc::ESRCH)) => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
            // Not permitted, or not by the filter of a container.
            Err(_) => {}
        }
        let memory = as_its_user(tid, || File::open(path(tid)))?;
        Ok(Self {
            tid,
            memory: Some(memory),
        })
    }
}

impl Caller {
    /// Writes all of it.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.memory.is_some() {
            let open = || File::options().write(true).open(path(self.tid));
            return as_its_user(self.tid, open)?.write_all_at(bytes, at);
        }
        let local = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let remote = libc::iovec {
            iov_base: at as usize as *mut libc::c_void,
            iov_len: bytes.len(),
        };
        // SAFETY: the local vector is the slice alone, which the call reads; what is written lies in the
        // other process.
        let put = unsafe {
            libc::process_vm_writev(self.tid, &raw const local, 1, &raw const remote, 1, 0)
        };
        if usize::try_from(put) == Ok(bytes.len()) {
            Ok(())
        } else {
            Err(last_error())
        }
    }
}

/// Whether two processes have one address space, as a child of vfork(2) has with its parent: kcmp(2).
pub fn share_memory(tid: i32, other: i32) -> io::Result<bool> {
    const KCMP_VM: libc::c_int = 1;
    as_its_user(tid, || {
        // SAFETY: the call takes numbers.
        match unsafe { libc::syscall(libc::SYS_kcmp, tid, other, KCMP_VM, 0, 0) } {
            0 => Ok(true),
            1 | 2 => Ok(false),
            _ => Err(last_error()),
        }
    })
}

impl Memory for Caller {
    fn read(&self, at: u64, into: &mut [u8]) -> usize {
        match &self.memory {
            Some(memory) => read_at(memory, at, into),
            None => vm_read(self.tid, at, into).unwrap_or_default(),
        }
    }
}

fn path(pid: i32) -> String {
    format!("/proc/{pid}/mem")
}

fn read_at(memory: &File, at: u64, into: &mut [u8]) -> usize {
    let mut done = 0;
    while done < into.len() {
        match memory.read_at(&mut into[done..], at + done as u64) {
            Ok(count) if count > 0 => done += count,
            _ => break,
        }
    }
    done
}

fn vm_read(tid: i32, at: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: at as usize as *mut libc::c_void,
        iov_len: into.len(),
    };
    // SAFETY: the local vector is the slice alone, which the call fills; what is read lies in the other
    // process.
    let got = unsafe { libc::process_vm_readv(tid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(got).map_err(|_| last_error())
}

/// Makes a call as a process's user, where hushpipe may become it and has no CAP_SYS_PTRACE: what
/// ptrace(2) asks for ("Ptrace access mode checking") is an equal real user and group, and for files an
/// equal user of the filesystem. It belongs to this thread alone, and is taken back at once.
pub(super) fn as_its_user<T>(tid: i32, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let held = privileges::effective();
    let may_change = held.contains(Capabilities::SETUID | Capabilities::SETGID);
    if held.contains(Capabilities::SYS_PTRACE) || !may_change {
        return call();
    }
    let (uid, gid) = owner(tid)?;
    let own = (rustix::process::getuid(), rustix::process::getgid());
    if (own.0.as_raw(), own.1.as_raw()) == (uid, gid) {
        return call();
    }
    let _back = Back {
        uid: own.0.as_raw(),
        gid: own.1.as_raw(),
        fsuid: rustix::process::geteuid().as_raw(),
        fsgid: rustix::process::getegid().as_raw(),
    };
    change(gid, uid, gid, uid)?;
    call()
}

/// Takes the change back; a hushpipe that could not is not to go on as somebody else.
struct Back {
    uid: u32,
    gid: u32,
    fsuid: u32,
    fsgid: u32,
}

impl Drop for Back {
    fn drop(&mut self) {
        if change(self.gid, self.uid, self.fsgid, self.fsuid).is_err() {
            std::process::abort();
        }
    }
}

fn change(gid: u32, uid: u32, fsgid: u32, fsuid: u32) -> io::Result<()> {
    let same = u32::MAX;
    // SAFETY: the calls take numbers and touch no memory. Raw, they are about this thread alone; the
    // effective ids, and with them all capabilities but those on files, stay.
    unsafe {
        if libc::syscall(libc::SYS_setresgid, gid, same, same) != 0
            || libc::syscall(libc::SYS_setresuid, uid, same, same) != 0
        {
            return Err(last_error());
        }
        libc::syscall(libc::SYS_setfsgid, fsgid);
        libc::syscall(libc::SYS_setfsuid, fsuid);
    }
    Ok(())
}

/// Where a process's stack started when it was executed, which its forks inherit: `startstack` of
/// proc_pid_stat(5).
pub fn stack_of(tid: i32) -> io::Result<u64> {
    let stat = as_its_user(tid, || std::fs::read(format!("/proc/{tid}/stat")))?;
    let end = stat.iter().rposition(|byte| *byte == b')');
    let fields = end.and_then(|end| std::str::from_utf8(stat.get(end + 2..)?).ok());
    let start = fields.and_then(|fields| fields.split_ascii_whitespace().nth(25)?.parse().ok());
    start.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The real user and group: proc_pid_status(5).
fn owner(tid: i32) -> io::Result<(u32, u32)> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status"))?;
    let real = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    real("Uid:")
        .zip(real("Gid:"))
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
