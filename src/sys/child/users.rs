//! The user namespace of a program, where hushpipe may make no mount namespace without one.
//!
//! The files of its maps belong to root unless the process in it is dumpable (proc(5), "/proc/pid"), as
//! hushpipe and its forks never are, and other processes of the user can open the memory of one that is.
//! So the process whose maps are written is no copy of hushpipe: it executes a few instructions from sealed
//! memory that stop it until it is killed. It has nothing of hushpipe's, neither memory nor descriptors.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, Signal, WaitOptions, waitpid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::error::{At, ChildError, Fault};
use super::fork::{BlockedSignals, last_errno, unshare, wait_for};
use super::pinned::Pinned;
use crate::sys::privileges;

/// A user namespace in which hushpipe's user and group are themselves, and no other exists; or why
/// there is none. Clones are the same one. See user_namespaces(7).
#[derive(Clone, Debug)]
pub struct UserNamespace(Arc<Result<OwnedFd, Fault>>);

impl UserNamespace {
    /// Whether private mounts take one: hushpipe may not mount by itself, and has no privileges that
    /// its program would lose in it.
    pub fn is_needed() -> bool {
        privileges::effective().is_empty() && !rustix::process::geteuid().is_root()
    }

    /// Makes one.
    pub fn make() -> Self {
        Self(Arc::new(Holder::start().and_then(|holder| {
            holder
                .map()
                .map_err(|errno| Fault::new(At::MapUsers, errno))
        })))
    }

    /// Why there is none.
    pub fn refusal(&self) -> Option<ChildError> {
        self.opened().err().map(ChildError::without_names)
    }

    /// Enters it, setns(2): who made a user namespace may. No allocation.
    pub(in crate::sys) fn join(&self) -> Result<(), Errno> {
        let users = self.opened().map_err(|fault| fault.errno)?;
        rustix::thread::move_into_link_name_space(users.as_fd(), Some(LinkNameSpaceType::User))
    }

    /// What setns(2) takes.
    pub(super) fn opened(&self) -> Result<&OwnedFd, Fault> {
        self.0.as_ref().as_ref().map_err(|fault| *fault)
    }
}

/// The process in a new user namespace. Dropped, it is killed and waited for.
struct Holder {
    pid: Pid,
    /// Its directory in /proc, whatever number it has there.
    directory: OwnedFd,
    _signals: BlockedSignals,
}

/// What hushpipe and its child share until the child executes.
struct Shared {
    program: RawFd,
    directory: Cell<RawFd>,
    fault: Cell<Option<Fault>>,
}

impl Holder {
    fn start() -> Result<Self, Fault> {
        let program = program().map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Fault::new(At::MapUsers, errno)
        })?;
        let shared = Shared {
            program: program.fd.as_raw_fd(),
            directory: Cell::new(-1),
            fault: Cell::new(None),
        };
        let signals = BlockedSignals::all();
        let mut stack = vec![0_u128; 1024];
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
        // SAFETY: the child has a stack of its own, makes system calls only, and hushpipe waits until it
        // has executed or ended (CLONE_VFORK), so that all that it uses outlives it.
        let pid = unsafe {
            libc::clone(
                hold,
                stack.as_mut_ptr_range().end.cast(),
                flags,
                (&raw const shared).cast_mut().cast(),
            )
        };
        let pid = Pid::from_raw(pid).filter(|_| pid > 0);
        let pid = pid.ok_or_else(|| Fault::new(At::Fork, last_errno()))?;
        // SAFETY: the child opened it in the table of descriptors that both had, and has left that.
        let directory = (shared.directory.get() >= 0)
            .then(|| unsafe { OwnedFd::from_raw_fd(shared.directory.get()) });
        // CLONE_VFORK ends amid execve(2), before the files in /proc are the user's.
        let stopped = retry_on_intr(|| waitpid(Some(pid), WaitOptions::UNTRACED));
        match (shared.fault.get(), directory, stopped) {
            (None, Some(directory), Ok(Some((_, status)))) if status.stopped() => Ok(Self {
                pid,
                directory,
                _signals: signals,
            }),
            (fault, ..) => Err(fault.unwrap_or(Fault::new(At::Vanished, Errno::CHILD))),
        }
    }

    /// Maps this process's user and group, each to itself, and opens the namespace.
    fn map(&self) -> Result<OwnedFd, Errno> {
        let own = |id: u32| format!("{id} {id} 1\n");
        self.write(c"setgroups", "deny")?;
        self.write(c"uid_map", &own(rustix::process::geteuid().as_raw()))?;
        self.write(c"gid_map", &own(rustix::process::getegid().as_raw()))?;
        self.open(c"ns/user", OFlags::RDONLY)
    }

    /// Writes all of it at once, as these files demand.
    fn write(&self, name: &CStr, text: &str) -> Result<(), Errno> {
        let file = self.open(name, OFlags::WRONLY)?;
        let written = retry_on_intr(|| rustix::io::write(&file, text.as_bytes()))?;
        if written == text.len() {
            Ok(())
        } else {
            Err(Errno::IO)
        }
    }

    fn open(&self, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(
            &self.directory,
            name,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
        )
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Fails when it has ended already.
        rustix::process::kill_process(self.pid, Signal::KILL).ok();
        wait_for(self.pid).ok();
    }
}

/// What the child does, in hushpipe's memory: enters a new user namespace and executes. No allocation.
extern "C" fn hold(shared: *mut c_void) -> c_int {
    // SAFETY: `Holder::start` passes this, and waits.
    let shared = unsafe { &*shared.cast::<Shared>() };
    if let Err(fault) = enter(shared) {
        shared.fault.set(Some(fault));
    }
    1
}

