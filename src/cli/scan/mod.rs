//! `hushpipe scan`: secrets that lie in the open.

mod baseline;
mod sarif;
mod text;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::print;
use super::{Failure, Globals, Outcome, Palette, Stream};
use crate::app::git;
use crate::model::Exit;
use crate::model::printable::{printable, printable_path};
use crate::scan::{Finding, Scanner, Severity, Tally, TreeOptions, processes, scan};
use baseline::Baseline;

const EXAMPLES: &str = "\
A finding shows where a value is, its name and its length. The value itself is never printed, sent
or kept; --show prints values on a terminal.
Files that git ignores are skipped, except those that are known to hold secrets (.env, keys,
settings of known programs). Files that are not text are skipped. Container images are read as they
are: the tar of `docker save` or an OCI layout, with its configuration, history and layers.

Examples:
  hushpipe scan                              the working directory
  hushpipe scan --no-ignore /srv /home       everything below, whatever git ignores
  hushpipe scan --fail                       for CI and pre-commit: ends with 1 if something is found
  hushpipe scan --write-baseline scan.json   accept what is there today
  hushpipe scan --baseline scan.json --fail  and report only what is new
  hushpipe scan --sarif > scan.sarif         for code scanning services
  hushpipe scan --git                        every version of every file in the repository
  hushpipe scan image.tar                    an image: docker save app > image.tar
  sudo hushpipe scan --host                  all files and processes of this host
  git show HEAD:a.env | hushpipe scan -      standard input";

/// Arguments of `scan`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ScanArgs {
    /// Files and directories; - is standard input [default: the working directory]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Scan files that git ignores as well
    #[arg(long)]
    no_ignore: bool,
    /// Scan the history of the repositories at PATH: every version of every file, once
    #[arg(long, conflicts_with_all = ["host", "processes"])]
    git: bool,
    /// Scan running processes as well: variables, arguments, deleted files that are still open
    #[arg(long)]
    processes: bool,
    /// Scan this host: all files and all processes
    #[arg(long, conflicts_with_all = ["paths", "processes"])]
    host: bool,
    /// Read each file up to this many bytes
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20)]
    max_size: u64,
    /// How many threads read files [default: one a processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print JSON
    #[arg(long, conflicts_with = "sarif")]
    json: bool,
    /// Print SARIF 2.1.0
    #[arg(long)]
    sarif: bool,
    /// Leave out the findings of this file, which --write-baseline wrote
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the findings to this file as a baseline; a file that exists is replaced
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// End with 1 if something is found of this severity or a higher one [default: medium]
    #[arg(long, value_enum, value_name = "SEVERITY", num_args = 0..=1, default_missing_value = "medium", require_equals = true)]
    fail: Option<Least>,
    /// Print the values as well, on a terminal only
    #[arg(long, conflicts_with_all = ["json", "sarif"])]
    show: bool,
}

/// The least severity that counts.
#[derive(Clone, Copy, ValueEnum)]
enum Least {
    /// Keys of tests and sandboxes, encrypted keys
    Low,
    /// What is likely to be a secret
    Medium,
    /// What somebody can use
    High,
}

/// Runs the command.
pub fn run(arguments: &ScanArgs, globals: Globals) -> Outcome {
    if arguments.show && !std::io::stdout().is_terminal() {
        let text =
            "--show prints values, and standard output is not a terminal\n  help: leave --show out";
        return Err(Failure::text(Exit::Usage, text));
    }
    let known = arguments
        .baseline
        .as_deref()
        .map(Baseline::read)
        .transpose()?;
    let (mut findings, tally) = search(arguments)?;
    sort(&mut findings);
    if let Some(path) = &arguments.write_baseline {
        Baseline::write(path, &findings)?;
    }
    let before = findings.len();
    if let Some(known) = &known {
        findings.retain(|finding| !known.has(finding));
    }
    let known = before - findings.len();
    let text = match () {
        () if arguments.json => json(&findings, &tally, known),
        () if arguments.sarif => sarif::log(&findings),
        () => text::findings(&findings, Palette::of(Stream::Stdout)),
    };
    print(&text)?;
    if !globals.quiet {
        warn(&tally);
        eprintln!("hushpipe: {}", text::summary(&findings, &tally, known));
    }
    let counts = |least: Severity| findings.iter().any(|finding| finding.severity <= least);
    let fails = arguments.fail.is_some_and(|least| match least {
        Least::Low => counts(Severity::Low),
        Least::Medium => counts(Severity::Medium),
        Least::High => counts(Severity::High),
    });
    Ok(if fails { Exit::No } else { Exit::Ok })
}

fn search(arguments: &ScanArgs) -> Result<(Vec<Finding>, Tally), Failure> {
    let scanner = Scanner::new(Vec::new(), arguments.max_size, arguments.show);
    let scanner = scanner.map_err(|error| Failure::new(Exit::Internal, &error))?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let options = TreeOptions {
        no_ignore: arguments.no_ignore || arguments.host,
        threads: arguments.threads.unwrap_or(processors).clamp(1, 64),
    };
    let failed = |(path, error): (PathBuf, std::io::Error)| {
        let text = format!("cannot scan {}\n  cause: {error}", printable_path(&path));
        Failure::text(Exit::NoManifest, text)
    };
    let paths = paths(arguments);
    let mut all = (Vec::new(), Tally::default());
    if arguments.git {
        for path in &paths {
            let (found, tally) = git::history(&scanner, path, options.threads)
                .map_err(|error| failed((path.clone(), error)))?;
            all.0.extend(found);
            all.1.add(tally);
        }
        return Ok(all);
    }
    if !paths.is_empty() {
        all = scan(&scanner, &paths, options).map_err(failed)?;
    }
    if arguments.processes || arguments.host {
        let proc = PathBuf::from("/proc");
        let (found, tally) = (&mut all.0, &mut all.1);
        let mut worker = scanner.worker();
        processes::scan(&mut worker, &proc, found, tally).map_err(|error| failed((proc, error)))?;
    }
    Ok(all)
}

/// What is to be scanned, if nothing is named: this host, processes alone, or the working directory.
fn paths(arguments: &ScanArgs) -> Vec<PathBuf> {
    match () {
        () if arguments.host => vec![PathBuf::from("/")],
        () if arguments.paths.is_empty() && arguments.processes => Vec::new(),
        () if arguments.paths.is_empty() => vec![PathBuf::from(".")],
        () => arguments.paths.clone(),
    }
}

/// By place, so that the same input gives the same output whichever thread was first.
fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        (&a.place, a.line, a.column, &a.rule).cmp(&(&b.place, b.line, b.column, &b.rule))
    });
}

fn warn(tally: &Tally) {
    let palette = Palette::of(Stream::Stderr);
    let (on, off) = (palette.warning(), palette.reset());
    for skipped in &tally.skipped {
        let (path, cause) = (printable(&skipped.path), printable(&skipped.cause));
        eprintln!("{on}hushpipe: warning:{off} {path} was skipped: {cause}");
    }
}

fn json(findings: &[Finding], tally: &Tally, known: usize) -> String {
    let report = serde_json::json!({
        "version": 1,
        "findings": findings,
        "in_baseline": known,
        "scanned": tally,
    });
    format!("{report:#}\n")
}
