//! Secrets that a rollback holds at a version.

use std::collections::BTreeMap;

use crate::model::{Plan, SecretName, Source, Version, VersionRef};

/// A secret is held at a version until its store has another current one than it had then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What is asked for.
    pub version: VersionRef,
    /// The current version that the secret is rolled back from; `None` until the store was asked.
    pub from: Option<Version>,
    /// What held until it was asked for, and holds on where it cannot be had.
    pub otherwise: Option<Box<Pin>>,
}

impl Pin {
    /// What holds now, of this one and what was before it.
    pub(super) fn held(self) -> Option<Box<Self>> {
        if self.from.is_some() {
            Some(Box::new(self))
        } else {
            self.otherwise
        }
    }
}

/// By the manifest's names.
pub type Pins = BTreeMap<SecretName, Pin>;

/// What a secret's store is asked, where it is pinned to a version.
pub fn pinned(source: &Source, version: &VersionRef) -> Source {
    Source {
        version: Some(version.clone()),
        ..source.clone()
    }
}

/// What a secret's store is asked.
pub fn source(plan: &Plan, pins: &Pins, name: &SecretName) -> Source {
    let source = &plan.secrets[name].source;
    match pins.get(name) {
        Some(pin) => pinned(source, &pin.version),
        None => source.clone(),
    }
}