fn enter(shared: &Shared) -> Result<(), Fault> {
    let at = |errno| Fault::new(At::MapUsers, errno);
    unshare(UnshareFlags::NEWUSER)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(c"/proc/self", flags, Mode::empty()).map_err(at)?;
    shared.directory.set(directory.into_raw_fd());
    let flags = (libc::CLOSE_RANGE_UNSHARE | libc::CLOSE_RANGE_CLOEXEC) as c_int;
    let argv = [c"hushpipe".as_ptr(), std::ptr::null()];
    // SAFETY: both calls take integers and strings that end with a zero, in lists that end with a null;
    // the descriptors that the first closes at exec are the child's alone from then on.
    unsafe {
        // Before Linux 5.11 the process keeps what was not to be closed at exec, which its parent has too.
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, flags);
        libc::syscall(
            libc::SYS_execveat,
            shared.program,
            c"".as_ptr(),
            argv.as_ptr(),
            argv[1..].as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    Err(at(last_errno()))
}

/// The instructions, in an ELF file of one segment: elf(5).
fn program() -> io::Result<Pinned> {
    const AT: u64 = 0x40_0000;
    const HEADERS: u16 = 64 + 56;
    let (machine, code) = STOP.ok_or(Errno::NOSYS)?;
    let length = u64::from(HEADERS) + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |file: &mut Vec<u8>, halves: &[u16]| {
        file.extend(halves.iter().copied().flat_map(u16::to_le_bytes));
    };
    let words = |file: &mut Vec<u8>, words: &[u64]| {
        file.extend(words.iter().copied().flat_map(u64::to_le_bytes));
    };
    // ET_EXEC; the version; where it starts and where the program header is.
    halves(&mut file, &[2, machine, 1, 0]);
    words(&mut file, &[AT + u64::from(HEADERS), 64, 0]);
    // The flags, and the sizes and numbers of headers.
    halves(&mut file, &[0, 0, 64, 56, 1, 0, 0, 0]);
    // PT_LOAD, readable and executable.
    halves(&mut file, &[1, 0, 5, 0]);
    words(&mut file, &[0, AT, AT, length, length, 0x1000]);
    file.extend_from_slice(code);
    let mut memory: File = Pinned::blank()?;
    memory.write_all(&file)?;
    Pinned::copy(memory, false)
}

/// The machine, as elf(5) names it, and instructions that stop the process whenever it goes on.
#[cfg(target_arch = "x86_64")]
const STOP: Option<(u16, &[u8])> = Some((
    62,
    &[
        0xb8, 39, 0, 0, 0, // mov eax, SYS_getpid
        0x0f, 0x05, // syscall
        0x89, 0xc7, // mov edi, eax
        0xbe, 19, 0, 0, 0, // mov esi, SIGSTOP
        0xb8, 62, 0, 0, 0, // mov eax, SYS_kill
        0x0f, 0x05, // syscall
        0xeb, 0xe9, // jmp to the start
    ],
));
/// The machine, as elf(5) names it, and instructions that stop the process whenever it goes on.
#[cfg(target_arch = "aarch64")]
const STOP: Option<(u16, &[u8])> = Some((
    183,
    &[
        0x88, 0x15, 0x80, 0xd2, // mov x8, SYS_getpid
        0x01, 0x00, 0x00, 0xd4, // svc 0
        0x61, 0x02, 0x80, 0xd2, // mov x1, SIGSTOP
        0x28, 0x10, 0x80, 0xd2, // mov x8, SYS_kill
        0x01, 0x00, 0x00, 0xd4, // svc 0
        0xfb, 0xff, 0xff, 0x17, // b to the start
    ],
));
/// Not known here.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const STOP: Option<(u16, &[u8])> = None;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::sys::child::tests::in_a_process_of_its_own;

    /// Files that are mapped, and how many bytes can be read.
    fn memory_of(pid: i32) -> (BTreeSet<String>, usize) {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let mut size = 0;
        let names = maps.lines().map(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            size += number(to) - number(from);
            line.split_ascii_whitespace()
                .skip(5)
                .collect::<Vec<_>>()
                .join(" ")
        });
        (names.collect(), size)
    }

    #[test]
    fn what_can_be_opened_while_the_maps_are_written_has_nothing_of_hushpipes() {
        let kept = vec![b'k'; 8 << 20];
        let holder = Holder::start().unwrap();
        let pid = holder.pid.as_raw_nonzero().get();
        let (names, size) = memory_of(pid);
        let known = [
            "/memfd:hushpipe-program (deleted)",
            "[stack]",
            "[vdso]",
            "[vvar]",
        ];
        for name in &names {
            assert!(
                known.contains(&name.as_str()) || name.starts_with("[v"),
                "{names:?}"
            );
        }
        assert!(size < 1 << 20, "{size}");
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        assert_eq!(files, 0);
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert_eq!(environment, b"");
        let users = holder.map().unwrap();
        drop(holder);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        drop((users, kept));
    }

    #[test]
    fn where_nothing_in_memory_may_be_executed_there_is_no_user_namespace() {
        let code = in_a_process_of_its_own(|| {
            super::super::tests::refuse(libc::SYS_execveat, libc::EACCES);
            let refused = UserNamespace::make().refusal().unwrap();
            let expected = (super::super::Step::MapUsers, Errno::ACCESS);
            i32::from((refused.step, refused.errno) != expected)
        });
        assert_eq!(code, 0);
    }
}
