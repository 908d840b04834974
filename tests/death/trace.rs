//! A program that is stopped before each of its system calls, and killed before one of them:
//! ptrace(2) with PTRACE_SYSCALL.

#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use libc::{c_int, c_uint, c_void};

/// How a traced program ended.
pub struct Traced {
    /// By itself, and not by the tracer. Its exit code is 0: another one fails the test.
    pub by_itself: bool,
    /// Files (device, inode) that were written after they were last synced.
    pub unsynced: BTreeSet<(u64, u64)>,
    /// Directories whose entries were changed after they were last synced.
    pub unsynced_directories: BTreeSet<PathBuf>,
}

/// Runs a program until it is about to make its `last`th call that changes files (from 1 on), and
/// kills it there: the call is not made.
pub fn until_call(command: &mut Command, last: usize) -> Traced {
    let mut tracer = Tracer::start(command);
    let mut changes = 0;
    while let Some(call) = tracer.next_call() {
        changes += usize::from(is_change(call.number));
        if changes == last {
            tracer.kill();
            return tracer.seen;
        }
        tracer.call = Some(call);
    }
    tracer.seen.by_itself = true;
    tracer.seen
}

struct Call {
    number: i64,
    arguments: [u64; 6],
}

/// Which calls of hushpipe change what a file system holds, or when it is on the disk.
fn is_change(number: i64) -> bool {
    matches!(number, libc::SYS_write | libc::SYS_fsync) || changed_path(number).is_some()
}

/// For calls that change an entry of a directory: which argument is its path.
fn changed_path(number: i64) -> Option<usize> {
    match number {
        libc::SYS_renameat2 | libc::SYS_renameat | libc::SYS_linkat => Some(3),
        libc::SYS_symlinkat => Some(2),
        libc::SYS_unlinkat | libc::SYS_mkdirat => Some(1),
        // Architectures since 2012 have the calls above alone.
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename | libc::SYS_link | libc::SYS_symlink => Some(1),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_unlink | libc::SYS_rmdir | libc::SYS_mkdir => Some(0),
        _ => None,
    }
}

fn is_removal_of_directory(call: &Call) -> bool {
    #[cfg(target_arch = "x86_64")]
    if call.number == libc::SYS_rmdir {
        return true;
    }
    call.number == libc::SYS_unlinkat && call.arguments[2] as i32 & libc::AT_REMOVEDIR != 0
}

enum Stop {
    Before(Call),
    After { well: bool },
}

struct Tracer {
    pid: c_int,
    /// The call that it is in.
    call: Option<Call>,
    seen: Traced,
}

impl Tracer {
    // `wait` waits for it, and for each of its stops.
    #[allow(clippy::zombie_processes)]
    fn start(command: &mut Command) -> Self {
        // SAFETY: ptrace(2) is async-signal-safe, and so is what io::Error does with errno.
        unsafe {
            command.pre_exec(|| request(libc::PTRACE_TRACEME, 0, ptr::null_mut()).map(drop));
        }
        let child = command.spawn().expect("it can be started");
        let tracer = Self {
            pid: child.id() as c_int,
            call: None,
            seen: Traced {
                by_itself: false,
                unsynced: BTreeSet::new(),
                unsynced_directories: BTreeSet::new(),
            },
        };
        // It stops with SIGTRAP at its first instruction.
        let status = tracer.wait();
        assert!(libc::WIFSTOPPED(status), "it stops at execve: {status:#x}");
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        let options = options as usize as *mut c_void;
        request(libc::PTRACE_SETOPTIONS, tracer.pid, options).expect("it is stopped");
        tracer
    }

    fn wait(&self) -> c_int {
        let mut status = 0;
        // SAFETY: the status is there for the length of the call; the child is ours, and nobody else
        // waits for it.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
        assert_eq!(pid, self.pid, "{}", io::Error::last_os_error());
        status
    }

