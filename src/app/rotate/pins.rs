//! Asking the stores, where secrets may be pinned to versions.

use std::collections::BTreeSet;

use crate::app::fetch::{self, Round, Stores};
use crate::app::gate::Authorised;
use crate::model::{Plan, SecretName, Source};
use crate::rotation::engine::{Answers, Effects, Fingerprints, Pin, Pins, pinned, source};
use crate::secret::{Digest, DigestKey};
use crate::stores::{StoreError, join};

/// Asks the stores for these secrets, all at once.
pub async fn ask<E: Effects<Values = Round, Digest = Digest>>(
    authorised: &Authorised<'_>,
    stores: &Stores,
    key: &DigestKey,
    secrets: BTreeSet<SecretName>,
    pins: Pins,
) -> Answers<E> {
    let plan = authorised.plan();
    let (asked, mut others): (Pins, Pins) = pins
        .into_iter()
        .partition(|(name, _)| secrets.contains(name));
    let (mut pins, refused) = settle(plan, stores, asked).await;
    pins.append(&mut others);
    let sources: Vec<(&SecretName, Source)> = secrets
        .iter()
        .map(|name| (name, source(plan, &pins, name)))
        .collect();
    let asked = fetch::by_source(sources.iter().map(|(name, source)| (*name, source)));
    let (round, errors) = fetch::fetch(authorised, stores, &asked).await;
    Answers {
        fingerprints: fingerprints(key, &round),
        values: round,
        errors,
        pins,
        refused,
    }
}

/// What tells the values of a round from others.
pub fn fingerprints(key: &DigestKey, round: &Round) -> Fingerprints<Digest> {
    let values = round.values.iter();
    Fingerprints {
        digests: values
            .map(|(name, value)| (name.clone(), key.digest(value)))
            .collect(),
        versions: round.versions.clone(),
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
    let Some(from) = &pin.from else {
        stores.version(&pinned(source, &pin.version)).await?;
        let from = Some(stores.version(source).await?);
        return Ok(Some(Pin { from, ..pin }));
    };
    let ended = stores
        .version(source)
        .await
        .is_ok_and(|current| current != *from);
    Ok((!ended).then_some(pin))
}
