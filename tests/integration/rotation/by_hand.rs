//! Rollbacks, rotations and revocations that somebody asks for.

use super::{BY_FILE, STORE, said_times, start};
use crate::harness::{Fake, FakeAnswers, Hushpipe, Output, Running};

/// As `start`, with a control socket in the place.
fn launch(hushpipe: Hushpipe, manifest: &str, probe: &[&str]) -> Running {
    let hushpipe = hushpipe.env("XDG_RUNTIME_DIR", "{place}/runtime");
    let running = start(hushpipe.directory("runtime"), manifest, probe);
    running.wait_for_stderr("the control socket is ");
    running
}

/// `token` in the sealed store of the place, which is `one`.
fn sealed(rest: &str, probe: &[&str]) -> Running {
    let hushpipe = Hushpipe::new().sealed(&[("token", "one")]);
    launch(hushpipe, &format!("{STORE}{rest}"), probe)
}

fn ask(running: &Running, words: &[&str]) -> Output {
    asking(running, words).run()
}

/// Launchers of other tests run beside, so this one is named.
fn asking(running: &Running, words: &[&str]) -> Hushpipe {
    let hushpipe = Hushpipe::new().env("XDG_RUNTIME_DIR", running.place().join("runtime"));
    let pid = running.pid().to_string();
    let named = if words[0] == "status" { "" } else { "-t" };
    let named = [named, &pid].into_iter().filter(|word| !word.is_empty());
    hushpipe.args(words.iter().copied().chain(named))
}

fn status(running: &Running) -> serde_json::Value {
    let output = ask(running, &["status", "--json"]).success();
    serde_json::from_str(&output.stdout()).unwrap()
}

/// Values are kept, and every generation is well.
const KEPT: &str = "on_rotate: { signal: HUP, settle: 0s, rollback: true, \
     verify: { command: [\"true\"] } }\n";

const READS: [&str; 4] = ["on", "HUP", "cat:{place}/run/token", "serve"];

#[test]
fn the_generation_before_comes_back_and_stays_until_there_is_something_newer() {
    let running = sealed(&format!("{BY_FILE}{KEPT}"), &READS);
    let place = running.place();
    ask(&running, &["rollback"])
        .code(64)
        .stderr_has("there is no generation before");
    place.seal("token", "two");
    running.wait_for_stderr("generation 2 is in place");
    ask(&running, &["rollback"])
        .success()
        .stdout_is("rolled back, which is generation 3\n");
    running.wait_for_line("one");
    let now = status(&running);
    assert_eq!(now["generation"], 3);
    assert_eq!(now["secrets"][0]["version"], "v1");
    assert_eq!(now["secrets"][0]["quarantined"], "v2");
    ask(&running, &["rotate"])
        .code(65)
        .stderr_has("the stores still hold the values that were rolled back (token v2)")
        .stderr_has("`rollback token --to 2` delivers one again");
    ask(&running, &["rollback"]).code(64);
    // Nothing was wrong with it: who asks for it by its name gets it.
    ask(&running, &["rollback", "token", "--to", "2"]).success();
    running.wait_for_line("two");
    place.seal("token", "three");
    running.wait_for_line("three");
    let output = running.stop().success();
    output.stdout_is("ready\ntwo\none\ntwo\nthree\n");
}

#[test]
fn a_rollback_restarts_the_program_where_a_rotation_does() {
    let rest = format!(
        "{BY_FILE}  - {{ fd: 3, as: memfd, content: \"{{{{ token }}}}\\n\" }}\n\
         on_rotate: {{ do: restart, settle: 0s }}\n"
    );
    let running = sealed(&rest, &["read", "3", "serve"]);
    running.place().seal("token", "two");
    running.wait_for_line("two");
    running.wait_for_stderr("generation 2 is in place");
    ask(&running, &["rollback"]).success();
    running.wait_for_line("one");
    running.wait_for_line("ready");
    let output = running.stop().success();
    output.stdout_is("one\nready\ntwo\nready\none\nready\n");
}

