//! `hushpipe secret …`: the sealed store.

mod add;
mod common;
mod identity;
mod more;
mod place;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::print;
use super::{Failure, Globals, Outcome, confirm};
use common::{
    FieldFormat, TYPED_VALUE, counted, failure, key, listing, new_key, say, stored, unbuffered,
};
pub use place::PlaceArgs;

use crate::app::sealed::{self, Input, Part, SetOptions};
use crate::model::Exit;
use crate::model::query::Action;
use crate::stores::sealed::{Key, Listed, SealedStore};

const ABOUT: &str = "\
The store is a directory of plain age files, one a version: `age -d -i IDENTITY` opens them. An \
index, which every writer signs, says what it holds: `hushpipe secret verify` checks it.

Which store: --store PATH, else the sealed store of the manifest (-m FILE, $HUSHPIPE_MANIFEST, \
./hushpipe.yaml), else ./secrets.

Examples:
  hushpipe secret set stripe/token                    asks twice, shows nothing
  pwgen -s 40 1 | hushpipe secret set db/password --trim
  hushpipe secret set tls/key tls/certificate --file key.pem --file cert.pem
  hushpipe secret generate session/key
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
    #[command(visible_alias = "show")]
    Get(GetArgs),
    /// List the secrets, without values
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  hushpipe secret list
  hushpipe secret list --json | jq -r .[].name"
    )]
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
    /// Store a new random value
    Generate(more::GenerateArgs),
    /// Change a value in $EDITOR, in memory
    Edit(more::EditArgs),
    /// Give a secret another name
    #[command(name = "mv")]
    Move(more::MoveArgs),
    /// Store the current value of a secret under another name as well
    #[command(name = "cp")]
    Copy(more::CopyArgs),
    /// Store each NAME=value line of a .env file, or each member of a JSON object, as a secret
    Import(ImportArgs),
    /// Write all values to standard output, as a .env file or JSON
    Export(more::ExportArgs),
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
The value comes from --file, else from standard input, byte for byte, else, when that is a terminal, \
from a prompt that does not show it. It is never an argument: every user of the machine can read \
those, and the shell keeps them.

`echo` and most programs end their output with a newline, which is stored as well: --trim drops it. \
An empty value is refused, as of a program that failed before the pipe; --allow-empty stores it.

Several secrets take a --file each, in the order of the names. They become current together, so no \
program gets one without the others: a key and its certificate.

Examples:
  hushpipe secret set stripe/token
  openssl rand -hex 32 | hushpipe secret set session/key --trim
  hushpipe secret set tls/key --file key.pem
  hushpipe secret set tls/key tls/certificate --file key.pem --file cert.pem";

