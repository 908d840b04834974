//! Secrets that a rollback holds at a version, and the sources that the stores are asked for.

use std::collections::BTreeMap;

use crate::app::fetch::{self, Round, Stores};
use crate::model::{Plan, SecretName, Source, Version};
use crate::stores::{StoreError, join};

/// A secret is held at a version until its store has another current one than it had then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What is asked for.
    pub version: u64,
    /// The current version that the secret is rolled back from; `None` until the store was asked.
    pub from: Option<Version>,
}

/// By the manifest's names.
pub type Pins = BTreeMap<SecretName, Pin>;

/// What the stores gave.
pub struct Answers {
    /// The values that there are.
    pub round: Round,
    /// Why others are missing.
    pub faults: Vec<StoreError>,
    /// The pins that still hold.
    pub pins: Pins,
}

/// What a secret's store is asked, where it is pinned to a version.
pub fn pinned(source: &Source, version: u64) -> Source {
    Source {
        version: Some(version),
        ..source.clone()
    }
}

/// Asks the stores for these secrets, all at once.
pub async fn ask(
    plan: &Plan,
    stores: &Stores,
    secrets: Vec<SecretName>,
    mut pins: Pins,
) -> Answers {
    let mut faults = settle(plan, stores, &mut pins).await;
    let missing = |name: &SecretName| pins.get(name).is_some_and(|pin| pin.from.is_none());
    let sources: Vec<(&SecretName, Source)> = secrets
        .iter()
        .filter(|name| !missing(name))
        .map(|name| (name, source(plan, &pins, name)))
        .collect();
    let asked = fetch::by_source(sources.iter().map(|(name, source)| (*name, source)));
    let (round, more) = fetch::fetch(stores, &asked).await;
    faults.extend(more);
    Answers {
        round,
        faults,
        pins,
    }
}

/// What a secret's store is asked.
pub fn source(plan: &Plan, pins: &Pins, name: &SecretName) -> Source {
    let source = &plan.secrets[name].source;
    match pins.get(name) {
        Some(pin) => pinned(source, pin.version),
        None => source.clone(),
    }
}

/// Ends the pins of secrets that have a newer version. Of those whose store does not answer the rest
/// is as it was, but for pins that were never settled: these secrets cannot be asked for.
async fn settle(plan: &Plan, stores: &Stores, pins: &mut Pins) -> Vec<StoreError> {
    let versions = join::all(pins.keys().map(|name| {
        let source = &plan.secrets[name].source;
        stores[&source.store].version(source)
    }))
    .await;
    let mut faults = Vec::new();
    let names: Vec<SecretName> = pins.keys().cloned().collect();
    for (name, version) in names.into_iter().zip(versions) {
        match (version, pins.get_mut(&name)) {
            (Ok(current), Some(pin)) => {
                if *pin.from.get_or_insert_with(|| current.clone()) != current {
                    pins.remove(&name);
                }
            }
            (Err(fault), Some(pin)) if pin.from.is_none() => faults.push(fault),
            // It is asked for at the version that it has.
            (Err(_), _) | (_, None) => {}
        }
    }
    faults
}
