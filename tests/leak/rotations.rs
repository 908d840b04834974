//! Values that are kept to be handed over again: nobody finds them in hushpipe, before and after they
//! were.

use super::canary::Canary;
use super::deliveries::{assert_clean, canaries};
use super::matrix::assert_no_files;
use super::stocked::{Kind, Stocked, binaries};
use crate::harness::{Hushpipe, Running};

pub const NAMES: &[&str] = &["file", "template", "memfd", "stdin", "fifo"];

pub const DELIVER: &str = r#"
deliver:
  - { file: "{place}/run/file", secret: file@ }
  - { file: "{place}/run/template", content: "a {{ template@ }} b {{ template | json }} c {{ template@ | b64encode }}" }
  - { fd: 3, as: memfd, secret: memfd@ }
  - { stdin: true, secret: stdin@ }
  - { fifo: "{place}/run/fifo", secret: fifo@ }
isolation: private
run:
  command: ["{probe}", digest, "0", digest-file, "{place}/run/fifo",
    on, HUP, "digest:{place}/run/file", on, TERM, "exit:0", serve]
"#;

fn launch(kind: Kind, on_rotate: &str, hushpipe: Hushpipe, first: &[Canary]) -> (Stocked, Running) {
    let (stocked, hushpipe) = Stocked::new(kind, hushpipe.directory("run"), first);
    let text = stocked.manifest(hushpipe.place(), NAMES, &format!("{DELIVER}{on_rotate}"));
    let running = hushpipe.manifest(&text).args(["run", "-vvv"]).spawn();
    running.wait_for_line("ready");
    (stocked, running)
}

/// Generations, each verified; then one that is not well, so that the one before comes back.
fn keeps_nothing_in_sight(kind: Kind, on_rotate: &str) {
    for binary in binaries() {
        let control = Canary::new("control");
        let mut all = canaries(NAMES);
        let hushpipe = Hushpipe::new().binary(binary.as_deref());
        let hushpipe = hushpipe.env("CONTROL", control.value());
        let (stocked, running) = launch(kind, on_rotate, hushpipe, &all);
        let check = |all: &[Canary]| {
            let logins = stocked.logins();
            let all: Vec<&Canary> = all.iter().chain(&logins).collect();
            assert_clean(&running, &control, &all);
            assert_no_files(&running, &stocked, &all);
        };
        check(&all);
        for generation in 2..=last(kind) {
            let new = Canary::new(["file", "template", "fifo"][generation % 3]);
            stocked.change(&running, &new);
            all.push(new);
            running.wait_for_stderr(&format!("generation {generation} is in place"));
        }
        check(&all);
        running.place().write("bad", "");
        let new = Canary::new("file");
        stocked.change(&running, &new);
        all.push(new);
        running.wait_for_stderr("rolled back");
        check(&all);
        running.stop().success();
    }
}

/// Changes of commands and servers are seen within a second, the others' at once.
fn last(kind: Kind) -> usize {
    match kind {
        Kind::Sealed | Kind::Directory => 11,
        Kind::Command | Kind::Vault => 4,
    }
}

pub const SIGNAL: &str = "on_rotate: { signal: HUP, settle: 0s, \
    verify: { command: [test, \"!\", -e, \"{place}/bad\"], within: 3s } }\n";

const RESTART: &str = "on_rotate: { do: restart, settle: 0s, restarts: { max: 100, per: 10m }, \
    verify: { command: [test, \"!\", -e, \"{place}/bad\"], within: 3s } }\n";

#[test]
fn nothing_of_what_is_kept_for_a_rollback_is_found() {
    keeps_nothing_in_sight(Kind::Directory, SIGNAL);
}

#[test]
fn nothing_of_a_sealed_store_is_found_after_rotations() {
    keeps_nothing_in_sight(Kind::Sealed, SIGNAL);
}

#[test]
fn nothing_of_a_command_store_is_found_after_rotations() {
    keeps_nothing_in_sight(Kind::Command, SIGNAL);
}

#[test]
fn nothing_of_a_vault_store_is_found_after_rotations() {
    keeps_nothing_in_sight(Kind::Vault, SIGNAL);
}

#[test]
fn nothing_of_what_is_kept_for_a_restart_is_found() {
    keeps_nothing_in_sight(Kind::Directory, RESTART);
}

#[test]
fn nothing_of_a_vault_store_is_found_after_restarts() {
    keeps_nothing_in_sight(Kind::Vault, RESTART);
}
