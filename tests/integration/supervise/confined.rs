//! What hushpipe gives up once its program runs.

use std::fs;

use crate::harness::{Hushpipe, Running};

/// A program that ends with 5 when it is asked to, and a secret in a file.
fn serving(rest: &str) -> Running {
    let running = Hushpipe::new()
        .file("secrets/token", "correct-horse")
        .manifest(&format!(
            "version: 1\nservice: t\n\
             stores:\n  dir: {{ type: directory, path: '{{place}}/secrets' }}\n\
             secrets:\n  token: {{ store: dir, key: token, refresh: 1s }}\n\
             deliver: [{{ file: '{{place}}/a/b/token', secret: token }}]\n{rest}"
        ))
        .controlled()
        .args([
            "run",
            "-v",
            "--",
            "{probe}",
            "on",
            "HUP",
            "cat:{place}/a/b/token",
        ])
        .args(["on", "TERM", "exit:5", "serve"])
        .spawn();
    running.wait_for_line("ready");
    running.wait_for_stderr("hushpipe's own protection");
    running
}

fn status(running: &Running, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

const SYS_ADMIN: u64 = 1 << 21;
const KILL: u64 = 1 << 5;

#[test]
fn hushpipe_confines_itself_once_its_program_runs() {
    let running = serving("on_rotate: { do: signal, signal: HUP, settle: 0s }\n");
    assert_eq!(status(&running, "Seccomp"), "2");
    assert_eq!(status(&running, "NoNewPrivs"), "1");
    let held = u64::from_str_radix(&status(&running, "CapPrm"), 16).unwrap();
    assert_eq!(held & (SYS_ADMIN | KILL), KILL, "{held:x}");
    let shown = String::from_utf8(running.ask(&["status", "-v"]).stdout).unwrap();
    assert!(shown.contains("system calls refused"), "{shown}");
    let plain = String::from_utf8(running.ask(&["status"]).stdout).unwrap();
    assert!(!plain.contains("system calls refused"), "{plain}");
    // It still does its work: new values, a stop, and taking away what it made.
    running.place().replace("secrets/token", "battery-staple\n");
    running.wait_for_line("battery-staple");
    let output = running.stop().code(5);
    assert!(!output.place().join("a").exists());
}

#[test]
fn what_may_be_started_later_has_all_that_the_first_program_had() {
    let restart = "on_rotate: { do: restart, settle: 0s }\n";
    let command = "on_rotate: { do: command, settle: 0s, \
                   command: [sh, -c, 'grep CapPrm /proc/$$/status > told'] }\n";
    for rest in [restart, command] {
        let running = serving(rest);
        assert_eq!(status(&running, "NoNewPrivs"), "0");
        let before = fs::read_to_string(format!("/proc/{}/status", running.program())).unwrap();
        running.place().replace("secrets/token", "battery-staple\n");
        running.wait_for_stderr("generation 2 is in place");
        let after = fs::read_to_string(format!("/proc/{}/status", running.program())).unwrap();
        for name in ["CapPrm:", "CapBnd:", "Seccomp:"] {
            let of = |text: &str| {
                text.lines()
                    .find(|line| line.starts_with(name))
                    .map(str::to_owned)
            };
            assert_eq!(of(&before), of(&after));
        }
        if rest == command {
            assert!(before.contains(running.place().read("told").trim_end()));
        }
        running.stop().code(5);
    }
}

/// As in a container with `--cap-drop ALL --cap-add SETUID --cap-add SETGID`.
#[test]
fn a_program_of_another_user_is_signalled_and_stopped_without_cap_kill() {
    for ends in [&["on", "TERM", "exit:5"][..], &["on", "TERM", "say:no"]] {
        let running = Hushpipe::new()
            .manifest(
                "version: 1\nservice: t\n\
                 run: { user: '1000', group: '1000', stop: { timeout: 1s } }\n",
            )
            .through(&["setpriv", "--bounding-set=-kill", "--inh-caps=-all"])
            .args(["run", "-v", "--", "{probe}"])
            .args(ends.iter().copied())
            .args(["on", "USR1", "say:told", "serve"])
            .spawn();
        running.wait_for_line("ready");
        let held = u64::from_str_radix(&status(&running, "CapPrm"), 16).unwrap();
        assert_eq!(held & KILL, 0, "the test tests nothing");
        running.signal(nix::sys::signal::Signal::SIGUSR1);
        running.wait_for_line("told");
        running.wait_for_stderr("hushpipe's own protection");
        let killed = ends[2].starts_with("say");
        running.stop().code(if killed { 137 } else { 5 });
    }
}
