//! Programs that are stopped and started anew.

use nix::sys::signal::Signal;

use super::{BY_FILE, directory, directory_as, said_times, sealed, sealed_as, start};
use crate::harness::{Hushpipe, Output, Running, is_alive};

const RESTART: &str = "on_rotate: { do: restart, settle: 0s }\n";

/// Shows what it was given, and serves.
const SHOWS: [&str; 3] = ["cat", "{place}/run/token", "serve"];

/// Waits for the program that was started by the rotation to this generation.
fn restarted(running: &Running, generation: u32) {
    running.wait_for_stderr("stopping the program, to start it with the new generation");
    running.wait_for_stderr(&format!("generation {generation} is in place"));
    running.wait_for_line("ready");
}

#[test]
fn the_new_program_has_new_files_fds_and_pipes() {
    let deliver = "deliver:\n  - { file: \"{place}/run/token\", content: \"file {{ token }}\\n\" }\n\
         \x20 - { fd: 3, as: memfd, content: \"memfd {{ token }}\\n\" }\n\
         \x20 - { fd: 4, as: pipe, content: \"pipe {{ token }}\\n\" }\n\
         \x20 - { stdin: true, content: \"stdin {{ token }}\\n\" }\n\
         \x20 - { fifo: \"{place}/run/pipe\", content: \"fifo {{ token }}\\n\" }\n";
    let probe = [
        "cat",
        "{place}/run/token",
        "read",
        "3",
        "read",
        "4",
        "read",
        "0",
        "cat",
        "{place}/run/pipe",
        "serve",
    ];
    let running = directory(&format!("{deliver}{RESTART}"), &probe);
    let before = running.program();
    running.place().replace("secrets/token", "two");
    restarted(&running, 2);
    assert_ne!(running.program(), before);
    assert!(!is_alive(before));
    let seen = |value: &str| {
        ["file", "memfd", "pipe", "stdin", "fifo"]
            .map(|kind| format!("{kind} {value}\n"))
            .concat()
    };
    let expected = format!("{}ready\n{}ready\n", seen("one"), seen("two"));
    let output = running.stop().success().stdout_is(&expected);
    assert!(!output.place().join("run").exists());
}

#[test]
fn a_plan_of_fds_alone_is_watched_when_a_restart_can_follow() {
    let deliver = "deliver:\n  - { fd: 3, as: memfd, content: \"{{ token }}\\n\" }\n";
    let running = directory(&format!("{deliver}{RESTART}"), &["read", "3", "serve"]);
    for (generation, value) in [(2, "two"), (3, "three")] {
        running.place().replace("secrets/token", value);
        restarted(&running, generation);
    }
    running
        .stop()
        .success()
        .stdout_is("one\nready\ntwo\nready\nthree\nready\n");
}

