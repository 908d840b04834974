//! A program that is stopped before each of its system calls, and killed before one of them:
//! ptrace(2) with PTRACE_SYSCALL.

#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use libc::{c_int, c_uint, c_void};

use crate::harness::is_long;

/// How a traced program ended.
pub struct Traced {
    /// By itself, and not by the tracer. Its exit code is 0: another one fails the test.
    pub by_itself: bool,
    /// Files (device, inode) that were written after they were last synced.
    pub unsynced: BTreeSet<(u64, u64)>,
    /// What became of names after their directory was last synced, in order.
    pub entries: Vec<Entries>,
}

/// What one call did to names of one directory: all of it, or nothing, is on the disk.
#[derive(Clone)]
pub struct Entries {
    /// The directory.
    pub directory: PathBuf,
    /// Its names, with what each stood for before and after the call.
    pub names: Vec<(OsString, Entry, Entry)>,
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    Nothing,
    /// By another name, where the test keeps it.
    File(PathBuf),
    Link(PathBuf),
    Directory,
}

/// Runs a program until it is about to make its `last`th call that changes files (from 1 on), and
/// kills it there: the call is not made. What it takes out of directories is kept in `kept`.
fn until_call(command: &mut Command, last: usize, kept: &Path) -> Traced {
    fs::remove_dir_all(kept).ok();
    fs::create_dir(kept).expect("its place is the test's");
    let mut tracer = Tracer::start(command, kept);
    let mut changes = 0;
    while let Some(call) = tracer.next_call() {
        changes += usize::from(tracer.is_change(&call));
        if changes == last {
            tracer.kill();
            return tracer.seen;
        }
        tracer.begin(call);
    }
    tracer.seen.by_itself = true;
    tracer.seen
}

/// A command that is to be stopped everywhere.
pub struct Stops<'a> {
    /// What a power cut may change.
    pub below: PathBuf,
    /// For what the command takes out of directories.
    pub kept: PathBuf,
    /// The command, with all as it was before it.
    pub begin: &'a dyn Fn() -> Command,
    /// Looks at what a power cut leaves; the text says which.
    pub left: &'a dyn Fn(&str),
}

/// Stops a command before each of its calls that change files, from the same beginning each time, and
/// has the power cut in each of the ways that there are. Gives how many calls it makes, and how the
/// last run went, which was not stopped.
pub fn stop_everywhere(stops: &Stops<'_>) -> (usize, Traced) {
    for call in 1.. {
        let mut seen = until_call(&mut (stops.begin)(), call, &stops.kept);
        if seen.by_itself {
            return (call - 1, seen);
        }
        let ways = cuts(&seen, call).len();
        let mut is_cut = false;
        // Every second of them each day.
        for way in (0..ways).filter(|way| is_long() || (call + way).is_multiple_of(2)) {
            if std::mem::replace(&mut is_cut, true) {
                seen = until_call(&mut (stops.begin)(), call, &stops.kept);
            }
            let cut = cuts(&seen, call).into_iter().nth(way);
            let cut = cut.expect("the same run can be cut in the same ways");
            let moment = format!("before call {call}: {cut:?}");
            println!("{moment}");
            cut_power(&seen, &cut, &stops.below);
            fs::remove_dir_all(&stops.kept).expect("it was made");
            (stops.left)(&moment);
        }
        if !is_cut {
            fs::remove_dir_all(&stops.kept).expect("it was made");
        }
    }
    unreachable!("calls are counted on and on")
}

struct Call {
    number: i64,
    arguments: [u64; 6],
}

/// For calls that change entries of directories: which of its arguments are their paths.
fn changed_paths(call: &Call) -> &'static [usize] {
    match call.number {
        libc::SYS_renameat2 | libc::SYS_renameat => &[1, 3],
        libc::SYS_linkat => &[3],
        libc::SYS_symlinkat => &[2],
        libc::SYS_unlinkat | libc::SYS_mkdirat => &[1],
        libc::SYS_openat if call.arguments[2] as i32 & (libc::O_CREAT | libc::O_TRUNC) != 0 => &[1],
        // Architectures since 2012 have the calls above alone.
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename => &[0, 1],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_link | libc::SYS_symlink => &[1],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_unlink | libc::SYS_rmdir | libc::SYS_mkdir => &[0],
        _ => &[],
    }
}

/// Calls that change what is in a file, or that is about it.
fn changes_file(number: i64) -> bool {
    matches!(
        number,
        libc::SYS_write
            | libc::SYS_pwrite64
            | libc::SYS_writev
            | libc::SYS_ftruncate
            | libc::SYS_utimensat
            | libc::SYS_fchmod
    )
}

fn syncs(number: i64) -> bool {
    matches!(number, libc::SYS_fsync | libc::SYS_fdatasync)
}

