//! What hushpipe is to the kernel, and who descends from it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::process::{self, DumpableBehavior, Resource, Rlimit};

static CORE_LIMIT: OnceLock<Rlimit> = OnceLock::new();

/// hushpipe's process id.
pub fn id() -> i32 {
    process::getpid().as_raw_nonzero().get()
}

/// hushpipe's process group; 0 when its leader is outside of the PID namespace.
pub fn group() -> i32 {
    // SAFETY: getpgrp takes nothing and cannot fail. rustix's own panics at 0.
    unsafe { libc::getpgrp() }
}

/// hushpipe's session; 0 when its leader is outside of the PID namespace.
pub fn session() -> i32 {
    // SAFETY: getsid takes an integer, and cannot fail for the process itself.
    unsafe { libc::getsid(0) }
}

/// Whether hushpipe is the init of its PID namespace: orphans come to it, and all end with it.
pub fn is_init() -> bool {
    id() == 1
}

/// How many threads this process has: `/proc/self/task` has a link of each beside its own two
/// (`proc_task_getattr` in fs/proc/base.c). One that has been joined may be counted for a moment longer.
pub fn threads() -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata("/proc/self/task")?.nlink().saturating_sub(2))
}

/// Whether hushpipe leads its session, as the first process of a container with a terminal does.
pub fn is_session_leader() -> bool {
    session() == id()
}

/// Whether hushpipe leads its process group, as a job of one process does.
pub fn is_group_leader() -> bool {
    group() == id()
}

/// The process group of a process; 0 when it is gone, or its leader outside of the PID namespace.
pub fn group_of(pid: i32) -> i32 {
    // SAFETY: getpgid takes an integer.
    unsafe { libc::getpgid(pid) }.max(0)
}

/// Whether a process group has members.
pub fn group_exists(group: i32) -> bool {
    process::Pid::from_raw(group).is_some_and(|group| {
        process::test_kill_process_group(group) != Err(rustix::io::Errno::SRCH)
    })
}

/// Whether nobody has this process id: kill(2) with signal 0.
pub fn is_gone(pid: i32) -> bool {
    process::Pid::from_raw(pid)
        .is_some_and(|pid| process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// Orphans among the descendants become hushpipe's children, not those of init (prctl(2),
/// `PR_SET_CHILD_SUBREAPER`).
pub fn become_subreaper() -> io::Result<()> {
    Ok(process::set_child_subreaper(Some(process::getpid()))?)
}

/// For the first line of main: no core dump of hushpipe, and no access to its memory by others of the
/// same user. The hard limit stays, so that a program may have its core dumps: see [`core_limit`].
pub fn harden() -> io::Result<()> {
    process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let limit = process::getrlimit(Resource::Core);
    let limit = CORE_LIMIT.get_or_init(|| limit);
    process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: limit.maximum,
        },
    )?;
    Ok(())
}

static UMASK: OnceLock<Mode> = OnceLock::new();

/// For the first lines of main: the umask takes nothing from hushpipe itself of what it makes. For others
/// it is as the caller has it, whose programs get all of it back: see [`umask_of_caller`].
pub fn own_what_is_made() {
    let mask = process::umask(Mode::RWXG | Mode::RWXO);
    process::umask(*UMASK.get_or_init(|| mask) - Mode::RWXU);
}

/// The umask that hushpipe was started with, if it was changed since.
pub fn umask_of_caller() -> Option<Mode> {
    UMASK.get().copied()
}

/// The soft and hard limit of core dumps that hushpipe was started with; `None` is infinity.
pub fn core_limit() -> (Option<u64>, Option<u64>) {
    let limit = *CORE_LIMIT.get_or_init(|| process::getrlimit(Resource::Core));
    (limit.current, limit.maximum)
}

/// The process id that a process has in its own PID namespace, which may be nested in this one: the
/// last of `NSpid` in /proc/PID/status. `None` when it is gone, or /proc does not say.
pub fn id_in_own_namespace(pid: i32) -> Option<u32> {
    let ids = status_of(pid, "NSpid:")?;
    ids.split_whitespace().next_back()?.parse().ok()
}

/// A process, as /proc/PID/stat shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// When it started, in clock ticks since boot: with the id it names one process for good.
    pub started: u64,
    /// Whether it is stopped by a signal.
    pub stopped: bool,
    /// Whether it ended and waits to be reaped.
    pub zombie: bool,
}

