//! From a candidate to the program, and back.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::effects::{Effects, Failed, Stage, StageError};
use super::generations::{Candidate, Previous};
use super::known::Fingerprints;
use super::pins::{self, Pins};
use crate::model::{
    Event, Exit, Exited, Plan, Receipt, RotateAction, RotationError, SecretName, Version,
};
use crate::rotation::{Action, Input, Means, State};
use crate::supervisor::Ended;

/// What is done for a generation that brings new values of these secrets: what each of them asks for,
/// once, in the order of their names. A restart makes the rest of them needless.
pub fn actions(plan: &Plan, secrets: &BTreeSet<SecretName>) -> Vec<RotateAction> {
    let mut actions: Vec<RotateAction> = Vec::new();
    for name in secrets {
        let own = plan
            .secrets
            .get(name)
            .and_then(|spec| spec.on_rotate.as_ref());
        let action = own.unwrap_or(&plan.on_rotate.action);
        if *action == RotateAction::Restart {
            return vec![RotateAction::Restart];
        }
        if *action != RotateAction::Nothing && !actions.contains(action) {
            actions.push(action.clone());
        }
    }
    actions
}

impl<E: Effects> Engine<'_, E> {
    /// Checks and renders the candidate; then it is written beside what is in place, or kept for the
    /// start of the next program. Then it is put on record.
    pub(super) fn stage(&mut self) -> Option<Input> {
        let Some(candidate) = &mut self.candidate else {
            return Some(Input::Failed);
        };
        let Some(values) = candidate.values.take() else {
            return Some(Input::Failed);
        };
        let stage = Stage {
            generation: self.generation.next(),
            draft: &candidate.draft,
            values,
            kept: self.kept.as_ref(),
        };
        match self.effects.stage(stage) {
            Ok(payloads) => {
                candidate.payloads = payloads;
                let versions = candidate.fingerprints.versions.iter();
                let new = versions.filter(|(name, _)| candidate.draft.new.contains(*name));
                let new = new.map(|(name, version)| (name.clone(), version.clone()));
                self.effects.record(new.collect());
                None
            }
            Err(StageError::Values { failed, blamed }) => Some(self.unusable(failed, &blamed)),
            Err(StageError::System(failed)) => Some(self.not_in_place(failed)),
        }
    }

    /// What is not on record is not delivered.
    pub(super) fn recorded(&mut self, recorded: Result<Receipt, Failed>) -> Input {
        match (recorded, &mut self.candidate) {
            (Ok(receipt), Some(candidate)) => {
                candidate.receipt = Some(receipt);
                Input::Done
            }
            (Ok(_), None) => Input::Failed,
            (Err(failed), _) => self.not_in_place(vec![failed]),
        }
    }

    pub(super) fn swap(&mut self) -> Input {
        let candidate = self.candidate.as_ref();
        let Some(receipt) = candidate.and_then(|candidate| candidate.receipt.as_ref()) else {
            return Input::Failed;
        };
        match self.effects.swap(receipt) {
            Ok(()) => {
                self.generation = self.generation.next();
                let new = candidate.map(|candidate| &candidate.draft.new);
                self.delivered(new.into_iter().flatten(), false);
                Input::Done
            }
            Err(failed) => self.not_in_place(failed),
        }
    }

    /// The values are bad.
    fn unusable(&mut self, failed: Vec<Failed>, blamed: &BTreeSet<SecretName>) -> Input {
        for Failed { exit, why } in failed {
            let error = RotationError::Refused { why };
            self.answer_refused(exit, &error.to_string());
            self.failed(error);
        }
        if let Some(candidate) = &mut self.candidate {
            let new = &candidate.draft.new;
            let blamed: BTreeSet<SecretName> = blamed.intersection(new).cloned().collect();
            candidate.blamed = Some(blamed).filter(|blamed| !blamed.is_empty());
        }
        Input::Refused
    }

    /// The system may refuse what it allows later: reported once, and retried.
    fn not_in_place(&mut self, failed: Vec<Failed>) -> Input {
        for Failed { exit, why } in failed {
            let error = RotationError::NotInPlace { why };
            self.answer_refused(exit, &error.to_string());
            if !self.stuck {
                self.failed(error);
            }
        }
        self.stuck = true;
        Input::Failed
    }

    /// Notifies the program, in all the ways that the secrets with new values ask for.
    pub(super) fn notify(&mut self) -> Option<Input> {
        let candidate = self.candidate.as_ref();
        let cause = candidate.map(|candidate| &candidate.draft.cause);
        let actions = cause.map_or_else(Vec::new, |cause| actions(self.plan, cause));
        if actions.is_empty() {
            return Some(Input::Done);
        }
        self.effects.notify(actions);
        None
    }

    /// Asks whether the program is well.
    pub(super) fn verify(&mut self) -> Option<Input> {
        let Some(how) = &self.plan.on_rotate.verify else {
            return Some(Input::Done);
        };
        self.verifying = self.effects.now();
        self.effects.verify(how);
        None
    }

    /// The program could not be told, or is not well. What follows is the machine's to say.
    pub(super) fn is_not_well(&mut self, why: String) {
        if self.machine.state() == State::NotifyingBack {
            self.failed(RotationError::NotWellBack { why });
        } else {
            self.reason = Some(why);
        }
    }

    /// Puts the previous generation back in place.
    pub(super) fn swap_back(&mut self) -> Input {
        self.timer = None;
        let Some(candidate) = &mut self.candidate else {
            return Input::Failed;
        };
        let next = self.generation.next();
        let swapped = match (&candidate.payloads, &candidate.receipt) {
            (Some(payloads), Some(receipt)) if candidate.by_hand => {
                self.effects.swap_back(receipt, Some((payloads, next)))
            }
            _ => self.effects.swap_back(&self.receipt, None),
        };
        match swapped {
            Ok(()) => {
                candidate.undone = true;
                self.generation = next;
                let (names, back) = (candidate.draft.new.clone(), !candidate.by_hand);
                self.delivered(&names, back);
                Input::Done
            }
            Err(failed) => {
                for Failed { exit, why } in failed {
                    let error = RotationError::NotBack { why };
                    self.answer_back_refused(exit, &error.to_string());
                    self.failed(error);
                }
                Input::Failed
            }
        }
    }

    /// Has the program stopped; hushpipe stays.
    pub(super) fn stop(&mut self) {
        self.timer = None;
        self.observer.observe(&Event::Restarting);
        self.effects.stop();
    }

    /// Has the program stopped; nothing follows.
    pub(super) fn expel(&mut self) {
        self.timer = None;
        self.effects.stop();
    }

    /// The program and its leftovers are gone. `true`: another one is to be started in its place, with
    /// [`Engine::next_to_start`]. `is_stopping`: the program was asked to end, for nothing to follow.
    pub fn ended(&mut self, ended: &Ended, is_stopping: bool) -> bool {
        let state = self.machine.state();
        let stopping = matches!(state, State::Stopping | State::StoppingBack);
        // It ended by itself, or by request, before or while it was to be stopped by us.
        if !ended.replaced && (stopping || is_stopping) {
            return false;
        }
        if state == State::Verifying {
            let Exited { code, signal } = ended.exited;
            let how = signal.map_or_else(|| format!("code {code}"), |signal| signal.to_string());
            self.is_not_well(format!(
                "the program ended with {how} while it was verified"
            ));
        }
        self.drive(Input::Ended);
        self.to_start.is_some()
    }

    /// What the next program is to be started with, and what acts on that; then [`Engine::started`] or
    /// [`Engine::not_started`] follows.
    pub fn next_to_start(&mut self) -> Option<(&mut E, &E::Payloads, &Receipt)> {
        let candidate = self.candidate.as_ref();
        let (payloads, receipt) = match self.to_start {
            Some(Action::StartBack) if candidate.is_none_or(|candidate| !candidate.by_hand) => {
                (self.kept.as_ref(), Some(&self.receipt))
            }
            Some(_) => (candidate?.payloads.as_ref(), candidate?.receipt.as_ref()),
            None => return None,
        };
        Some((&mut self.effects, payloads?, receipt?))
    }

    /// The next program runs.
    pub fn started(&mut self) {
        self.generation = self.generation.next();
        let mut back = false;
        if let (Some(Action::StartBack), Some(candidate)) =
            (self.to_start.take(), &mut self.candidate)
        {
            candidate.undone = true;
            back = !candidate.by_hand;
        }
        self.delivered(self.plan.secrets.keys(), back);
        self.drive(Input::Done);
    }

    /// It could not be started. `false`: there is nothing else to start.
    pub fn not_started(&mut self, why: &str) -> bool {
        let why = format!("the program cannot be started with it: {why}");
        self.reason = Some(why.clone());
        self.to_start = None;
        self.drive(Input::Failed);
        let another = self.to_start.is_some();
        if another {
            self.failed(RotationError::NotStarted { why });
        }
        another
    }

    /// The candidate is the program's generation now.
    pub(super) fn retire(&mut self) {
        let now = self.effects.now();
        let mut changes = Vec::new();
        if let Some(candidate) = self.candidate.take() {
            let Candidate {
                draft,
                fingerprints,
                pins,
                ..
            } = &candidate;
            let before = self.known.of(&draft.new);
            changes = changed(&before.versions, &fingerprints.versions);
            changes.extend(self.notified(draft.found.new));
            self.wanted.retain(|name| !draft.new.contains(name));
            self.known.adopt(draft, fingerprints, now);
            if draft.found.new == Some(Means::Restart) {
                self.adopted_all();
            } else {
                self.adopted(&draft.seen, fingerprints, pins);
            }
            if let Some(receipt) = candidate.receipt {
                let receipt = std::mem::replace(&mut self.receipt, receipt);
                let kept = std::mem::replace(&mut self.kept, candidate.payloads);
                self.previous = kept.map(|payloads| Previous {
                    payloads,
                    receipt,
                    fingerprints: before,
                });
            }
        }
        self.stuck = false;
        if self.outages.is_empty() {
            self.backoff.reset();
        }
        self.effects.retire();
        let generation = self.generation;
        let took = now.saturating_sub(self.since.take().unwrap_or(now));
        let in_place = format!("generation {generation} is in place");
        let done = match changes.as_slice() {
            [] => in_place.clone(),
            changes => format!("{in_place}: {}", changes.join(", ")),
        };
        self.observer.observe(&Event::Rotated {
            generation,
            took,
            changes,
        });
        match self.reason.take() {
            None => self.answer_in_place(&done),
            // After the rotation: it lasts until the next one.
            Some(why) => {
                let error = RotationError::NotWell { why };
                self.answer_refused(Exit::Value, &format!("{in_place}, but {error}"));
                self.failed(error);
            }
        }
    }

    /// How the program got to know, in words; nothing where it was not notified, or has failed to be.
    fn notified(&self, means: Option<Means>) -> Option<String> {
        match (means?, &self.plan.on_rotate.action) {
            (Means::Restart, _) => Some("restarted".to_owned()),
            (Means::Told, _) if self.reason.is_some() => None,
            (Means::Told, RotateAction::Signal(signal)) => Some(format!(
                "{} sent",
                signal.to_string().trim_start_matches("SIG")
            )),
            (Means::Told, _) => None,
        }
    }

    /// The program has the previous generation, or still has it. What failed is not tried again.
    pub(super) fn quarantine(&mut self) {
        let Some(candidate) = self.candidate.take() else {
            return;
        };
        let undone = candidate.undone;
        let restarted = candidate.draft.found.new == Some(Means::Restart);
        if candidate.by_hand {
            self.take_previous(candidate);
        } else {
            self.quarantine_new(&candidate);
        }
        if undone {
            self.effects.retire();
            if restarted {
                self.adopted_all();
            }
            self.went_back();
        } else {
            self.is_due_again();
            self.effects.discard();
        }
    }

    fn quarantine_new(&mut self, candidate: &Candidate<E>) {
        let bad = candidate.blamed.as_ref().unwrap_or(&candidate.draft.new);
        self.known.quarantine(bad, &candidate.fingerprints);
        self.rejected(bad, &candidate.fingerprints, &candidate.pins);
        for name in bad {
            // What it was pinned to is bad.
            self.pins.remove(name);
            self.wanted.remove(name);
        }
        // Nor by hand does the program get what it was not well with.
        let ledger = &self.known.ledger;
        let good = |previous: &Previous<E>| !ledger.has_bad(&previous.fingerprints.digests);
        self.previous = self.previous.take().filter(good);
    }

    /// The previous generation is the program's by hand.
    fn take_previous(&mut self, candidate: Candidate<E>) {
        let Candidate {
            draft,
            fingerprints,
            pins,
            payloads,
            receipt,
            ..
        } = candidate;
        let names: BTreeSet<SecretName> = fingerprints.digests.keys().cloned().collect();
        let failed = self.known.of(&names);
        self.known.put_back(&fingerprints, self.effects.now());
        for name in &names {
            // What it was pinned to is what it was rolled back from.
            self.pins.remove(name);
        }
        self.rejected(&names, &failed, &pins);
        self.adopted(&draft.seen, &fingerprints, &pins);
        self.kept = payloads;
        if let Some(receipt) = receipt {
            self.receipt = receipt;
        }
        self.previous = None;
    }

    /// The candidate is forgotten; its values are tried again.
    pub(super) fn discard(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            if candidate.undone {
                self.went_back();
            }
            if let (true, Some(payloads), Some(receipt)) =
                (candidate.by_hand, candidate.payloads, candidate.receipt)
            {
                let fingerprints = candidate.fingerprints;
                self.previous = Some(Previous {
                    payloads,
                    receipt,
                    fingerprints,
                });
            }
        }
        self.is_due_again();
        self.effects.discard();
    }

    /// Says that the program has the generation before.
    fn went_back(&mut self) {
        let reason = self.reason.take();
        let generation = self.generation;
        self.since = None;
        let text = format!("rolled back, which is generation {generation}");
        let why = reason.as_deref().unwrap_or("it was asked for");
        let refusal = format!("{text}: {why}");
        // On record before it is answered.
        self.observer
            .observe(&Event::RolledBack { generation, reason });
        self.answer_refused(Exit::Value, &refusal);
        self.answer_back_done(&text);
    }

    pub(super) fn failed(&self, error: RotationError) {
        self.observer.observe(&Event::RotationFailed { error });
    }

    /// Says which versions of these the program has now: the candidate's; `back`: those from before it.
    fn delivered<'n>(&self, names: impl IntoIterator<Item = &'n SecretName>, back: bool) {
        let candidate = self.candidate.as_ref().filter(|_| !back);
        let coming = candidate.map(|candidate| &candidate.fingerprints.versions);
        for secret in names {
            let version = coming.and_then(|coming| coming.get(secret));
            let had = || Some(&self.known.delivered(secret)?.version);
            if let Some(version) = version.or_else(had) {
                self.observer.observe(&Event::Delivered {
                    secret: secret.clone(),
                    version: version.clone(),
                    generation: self.generation,
                });
            }
        }
    }

    /// A program was started: the stores need not keep anything alive but what it has.
    pub(super) fn adopted_all(&mut self) {
        let names = self.plan.secrets.keys().cloned().collect();
        let pins = self.pins.clone();
        self.adopted(&names, &self.known.of(&names), &pins);
    }

    fn adopted(&mut self, names: &BTreeSet<SecretName>, of: &Fingerprints<E::Digest>, pins: &Pins) {
        for name in names {
            let source = pins::source(self.plan, pins, name);
            self.effects.adopted(&source, &of.versions[name]);
        }
    }

    fn rejected(
        &mut self,
        names: &BTreeSet<SecretName>,
        of: &Fingerprints<E::Digest>,
        pins: &Pins,
    ) {
        for name in names {
            let source = pins::source(self.plan, pins, name);
            self.effects.rejected(&source, &of.versions[name]);
        }
    }
}

/// More of a store's own words for a version is cut.
const LONG: usize = 24;

/// `api v1 → v2`, of each that has another version. The numbers of stores that count get a `v`.
fn changed(
    before: &BTreeMap<SecretName, Version>,
    now: &BTreeMap<SecretName, Version>,
) -> Vec<String> {
    let shown = |version: &Version| match version.0.parse::<u64>() {
        Ok(number) => format!("v{number}"),
        Err(_) if version.0.chars().count() > LONG => {
            version.0.chars().take(LONG).chain(['…']).collect()
        }
        Err(_) => version.0.clone(),
    };
    let both = before
        .iter()
        .filter_map(|(name, old)| Some((name, old, now.get(name)?)));
    both.filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| format!("{name} {} → {}", shown(old), shown(new)))
        .collect()
}
