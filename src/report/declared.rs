//! What manifests, sites and scans add to the records: what is declared and was never delivered, what a host
//! is, and what lies in the open.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::table::Table;
use crate::model::{Plan, StoreKind};

/// Where an input is from: which of the paths that were named, and which part of it. A host is what the
/// records of the same part are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    pub(super) root: u32,
    pub(super) part: u32,
}

/// What is not in records.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub parts: Table<String>,
    pub seen: BTreeSet<(Origin, u32)>,
    pub sites: Vec<(Origin, String)>,
    pub manifests: Vec<(Origin, Manifest)>,
    pub scans: Vec<(Origin, Scan)>,
}

/// What a manifest says, without all else.
#[derive(Debug)]
pub(super) struct Manifest {
    pub service: String,
    pub owner: String,
    pub environment: String,
    pub program: String,
    pub secrets: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub asked: String,
    pub store: String,
    pub kind: &'static str,
    pub place: String,
    pub owner: String,
    pub environment: String,
    pub classification: String,
    pub max_age: Option<u64>,
    pub deliveries: Vec<(&'static str, String)>,
}

/// What `hushpipe scan --json` prints.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Scan {
    pub version: u64,
    pub host: String,
    pub time: String,
    pub paths: Vec<String>,
    pub findings: Option<Vec<Found>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    pub rule: String,
    pub title: String,
    pub severity: String,
    pub path: String,
    pub line: u64,
    pub name: String,
    pub known: Vec<String>,
    pub fingerprint: String,
}

impl Manifest {
    pub fn of(plan: &Plan) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let secrets = plan.secrets.iter().map(|(name, spec)| {
            let store = &plan.stores[&spec.source.store].kind;
            let deliveries = plan.deliveries.iter();
            let deliveries = deliveries.filter(|one| one.channel.secrets().contains(name));
            Entry {
                asked: match spec.source.asked() {
                    "" => name.to_string(),
                    asked => asked.to_owned(),
                },
                store: spec.source.store.to_string(),
                kind: store.name(),
                place: place(store),
                owner: text(&spec.owner.clone().or_else(|| plan.owner.clone())),
                environment: text(&spec.environment),
                classification: text(&spec.classification),
                max_age: spec.max_age.map(|age| age.as_secs()),
                deliveries: deliveries
                    .map(|one| (one.kind.word(), one.kind.place()))
                    .collect(),
            }
        });
        Self {
            service: plan.service.clone(),
            owner: text(&plan.owner),
            environment: text(&plan.environment),
            program: plan
                .run
                .command
                .first()
                .map_or_else(String::new, |word| word.to_string_lossy().into_owned()),
            secrets: secrets.collect(),
        }
    }
}

/// Where a store is.
fn place(store: &StoreKind) -> String {
    match store {
        StoreKind::Sealed(store) => store.path.display().to_string(),
        StoreKind::Directory(store) => store.path.display().to_string(),
        StoreKind::Command(store) => store.run.first().cloned().unwrap_or_default(),
        StoreKind::Vault(store) => {
            let addresses: Vec<String> = store.addresses.iter().map(ToString::to_string).collect();
            addresses.join(", ")
        }
    }
}

impl Declared {
    /// A record of this host was in that part.
    pub fn seen(&mut self, origin: Origin, host: u32) {
        self.seen.insert((origin, host));
    }
}
