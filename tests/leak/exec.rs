//! `mode: exec`: what is left of hushpipe in the program that it became.

use super::canary::Canary;
use super::deliveries::canaries;
use super::scan::Scan;
use super::stocked::{Kind, Stocked, binaries};
use crate::harness::{Hushpipe, Running, descendants};

const NAMES: &[&str] = &["file", "template", "memfd", "pipe", "stdin", "credential"];

/// The program reads none of it: whatever is found in its memory is hushpipe's. A child of its
/// inherits what it has.
const DELIVER: &str = r#"
deliver:
  - { file: "{place}/run/file", secret: file@ }
  - { file: "{place}/run/template", content: "a {{ template@ }} b {{ template | json }} c {{ template@ | b64encode }}" }
  - { fd: 3, as: memfd, secret: memfd@ }
  - { fd: 4, as: pipe, secret: pipe@ }
  - { stdin: true, secret: stdin@ }
  - { credentials: [credential@], directory: "{place}/credentials" }
isolation: private
mode: exec
run:
  command: ["{probe}", leave, on, TERM, "exit:0", serve]
"#;

/// Where the program has values by descriptor.
const DELIVERED: [i32; 3] = [0, 3, 4];

fn leaves_nothing(kind: Kind, user: Option<u32>) {
    for binary in binaries() {
        let given = canaries(NAMES);
        let hushpipe = Hushpipe::new().directory("run").directory("credentials");
        let (stocked, hushpipe) = Stocked::new(kind, hushpipe, &given);
        let text = stocked.manifest(hushpipe.place(), NAMES, DELIVER);
        let mut hushpipe = hushpipe.manifest(&text).binary(binary.as_deref());
        if let Some(uid) = user {
            hushpipe = hushpipe.user(uid);
        }
        let running = hushpipe.args(["run", "-vvv"]).spawn();
        running.wait_for_line("ready");
        let exe = std::fs::read_link(format!("/proc/{}/exe", running.pid())).unwrap();
        assert!(exe.ends_with("bin/probe"), "{}", exe.display());
        let all: Vec<Canary> = given.into_iter().chain(stocked.logins()).collect();
        assert_eq!(
            all.len() - NAMES.len(),
            [0, 3][usize::from(kind == Kind::Vault)]
        );
        assert_clean(&running, &stocked, &all);
        // Dropped, it ends the child of the program too.
    }
}

fn assert_clean(running: &Running, stocked: &Stocked, canaries: &[Canary]) {
    let scan = Scan::new(canaries);
    let mut tree = running.place().processes();
    assert!(
        tree.contains(&running.pid()) && tree.len() > 1,
        "the program and its child are not there: {tree:?}"
    );
    tree.extend(descendants(running.pid()));
    for pid in &tree {
        let seen = scan.memory(*pid);
        assert_eq!(seen.hits, [""; 0]);
        assert!(seen.bytes > 100_000, "only {} bytes were read", seen.bytes);
    }
    assert_eq!(scan.shown(&tree), [""; 0]);
    let found = scan.descriptors(&tree);
    let of = |number: i32, hit: &String| hit.contains(&format!("/fd/{number} "));
    for number in DELIVERED {
        // They have what they should: the scan sees it.
        assert!(
            found.iter().any(|hit| of(number, hit)),
            "{number}: {found:?}"
        );
    }
    let mut other = found;
    other.retain(|hit| !DELIVERED.iter().any(|number| of(*number, hit)));
    assert_eq!(other, [""; 0]);
    let place = running.place().path();
    let mut files = scan.files(place);
    files.retain(|hit| !stocked.owns(place, hit));
    assert_eq!(files, [""; 0]);
    assert_eq!(scan.bytes("stderr", running.stderr().as_bytes()), [""; 0]);
}

#[test]
fn nothing_of_a_sealed_store_is_left_in_the_program() {
    leaves_nothing(Kind::Sealed, None);
}

#[test]
fn nothing_of_a_directory_store_is_left_in_the_program() {
    leaves_nothing(Kind::Directory, None);
}

#[test]
fn nothing_of_a_command_store_is_left_in_the_program() {
    leaves_nothing(Kind::Command, None);
}

#[test]
fn nothing_of_a_vault_store_and_its_login_is_left_in_the_program() {
    leaves_nothing(Kind::Vault, None);
}

#[test]
fn nothing_is_left_in_the_program_of_who_needs_a_user_namespace() {
    leaves_nothing(Kind::Sealed, Some(1000));
}