#[test]
fn a_rollback_ends_a_verification() {
    let server = FakeAnswers::alone();
    server.answer("/health", Fake::status(503, ""));
    let rest = format!(
        "{BY_FILE}on_rotate: {{ signal: HUP, settle: 0s, \
         verify: {{ http: \"{}/health\", within: 1h }} }}\n",
        server.address()
    );
    let running = sealed(&rest, &READS);
    running.place().seal("token", "two");
    // Two signals that come before the program has taken one are one.
    running.wait_for_line("two");
    running.until("it is verified", || {
        (server.count("/health") > 0).then_some(())
    });
    assert_eq!(status(&running)["state"], "verifying");
    ask(&running, &["rollback"])
        .success()
        .stdout_is("rolled back, which is generation 3\n");
    running.wait_for_line("one");
    running.wait_for_stderr("generation 3: it was asked for");
    running.stop().success().stdout_is("ready\ntwo\none\n");
}

#[test]
fn without_kept_values_a_rollback_of_all_is_refused() {
    let rest = format!("{BY_FILE}on_rotate: {{ signal: HUP, settle: 0s }}\n");
    let running = sealed(&rest, &READS);
    running.place().seal("token", "two");
    running.wait_for_stderr("generation 2 is in place");
    ask(&running, &["rollback"])
        .code(64)
        .stderr_has("no values are kept after their hand-over");
    running.stop().success();
}

#[test]
fn a_secret_is_held_at_the_version_before_until_there_is_a_newer_one() {
    let rest = format!("{BY_FILE}on_rotate: {{ signal: HUP, settle: 0s }}\n");
    let running = sealed(&rest, &READS);
    let place = running.place();
    for value in ["two", "three"] {
        place.seal("token", value);
        running.wait_for_line(value);
        running.wait_for_stderr("is in place");
    }
    ask(&running, &["rollback", "token"])
        .success()
        .stdout_is("generation 4 is in place: token v3 → v2, HUP sent\n");
    running.wait_for_line("two");
    let now = status(&running);
    assert_eq!(now["secrets"][0]["version"], "v2");
    assert_eq!(now["secrets"][0]["pinned"], "2");
    ask(&running, &["rotate"])
        .success()
        .stdout_is("nothing has changed\n");
    ask(&running, &["rollback", "token", "--to", "1"]).success();
    running.wait_for_line("one");
    place.seal("token", "four");
    running.wait_for_line("four");
    running.wait_for_stderr("generation 6 is in place");
    assert!(status(&running)["secrets"][0]["pinned"].is_null());
    let output = running.stop().success();
    output.stdout_is("ready\ntwo\nthree\ntwo\none\nfour\n");
}

#[test]
fn what_the_program_was_not_well_with_does_not_come_back_by_another_way() {
    let on_rotate = "on_rotate:\n  signal: HUP\n  settle: 0s\n  rollback: true\n\
         \x20 verify: { command: [grep, -q, ^good, \"{place}/run/token\"], within: 300ms }\n";
    let hushpipe = Hushpipe::new().sealed(&[("token", "bad one")]);
    let running = launch(hushpipe, &format!("{STORE}{BY_FILE}{on_rotate}"), &READS);
    let place = running.place();
    place.seal("token", "good two");
    running.wait_for_stderr("generation 2 is in place");
    place.seal("token", "bad three");
    running.wait_for_stderr("rolled back, which is generation 4");
    ask(&running, &["rollback", "token"])
        .code(65)
        .stderr_has("rolled back, which is generation 6");
    assert_eq!(status(&running)["secrets"][0]["version"], "v2");
    ask(&running, &["rollback"])
        .code(64)
        .stderr_has("there is no generation before");
    for version in ["1", "3"] {
        ask(&running, &["rollback", "token", "--to", version])
            .code(65)
            .stderr_has("token: the program was not well with v")
            .stderr_has("and does not get it again");
        let now = &status(&running)["secrets"][0];
        assert_eq!(now["pinned"], serde_json::Value::Null);
        assert_eq!(now["version"], "v2");
    }
    ask(&running, &["rotate"])
        .code(65)
        .stderr_has("still hold the rejected values (token v");
    place.seal("token", "good four");
    running.wait_for_stderr("generation 7 is in place");
    let output = running.stop().success();
    output.stdout_is("ready\ngood two\nbad three\ngood two\nbad one\ngood two\ngood four\n");
}

