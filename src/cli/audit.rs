//! `hushpipe audit`: what was released, to whom and why, and whether the log of that is whole.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::table::{Cell, heads, table};
use super::{Failure, Globals, Outcome, Palette, Stream, load, output};
use crate::app;
use crate::app::audit::{Compared, Filter, Reading, kinds};
#[cfg(feature = "monitor")]
use crate::app::audit::{WitnessPlace, print_key, serve_witness};
use crate::model::printable::printable;
use crate::model::{Exit, parse_duration};

const EXAMPLES: &str = "\
Examples:
  hushpipe audit show --service shop           what this service was given, and when
  hushpipe audit find --value < leaked         which services had this value
  hushpipe audit verify                        whether anything was changed, removed or reordered
  hushpipe audit verify --since kept           and whether it continues an older checkpoint
  hushpipe audit cosign                        have the site's witnesses cosign the checkpoint
  hushpipe audit prove 1234 > 1234.tlog-proof  a proof that needs nothing else of the log
  hushpipe audit prune --older-than 400d       remove old records; the log still verifies

hushpipe-audit(7) explains the log.";

/// Arguments of `audit`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show records
    #[command(after_help = "\
Examples:
  hushpipe audit show                            all that is on record, a line each
  hushpipe audit show --service shop --kind release --since 2026-11-28
  hushpipe audit show --json | jq .kind")]
    Show(ShowArgs),
    /// Find records, also by a value
    #[command(after_help = "\
The value is compared by keyed fingerprints, and neither printed nor kept.

Examples:
  hushpipe audit find --secret db                who was given this secret
  hushpipe audit find --value < leaked           who was given this value, by any name")]
    Find(FindArgs),
    /// Check every record, every tile and the checkpoint; exits 1 if anything is wrong
    #[command(after_help = "\
Examples:
  hushpipe audit verify
  hushpipe audit checkpoint > kept; hushpipe audit verify --since kept
  hushpipe audit verify --directory ./copy --key log.key.pub")]
    Verify(VerifyArgs),
    /// Print the proof that a record is in the log (c2sp.org/tlog-proof)
    #[command(after_help = "\
Examples:
  hushpipe audit prove 1234 > 1234.tlog-proof")]
    Prove(ProveArgs),
    /// Print the signed checkpoint (c2sp.org/tlog-checkpoint)
    #[command(after_help = "\
Keep it elsewhere: `audit verify --since` shows later that nothing before it was changed.

Examples:
  hushpipe audit checkpoint > kept")]
    Checkpoint(PlaceArgs),
    /// Print the verifier key of the log (c2sp.org/signed-note)
    #[command(after_help = "\
Examples:
  hushpipe audit key > log.key.pub")]
    Key(PlaceArgs),
    /// Have the site's witnesses cosign the checkpoint; exits 1 if one saw another log
    #[cfg(feature = "monitor")]
    #[command(after_help = "\
A witness cosigns only what continues the last checkpoint that it cosigned.

Examples:
  hushpipe audit cosign")]
    Cosign,
    /// Cosign the checkpoints of other hosts' logs (c2sp.org/tlog-witness)
    #[cfg(feature = "monitor")]
    Witness(WitnessArgs),
    /// Remove old records; the tree stays, and the removal is on record
    Prune(PruneArgs),
}

#[derive(Args, Debug)]
struct PlaceArgs {
    /// A copy of a log, instead of the one of this host's site
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct FilterArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only records of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only records with this secret
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// Only records of this kind, such as release, denied, rotated
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(kinds()), hide_possible_values = true)]
    kind: Option<String>,
    /// Only records from this time on (UTC): 2026-11-28, or 2026-11-28T14:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Only records before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// Print the records as they are: one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A time as records have it, so that both can be compared as text.
fn moment(text: &str) -> Result<String, String> {
    let midnight = format!("{text}T00:00:00Z");
    let time = [text, &midnight]
        .into_iter()
        .find_map(|text| humantime::parse_rfc3339(text).ok());
    let time = time.ok_or("it is no time in UTC such as 2026-11-28 or 2026-11-28T14:00:00Z")?;
    Ok(humantime::format_rfc3339_micros(time).to_string())
}

#[derive(Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Args, Debug)]
struct FindArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Read a value from standard input, and find the releases that delivered it
    #[arg(long)]
    value: bool,
}

