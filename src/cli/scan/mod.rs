//! `hushpipe scan`: secrets that lie in the open.

mod baseline;
mod sarif;
mod text;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::output::print;
use super::said::SaidArgs;
use super::secret::PlaceArgs;
use super::{Failure, Globals, Outcome, Palette, Stream};
use crate::app::{files, git, host_name, sealed};
use crate::model::Exit;
use crate::model::printable::{printable, printable_path};
use crate::model::query::Action;
use crate::scan::{Finding, Rule, Scanner, Severity, Tally, TreeOptions, foreign, processes, scan};
use baseline::Baseline;

const EXAMPLES: &str = "\
A finding shows where a value is, its name and its length. The value itself is never printed, sent \
or kept; --show prints values on a terminal. \
Files that git ignores are skipped, except those that are known to hold secrets (.env, keys, \
settings of known programs). Files that are not text are skipped. Container images are read as they \
are: the tar of `docker save` or an OCI layout, with its configuration, history and layers.

Examples:
  hushpipe scan                              the working directory
  hushpipe scan --no-ignore /srv /home       everything below, whatever git ignores
  hushpipe scan --fail                       for CI and hooks: ends with 1 if something is found
  hushpipe scan --write-baseline scan.json   accept what is there today
  hushpipe scan --baseline scan.json --fail  and report only what is new
  hushpipe scan --sarif > scan.sarif         for code scanning services
  hushpipe scan --git                        every version of every file in the repository
  hushpipe scan image.tar                    an image: docker save app > image.tar
  hushpipe scan --known ./secrets image.tar  are values of this store in the image?
  hushpipe scan --rules gitleaks.toml        with rules of gitleaks or Betterleaks
  sudo hushpipe scan --host                  all files and processes of this host
  git show HEAD:a.env | hushpipe scan -      standard input";

/// A larger file of rules is none.
const RULES: u64 = 16 << 20;

/// Arguments of `scan`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
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
    /// Also use the rules of this file, in the TOML of gitleaks or Betterleaks
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Look for the values of this sealed store: as they are, and in base64, hex, percent and JSON encoding
    #[arg(long, value_name = "STORE")]
    known: Option<PathBuf>,
    /// The identity file that opens it [default: ~/.config/hushpipe/identity.txt]
    #[arg(long, value_name = "FILE", requires = "known")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    said: SaidArgs,
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
    let (mut findings, tally) = search(arguments, globals)?;
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
        () if arguments.json => json(arguments, &findings, &tally, known),
        () if arguments.sarif => sarif::log(&findings),
        () => text::findings(&findings, Palette::of(Stream::Stdout)),
    };
    print(&text)?;
    if !globals.quiet {
        warn(&tally, globals);
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

/// What is looked for.
fn scanner(arguments: &ScanArgs, globals: Globals) -> Result<Scanner, Failure> {
    let mut rules = Vec::new();
    for path in &arguments.rules {
        rules.extend(of_file(path, globals)?);
    }
    let scanner = Scanner::new(rules, arguments.max_size, arguments.show);
    let scanner = scanner.map_err(|error| Failure::new(Exit::Internal, &error))?;
    let Some(store) = &arguments.known else {
        return Ok(scanner);
    };
    // Who may not reveal a value may not find out where it is either.
    let place = PlaceArgs::at(
        store.clone(),
        arguments.identity.clone(),
        arguments.said.clone(),
    );
    let store = place.open_to(Action::Reveal, &[], globals)?;
    let known = sealed::known(&store).map_err(|error| Failure::new(error.exit(), &error))?;
    for (name, cause) in known.passed() {
        let text = format!("{} is not looked for: {cause}", printable(name));
        warning(&text, globals);
    }
    Ok(scanner.knowing(known))
}

/// The rules of a file; those that cannot be loaded are named.
fn of_file(path: &Path, globals: Globals) -> Result<Vec<Rule>, Failure> {
    let shown = printable_path(path);
    let bytes = files::read_at_most(path, RULES).map_err(|error| {
        let text = format!("cannot read the rules {shown}\n  cause: {error}");
        Failure::text(Exit::NoManifest, text)
    })?;
    let bad = |cause: String| {
        let text = format!(
            "{shown} is no file of rules\n  cause: {}",
            printable(&cause)
        );
        Failure::text(Exit::Manifest, text)
    };
    let text = str::from_utf8(&bytes).map_err(|_| bad("it is not UTF-8".to_owned()))?;
    let loaded = foreign::load(text).map_err(bad)?;
    for (id, cause) in &loaded.refused {
        let text = format!(
            "rule {} of {shown} was not loaded: {}",
            printable(id),
            printable(cause)
        );
        warning(&text, globals);
    }
    Ok(loaded.rules)
}

fn warning(text: &str, globals: Globals) {
    if !globals.quiet {
        let palette = Palette::of(Stream::Stderr);
        let (on, off) = (palette.warning(), palette.reset());
        eprintln!("{on}hushpipe: warning:{off} {text}");
    }
}

fn search(arguments: &ScanArgs, globals: Globals) -> Result<(Vec<Finding>, Tally), Failure> {
    let scanner = scanner(arguments, globals)?;
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

fn warn(tally: &Tally, globals: Globals) {
    for skipped in &tally.skipped {
        let (path, cause) = (printable(&skipped.path), printable(&skipped.cause));
        warning(&format!("{path} was skipped: {cause}"), globals);
    }
}

/// With the host and the time, so that `hushpipe graph` and `report` know whose findings these are, and which
/// are gone later.
fn json(arguments: &ScanArgs, findings: &[Finding], tally: &Tally, known: usize) -> String {
    let paths = paths(arguments);
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let report = serde_json::json!({
        "version": 1,
        "host": host_name(),
        "time": humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
        "paths": paths,
        "findings": findings,
        "in_baseline": known,
        "scanned": tally,
    });
    format!("{report:#}\n")
}