/// Calls that change no file. One that is in none of these lists fails the test: it may be one more
/// that a power cut can come before.
fn is_harmless(number: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if matches!(
        number,
        libc::SYS_access
            | libc::SYS_arch_prctl
            | libc::SYS_epoll_wait
            | libc::SYS_lstat
            | libc::SYS_poll
            | libc::SYS_readlink
            | libc::SYS_stat
    ) {
        return true;
    }
    matches!(
        number,
        libc::SYS_brk
            | libc::SYS_clock_gettime
            // Children are not traced: git, which is asked what it ignores.
            | libc::SYS_clone
            | libc::SYS_clone3
            | libc::SYS_close
            | libc::SYS_epoll_create1
            | libc::SYS_epoll_ctl
            | libc::SYS_epoll_pwait
            | libc::SYS_eventfd2
            | libc::SYS_execve
            | libc::SYS_exit_group
            | libc::SYS_faccessat
            | libc::SYS_faccessat2
            | libc::SYS_fcntl
            | libc::SYS_flock
            | libc::SYS_fstat
            | libc::SYS_fstatfs
            | libc::SYS_futex
            | libc::SYS_getcwd
            | libc::SYS_getdents64
            | libc::SYS_getegid
            | libc::SYS_geteuid
            | libc::SYS_getgid
            | libc::SYS_getpid
            | libc::SYS_getrandom
            | libc::SYS_gettid
            | libc::SYS_getuid
            | libc::SYS_getgroups
            | libc::SYS_ioctl
            | libc::SYS_lseek
            | libc::SYS_madvise
            | libc::SYS_memfd_create
            | libc::SYS_memfd_secret
            | libc::SYS_mlock
            | libc::SYS_mlock2
            | libc::SYS_mmap
            | libc::SYS_mprotect
            | libc::SYS_mremap
            | libc::SYS_munlock
            | libc::SYS_munmap
            | libc::SYS_fgetxattr
            | libc::SYS_getxattr
            | libc::SYS_newfstatat
            | libc::SYS_pidfd_open
            | libc::SYS_pipe2
            | libc::SYS_openat
            // Paths are walked by it; what is made is made by openat.
            | libc::SYS_openat2
            | libc::SYS_ppoll
            | libc::SYS_prctl
            | libc::SYS_pread64
            | libc::SYS_prlimit64
            | libc::SYS_read
            | libc::SYS_readlinkat
            | libc::SYS_recvfrom
            | libc::SYS_rseq
            | libc::SYS_rt_sigaction
            | libc::SYS_rt_sigprocmask
            | libc::SYS_rt_sigreturn
            | libc::SYS_sched_getaffinity
            | libc::SYS_set_robust_list
            | libc::SYS_set_tid_address
            | libc::SYS_sigaltstack
            | libc::SYS_socketpair
            | libc::SYS_statfs
            | libc::SYS_statx
            | libc::SYS_umask
            | libc::SYS_uname
            | libc::SYS_waitid
    )
}

enum Stop {
    Before(Call),
    After { well: bool },
}

struct Tracer {
    pid: c_int,
    /// The call that it is in, and the names that it changes, with what they stand for.
    call: Option<(Call, Vec<(PathBuf, Entry)>)>,
    kept: PathBuf,
    seen: Traced,
}

