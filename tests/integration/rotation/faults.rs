//! New values that cannot be used.

use std::process::Command;

use super::{AT_ONCE, BY_FILE, READS, directory, start, times};
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
    running.wait_for_stderr("they still have what was refused");
    place.replace("secrets/token", "bad-two");
    running.wait_for_stderr("they still have what was refused");
    running.wait_for_stderr("they still have what was refused");
    place.replace("secrets/token", "good-three");
    running.wait_for_line("good-three");
    let output = running.stop().stdout_is("ready\ngood-three\n");
    assert_eq!(times(&output, "hushpipe: error"), 1);
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
    assert_eq!(times(&output, "hushpipe: error"), 1);
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
    assert_eq!(times(&output, "hushpipe: error"), 1);
    assert_eq!(times(&output, "told the program"), 2);
}
