//! Secrets that a rollback holds at a version, and the sources that the stores are asked for.

use std::collections::BTreeMap;

use crate::app::fetch::{self, Round, Stores};
use crate::model::{Plan, SecretName, Source, Version, VersionRef};
use crate::stores::{StoreError, join};

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
    pub fn held(self) -> Option<Box<Self>> {
        if self.from.is_some() {
            Some(Box::new(self))
        } else {
            self.otherwise
        }
    }
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
    /// New pins that cannot be had.
    pub refused: Vec<(SecretName, StoreError)>,
}

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

/// Asks the stores for these secrets, all at once.
pub async fn ask(plan: &Plan, stores: &Stores, secrets: Vec<SecretName>, pins: Pins) -> Answers {
    let (pins, refused) = settle(plan, stores, pins).await;
    let sources: Vec<(&SecretName, Source)> = secrets
        .iter()
        .map(|name| (name, source(plan, &pins, name)))
        .collect();
    let asked = fetch::by_source(sources.iter().map(|(name, source)| (*name, source)));
    let (mut round, faults) = fetch::fetch(stores, &asked).await;
    round.trim(plan);
    Answers {
        round,
        faults,
        pins,
        refused,
    }
}

/// Ends the pins of secrets that have a newer version by now, and refuses new ones that cannot be had.
/// Where a store does not answer, a pin holds.
async fn settle(plan: &Plan, stores: &Stores, pins: Pins) -> (Pins, Vec<(SecretName, StoreError)>) {
    let settling = pins.into_iter().map(|(name, mut pin)| async {
        let source = &plan.secrets[&name].source;
        let otherwise = pin.otherwise.take();
        let (settled, fault) = match settle_one(stores, source, pin).await {
            Ok(settled) => (settled, None),
            Err(fault) => (otherwise.map(|pin| *pin), Some(fault)),
        };
        (name, settled, fault)
    });
    let (mut held, mut refused) = (Pins::new(), Vec::new());
    for (name, settled, fault) in join::all(settling).await {
        refused.extend(fault.map(|fault| (name.clone(), fault)));
        held.extend(settled.map(|pin| (name, pin)));
    }
    (held, refused)
}

async fn settle_one(stores: &Stores, source: &Source, pin: Pin) -> Result<Option<Pin>, StoreError> {
    let store = &stores[&source.store];
    let Some(from) = &pin.from else {
        store.version(&pinned(source, &pin.version)).await?;
        let from = Some(store.version(source).await?);
        return Ok(Some(Pin { from, ..pin }));
    };
    let ended = store
        .version(source)
        .await
        .is_ok_and(|current| current != *from);
    Ok((!ended).then_some(pin))
}
