//! `hushpipe run --file PATH=KEY --getenv NAME=KEY`: a launch without a manifest, from one sealed store.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Args;
use serde_json::{Value, json};

use crate::app::sealed;
use crate::cli::Failure;
use crate::cli::load::{default_identity_file, load};
use crate::cli::variable::checked_variable;
use crate::manifest::{self, Overrides};
use crate::model::nearest::nearest;
use crate::model::printable::{printable, printable_path};
use crate::model::{Exit, StoreKind};

/// Options that take the place of a manifest.
#[derive(Args, Debug, Default, PartialEq)]
pub struct WithoutArgs {
    /// Without a manifest: deliver a secret as a file; `{{ files }}` is the directory of relative paths
    #[arg(long, value_name = "PATH=KEY", conflicts_with = "manifest")]
    file: Vec<String>,
    /// Without a manifest: deliver a secret that getenv(3) finds
    #[arg(long, value_name = "NAME=KEY", conflicts_with = "manifest")]
    getenv: Vec<String>,
    /// Without a manifest: the sealed store [default: the manifest's, else ./secrets]
    #[arg(long, value_name = "DIR", conflicts_with = "manifest")]
    store: Option<PathBuf>,
}

/// The manifest that the options stand for; none where they are not used.
pub fn manifest(without: &WithoutArgs, command: &[OsString]) -> Result<Option<String>, Failure> {
    let usage = |text: String| Err(Failure::text(Exit::Usage, text));
    if without.file.is_empty() && without.getenv.is_empty() {
        return match &without.store {
            Some(_) => {
                usage("--store takes --file PATH=KEY or --getenv NAME=KEY as well".to_owned())
            }
            None => Ok(None),
        };
    }
    let Some(program) = command.first() else {
        let text = "--file and --getenv take a program: hushpipe run --getenv NAME=KEY -- PROGRAM";
        return usage(text.to_owned());
    };
    let place = Place::of(without)?;
    let mut secrets = serde_json::Map::new();
    let mut deliver = Vec::new();
    for (kind, pairs) in [("file", &without.file), ("getenv", &without.getenv)] {
        for pair in pairs {
            let Some((target, key)) = pair.split_once('=').filter(|(_, key)| !key.is_empty())
            else {
                let name = if kind == "file" { "PATH" } else { "NAME" };
                return usage(format!(
                    "--{kind} takes {name}=KEY, where KEY is the secret's name in the store"
                ));
            };
            if kind == "getenv" {
                checked_variable("--getenv", target)?;
            }
            place.check(kind, target, key)?;
            let name = format!("s{}", secrets.len());
            secrets.insert(
                name.clone(),
                json!({ "store": "local", "key": literal(key) }),
            );
            let mut delivery = json!({ kind: literal(target), "secret": name });
            if kind == "getenv" {
                // npm, make and shells start the program that reads it.
                delivery["children"] = json!("same");
            }
            deliver.push(delivery);
        }
    }
    Ok(Some(text(&place, program, &secrets.into(), &deliver)))
}

/// The sealed store that the options mean.
struct Place {
    store: PathBuf,
    identity: PathBuf,
}

impl Place {
    /// `--store`, else that of the manifest here or in a directory above, else ./secrets.
    fn of(without: &WithoutArgs) -> Result<Self, Failure> {
        if without.store.is_none() && manifest::find(None).is_ok() {
            let overrides = Overrides {
                command: vec!["true".into()],
                no_launch: true,
                ..Overrides::default()
            };
            let loaded = load(None, &overrides)?;
            let sealed = loaded
                .plan
                .stores
                .values()
                .find_map(|store| match &store.kind {
                    StoreKind::Sealed(spec) => Some(spec.clone()),
                    _ => None,
                });
            if let Some(spec) = sealed {
                return Ok(Self {
                    store: spec.path,
                    identity: spec.identity_file,
                });
            }
        }
        Ok(Self {
            store: without.store.clone().unwrap_or_else(|| "secrets".into()),
            identity: default_identity_file()?,
        })
    }

    /// Whether the store has the secret. The text may be a value, as other tools take one after `-e NAME=`:
    /// it is not repeated.
    fn check(&self, kind: &str, target: &str, key: &str) -> Result<(), Failure> {
        let observer = Rc::new(());
        let store = sealed::by_path(self.store.clone(), self.identity.clone(), false, observer);
        // What is wrong with the store itself is reported by the launch.
        let Ok(listed) = store.list() else {
            return Ok(());
        };
        let names: Vec<&str> = listed.iter().map(|listed| listed.key.as_str()).collect();
        if names.contains(&key) {
            return Ok(());
        }
        let help = match nearest(key, names.into_iter()) {
            Some(near) => format!("did you mean {near}?"),
            None => {
                "`hushpipe secret list` lists the names; replace a value that you typed".to_owned()
            }
        };
        let text = format!(
            "--{kind} {}: the text after `=` is not the name of a secret in {}\n  help: {help}",
            printable(target),
            printable_path(&self.store)
        );
        Err(Failure::text(Exit::Value, text))
    }
}

fn text(place: &Place, program: &OsString, secrets: &Value, deliver: &[Value]) -> String {
    let name = Path::new(program).file_name().unwrap_or_default();
    let manifest = json!({
        "version": 1,
        "service": literal(&name.to_string_lossy()),
        "stores": { "local": {
            "type": "sealed",
            "path": literal(&place.store.to_string_lossy()),
            "identity_file": literal(&place.identity.to_string_lossy()),
        } },
        "secrets": secrets,
        "deliver": deliver,
    });
    // JSON is YAML.
    format!("{manifest:#}\n")
}

/// Text without variables in it.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}
