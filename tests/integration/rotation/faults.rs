//! New values that cannot be used.

use std::process::Command;

use super::{AT_ONCE, BY_FILE, READS, directory, said_times, start};
use crate::harness::Hushpipe;

#[test]
fn a_value_that_fails_its_check_is_refused_once() {
    let hushpipe = Hushpipe::new().file("secrets/token", "good-one");
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token, refresh: 1s, \
         check: {{ pattern: \"^good-\" }} }}\n{BY_FILE}{AT_ONCE}"
    );
    let running = start(hushpipe.arg("-vv"), &manifest, &READS);
    let place = running.place();
    place.replace("secrets/token", "bad-two");
    running.wait_for_stderr("error: the new generation is refused");
    // Polled again, and written again: still the same bad value.
    running.wait_for_stderr("they still have the rejected values");
    place.replace("secrets/token", "bad-two");
    running.wait_for_stderr("they still have the rejected values");
    running.wait_for_stderr("they still have the rejected values");
    place.replace("secrets/token", "good-three");
    running.wait_for_line("good-three");
    // After a good one it is judged anew.
    place.replace("secrets/token", "bad-two");
    running.wait_for_stderr("error: the new generation is refused");
    let output = running.stop().stdout_is("ready\ngood-three\n");
    said_times(&output, "hushpipe: error", 2);
    output.says_nothing_of("bad-two");
}

#[test]
fn a_value_without_a_field_that_a_template_needs_is_refused() {
    let hushpipe = Hushpipe::new().file("secrets/db", "{\"user\":\"u\",\"password\":\"p1\"}");
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  db: {{ store: dir, key: db, format: json }}\n\
         deliver:\n  - {{ file: \"{{place}}/run/db\", \
         content: \"{{{{ db.user }}}}:{{{{ db.password }}}}\\n\" }}\n{AT_ONCE}"
    );
    let running = start(
        hushpipe,
        &manifest,
        &["on", "HUP", "cat:{place}/run/db", "serve"],
    );
    let place = running.place();
    place.replace("secrets/db", "{\"user\":\"u\"}");
    let said = running.wait_for_stderr("error: the new generation is refused");
    assert!(said.contains("password"), "{said}");
    place.replace("secrets/db", "{\"user\":\"u\",\"password\":\"p2\"}");
    running.wait_for_line("u:p2");
    let output = running.stop().stdout_is("ready\nu:p2\n");
    said_times(&output, "hushpipe: error", 1);
}

#[test]
fn what_the_system_refuses_is_said_once_and_tried_again() {
    let running = directory(&format!("{BY_FILE}{AT_ONCE}"), &READS);
    let limit = |size: &str| {
        let status = Command::new("nsenter")
            .args(["-t", &running.program().to_string(), "-m", "mount", "-o"])
            .arg(format!("remount,size={size}"))
            .arg(running.place().join("run"))
            .status();
        assert!(status.unwrap().success());
    };
    limit("16k");
    running
        .place()
        .replace("secrets/token", "x".repeat(100_000));
    let said = running.wait_for_stderr("error: the new generation cannot be put in place");
    assert!(said.contains("No space left"), "{said}");
    running.wait_for_stderr("secret token has version");
    limit("1m");
    running.wait_for_line(&"x".repeat(100_000));
    running.place().replace("secrets/token", "small");
    running.wait_for_line("small");
    let output = running.stop();
    said_times(&output, "hushpipe: error", 1);
    said_times(&output, "told the program", 2);
}

#[test]
fn each_fault_of_a_store_is_said_once_and_its_end_when_all_are_over() {
    let hushpipe = Hushpipe::new().sealed(&[("one", "1"), ("other", "1")]);
    let manifest = format!(
        "stores:\n  local: {{ type: sealed, path: \"{{place}}/store\", \
         identity_file: \"{{place}}/identity.txt\" }}\n\
         secrets:\n  one: {{ store: local, key: one }}\n  other: {{ store: local, key: other }}\n\
         deliver:\n  - {{ file: \"{{place}}/run/both\", \
         content: \"{{{{ one }}}} {{{{ other }}}}\\n\" }}\n{AT_ONCE}"
    );
    let probe = ["on", "HUP", "cat:{place}/run/both", "serve"];
    let running = start(hushpipe, &manifest, &probe);
    let place = running.place();
    place.unseal("one");
    running.wait_for_stderr("store local, one: not found");
    place.unseal("other");
    running.wait_for_stderr("store local, other: not found");
    place.seal("one", "2");
    place.seal("other", "2");
    running.wait_for_stderr("store local answers again");
    running.wait_for_line("2 2");
    let output = running.stop().stdout_is("ready\n2 2\n");
    // A try that falls into the removal may meet a version that has just gone.
    said_times(&output, ": not found", 2);
    said_times(&output, "answers again", 1);
}
