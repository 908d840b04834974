//! Rollbacks and restarts, asked for and told of.

use nix::sys::signal::Signal;

use super::*;

const SEALED: &str = "version: 1\nservice: payments\n\
     stores:\n  local: { type: sealed, path: \"{place}/store\", identity_file: \"{place}/identity.txt\" }\n\
     secrets:\n  token: { store: local, key: token }\n\
     deliver:\n  - { file: \"{place}/run/token\", content: \"{{ token }}\\n\" }\n\
     run: { command: [\"{probe}\", on, TERM, \"exit:0\", on, HUP, \"cat:{place}/run/token\", \
     serve] }\n";

fn launch(on_rotate: &str) -> Running {
    let hushpipe = Hushpipe::new().sealed(&[("token", "one")]);
    start_with(hushpipe, &format!("{SEALED}on_rotate: {on_rotate}\n"))
}

/// A new value, which the program has.
fn rotated(running: &Running, value: &str) {
    running.place().seal("token", value);
    running.wait_for_line(value);
    running.wait_for_stderr("is in place");
}

#[test]
fn a_generation_goes_back_by_request() {
    let running = launch(
        "{ do: signal, signal: HUP, settle: 0s, verify: { alive: true, within: 100ms }, rollback: true }",
    );
    ask(&running, "rollback", &[])
        .code(64)
        .stderr_has("there is no generation before that is kept");
    rotated(&running, "two");
    ask(&running, "rollback", &[])
        .success()
        .stdout_is("rolled back, which is generation 3\n");
    running.wait_for_line("one");
    running.wait_for_stderr("rolled back, which is generation 3: it was asked for");
    let now = status(&running);
    assert_eq!(now["generation"], 3);
    assert_eq!(now["healthy"], true);
    assert_eq!(
        now["last_rotation"]["message"],
        "rolled back by request: generation 3"
    );
    rotated(&running, "three");
    running
        .stop()
        .success()
        .stdout_is("ready\ntwo\none\nthree\n");
}

#[test]
fn a_restart_is_told_and_the_new_program_has_nothing_of_the_socket() {
    let running = launch("{ do: restart, settle: 0s }");
    let (old, path) = (running.program(), socket(&running));
    running.place().seal("token", "two");
    running.wait_for_line("ready");
    running.wait_for_stderr("generation 2 is in place");
    let now = status(&running);
    assert_eq!(now["restarts"], 1);
    assert_eq!(now["healthy"], true);
    assert_eq!(now["state"], "steady");
    let new = now["program_pid"].as_i64().unwrap() as i32;
    assert_ne!(new, old);
    assert!(path.exists());
    assert_eq!(sockets_of(new), [""; 0].map(PathBuf::from));
    ask(&running, "status", &[]).stdout_has("  restarts       1\n");
    running.stop().success();
    assert!(!path.exists());
}

#[test]
fn the_status_is_told_until_the_last_leftover_is_gone() {
    let manifest = "version: 1\nservice: payments\nrun: { command: [sh, -c, \"trap '' TERM; \
         sleep 1000 & echo ready\"], stop: { timeout: 60s, leftovers: terminate } }\n";
    let running = start_with(Hushpipe::new(), manifest);
    running.until("the program has ended", || {
        (status(&running)["state"] == "ending").then_some(())
    });
    assert_eq!(status(&running)["program_pid"], Value::Null);
    ask(&running, "status", &["--check"])
        .code(1)
        .stdout_is("not healthy: payments: the program does not run\n");
    ask(&running, "status", &["--alive"]).code(1);
    // Twice asked to end, it waits no longer.
    running.signal(Signal::SIGTERM);
    running.signal(Signal::SIGTERM);
    running.wait().success();
}

#[test]
fn after_a_rollback_somebody_should_look_until_the_store_has_another_version() {
    let hushpipe = Hushpipe::new().sealed(&[("token", "good one")]);
    let on_rotate = "on_rotate:\n  signal: HUP\n  settle: 0s\n  rollback: true\n\
         \x20 verify: { command: [grep, -q, ^good, \"{place}/run/token\"], within: 300ms }\n";
    let running = start_with(hushpipe, &format!("{SEALED}{on_rotate}"));
    running.place().seal("token", "bad two");
    running.wait_for_stderr("rolled back, which is generation 3");
    running.wait_for_line("good one");
    let now = status(&running);
    assert_eq!(now["healthy"], false);
    assert_eq!(now["state"], "steady");
    assert_eq!(now["secrets"][0]["version"], "v1");
    assert_eq!(now["secrets"][0]["quarantined"], "v2");
    ask(&running, "status", &["--check"])
        .code(1)
        .stdout_has("not healthy: payments: rolled back: the program is not well with it");
    // A probe that went by its health would have the program restarted, with the bad version.
    ask(&running, "status", &["--alive"])
        .success()
        .stdout_has("not healthy: payments: rolled back");
    // The old value once more: nothing is to be handed over, and nothing is bad any more.
    running.place().seal("token", "good one");
    running.until("it is healthy again", || {
        (status(&running)["healthy"] == true).then_some(())
    });
    let now = status(&running);
    assert_eq!(now["secrets"][0]["version"], "v3");
    assert_eq!(now["secrets"][0]["quarantined"], serde_json::Value::Null);
    assert_eq!(now["generation"], 3);
    running
        .stop()
        .success()
        .stdout_is("ready\nbad two\ngood one\n");
}
