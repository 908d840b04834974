//! A canary through every delivery, from every store: nothing of it is left in hushpipe.

use std::path::Path;

use nix::sys::signal::Signal;

use super::canary::Canary;
use super::scan::Scan;
use super::stocked::binaries;
use crate::harness::{Hushpipe, Running, descendants, wait_until};

/// The deliveries of one launch; each has a secret of its own, of the same name.
pub const PRIVATE: &[&str] = &[
    "file",
    "template",
    "memfd",
    "pipe",
    "long",
    "stdin",
    "fifo",
    "credential",
    "getenv",
];

pub const DELIVER: &str = r#"
deliver:
  - { file: "{place}/run/file", secret: file }
  - { file: "{place}/run/template", content: "a {{ template }} b {{ template | json }} c {{ template | b64encode }}" }
  - { fd: 3, as: memfd, secret: memfd }
  - { fd: 4, as: pipe, secret: pipe }
  - { fd: 5, as: pipe, secret: long }
  - { stdin: true, secret: stdin }
  - { fifo: "{place}/run/fifo", secret: fifo }
  - { credentials: [credential], directory: "{place}/credentials" }
  - { getenv: CANARY, children: same, secret: getenv }
isolation: private
run:
  command: ["{probe}", digest, "4", digest, "5", digest, "0", digest-file, "{place}/run/fifo",
    on, HUP, "digest:{place}/run/file", serve]
on_rotate: { do: signal, signal: HUP, settle: 0s }
"#;

/// What is longer than a pipe holds: hushpipe feeds it while the program reads.
pub fn value(canary: &Canary) -> String {
    match canary.name.as_str() {
        "long" => {
            let filler = ".".repeat(150_000);
            let value = canary.value();
            format!("{value}{filler}{value}{filler}{value}")
        }
        _ => canary.value(),
    }
}

pub fn canaries(names: &[&str]) -> Vec<Canary> {
    names.iter().map(|name| Canary::new(name)).collect()
}

pub fn manifest(store: &str, names: &[&str], deliver: &str) -> String {
    // No event tells that a command would print something else.
    let refresh = if store == COMMAND {
        ", refresh: 1s"
    } else {
        ""
    };
    let secrets: Vec<String> = names
        .iter()
        .map(|name| format!("  {name}: {{ store: it, key: {name}{refresh} }}\n"))
        .collect();
    format!(
        "version: 1\nservice: leak\nstores:\n  it: {store}\nsecrets:\n{}{deliver}",
        secrets.concat()
    )
}

pub const SEALED: &str =
    r#"{ type: sealed, path: "{place}/store", identity_file: "{place}/identity.txt" }"#;
pub const DIRECTORY: &str = r#"{ type: directory, path: "{place}/values" }"#;
pub const COMMAND: &str = r#"{ type: command, run: [cat, "{place}/values/{key}"] }"#;

/// Puts the values where a store has them.
pub fn stock(hushpipe: Hushpipe, store: &str, canaries: &[Canary]) -> Hushpipe {
    if store == SEALED {
        let hushpipe = hushpipe.sealed(&[]);
        for canary in canaries {
            hushpipe.place().seal(&canary.name, &value(canary));
        }
        return hushpipe;
    }
    canaries.iter().fold(hushpipe, |hushpipe, canary| {
        hushpipe.file(&format!("values/{}", canary.name), value(canary))
    })
}

/// Changes one value, as who keeps the store would.
pub fn change(running: &Running, store: &str, canary: &Canary) {
    if store == SEALED {
        running.place().seal(&canary.name, &value(canary));
    } else {
        let path = format!("values/{}", canary.name);
        running.place().replace(&path, value(canary));
    }
}

/// Fails when something of the canaries is left in hushpipe, or shown by any process of the tree.
/// The control stands in hushpipe's environment, which is in its memory: the scan must see it.
pub fn assert_clean(running: &Running, control: &Canary, canaries: &[&Canary]) {
    let control = Scan::new([control]).memory(running.pid()).hits;
    assert!(
        !control.is_empty(),
        "the scan does not see hushpipe's memory"
    );
    let scan = Scan::new(canaries.iter().copied());
    let mut tree = descendants(running.pid());
    tree.push(running.pid());
    // The program may be ready while hushpipe still clears up.
    let mut last = Vec::new();
    let clean = wait_until(|| {
        let seen = scan.memory(running.pid());
        assert!(seen.bytes > 500_000, "only {} bytes were read", seen.bytes);
        last = seen.hits;
        last.extend(not_delivered(running.pid(), scan.descriptors(&tree)));
        last.is_empty().then_some(())
    });
    assert!(clean.is_some(), "hushpipe holds:\n  {}", last.join("\n  "));
    assert_eq!(scan.shown(&tree), [""; 0]);
    assert_eq!(scan.bytes("stderr", running.stderr().as_bytes()), [""; 0]);
}

/// Of what descriptors lead to, what is not a delivery: the program has those under their numbers, and
/// its children inherit them; hushpipe has the other end of a pipe that it feeds.
fn not_delivered(hushpipe: i32, mut hits: Vec<String>) -> Vec<String> {
    let own = format!("/proc/{hushpipe}/");
    let numbers = ["0", "3", "4", "5"].map(|number| format!("/fd/{number} "));
    let is_delivery =
        |hit: &&String| !hit.contains(&own) && numbers.iter().any(|fd| hit.contains(fd));
    let target = |hit: &String| hit.split(' ').rev().nth(2).map(str::to_owned);
    let delivered: Vec<_> = hits.iter().filter(is_delivery).filter_map(target).collect();
    hits.retain(|hit| !target(hit).is_some_and(|target| delivered.contains(&target)));
    hits
}

/// Fails when a file of the place has something of the canaries; not the store's own, if plain.
pub fn assert_no_files(running: &Running, store: &str, canaries: &[&Canary]) {
    let mut hits = Scan::new(canaries.iter().copied()).files(running.place().path());
    let own = running.place().join("values").display().to_string();
    hits.retain(|hit| store == SEALED || !hit.contains(&own));
    assert_eq!(hits, [""; 0]);
}

/// One launch, with every private delivery; then a change.
fn leaves_nothing(store: &str) {
    for binary in binaries() {
        leaves_nothing_by(store, binary.as_deref());
    }
}

fn leaves_nothing_by(store: &str, binary: Option<&Path>) {
    let first = canaries(PRIVATE);
    let text = manifest(store, PRIVATE, DELIVER);
    let control = Canary::new("control");
    let hushpipe = stock(Hushpipe::new().directory("run"), store, &first);
    let hushpipe = hushpipe.env("CONTROL", control.value());
    let hushpipe = hushpipe.env("RUST_LOG", "trace").binary(binary);
    let running = hushpipe.manifest(&text).args(["run", "-vvv"]).spawn();
    running.wait_for_line("ready");
    let mut all: Vec<&Canary> = first.iter().collect();
    assert_clean(&running, &control, &all);
    assert_no_files(&running, store, &all);
    let second = canaries(&["file"]);
    change(&running, store, &second[0]);
    running.wait_for_line("digest");
    all.extend(&second);
    assert_clean(&running, &control, &all);
    assert_no_files(&running, store, &all);
    running.signal(Signal::SIGKILL);
}

#[test]
fn nothing_of_a_sealed_store_is_left() {
    leaves_nothing(SEALED);
}

#[test]
fn nothing_of_a_directory_store_is_left() {
    leaves_nothing(DIRECTORY);
}

#[test]
fn nothing_of_a_command_store_is_left() {
    leaves_nothing(COMMAND);
}
