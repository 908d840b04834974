//! From the start of a launcher to the end of /bin/true.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::table::{Row, percentile};
use super::{Bench, by_fd, by_file};

const ROUNDS: usize = 300;

/// Launches of each kind in turn, by their medians.
pub fn measure(bench: &Bench) -> Vec<Row> {
    let true_program = "  command: [/bin/true]\n";
    let files = by_file(bench.directory.path());
    let sealed = bench.manifest("sealed", &by_fd(), true_program);
    let plain = bench.manifest("plain", &by_fd(), true_program);
    let sealed_files = bench.manifest("sealed", &files, true_program);
    let hushpipe = |manifest| {
        let mut command = Command::new(&bench.hushpipe);
        command.args(["-q", "run", "--exec", "-m"]).arg(manifest);
        command
    };
    let mut tini = Command::new("tini");
    tini.args(["-s", "--", "/bin/true"]);
    let mut commands = [
        Command::new("/bin/true"),
        tini,
        hushpipe(sealed),
        hushpipe(plain),
        hushpipe(sealed_files),
    ];
    let medians = medians(&mut commands, ROUNDS);
    let (bare, tini) = (medians[0], medians[1]);
    let ratio = |at: usize| medians[at] / tini;
    vec![
        Row::info("/bin/true alone, ms", bare),
        Row::info("tini -- /bin/true, ms", tini),
        Row::info("run --exec, 10 sealed secrets by memfd, ms", medians[2]),
        Row::info(
            "run --exec, 10 secrets of a directory by memfd, ms",
            medians[3],
        ),
        Row::at_most(
            "run --exec, 10 sealed secrets by memfd / tini",
            ratio(2),
            2.0,
        ),
        Row::at_most(
            "run --exec, 10 of a directory by memfd / tini",
            ratio(3),
            1.2,
        ),
        Row::info(
            "run --exec, 10 sealed secrets by private file / tini",
            ratio(4),
        ),
    ]
}

/// The median time of each in milliseconds, in interleaved rounds.
pub fn medians(commands: &mut [Command], rounds: usize) -> Vec<f64> {
    for command in commands.iter_mut() {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // Once for the caches.
        launch(command);
    }
    let mut times = vec![Vec::with_capacity(rounds); commands.len()];
    for _ in 0..rounds {
        for (command, times) in commands.iter_mut().zip(&mut times) {
            times.push(launch(command));
        }
    }
    times
        .iter_mut()
        .map(|times| percentile(times, 0.5))
        .collect()
}

/// Milliseconds from the start of a command to its end.
pub fn launch(command: &mut Command) -> f64 {
    let since = Instant::now();
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let took = since.elapsed();
    assert!(status.success(), "{command:?} failed");
    took.as_secs_f64() * 1000.0
}
