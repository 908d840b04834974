//! What is done for a new generation: signals, commands, requests, each where it is asked for.

use std::fs;

use nix::sys::signal::Signal;

use super::{
    AT_ONCE, BY_FILE, READS, directory, directory_as, said_times, sealed, sealed_as, start,
};
use crate::harness::{Fake, FakeAnswers, Hushpipe, Running, is_alive};

/// `token` and `other` in a directory; what follows says what becomes of them.
fn two(token: &str, other: &str, rest: &str, probe: &[&str]) -> Running {
    let hushpipe = Hushpipe::new()
        .controlled()
        .file("secrets/token", "one")
        .file("secrets/other", "one");
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token{token} }}\n\
         \x20 other: {{ store: dir, key: other{other} }}\n{rest}"
    );
    start(hushpipe, &manifest, probe)
}

const BOTH: &str = "deliver:\n  - { file: \"{place}/run/token\", content: \"{{ token }}\\n\" }\n\
     \x20 - { file: \"{place}/run/other\", content: \"{{ other }}\\n\" }\n";

/// The command copies what it sees to `{place}/seen`.
fn copies(isolation: &str) -> String {
    format!(
        "{BY_FILE}isolation: {isolation}\non_rotate:\n  settle: 0s\n  do: command\n\
         \x20 command: [sh, -c, \"cat run/token; id -u; echo $PROGRAM_PID; readlink /proc/self/fd/0\"]\n"
    )
}

fn command_sees(running: &Running, uid: u32) {
    running.place().seal("token", "two");
    for line in [
        "two".to_owned(),
        uid.to_string(),
        running.program().to_string(),
        "/dev/null".to_owned(),
    ] {
        assert_eq!(running.wait_for_stderr(&line), line);
    }
    running.wait_for_stderr("told the program by command sh");
    running.wait_for_stderr("generation 2 is in place");
}

#[test]
fn a_command_sees_the_programs_private_files() {
    let running = sealed(&copies("private"), &["serve"]);
    command_sees(&running, 0);
    running.stop().success();
}

#[test]
fn a_command_sees_the_private_files_in_a_user_namespace() {
    let hushpipe = Hushpipe::new().user(1000);
    let running = sealed_as(hushpipe, &copies("private"), &["serve"]);
    command_sees(&running, 1000);
    running.stop().success();
}

#[test]
fn a_command_runs_as_the_program_does() {
    let user = "run: { user: nobody, env: { set: { GREETING: hello } } }\n";
    let command = "on_rotate: { settle: 0s, command: \
         [sh, -c, \"cat run/token; id -un; echo $GREETING; echo =$VAULT_TOKEN$HUSHPIPE_X=\"] }\n";
    let hushpipe = Hushpipe::new().file("secrets/token", "one");
    hushpipe.place().set_mode("", 0o755);
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n{BY_FILE}isolation: private\n{user}{command}"
    );
    let hushpipe = hushpipe.env("VAULT_TOKEN", "x").env("HUSHPIPE_X", "x");
    let running = start(hushpipe, &manifest, &["serve"]);
    running.place().replace("secrets/token", "two");
    for line in ["two", "nobody", "hello", "=="] {
        assert_eq!(running.wait_for_stderr(line), line);
    }
    running.stop().success();
}

#[test]
fn a_command_that_fails_is_said_and_the_new_values_stay() {
    let rest = format!("{BY_FILE}on_rotate: {{ settle: 0s, command: [sh, -c, \"exit 3\"] }}\n");
    let running = directory(&rest, &["on", "USR1", "cat:{place}/run/token", "serve"]);
    running.place().replace("secrets/token", "two");
    running.wait_for_stderr("generation 2 is in place");
    let said = running.wait_for_stderr("error: the program could not be told");
    assert!(said.contains("sh ended with exit code 3"), "{said}");
    running.signal(Signal::SIGUSR1);
    running.wait_for_line("two");
    running.stop().success();
}

#[test]
fn a_program_that_could_not_be_notified_is_not_healthy_until_it_was() {
    let rest = "on_rotate: { settle: 0s, command: [sh, -c, \"test -e works\"] }\n";
    let running = two("", ", refresh: never", &format!("{BOTH}{rest}"), &["serve"]);
    let place = running.place();
    place.replace("secrets/other", "two");
    let output = running.ask(&["rotate", "other"]);
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("generation 2 is in place, but the program could not be told"),
        "{said}"
    );
    assert_eq!(running.status()["healthy"], false);
    place.write("works", "");
    place.replace("secrets/other", "three");
    running.rotate("other");
    assert_eq!(running.status()["healthy"], true);
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
    let rest = format!(
        "{BY_FILE}on_rotate: {{ settle: 0s, timeout: 300ms, \
         command: [sh, -c, \"sleep 1000 & echo child $!; wait\"] }}\n"
    );
    let running = directory(&rest, &["serve"]);
    running.place().replace("secrets/token", "two");
    let child = running.wait_for_stderr("child ");
    let child: i32 = child.trim_start_matches("child ").parse().unwrap();
    let said = running.wait_for_stderr("error: the program could not be told");
    assert!(said.contains("sh did not end within 300ms"), "{said}");
    running.until("its child is gone", || (!is_alive(child)).then_some(()));
    running.stop().success();
}

