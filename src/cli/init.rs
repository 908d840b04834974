//! `hushpipe init`: a starting manifest, a sealed store, an identity.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::help::print;
use super::secret::default_identity_file;
use super::{Failure, Outcome};
use crate::app::sealed;
use crate::model::Exit;

const EXAMPLES: &str = "\
Nothing that is there is overwritten. The identity opens every secret that is sealed for it: keep it
out of repositories, and keep a copy where you would find it.

Examples:
  hushpipe init                                  in this directory
  hushpipe init deploy --identity /etc/hushpipe/identity.txt";

/// Arguments of `init`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct InitArgs {
    /// Where the manifest goes
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// The identity file, kept if it is there [default: ~/.config/hushpipe/identity.txt]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The store's directory [default: DIR/secrets]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// Makes what is missing and says what comes next.
pub fn run(arguments: &InitArgs) -> Outcome {
    let directory = &arguments.directory;
    let manifest = directory.join("hushpipe.yaml");
    if manifest.symlink_metadata().is_ok() {
        let text = format!("{} is there already: it stays as it is", manifest.display());
        return Err(Failure::text(Exit::Usage, text));
    }
    let identity = arguments
        .identity
        .clone()
        .map_or_else(default_identity_file, Ok)?;
    let identity = std::path::absolute(identity).map_err(|error| os(&error))?;
    let store = arguments
        .store
        .clone()
        .unwrap_or_else(|| directory.join("secrets"));
    let made =
        sealed::init(&store, &identity).map_err(|error| Failure::new(error.exit(), &error))?;
    let text = manifest_text(&store_in_manifest(arguments)?, &home_in(&identity));
    write_new(&manifest, &text).map_err(|error| {
        let text = format!("cannot write {}\n  cause: {error}", manifest.display());
        Failure::text(Exit::Os, text)
    })?;
    print(&next_steps(
        directory,
        &manifest,
        &store,
        &identity,
        made.kept_identity,
    ))
}

fn os(error: &io::Error) -> Failure {
    Failure::new(Exit::Os, error)
}

/// As the manifest names it: relative to itself where it was not given.
fn store_in_manifest(arguments: &InitArgs) -> Result<PathBuf, Failure> {
    arguments.store.as_ref().map_or_else(
        || Ok(PathBuf::from("secrets")),
        |store| std::path::absolute(store).map_err(|error| os(&error)),
    )
}

/// With `~`, so that a manifest can be shared.
fn home_in(path: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let below = home
        .filter(|home| home.is_absolute())
        .and_then(|home| path.strip_prefix(home).map(Path::to_owned).ok());
    below.map_or_else(|| path.to_owned(), |below| Path::new("~").join(below))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// A path as a YAML scalar: JSON's strings are YAML's.
fn scalar(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

fn manifest_text(store: &Path, identity: &Path) -> String {
    format!(
        r#"# Which secrets, from which store, delivered how, to which program.
# `hushpipe check` tells whether a run would start; `hushpipe run` starts it.
version: 1
service: example

stores:
  local:
    type: sealed                    # a directory of age files, one a version
    path: {store}
    identity_file: {identity}
  # HashiCorp Vault or OpenBao, with secrets such as {{ store: bao, path: database/creds/app }}:
  # bao: {{ type: vault, address: "https://bao.internal:8200", auth: {{ method: token }} }}

secrets:
  greeting: {{ store: local, key: example/greeting }}   # hushpipe secret set example/greeting

deliver:
  - fd: 3                           # the program reads /dev/fd/3, as often as it likes
    as: memfd
    secret: greeting
  # A file that the program alone can see, with a template:
  # - file: /run/secrets/greeting
  #   content: "Dear reader: {{{{ greeting }}}}\n"

run:
  command: [cat, /dev/fd/3]         # or on the command line: hushpipe run -- cat /dev/fd/3
"#,
        store = scalar(store),
        identity = scalar(identity),
    )
}

fn next_steps(
    directory: &Path,
    manifest: &Path,
    store: &Path,
    identity: &Path,
    kept: bool,
) -> String {
    let what = if kept {
        "kept"
    } else {
        "new: keep it safe, it opens the secrets"
    };
    let enter = if directory == Path::new(".") {
        String::new()
    } else {
        format!("  cd {}\n", directory.display())
    };
    format!(
        "manifest  {}\nstore     {}\nidentity  {} ({what})\n\nNext:\n{enter}  \
         hushpipe secret set example/greeting\n  hushpipe check\n  hushpipe run\n",
        manifest.display(),
        store.display(),
        identity.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Overrides, parse};

    #[test]
    fn the_starting_manifest_has_no_faults() {
        for (store, identity) in [
            ("secrets", "/home/a/identity.txt"),
            (
                "/srv/with space: and # \"quotes\"",
                "~/.config/hushpipe/identity.txt",
            ),
        ] {
            let text = manifest_text(Path::new(store), Path::new(identity));
            let name = Path::new("/srv/hushpipe.yaml");
            let home = |name: &str| (name == "HOME").then(|| "/home/a".to_owned());
            let plan = parse(name, &text, &Overrides::default(), &home);
            let plan = plan.map_err(|error| error.render(false)).unwrap();
            assert_eq!(plan.deliveries.len(), 1);
            let with_vault = text.replace("# bao: {", "bao: {");
            let plan = parse(name, &with_vault, &Overrides::default(), &home);
            assert_eq!(
                plan.map_err(|error| error.render(false))
                    .unwrap()
                    .stores
                    .len(),
                2
            );
        }
    }
}
