//! Findings that are accepted already.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::Failure;
use crate::app::files;
use crate::model::Exit;
use crate::model::printable::printable_path;
use crate::scan::Finding;

/// A larger baseline is none.
const MOST: u64 = 64 << 20;

/// Findings that are accepted already, by their fingerprints. A baseline of `--json` output is read as well.
pub struct Baseline(BTreeSet<String>);

#[derive(Deserialize, Serialize)]
struct File {
    version: u32,
    findings: Vec<Accepted>,
}

/// Only the fingerprint is compared; the rest is for whoever reviews the file.
#[derive(Deserialize, Serialize)]
struct Accepted {
    fingerprint: String,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    path: String,
}

impl Baseline {
    /// Reads one.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let shown = printable_path(path);
        let bytes = files::read_at_most(path, MOST).map_err(|error| {
            let text = format!("cannot read the baseline {shown}\n  cause: {error}\n  help: --write-baseline writes one");
            Failure::text(Exit::NoManifest, text)
        })?;
        let file: File = serde_json::from_slice(&bytes).map_err(|error| {
            let text = format!(
                "{shown} is no baseline: line {}, column {}\n  help: --write-baseline writes one",
                error.line(),
                error.column()
            );
            Failure::text(Exit::Manifest, text)
        })?;
        if file.version != 1 {
            let text = format!(
                "{shown} is a baseline of version {}, and this hushpipe reads version 1",
                file.version
            );
            return Err(Failure::text(Exit::Manifest, text));
        }
        Ok(Self(
            file.findings
                .into_iter()
                .map(|one| one.fingerprint)
                .collect(),
        ))
    }

    /// Writes one.
    pub fn write(path: &Path, findings: &[Finding]) -> Result<(), Failure> {
        let accepted = |finding: &Finding| Accepted {
            fingerprint: finding.fingerprint.clone(),
            rule: finding.rule.clone(),
            path: finding.place.path.clone(),
        };
        let file = File {
            version: 1,
            findings: findings.iter().map(accepted).collect(),
        };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|error| Failure::new(Exit::Internal, &error))?;
        files::replace_named(path, &(text + "\n"), 0o644).map_err(|error| {
            let text = format!("cannot write {}\n  cause: {error}", printable_path(path));
            Failure::text(Exit::Os, text)
        })
    }

    /// Whether a finding is in it.
    pub fn has(&self, finding: &Finding) -> bool {
        self.0.contains(&finding.fingerprint)
    }
}
