//! `docker run`, from its start to its end, with hushpipe in front of the program and without.

use std::fs;
use std::process::{Command, Stdio};

use super::engine::{Engine, IMAGE};
use super::launches::launch;
use super::table::{Row, percentile};
use super::{Bench, Effort};

const PAIRS: usize = 20;

const MANIFEST: &str = "version: 1
service: bench
stores:
  given: { type: directory, path: /given }
secrets:
  s0: { store: given, key: s0 }
  s1: { store: given, key: s1 }
deliver:
  - { file: /dev/shm/app/s0, secret: s0 }
  - { fd: 3, as: memfd, secret: s1 }
";

/// Pairs of runs in turn; the median of the differences within pairs.
pub fn measure(bench: &Bench, effort: Effort) -> Vec<Row> {
    let engine = Engine::shared();
    fs::write(bench.path("plain/hushpipe.yaml"), MANIFEST).expect("it is writable");
    let mount = format!("{}:/given:ro", bench.path("plain").display());
    let run = |words: &[&str]| {
        let options = ["run", "--rm", "--network=host", "--volume", &mount, IMAGE];
        let mut command = engine.command(options.iter().chain(words));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut bare = run(&["true"]);
    let hushpipe = ["hushpipe", "-q", "run", "-m", "/given/hushpipe.yaml", "--"];
    let mut with = run(&[&hushpipe[..], &["true"]].concat());
    let (mut bare, mut differences) = pairs(&mut bare, &mut with, effort.rounds(PAIRS));
    vec![
        Row::info("docker run true, ms", percentile(&mut bare, 0.5)),
        Row::timed(
            "docker run with hushpipe in front, ms more",
            percentile(&mut differences, 0.5),
            10.0,
        ),
    ]
}

/// The times of the first in milliseconds, and how much longer the second took.
fn pairs(bare: &mut Command, with: &mut Command, count: usize) -> (Vec<f64>, Vec<f64>) {
    // Once for the caches.
    launch(bare);
    launch(with);
    let (mut times, mut differences) = (Vec::new(), Vec::new());
    for pair in 0..count {
        // Each is first as often as it is second.
        let (alone, in_front) = if pair % 2 == 0 {
            let alone = launch(bare);
            (alone, launch(with))
        } else {
            let in_front = launch(with);
            (launch(bare), in_front)
        };
        times.push(alone);
        differences.push(in_front - alone);
    }
    (times, differences)
}
