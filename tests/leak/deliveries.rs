//! A canary through every delivery, from every store: nothing of it is left in hushpipe.

use nix::sys::signal::Signal;

use super::canary::Canary;
use super::scan::Scan;
use crate::harness::{Hushpipe, Running, descendants, wait_until};

/// The deliveries of one launch; each has a secret of its own, of the same name.
const PRIVATE: &[&str] = &[
    "file",
    "template",
    "memfd",
    "pipe",
    "long",
    "stdin",
    "fifo",
    "credential",
];

const DELIVER: &str = r#"
deliver:
  - { file: "{place}/run/file", secret: file }
  - { file: "{place}/run/template", content: "a {{ template }} b {{ template | json }} c {{ template | b64encode }}" }
  - { fd: 3, as: memfd, secret: memfd }
  - { fd: 4, as: pipe, secret: pipe }
  - { fd: 5, as: pipe, secret: long }
  - { stdin: true, secret: stdin }
  - { fifo: "{place}/run/fifo", secret: fifo }
  - { credentials: [credential], directory: "{place}/credentials" }
isolation: private
run:
  command: ["{probe}", digest, "4", digest, "5", digest, "0", digest-file, "{place}/run/fifo",
    on, HUP, "digest:{place}/run/file", serve]
on_rotate: { do: signal, signal: HUP, settle: 0s }
"#;

/// What is longer than a pipe holds: hushpipe feeds it while the program reads.
fn value(canary: &Canary) -> String {
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

const SEALED: &str =
    r#"{ type: sealed, path: "{place}/store", identity_file: "{place}/identity.txt" }"#;
const DIRECTORY: &str = r#"{ type: directory, path: "{place}/values" }"#;
const COMMAND: &str = r#"{ type: command, run: [cat, "{place}/values/{key}"] }"#;

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
    // The program may be ready while hushpipe still clears up.
    let mut last = Vec::new();
    let clean = wait_until(|| {
        let seen = scan.memory(running.pid());
        assert!(seen.bytes > 500_000, "only {} bytes were read", seen.bytes);
        last = seen.hits;
        last.is_empty().then_some(())
    });
    assert!(clean.is_some(), "hushpipe holds:\n  {}", last.join("\n  "));
    let mut tree = descendants(running.pid());
    tree.push(running.pid());
    assert_eq!(scan.shown(&tree), [""; 0]);
    assert_eq!(scan.bytes("stderr", running.stderr().as_bytes()), [""; 0]);
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
    let first = canaries(PRIVATE);
    let text = manifest(store, PRIVATE, DELIVER);
    let control = Canary::new("control");
    let hushpipe = stock(Hushpipe::new().directory("run"), store, &first);
    let hushpipe = hushpipe.env("CONTROL", control.value());
    let running = hushpipe.manifest(&text).args(["run", "-vv"]).spawn();
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

#[test]
fn nothing_of_a_shared_file_is_left() {
    let deliver = r#"
deliver:
  - { file: "{shared}/file", secret: file }
  - { file: "{shared}/template", content: "{{ template | urlencode }}" }
isolation: shared
run:
  command: ["{probe}", on, HUP, "digest:{shared}/file", on, TERM, "exit:0", serve]
on_rotate: { do: signal, signal: HUP, settle: 0s }
"#;
    let shared = tempfile::Builder::new()
        .prefix("hushpipe-test-")
        .tempdir_in("/dev/shm");
    let shared = shared.expect("/dev/shm is there");
    let path = shared.path().join("run").display().to_string();
    let names = ["file", "template"];
    let first = canaries(&names);
    let text = manifest(SEALED, &names, &deliver.replace("{shared}", &path));
    let control = Canary::new("control");
    let hushpipe = stock(Hushpipe::new(), SEALED, &first).manifest(&text);
    let hushpipe = hushpipe.env("CONTROL", control.value());
    let running = hushpipe.args(["run"]).spawn();
    running.wait_for_line("ready");
    let second = Canary::new("file");
    change(&running, SEALED, &second);
    running.wait_for_line("digest");
    let all: Vec<&Canary> = first.iter().chain([&second]).collect();
    assert_clean(&running, &control, &all);
    assert_no_files(&running, SEALED, &all);
    running.stop().success();
    assert_eq!(Scan::new(all).files(shared.path()), [""; 0]);
}
