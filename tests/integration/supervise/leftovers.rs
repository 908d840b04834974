//! Orphans and leftovers; PID 1.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::script;
use crate::harness::{Hushpipe, Running, is_alive, is_long, wait_until};

/// Makes orphans, then waits until hushpipe has no zombie and says so.
const ORPHANS: &str = "import os, sys, time\n\
    for i in range(int(sys.argv[1])):\n\
    \x20 pid = os.fork()\n\
    \x20 if pid == 0:\n\
    \x20   os.fork()\n\
    \x20   os._exit(0)\n\
    \x20 os.waitpid(pid, 0)\n\
    while True:\n\
    \x20 stats = []\n\
    \x20 for name in filter(str.isdigit, os.listdir('/proc')):\n\
    \x20   try: stats.append(open(f'/proc/{name}/stat').read().rsplit(')', 1)[1].split())\n\
    \x20   except OSError: pass\n\
    \x20 if sum(int(s[1]) == os.getppid() for s in stats) == 1: break\n\
    \x20 time.sleep(0.02)\n\
    print('reaped')";

fn orphans(count: &str) -> Hushpipe {
    super::supervise("", &["python3", "-c", ORPHANS, count])
}

#[test]
fn a_thousand_orphans_leave_no_zombie() {
    orphans("1000").run().success().stdout_is("reaped\n");
}

#[test]
fn ten_thousand_orphans_leave_no_zombie() {
    if is_long() {
        orphans("10000").run().success().stdout_is("reaped\n");
    }
}

#[test]
fn it_is_a_correct_pid_1() {
    let in_namespace = |hushpipe: Hushpipe| {
        hushpipe
            .through(&["unshare", "--pid", "--fork", "--mount-proc"])
            .run()
    };
    in_namespace(orphans("300")).success().stdout_is("reaped\n");
    let text = "echo $PPID; (setsid sleep 1000 &); exit 5";
    in_namespace(script("", text)).code(5).stdout_is("1\n");
    in_namespace(script("", "kill -KILL $$")).code(137);
}

#[test]
fn without_proc_leftovers_are_ended_all_the_same() {
    let text = "trap '' TERM; mkfifo up; \
        setsid bash -c 'echo up; echo >up; while :; do sleep 0.05; done' & read line <up; exit 5";
    // /proc is that of the outer namespace: of no use.
    let started = Instant::now();
    let output = script("stop: { timeout: 200ms }", text)
        .through(&["unshare", "--pid", "--fork"])
        .run();
    output.code(5).stdout_has("up");
    assert!(started.elapsed().as_secs() < 5);
}

/// A program that starts a process in a session of its own, and ends with 3 when it is told to.
/// Gives the other's process id.
fn leaving(run: &str, trap: &str) -> (Running, i32) {
    let inner = format!("{trap} echo left $BASHPID; while :; do sleep 0.05; done");
    let text = format!("setsid bash -c '{inner}' & read line < wait; exit 3");
    let hushpipe = script(run, &text);
    let fifo = hushpipe.place().path().join("wait");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let running = hushpipe.spawn();
    let line = running.wait_for_line("left");
    (running, line.trim_start_matches("left ").parse().unwrap())
}

fn go_on(running: &Running) {
    std::fs::write(running.place().path().join("wait"), "\n").unwrap();
}

#[test]
fn leftovers_are_terminated_then_killed() {
    for (trap, run) in [("", ""), ("trap \"\" TERM;", "stop: { timeout: 200ms }")] {
        let (running, pid) = leaving(run, trap);
        assert!(is_alive(pid));
        go_on(&running);
        running.wait().code(3);
        assert!(!is_alive(pid), "with {trap:?}");
    }
}

#[test]
fn a_request_to_end_does_not_wait_for_leftovers() {
    let (running, pid) = leaving("", "trap \"\" TERM;");
    let program = running.program();
    go_on(&running);
    let proc = std::path::PathBuf::from(format!("/proc/{program}"));
    running.until("the program is reaped", || (!proc.exists()).then_some(()));
    running.stop().code(3);
    assert!(!is_alive(pid));
}

#[test]
fn leftovers_are_left_where_the_manifest_says_so() {
    let (running, pid) = leaving("stop: { leftovers: leave }", "");
    go_on(&running);
    let output = running.wait().code(3);
    assert!(is_alive(pid));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_until(|| (!is_alive(pid)).then_some(())).unwrap();
    drop(output);
}