impl Tracer {
    // `wait` waits for it, and for each of its stops.
    #[allow(clippy::zombie_processes)]
    fn start(command: &mut Command, kept: &Path) -> Self {
        // SAFETY: ptrace(2) is async-signal-safe, and so is what io::Error does with errno.
        unsafe {
            command.pre_exec(|| request(libc::PTRACE_TRACEME, 0, ptr::null_mut()).map(drop));
        }
        let child = command.spawn().expect("it can be started");
        let tracer = Self {
            pid: child.id() as c_int,
            call: None,
            kept: kept.to_owned(),
            seen: Traced {
                by_itself: false,
                unsynced: BTreeSet::new(),
                entries: Vec::new(),
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

    /// Whether a call changes what a file system holds, or when it is on the disk.
    fn is_change(&self, call: &Call) -> bool {
        let listed = !changed_paths(call).is_empty() || syncs(call.number);
        if listed || (changes_file(call.number) && self.is_on_disk(call)) {
            return true;
        }
        let number = call.number;
        let known = is_harmless(number) || changes_file(number);
        assert!(known, "call {number} is not known to change no file");
        false
    }

    fn fd(&self, call: &Call) -> String {
        format!("/proc/{}/fd/{}", self.pid, call.arguments[0] as i32)
    }

    /// Whether the call's descriptor is of a file that has a name; memory has none.
    fn is_on_disk(&self, call: &Call) -> bool {
        let path = fs::read_link(self.fd(call)).expect("it is open");
        fs::symlink_metadata(path).is_ok_and(|status| status.is_file())
    }

    /// Keeps what the call is about to change.
    fn begin(&mut self, call: Call) {
        let paths = changed_paths(&call).iter();
        let paths = paths.map(|argument| self.path_at(call.arguments[*argument]));
        let before = paths.map(|path| {
            let entry = self.keep(&path);
            (path, entry)
        });
        let before = before.collect();
        self.call = Some((call, before));
    }

    fn keep(&self, path: &Path) -> Entry {
        let Ok(status) = fs::symlink_metadata(path) else {
            return Entry::Nothing;
        };
        if status.is_dir() {
            return Entry::Directory;
        }
        if status.is_symlink() {
            return Entry::Link(fs::read_link(path).expect("it is a link"));
        }
        let kept = self.kept.join(status.ino().to_string());
        if !kept.exists() {
            fs::hard_link(path, &kept).expect("both are of one file system");
        }
        Entry::File(kept)
    }

    /// What the call has done.
    fn note(&mut self) {
        let Some((call, before)) = self.call.take() else {
            return;
        };
        if syncs(call.number) || (changes_file(call.number) && self.is_on_disk(&call)) {
            let file = fs::metadata(self.fd(&call)).expect("it is open");
            let path = fs::read_link(self.fd(&call)).expect("it is open");
            let inode = (file.dev(), file.ino());
            if syncs(call.number) {
                self.seen.unsynced.remove(&inode);
                self.seen.entries.retain(|entry| entry.directory != path);
            } else if !matches!(call.number, libc::SYS_utimensat | libc::SYS_fchmod) {
                self.seen.unsynced.insert(inode);
            }
        }
        if call.number == libc::SYS_openat && call.arguments[2] as i32 & libc::O_TRUNC != 0 {
            let file = before.first().map(|(path, _)| fs::metadata(path));
            let file = file.and_then(Result::ok).expect("it was just opened");
            self.seen.unsynced.insert((file.dev(), file.ino()));
        }
        for (path, before) in before {
            let after = self.keep(&path);
            if after != before {
                self.note_name(&path, before, after);
            }
        }
    }

    /// A rename within a directory is one change of it.
    fn note_name(&mut self, path: &Path, before: Entry, after: Entry) {
        let directory = path.parent().expect("it has a name").to_owned();
        let name = path.file_name().expect("it has a name").to_owned();
        let from_here = match self.seen.entries.last_mut() {
            Some(last) if last.directory == directory => {
                let moved = |(_, was, is): &(OsString, Entry, Entry)| {
                    *is == Entry::Nothing && *was == after && after != Entry::Nothing
                };
                (last.names.len() == 1 && last.names.iter().any(moved)).then_some(last)
            }
            _ => None,
        };
        let names = (name, before, after);
        match from_here {
            Some(rename) => rename.names.push(names),
            None => self.seen.entries.push(Entries {
                directory,
                names: vec![names],
            }),
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

/// What a power cut leaves of what was not synced.
#[derive(Debug)]
struct Cut {
    /// For each of [`Traced::entries`] whether it is on the disk.
    persisted: Vec<bool>,
    /// Of what was written into a file; else nothing.
    half: bool,
}

/// The ways in which a power cut before a call can go, or some of them: all names changed and half of
/// the bytes written; nothing at all; and each change alone lost, or alone kept, as file systems order
/// them as they like. Where time matters, a third of the changes is lost alone, another third before
/// the next call.
fn cuts(traced: &Traced, call: usize) -> Vec<Cut> {
    let count = traced.entries.len();
    let cut = |persisted, half| Cut { persisted, half };
    let mut all = vec![cut(vec![true; count], true)];
    if count > 0 || !traced.unsynced.is_empty() {
        all.push(cut(vec![false; count], false));
    }
    if count > 1 {
        for lost in [true, false] {
            let tried =
                (0..count).filter(|at| is_long() || (lost && (at + call).is_multiple_of(3)));
            let but = tried.map(|at| (0..count).map(|n| (n == at) != lost).collect());
            all.extend(but.map(|names| cut(names, false)));
        }
    }
    all
}

/// Makes a directory be as it is after the power cut.
fn cut_power(traced: &Traced, cut: &Cut, below: &Path) {
    let mut names: BTreeMap<PathBuf, Entry> = BTreeMap::new();
    for (change, persisted) in traced.entries.iter().zip(&cut.persisted) {
        for (name, before, after) in &change.names {
            let now = names
                .entry(change.directory.join(name))
                .or_insert(before.clone());
            if *persisted {
                *now = after.clone();
            }
        }
    }
    // A directory comes before what is in it.
    for (path, entry) in names {
        if path.starts_with(below) && path.parent().is_some_and(Path::exists) {
            put(&path, &entry).expect("it is ours");
        }
    }
    for path in crate::harness::walk(below) {
        let file = fs::symlink_metadata(&path).expect("nobody else is here");
        if file.is_file() && traced.unsynced.contains(&(file.dev(), file.ino())) {
            let length = if cut.half { file.len() / 2 } else { 0 };
            let opened = fs::File::options().write(true).open(&path);
            opened
                .and_then(|file| file.set_len(length))
                .expect("it is ours");
        }
    }
}

fn put(path: &Path, entry: &Entry) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(status) if status.is_dir() && *entry == Entry::Directory => return Ok(()),
        Ok(status) if status.is_dir() => fs::remove_dir_all(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    match entry {
        Entry::Nothing => Ok(()),
        Entry::File(kept) => fs::hard_link(kept, path),
        Entry::Link(target) => std::os::unix::fs::symlink(target, path),
        Entry::Directory => fs::create_dir(path),
    }
}
