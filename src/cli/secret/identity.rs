//! `hushpipe identity`: the key that opens sealed stores, and who else has one.

use clap::{Args, Subcommand};

use super::common::{listing, say, stored};
use super::place::PlaceArgs;
use crate::cli::output::print;
use crate::cli::{Failure, Globals, Outcome};
use crate::model::Exit;
use crate::model::printable::{printable, printable_path};
use crate::stores::sealed::SealedStore;

/// Arguments of `identity`.
#[derive(Args)]
#[command(after_help = "\
The identity is a file for you alone: --identity, else $HUSHPIPE_IDENTITY, else the manifest's, else \
~/.config/hushpipe/identity.txt. Its public key is no secret. In CI, write the identity to a file \
with mode 0600 and name it with HUSHPIPE_IDENTITY.

Examples:
  hushpipe identity                     the public key, and how others let it in
  hushpipe identity new                 for a colleague, or for CI: --identity ci.txt
  hushpipe identity recipients          who can open the store")]
pub struct IdentityArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(subcommand)]
    command: Option<IdentityCommand>,
}

#[derive(Subcommand)]
enum IdentityCommand {
    /// Make a new identity
    #[command(after_help = "\
Examples:
  hushpipe identity new
  hushpipe identity new --identity ci.txt")]
    New,
    /// Show the public key of the identity
    #[command(after_help = "\
Examples:
  hushpipe identity show")]
    Show,
    /// List who can open the store
    #[command(after_help = "\
Examples:
  hushpipe identity recipients")]
    Recipients,
}

/// Runs an `identity` command.
pub fn run(arguments: &IdentityArgs, globals: Globals) -> Outcome {
    let store = arguments.place.open(globals)?;
    match arguments.command {
        Some(IdentityCommand::New) => {
            if store.identity_file().symlink_metadata().is_ok() {
                let shown = printable_path(store.identity_file());
                let text = format!(
                    "{shown} is there already: it stays as it is\n  \
                     help: `hushpipe identity` shows it; --identity FILE makes another one"
                );
                return Err(Failure::text(Exit::Usage, text));
            }
            stored(store.create_identity())?;
            show(&store)
        }
        Some(IdentityCommand::Show) | None => show(&store),
        Some(IdentityCommand::Recipients) => recipients(&store, globals),
    }
}

fn show(store: &SealedStore) -> Outcome {
    let own = stored(store.own_recipients())?;
    let file = format!("identity    {}", printable_path(store.identity_file()));
    let keys = own.iter().map(|key| format!("public key  {key}"));
    let lines: Vec<String> = std::iter::once(file).chain(keys).collect();
    print(&format!("{}\n{}", lines.join("\n"), invitation(&own)))
}

/// What a colleague runs, who can open the store.
pub fn invitation(own: &[String]) -> String {
    let name = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let name: String = name.unwrap_or_default().chars().filter(fits).collect();
    let name = if name.is_empty() {
        "NAME".to_owned()
    } else {
        name
    };
    let line = |key: &String| {
        let key: Vec<&str> = key.split_whitespace().take(2).collect();
        let key = key.join(" ");
        format!("  hushpipe secret rekey --add-recipient '{key} # {name}'\n")
    };
    let lines: Vec<String> = own.iter().map(line).collect();
    let heading = "\nTo let it open a store, somebody who can open it already runs:\n";
    format!("{heading}{}", lines.concat())
}

fn recipients(store: &SealedStore, globals: Globals) -> Outcome {
    let all = stored(store.named_recipients())?;
    // Without an identity, the others can be listed all the same.
    let own = store.own_recipients().unwrap_or_default();
    let row = |(key, name): &(String, Option<String>)| {
        let name = name.as_deref().map_or_else(|| "-".to_owned(), printable);
        let you = if own.contains(key) { "you" } else { "" };
        vec![name, you.to_owned(), key.clone()]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    print(&listing(&["NAME", "", "PUBLIC KEY"], &rows))?;
    if !all.iter().any(|(key, _)| own.contains(key)) && !own.is_empty() {
        say(globals, invitation(&own).trim_start())?;
    }
    Ok(Exit::Ok)
}
