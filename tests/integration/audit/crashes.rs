//! Launchers that are killed while they write one log. `HUSHPIPE_TEST_ROUNDS` says how often three of them are
//! (a nightly run: 1,000 points).

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{again, audited, records, verifies};
use crate::harness::{Hushpipe, Output, Running};

fn rounds() -> usize {
    let nightly = std::env::var_os("HUSHPIPE_NIGHTLY").map(|_| 334);
    let asked = std::env::var("HUSHPIPE_TEST_ROUNDS").ok();
    asked
        .and_then(|rounds| rounds.parse().ok())
        .or(nightly)
        .unwrap_or(8)
}

/// At a random moment within the time that a launch takes here.
fn moment() -> Duration {
    let random = RandomState::new().build_hasher().finish();
    Duration::from_micros(random % 120_000)
}

#[test]
fn what_was_delivered_is_on_record_whoever_is_killed() {
    let mut output = audited().args(["run", "--", "true"]).run().success();
    let words = ["run", "--", "sh", "-c", "echo delivered; sleep 1000"];
    let (mut delivered, mut kills) = (0, 0);
    for _ in 0..rounds() {
        let shared = again(output);
        let log = shared.place().path().display().to_string();
        let others: Vec<Running> = (0..2).map(|_| beside(&log, &words).spawn()).collect();
        let running = shared.args(words).spawn();
        std::thread::sleep(moment());
        let all = others.into_iter().chain([running]);
        let killed: Vec<Output> = all
            .map(|running| {
                running.signal(Signal::SIGKILL);
                running.wait()
            })
            .collect();
        kills += killed.len();
        delivered += killed.iter().filter(|one| !one.stdout().is_empty()).count();
        output = killed.into_iter().next_back().expect("there are three");
    }
    let output = again(output).args(["run", "--", "true"]).run().success();
    let records = records(output.place());
    let released = records.iter().filter(|record| record["kind"] == "release");
    // And those of the first and the last launch.
    assert!(released.count() >= delivered + 2, "{delivered} of {kills}");
    for (seq, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], seq);
    }
    verifies(again(output));
}

/// In a place of its own, with the log of another.
fn beside(log: &str, words: &[&str]) -> Hushpipe {
    let hushpipe = super::files().controlled();
    hushpipe
        .env("HUSHPIPE_SITE", format!("{log}/site.yaml"))
        .args(words.iter().copied())
}
