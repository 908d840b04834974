//! Approvals end to end: keys and signatures are made by ssh-keygen(1).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::{PERMIT, files, site};
use crate::harness::{Hushpipe, Output, Place};

const TWO: &str = "@id(\"two-people\") @approval(\"2 of sre within 8h\") forbid (principal, action == \
                   Action::\"deliver\", resource) when { resource.classification == \"restricted\" };\n";

const ENTITIES: &str = r#"[
  { "uid": { "type": "Person", "id": "alice" }, "parents": [{ "type": "Group", "id": "sre" }] },
  { "uid": { "type": "Person", "id": "bob" }, "parents": [{ "type": "Group", "id": "sre" }] },
  { "uid": { "type": "Person", "id": "root" }, "parents": [{ "type": "Group", "id": "sre" }] },
  { "uid": { "type": "Group", "id": "sre" }, "parents": [] }
]"#;

fn keygen(place: &Place, words: &[&str]) {
    let output = Command::new("ssh-keygen")
        .args(words.iter().map(|word| place.fill(word)))
        .output()
        .expect("ssh-keygen is there");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A site that waits so long, with the keys of four people; mallory is in no group.
fn with_people(wait: &str) -> Hushpipe {
    let more = format!(
        "approvals: {{ signers: \"{{place}}/approvers\", directory: \"{{place}}/approvals\", wait: {wait} \
         }}\n"
    );
    let hushpipe = site(files("v"), &(PERMIT.to_owned() + TWO), &more)
        .file("policy.d/entities.json", ENTITIES)
        .directory("approvals");
    let mut signers = String::new();
    for person in ["alice", "bob", "root", "mallory"] {
        let file = format!("{{place}}/{person}");
        keygen(
            hushpipe.place(),
            &["-q", "-t", "ed25519", "-N", "", "-C", person, "-f", &file],
        );
        let key = std::fs::read_to_string(hushpipe.place().join(&format!("{person}.pub")));
        write!(signers, "{person} {}", key.expect("ssh-keygen made it")).unwrap();
    }
    hushpipe.file("approvers", signers)
}

fn launched(hushpipe: Hushpipe) -> Hushpipe {
    hushpipe
        .controlled()
        .args(["run", "--", "cat", "{place}/run/db"])
}

fn requests(place: &Place) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.join("approvals/requests"));
    let entries = entries.into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    found.sort();
    found
}

fn sign(place: &Place, person: &str) {
    for request in requests(place) {
        let (key, file) = (format!("{{place}}/{person}"), request.display().to_string());
        keygen(
            place,
            &["-Y", "sign", "-n", "approval@hushpipe", "-f", &key, &file],
        );
        let made = format!("{file}.sig");
        std::fs::rename(made, format!("{file}.{person}.sig")).expect("it was signed");
    }
}

fn again(output: Output) -> Hushpipe {
    launched(output.again().env("HUSHPIPE_SITE", "{place}/site.yaml"))
}

#[test]
fn two_of_three_people_approve_a_launch_once() {
    let output = launched(with_people("0s")).run().code(77);
    let said = output.stderr();
    assert!(
        said.contains("two-people wants 2 of sre to approve"),
        "{said}"
    );
    let [request] = requests(output.place())
        .try_into()
        .expect("there is one request");
    let id = request.file_stem().unwrap().to_string_lossy().into_owned();
    assert!(said.contains(&id), "{said}");
    // Neither the requester's own approval nor that of somebody else of no group counts.
    for person in ["root", "mallory", "alice"] {
        sign(output.place(), person);
    }
    let output = again(output).run().code(77);
    assert_eq!(requests(output.place()), [request]);
    sign(output.place(), "bob");
    let output = again(output).run().success();
    assert_eq!(output.stdout(), "v\n");
    let said = output.stderr();
    assert!(
        said.contains(&format!("approval {id} is used, for policy two-people")),
        "{said}"
    );
    assert!(
        said.contains("policy now allows t to deliver db: two-people"),
        "{said}"
    );
    // It is used up.
    let output = again(output).run().code(77);
    assert_eq!(requests(output.place()).len(), 2);
}

#[test]
fn a_launch_waits_and_ends_at_once_and_cleanly_when_it_is_asked_to() {
    let running = launched(with_people("10m")).spawn();
    running.wait_for_stderr("two-people wants 2 of sre to approve");
    let output = running.stop();
    assert_eq!(output.status.code(), Some(143));
    assert!(!output.place().join("run/db").exists());
    let running = again(output).spawn();
    running.wait_for_stderr("two-people wants 2 of sre to approve");
    sign(running.place(), "alice");
    running.wait_for_stderr("alice approved");
    assert_eq!(running.status()["state"], "waiting for approval 1 of 2");
    sign(running.place(), "bob");
    assert_eq!(running.wait().success().stdout(), "v\n");
}