    /// Goes on to the next call, which is not made yet. `None`: it has ended, with 0.
    fn next_call(&mut self) -> Option<Call> {
        let mut signal = 0;
        loop {
            let passed_on = signal as usize as *mut c_void;
            request(libc::PTRACE_SYSCALL, self.pid, passed_on).expect("it is stopped");
            let status = self.wait();
            if !libc::WIFSTOPPED(status) {
                assert_eq!(status, 0, "it ends by itself, and well");
                return None;
            }
            // SIGTRAP with this bit tells a call from a signal, which is passed on.
            let at_call = libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80;
            signal = if at_call { 0 } else { libc::WSTOPSIG(status) };
            match at_call.then(|| self.stop()) {
                Some(Stop::Before(call)) => return Some(call),
                Some(Stop::After { well: true }) => self.note(),
                _ => {}
            }
        }
    }

    fn stop(&self) -> Stop {
        // SAFETY: all of it is numbers, for which zero is a value.
        let mut info: libc::ptrace_syscall_info = unsafe { mem::zeroed() };
        // SAFETY: the kernel writes as many bytes as it is told there are.
        let length = unsafe {
            libc::ptrace(
                libc::PTRACE_GET_SYSCALL_INFO,
                self.pid,
                size_of_val(&info),
                &raw mut info,
            )
        };
        assert!(length > 0, "{}", io::Error::last_os_error());
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            // SAFETY: when a call is left, this member is the one that the kernel filled.
            let well = unsafe { info.u.exit.is_error } == 0;
            return Stop::After { well };
        }
        // SAFETY: at the entry of a call, this member is the one that the kernel filled.
        let entry = unsafe { info.u.entry };
        Stop::Before(Call {
            number: entry.nr as i64,
            arguments: entry.args,
        })
    }

    fn kill(&mut self) {
        // SAFETY: it takes numbers alone; the child is not waited for yet, so that its id is its own.
        assert_eq!(unsafe { libc::kill(self.pid, libc::SIGKILL) }, 0);
        while libc::WIFSTOPPED(self.wait()) {}
    }

    /// What the call has done.
    fn note(&mut self) {
        let Some(call) = self.call.take() else { return };
        let fd = format!("/proc/{}/fd/{}", self.pid, call.arguments[0] as i32);
        let seen = &mut self.seen;
        if let libc::SYS_write | libc::SYS_fsync = call.number {
            let file = fs::metadata(&fd).expect("it is open");
            let path = fs::read_link(&fd).expect("it is open");
            let inode = (file.dev(), file.ino());
            if call.number == libc::SYS_fsync {
                seen.unsynced.remove(&inode);
                seen.unsynced_directories.remove(&path);
            } else if file.is_file() {
                seen.unsynced.insert(inode);
            }
        } else if is_removal_of_directory(&call) {
            // One that comes back holds nothing.
        } else if let Some(argument) = changed_path(call.number) {
            let path = self.path_at(call.arguments[argument]);
            let directory = path.parent().expect("it has a name").to_owned();
            self.seen.unsynced_directories.insert(directory);
        }
    }

    /// Text in its memory, as a path from the root.
    fn path_at(&self, address: u64) -> PathBuf {
        let memory = fs::File::open(format!("/proc/{}/mem", self.pid)).expect("it is ours");
        let mut bytes = [0];
        let mut text = Vec::new();
        while memory.read_at(&mut bytes, address + text.len() as u64).ok() == Some(1)
            && bytes != [0]
        {
            text.push(bytes[0]);
        }
        let cwd = fs::read_link(format!("/proc/{}/cwd", self.pid)).expect("it is there");
        let path = cwd.join(String::from_utf8(text).expect("the tests' names are UTF-8"));
        path.components().collect::<PathBuf>()
    }
}

fn request(request: c_uint, pid: c_int, data: *mut c_void) -> io::Result<()> {
    // SAFETY: none of the requests made here has the kernel write to this process.
    match unsafe { libc::ptrace(request, pid, ptr::null_mut::<c_void>(), data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// What a power cut takes away of files that were not synced: the second half.
pub fn cut_power(traced: &Traced, below: &Path) {
    for path in crate::harness::walk(below) {
        let file = fs::symlink_metadata(&path).expect("nobody else is here");
        if file.is_file() && traced.unsynced.contains(&(file.dev(), file.ino())) {
            let half = file.len() / 2;
            let opened = fs::File::options().write(true).open(&path);
            opened
                .and_then(|file| file.set_len(half))
                .expect("it is ours");
        }
    }
}