#[test]
fn signals_and_leases_are_not_held_up_by_a_command() {
    let rest = format!(
        "{BY_FILE}on_rotate: {{ settle: 0s, command: [sh, -c, \"echo begun; exec sleep 1000\"] }}\n"
    );
    let running = directory(&rest, &["on", "TERM", "exit:4", "serve"]);
    running.place().replace("secrets/token", "two");
    running.wait_for_stderr("begun");
    running.signal(Signal::SIGUSR1);
    running.wait_for_line("got USR1");
    let command = running.until("the command runs", || {
        let children = crate::harness::children(running.pid());
        children.into_iter().find(|pid| *pid != running.program())
    });
    running.stop().code(4);
    assert!(!is_alive(command));
}

#[test]
fn a_request_tells_the_program() {
    let server = FakeAnswers::alone();
    server.answer("/-/reload", Fake::status(204, ""));
    let address = server.address();
    let rest =
        format!("{BY_FILE}on_rotate: {{ settle: 0s, do: http, http: \"{address}/-/reload\" }}\n");
    let running = directory(&rest, &["serve"]);
    let program = running.program();
    running.place().replace("secrets/token", "two");
    running.wait_for_stderr("told the program by POST http://127.0.0.1:");
    running.wait_for_stderr("generation 2 is in place");
    server.answer("/-/reload", Fake::status(500, "broken"));
    running.place().replace("secrets/token", "three");
    running.wait_for_stderr("generation 3 is in place");
    let said = running.wait_for_stderr("error: the program could not be told");
    assert!(said.contains("was answered by status 500"), "{said}");
    assert_eq!(running.program(), program, "it is another one");
    let output = running.stop().success();
    assert_eq!(output.stdout().matches("ready").count(), 1);
    let methods: Vec<String> = server.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["POST", "POST"]);
    output.says_nothing_of("broken");
}

#[test]
fn each_secret_has_its_own_action_and_each_action_is_done_once() {
    let usr1 = ", on_rotate: { signal: USR1 }";
    let rest = format!("{BOTH}on_rotate: {{ signal: HUP, settle: 1h }}\n");
    let running = two("", usr1, &rest, &["serve"]);
    let place = running.place();
    place.replace("secrets/other", "two");
    running.rotate("other");
    running.wait_for_line("got USR1");
    running.wait_for_stderr("generation 2 is in place");
    place.replace("secrets/token", "two");
    running.rotate("token");
    running.wait_for_line("got HUP");
    running.wait_for_stderr("generation 3 is in place");
    place.replace("secrets/token", "three");
    place.replace("secrets/other", "three");
    running.rotate("token");
    running.wait_for_stderr("generation 4 is in place");
    let output = running.stop().success();
    said_times(&output, "told the program by SIGUSR1", 2);
    said_times(&output, "told the program by SIGHUP", 2);
}

#[test]
fn two_secrets_with_one_action_tell_the_program_once() {
    let rest = format!("{BOTH}on_rotate: {{ signal: HUP, settle: 5s }}\n");
    let running = two("", "", &rest, &["serve"]);
    running.place().replace("secrets/token", "two");
    running.place().replace("secrets/other", "two");
    running.wait_for_stderr("generation 2 is in place");
    let output = running.stop().success().stdout_is("ready\ngot HUP\n");
    said_times(&output, "told the program", 1);
}

#[test]
fn a_secret_has_its_own_command_its_own_request_or_nothing_at_all() {
    let server = FakeAnswers::alone();
    server.answer("/reload", Fake::status(200, ""));
    let own = |action: &str| format!(", on_rotate: {{ {action} }}");
    let command = own("do: command, command: [touch, \"{place}/told\"]");
    let http = own(&format!("do: http, http: \"{}/reload\"", server.address()));
    let rest = format!("{BOTH}on_rotate: {{ signal: HUP, settle: 0s }}\n");
    let running = two(&command, &http, &rest, &["serve"]);
    let place = running.place();
    place.replace("secrets/token", "two");
    running.wait_for_stderr("told the program by command touch");
    assert!(place.join("told").exists());
    assert_eq!(server.count("/reload"), 0);
    place.replace("secrets/other", "two");
    running.wait_for_stderr("told the program by POST http://");
    assert_eq!(server.count("/reload"), 1);
    running.wait_for_stderr("generation 3 is in place");
    let output = running.stop().success().stdout_is("ready\n");
    said_times(&output, "told the program", 2);
    let running = two("", &own("do: nothing"), &rest, &["serve"]);
    let place = running.place();
    place.replace("secrets/other", "two");
    running.wait_for_stderr("generation 2 is in place");
    place.replace("secrets/token", "two");
    running.wait_for_line("got HUP");
    let output = running.stop().success().stdout_is("ready\ngot HUP\n");
    said_times(&output, "told the program", 1);
}

