use std::ffi::CString;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::thread::{Gid, Uid};

use super::*;
use crate::sys::limits::Limit;
use crate::sys::signals::Mask;

mod guards;
mod handing_over;
mod identity;
mod isolation;
mod surroundings;

const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Does it in a thread of its own: seccomp filters and, by raw system calls, users belong to one
/// thread, and what it forks has them too.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// Makes this thread an unprivileged user's. Needs root, or leaves the user as it is.
fn become_nobody() {
    if is_root() {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
    }
}

/// Lets the kernel refuse a system call to this thread, as a container's seccomp filter does.
pub fn refuse(number: libc::c_long, errno: i32) {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUALS: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        step(LOAD, 0, 0, 0),
        step(EQUALS, 0, 1, number as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    rustix::thread::set_no_new_privs(true).unwrap();
    // SAFETY: the program points to a filter that outlives the call; the kernel copies it.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    assert_eq!(set, 0);
}

/// Does it in a forked process, for what belongs to a whole process. It ends with the number given,
/// or with 101 at a panic.
pub fn in_a_process_of_its_own(work: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child ends by _exit, and the C library's allocator can be used after fork.
    match unsafe { libc::fork() } {
        -1 => panic!("{}", last_errno()),
        0 => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            exit_now(code.unwrap_or(101))
        }
        pid => {
            let options = rustix::process::WaitOptions::empty();
            let ended = rustix::process::waitpid(Pid::from_raw(pid), options).unwrap();
            ended.unwrap().1.exit_status().unwrap()
        }
    }
}

/// A directory that everybody can enter.
fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn text(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// A specification of `/bin/sh -c SCRIPT`, as plain as can be.
fn shell(script: &str) -> Spec {
    Spec {
        program: text("/bin/sh"),
        pinned: None,
        argv: ["sh", "-c", script].map(text).to_vec(),
        env: vec![text("PATH=/usr/bin:/bin")],
        cwd: None,
        umask: None,
        identity: None,
        fds: Vec::new(),
        hidden: None,
        limits: Vec::new(),
        pid_variables: Vec::new(),
        core_dumps: false,
        no_new_privs: true,
        mask: Mask::empty(),
        parent_death: None,
        group: Group::Own,
        mounts: Vec::new(),
        covers: Vec::new(),
        apart: false,
        users: None,
        beside: None,
    }
}

fn text_of(path: &Path) -> CString {
    text(path.to_str().unwrap())
}

/// Waits for one child; its code, or 128 and the signal.
fn wait(child: &Child) -> i32 {
    let id = WaitId::PidFd(child.pidfd.as_fd());
    let ended = waitid(id, WaitIdOptions::EXITED).unwrap().unwrap();
    let killed = || ended.terminating_signal().map(|signal| 128 + signal);
    ended.exit_status().or_else(killed).unwrap()
}

fn pipe() -> (std::fs::File, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (reader.into(), writer)
}

/// Runs it with its standard output and error in a pipe: what it wrote, and how it ended.
fn run_to_end(mut spec: Spec) -> (String, i32) {
    let (mut reader, writer) = pipe();
    spec.fds.push((writer.try_clone().unwrap(), 2));
    spec.fds.push((writer, 1));
    let child = stage(spec).unwrap().start().unwrap();
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    (output, wait(&child))
}

/// The error of a launch, and an end to the child that may be left of it.
fn fails(spec: Spec) -> ChildError {
    let staged = match stage(spec) {
        Ok(staged) => staged,
        Err(error) => return error,
    };
    let pidfd = staged.child.as_ref().unwrap().pidfd.try_clone().unwrap();
    let error = staged.start().unwrap_err();
    waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
    error
}

#[test]
fn a_program_runs_and_its_code_is_seen() {
    let (output, code) = run_to_end(shell("echo hello; exit 7"));
    assert_eq!((output.as_str(), code), ("hello\n", 7));
}

#[test]
fn arguments_and_environment_arrive_as_they_are() {
    let mut spec = shell("printf '%s|' \"$0\" \"$@\"; printf '%s' \"$ODD\"");
    spec.argv.extend(["name", "a b", "", "\u{e4}"].map(text));
    spec.env.push(text("ODD=x=y z"));
    assert_eq!(run_to_end(spec).0, "name|a b||\u{e4}|x=y z");
}

#[test]
fn a_program_that_is_not_there_is_reported_with_its_errno() {
    let mut spec = shell("");
    spec.program = text("/nonexistent/program");
    let error = fails(spec);
    assert_eq!(error.step, Step::Exec("/nonexistent/program".into()));
    assert_eq!(error.errno, Errno::NOENT);
}

#[test]
fn a_script_without_interpreter_is_not_run_by_a_shell() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    fs::write(
        &script,
        format!("touch {}/ran\n", directory.path().display()),
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec = shell("");
    spec.program = text_of(&script);
    assert_eq!(fails(spec).errno, Errno::NOEXEC);
    assert!(!directory.path().join("ran").exists());
}

#[test]
fn a_staged_child_that_is_let_go_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let ran = directory.path().join("ran");
    let staged = stage(shell(&format!("touch {}", ran.display()))).unwrap();
    let child = Child {
        pid: staged.pid(),
        pidfd: staged.child.as_ref().unwrap().pidfd.try_clone().unwrap(),
        listener: None,
    };
    drop(staged);
    assert_eq!(wait(&child), 128 + libc::SIGKILL);
    assert!(!ran.exists());
}

