//! `hushpipe manifest …`: signatures of manifests.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::output::print;
use super::{Failure, Globals, Outcome, load};
use crate::app::approvals::{manifests, sign};
use crate::app::{Signable, files, manifest_of_root};
use crate::manifest;
use crate::model::printable::{printable, printable_path};
use crate::model::{CallerVariables, Exit, ManifestSigners};

const ABOUT: &str = "\
A site with `manifests: { signers: FILE }` refuses manifests that nobody of that file signed (exit \
code 77). The signature of hushpipe.yaml is hushpipe.yaml.sig, and is of exactly its bytes.

Examples:
  hushpipe manifest sign -m /etc/hushpipe/payments.yaml
  hushpipe manifest verify -m /etc/hushpipe/payments.yaml";

/// Arguments of `manifest`.
#[derive(Args)]
#[command(after_help = ABOUT)]
pub struct ManifestArgs {
    #[command(subcommand)]
    command: ManifestCommand,
}

#[derive(Subcommand)]
enum ManifestCommand {
    /// Sign a manifest, by ssh-keygen
    #[command(after_help = "\
By hand it is `ssh-keygen -Y sign -n manifest@hushpipe -f KEY hushpipe.yaml`.

Examples:
  hushpipe manifest sign
  hushpipe manifest sign -m payments.yaml --key ~/.ssh/id_ed25519_sk")]
    Sign {
        /// The manifest [default: $HUSHPIPE_MANIFEST, else ./hushpipe.yaml]
        #[arg(short, long, value_name = "FILE")]
        manifest: Option<PathBuf>,
        /// The key: a private one, or a public one in the agent [default: the first in ~/.ssh]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Check a manifest's signature, and say whose it is
    #[command(after_help = "\
Examples:
  hushpipe manifest verify
  hushpipe manifest verify -m payments.yaml --signers ./manifest-signers")]
    Verify {
        /// The manifest [default: $HUSHPIPE_MANIFEST, else ./hushpipe.yaml]
        #[arg(short, long, value_name = "FILE")]
        manifest: Option<PathBuf>,
        /// Whose signatures count [default: the site's]
        #[arg(long, value_name = "FILE")]
        signers: Option<PathBuf>,
    },
}

/// Runs a `manifest` command.
pub fn run(arguments: &ManifestArgs, globals: Globals) -> Outcome {
    match &arguments.command {
        ManifestCommand::Sign { manifest, key } => {
            // These bytes alone are signed, whoever can change the file afterwards.
            let path = find(manifest.as_ref())?;
            let signable = Signable::of_root(&path);
            let signable = signable.map_err(|error| Failure::new(error.exit(), &error))?;
            let opened = signable.as_ref().map(Signable::manifest).transpose();
            let text = read(&path, |_| opened.map_err(|error| error.to_string()))?;
            let (signature, signer) = sign(text.as_bytes(), manifests::NAMESPACE, key.as_deref())
                .map_err(|error| Failure::new(error.exit(), &error))?;
            let file = manifests::signature_of(&path);
            let shown = printable_path(&file);
            let name = file.file_name().unwrap_or_default();
            let written = match &signable {
                Some(signable) => signable.put(name, &signature),
                None => files::replace(&file, &String::from_utf8_lossy(&signature), 0o644),
            };
            written.map_err(|error| {
                Failure::text(Exit::Os, format!("cannot write {shown}\n  cause: {error}"))
            })?;
            let key = signer.key();
            print(&format!(
                "{shown}: signed by {} {}\n",
                key.algorithm(),
                key.fingerprint()
            ))
        }
        ManifestCommand::Verify { manifest, signers } => {
            let path = find(manifest.as_ref())?;
            let text = read(&path, manifest_of_root)?;
            let wanted = signers.clone().map(|signers| ManifestSigners {
                signers,
                variables: CallerVariables::default(),
            });
            let wanted = wanted.map_or_else(|| of_site(globals), Ok)?;
            let signer = manifests::signer(&wanted, &path, text.as_bytes())
                .map_err(|error| Failure::new(error.exit(), &error))?;
            let shown = printable_path(&path);
            print(&format!("{shown}: signed by {}\n", printable(&signer)))
        }
    }
}

/// The manifest that is meant.
fn find(named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let path =
        manifest::find(named.map(PathBuf::as_path)).map_err(|error| load::failure(&error))?;
    if path == Path::new("-") {
        let text =
            "a manifest from standard input has no place for a signature: name a file with -m FILE";
        return Err(Failure::text(Exit::Usage, text));
    }
    Ok(path)
}

/// Its text; `trusted` as for [`manifest::read`].
fn read(
    path: &Path,
    trusted: impl FnOnce(&Path) -> Result<Option<File>, String>,
) -> Result<String, Failure> {
    let text = manifest::read(path, trusted).map_err(|error| load::failure(&error))?;
    Ok(text.text)
}

fn of_site(globals: Globals) -> Result<ManifestSigners, Failure> {
    let site = load::site(globals)?;
    site.and_then(|site| site.manifests).ok_or_else(|| {
        Failure::text(
            Exit::Usage,
            "this host's site wants no signatures: name whose count with --signers FILE",
        )
    })
}