#[derive(Args)]
#[command(after_help = SET_EXAMPLES)]
struct SetArgs {
    /// The secret's name, such as stripe/token; or several, each with its --file
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Drop line ends from the end of the value
    #[arg(long)]
    trim: bool,
    /// Store a value although it is empty
    #[arg(long)]
    allow_empty: bool,
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

const IMPORT_EXAMPLES: &str = "\
Examples:
  hushpipe secret import .env --prefix app/           DB_PASSWORD becomes app/DB_PASSWORD
  sops -d secrets.env | hushpipe secret import -
  doppler secrets download --no-file --format json | hushpipe secret import -
  aws secretsmanager get-secret-value --secret-id app | hushpipe secret import -
  aws ssm get-parameters-by-path --path /app --with-decryption | hushpipe secret import -
  op item get db --format json | hushpipe secret import -
  vault kv get -format=json app | hushpipe secret import -
  kubectl get secret app -o json | hushpipe secret import -
  op read op://vault/item/field | hushpipe secret set item/field --trim
  gcloud secrets versions access latest --secret=db | hushpipe secret set db";

#[derive(Args)]
#[command(after_help = IMPORT_EXAMPLES)]
struct ImportArgs {
    /// The file [default: standard input, as -]
    #[arg(default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// Goes before each name
    #[arg(long, default_value = "")]
    prefix: String,
    /// How the file is written [default: what it looks like]
    #[arg(long, value_enum)]
    format: Option<FieldFormat>,
}

const REKEY_EXAMPLES: &str = "\
Who could open a version once may have kept it: after removing a recipient, change the values too. \
When it is interrupted, call it again.

Examples:
  hushpipe secret rekey                               after recipients.txt was changed by hand
  hushpipe secret rekey --add-recipient 'age1... # bob'
  hushpipe secret rekey --remove-recipient bob
  hushpipe secret rekey --remove-recipient 'ssh-ed25519 AAAA...'";

#[derive(Args)]
#[command(after_help = REKEY_EXAMPLES)]
struct RekeyArgs {
    /// Add a public key (age1… or ssh-ed25519 …, with `# NAME` after it) to recipients.txt first
    #[arg(long, value_name = "PUBLIC_KEY")]
    add_recipient: Vec<String>,
    /// Take a public key, or the one of this name, away from recipients.txt first
    #[arg(long, value_name = "PUBLIC_KEY|NAME")]
    remove_recipient: Vec<String>,
}

const MERGE_EXAMPLES: &str = "\
Every version of either side is kept. Where both set the same secret, yours stays current, and \
theirs becomes the next version. The merged index is signed by your identity, which must be a \
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

pub use add::{AddArgs, run as add};
#[cfg(feature = "init")]
pub use identity::invitation;
pub use identity::{IdentityArgs, run as identity};

/// Runs a `secret` command.
pub fn run(arguments: SecretArgs, globals: Globals) -> Outcome {
    let place = arguments.place;
    match arguments.command {
        SecretCommand::Set(arguments) => set(&place, &arguments, globals),
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
        SecretCommand::Generate(arguments) => more::generate(&place, &arguments, globals),
        SecretCommand::Edit(arguments) => more::edit(&place, &arguments, globals),
        SecretCommand::Move(arguments) => more::rename(&place, &arguments, globals),
        SecretCommand::Copy(arguments) => more::copy(&place, &arguments, globals),
        SecretCommand::Import(arguments) => import(&place, &arguments, globals),
        SecretCommand::Export(arguments) => more::export(&place, &arguments, globals),
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

fn set(place: &PlaceArgs, arguments: &SetArgs, globals: Globals) -> Outcome {
    let SetArgs { names, file, .. } = arguments;
    if file.len() > 1 && file.len() != names.len() {
        let text = format!(
            "{} and {}: each secret takes one --file, in the order of the names",
            counted(names.len(), "secret"),
            counted(file.len(), "--file")
        );
        return Err(Failure::text(Exit::Usage, text));
    }
    if names.len() > 1 && file.len() != names.len() {
        return Err(Failure::text(Exit::Usage, TYPED_VALUE));
    }
    let keys = names.iter().map(|name| new_key(name));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let shown: Vec<&str> = keys.iter().map(Key::as_str).collect();
    let store = place.open_to(Action::Change, &shown, globals)?;
    let options = SetOptions {
        trim: arguments.trim,
        allow_empty: arguments.allow_empty,
    };
    let input = |index: usize| match file.get(index) {
        Some(file) => Input::File(file.clone()),
        None if std::io::stdin().is_terminal() => Input::Prompt,
        None => Input::Stdin,
    };
    let inputs: Vec<(Key, Input)> = keys
        .into_iter()
        .enumerate()
        .map(|(index, key)| (key, input(index)))
        .collect();
    let stored = sealed::set(&store, &inputs, options).map_err(|error| failure(&error))?;
    for ((key, input), stored) in inputs.iter().zip(stored) {
        say(
            globals,
            &format!("{key}: version {} is current", stored.version),
        )?;
        if stored.ends_with_newline && matches!(input, Input::Stdin) {
            say(
                globals,
                "note: the value ends with a newline; --trim drops it",
            )?;
        }
        place.tell_if_undelivered(key, globals)?;
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
    let format = arguments.format.value();
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
    let format = arguments.format.map(FieldFormat::value);
    let read = sealed::read_import(&arguments.file, &arguments.prefix, format);
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

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}
