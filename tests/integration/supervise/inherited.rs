//! What whoever starts hushpipe ignores or blocks is meant for the program, as if it were started
//! without hushpipe: nohup(1), `&` in a script, a service manager. tini does the same.

use nix::sys::signal::Signal;

use super::{script, supervise};
use crate::harness::{Hushpipe, Running, children};

/// Ignores and blocks, as the arguments say, and becomes the rest of the arguments.
const CALLER: &str = "import signal, os, sys\n\
    signals = lambda text: [getattr(signal, 'SIG' + name) for name in text.split()]\n\
    for n in range(1, 65):\n\
    \x20 if n not in (9, 19, 32, 33): signal.signal(n, signal.SIG_DFL)\n\
    for n in signals(sys.argv[1]): signal.signal(n, signal.SIG_IGN)\n\
    signal.pthread_sigmask(signal.SIG_SETMASK, signals(sys.argv[2]))\n\
    os.execv(sys.argv[3], sys.argv[3:])";

fn called_with(hushpipe: Hushpipe, ignored: &str, blocked: &str) -> Hushpipe {
    hushpipe.through(&["python3", "-c", CALLER, ignored, blocked])
}

/// Two lines of /proc/PID/status.
fn sets(blocked: &[Signal], ignored: &[Signal]) -> String {
    let set = |signals: &[Signal]| -> u64 {
        let bits = signals.iter().map(|signal| 1 << (*signal as i32 - 1));
        bits.sum()
    };
    let (blocked, ignored) = (set(blocked), set(ignored));
    format!("SigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\n")
}

/// Without the C library's own two, which no caller sets by its functions but any may have inherited.
fn standard(sets: &str) -> String {
    let clear = |line: &str| {
        let (name, set) = line.split_once('\t').unwrap();
        let set = u64::from_str_radix(set, 16).unwrap() & !(0b11 << 31);
        format!("{name}\t{set:016x}\n")
    };
    sets.lines().map(clear).collect()
}

#[test]
fn what_the_caller_ignored_or_blocked_is_so_in_the_program() {
    use Signal::{SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGURG};
    let status = ["{probe}", "status", "SigBlk", "status", "SigIgn"];
    for mode in [&["run", "--"][..], &["run", "--exec", "--"]] {
        for (ignored, blocked, expected) in [
            ("", "", sets(&[], &[])),
            (
                "HUP INT QUIT PIPE",
                "URG",
                sets(&[SIGURG], &[SIGHUP, SIGINT, SIGQUIT, SIGPIPE]),
            ),
            // Nobody can wait for children who ignores SIGCHLD: POSIX leaves open what becomes of it.
            ("CHLD", "CHLD TERM", sets(&[SIGCHLD, SIGTERM], &[])),
        ] {
            let hushpipe = Hushpipe::new()
                .manifest("version: 1\nservice: test\n")
                .args(mode.iter().chain(&status).copied());
            let output = called_with(hushpipe, ignored, blocked).run().success();
            assert_eq!(standard(&output.stdout()), expected);
        }
    }
}

#[test]
fn nohup_protects_the_program_from_a_hang_up() {
    for mode in ["", "signals: { rewrite: { HUP: QUIT }, to: group }"] {
        let running = supervise(mode, &["sh", "-c", "echo ready; exec sleep 1000"])
            .through(&["nohup"])
            .spawn();
        running.wait_for_line("ready");
        running.signal(Signal::SIGHUP);
        running.stop().code(143);
    }
}

#[test]
fn a_program_that_handles_what_its_caller_ignored_still_gets_it() {
    let reloads = "import os, signal\n\
        signal.signal(signal.SIGHUP, lambda *_: os.write(1, b'reloaded\\n'))\n\
        os.write(1, b'ready\\n')\n\
        while True: signal.pause()";
    let running = supervise("", &["python3", "-c", reloads])
        .through(&["nohup"])
        .spawn();
    running.wait_for_line("ready");
    running.signal(Signal::SIGHUP);
    running.wait_for_line("reloaded");
    running.stop().code(143);
}

/// hushpipe in the background of a script, and its process id.
fn in_background(hushpipe: Hushpipe) -> (Running, i32) {
    let background = ["sh", "-c", "\"$@\" & wait $!", "sh"];
    let running = hushpipe.through(&background).spawn();
    let hushpipe = running.program();
    (running, hushpipe)
}

#[test]
fn a_scripts_background_job_is_not_interrupted() {
    let (running, hushpipe) = in_background(script("", "echo ready; exec sleep 1000"));
    running.wait_for_line("ready");
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        running.signal_to(hushpipe, signal);
    }
    running.wait().code(143);
}

#[test]
fn what_the_caller_ignored_does_not_end_the_fetch() {
    let slow = "version: 1\nservice: test\n\
        stores: { slow: { type: command, run: [sleep, '1000'] } }\n\
        secrets: { a: { store: slow } }\n\
        deliver: [ { fd: 3, as: pipe, secret: a } ]\n\
        run: { command: ['true'] }\n";
    let fetching = Hushpipe::new().manifest(slow).arg("run");
    let running = called_with(fetching, "HUP INT", "").spawn();
    running.until("the store is asked", || {
        children(running.pid()).first().copied()
    });
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        running.signal(signal);
    }
    running.wait().code(143);
}

#[test]
fn what_the_caller_ignored_does_not_cut_the_wait_for_leftovers() {
    // A leftover that takes its time to end, and says that it did.
    let leaves = "(trap 'sleep 0.3; echo cleaned up; exit' TERM; echo ready; \
        while :; do sleep 0.05; done) & read go < gate";
    let running = called_with(script("", &format!("mkfifo gate; {leaves}")), "INT", "").spawn();
    running.wait_for_line("ready");
    std::fs::write(running.place().join("gate"), "\n").unwrap();
    running.until("the program has ended", || {
        let now = children(running.pid());
        let is_shell = |pid: &i32| {
            let parent = |pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
            parent(*pid).is_some_and(|stat| stat.contains("(bash)"))
        };
        (now.iter().filter(|pid| is_shell(pid)).count() == 1).then_some(())
    });
    running.signal(Signal::SIGINT);
    running.wait().success().stdout_is("ready\ncleaned up\n");
}