#[test]
fn a_refused_version_leaves_the_hold_as_it_was() {
    let on_rotate = "on_rotate:\n  signal: HUP\n  settle: 0s\n  rollback: true\n\
         \x20 verify: { command: [grep, -q, ^good, \"{place}/run/token\"], within: 300ms }\n";
    let hushpipe = Hushpipe::new().sealed(&[("token", "good one")]);
    let running = launch(hushpipe, &format!("{STORE}{BY_FILE}{on_rotate}"), &READS);
    let place = running.place();
    place.seal("token", "good two");
    running.wait_for_stderr("generation 2 is in place");
    place.seal("token", "bad three");
    running.wait_for_stderr("rolled back, which is generation 4");
    ask(&running, &["rollback", "token", "--to", "1"]).success();
    ask(&running, &["rollback", "token", "--to", "3"])
        .code(65)
        .stderr_has("token: the program was not well with v3");
    let now = &status(&running)["secrets"][0];
    assert_eq!(now["pinned"], "1");
    assert_eq!(now["version"], "v1");
    place.seal("token", "good four");
    running.wait_for_line("good four");
    let output = running.stop().success();
    output.stdout_is("ready\ngood two\nbad three\ngood two\ngood one\ngood four\n");
}

#[test]
fn a_rotation_by_name_ends_the_hold() {
    let rest = format!("{BY_FILE}on_rotate: {{ signal: HUP, settle: 0s }}\n");
    let running = sealed(&rest, &READS);
    running.place().seal("token", "two");
    running.wait_for_stderr("generation 2 is in place");
    ask(&running, &["rollback", "token"]).success();
    running.wait_for_line("one");
    ask(&running, &["rotate", "token"]).success();
    running.wait_for_line("two");
    assert!(status(&running)["secrets"][0]["pinned"].is_null());
    ask(&running, &["rollback", "token", "--to", "9"])
        .code(65)
        .stderr_has("not found");
    assert_eq!(status(&running)["healthy"], true);
    let output = running.stop().success();
    output.stdout_is("ready\ntwo\none\ntwo\n");
}

#[test]
fn where_there_are_no_versions_and_no_leases_it_is_refused() {
    let hushpipe = Hushpipe::new().file("secrets/token", "one");
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n{BY_FILE}{KEPT}"
    );
    let running = launch(hushpipe, &manifest, &READS);
    ask(&running, &["rollback", "token"])
        .code(64)
        .stderr_has("store dir keeps no older versions of secret token");
    ask(&running, &["revoke", "token"])
        .code(77)
        .stderr_has("has no leases to revoke");
    running.stop().success();
}

#[test]
fn who_asks_while_the_program_ends_is_told_so() {
    let server = FakeAnswers::alone();
    server.answer("/health", Fake::status(503, ""));
    let rest = format!(
        "{BY_FILE}on_rotate: {{ signal: HUP, settle: 1h, \
         verify: {{ http: \"{}/health\", within: 1h }} }}\n",
        server.address()
    );
    let running = sealed(&rest, &READS);
    running.place().seal("token", "two");
    let asking = asking(&running, &["rotate"]).spawn();
    running.until("it is verified", || {
        (server.count("/health") > 0).then_some(())
    });
    let output = running.stop().success();
    asking.wait().code(69);
    said_times(&output, "asked to rotate", 1);
}
