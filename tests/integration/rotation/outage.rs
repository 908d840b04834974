//! Stores that are down beside others that are not.

use std::fs;

use super::{AT_ONCE, said_times, start};
use crate::harness::{Hushpipe, Running};

/// Fails while `{place}/down` is there.
const TOOL: &str = "#!/bin/sh\ncd \"$1\" || exit 1\n\
     if test -e down; then echo \"vault is sealed\" >&2; exit 3; fi\ncat value\n";

/// `token` in a directory, `other` from a command that is asked every second.
fn two_stores(deliver: &str, probe: &[&str]) -> Running {
    let hushpipe = Hushpipe::new()
        .file("secrets/token", "one")
        .file("value", "one")
        .file("tool", TOOL);
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         \x20 tool: {{ type: command, run: [\"{{place}}/tool\", \"{{place}}\"] }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n\
         \x20 other: {{ store: tool, refresh: 1s }}\n{deliver}{AT_ONCE}"
    );
    start(hushpipe.mode("tool", 0o755).controlled(), &manifest, probe)
}

fn go_down(running: &Running) {
    running.place().write("down", "");
    running.wait_for_stderr("error: store tool");
}

const APART: &str = "deliver:\n  - { file: \"{place}/run/token\", content: \"{{ token }}\\n\" }\n\
     \x20 - { file: \"{place}/other/other\", content: \"{{ other }}\\n\" }\n\
     \x20 - { fifo: \"{place}/run/pipe\", content: \"{{ other }}\\n\" }\n";

const READS_APART: [&str; 10] = [
    "on",
    "HUP",
    "cat:{place}/run/token",
    "on",
    "HUP",
    "cat:{place}/other/other",
    "on",
    "HUP",
    "cat:{place}/run/pipe",
    "serve",
];

#[test]
fn a_file_that_was_removed_makes_a_directory_store_unhealthy_until_it_is_back() {
    let running = two_stores(APART, &READS_APART);
    let place = running.place();
    fs::remove_file(place.join("secrets/token")).unwrap();
    running.wait_for_stderr("error: store dir, token: not found");
    assert_eq!(running.status()["healthy"], false);
    place.replace("secrets/token", "one");
    running.until("it is healthy again", || {
        (running.status()["healthy"] == true).then_some(())
    });
}

#[test]
fn a_store_that_is_down_does_not_keep_the_values_of_others_back() {
    let running = two_stores(APART, &READS_APART);
    let place = running.place();
    go_down(&running);
    place.replace("value", "two");
    for value in ["two", "three"] {
        place.replace("secrets/token", value);
        running.wait_for_line(value);
        running.wait_for_line("one");
        running.wait_for_line("one");
    }
    fs::remove_file(place.join("down")).unwrap();
    running.wait_for_stderr("store tool answers again");
    running.wait_for_line("three");
    running.wait_for_line("two");
    running.wait_for_line("two");
    let output = running.stop().success();
    said_times(&output, "hushpipe: error", 1);
    said_times(&output, "answers again", 1);
    output.stdout_is("ready\ntwo\none\none\nthree\none\none\nthree\ntwo\ntwo\n");
}

#[test]
fn what_is_shown_together_waits_together() {
    let deliver = "deliver:\n  - { file: \"{place}/run/both\", \
         content: \"{{ token }} {{ other }}\\n\" }\n";
    let running = two_stores(deliver, &["on", "HUP", "cat:{place}/run/both", "serve"]);
    let place = running.place();
    go_down(&running);
    place.replace("secrets/token", "two");
    fs::remove_file(place.join("down")).unwrap();
    running.wait_for_stderr("store tool answers again");
    running.wait_for_line("two one");
    running.stop().success().stdout_is("ready\ntwo one\n");
}

#[test]
fn a_value_that_is_refused_keeps_its_own_store_back_alone() {
    let hushpipe = Hushpipe::new()
        .file("secrets/token", "one")
        .file("more/other", "good one");
    let manifest = "stores:\n  dir: { type: directory, path: \"{place}/secrets\" }\n\
         \x20 more: { type: directory, path: \"{place}/more\" }\n\
         secrets:\n  token: { store: dir, key: token }\n\
         \x20 other: { store: more, key: other, check: { pattern: ^good } }\n\
         deliver:\n  - { file: \"{place}/run/token\", content: \"{{ token }}\\n\" }\n\
         \x20 - { file: \"{place}/run/other\", content: \"{{ other }}\\n\" }\n\
         on_rotate: { signal: HUP, settle: 1s }\n";
    let probe = [
        "on",
        "HUP",
        "cat:{place}/run/token",
        "on",
        "HUP",
        "cat:{place}/run/other",
        "serve",
    ];
    let running = start(hushpipe, manifest, &probe);
    let place = running.place();
    // Both at once: the good one goes on without the bad one.
    place.replace("more/other", "bad two");
    place.replace("secrets/token", "two");
    running.wait_for_stderr("error: the new generation is refused");
    running.wait_for_line("two");
    running.wait_for_line("good one");
    place.replace("secrets/token", "three");
    running.wait_for_line("three");
    place.replace("more/other", "good three");
    running.wait_for_line("good three");
    let output = running.stop().success();
    said_times(&output, "hushpipe: error", 1);
    output.says_nothing_of("bad two");
}
