//! hushpipe while it supervises: how much memory it takes, and how fast a change arrives.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{self, SigSet, Signal};
use nix::unistd::Pid;

use super::table::{Row, percentile};
use super::{Bench, Effort, by_file};

const CHANGES: usize = 100;

/// The supervised program: writes the time of each SIGHUP, and ends on SIGTERM.
pub fn handler() -> ! {
    let signals = SigSet::from_iter([Signal::SIGHUP, Signal::SIGTERM]);
    signals.thread_block().expect("signals can be blocked");
    let mut out = std::io::stdout();
    writeln!(out, "ready").expect("the bench reads");
    while signals.wait().expect("the set is valid") == Signal::SIGHUP {
        writeln!(out, "{}", now()).expect("the bench reads");
    }
    std::process::exit(0);
}

/// Nanoseconds, on a clock that all processes share.
pub fn now() -> u128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("it is after 1970").as_nanos()
}

/// The end of a manifest that supervises the handler.
pub fn run_handler() -> String {
    format!(
        "  command: [\"{}\", handler]\non_rotate: {{ do: signal, signal: HUP, settle: 0s }}\n",
        own_program()
    )
}

/// The path of the bench itself, which is the handler as well.
pub fn own_program() -> String {
    let own = std::env::current_exe().expect("the bench knows its program");
    own.display().to_string()
}

/// A supervisor with the handler.
pub struct Supervised {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Supervised {
    /// hushpipe, with a manifest that ends with [`run_handler`].
    pub fn start(hushpipe: &Path, manifest: &Path) -> Self {
        let mut command = Command::new(hushpipe);
        command.args(["-q", "run", "-m"]).arg(manifest);
        Self::of(&mut command)
    }

    /// Any supervisor that starts the handler; comes back when the handler is ready.
    pub fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut supervised = Self { child, lines };
        // Others write of themselves first.
        while supervised.line() != "ready" {}
        supervised
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line);
        assert!(read.expect("the handler writes text") > 0, "it has ended");
        line.trim_end().to_owned()
    }

    /// VmRSS in MiB, once it has come to rest.
    pub fn resident(&self) -> f64 {
        sleep(Duration::from_millis(500));
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kib.expect("proc_pid_status(5) has VmRSS") / 1024.0
    }

    /// Changes something again and again; `change` gives the time of the change. Milliseconds from
    /// there until the handler's signal.
    pub fn changes(&mut self, count: usize, change: impl Fn(usize) -> u128) -> Vec<f64> {
        let changed = |number: usize| {
            let since = change(number);
            let line = self.line();
            let at: u128 = line
                .parse()
                .unwrap_or_else(|_| panic!("no signal: {line:?}"));
            at.saturating_sub(since) as f64 / 1e6
        };
        (0..count).map(changed).collect()
    }

    pub fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        signal::kill(pid, Signal::SIGTERM).expect("it runs");
        let status = self.child.wait().expect("it is a child");
        assert!(status.success(), "it ended: {status}");
    }
}

/// One rename, as careful writers of a directory end; `hushpipe secret set`, whose last rename is that of the
/// index. The time is that of the rename, of the index up to a tick of the kernel early (4 ms).
fn change(bench: &Bench, store: &str, number: usize) -> u128 {
    // As a person's changes are: the last one is over.
    sleep(Duration::from_millis(20));
    let value = format!("value {number}");
    if store == "sealed" {
        bench.seal("s0", &value);
        let index = fs::metadata(bench.path("sealed/index")).expect("each store has one");
        return index.ctime() as u128 * 1_000_000_000 + index.ctime_nsec() as u128;
    }
    let since = now();
    let new = bench.path("plain/.new");
    fs::write(&new, value).expect("it is writable");
    fs::rename(new, bench.path("plain/s0")).expect("both are in one directory");
    since
}

/// The kernel keeps what was just written in larger pieces, and maps them whole.
fn resident_of_copy(bench: &Bench, manifest: &Path) -> f64 {
    let copy = bench.path("copied");
    fs::copy(&bench.hushpipe, &copy).expect("it is writable");
    let supervised = Supervised::start(&copy, manifest);
    let resident = supervised.resident();
    supervised.stop();
    resident
}

/// Both stores, one after the other.
pub fn measure(bench: &Bench, effort: Effort) -> Vec<Row> {
    let changes = effort.rounds(CHANGES);
    let mut rows = Vec::new();
    for (store, name) in [("sealed", "sealed store"), ("plain", "directory store")] {
        let files = by_file(bench.directory.path());
        let manifest = bench.manifest(store, &files, &run_handler());
        rows.push(Row::resident(
            format!("{name}: resident after the hand-over, a copied binary, MiB"),
            resident_of_copy(bench, &manifest),
            4.0,
        ));
        let mut supervised = Supervised::start(&bench.hushpipe, &manifest);
        let before = supervised.resident();
        let mut times = supervised.changes(changes, |number| change(bench, store, number));
        let after = supervised.resident();
        supervised.stop();
        rows.push(Row::resident(
            format!("{name}: resident after the hand-over, MiB"),
            before,
            4.0,
        ));
        rows.push(Row::resident(
            format!("{name}: resident after {changes} rotations, MiB"),
            after,
            4.0,
        ));
        rows.push(Row::info(
            format!("{name}: change to signal, p50, ms"),
            percentile(&mut times, 0.5),
        ));
        rows.push(Row::timed(
            format!("{name}: change to signal, p99, ms"),
            percentile(&mut times, 0.99),
            10.0,
        ));
    }
    rows
}
