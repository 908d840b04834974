//! A write to a sealed store that is stopped before each of its calls that change files, as a power
//! cut stops it: what was not synced is half or all gone, files as well as names in directories, and in
//! any order. The store opens with what it had, or with what it was to have; the next write leaves
//! nothing of the stopped one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::trace::{Entry, Stops, Traced, stop_everywhere};
use crate::harness::{Hushpipe, Output, Place};

const OLD: &str = "the old value";
const NEW: &str = "the new value, which is longer";

/// A store with two versions of `app/token`, and an identity file for each of two recipients.
fn stocked() -> Output {
    let output = Hushpipe::new()
        .sealed(&[("app/token", "the first value"), ("app/token", OLD)])
        .args(secret(&["list"]))
        .run()
        .success();
    let place = output.place();
    tool(place, "age-keygen", &["-o", "other.txt"]);
    place.set_mode("other.txt", 0o600);
    let both = place.read("identity.txt") + &place.read("other.txt");
    place.write("both.txt", both);
    output
}

fn secret<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let place = ["secret", "--store", "store"];
    let identity = ["--identity", "both.txt"];
    let identity = identity.iter().filter(|_| !words.contains(&"--identity"));
    let words = words.iter().chain(identity).copied();
    place.into_iter().chain(words).collect()
}

fn tool(place: &Place, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(place.path());
    let output = command.output().expect("it is installed");
    assert!(output.status.success(), "{program}: {output:?}");
}

/// The public key of an identity file.
fn public(place: &Place, identity: &str) -> String {
    let text = place.read(identity);
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    key.expect("it is there as a comment").to_owned()
}

