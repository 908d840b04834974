//! Every kind of delivery from a vault store; shared files from every store.

use super::canary::Canary;
use super::deliveries::{DELIVER, PRIVATE, assert_clean, canaries};
use super::scan::Scan;
use super::stocked::{Kind, Stocked, binaries};
use crate::harness::{Hushpipe, Running};

/// Fails when a file of the place has something of the canaries; but for the store's own.
pub fn assert_no_files(running: &Running, stocked: &Stocked, canaries: &[&Canary]) {
    let place = running.place().path();
    let mut hits = Scan::new(canaries.iter().copied()).files(place);
    hits.retain(|hit| !stocked.owns(place, hit));
    assert_eq!(hits, [""; 0]);
}

/// [`DELIVER`], for stores whose secrets have fields.
fn with_fields() -> String {
    let mut text = DELIVER.replace("{{ template }}", "{{ template@ }}");
    text = text.replace("{{ template | b64encode }}", "{{ template@ | b64encode }}");
    for name in PRIVATE {
        text = text.replace(
            &format!("secret: {name} }}"),
            &format!("secret: {name}@ }}"),
        );
    }
    text.replace("[credential]", "[credential@]")
}

#[test]
fn nothing_of_a_vault_store_is_left_by_any_delivery() {
    for binary in binaries() {
        let first = canaries(PRIVATE);
        let control = Canary::new("control");
        let hushpipe = Hushpipe::new().env("CONTROL", control.value());
        let hushpipe = hushpipe.env("RUST_LOG", "trace");
        let (stocked, hushpipe) = Stocked::new(Kind::Vault, hushpipe, &first);
        let text = stocked.manifest(hushpipe.place(), PRIVATE, &with_fields());
        let hushpipe = hushpipe.manifest(&text).binary(binary.as_deref());
        let running = hushpipe.args(["run", "-vvv"]).spawn();
        running.wait_for_line("ready");
        let second = Canary::new("file");
        let logins = stocked.logins();
        let mut all: Vec<&Canary> = first.iter().chain(&logins).collect();
        assert_clean(&running, &control, &all);
        assert_no_files(&running, &stocked, &all);
        stocked.change(&running, &second);
        running.wait_for_line("digest");
        all.push(&second);
        assert_clean(&running, &control, &all);
        assert_no_files(&running, &stocked, &all);
    }
}

const SHARED: &str = r#"
deliver:
  - { file: "{shared}/file", secret: file@ }
  - { file: "{shared}/template", content: "{{ template@ | urlencode }}" }
  - { fifo: "{shared}/fifo", secret: fifo@ }
  - { credentials: [credential@], directory: "{shared}-credentials" }
isolation: shared
run:
  command: ["{probe}", digest-file, "{shared}/fifo", on, HUP, "digest:{shared}/file", on, TERM, "exit:0", serve]
on_rotate: { do: signal, signal: HUP, settle: 0s }
"#;

fn leaves_nothing_shared(kind: Kind) {
    let shared = tempfile::Builder::new()
        .prefix("hushpipe-test-")
        .tempdir_in("/dev/shm");
    let shared = shared.expect("/dev/shm is there");
    let path = shared.path().join("run").display().to_string();
    let names = ["file", "template", "fifo", "credential"];
    let first = canaries(&names);
    let control = Canary::new("control");
    let hushpipe = Hushpipe::new().env("CONTROL", control.value());
    let (stocked, hushpipe) = Stocked::new(kind, hushpipe, &first);
    let rest = SHARED.replace("{shared}", &path);
    let text = stocked.manifest(hushpipe.place(), &names, &rest);
    let running = hushpipe.manifest(&text).args(["run", "-vvv"]).spawn();
    running.wait_for_line("ready");
    let second = Canary::new("file");
    stocked.change(&running, &second);
    running.wait_for_line("digest");
    let logins = stocked.logins();
    let all: Vec<&Canary> = first.iter().chain(&logins).chain([&second]).collect();
    assert_clean(&running, &control, &all);
    assert_no_files(&running, &stocked, &all);
    running.stop().success();
    assert_eq!(
        crate::harness::walk(shared.path()),
        [""; 0].map(std::path::PathBuf::from)
    );
}

#[test]
fn nothing_of_a_sealed_store_is_left_by_shared_files() {
    leaves_nothing_shared(Kind::Sealed);
}

#[test]
fn nothing_of_a_directory_store_is_left_by_shared_files() {
    leaves_nothing_shared(Kind::Directory);
}

#[test]
fn nothing_of_a_command_store_is_left_by_shared_files() {
    leaves_nothing_shared(Kind::Command);
}

#[test]
fn nothing_of_a_vault_store_is_left_by_shared_files() {
    leaves_nothing_shared(Kind::Vault);
}
