//! Values that are kept to be handed over again: nobody finds them in hushpipe, before and after they
//! were.

use super::canary::Canary;
use super::deliveries::{assert_clean, assert_no_files, canaries, change, manifest, stock};
use crate::harness::{Hushpipe, Running};

const NAMES: &[&str] = &["file", "template", "memfd", "stdin", "fifo"];
const STORE: &str = r#"{ type: directory, path: "{place}/values" }"#;

const DELIVER: &str = r#"
deliver:
  - { file: "{place}/run/file", secret: file }
  - { file: "{place}/run/template", content: "a {{ template }} b {{ template | json }} c {{ template | b64encode }}" }
  - { fd: 3, as: memfd, secret: memfd }
  - { stdin: true, secret: stdin }
  - { fifo: "{place}/run/fifo", secret: fifo }
isolation: private
run:
  command: ["{probe}", digest, "0", digest-file, "{place}/run/fifo",
    on, HUP, "digest:{place}/run/file", on, TERM, "exit:0", serve]
"#;

fn launch(on_rotate: &str, control: &Canary, first: &[Canary]) -> Running {
    let text = manifest(STORE, NAMES, &format!("{DELIVER}{on_rotate}"));
    let hushpipe = stock(Hushpipe::new().directory("run"), STORE, first);
    let hushpipe = hushpipe.env("CONTROL", control.value());
    let running = hushpipe.manifest(&text).args(["run", "-v"]).spawn();
    running.wait_for_line("ready");
    running
}

/// Ten generations, each verified; then one that is not well, so that the one before comes back.
fn keeps_nothing_in_sight(on_rotate: &str) {
    let control = Canary::new("control");
    let mut all = canaries(NAMES);
    let running = launch(on_rotate, &control, &all);
    let check = |all: &[Canary]| {
        let all: Vec<&Canary> = all.iter().collect();
        assert_clean(&running, &control, &all);
        assert_no_files(&running, STORE, &all);
    };
    check(&all);
    for generation in 2..=11 {
        let new = Canary::new(["file", "template", "fifo"][generation % 3]);
        change(&running, STORE, &new);
        all.push(new);
        running.wait_for_stderr(&format!("generation {generation} is in place"));
    }
    check(&all);
    running.place().write("bad", "");
    let new = Canary::new("file");
    change(&running, STORE, &new);
    all.push(new);
    running.wait_for_stderr("rolled back");
    check(&all);
    running.stop().success();
}

#[test]
fn nothing_of_what_is_kept_for_a_rollback_is_found() {
    keeps_nothing_in_sight(
        "on_rotate: { signal: HUP, settle: 0s, \
         verify: { command: [test, \"!\", -e, \"{place}/bad\"], within: 3s } }\n",
    );
}

#[test]
fn nothing_of_what_is_kept_for_a_restart_is_found() {
    keeps_nothing_in_sight(
        "on_rotate: { do: restart, settle: 0s, restarts: { max: 100, per: 10m }, \
         verify: { command: [test, \"!\", -e, \"{place}/bad\"], within: 3s } }\n",
    );
}
