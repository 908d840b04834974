//! `hushpipe init --move` that is stopped before each of its calls that change files, as a power cut
//! stops it. Each value is then in the .env file, or opens from the store; what is there is whole; and
//! the next init ends what was begun.

use std::fs;
use std::process::{Command, Stdio};

use super::power::{assert_on_disk, unfinished};
use super::trace::{Stops, stop_everywhere};
use crate::harness::Place;

const VALUES: [(&str, &str); 2] = [
    ("DB_PASSWORD", "correct horse battery staple"),
    ("API_KEY", "key-0123456789-abcdefghij"),
];

fn project() -> Place {
    let place = Place::new();
    let lines = VALUES.map(|(name, value)| format!("{name}='{value}'\n"));
    place.write("before/.env", lines.concat());
    place.make_directory("run");
    place
}

/// hushpipe in the project, to be traced.
fn hushpipe(place: &Place, words: &[&str]) -> Command {
    let mut command = Command::new(place.bring(env!("CARGO_BIN_EXE_hushpipe"), "hushpipe"));
    command
        .args(words)
        .current_dir(place.join("project"))
        .env("HOME", place.path())
        .env("HUSHPIPE_STATE_DIRECTORY", place.join(".state"))
        .env("XDG_RUNTIME_DIR", place.join("run"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn init(place: &Place) -> Command {
    let words = ["--from-env", ".env", "--identity", "keys/id", "--move"];
    hushpipe(place, &[&["init"][..], &words[..]].concat())
}

/// A value of the store, if it can be opened.
fn sealed(place: &Place, name: &str) -> Option<String> {
    let words = ["secret", "--store", "secrets", "--identity", "keys/id"];
    let mut command = hushpipe(place, &[&words[..], &["get", name]].concat());
    let output = command.stdout(Stdio::piped()).output().expect("it starts");
    let value = String::from_utf8(output.stdout).expect("it was text");
    output.status.success().then_some(value)
}

/// Both are never missing: what is there is whole.
fn assert_nothing_lost(place: &Place, moment: &str) {
    let env = fs::read_to_string(place.join("project/.env")).unwrap_or_default();
    for (name, value) in VALUES {
        let plain = env.contains(&format!("{name}='{value}'\n"));
        let sealed = if plain { None } else { sealed(place, name) };
        assert!(
            plain || sealed.as_deref() == Some(value),
            "{moment}: {name} is lost: {sealed:?} in the store, .env is {env:?}"
        );
        assert!(plain || env.is_empty(), "{moment}: .env is {env:?}");
    }
}

/// What all is to be like in the end.
fn assert_done(place: &Place, moment: &str) {
    for (name, value) in VALUES {
        assert_eq!(sealed(place, name).as_deref(), Some(value), "{moment}");
    }
    let mut check = hushpipe(place, &["check", "--", "true"]);
    let checked = check.stderr(Stdio::piped()).output().expect("it starts");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{moment}: {said}");
    assert!(is_moved(place), "{moment}: .env has the values still");
    assert_eq!(unfinished(place), [""; 0], "{moment}");
}

/// The file is gone: a link takes its place while the program runs.
fn is_moved(place: &Place) -> bool {
    fs::symlink_metadata(place.join("project/.env")).is_err()
}

/// Calls init once more: where the first one came to its end it must not do anything.
fn again(place: &Place, moment: &str) {
    let there = is_moved(place);
    let mut command = init(place);
    let output = command.stderr(Stdio::piped()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let wanted = if there { 64 } else { 0 };
    assert_eq!(output.status.code(), Some(wanted), "{moment}: {said}");
}

#[test]
fn no_value_is_lost_and_the_next_init_ends_what_was_begun() {
    let place = project();
    let below = place.join("project");
    let stops = Stops {
        below: below.clone(),
        kept: place.join("kept"),
        begin: &|| {
            fs::remove_dir_all(&below).ok();
            place.write("project/.env", place.read("before/.env"));
            init(&place)
        },
        left: &|moment| {
            assert_nothing_lost(&place, moment);
            again(&place, moment);
            assert_done(&place, moment);
        },
    };
    let (calls, seen) = stop_everywhere(&stops);
    assert!(calls > 19, "only {calls} calls were seen");
    assert_on_disk(&seen, &below);
    assert_done(&place, "not stopped");
    let manifest = place.read("project/hushpipe.yaml");
    assert!(manifest.contains("    link: \".env\"\n"), "{manifest}");
}
