//! What a launcher does when it is asked.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::*;
use crate::harness::is_alive;

/// Fails while `{place}/down` is there, never ends while `{place}/hang` is, else prints the value.
const TOOL: &str = "#!/bin/sh\ncd \"$1\" || exit 1\n\
     if test -e down; then echo \"vault is sealed\" >&2; exit 3; fi\n\
     if test -e hang; then echo $$ >hanging.new; mv hanging.new hanging; exec sleep 1000; fi\n\
     cat value\n";

/// Nothing tells it of a change: it looks when it is asked to.
const UNTOLD: &str = "version: 1\nservice: payments\n\
     stores:\n  tool: { type: command, run: [\"{place}/tool\", \"{place}\"], show_errors: true }\n\
     secrets:\n  token: { store: tool, check: { pattern: \"^good\" } }\n\
     deliver:\n  - { file: \"{place}/run/token\", content: \"{{ token }}\\n\" }\n\
     run: { command: [\"{probe}\", on, TERM, \"exit:0\", on, HUP, \"cat:{place}/run/token\", \
     serve] }\non_rotate: { do: signal, signal: HUP, settle: 0s }\n";

fn untold() -> Running {
    let hushpipe = Hushpipe::new().file("value", "good one").file("tool", TOOL);
    start_with(hushpipe.mode("tool", 0o755), UNTOLD)
}

#[test]
fn a_launcher_rotates_when_it_is_asked() {
    let running = untold();
    running.place().replace("value", "good two");
    ask(&running, "rotate", &[])
        .success()
        .stdout_has("generation 2 is in place: ")
        .stdout_has(" → ");
    running.wait_for_line("good two");
    running.wait_for_stderr("asked to rotate by process ");
    let now = status(&running);
    assert_eq!(now["generation"], 2);
    assert_eq!(now["state"], "steady");
    assert_eq!(now["healthy"], true);
    assert_eq!(now["secrets"][0]["name"], "token");
    assert!(now["last_rotation"]["at"].as_str().unwrap().ends_with('Z'));
    ask(&running, "rotate", &["token"])
        .success()
        .stdout_is("nothing has changed\n");
    ask(&running, "rotate", &["--quiet"])
        .success()
        .stdout_is("");
    running.stop().success().stdout_is("ready\ngood two\n");
}

#[test]
fn what_a_store_does_not_give_is_told_to_who_asked_and_shown() {
    let running = untold();
    running.place().write("down", "");
    ask(&running, "rotate", &[])
        .code(69)
        .stdout_is("")
        .stderr_has("vault is sealed");
    let now = status(&running);
    assert_eq!(now["healthy"], false);
    assert_eq!(now["outages"][0]["store"], "tool");
    let page = ask(&running, "status", &[]).success();
    page.stdout_has("not healthy\n")
        .stdout_has("outage         store tool, since ");
    ask(&running, "status", &["--check"])
        .code(1)
        .stdout_has("not healthy: payments: store tool");
    std::fs::remove_file(running.place().join("down")).unwrap();
    // It may have recovered by itself meanwhile.
    ask(&running, "rotate", &[]).success();
    ask(&running, "status", &["--check"]).success();
    assert_eq!(status(&running)["outages"].as_array().unwrap().len(), 0);
    running.stop().success().stdout_is("ready\n");
}

#[test]
fn a_value_that_is_refused_is_told_to_who_asked() {
    let running = untold();
    running.place().replace("value", "bad");
    ask(&running, "rotate", &[])
        .code(65)
        .stderr_has("the new generation is refused")
        .stderr_has("token");
    ask(&running, "status", &["--check"])
        .code(1)
        .stdout_has("not healthy: payments: the new generation is refused");
    running.place().replace("value", "good two");
    ask(&running, "rotate", &[]).success();
    running.wait_for_line("good two");
    ask(&running, "status", &["--check"])
        .success()
        .stdout_is("healthy: payments, generation 2\n");
    running.stop().success();
}

#[test]
fn the_status_is_told_while_a_store_does_not_answer() {
    let running = untold();
    let place = running.place();
    place.replace("value", "good two");
    place.write("hang", "");
    let waiting = Instant::now();
    ask(&running, "rotate", &["--timeout", "300ms"])
        .code(75)
        .stderr_has("timed out after 300ms; the request is still running");
    assert!(waiting.elapsed() >= Duration::from_millis(300));
    let hanging: i32 = place.read("hanging").trim().parse().unwrap();
    assert!(is_alive(hanging));
    assert_eq!(status(&running)["state"], "fetching");
    assert!(is_alive(hanging));
    // What was asked goes on, though nobody waits for it.
    std::fs::remove_file(place.join("hang")).unwrap();
    running.signal_to(hanging, Signal::SIGKILL);
    running.wait_for_line("good two");
    running.stop().success();
}

#[test]
fn who_leaves_the_wait_does_no_harm() {
    let running = untold();
    let place = running.place();
    place.write("hang", "");
    let pid = running.pid().to_string();
    let client = Hushpipe::new()
        .env("XDG_RUNTIME_DIR", place.join("runtime"))
        .args(["rotate", "-t", &pid])
        .spawn();
    running.until("the store is asked", || {
        place.join("hanging").exists().then_some(())
    });
    client.signal(Signal::SIGINT);
    client.wait().killed_by(Signal::SIGINT);
    ask(&running, "status", &["--json"]).success();
    std::fs::remove_file(place.join("hang")).unwrap();
    let hanging: i32 = place.read("hanging").trim().parse().unwrap();
    running.signal_to(hanging, Signal::SIGKILL);
    ask(&running, "rotate", &[]).success();
    running.stop().success();
}

#[test]
fn a_secret_that_is_not_there_is_named_with_the_nearest() {
    let running = untold();
    for (command, name, help) in [
        ("rotate", "tokn", "did you mean token?"),
        ("revoke", "tokens", "did you mean token?"),
        ("rollback", "elsewhere", "it has token"),
    ] {
        ask(&running, command, &[name]).code(64).stderr_is(&format!(
            "hushpipe: error: payments has no secret \"{name}\": {help}\n"
        ));
    }
    beside(running.place(), &["rollback", "--to", "2"]).code(64);
    running.stop().success();
}
