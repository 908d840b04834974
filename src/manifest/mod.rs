//! The manifest, version 1: YAML to spanned nodes, to records, to checks, to a plan. Every fault of
//! a file is told in one run, at its place.

mod addresses;
mod build;
mod checks;
mod collections;
mod credentials;
mod decode;
mod deliver;
mod fault;
mod interpolate;
mod locate;
mod logins;
mod overrides;
mod parameters;
mod paths;
mod program;
mod read;
mod records;
pub mod reference;
mod rotation;
mod secrets;
mod stores;
mod surroundings;
mod template;
mod tree;
mod values;
mod vault;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::model::Plan;
use build::Builder;
use decode::{Decode, Decoder};
use fault::{Fault, Span};
pub use fault::{ManifestError, nearest};
pub use overrides::Overrides;
pub use read::find;
use records::Manifest;

/// Reads and checks a manifest; `-` is standard input. Variables are those of this process. `open` opens
/// what is to be trusted, or gives the reason why it is not; `None`: this user may read what can be read.
pub fn load(
    path: &Path,
    overrides: &Overrides,
    open: impl FnOnce(&Path) -> Result<Option<File>, String>,
) -> Result<Plan, ManifestError> {
    let text = read::read(path, open)?;
    parse(path, &text, overrides, &|name| std::env::var(name).ok())
}

/// Checks a manifest's text. `name` is for messages, and relative paths start at its directory.
pub fn parse(
    name: &Path,
    text: &str,
    overrides: &Overrides,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Plan, ManifestError> {
    let wrong = |faults| ManifestError::wrong(name, text, faults);
    if let Some(offset) = memchr::memchr(0, text.as_bytes()) {
        let message = format!("the manifest has a NUL byte at {offset} (counted from 0)");
        let help = "a manifest is text: is this the right file?";
        return Err(wrong(vec![Fault::new(Span::at(offset), message, help)]));
    }
    let mut faults = Vec::new();
    let Some(root) = tree::parse(text, &mut faults) else {
        return Err(wrong(faults));
    };
    let base = base_of(name);
    let mut decoder = Decoder {
        faults,
        source: text,
        base: &base,
        environment,
        within: Span::default(),
    };
    logins::refuse(&root, &mut decoder);
    let manifest = Manifest::decode(&root, &mut decoder);
    let mut builder = Builder {
        source: text,
        name,
        overrides,
        environment,
        faults: decoder.faults,
        warnings: Vec::new(),
        used: BTreeSet::new(),
    };
    match manifest.and_then(|manifest| builder.plan(&manifest)) {
        Some(plan) if builder.faults.is_empty() => Ok(plan),
        _ => Err(wrong(builder.faults)),
    }
}

/// The directory at which relative paths start, as an absolute path where that can be known.
fn base_of(name: &Path) -> PathBuf {
    let parent = if name == Path::new("-") {
        Path::new("")
    } else {
        name.parent().unwrap_or(Path::new(""))
    };
    std::path::absolute(if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    })
    .unwrap_or_else(|_| parent.to_owned())
}

/// The JSON Schema of a manifest, from the tables that also decode it.
pub fn schema() -> Value {
    let mut schema = Manifest::schema();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("hushpipe manifest, version 1");
    schema
}

#[cfg(test)]
mod tests;
