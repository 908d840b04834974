//! What an engine acts on, and what goes to and fro between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::known::Fingerprints;
use super::pins::Pins;
use crate::model::{Exit, Generation, Receipt, RotateAction, SecretName, Source, Verify, Version};
use crate::rotation::Draft;
use crate::stores::{Past, StoreError};

/// What an engine acts on. Effects that take time are started; what comes of them is given back by
/// [`super::Engine::completed`]. At most one of them is pending, revocations apart.
pub trait Effects {
    /// What the stores gave.
    type Values;
    /// Tells one value of a secret from another.
    type Digest: Copy + PartialEq;
    /// What is delivered, kept so that it can be delivered again.
    type Payloads;

    /// The time, on a steady clock that started with the engine.
    fn now(&self) -> Duration;
    /// A draw from all of `u64`.
    fn random(&mut self) -> u64;

    /// Has the gate decide, and starts to ask the stores for these secrets, each as its pin says. Pins end
    /// where the store has a newer version by now, and new ones are refused where they cannot be had.
    fn fetch(&mut self, secrets: BTreeSet<SecretName>, pins: Pins) -> Result<(), Denied>;
    /// Has the gate decide whether the program may have the versions before of these secrets again.
    fn allows(&mut self, secrets: &BTreeSet<SecretName>) -> Result<(), Denied>;
    /// Starts to put a generation with these new versions on record.
    fn record(&mut self, versions: BTreeMap<SecretName, Version>);
    /// Starts to notify the program.
    fn notify(&mut self, actions: Vec<RotateAction>);
    /// Starts to ask whether the program is well.
    fn verify(&mut self, how: &Verify);
    /// Drops what was started last.
    fn abandon(&mut self);

    /// Checks and renders; then writes a generation beside the one in place, or for a restart only
    /// sees that the program could be started. Gives what is to be kept.
    fn stage(&mut self, stage: Stage<'_, Self>) -> Result<Option<Self::Payloads>, StageError>
    where
        Self: Sized;
    /// Puts what was staged in place.
    fn swap(&mut self, receipt: &Receipt) -> Result<(), Vec<Failed>>;
    /// Puts the previous generation back in place, until the one in place is retired; or that of the
    /// payloads, with its new number. The receipt is that of when it was delivered first.
    fn swap_back(
        &mut self,
        receipt: &Receipt,
        payloads: Option<(&Self::Payloads, Generation)>,
    ) -> Result<(), Vec<Failed>>;
    /// Removes the previous generation, and what staging left in memory.
    fn retire(&mut self);
    /// Removes what was staged, and what that left in memory.
    fn discard(&mut self);
    /// Drops values that nothing is made of.
    fn forget(&mut self, values: Self::Values);
    /// Stops the program: [`super::Engine::ended`] follows, and then, where another one is to be started,
    /// [`super::Engine::next_to_start`].
    fn stop(&mut self);
    /// What the program has is being changed, or no longer.
    fn is_changing(&mut self, changing: bool);

    /// What the watches do next, and when by [`Effects::now`].
    fn upkeep(&self) -> Option<(String, Duration)>;
    /// How a version of a source and the one before it are asked for, where its store keeps versions.
    fn past(&self, source: &Source, version: &Version) -> Option<Past>;
    /// How long the value of a source that was fetched last is still good, where its store says so.
    fn good_for(&self, source: &Source) -> Option<Duration>;
    /// Whether a version that the store gave before is still good.
    fn is_good(&self, source: &Source, version: &Version) -> bool;
    /// The next fetch gives a new value, where the store makes values on demand.
    fn expire(&mut self, source: &Source);
    /// The program has this version now.
    fn adopted(&mut self, source: &Source, version: &Version);
    /// This version will not be used, or not any more; the one before is.
    fn rejected(&mut self, source: &Source, version: &Version);
    /// Starts to revoke what was given for a secret: [`super::Engine::revoked`] follows.
    fn revoke(&mut self, secret: &SecretName, source: &Source);
}

/// A generation that is to be staged.
pub struct Stage<'a, E: Effects> {
    /// Its number, once it is in place.
    pub generation: Generation,
    /// What it is made of.
    pub draft: &'a Draft,
    /// What the stores gave.
    pub values: E::Values,
    /// What the program has, where that is kept.
    pub kept: Option<&'a E::Payloads>,
}

/// Why a generation was not staged.
pub enum StageError {
    /// Its values are bad.
    Values {
        /// Why.
        failed: Vec<Failed>,
        /// The secrets to blame; none, where it cannot be told.
        blamed: BTreeSet<SecretName>,
    },
    /// The system refused something, and may allow it later.
    System(Vec<Failed>),
}

/// The gate denies a generation.
pub struct Denied {
    /// Why.
    pub failed: Failed,
    /// The program is not to keep what it has either.
    pub stop: bool,
}

/// Something failed.
pub struct Failed {
    /// The exit code for it.
    pub exit: Exit,
    /// What, with its causes.
    pub why: String,
}

/// What the stores gave.
pub struct Answers<E: Effects> {
    /// The values that there are.
    pub values: E::Values,
    /// What tells them from others.
    pub fingerprints: Fingerprints<E::Digest>,
    /// Why others are missing.
    pub errors: Vec<StoreError>,
    /// The pins that still hold.
    pub pins: Pins,
    /// New pins that cannot be had.
    pub refused: Vec<(SecretName, StoreError)>,
}

/// What came of an effect that took time.
pub enum Completed<E: Effects> {
    /// Of [`Effects::fetch`].
    Fetched(Answers<E>),
    /// Of [`Effects::record`].
    Recorded(Result<Receipt, Failed>),
    /// Of [`Effects::notify`].
    Notified(Result<(), String>),
    /// Of [`Effects::verify`].
    Verified(Result<(), String>),
}

/// What the first generation left.
pub struct First<E: Effects> {
    /// What tells its values from others.
    pub fingerprints: Fingerprints<E::Digest>,
    /// What was delivered, where that is kept.
    pub payloads: Option<E::Payloads>,
    /// It is on record.
    pub receipt: Receipt,
}
