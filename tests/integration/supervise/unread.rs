//! A standard error that is not read any more: a log driver that hangs, a pager, Ctrl-S.

use nix::sys::signal::Signal;

use crate::harness::Hushpipe;

/// Puts a pipe or a socket that is full in the place of standard error, and becomes its arguments.
const UNREAD: &str = "import os, socket, sys\n\
    if sys.argv[1] == 'pipe':\n\
    \x20 read, write = os.pipe()\n\
    else:\n\
    \x20 ends = socket.socketpair()\n\
    \x20 read, write = ends[0].detach(), ends[1].detach()\n\
    os.set_blocking(write, False)\n\
    try:\n\
    \x20 while True: os.write(write, b'x' * 1024)\n\
    except BlockingIOError: pass\n\
    os.set_blocking(write, True)\n\
    os.set_inheritable(read, True)\n\
    os.dup2(write, 2)\n\
    os.execv(sys.argv[2], sys.argv[2:])";

fn unread(kind: &str, script: &str) -> Hushpipe {
    Hushpipe::new()
        .manifest("version: 1\nservice: test\n")
        .args(["-vv", "run", "--", "sh", "-c", script])
        .through(&["python3", "-c", UNREAD, kind])
}

#[test]
fn a_standard_error_that_is_not_read_keeps_no_signal_from_the_program() {
    for kind in ["pipe", "socket"] {
        let running = unread(kind, "echo ready; exec sleep 1000").spawn();
        running.wait_for_line("ready");
        running.signal(Signal::SIGTERM);
        running.wait().code(143);
    }
}

#[test]
fn a_standard_error_that_is_not_read_keeps_no_end_from_hushpipe() {
    for kind in ["pipe", "socket"] {
        unread(kind, "exit 7").run().code(7);
    }
    Hushpipe::new()
        .manifest("version: 1\nservice: test\n")
        .args(["run", "--", "/nowhere"])
        .through(&["python3", "-c", UNREAD, "pipe"])
        .run()
        .code(127);
}
