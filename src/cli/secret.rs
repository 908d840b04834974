//! `hushpipe secret …`: the sealed store.

mod place;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::failure::log_object;
use super::output::print;
use super::table::{cells, heads, table};
use super::{Failure, Globals, LogFormat, Outcome, Palette, Stream, confirm};
use place::PlaceArgs;

use crate::app::sealed::{self, Input, Part, SealedError, SetOptions};
use crate::model::query::Action;
use crate::model::{Exit, ValueFormat};
use crate::stores::sealed::{Key, KeyError, Listed, SealedStore};
#[cfg(feature = "init")]
pub use place::default_identity_file;

const ABOUT: &str = "\
The store is a directory of plain age files, one a version: `age -d -i IDENTITY` opens them. An
index, which every writer signs, says what it holds: `hushpipe secret verify` checks it.

Which store: --store PATH, else the sealed store of the manifest (-m FILE, $HUSHPIPE_MANIFEST,
./hushpipe.yaml), else ./secrets.

Examples:
  hushpipe secret set stripe/token                    asks twice, shows nothing
  pwgen -s 40 1 | hushpipe secret set db/password --trim
  hushpipe secret set tls/key --file key.pem
  hushpipe secret get db/password --reveal
  hushpipe secret rollback db/password";

/// Arguments of `secret`.
#[derive(Args)]
#[command(after_help = ABOUT)]
pub struct SecretArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Subcommand)]
enum SecretCommand {
    /// Store a value as a new version
    Set(SetArgs),
    /// Write a value to standard output
    Get(GetArgs),
    /// List the secrets, without values
    #[command(after_help = "\
Examples:
  hushpipe secret list
  hushpipe secret list --json | jq -r .[].name")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show when a secret was set and rolled back
    #[command(after_help = "\
Examples:
  hushpipe secret history db/password")]
    History {
        /// The secret's name
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make an older version the current one
    #[command(after_help = "\
Examples:
  hushpipe secret rollback db/password           the version before
  hushpipe secret rollback db/password --to 3    an older one, or back again")]
    Rollback {
        /// The secret's name
        name: String,
        /// Which version [default: the one before the current]
        #[arg(long, value_name = "VERSION")]
        to: Option<u64>,
    },
    /// Remove a secret with all its versions
    #[command(after_help = "\
Examples:
  hushpipe secret rm db/password")]
    Rm {
        /// The secret's name
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Store each NAME=value line of a .env file as a secret
    Import(ImportArgs),
    /// Seal every version anew, for the recipients that are named now
    Rekey(RekeyArgs),
    /// Merge what two writers wrote apart from each other, after a conflict of git's
    Merge(MergeArgs),
    /// Check the whole store: its index, its files and its recipients
    #[command(after_help = "\
Examples:
  hushpipe secret verify
  hushpipe secret verify --accept-store      after you have looked at a store that was refused")]
    Verify,
}

const SET_EXAMPLES: &str = "\
The value comes from --file, else from standard input, byte for byte, else, when that is a terminal,
from a prompt that does not show it. It is never an argument: every user of the machine can read
those, and the shell keeps them.

`echo` and most programs end their output with a newline, which is stored as well: --trim drops it.
An empty value is refused, as of a program that failed before the pipe; --allow-empty stores it.

Examples:
  hushpipe secret set stripe/token
  openssl rand -hex 32 | hushpipe secret set session/key --trim
  hushpipe secret set tls/key --file key.pem";

#[derive(Args)]
#[command(after_help = SET_EXAMPLES)]
struct SetArgs {
    /// The secret's name, such as stripe/token
    name: String,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Drop line ends from the end of the value
    #[arg(long)]
    trim: bool,
    /// Store a value although it is empty
    #[arg(long)]
    allow_empty: bool,
    /// Refused, with the reason why.
    #[arg(hide = true)]
    value: Vec<OsString>,
}

const GET_EXAMPLES: &str = "\
Examples:
  hushpipe secret get stripe/token --reveal           to the terminal
  hushpipe secret get tls/key --version 2 > key.pem
  hushpipe secret get db --field password --reveal
  hushpipe secret get app --format dotenv --field DB_PASSWORD --reveal";

#[derive(Args)]
#[command(after_help = GET_EXAMPLES)]
struct GetArgs {
    /// The secret's name
    name: String,
    /// Which version [default: the current one]
    #[arg(long)]
    version: Option<u64>,
    /// One field of the value
    #[arg(long)]
    field: Option<String>,
    /// How the value has fields
    #[arg(long, value_enum, default_value_t = FieldFormat::Json, requires = "field")]
    format: FieldFormat,
    /// Show the value although the output is a terminal
    #[arg(long)]
    reveal: bool,
}

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FieldFormat {
    /// A JSON object
    Json,
    /// NAME=value lines
    Dotenv,
}

const IMPORT_EXAMPLES: &str = "\
Examples:
  hushpipe secret import .env --prefix app/           DB_PASSWORD becomes app/DB_PASSWORD
  sops -d secrets.env | hushpipe secret import -";

#[derive(Args)]
#[command(after_help = IMPORT_EXAMPLES)]
struct ImportArgs {
    /// The file; - is standard input
    file: PathBuf,
    /// Goes before each name
    #[arg(long, default_value = "")]
    prefix: String,
}

const REKEY_EXAMPLES: &str = "\
Who could open a version once may have kept it: after removing a recipient, change the values too.
When it is interrupted, call it again.

Examples:
  hushpipe secret rekey                               after recipients.txt was changed by hand
  hushpipe secret rekey --add-recipient age1...
  hushpipe secret rekey --remove-recipient 'ssh-ed25519 AAAA...'";

#[derive(Args)]
#[command(after_help = REKEY_EXAMPLES)]
struct RekeyArgs {
    /// Add a public key (age1… or ssh-ed25519 …) to recipients.txt first
    #[arg(long, value_name = "PUBLIC_KEY")]
    add_recipient: Vec<String>,
    /// Take a public key away from recipients.txt first
    #[arg(long, value_name = "PUBLIC_KEY")]
    remove_recipient: Vec<String>,
}

const MERGE_EXAMPLES: &str = "\
Every version of either side is kept. Where both set the same secret, yours stays current, and
theirs becomes the next version. The merged index is signed by your identity, which must be a
recipient.

As git's merge driver for the index (the store's .gitattributes names it):
  git config merge.hushpipe.driver 'hushpipe secret merge --store secrets %O %A %B'

Examples:
  git pull; hushpipe secret merge && git add secrets && git commit";

#[derive(Args)]
#[command(after_help = MERGE_EXAMPLES)]
struct MergeArgs {
    /// As git's merge driver: the files %O, %A and %B; the result goes to %A
    #[arg(value_name = "FILE", num_args = 3)]
    files: Vec<PathBuf>,
}

/// Runs a `secret` command.
pub fn run(arguments: SecretArgs, globals: Globals) -> Outcome {
    let place = arguments.place;
    match arguments.command {
        SecretCommand::Set(arguments) => set(&place, arguments, globals),
        SecretCommand::Get(arguments) => get(&place, &arguments, globals),
        SecretCommand::List { json } => list(&place, json, globals),
        SecretCommand::History { name, json } => history(&place, &name, json, globals),
        SecretCommand::Rollback { name, to } => {
            let key = key(&name)?;
            let (from, to) = stored(
                place
                    .open_to(Action::Change, &[&name], globals)?
                    .rollback(&key, to),
            )?;
            say(
                globals,
                &format!("{key}: version {to} is current (was {from})"),
            )
        }
        SecretCommand::Rm { name, yes } => remove(&place, &name, yes, globals),
        SecretCommand::Import(arguments) => import(&place, &arguments, globals),
        SecretCommand::Rekey(arguments) => rekey(&place, &arguments, globals),
        SecretCommand::Merge(arguments) => merge(&place, &arguments.files, globals),
        SecretCommand::Verify => {
            let state = stored(place.open(globals)?.verify())?;
            if globals.quiet {
                return Ok(Exit::Ok);
            }
            print(&format!("{state}\n"))
        }
    }
}

fn set(place: &PlaceArgs, arguments: SetArgs, globals: Globals) -> Outcome {
    if !arguments.value.is_empty() {
        return Err(Failure::text(
            Exit::Usage,
            "a value cannot be an argument: every user of the machine can read arguments, and the \
             shell keeps them in its history. Nothing was stored.\n  \
             Pipe the value in, use --file, or give the name alone to be asked for it; a value \
             that was typed here is no secret any more.",
        ));
    }
    let key = Key::new(&arguments.name).map_err(|error| bad_name(&arguments.name, error))?;
    let store = place.open_to(Action::Change, &[key.as_str()], globals)?;
    let options = SetOptions {
        trim: arguments.trim,
        allow_empty: arguments.allow_empty,
    };
    let input = match arguments.file {
        Some(file) => Input::File(file),
        None if std::io::stdin().is_terminal() => Input::Prompt,
        None => Input::Stdin,
    };
    let stored = sealed::set(&store, &key, &input, options).map_err(|error| failure(&error))?;
    say(
        globals,
        &format!("{key}: version {} is current", stored.version),
    )?;
    if stored.ends_with_newline && matches!(input, Input::Stdin) {
        let note = "note: the value ends with a newline; --trim drops it";
        say(globals, note)?;
    }
    Ok(Exit::Ok)
}

fn get(place: &PlaceArgs, arguments: &GetArgs, globals: Globals) -> Outcome {
    let key = key(&arguments.name)?;
    if std::io::stdout().is_terminal() && !arguments.reveal {
        return Err(Failure::text(
            Exit::Usage,
            "the value would be shown on the terminal: give --reveal, or send it to a file or a \
             program",
        ));
    }
    let format = match arguments.format {
        FieldFormat::Json => ValueFormat::Json,
        FieldFormat::Dotenv => ValueFormat::Dotenv,
    };
    let part = Part {
        version: arguments.version,
        field: arguments.field.as_deref().map(|field| (field, format)),
    };
    let (store, custody) = place.open_recorded(Action::Reveal, &[key.as_str()], globals)?;
    let mut stdout = unbuffered()?;
    let shown = sealed::get(&store, &key, part, |version, value| {
        let recorded = custody.revealed(version, value);
        recorded.map_err(|failures| Failure::found(&failures))?;
        sealed::write(value, &mut stdout).map_err(|error| failure(&error))
    });
    shown.map_err(|error| failure(&error))??;
    store.report_new_recipients();
    // The shell's prompt goes below; anywhere else the value is exact.
    if std::io::stdout().is_terminal() {
        return print("\n");
    }
    Ok(Exit::Ok)
}

/// Standard output without a buffer that keeps a value.
fn unbuffered() -> Result<std::fs::File, Failure> {
    use std::os::fd::AsFd;
    let fd = std::io::stdout().as_fd().try_clone_to_owned();
    fd.map(std::fs::File::from)
        .map_err(|error| Failure::new(Exit::Os, &error))
}

fn list(place: &PlaceArgs, json: bool, globals: Globals) -> Outcome {
    let store = place.open(globals)?;
    let listed = stored(store.list())?;
    store.report_new_recipients();
    if json {
        let rows: Vec<_> = listed
            .iter()
            .map(|one| {
                json!({
                    "name": one.key.as_str(), "current": one.current,
                    "versions": one.versions, "changed": time(one.changed),
                })
            })
            .collect();
        return print(&format!("{:#}\n", json!(rows)));
    }
    let row = |one: &Listed| {
        let current = format!("v{}", one.current);
        vec![
            one.key.to_string(),
            current,
            one.versions.to_string(),
            time(one.changed),
        ]
    };
    let rows: Vec<_> = listed.iter().map(row).collect();
    print(&listing(&["NAME", "CURRENT", "VERSIONS", "CHANGED"], &rows))
}

fn history(place: &PlaceArgs, name: &str, json: bool, globals: Globals) -> Outcome {
    let key = key(name)?;
    let (events, current) = stored(place.open(globals)?.history(&key))?;
    if json {
        let rows: Vec<_> = events
            .iter()
            .map(|event| {
                json!({
                    "time": time(event.at), "event": event.what.word(),
                    "version": event.version, "current": event.version == current,
                })
            })
            .collect();
        return print(&format!("{:#}\n", json!(rows)));
    }
    let mut rows = Vec::new();
    for event in &events {
        let mark = if event.version == current {
            "current"
        } else {
            ""
        };
        let version = format!("v{}", event.version);
        rows.push(vec![
            time(event.at),
            event.what.word().to_owned(),
            version,
            mark.to_owned(),
        ]);
    }
    print(&listing(&["TIME", "EVENT", "VERSION", ""], &rows))
}

fn listing(names: &[&str], rows: &[Vec<String>]) -> String {
    let palette = Palette::of(Stream::Stdout);
    let mut all = vec![heads(names, palette)];
    all.extend(cells(rows));
    table(&all, 0, palette)
}

fn remove(place: &PlaceArgs, name: &str, yes: bool, globals: Globals) -> Outcome {
    let key = key(name)?;
    let store = place.open_to(Action::Change, &[key.as_str()], globals)?;
    if !yes && !confirmed(&store, &key)? {
        return Err(Failure::text(Exit::No, "nothing was removed"));
    }
    let count = stored(store.remove(&key))?;
    let versions = counted(count, "version");
    say(globals, &format!("{key}: removed, {versions}"))
}

fn confirmed(store: &SealedStore, key: &Key) -> Result<bool, Failure> {
    // What is not there needs no question.
    stored(store.history(key))?;
    confirm::confirmed(
        &format!("Remove {key} with all its versions? It cannot be undone."),
        "removing cannot be undone, and nobody can be asked here: give --yes",
    )
}

fn import(place: &PlaceArgs, arguments: &ImportArgs, globals: Globals) -> Outcome {
    let read = sealed::read_import(&arguments.file, &arguments.prefix);
    let read = read.map_err(|error| failure(&error))?;
    let imported = if read.is_empty() {
        Vec::new()
    } else {
        let keys: Vec<&str> = read.iter().map(|(key, _)| key.as_str()).collect();
        let store = place.open_to(Action::Change, &keys, globals)?;
        sealed::import(&store, &read).map_err(|error| failure(&error))?
    };
    for (key, version) in &imported {
        say(globals, &format!("{key}: version {version} is current"))?;
    }
    if imported.is_empty() {
        say(globals, "there was nothing to import")?;
    }
    Ok(Exit::Ok)
}

fn rekey(place: &PlaceArgs, arguments: &RekeyArgs, globals: Globals) -> Outcome {
    let store = place.open_to(Action::Change, &[], globals)?;
    let done = stored(store.rekey(&arguments.add_recipient, &arguments.remove_recipient))?;
    let versions = counted(done.versions, "version");
    let secrets = counted(done.secrets, "secret");
    let recipients = counted(done.recipients, "recipient");
    for new in &done.new {
        say(
            globals,
            &format!("new recipient, who can open all of them now: {new}"),
        )?;
    }
    say(
        globals,
        &format!("sealed anew: {versions} of {secrets}, for {recipients}"),
    )
}

fn merge(place: &PlaceArgs, files: &[PathBuf], globals: Globals) -> Outcome {
    let store = place.open_to(Action::Change, &[], globals)?;
    if let [base, ours, theirs] = files {
        let merged = stored(sealed::merge_driver(&store, [base, ours, theirs]))?;
        if merged {
            return Ok(Exit::Ok);
        }
        let text = "both sides set the same secret, or changed recipients: end the merge with \
                    `hushpipe secret merge`";
        return Err(Failure::text(Exit::No, text));
    }
    let merged = stored(sealed::merge(&store))?;
    for (key, current, theirs) in &merged.moved {
        say(
            globals,
            &format!(
                "{key}: both sides set it; version {current} is current, and version {theirs} has the \
                 other side's value: `hushpipe secret rollback {key} --to {theirs}` makes that current"
            ),
        )?;
    }
    if !merged.new.is_empty() {
        let new = merged.new.join(", ");
        let text = format!("{new}: `hushpipe secret rekey` seals all versions for new recipients");
        say(globals, &text)?;
    }
    let shown = store.path().display();
    say(
        globals,
        &format!("merged: now `git add {shown}` and commit"),
    )
}

fn key(name: &str) -> Result<Key, Failure> {
    Key::parse(name).map_err(|error| bad_name(name, error))
}

fn bad_name(name: &str, error: KeyError) -> Failure {
    let text = format!("{name:?} cannot be the name of a secret: {error}");
    Failure::text(Exit::Usage, text)
}

fn stored<T>(outcome: Result<T, impl Into<SealedError>>) -> Result<T, Failure> {
    outcome.map_err(|error| failure(&error.into()))
}

fn failure(error: &SealedError) -> Failure {
    Failure::new(error.exit(), error)
}

/// What was done goes to stderr, so that standard output is for values and lists.
fn say(globals: Globals, text: &str) -> Outcome {
    if !globals.quiet {
        let line = match globals.log_format {
            LogFormat::Text => format!("{text}\n"),
            LogFormat::Json => format!("{}\n", log_object("info", "done", text)),
        };
        std::io::stderr()
            .write_all(line.as_bytes())
            .map_err(|error| Failure::new(Exit::Os, &error))?;
    }
    Ok(Exit::Ok)
}

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
