//! The manifest, version 1: YAML to spanned nodes, to records, to checks, to a plan. Every fault of
//! a file is told in one run, at its place.

mod addresses;
mod build;
mod caller;
mod checks;
mod collections;
mod credentials;
mod decode;
mod deliver;
mod document;
mod fault;
mod files;
mod getenv;
mod interpolate;
mod locate;
mod logins;
mod other;
mod overrides;
mod parameters;
mod paths;
mod program;
mod read;
mod records;
pub mod reference;
mod rotation;
mod secrets;
mod site;
mod stores;
mod surroundings;
mod template;
mod tree;
mod values;
mod variables;
mod vault;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use sha2::Digest as _;

use crate::model::{Plan, Sha256, Site};
use build::Builder;
use decode::{Decode, Decoder};
pub use document::document;
pub use fault::ManifestError;
use fault::Span;
pub use getenv::check_variable;
pub use overrides::{Chosen, Overrides, Wanted};
pub use read::{Text, find, read};
use records::Manifest;
pub use site::{MAX_SITE_BYTES, parse_site, site_schema};
use variables::Remembered;

/// Checks the text of a manifest that was [`read()`], on a host with this site. Variables are those of this
/// process.
pub fn plan(
    name: &Path,
    text: &Text,
    overrides: &Overrides,
    site: Option<&Site>,
) -> Result<Plan, ManifestError> {
    let variable = |name: &str| std::env::var(name).ok();
    let plan = parse_under(site, name, &text.text, overrides, &variable)?;
    Ok(Plan {
        manifest_file: site.and_then(|_| text.place()),
        ..plan
    })
}

/// Checks a manifest's text, for a host without a site. `name` is for messages, and relative paths start
/// at its directory.
pub fn parse(
    name: &Path,
    text: &str,
    overrides: &Overrides,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Plan, ManifestError> {
    parse_under(None, name, text, overrides, environment)
}

/// As [`parse`], on a host with this site: what it says counts.
pub fn parse_under(
    site: Option<&Site>,
    name: &Path,
    text: &str,
    overrides: &Overrides,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Plan, ManifestError> {
    let Some(site) = site else {
        let environment = Environment {
            named: environment,
            implied: environment,
        };
        return decode(None, name, text, overrides, environment);
    };
    let remembered = Remembered::new(environment);
    let environment = Environment {
        named: &|name| remembered.get(name),
        implied: &|name| remembered.get_if_set(name),
    };
    let plan = decode(Some(site), name, text, overrides, environment)?;
    caller::read(&plan, &remembered);
    Ok(Plan {
        manifest_variables: remembered.variables(),
        ..plan
    })
}

/// hushpipe's environment.
#[derive(Clone, Copy)]
struct Environment<'a> {
    /// For variables that a manifest names.
    named: &'a dyn Fn(&str) -> Option<String>,
    /// For others, by which it leaves something to its caller.
    implied: &'a dyn Fn(&str) -> Option<String>,
}

fn decode(
    site: Option<&Site>,
    name: &Path,
    text: &str,
    overrides: &Overrides,
    environment: Environment<'_>,
) -> Result<Plan, ManifestError> {
    let wrong = |faults| ManifestError::wrong(name, text, faults);
    read::whole(name, text)?;
    other::refuse(name, text)?;
    let mut faults = Vec::new();
    let Some(root) = tree::parse(text, &mut faults) else {
        return Err(wrong(faults));
    };
    let base = base_of(name);
    let mut decoder = Decoder {
        faults,
        source: text,
        base: &base,
        environment: environment.named,
        fixed: false,
        within: Span::default(),
    };
    logins::refuse(&root, &mut decoder);
    let manifest = Manifest::decode(&root, &mut decoder);
    let mut builder = Builder {
        source: text,
        name,
        overrides,
        site,
        environment: environment.implied,
        faults: decoder.faults,
        warnings: Vec::new(),
        files: None,
        files_unknown: false,
        used: BTreeSet::new(),
    };
    match manifest.and_then(|manifest| builder.plan(&manifest)) {
        Some(plan) if builder.faults.is_empty() => Ok(Plan {
            manifest_sha256: site.map(|_| Sha256(sha2::Sha256::digest(text).into())),
            ..plan
        }),
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
