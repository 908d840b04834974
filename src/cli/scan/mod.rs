//! `hushpipe scan`: secrets that lie in the open.

mod baseline;
mod sarif;
mod text;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::print;
use super::{Failure, Globals, Outcome, Palette, Stream};
use crate::model::Exit;
use crate::model::printable::{printable, printable_path};
use crate::scan::{Finding, Scanner, Severity, Tally, TreeOptions, scan};
use baseline::Baseline;

const EXAMPLES: &str = "\
A finding shows where a value is, its name and its length. The value itself is never printed, sent
or kept; --show prints values on a terminal.
Files that git ignores are skipped, except those that are known to hold secrets (.env, keys,
settings of known programs). Files that are not text are skipped.

Examples:
  hushpipe scan                              the working directory
  hushpipe scan --no-ignore /srv /home       everything below, whatever git ignores
  hushpipe scan --fail                       for CI and pre-commit: ends with 1 if something is found
  hushpipe scan --write-baseline scan.json   accept what is there today
  hushpipe scan --baseline scan.json --fail  and report only what is new
  hushpipe scan --sarif > scan.sarif         for code scanning services
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
    /// End with 1 if something is found, of this severity or a higher one
    #[arg(long, value_enum, value_name = "SEVERITY", num_args = 0..=1, default_missing_value = "low", require_equals = true)]
    fail: Option<Least>,
    /// Print the values as well, on a terminal only
    #[arg(long, conflicts_with_all = ["json", "sarif"])]
    show: bool,
}

/// The least severity that counts.
#[derive(Clone, Copy, ValueEnum)]
enum Least {
    /// Everything
    Low,
    /// No test keys, no encrypted keys
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
        no_ignore: arguments.no_ignore,
        threads: arguments.threads.unwrap_or(processors).clamp(1, 64),
    };
    let here = [PathBuf::from(".")];
    let paths = if arguments.paths.is_empty() {
        &here[..]
    } else {
        &arguments.paths
    };
    scan(&scanner, paths, options).map_err(|(path, error)| {
        let text = format!("cannot scan {}\n  cause: {error}", printable_path(&path));
        Failure::text(Exit::NoManifest, text)
    })
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
