//! From the start of a launcher to the end of /bin/true.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use age::secrecy::ExposeSecret;

use super::table::{Row, percentile};
use super::{Bench, Effort, SECRETS, by_fd, by_file};

const ROUNDS: usize = 300;

/// How often hyperfine runs a command before it goes on to the next.
const AT_ONCE: usize = 10;

/// Launches of each kind, by their medians.
pub fn measure(bench: &Bench, effort: Effort) -> Vec<Row> {
    let true_program = "  command: [/bin/true]\n";
    let files = by_file(bench.directory.path());
    let sealed = bench.manifest("sealed", &by_fd(), true_program);
    let plain = bench.manifest("plain", &by_fd(), true_program);
    let sealed_files = bench.manifest("sealed", &files, true_program);
    let hushpipe = |how: &[&str], manifest: &Path| {
        let mut command = Command::new(&bench.hushpipe);
        command.args(["-q", "run"]).args(how);
        command.arg("-m").arg(manifest);
        command
    };
    let mut tini = Command::new("tini");
    tini.args(["-s", "--", "/bin/true"]);
    let commands = [
        Command::new("/bin/true"),
        tini,
        hushpipe(&["--exec"], &sealed),
        hushpipe(&["--exec"], &plain),
        hushpipe(&["--exec"], &sealed_files),
        hushpipe(&[], &sealed_files),
        sops(bench.directory.path()),
    ];
    let medians = medians(&commands, effort.rounds(ROUNDS));
    let [
        bare,
        tini,
        by_memfd,
        of_directory,
        by_file,
        supervised,
        sops,
    ] = medians[..]
    else {
        panic!("hyperfine measured {} commands", medians.len());
    };
    vec![
        Row::info("/bin/true alone, ms", bare),
        Row::info("tini -- /bin/true, ms", tini),
        Row::info("sops exec-env, 10 secrets, ms", sops),
        Row::info("run --exec, 10 sealed secrets by memfd, ms", by_memfd),
        Row::info(
            "run --exec, 10 secrets of a directory by memfd, ms",
            of_directory,
        ),
        Row::timed(
            "run --exec, 10 sealed secrets by memfd / tini",
            by_memfd / tini,
            2.0,
        ),
        Row::timed(
            "run --exec, 10 of a directory by memfd / tini",
            of_directory / tini,
            1.2,
        ),
        Row::info(
            "run --exec, 10 sealed secrets by private file / tini",
            by_file / tini,
        ),
        Row::info(
            "run, 10 sealed secrets by private file / tini",
            supervised / tini,
        ),
        Row::timed(
            "run --exec, 10 sealed secrets by memfd / sops exec-env",
            by_memfd / sops,
            1.0,
        ),
    ]
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

/// The median time of each in milliseconds, by hyperfine(1). It runs some of each, and is started
/// again and again, so that what else the machine does hits all alike.
pub fn medians(commands: &[Command], rounds: usize) -> Vec<f64> {
    let mut times = vec![Vec::with_capacity(rounds); commands.len()];
    for _ in 0..rounds.div_ceil(AT_ONCE) {
        let report = hyperfine(commands);
        let results = report["results"].as_array().expect("a list");
        assert_eq!(results.len(), commands.len());
        for (result, times) in results.iter().zip(&mut times) {
            let seconds = result["times"].as_array().expect("a list").iter();
            times.extend(seconds.map(|time| time.as_f64().expect("a number") * 1000.0));
        }
    }
    times
        .iter_mut()
        .map(|times| percentile(times, 0.5))
        .collect()
}

fn hyperfine(commands: &[Command]) -> serde_json::Value {
    let report = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let mut hyperfine = Command::new("hyperfine");
    hyperfine
        .args(["--shell=none", "--style=none", "--warmup=1"])
        .arg(format!("--runs={AT_ONCE}"))
        .arg("--export-json")
        .arg(report.path());
    for command in commands {
        hyperfine.arg(quoted(command));
        let variables = command.get_envs();
        hyperfine.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    }
    let output = hyperfine
        .output()
        .expect("tests/install installs hyperfine");
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "hyperfine: {fault}");
    let report = fs::read(report.path()).expect("hyperfine wrote it");
    serde_json::from_slice(&report).expect("it is JSON")
}

/// Its words as a shell, and hyperfine, reads them.
fn quoted(command: &Command) -> String {
    let word = |word: &std::ffi::OsStr| {
        let text = word.to_str().expect("UTF-8").replace('\'', r"'\''");
        format!("'{text}'")
    };
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    words.map(word).collect::<Vec<_>>().join(" ")
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
