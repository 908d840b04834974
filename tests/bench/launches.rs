//! From the start of a launcher to the end of /bin/true.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use age::secrecy::ExposeSecret;

use super::table::{Row, percentile};
use super::{Bench, Effort, SECRETS, by_fd, by_file};

const ROUNDS: usize = 400;

/// How long launches took, in milliseconds.
pub struct Times {
    /// What a tenth of them did not exceed: what else the machine does has hardly a part in it.
    pub tenth: f64,
    pub median: f64,
}

/// What is to be no slower than so many times tini, by the binary for images; for that with all
/// commands a tenth more.
const TARGETS: [(&str, f64); 3] = [
    ("10 sealed secrets by memfd", 1.75),
    ("10 of a directory by memfd", 1.2),
    ("no secret", 1.0),
];

/// How much the binary with all commands may add.
const ALL_COMMANDS: f64 = 0.1;

/// Launches of each kind by both binaries, and what they take compared with tini.
pub fn measure(bench: &Bench, effort: Effort) -> Vec<Row> {
    let true_program = "  command: [/bin/true]\n";
    let files = by_file(bench.directory.path());
    let sealed = bench.manifest("sealed", &by_fd(), true_program);
    let plain = bench.manifest("plain", &by_fd(), true_program);
    let none = bench.path("none.yaml");
    fs::write(
        &none,
        format!("version: 1\nservice: bench\nrun:\n{true_program}"),
    )
    .expect("it is writable");
    let sealed_files = bench.manifest("sealed", &files, true_program);
    let by = |binary: &Path, how: &[&str], manifest: &Path| {
        let mut command = Command::new(binary);
        command.args(["-q", "run"]).args(how);
        command.arg("-m").arg(manifest);
        command
    };
    let mut tini = Command::new("tini");
    tini.args(["-s", "--", "/bin/true"]);
    let mut commands = vec![
        Command::new("/bin/true"),
        tini,
        sops(bench.directory.path()),
        by(&bench.hushpipe, &["--exec"], &sealed_files),
        by(&bench.hushpipe, &[], &sealed_files),
    ];
    for binary in [&bench.slim, &bench.hushpipe] {
        commands.extend([&sealed, &plain, &none].map(|manifest| by(binary, &["--exec"], manifest)));
    }
    let times = interleaved(&mut commands, effort.rounds(ROUNDS));
    let [bare, tini, sops, by_file, supervised, launches @ ..] = &times[..] else {
        panic!("{} commands were measured", times.len());
    };
    let mut rows = vec![
        Row::info("/bin/true alone, ms", bare.median),
        Row::info("tini -- /bin/true, ms", tini.median),
        Row::info("sops exec-env, 10 secrets, ms", sops.median),
    ];
    let kinds = [("slim", 0.0), ("default", ALL_COMMANDS)];
    for ((build, more), launches) in kinds.into_iter().zip(launches.chunks(TARGETS.len())) {
        for ((kind, target), launch) in TARGETS.into_iter().zip(launches) {
            let (tenth, median) = (launch.tenth / tini.tenth, launch.median / tini.median);
            let what = format!("run --exec, {kind}, {build} / tini");
            rows.push(Row::timed(
                format!("{what}, 10th percentile"),
                tenth,
                target + more,
            ));
            rows.push(Row::timed(format!("{what}, median"), median, target + more));
        }
    }
    let all = &launches[TARGETS.len()];
    rows.extend([
        Row::info(
            "run --exec, 10 sealed secrets by private file / tini",
            by_file.median / tini.median,
        ),
        Row::info(
            "run, 10 sealed secrets by private file / tini",
            supervised.median / tini.median,
        ),
        Row::timed(
            "run --exec, 10 sealed secrets by memfd / sops exec-env",
            all.median / sops.median,
            1.0,
        ),
    ]);
    rows
}

/// sops(1) with as many values, sealed by age as well: it hands them over in the environment.
fn sops(directory: &Path) -> Command {
    let identity = age::x25519::Identity::generate();
    let values: serde_json::Map<_, _> = (0..SECRETS)
        .map(|n| (format!("s{n}"), format!("value-{n:032}").into()))
        .collect();
    let (plain, sealed, key) = (
        directory.join("plain.json"),
        directory.join("sealed.json"),
        directory.join("sops-key"),
    );
    let values = serde_json::Value::Object(values).to_string();
    fs::write(&plain, values).expect("it is writable");
    fs::write(&key, identity.to_string().expose_secret()).expect("it is writable");
    let output = Command::new("sops")
        .args(["encrypt", "--age", &identity.to_public().to_string()])
        .args([&plain])
        .output()
        .expect("tests/install installs sops");
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "sops: {fault}");
    fs::write(&sealed, output.stdout).expect("it is writable");
    let mut command = Command::new("sops");
    command.env("SOPS_AGE_KEY_FILE", key);
    command.arg("exec-env").arg(sealed).arg("/bin/true");
    command
}

/// What each takes, one after the other again and again, so that what else the machine does hits all
/// alike. std starts them by posix_spawn(3).
pub fn interleaved(commands: &mut [Command], rounds: usize) -> Vec<Times> {
    let mut times = vec![Vec::with_capacity(rounds); commands.len()];
    // The first round brings their files into memory.
    for round in 0..=rounds {
        for (command, times) in commands.iter_mut().zip(&mut times) {
            let took = launch(command);
            if round > 0 {
                times.push(took);
            }
        }
    }
    let of = |times: &mut Vec<f64>| Times {
        tenth: percentile(times, 0.1),
        median: percentile(times, 0.5),
    };
    times.iter_mut().map(of).collect()
}

/// Milliseconds from the start of a command to its end.
pub fn launch(command: &mut Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let since = Instant::now();
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let took = since.elapsed();
    assert!(status.success(), "{command:?} failed");
    took.as_secs_f64() * 1000.0
}
