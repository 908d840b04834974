//! Forwarding, and the stop.

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::{script, serving, supervise};
use crate::harness::{Hushpipe, Running, children};

/// Sends any signal, real-time ones too, from a process that is neither hushpipe nor the program.
fn send(running: &Running, number: i32) {
    let status = std::process::Command::new("kill")
        .args([format!("-{number}"), running.pid().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Waits for one signal after the other, all blocked, and writes each number.
const TELLER: &str = "import signal\n\
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n\
    print('ready', flush=True)\n\
    while True:\n  print('got', signal.sigwaitinfo(range(1, 65)).si_signo, '.', flush=True)";

fn forwarded() -> impl Iterator<Item = i32> {
    let own = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGTERM];
    (1..=31).filter(move |n| !own.contains(n)).chain([34, 64])
}

#[test]
fn every_signal_that_can_be_caught_is_passed_on() {
    let running = supervise("", &["python3", "-c", TELLER]).spawn();
    running.wait_for_line("ready");
    for number in forwarded() {
        send(&running, number);
        running.wait_for_line(&format!("got {number} ."));
    }
    send(&running, libc::SIGTERM);
    running.wait_for_line("got 15 .");
    send(&running, libc::SIGTERM);
    running.wait().code(137);
}

#[test]
fn signals_are_rewritten_and_dropped() {
    let rewrite = "signals: { rewrite: { HUP: USR2, WINCH: none, TERM: QUIT } }";
    let running = supervise(rewrite, &["{probe}", "on", "QUIT", "exit:4", "serve"]).spawn();
    running.wait_for_line("ready");
    running.signal(Signal::SIGWINCH);
    running.signal(Signal::SIGHUP);
    running.wait_for_line("got USR2");
    let output = running.stop().code(4);
    assert_eq!(output.stdout(), "ready\ngot USR2\n");
}

#[test]
fn a_group_gets_what_is_sent_to_the_group_and_only_then() {
    let both = [
        "sh",
        "-c",
        "\"$0\" tell child & exec \"$0\" tell program",
        "{probe}",
    ];
    for (to, gets_it) in [("group", true), ("program", false)] {
        let running = supervise(&format!("signals: {{ to: {to} }}"), &both).spawn();
        running.wait_for_line("ready");
        running.wait_for_line("ready");
        let child = children(running.program())[0];
        running.signal(Signal::SIGHUP);
        running.wait_for_line("program got 1");
        // Straight to the child, which takes signals with lower numbers first.
        running.signal_to(child, Signal::SIGUSR2);
        running.wait_for_line("child got 12");
        assert_eq!(running.stdout().contains("child got 1\n"), gets_it, "{to}");
        running.signal_to(child, Signal::SIGKILL);
        running.signal_to(running.program(), Signal::SIGKILL);
        running.wait().code(137);
    }
}

#[test]
fn the_stop_signal_is_the_manifests() {
    let stop = "stop: { signal: INT, timeout: 30s }";
    let running = supervise(stop, &["{probe}", "on", "INT", "exit:7", "serve"]).spawn();
    running.wait_for_line("ready");
    running.stop().code(7);
}

#[test]
fn a_program_that_ignores_the_stop_is_killed_when_its_time_is_up() {
    let running = script(
        "stop: { timeout: 200ms }",
        "trap '' TERM; echo ready; while :; do sleep 0.05; done",
    )
    .spawn();
    running.wait_for_line("ready");
    running.stop().code(137);
}

#[test]
fn a_second_request_kills_at_once() {
    let running = script(
        "",
        "trap 'echo first' TERM; echo ready; while :; do sleep 0.05; done",
    )
    .spawn();
    running.wait_for_line("ready");
    running.signal(Signal::SIGTERM);
    running.wait_for_line("first");
    running.stop().code(137);
}

#[test]
fn timeout_sends_twice_and_means_once() {
    let running = script(
        "",
        "trap 'sleep 0.2; echo cleaned up; exit 8' TERM; echo ready; while :; do sleep 0.05; done",
    )
    .through(&["timeout", "--preserve-status", "1000"])
    .spawn();
    running.wait_for_line("ready");
    // It does what it does when the time is up: a signal to its child, and then to the group.
    running.stop().code(8).stdout_is("ready\ncleaned up\n");
}

#[test]
fn a_stopped_program_can_be_stopped_for_good() {
    let running = serving("");
    let program = running.program();
    running.signal_to(program, Signal::SIGSTOP);
    running.until("it is stopped", || {
        let stat = std::fs::read_to_string(format!("/proc/{program}/stat")).ok()?;
        stat.contains(") T ").then_some(())
    });
    running.stop().code(9);
}

#[test]
fn what_hushpipe_writes_in_vain_is_no_signal_for_the_program() {
    // Each line of its log is a SIGPIPE of its own: nobody reads standard error.
    let running = Hushpipe::new()
        .manifest("version: 1\nservice: test\n")
        .args([
            "run", "-vv", "--", "{probe}", "on", "TERM", "exit:0", "serve",
        ])
        .through(&["bash", "-c", "exec \"$@\" 2> >(exec true)", "bash"])
        .spawn();
    running.wait_for_line("ready");
    for (signal, got) in [(Signal::SIGUSR1, "got USR1"), (Signal::SIGUSR2, "got USR2")] {
        running.signal(signal);
        running.wait_for_line(got);
    }
    running
        .stop()
        .success()
        .stdout_is("ready\ngot USR1\ngot USR2\n");
}

#[test]
fn a_program_that_signals_its_init_signals_itself() {
    // As it would be without an init, where it is PID 1 itself.
    let text = "trap 'echo reloaded; kill -TERM $PPID' HUP; trap 'exit 5' TERM; kill -HUP $PPID; \
        while :; do sleep 0.05; done";
    script("", text).run().code(5).stdout_is("reloaded\n");
}

#[test]
fn a_program_that_answers_a_stop_with_the_same_may_clean_up() {
    let text = "trap 'kill -TERM $PPID; sleep 0.2; echo cleaned up; exit 5' TERM; echo ready; \
        while :; do sleep 0.05; done";
    let running = script("", text).spawn();
    running.wait_for_line("ready");
    running.stop().code(5).stdout_is("ready\ncleaned up\n");
}

#[test]
fn a_program_that_ignores_its_own_request_is_killed_in_time() {
    let text = "trap '' TERM; kill -TERM $PPID; while :; do sleep 0.05; done";
    script("stop: { timeout: 200ms }", text).run().code(137);
}

#[test]
fn a_request_before_the_start_ends_hushpipe_at_once() {
    let manifest = "version: 1\nservice: test\n\
        stores: { slow: { type: command, run: [sleep, '1000'] } }\n\
        secrets: { a: { store: slow } }\n\
        deliver: [ { fd: 3, as: pipe, secret: a } ]\n\
        run: { command: [touch, started] }\n";
    for (signal, code) in [
        (Signal::SIGTERM, 143),
        (Signal::SIGINT, 130),
        (Signal::SIGHUP, 129),
        (Signal::SIGQUIT, 131),
    ] {
        let running = crate::harness::Hushpipe::new()
            .manifest(manifest)
            .arg("run")
            .spawn();
        let store = running.program();
        nix::sys::signal::kill(Pid::from_raw(running.pid()), signal).unwrap();
        let output = running.wait().code(code);
        assert!(!output.place().path().join("started").exists());
        crate::harness::wait_until(|| (!crate::harness::is_alive(store)).then_some(()))
            .expect("the store's program is ended too");
    }
}

#[test]
fn a_program_is_not_started_after_a_signal_that_came_while_values_were_rendered() {
    let value = format!("A={}", "x".repeat(8 << 20));
    let running = Hushpipe::new()
        .file("secrets/db", value)
        .manifest(
            "version: 1\nservice: test\n\
             stores: { dir: { type: directory, path: \"{place}/secrets\" } }\n\
             secrets: { db: { store: dir, key: db, format: dotenv } }\n\
             deliver: [ { fd: 3, as: memfd, content: \"{{ db.A | raw }}\" } ]\n\
             run: { command: [echo, it ran] }\n",
        )
        .args(["-vv", "run"])
        .spawn();
    running.wait_for_stderr("fetched 1 secret");
    let output = running.stop().code(143);
    assert_eq!(output.stdout(), "");
}