/// Everyone who descends from hushpipe, zombies left out. Fails when /proc is not there, or is that
/// of another PID namespace.
pub fn descendants() -> io::Result<Vec<Process>> {
    let me = id();
    look_for_proc()?;
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(process) = look_up(pid) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut found = children.remove(&me).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = found.get(next) {
        next += 1;
        let theirs = children.remove(&process.pid).unwrap_or_default();
        found.extend(theirs);
    }
    found.retain(|process| !process.zombie);
    Ok(found)
}

/// Whether /proc is there, and that of hushpipe's own PID namespace.
fn look_for_proc() -> io::Result<()> {
    if fs::read_link("/proc/self")?.to_str() == Some(&id().to_string()) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        "/proc is that of another PID namespace",
    ))
}

/// Whether a process descends from hushpipe; a zombie does as well, one that is gone does not. Fails
/// as [`descendants`] does.
pub fn is_descendant(pid: i32) -> io::Result<bool> {
    look_for_proc()?;
    let me = id();
    let mut next = pid;
    // Parents come and go while we look: a chain longer than any can be is no chain.
    for _ in 0..1 << 16 {
        match look_up(next) {
            Some(process) if process.parent == me => return Ok(true),
            Some(process) if process.parent > 1 => next = process.parent,
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// Who logged in, by the kernel's audit (audit(7), proc_pid_loginuid(5)): su and sudo do not change it.
/// `None`: nobody did, or the kernel keeps no account of it.
pub fn login_uid(pid: i32) -> Option<u32> {
    let text = fs::read(format!("/proc/{pid}/loginuid")).ok()?;
    let uid = std::str::from_utf8(&text).ok()?.trim().parse().ok()?;
    (uid != u32::MAX).then_some(uid)
}

/// The process that a thread belongs to; `None` when it is gone.
pub fn leader_of(tid: i32) -> Option<i32> {
    status_of(tid, "Tgid:")?.parse().ok()
}

/// Whether another process traces a thread: proc_pid_status(5).
pub fn is_traced(tid: i32) -> bool {
    status_of(tid, "TracerPid:").is_some_and(|tracer| tracer != "0")
}

/// A line of /proc/PID/status, after its name: proc_pid_status(5). `None` when the process is gone, or /proc
/// does not say.
fn status_of(pid: i32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}

/// One process; `None` when it is gone.
pub fn look_up(pid: i32) -> Option<Process> {
    parse_stat(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// proc_pid_stat(5). The name, in parentheses, may hold anything: fields are counted from its end.
fn parse_stat(pid: i32, stat: &[u8]) -> Option<Process> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(end + 2..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        started,
        stopped: matches!(state, "T" | "t"),
        zombie: matches!(state, "Z" | "X"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = b"7 (a) R 1 (b) T 3 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0 0\n";
        let process = parse_stat(7, stat).unwrap();
        assert_eq!(process.parent, 3);
        assert_eq!(process.started, 4711);
        assert!(process.stopped && !process.zombie);
        assert_eq!(parse_stat(7, b"7 (cut) R 1"), None);
        assert_eq!(parse_stat(7, b""), None);
    }

    #[test]
    fn descendants_are_told_from_others() {
        // SAFETY: the child makes system calls only and is killed.
        let child = unsafe { libc::fork() };
        if child == 0 {
            loop {
                // SAFETY: pause takes nothing.
                unsafe { libc::pause() };
            }
        }
        assert!(is_descendant(child).unwrap());
        // SAFETY: plain numbers of a child of ours.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
        assert!(!is_descendant(child).unwrap());
        for other in [
            1,
            id(),
            rustix::process::getppid().unwrap().as_raw_nonzero().get(),
        ] {
            assert!(!is_descendant(other).unwrap(), "{other}");
        }
    }

    #[test]
    fn a_process_is_found_as_proc_shows_it() {
        let me = look_up(id()).unwrap();
        assert_eq!(
            me.parent,
            rustix::process::getppid().unwrap().as_raw_nonzero().get()
        );
        assert!(!me.stopped && !me.zombie);
        assert_eq!(look_up(i32::MAX), None);
    }
}
