//! Delivered paths that the program, or somebody, puts something else at.

use std::fs;
use std::path::PathBuf;

use super::{AT_ONCE, BY_FILE, READS, directory_as};
use crate::harness::{Hushpipe, Running};

/// A launch, and `run/token` as its program sees it.
fn launched(rest: &str) -> (Running, PathBuf) {
    let running = directory_as(Hushpipe::new().controlled(), rest, &READS);
    let path = running.place().join("run/token");
    let seen = format!("/proc/{}/root{}", running.program(), path.display());
    (running, PathBuf::from(seen))
}

fn is_well(running: &Running) {
    running.until("it is healthy", || {
        (running.status()["healthy"] == true).then_some(())
    });
}

#[test]
fn a_delivered_file_that_the_program_replaced_is_put_back() {
    let (running, token) = launched(&format!("{BY_FILE}{AT_ONCE}"));
    // As redis does at ACL SAVE, and `sed -i`.
    fs::write(token.with_file_name("new"), "mine\n").unwrap();
    fs::rename(token.with_file_name("new"), &token).unwrap();
    running.wait_for_stderr("run/token was replaced, and is put back");
    assert_eq!(fs::read_to_string(&token).unwrap(), "one\n");
    fs::remove_file(&token).unwrap();
    running.wait_for_stderr("run/token was removed, and is put back");
    running.place().replace("secrets/token", "two");
    running.wait_for_line("two");
    let last = running.status()["last_fault"]["message"].clone();
    let last = last.as_str().unwrap();
    assert!(
        last.ends_with("run/token was removed, and is put back"),
        "{last}"
    );
    is_well(&running);
    running.stop().success();
}

#[test]
fn what_cannot_be_put_back_is_never_said_to_be_in_place() {
    let (running, token) = launched(&format!("{BY_FILE}{AT_ONCE}"));
    running.until("a directory is there", || {
        // hushpipe may put it back in between.
        fs::remove_file(&token).ok();
        fs::create_dir(&token).ok()
    });
    running.wait_for_stderr("run/token was removed or replaced, and cannot be put back");
    let status = running.status();
    assert_eq!(status["healthy"], false, "{status}");
    let what = status["conditions"][0]["what"].as_str().unwrap();
    assert!(what.ends_with("run/token"), "{what}");
    running.place().replace("secrets/token", "two");
    running.wait_for_stderr("the new generation cannot be put in place");
    assert_eq!(running.status()["generation"], 1);
    fs::remove_dir(&token).unwrap();
    running.wait_for_line("two");
    running.wait_for_stderr("run/token is as it should be again");
    is_well(&running);
    running.stop().success();
}

#[test]
fn a_delivered_file_that_was_changed_in_place_is_unhealthy_until_its_next_version() {
    let rest = format!(
        "{BY_FILE}  - {{ file: \"{{place}}/run/other\", content: \"no secret\" }}\n{AT_ONCE}"
    );
    let (running, token) = launched(&rest);
    for file in ["token", "other"] {
        fs::write(token.with_file_name(file), "mine\n").unwrap();
    }
    running.wait_for_stderr("was changed or removed after hushpipe had delivered it");
    running.until("both are told of", || {
        let status = running.status();
        assert_eq!(status["healthy"], false, "{status}");
        (status["conditions"].as_array()?.len() == 2).then_some(())
    });
    running.place().replace("secrets/token", "two");
    running.wait_for_line("two");
    // What has no new value is delivered anew as well.
    let other = fs::read_to_string(token.with_file_name("other")).unwrap();
    assert_eq!(other, "no secret");
    is_well(&running);
    running.stop().success();
}
