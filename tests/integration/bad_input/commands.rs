//! Command stores that fail, and signals while they are slow.

use std::fs;

use nix::sys::signal::Signal;

use super::{VALUE, launch, refused};
use crate::harness::{Hushpipe, descendants, is_alive, wait_until};

/// A launch whose secret this shell script prints.
fn command(script: &str, settings: &str) -> Hushpipe {
    launch(&format!(
        "stores: {{ s: {{ type: command, run: [/bin/sh, '{{place}}/fetch'], {settings} }} }}\n\
         secrets: {{ token: {{ store: s }} }}"
    ))
    .file("fetch", script)
}

#[test]
fn a_program_that_is_missing() {
    let hushpipe = launch(
        "stores: { s: { type: command, run: [no-such-tool, get] } }\n\
         secrets: { token: { store: s } }",
    );
    refused(hushpipe, 69)
        .stderr_has("store s: no-such-tool failed: not found: install it, or write its full path");
}

#[test]
fn a_program_that_fails() {
    let script = format!("echo {VALUE}; echo one >&2; echo 'not logged in' >&2; exit 3");
    refused(command(&script, "show_errors: true"), 69).stderr_is(
        "hushpipe: error: store s: /bin/sh failed: exit code 3; it said: not logged in\n",
    );
    refused(command("kill -9 $$", ""), 69).stderr_has("store s: /bin/sh failed: killed by SIGKILL");
}

#[test]
fn a_program_that_hangs() {
    let script = "trap '' TERM; exec sleep 1000";
    refused(command(script, "timeout: 200ms"), 75).stderr_has("store s: no answer within 200ms");
}

#[test]
fn a_program_that_prints_too_much() {
    refused(command("exec head -c 20000000 /dev/zero", ""), 65)
        .stderr_has("store s: the command printed more than 16 MiB");
}

#[test]
fn a_program_that_prints_no_json() {
    refused(command(&format!("echo {VALUE}"), "format: json"), 65)
        .stderr_has("store s: ")
        .stderr_has("JSON");
}

#[test]
fn nothing_is_fetched_for_a_program_that_is_not_the_pinned_one() {
    for mode in [None, Some("--exec")] {
        let digest = "0".repeat(64);
        let hushpipe = launch(&format!(
            "stores: {{ s: {{ type: command, run: [touch, '{{place}}/fetched'] }} }}\n\
             secrets: {{ token: {{ store: s }} }}\n\
             run: {{ command: [touch, '{{place}}/started'], sha256: '{digest}' }}"
        ));
        refused(hushpipe.args(mode), 77)
            .stderr_has(" has the SHA-256 ")
            .stderr_has(&format!(
                "but run.sha256 is {digest}; if the program was updated"
            ));
    }
}

#[test]
fn nothing_is_fetched_for_a_program_that_is_missing() {
    let hushpipe = launch(
        "stores: { s: { type: command, run: [touch, '{place}/fetched'] } }\n\
         secrets: { token: { store: s } }",
    );
    refused(hushpipe.args(["--", "no-such-program"]), 127).stderr_has("was not found in PATH");
}

/// Says that it has begun, then hangs, with a child that hangs as well.
const SLOW: &str = "sleep 1000 & echo $$ $! > \"$HOME\"/bin/slow; wait";

/// Sends a signal to hushpipe while its command is slow.
fn interrupted(through: &[&str], arguments: &[&str], signal: Signal) {
    let hushpipe = command(SLOW, "timeout: 1h").through(through);
    let hushpipe = hushpipe.args(arguments.iter().copied());
    let before = hushpipe.place().entries();
    let running = hushpipe.spawn();
    let path = running.place().join("bin/slow");
    let has_begun = || {
        fs::read_to_string(&path)
            .ok()?
            .ends_with('\n')
            .then_some(())
    };
    running.until("the command runs", has_begun);
    // unshare(1) starts hushpipe as its child, env(1) becomes hushpipe.
    let hushpipe = if through.contains(&"unshare") {
        descendants(running.pid())[0]
    } else {
        running.pid()
    };
    let slow = descendants(hushpipe);
    assert_eq!(slow.len(), 2, "the command and its child");
    running.signal_to(hushpipe, signal);
    let output = running.wait().code(128 + signal as i32);
    let output = output.stdout_is("").says_nothing_of(VALUE);
    assert_eq!(output.place().entries(), before);
    // The command was hushpipe's child; its own child dies of the same signal, in its own time.
    assert!(!is_alive(slow[0]), "the command was left running");
    wait_until(|| (!is_alive(slow[1])).then_some(())).expect("its child is killed");
}

#[test]
fn a_signal_during_a_slow_fetch_ends_it() {
    // What the caller ignores, as a shell does for what it starts in the background, ends nothing.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        interrupted(&["env", "--default-signal"], &[], signal);
    }
}

#[test]
fn a_signal_during_a_slow_fetch_ends_it_in_exec_mode() {
    interrupted(&[], &["--exec"], Signal::SIGTERM);
}

#[test]
fn a_signal_during_a_slow_fetch_ends_the_first_process_of_a_container() {
    let container = ["unshare", "--pid", "--fork", "--mount-proc"];
    interrupted(&container, &[], Signal::SIGTERM);
    interrupted(&container, &["--exec"], Signal::SIGTERM);
}
