//! Whether the program is well with the new values, and what happens when it is not.

use nix::sys::signal::Signal;

use super::{BY_FILE, READS, directory, said_times};
use crate::harness::{Fake, FakeAnswers, Running};

/// A command that is content with values that start with `good`, seen as the program sees them.
const BY_COMMAND: &str = "on_rotate:\n  signal: HUP\n  settle: 0s\n\
     \x20 verify: { command: [grep, -q, ^good, \"{place}/run/token\"], within: 3s }\n";

fn good_one(rest: &str, probe: &[&str]) -> Running {
    // The first generation is not verified.
    directory(rest, probe)
}

#[test]
fn a_good_generation_is_verified_by_a_command_in_the_programs_namespace() {
    let running = good_one(
        &format!("{BY_FILE}isolation: private\n{BY_COMMAND}"),
        &READS,
    );
    running.place().replace("secrets/token", "good two");
    running.wait_for_line("good two");
    running.wait_for_stderr("verification succeeded");
    running.wait_for_stderr("generation 2 is in place");
    running.stop().success();
}

#[test]
fn a_bad_generation_is_rolled_back_and_not_tried_again() {
    let rest =
        format!("{BY_FILE}{BY_COMMAND}").replace("settle: 0s", "settle: 0s\n  rollback: true");
    let running = good_one(&rest, &READS);
    let place = running.place();
    place.replace("secrets/token", "bad two");
    running.wait_for_line("bad two");
    let said = running.wait_for_stderr("rolled back, which is generation 3");
    assert!(
        said.contains("grep ended with exit code 1 (tried for 3s)"),
        "{said}"
    );
    running.wait_for_line("one");
    // The same once more is not tried; a newer one is.
    place.replace("secrets/token", "bad two");
    place.replace("secrets/token", "good three");
    running.wait_for_line("good three");
    running.wait_for_stderr("generation 4 is in place");
    let output = running.stop().success();
    output.stdout_is("ready\nbad two\none\ngood three\n");
}

#[test]
fn without_rollback_a_bad_generation_stays() {
    let rest =
        format!("{BY_FILE}{BY_COMMAND}").replace("settle: 0s", "settle: 0s\n  rollback: false");
    let running = good_one(&rest, &READS);
    running.place().replace("secrets/token", "bad two");
    running.wait_for_stderr("generation 2 is in place");
    let said = running.wait_for_stderr("error: the program is not well with it");
    assert!(said.contains("it keeps the new generation"), "{said}");
    let output = running.stop().success().stdout_is("ready\nbad two\n");
    said_times(&output, "rolled back", 0);
}

#[test]
fn fifos_and_several_directories_go_back_too() {
    let rest = format!(
        "{BY_FILE}  - {{ file: \"{{place}}/other/token\", content: \"other {{{{ token }}}}\\n\" }}\n\
         \x20 - {{ fifo: \"{{place}}/run/pipe\", content: \"pipe {{{{ token }}}}\\n\" }}\n{BY_COMMAND}"
    );
    let probe = [
        "on",
        "HUP",
        "cat:{place}/run/token",
        "on",
        "HUP",
        "cat:{place}/other/token",
        "on",
        "HUP",
        "cat:{place}/run/pipe",
        "serve",
    ];
    let running = good_one(&rest, &probe);
    running.place().replace("secrets/token", "bad");
    running.wait_for_line("pipe bad");
    running.wait_for_line("pipe one");
    running.wait_for_stderr("rolled back");
    running.place().replace("secrets/token", "good");
    running.wait_for_line("pipe good");
    let seen =
        ["bad", "one", "good"].map(|value| format!("{value}\nother {value}\npipe {value}\n"));
    running
        .stop()
        .stdout_is(&format!("ready\n{}", seen.concat()));
}

fn by_http(server: &FakeAnswers, within: &str) -> String {
    format!(
        "{BY_FILE}on_rotate:\n  signal: HUP\n  settle: 0s\n\
         \x20 verify: {{ http: \"{}/health\", within: {within} }}\n",
        server.address()
    )
}

#[test]
fn a_request_is_made_until_the_answer_is_good() {
    let server = FakeAnswers::alone();
    server.answer("/health", Fake::status(503, "not yet"));
    let running = good_one(&by_http(&server, "1h"), &READS);
    running.place().replace("secrets/token", "two");
    running.until("it was asked twice", || {
        (server.count("/health") >= 2).then_some(())
    });
    server.answer("/health", Fake::status(200, "well"));
    running.wait_for_stderr("verification succeeded");
    running.stop().success().stdout_is("ready\ntwo\n");
}

#[test]
fn a_request_that_is_never_answered_well_rolls_back() {
    let server = FakeAnswers::alone();
    server.answer("/health", Fake::status(503, "SECRET-BODY"));
    let running = good_one(&by_http(&server, "1s"), &READS);
    running.place().replace("secrets/token", "two");
    let said = running.wait_for_stderr("rolled back, which is generation 3");
    assert!(said.contains("was answered by status 503"), "{said}");
    running.wait_for_line("one");
    let output = running.stop().success().stdout_is("ready\ntwo\none\n");
    output.says_nothing_of("SECRET-BODY");
}

#[test]
fn a_notification_that_fails_rolls_back_too() {
    let server = FakeAnswers::alone();
    let rest = format!(
        "{BY_FILE}on_rotate:\n  http: \"{}/reload\"\n  settle: 0s\n  rollback: true\n",
        server.address()
    );
    let running = good_one(&rest, &["on", "USR1", "cat:{place}/run/token", "serve"]);
    running.place().replace("secrets/token", "two");
    // It can be told of the way back no more than of the new values.
    running.wait_for_stderr("error: the generation before is back, but");
    let said = running.wait_for_stderr("rolled back, which is generation 3");
    assert!(
        said.contains("/reload was answered by status 404"),
        "{said}"
    );
    running.signal(Signal::SIGUSR1);
    running.wait_for_line("one");
    running.stop().success();
}

const ALIVE: &str =
    "on_rotate: { signal: HUP, settle: 0s, verify: { alive: true, within: 300ms } }\n";

#[test]
fn a_program_that_stays_alive_is_well() {
    let running = good_one(&format!("{BY_FILE}{ALIVE}"), &READS);
    running.place().replace("secrets/token", "two");
    running.wait_for_stderr("verification succeeded");
    running.stop().success();
}

#[test]
fn a_program_that_ends_by_itself_is_the_end() {
    let probe = ["on", "HUP", "exit:9", "serve"];
    let running = good_one(&format!("{BY_FILE}{ALIVE}"), &probe);
    running.place().replace("secrets/token", "two");
    let output = running.wait().code(9);
    assert!(!output.place().join("run").exists());
}

#[test]
fn a_change_that_comes_while_it_is_verified_is_delivered_afterwards() {
    let rest = format!("{BY_FILE}{ALIVE}").replace("300ms", "1s");
    let running = good_one(&rest, &READS);
    running.place().replace("secrets/token", "two");
    running.wait_for_line("two");
    running.place().replace("secrets/token", "three");
    running.wait_for_stderr("generation 2 is in place");
    running.wait_for_line("three");
    running.wait_for_stderr("generation 3 is in place");
    running.stop().success().stdout_is("ready\ntwo\nthree\n");
}

#[test]
fn a_stop_does_not_wait_for_a_verification() {
    let rest = format!("{BY_FILE}{ALIVE}").replace("300ms", "1h");
    let running = good_one(&rest, &READS);
    running.place().replace("secrets/token", "two");
    running.wait_for_line("two");
    running.stop().success();
}
