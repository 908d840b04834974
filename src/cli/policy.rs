//! `hushpipe policy …`: what a site's policies say, before and after it counts.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::load::{Loaded, failure, load, site, warn};
use super::output::print;
use super::said::SaidArgs;
use super::table::{cells, heads, table};
use super::{Failure, Globals, Outcome, Palette, Stream, audit};
use crate::app::files;
use crate::app::policies::{self, Explained, PolicyDirectory, Replay};
use crate::manifest::{Overrides, document};
use crate::model::printable::{printable, printable_path};
use crate::model::query::Effect;
use crate::model::{Exit, parse_duration};

const EXAMPLES: &str = "\
Policies are files of Cedar (*.cedar) and an entities.json in one directory, which the site names \
(policy.directory). hushpipe-policy(7) has what they can read, and examples.

Examples:
  hushpipe policy check ./policy.d            are they good?
  hushpipe policy explain -m app.yaml         what would a launch get, and why?
  hushpipe policy test --with ./policy.d cases.yaml
  hushpipe policy replay --since 30d --with ./policy.d
  hushpipe policy schema > hushpipe.cedarschema";

/// Arguments of `policy`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Validate policies and entities, and report all errors
    #[command(after_help = "\
Examples:
  hushpipe policy check                   the site's
  hushpipe policy check ./policy.d        those of a checkout; ends with 78 if one is wrong")]
    Check {
        /// The directory [default: the site's]
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Explain what policy decides on each secret of a manifest, and on which facts
    #[command(after_help = EXPLAIN)]
    Explain(ExplainArgs),
    /// Compare decisions with those that a file of cases expects
    #[command(after_help = TEST)]
    Test(TestArgs),
    /// Show what policies would have decided on the record
    #[command(after_help = REPLAY)]
    Replay(ReplayArgs),
    /// Print the schema that policies are validated against
    #[command(after_help = "\
Examples:
  hushpipe policy schema > hushpipe.cedarschema             for editors and `cedar validate`
  hushpipe policy schema --json > hushpipe.cedarschema.json")]
    Schema {
        /// In Cedar's JSON form
        #[arg(long)]
        json: bool,
    },
}

const EXPLAIN: &str = "\
Gathers the facts as a launch on this host does, and asks no store. \
Ends with 1 if a secret is denied or needs something first.

Examples:
  hushpipe policy explain -m app.yaml
  hushpipe policy explain --with ./policy.d           by policies that are not in force yet
  hushpipe policy explain --reason INC-7              what would a launch with that reason get?
  hushpipe policy explain --json | jq '.[].ruling'";

#[derive(Args)]
struct ExplainArgs {
    /// The manifest [default: $HUSHPIPE_MANIFEST, else ./hushpipe.yaml]; - is standard input
    #[arg(short, long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The directory of the policies [default: the site's]
    #[arg(long = "with", value_name = "DIR")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    said: SaidArgs,
    /// As JSON: queries, rulings and their causes
    #[arg(long)]
    json: bool,
    /// The program and its arguments, instead of the manifest's run.command
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

const TEST: &str = "\
A file of cases, in YAML or JSON. A query that leaves something out means that it is empty; defaults \
are laid below each query, and null takes one away. policies and reason may be left out.