/// hushpipe, to be traced: what it reads and writes is in files.
fn traced(place: &Place, words: &[&str]) -> Command {
    let mut command = Command::new(place.bring(env!("CARGO_BIN_EXE_hushpipe"), "hushpipe"));
    place.write("value", NEW);
    command
        .args(secret(words))
        .current_dir(place.path())
        .env("HOME", place.path())
        .env("HUSHPIPE_STATE_DIRECTORY", place.join(".state"))
        .stdin(fs::File::open(place.join("value")).expect("it was just written"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// What a secret is now: its value, or `None` where there is no such secret.
fn get(place: &Place, name: &str) -> Result<Option<String>, String> {
    let mut command = traced(place, &["get", name]);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = output.output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(Some(
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )),
        _ if said.contains(&format!("{name}: not found: ")) => Ok(None),
        _ => Err(said.into_owned()),
    }
}

fn succeeds(place: &Place, words: &[&str]) {
    let mut command = traced(place, words);
    let output = command.stderr(Stdio::piped()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
}

/// The same command. Where the stopped one was done but for saying so, it says that, and a rekey is
/// called as it then says.
fn again(place: &Place, words: &[&str]) {
    let mut command = traced(place, words);
    let output = command.stderr(Stdio::piped()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("is ended by `hushpipe secret rekey` without recipients") {
        return succeeds(place, &["rekey"]);
    }
    let gone = said.contains("no such secret") && words[0] == "rm";
    assert!(output.status.success() || gone, "{words:?}: {said}");
}

/// Names that a writer uses before it is done.
pub fn unfinished(place: &Place) -> Vec<String> {
    let names = place.entries().into_iter();
    names.filter(|name| name.contains(".new")).collect()
}

/// Stops a command everywhere, from the same store each time. `check` looks at what that leaves. Then it
/// is called again, and `done` holds.
fn stopped_everywhere(
    words: impl Fn(&Place) -> Vec<String>,
    check: impl Fn(&Place, &str),
    done: impl Fn(&Place),
) {
    let output = stocked();
    let place = output.place();
    let words = words(place);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    tool(place, "cp", &["-a", "store", "store.before"]);
    tool(place, "cp", &["-a", ".state", "state.before"]);
    let stops = Stops {
        below: place.join("store"),
        kept: place.join("kept"),
        begin: &|| {
            tool(place, "rm", &["-rf", "store", ".state"]);
            tool(place, "cp", &["-a", "store.before", "store"]);
            tool(place, "cp", &["-a", "state.before", ".state"]);
            traced(place, &words)
        },
        left: &|moment| {
            check(place, moment);
            succeeds(place, &["list"]);
            again(place, &words);
            done(place);
            assert_eq!(unfinished(place), [""; 0], "{moment}");
        },
    };
    let (calls, seen) = stop_everywhere(&stops);
    assert!(calls > 2, "{words:?}: only {calls} calls were seen");
    assert_on_disk(&seen, &stops.below);
    done(place);
}

/// When a writer says that it is done, nothing but the history, which is for people, may be lost; and
/// a directory that comes back holds nothing.
pub fn assert_on_disk(seen: &Traced, store: &Path) {
    let mut unsynced = Vec::new();
    for change in &seen.entries {
        for (name, before, _) in &change.names {
            if change.directory.starts_with(store)
                && name != ".history"
                && *before != Entry::Directory
            {
                unsynced.push(change.directory.join(name));
            }
        }
    }
    assert!(unsynced.is_empty(), "not synced: {unsynced:?}");
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn a_new_version_is_there_whole_or_not_at_all() {
    stopped_everywhere(
        |_| owned(&["set", "app/token"]),
        |place, moment| {
            let now = get(place, "app/token").unwrap();
            let now = now.as_deref();
            assert!(now == Some(OLD) || now == Some(NEW), "{moment}: {now:?}");
        },
        |place| assert_eq!(get(place, "app/token"), Ok(Some(NEW.to_owned()))),
    );
}

#[test]
fn a_new_secret_is_there_whole_or_not_at_all() {
    stopped_everywhere(
        |_| owned(&["set", "other/deep/token"]),
        |place, moment| {
            let now = get(place, "other/deep/token").unwrap();
            assert!(
                now.is_none() || now.as_deref() == Some(NEW),
                "{moment}: {now:?}"
            );
            assert_eq!(get(place, "app/token"), Ok(Some(OLD.to_owned())));
        },
        |place| assert_eq!(get(place, "other/deep/token"), Ok(Some(NEW.to_owned()))),
    );
}

#[test]
fn what_is_imported_is_there_whole_or_not_at_all() {
    let variables = [("ONE", "the first variable"), ("TWO", "the second")];
    stopped_everywhere(
        |place| {
            let lines = variables.map(|(name, value)| format!("{name}='{value}'\n"));
            place.write("more.env", lines.concat());
            owned(&["import", "more.env"])
        },
        |place, moment| {
            for (name, value) in variables {
                let now = get(place, name).unwrap();
                let either = now.is_none() || now.as_deref() == Some(value);
                assert!(either, "{moment}: {name} is {now:?}");
            }
            assert_eq!(get(place, "app/token"), Ok(Some(OLD.to_owned())));
        },
        |place| {
            for (name, value) in variables {
                assert_eq!(get(place, name), Ok(Some(value.to_owned())));
            }
        },
    );
}

#[test]
fn a_rollback_is_done_or_not() {
    stopped_everywhere(
        |_| owned(&["rollback", "app/token", "--to", "1"]),
        |place, moment| {
            let now = get(place, "app/token").unwrap();
            let now = now.as_deref();
            let either = now == Some(OLD) || now == Some("the first value");
            assert!(either, "{moment}: {now:?}");
        },
        |place| {
            let now = get(place, "app/token");
            assert_eq!(now, Ok(Some("the first value".to_owned())));
        },
    );
}

#[test]
fn every_version_opens_in_the_middle_of_a_rekey() {
    stopped_everywhere(
        |place| {
            let (own, other) = (public(place, "identity.txt"), public(place, "other.txt"));
            let words = [
                "rekey",
                "--add-recipient",
                &other,
                "--remove-recipient",
                &own,
            ];
            owned(&words)
        },
        |place, _| {
            assert_eq!(get(place, "app/token"), Ok(Some(OLD.to_owned())));
            succeeds(place, &["get", "app/token", "--version", "1"]);
        },
        |place| {
            succeeds(place, &["get", "app/token", "--identity", "other.txt"]);
            let first = [
                "get",
                "app/token",
                "--version",
                "1",
                "--identity",
                "other.txt",
            ];
            succeeds(place, &first);
        },
    );
}

#[test]
fn a_removal_never_brings_an_older_version_back_and_can_be_ended() {
    stopped_everywhere(
        |_| owned(&["rm", "--yes", "app/token"]),
        |place, moment| {
            let now = get(place, "app/token").unwrap();
            assert!(
                now.is_none() || now.as_deref() == Some(OLD),
                "{moment}: {now:?}"
            );
        },
        |place| {
            assert_eq!(get(place, "app/token"), Ok(None));
            let left = place.entries().into_iter();
            let left: Vec<_> = left
                .filter(|path| path.starts_with("store/secrets/"))
                .collect();
            assert_eq!(left, [""; 0]);
        },
    );
}