#[test]
fn a_staged_child_that_is_killed_is_noticed() {
    // Apart from other tests: a child that they fork meanwhile holds a copy of the channel's end.
    let noticed = in_a_process_of_its_own(|| {
        let staged = stage(shell("exit 0")).unwrap();
        let pidfd = staged.child.as_ref().unwrap().pidfd.try_clone().unwrap();
        rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
        waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
        i32::from(staged.start().unwrap_err().step == Step::Vanished)
    });
    assert_eq!(noticed, 1);
}

#[test]
fn a_child_that_ended_before_its_start_has_said_why() {
    for is_over in [false, true] {
        let gone = stage(shell("exit 0")).unwrap().start().unwrap();
        assert_eq!(wait(&gone), 0);
        let mut spec = shell("exit 0");
        spec.beside = Some(gone.pidfd);
        let staged = stage(spec).unwrap();
        if is_over {
            let child = staged.child.as_ref().unwrap();
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::PidFd(child.pidfd.as_fd()), options).unwrap();
        }
        assert_eq!(staged.start().unwrap_err().step, Step::Beside);
    }
}

fn pinned(path: &Path) -> Pinned {
    let file = OwnedFd::from(fs::File::open(path).unwrap());
    Pinned::original(file).unwrap_or_else(|_| copied(path, false))
}

fn copied(path: &Path, script: bool) -> Pinned {
    let mut copy = Pinned::blank().unwrap();
    std::io::copy(&mut fs::File::open(path).unwrap(), &mut copy).unwrap();
    Pinned::copy(copy, script).unwrap()
}

/// Writes a file by another process: a child forked meanwhile by another test would hold it open for
/// writing, and the kernel executes no such file (ETXTBSY).
pub(crate) fn write_elsewhere(path: &Path, content: &[u8]) {
    let source = path.with_extension("source");
    fs::write(&source, content).unwrap();
    let copied = std::process::Command::new("cp")
        .arg(&source)
        .arg(path)
        .status();
    assert!(copied.unwrap().success());
    fs::remove_file(source).unwrap();
}

/// An executable file with this content.
fn executable(directory: &Path, content: &[u8]) -> std::path::PathBuf {
    let path = directory.join("program");
    write_elsewhere(&path, content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Puts another file in its place.
fn swap(path: &Path, content: &[u8]) {
    let other = executable(&tempfile::tempdir().unwrap().keep(), content);
    fs::copy(&other, path.with_extension("new")).unwrap();
    fs::remove_dir_all(other.parent().unwrap()).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}

#[test]
fn a_pinned_binary_is_executed_wherever_the_path_leads() {
    let mut spec = shell("");
    spec.program = text("/nonexistent/program");
    spec.pinned = Some(pinned(Path::new("/bin/true")));
    let child = stage(spec).unwrap().start().unwrap();
    assert_eq!(wait(&child), 0);
}

#[test]
fn a_pinned_program_that_was_replaced_runs_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let program = executable(directory.path(), &fs::read("/bin/true").unwrap());
    let mut spec = shell("");
    spec.program = text_of(&program);
    spec.pinned = Some(pinned(&program));
    swap(&program, &fs::read("/bin/false").unwrap());
    assert_eq!(wait(&stage(spec).unwrap().start().unwrap()), 0);
}

#[test]
fn a_pinned_program_that_is_being_written_to_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let program = executable(directory.path(), &fs::read("/bin/true").unwrap());
    let file = OwnedFd::from(fs::File::open(&program).unwrap());
    let Ok(pinned) = Pinned::original(file) else {
        return; // the filesystem of this test has no leases
    };
    let mut spec = shell("");
    spec.program = text_of(&program);
    spec.pinned = Some(pinned);
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let writer = rustix::fs::open(&program, flags, rustix::fs::Mode::empty());
    assert_eq!(writer.unwrap_err(), Errno::AGAIN);
    assert_eq!(fails(spec).step, Step::Changed(program));
}

#[test]
fn a_copy_is_executed_as_it_was_and_so_is_a_script() {
    let directory = tempfile::tempdir().unwrap();
    let contents = [
        fs::read("/bin/true").unwrap(),
        b"#!/bin/sh\nexit $#\n".to_vec(),
    ];
    for (content, code) in contents.iter().zip([0, 2]) {
        let program = executable(directory.path(), content);
        let mut spec = shell("");
        spec.program = text_of(&program);
        spec.argv = ["program", "a", "b"].map(text).to_vec();
        spec.pinned = Some(copied(&program, content.starts_with(b"#!")));
        fs::write(&program, b"#!/bin/sh\nexit 7\n").unwrap();
        assert_eq!(wait(&stage(spec).unwrap().start().unwrap()), code);
    }
}