#[derive(Args, Debug)]
struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// An older checkpoint that the log must continue
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// A witness that must have cosigned the checkpoint of --since, by its key; can be repeated
    #[arg(long, value_name = "KEY")]
    witness: Vec<String>,
    /// Ask the site's witnesses as well whether this is the log that they saw
    #[cfg(feature = "monitor")]
    #[arg(long, conflicts_with = "directory")]
    ask: bool,
    /// The verifier key, or a file with it, instead of the site's key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct ProveArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The number of the record
    #[arg(value_name = "SEQ")]
    seq: u64,
    /// The verifier key, or a file with it, instead of the site's key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = PRUNE)]
struct PruneArgs {
    /// How old the records are, such as 400d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older_than: Duration,
}

#[cfg(feature = "monitor")]
#[derive(Args, Debug)]
#[command(after_help = WITNESS)]
struct WitnessArgs {
    /// The address to listen at; there is no TLS, and none is needed: all that is said is signed
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        required_unless_present = "print_key",
        requires = "logs"
    )]
    listen: Option<std::net::SocketAddr>,
    /// The file with the keys of the logs, one a line
    #[arg(long, value_name = "FILE")]
    logs: Option<PathBuf>,
    /// Where the key and the last checkpoint of each log are kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/hushpipe-witness")]
    directory: PathBuf,
    /// The name of the key, where that is made: HOST/hushpipe-witness by default
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print the verifier key, which sites name in audit.witnesses, and exit
    #[arg(long)]
    print_key: bool,
}

#[cfg(feature = "monitor")]
const WITNESS: &str = "\
Run it on a host that the logs' own administrators cannot change. The key is made at first use.

Examples:
  hushpipe audit witness --print-key
  hushpipe audit key >> logs                        # on a host with a log; copy the line here
  hushpipe audit witness --listen 10.0.0.9:8450 --logs /etc/hushpipe/logs";

const PRUNE: &str = "\
Removes whole segments (64 MiB) of which every record is older. What is left verifies as before.

Examples:
  hushpipe audit prune --older-than 400d";

/// Runs the command.
pub fn run(arguments: &AuditArgs, globals: Globals) -> Outcome {
    match &arguments.command {
        Command::Show(show) => rows(&show.filter, false, globals),
        Command::Find(find) => rows(&find.filter, find.value, globals),
        Command::Verify(arguments) => verify(arguments, globals),
        Command::Prove(arguments) => {
            let reading = open(&arguments.place, globals)?;
            let key = found(reading.key(arguments.key.as_deref()))?;
            let proof = found(reading.prove(arguments.seq, &key))?;
            note(&reading, &format!("prove {}", arguments.seq), globals);
            output::print(&proof)
        }
        Command::Checkpoint(place) => output::print(&found(open(place, globals)?.checkpoint())?),
        Command::Prune(prune) => {
            let before = SystemTime::now().checked_sub(prune.older_than);
            let before = before.unwrap_or(SystemTime::UNIX_EPOCH);
            let first = found(of_site(globals)?.prune(before))?;
            if globals.quiet {
                return Ok(Exit::Ok);
            }
            output::print(&format!("the first record is {first}\n"))
        }
        #[cfg(feature = "monitor")]
        Command::Cosign => cosign(globals),
        #[cfg(feature = "monitor")]
        Command::Witness(arguments) => witness(arguments, globals),
        Command::Key(place) => {
            output::print(&format!("{}\n", found(open(place, globals)?.key(None))?))
        }
    }
}

fn open(place: &PlaceArgs, globals: Globals) -> Result<Reading, Failure> {
    let site = load::site(globals)?;
    found(Reading::new(site.as_ref(), place.directory.as_deref()))
}

/// The log of this host's site.
pub fn of_site(globals: Globals) -> Result<Reading, Failure> {
    let site = load::site(globals)?;
    found(Reading::new(site.as_ref(), None))
}

/// What was found.
pub fn found<T>(result: Result<T, app::Failures>) -> Result<T, Failure> {
    result.map_err(|failures| Failure::found(&failures))
}

/// Whoever may not write the log can read it; it is said that this is not on record.
pub fn note(reading: &Reading, how: &str, globals: Globals) {
    if let Err(text) = reading.note(how)
        && !globals.quiet
    {
        eprintln!("hushpipe: warning: {}", printable(&text));
    }
}