#[test]
fn a_secret_alone_can_ask_for_a_restart() {
    let hushpipe = Hushpipe::new()
        .file("secrets/token", "one")
        .file("secrets/other", "one");
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n\
         \x20 other: {{ store: dir, key: other, on_rotate: {{ do: restart }} }}\n{BY_FILE}\
         \x20 - {{ fd: 3, as: memfd, content: \"{{{{ other }}}}\\n\" }}\n\
         on_rotate: {{ signal: HUP, settle: 1h }}\n"
    );
    let running = start(hushpipe.controlled(), &manifest, &["read", "3", "serve"]);
    let place = running.place();
    place.replace("secrets/token", "two");
    running.rotate("token");
    running.wait_for_line("got HUP");
    running.wait_for_stderr("generation 2 is in place");
    // Both at once: nobody need be told.
    place.replace("secrets/token", "three");
    place.replace("secrets/other", "three");
    running.rotate("token");
    restarted(&running, 3);
    let output = running.stop().success();
    output.stdout_is("one\nready\ngot HUP\nthree\nready\n");
}

fn rotates(running: Running) {
    running.place().seal("token", "two");
    restarted(&running, 2);
    let output = running.stop().success();
    output.stdout_is("one\nready\ntwo\nready\n");
}

#[test]
fn private_files_are_placed_anew() {
    let rest = format!("{BY_FILE}isolation: private\n{RESTART}");
    rotates(sealed(&rest, &SHOWS));
}

#[test]
fn private_files_in_a_user_namespace_are_placed_anew() {
    let rest = format!("{BY_FILE}isolation: private\n{RESTART}");
    rotates(sealed_as(Hushpipe::new().user(1000), &rest, &SHOWS));
}

#[test]
fn shared_files_are_placed_anew() {
    let hushpipe = Hushpipe::new();
    let place = hushpipe.place().path().file_name().unwrap();
    let run = format!("/dev/shm/{}", place.to_str().unwrap());
    let here = |text: &str| text.replace("{place}/run", &run);
    let rest = here(&format!("{BY_FILE}isolation: shared\n{RESTART}"));
    let probe = SHOWS.map(here);
    let probe: Vec<&str> = probe.iter().map(String::as_str).collect();
    rotates(sealed_as(hushpipe, &rest, &probe));
    assert!(!std::fs::exists(run).unwrap());
}

/// A program by a shell script, with more keys of `run:`, and what follows.
fn script_with(body: &str, run: &str, rest: &str) -> Running {
    let hushpipe = Hushpipe::new()
        .file("secrets/token", "one")
        .file("program", format!("#!/bin/sh\n{body}\n"));
    let manifest = format!(
        "version: 1\nservice: t\n\
         stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n{BY_FILE}\
         run:\n  command: [\"{{place}}/program\"]\n{run}{rest}"
    );
    let hushpipe = hushpipe.mode("program", 0o755).manifest(&manifest);
    let running = hushpipe.args(["-v", "run"]).spawn();
    running.wait_for_line("up");
    running
}

fn script(body: &str, rest: &str) -> Running {
    script_with(body, "", rest)
}

const WAITS: &str = "while :; do sleep 0.02; done";

#[test]
fn the_new_program_never_starts_before_the_old_one_is_gone() {
    let body = format!(
        "test -e alive && echo overlap\ntouch alive\n\
         trap 'sleep 0.2; rm alive; echo down; exit 0' TERM\necho up $(cat run/token)\n{WAITS}"
    );
    let running = script(&body, RESTART);
    for value in ["two", "three"] {
        running.place().replace("secrets/token", value);
        running.wait_for_line(&format!("up {value}"));
    }
    let output = running.stop().success();
    output.stdout_is("up one\ndown\nup two\ndown\nup three\ndown\n");
}

#[test]
fn what_the_old_program_left_is_gone_too() {
    let body = format!(
        "(trap 'sleep 0.2; echo child down; exit' TERM; while :; do sleep 0.02; done) &\n\
         trap 'echo down; exit 0' TERM; sleep 0.1; echo up $(cat run/token)\n{WAITS}"
    );
    let running = script(&body, RESTART);
    running.place().replace("secrets/token", "two");
    running.wait_for_line("up two");
    let output = running.stop().success();
    output.stdout_is("up one\ndown\nchild down\nup two\ndown\nchild down\n");
}

#[test]
fn a_program_that_does_not_stop_is_killed_and_replaced() {
    let body = format!("trap '' TERM\necho up $(cat run/token)\n{WAITS}");
    let stop = "  stop: { timeout: 300ms }\n";
    let running = script_with(&body, stop, RESTART);
    running.place().replace("secrets/token", "two");
    running.wait_for_stderr("the program did not end in time: sent SIGKILL");
    running.wait_for_line("up two");
    killed(running.stop());
}

/// hushpipe ends as a shell tells of a program that was killed.
fn killed(output: Output) {
    output.code(128 + 9);
}

const SLOW_END: &str = "trap 'touch stopping; sleep 0.5; echo down; exit 5' TERM";

fn stopping(running: &Running) {
    running.place().replace("secrets/token", "two");
    running.until("it is being stopped", || {
        running.place().join("stopping").exists().then_some(())
    });
}

#[test]
fn a_request_to_end_during_a_restart_is_the_first_and_nothing_is_started_after_it() {
    let body = format!("{SLOW_END}; echo up $(cat run/token)\n{WAITS}");
    let running = script(&body, RESTART);
    stopping(&running);
    let output = running.stop().code(5).stdout_is("up one\ndown\n");
    said_times(&output, "SIGKILL follows", 1);
    said_times(&output, "sent SIGKILL\n", 0);
}

#[test]
fn a_second_request_during_a_restart_kills() {
    let body = format!("{SLOW_END}; echo up $(cat run/token)\n{WAITS}");
    let running = script(&body.replace("0.5", "1000"), RESTART);
    stopping(&running);
    running.signal(Signal::SIGTERM);
    running.wait_for_stderr("SIGKILL follows");
    killed(running.stop());
}

#[test]
fn restarts_beyond_the_budget_wait_until_it_has_room() {
    let rest = "on_rotate: { do: restart, settle: 0s, restarts: { max: 2, per: 20s } }\n";
    let hushpipe = Hushpipe::new().controlled();
    let running = directory_as(hushpipe, &format!("{BY_FILE}{rest}"), &SHOWS);
    let place = running.place();
    for (generation, value) in [(2, "two"), (3, "three")] {
        place.replace("secrets/token", value);
        restarted(&running, generation);
    }
    place.replace("secrets/token", "four");
    let said = running.wait_for_stderr("error: the budget of 2 restarts in 20s is used up");
    assert!(said.contains("until it has room again"), "{said}");
    place.replace("secrets/token", "five");
    let status = running.until("the status says so", || {
        Some(running.status()).filter(|status| status["state"] == "restarts exhausted")
    });
    assert_eq!(status["restarts_left"], 0, "{status}");
    assert_eq!(status["healthy"], false, "{status}");
    assert_eq!(
        status["next"]["what"], "restart the program, when the budget has room",
        "{status}"
    );
    assert!(
        status["next"]["in_seconds"].as_u64() <= Some(20),
        "{status}"
    );
    restarted(&running, 4);
    let status = running.status();
    assert_eq!(status["state"], "steady", "{status}");
    assert_eq!(status["healthy"], true, "{status}");
    let output = running.stop().success();
    said_times(&output, "the budget of", 1);
    output.stdout_is("one\nready\ntwo\nready\nthree\nready\nfive\nready\n");
}

#[test]
fn a_program_that_ends_by_itself_is_not_restarted() {
    let body = format!("trap 'exit 6' USR1; echo up\n{WAITS}");
    let running = script(&body, RESTART);
    running.signal(Signal::SIGUSR1);
    running.wait().code(6).stdout_is("up\n");
}

/// Is content with values that start with `good`.
const VERIFIED: &str = "on_rotate:\n  do: restart\n  settle: 0s\n\
     \x20 verify: { command: [grep, -q, ^good, \"{place}/run/token\"], within: 3s }\n";

#[test]
fn a_program_that_is_not_well_is_restarted_with_the_old_values() {
    let running = directory(&format!("{BY_FILE}{VERIFIED}"), &SHOWS);
    let place = running.place();
    place.replace("secrets/token", "bad");
    running.wait_for_line("bad");
    let said = running.wait_for_stderr("rolled back, which is generation 3");
    assert!(said.contains("grep ended with exit code 1"), "{said}");
    running.wait_for_line("one");
    running.wait_for_line("ready");
    // It is not tried again until there is another.
    place.replace("secrets/token", "bad");
    place.replace("secrets/token", "good");
    running.wait_for_line("good");
    running.wait_for_stderr("generation 4 is in place");
    let output = running.stop().success();
    output.stdout_is("one\nready\nbad\nready\none\nready\ngood\nready\n");
}

#[test]
fn a_program_that_ends_while_it_is_verified_is_started_with_the_old_values() {
    let body = format!(
        "trap 'exit 0' TERM; echo up $(cat run/token)\n\
         grep -q bad run/token && exit 3\n{WAITS}"
    );
    let rest = "on_rotate: { do: restart, settle: 0s, verify: { alive: true, within: 5s } }\n";
    let running = script(&body, rest);
    running.place().replace("secrets/token", "bad");
    let said = running.wait_for_stderr("rolled back, which is generation 3");
    assert!(
        said.contains("ended with code 3 while it was verified"),
        "{said}"
    );
    running.wait_for_line("up one");
    running.place().replace("secrets/token", "good");
    running.wait_for_line("up good");
    running.wait_for_stderr("generation 4 is in place");
    let output = running.stop().success();
    output.stdout_is("up one\nup bad\nup one\nup good\n");
}

#[test]
fn a_program_that_cannot_be_found_any_more_is_not_stopped() {
    let body = format!("trap 'exit 0' TERM; echo up $(cat run/token)\n{WAITS}");
    let running = script(&body, RESTART);
    let place = running.place();
    std::fs::rename(place.join("program"), place.join("away")).unwrap();
    place.replace("secrets/token", "two");
    let said = running.wait_for_stderr("error: the new generation cannot be put in place");
    assert!(said.contains("program"), "{said}");
    std::fs::rename(place.join("away"), place.join("program")).unwrap();
    running.wait_for_line("up two");
    running.stop().success().stdout_is("up one\nup two\n");
}

#[test]
fn a_program_that_can_be_started_neither_way_is_the_end() {
    let body = format!("trap 'mv program away; exit 0' TERM; echo up $(cat run/token)\n{WAITS}");
    let running = script(&body, RESTART);
    running.place().replace("secrets/token", "two");
    let output = running.wait().code(127).stdout_is("up one\n");
    let stderr = output.stderr();
    assert!(stderr.contains("hushpipe: error: "), "{stderr}");
    assert!(!output.place().join("run").exists());
}

#[test]
fn a_value_that_fails_its_check_stops_nothing() {
    let hushpipe = Hushpipe::new().file("secrets/token", "good one");
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token, check: {{ pattern: ^good }} }}\n\
         {BY_FILE}{RESTART}"
    );
    let running = start(hushpipe, &manifest, &SHOWS);
    running.place().replace("secrets/token", "bad");
    running.wait_for_stderr("error: the new generation is refused");
    running.place().replace("secrets/token", "good two");
    restarted(&running, 2);
    let output = running.stop().success();
    output.stdout_is("good one\nready\ngood two\nready\n");
}
