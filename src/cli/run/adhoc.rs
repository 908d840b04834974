//! `hushpipe run --file PATH=KEY --getenv NAME=KEY`: a launch without a manifest, from one sealed store.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::load::default_identity_file;
use crate::model::Exit;

/// Options that take the place of a manifest.
#[derive(Args, Debug, Default, PartialEq)]
pub struct WithoutArgs {
    /// Without a manifest: deliver a secret as a file; `{{ files }}` is the directory of relative paths
    #[arg(long, value_name = "PATH=KEY", conflicts_with = "manifest")]
    file: Vec<String>,
    /// Without a manifest: deliver a secret that getenv(3) finds
    #[arg(long, value_name = "NAME=KEY", conflicts_with = "manifest")]
    getenv: Vec<String>,
    /// Without a manifest: the sealed store [default: ./secrets]
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
    Ok(Some(text(without, program, &secrets.into(), &deliver)?))
}

fn text(
    without: &WithoutArgs,
    program: &OsString,
    secrets: &Value,
    deliver: &[Value],
) -> Result<String, Failure> {
    let store = without.store.clone().unwrap_or_else(|| "secrets".into());
    let name = Path::new(program).file_name().unwrap_or_default();
    let manifest = json!({
        "version": 1,
        "service": literal(&name.to_string_lossy()),
        "stores": { "local": {
            "type": "sealed",
            "path": literal(&store.to_string_lossy()),
            "identity_file": literal(&default_identity_file()?.to_string_lossy()),
        } },
        "secrets": secrets,
        "deliver": deliver,
    });
    // JSON is YAML.
    Ok(format!("{manifest:#}\n"))
}

/// Text without variables in it.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}