  defaults: { context: { environment: production } }
  cases:
    - name: restricted secrets need two
      query:
        principal: { name: billing }
        action: deliver
        resource: { name: db, classification: restricted }
      decision: pending                   # allow, deny or pending
      policies: [restricted-needs-two]    # those that decide
      reason: 2 approvals of sre          # a part of the explanation

Ends with 65 if a decision differs.

Examples:
  hushpipe policy test --with ./policy.d cases.yaml";

#[derive(Args)]
struct TestArgs {
    /// The cases; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The directory of the policies [default: the site's]
    #[arg(long = "with", value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Also decide on each case 1,000 times, and print how long a decision takes
    #[arg(long)]
    time: bool,
}

const REPLAY: &str = "\
Reads the decisions of the site's audit log, or of a file of records, asks the policies of DIR the \
same, and shows what differs.

Examples:
  hushpipe policy replay --since 30d --with ./policy.d
  ssh db1 cat /var/log/hushpipe/records.jsonl | hushpipe policy replay --with ./policy.d -";

#[derive(Args)]
struct ReplayArgs {
    /// The records, one JSON object a line; - is standard input [default: the site's audit log]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The directory of the policies
    #[arg(long = "with", value_name = "DIR")]
    directory: PathBuf,
    /// Leave out what is older, such as 12h or 30d
    #[arg(long, value_name = "DURATION")]
    since: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &PolicyArgs, globals: Globals) -> Outcome {
    match &arguments.command {
        PolicyCommand::Check { directory } => check(directory.as_deref(), globals),
        PolicyCommand::Explain(arguments) => explain(arguments, globals),
        PolicyCommand::Test(arguments) => test(arguments, globals),
        PolicyCommand::Replay(arguments) => replay(arguments, globals),
        PolicyCommand::Schema { json: true } => print(&format!("{:#}\n", policies::schema_json())),
        PolicyCommand::Schema { json: false } => print(policies::schema_text()),
    }
}

/// Of the command line, else of the site.
fn open(directory: Option<&Path>, globals: Globals) -> Result<(PathBuf, PolicyDirectory), Failure> {
    let directory = match directory {
        Some(directory) => directory.to_owned(),
        None => of_site(globals)?,
    };
    match PolicyDirectory::open(&directory) {
        Ok(opened) => Ok((directory, opened)),
        Err(failures) => Err(Failure::found(&failures)),
    }
}

fn of_site(globals: Globals) -> Result<PathBuf, Failure> {
    let Some(site) = site(globals)? else {
        let text = "this host has no site: name a directory or a file";
        return Err(Failure::text(Exit::Usage, text));
    };
    let policy = site.policy.map(|policy| policy.directory);
    policy.ok_or_else(|| {
        let text = "this host's site has no policies: name a directory";
        Failure::text(Exit::Usage, text)
    })
}

fn check(directory: Option<&Path>, globals: Globals) -> Outcome {
    let (directory, opened) = open(directory, globals)?;
    let policies = opened.policies();
    let palette = Palette::of(Stream::Stderr);
    if !globals.quiet {
        for warning in policies.warnings() {
            let (on, off) = (palette.warning(), palette.reset());
            eprintln!("{on}hushpipe: warning:{off} {warning}");
        }
        let count = match policies.len() {
            0 => "no policy: everything is denied".to_owned(),
            1 => "1 policy, no errors".to_owned(),
            count => format!("{count} policies, no errors"),
        };
        print(&format!("{}: {count}\n", printable_path(&directory)))?;
    }
    Ok(Exit::Ok)
}

fn explain(arguments: &ExplainArgs, globals: Globals) -> Outcome {
    let overrides = Overrides {
        command: arguments.command.clone(),
        ..Overrides::default()
    };
    let Loaded { plan, site, notes } = load(arguments.manifest.as_deref(), &overrides)?;
    warn(&notes, globals)?;
    let Some(site) = site else {
        let text = "this host has no site: every secret is allowed";
        return Err(Failure::text(Exit::Usage, text));
    };
    let directory = arguments.directory.as_deref();
    let directory = directory.or_else(|| Some(site.policy.as_ref()?.directory.as_path()));
    let Some(directory) = directory else {
        let text = "this host's site has no policies: every secret is allowed";
        return Err(Failure::text(Exit::Usage, text));
    };
    let (_, opened) = open(Some(directory), globals)?;
    let explained = policies::explain(&plan, &site, &opened, &arguments.said.clone().into());
    let explained = explained.map_err(|failures| Failure::found(&failures))?;
    if arguments.json {
        print(&format!("{:#}\n", json!(explained)))?;
    } else {
        print(&explanation(&explained))?;
    }
    let allowed = |one: &Explained| one.ruling.effect == Effect::Allow;
    if explained.iter().all(allowed) {
        Ok(Exit::Ok)
    } else {
        Ok(Exit::No)
    }
}

fn explanation(explained: &[Explained]) -> String {
    let mut out = String::new();
    for one in explained {
        let name = printable(one.query.resource.name());
        writeln!(out, "{name}: {}", one.ruling.effect).expect("a String takes all that is written");
        for line in one.why.lines() {
            writeln!(out, "  {line}").expect("a String takes all that is written");
        }
    }
    out
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let path = printable_path(path);
    Failure::text(
        Exit::NoManifest,
        format!("cannot read {path}\n  cause: {error}"),
    )
}

/// Cases are no longer than this.
const MAX_CASES: u64 = 16 << 20;

fn test(arguments: &TestArgs, globals: Globals) -> Outcome {
    let bytes = files::read_input(&arguments.file, MAX_CASES);
    let bytes = bytes.map_err(|error| unreadable(&arguments.file, &error))?;
    let wrong = |text: String| Failure::text(Exit::Manifest, text);
    let name = printable_path(&arguments.file);
    let text = String::from_utf8(bytes).map_err(|_| wrong(format!("{name}: not UTF-8")))?;
    let document = document(&arguments.file, &text).map_err(|error| failure(&error))?;
    let cases = policies::cases(document).map_err(|errors| {
        let lines: Vec<String> = errors
            .iter()
            .map(|error| format!("{name}: {error}"))
            .collect();
        wrong(lines.join("\n"))
    })?;
    let (_, opened) = open(arguments.directory.as_deref(), globals)?;
    let mut out = String::new();
    let mut failed = 0;
    for case in &cases {
        let differs = case.check(opened.policies());
        failed += usize::from(!differs.is_empty());
        if differs.is_empty() && globals.quiet {
            continue;
        }
        let word = if differs.is_empty() { "ok" } else { "FAILED" };
        writeln!(out, "{word} {}", printable(&case.name))
            .expect("a String takes all that is written");
        for line in differs {
            writeln!(out, "  {line}").expect("a String takes all that is written");
        }
    }
    if arguments.time {
        out.push_str(&policies::time(&cases, opened.policies()).map_or_else(String::new, |times| {
            format!(
                "{} decisions: {:.1} µs in the middle, {:.1} µs at most but for one in a hundred\n",
                times.decisions, times.median, times.most
            )
        }));
    }
    print(&out)?;
    if failed == 0 {
        return Ok(Exit::Ok);
    }
    let text = format!("{failed} of {} cases failed", cases.len());
    Err(Failure::text(Exit::Value, text))
}

fn replay(arguments: &ReplayArgs, globals: Globals) -> Outcome {
    let since = arguments.since.as_deref().map(parse_duration).transpose();
    let since = since.map_err(|error| Failure::text(Exit::Usage, format!("--since: {error}")))?;
    let since = since.and_then(policies::ago);
    let (_, opened) = open(Some(&arguments.directory), globals)?;
    let policies = opened.policies();
    let (name, replayed) = match arguments.file.as_deref() {
        None => {
            let log = audit::of_site(globals)?;
            audit::note(&log, "policy replay", globals);
            let records = audit::found(log.stream())?;
            (
                Path::new("the audit log"),
                Replay::of(records, since, policies),
            )
        }
        Some(file) if file == Path::new("-") => {
            (file, Replay::of(std::io::stdin().lock(), since, policies))
        }
        Some(file) => {
            let opened = File::open(file).map(BufReader::new);
            (
                file,
                opened.and_then(|file| Replay::of(file, since, policies)),
            )
        }
    };
    let replayed = replayed.map_err(|error| unreadable(name, &error))?;
    if arguments.json {
        return print(&format!("{:#}\n", json!(replayed)));
    }
    print(&shown(&replayed, Palette::of(Stream::Stdout)))
}

fn shown(replayed: &Replay, palette: Palette) -> String {
    let Replay {
        decisions,
        same,
        skipped,
        broken,
        changes,
    } = replayed;
    let mut out = format!(
        "{decisions} decisions: {same} stay, {} change; {skipped} older ones left out\n",
        decisions - same
    );
    if *broken > 0 {
        writeln!(out, "{broken} lines cannot be read").expect("a String takes all that is written");
    }
    if changes.is_empty() {
        return out;
    }
    let heads = heads(
        &[
            "times",
            "last",
            "principal",
            "action",
            "resource",
            "was",
            "would be",
            "policies",
        ],
        palette,
    );
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| {
            vec![
                change.count.to_string(),
                printable(&change.last),
                printable(&change.principal),
                change.action.clone(),
                printable(&change.resource),
                change.before.to_string(),
                change.after.to_string(),
                printable(&change.policies.join(", ")),
            ]
        })
        .collect();
    let mut all = vec![heads];
    all.extend(cells(&rows));
    out.push_str(&table(&all, 0, palette));
    out
}
