//! The generation on its way to the program, and the one before.

use std::collections::BTreeSet;

use super::effects::Effects;
use super::known::Fingerprints;
use super::pins::Pins;
use crate::model::{Receipt, SecretName};
use crate::rotation::Draft;

/// A generation on its way to the program, or back.
pub struct Candidate<E: Effects> {
    /// What it brings.
    pub draft: Draft,
    /// What tells its values from others.
    pub fingerprints: Fingerprints<E::Digest>,
    /// The pins that it was asked for with.
    pub pins: Pins,
    /// Its values, until they are staged.
    pub values: Option<E::Values>,
    /// What is delivered, where that is kept.
    pub payloads: Option<E::Payloads>,
    /// Once it is on record.
    pub receipt: Option<Receipt>,
    /// Those whose values are bad; `None`: any of the new ones may be.
    pub blamed: Option<BTreeSet<SecretName>>,
    /// It is the previous generation, asked for by hand.
    pub by_hand: bool,
    /// The program has the generation before it back; by hand, the program has it.
    pub undone: bool,
}

/// The previous generation, as far as it differs from the one that the program has.
pub struct Previous<E: Effects> {
    /// What was delivered.
    pub payloads: E::Payloads,
    /// It is on record.
    pub receipt: Receipt,
    /// Of the secrets that differ.
    pub fingerprints: Fingerprints<E::Digest>,
}
