//! What `hushpipe init` takes.

use std::path::PathBuf;

use clap::Args;

use super::super::said::SaidArgs;

const EXAMPLES: &str = "\
Existing files are never overwritten, except a starting manifest that nobody changed; an interrupted \
init can be re-run. Beside a manifest of an earlier init, it moves the .env files that were kept. \
The identity opens every secret that is sealed for it: keep it out of repositories, and keep a copy \
in a safe place.

If there are .env files, init offers to move their values into the store, and to remove each file:
while the program runs, a link in its place leads to what the program gets. No value stays behind, \
and the program finds its .env where it was. Each line is delivered as it was written until you set \
a new value, so every loader reads what it read before. Without a terminal, init does not prompt, \
and imports .env files only with --from-env or --yes. Values are never shown.

Within a git work tree, init adds to .gitignore what must not be committed, and never runs git. The \
sealed store may be committed.

Examples:
  hushpipe init                                  in this directory
  hushpipe init deploy --identity /etc/hushpipe/identity.txt
  hushpipe init --from-env .env --plain API_HOST --move";

/// Arguments of `init`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct InitArgs {
    /// Where the manifest goes
    #[arg(default_value = ".", value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// The identity file, kept if it is there [default: ~/.config/hushpipe/identity.txt]
    #[arg(long, value_name = "FILE")]
    pub(super) identity: Option<PathBuf>,
    /// The store's directory [default: DIR/secrets]
    #[arg(long, value_name = "DIR")]
    pub(super) store: Option<PathBuf>,
    /// Move the values of this .env file, and of no other
    #[arg(long, value_name = "FILE")]
    pub(super) from_env: Vec<PathBuf>,
    /// Leave this variable readable, in the manifest
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(super) plain: Vec<String>,
    /// Overwrite and remove each .env file; while the program runs, a link leads to what it gets
    #[arg(long)]
    pub(super) r#move: bool,
    /// Do not prompt; import every .env file and keep the originals unless --move is given
    #[arg(short, long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) said: SaidArgs,
}
