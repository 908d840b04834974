use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::*;

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
        limits: Vec::new(),
        core_dumps: false,
        no_new_privs: true,
        parent_death: None,
        group: Group::Own,
        mounts: Vec::new(),
    }
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
fn a_program_that_is_not_there_is_reported_with_its_errno() {
    let mut spec = shell("");
    spec.program = text("/nonexistent/program");
    let error = fails(spec);
    assert_eq!(error.step, Step::Exec("/nonexistent/program".into()));
    assert_eq!(error.errno, Errno::NOENT);
}