#[test]
fn what_only_an_fd_shows_tells_nobody() {
    let rest = format!("{BY_FILE}  - {{ fd: 3, as: memfd, secret: other }}\n{AT_ONCE}");
    let running = two("", "", &rest, &READS);
    running.place().replace("secrets/other", "two");
    running.place().replace("secrets/token", "two");
    running.wait_for_line("two");
    let output = running.stop().stdout_is("ready\ntwo\n");
    said_times(&output, "told the program", 1);
    said_times(&output, "secret other", 0);
}

#[test]
fn a_signal_goes_to_the_group_where_the_manifest_says_so() {
    let script = "#!/bin/sh\n(trap 'echo child got it' HUP; echo >child; while :; do sleep 0.02; done) &\n\
         trap 'echo got it' HUP; trap 'exit 0' TERM\n\
         while ! test -e child; do sleep 0.02; done; echo ready; while :; do sleep 0.02; done\n";
    let hushpipe = Hushpipe::new()
        .file("secrets/token", "one")
        .file("program", script);
    let manifest = format!(
        "version: 1\nservice: t\n\
         stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n{BY_FILE}\
         run: {{ command: [\"{{place}}/program\"], signals: {{ to: group }} }}\n{AT_ONCE}"
    );
    let hushpipe = hushpipe.mode("program", 0o755).manifest(&manifest);
    let running = hushpipe.args(["-v", "run"]).spawn();
    running.wait_for_line("ready");
    running.place().replace("secrets/token", "two");
    running.until("both got it", || {
        let stdout = running.stdout();
        (stdout.contains("child got it\n") && stdout.contains("\ngot it\n")).then_some(())
    });
    running.stop().success();
}

#[test]
fn a_generation_waits_for_its_splay_and_a_request_does_not() {
    let rest = format!("{BY_FILE}on_rotate: {{ signal: HUP, settle: 0s, splay: 100h }}\n");
    let running = directory_as(Hushpipe::new().controlled(), &rest, &READS);
    running.place().replace("secrets/token", "two");
    let status = running.until("it waits for its turn", || {
        Some(running.status()).filter(|status| status["state"] == "settling")
    });
    assert_eq!(status["next"]["what"], "ask the stores", "{status}");
    // A draw of less than a minute of a hundred hours is not to be expected.
    let wait = status["next"]["in_seconds"].as_u64().unwrap();
    assert!((60..=360_000).contains(&wait), "{status}");
    assert_eq!(status["generation"], 1, "{status}");
    running.rotate("token");
    running.wait_for_line("two");
    running.stop().success().stdout_is("ready\ntwo\n");
}

#[test]
fn after_its_splay_a_generation_comes_by_itself() {
    let rest = format!("{BY_FILE}on_rotate: {{ signal: HUP, settle: 0s, splay: 200ms }}\n");
    let running = directory(&rest, &READS);
    running.place().replace("secrets/token", "two");
    running.wait_for_line("two");
    running.stop().success();
}

/// Nothing tells hushpipe of a change of it.
const UNTOLD: &str = "stores:\n  tool: { type: command, run: [cat, \"{place}/value\"] }\n\
     secrets:\n  token: { store: tool }\n";

#[test]
fn a_signal_can_mean_rotate_and_is_not_passed_on() {
    let hushpipe = Hushpipe::new().file("value", "one");
    let rewrite = "run: { signals: { rewrite: { USR1: rotate } } }\n";
    let manifest = format!("{UNTOLD}{BY_FILE}{rewrite}{AT_ONCE}");
    let running = start(hushpipe, &manifest, &READS);
    running.place().replace("value", "two");
    running.signal(Signal::SIGUSR1);
    running.wait_for_stderr("asked to rotate by a signal");
    running.wait_for_line("two");
    // Nothing is new.
    running.signal(Signal::SIGUSR1);
    running.wait_for_stderr("asked to rotate by a signal");
    running.stop().success().stdout_is("ready\ntwo\n");
}

#[test]
fn by_default_the_program_gets_its_own_signals() {
    let hushpipe = Hushpipe::new().file("value", "one");
    let running = start(hushpipe, &format!("{UNTOLD}{BY_FILE}{AT_ONCE}"), &READS);
    running.signal(Signal::SIGUSR1);
    running.wait_for_line("got USR1");
    fs::write(running.place().join("value"), "two").unwrap();
    let output = running.stop().success();
    said_times(&output, "asked to rotate", 0);
}
