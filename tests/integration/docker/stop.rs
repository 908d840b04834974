//! The end of containers: exit codes, time, and what is left.

use std::time::{Duration, Instant};

use super::container::IN_TIME;
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

/// Says `ready`, and does this when a signal comes.
fn waiting(trap: &str) -> String {
    format!("trap {trap}; echo ready; while :; do sleep 1000 & wait $!; done")
}

#[test]
fn a_program_that_ignores_the_request_is_killed_in_its_own_time() {
    let container = start(&[], &waiting("'' TERM"));
    container.wait_for("ready");
    container.ends_in_time(137, "ready");
}

#[test]
fn the_image_s_stop_signal_reaches_the_program() {
    let container = start(&["--stop-signal=QUIT"], &waiting("'exit 4' QUIT"));
    container.wait_for("ready");
    assert_eq!(container.stop().0, 4);
}

/// By the clock of who typed it: the client, the engine and all. The best of three, as the engine is
/// late at times on a machine with much to do.
#[test]
fn docker_stop_is_done_in_less_than_a_second() {
    let container = start(&[], &waiting("'exit 0' TERM"));
    container.wait_for("ready");
    let stop = |round| {
        if round > 0 {
            container.start_again("ready");
        }
        let since = Instant::now();
        container.engine.ask(["stop", &container.id]);
        since.elapsed()
    };
    let mut all: Vec<Duration> = Vec::new();
    while all.len() < 3 && all.last().is_none_or(|took| *took >= IN_TIME) {
        all.push(stop(all.len()));
    }
    assert!(all.last().is_some_and(|took| *took < IN_TIME), "{all:?}");
}