fn rows(arguments: &FilterArgs, by_value: bool, globals: Globals) -> Outcome {
    let reading = open(&arguments.place, globals)?;
    let stdin = || std::io::stdin().lock();
    let fingerprints = by_value.then(|| found(reading.fingerprints(stdin())));
    let filter = Filter {
        service: arguments.service.clone(),
        secret: arguments.secret.clone(),
        kind: arguments.kind.clone(),
        since: arguments.since.clone(),
        until: arguments.until.clone(),
        fingerprints: fingerprints.transpose()?,
    };
    // It is on record before anything is shown.
    note(&reading, &arguments.words(by_value), globals);
    if arguments.json {
        return lines(&reading, &filter);
    }
    let mut cells: Vec<Vec<Cell>> = Vec::new();
    found(reading.rows(&filter, |row| {
        cells.push(row.cells.map(Cell::from).into_iter().collect());
        true
    }))?;
    let palette = Palette::of(Stream::Stdout);
    let names = ["SEQ", "TIME", "SERVICE", "KIND", "SECRETS", "DETAIL"];
    let mut rows = vec![heads(&names, palette)];
    rows.extend(cells);
    output::print(&table(&rows, 0, palette))
}

/// A log may be larger than memory: lines are written as they are found.
fn lines(reading: &Reading, filter: &Filter) -> Outcome {
    const AT_ONCE: usize = 64 << 10;
    let mut text = String::new();
    let mut written = Ok(Exit::Ok);
    found(reading.rows(filter, |row| {
        text.push_str(&row.json);
        text.push('\n');
        if text.len() > AT_ONCE {
            written = output::print(&std::mem::take(&mut text));
        }
        written.is_ok()
    }))?;
    written.and_then(|_| output::print(&text))
}

impl FilterArgs {
    /// What is read, as it is recorded.
    fn words(&self, by_value: bool) -> String {
        let options = [
            ("service", &self.service),
            ("secret", &self.secret),
            ("kind", &self.kind),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let mut words = String::from(if by_value { "find --value" } else { "show" });
        for (name, value) in options {
            if let Some(value) = value {
                words.extend([" --", name, " ", value]);
            }
        }
        words
    }
}

fn verify(arguments: &VerifyArgs, globals: Globals) -> Outcome {
    let reading = open(&arguments.place, globals)?;
    let key = found(reading.key(arguments.key.as_deref()))?;
    let compared = Compared {
        since: arguments.since.as_deref(),
        witnesses: &arguments.witness,
    };
    #[cfg_attr(not(feature = "monitor"), allow(unused_mut))]
    let mut verified = found(reading.verify(&key, compared))?;
    #[cfg(feature = "monitor")]
    if arguments.ask {
        verified.findings.extend(found(reading.objections())?);
    }
    let is_whole = verified.findings.is_empty();
    if is_whole {
        note(&reading, "verify", globals);
    }
    let text = if arguments.json {
        let text = serde_json::to_string(&verified);
        text.map_err(|error| Failure::new(Exit::Internal, &error))? + "\n"
    } else {
        verified.words(key.name())
    };
    output::print(&text)?;
    Ok(if is_whole { Exit::Ok } else { Exit::No })
}

#[cfg(feature = "monitor")]
fn cosign(globals: Globals) -> Outcome {
    let mut exit = Exit::Ok;
    let mut text = String::new();
    for (witness, said) in found(of_site(globals)?.cosign())? {
        let witness = printable(&witness);
        match said {
            Ok(size) => text.extend([format!("{witness} cosigned {size} records\n")]),
            Err(error) => {
                if exit != Exit::No {
                    exit = error.exit();
                }
                eprintln!(
                    "hushpipe: error: {witness}: {}",
                    printable(&error.to_string())
                );
            }
        }
    }
    if !globals.quiet {
        output::print(&text)?;
    }
    Ok(exit)
}

#[cfg(feature = "monitor")]
fn witness(arguments: &WitnessArgs, globals: Globals) -> Outcome {
    let place = WitnessPlace {
        directory: arguments.directory.clone(),
        name: arguments.name.clone(),
    };
    if arguments.print_key {
        return output::print(&format!("{}\n", found(print_key(&place))?));
    }
    // clap requires both where the key is not printed.
    let (Some(listen), Some(logs)) = (arguments.listen, &arguments.logs) else {
        return Ok(Exit::Usage);
    };
    let ready = |address| {
        if !globals.quiet {
            eprintln!("hushpipe: listening at {address}");
        }
    };
    found(serve_witness(&place, logs, listen, ready))?;
    Ok(Exit::Ok)
}
