//! The end of containers: exit codes, time, and what is left.

use std::time::Duration;

use super::{Container, give};
use crate::harness::Place;

const MANIFEST: &str = "version: 1\nservice: stop\nrun: { stop: { timeout: 300ms } }\n";

fn start(options: &[&str], script: &str) -> Container {
    let place = Place::new();
    give(&place, "hushpipe.yaml", MANIFEST);
    Container::start(place, options, script)
}

#[test]
fn the_program_s_exit_code_is_the_container_s() {
    for (script, code) in [("exit 0", 0), ("exit 41", 41), ("kill -9 $$", 137)] {
        assert_eq!(start(&[], script).wait(), code, "{script}");
    }
}

#[test]
fn a_program_that_ignores_the_request_is_killed_in_its_own_time() {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let container = start(&[], script);
    container.wait_for("ready");
    let (code, took) = container.stop();
    assert_eq!(code, 137);
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn the_image_s_stop_signal_reaches_the_program() {
    let script = "trap 'echo quit; exit 4' QUIT; echo ready; while :; do sleep 0.05; done";
    let container = start(&["--stop-signal=QUIT"], script);
    container.wait_for("ready");
    assert_eq!(container.stop().0, 4);
}
