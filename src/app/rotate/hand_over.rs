//! From a candidate to the program, and back.

use std::collections::BTreeSet;
use std::rc::Rc;

use tokio::time::Instant;

use super::ask::Candidate;
use super::beside::Beside;
use super::known::{Former, Marks};
use super::pins::{self, Pins};
use super::{Landed, Rotation, tell, verify};
use crate::app::exposed;
use crate::app::failure::{Failures, chain};
use crate::app::host::of_spawn;
use crate::app::values::{self, Unusable};
use crate::app::{memory, os};
use crate::model::{Event, Exit, SecretName};
use crate::rotation::{Input, Means, State};
use crate::secret::SecretBytes;
use crate::supervisor::spawn::Launch;

impl Rotation<'_> {
    /// Checks and renders the candidate; then it is written beside what is in place, or kept for the
    /// start of the next program.
    pub(super) fn stage(&mut self) -> Input {
        // What is damaged is delivered anew; what is found is told of.
        self.inspect().ok();
        let Some(candidate) = &mut self.candidate else {
            return Input::Failed;
        };
        let Some(round) = candidate.round.take() else {
            return Input::Failed;
        };
        let (draft, observer) = (&candidate.draft, self.observer.as_ref());
        let payloads = match values::renewed(self.plan, &round, draft, &self.damaged, observer) {
            Ok(payloads) => payloads,
            Err(unusable) => return self.unusable(unusable),
        };
        let restart = candidate.draft.found.new == Some(Means::Restart);
        if restart {
            // Found out now, while the program still runs.
            let launch = match Launch::settle(&self.plan.run, std::env::vars_os()) {
                Ok(launch) => launch,
                Err(faults) => {
                    let failures = faults.into_iter().map(of_spawn).collect();
                    return self.outcome(Err(failures));
                }
            };
            if let Err(failures) = exposed::refuse(self.plan, &launch, &round.values) {
                let secrets = BTreeSet::new();
                return self.unusable(Unusable { failures, secrets });
            }
        }
        drop(round);
        if let Err(failures) = self.keep(&payloads) {
            return self.outcome(Err(failures));
        }
        if restart {
            return Input::Done;
        }
        let staged = self.live.stage(self.generation.next(), payloads);
        self.outcome(staged)
    }

    fn keep(&mut self, payloads: &[Option<SecretBytes>]) -> Result<(), Failures> {
        if let (Some(kept), Some(candidate)) = (&self.kept, &mut self.candidate) {
            let kept = kept.with(payloads);
            candidate.kept = Some(kept.map_err(os("no memory to keep the values in"))?);
        }
        Ok(())
    }

    pub(super) fn swap(&mut self) -> Input {
        // What a program put at a delivered path is never said to be in place.
        let swapped = self.inspect().and_then(|()| self.live.swap());
        if swapped.is_ok() {
            self.generation = self.generation.next();
            // What was damaged is new now; what is found is told of.
            self.inspect().ok();
        }
        self.outcome(swapped)
    }

    /// The values are bad.
    fn unusable(&mut self, unusable: Unusable) -> Input {
        for failure in unusable.failures {
            let message = format!(
                "the new generation is refused: {}; the program keeps what it has until there is \
                 a newer one",
                chain(&*failure.error)
            );
            self.failed(message.clone());
            self.answer_refused(failure.exit, &message);
        }
        if let Some(candidate) = &mut self.candidate {
            let new = &candidate.draft.new;
            let blamed: BTreeSet<SecretName> =
                unusable.secrets.intersection(new).cloned().collect();
            candidate.blamed = Some(blamed).filter(|blamed| !blamed.is_empty());
        }
        Input::Refused
    }

    /// The system may refuse what it allows later: said once, and tried again.
    fn outcome(&mut self, result: Result<(), Failures>) -> Input {
        let Err(failures) = result else {
            return Input::Done;
        };
        for failure in failures {
            let message = format!(
                "the new generation cannot be put in place: {}; the program keeps what it has, and \
                 it is tried again",
                chain(&*failure.error)
            );
            self.answer_refused(failure.exit, &message);
            if !self.stuck {
                self.failed(message);
            }
        }
        self.stuck = true;
        Input::Failed
    }

    /// Tells the program, in all the ways that the secrets with new values ask for.
    pub(super) fn notify(&mut self) -> Option<Input> {
        let candidate = self.candidate.as_ref();
        let cause = candidate.map(|candidate| &candidate.draft.cause);
        let actions = cause.map_or_else(Vec::new, |cause| tell::actions(self.plan, cause));
        if actions.is_empty() {
            return Some(Input::Done);
        }
        let telling = tell::tell(self.beside(), actions, Rc::clone(&self.observer));
        self.flight = Some(Box::pin(async { Landed::Told(telling.await) }));
        None
    }

    /// Asks whether the program is well.
    pub(super) fn verify(&mut self) -> Option<Input> {
        let Some(how) = &self.plan.on_rotate.verify else {
            return Some(Input::Done);
        };
        self.took_off = Instant::now();
        let verifying = verify::verify(self.beside(), how);
        self.flight = Some(Box::pin(async { Landed::Verified(verifying.await) }));
        None
    }

    /// The program could not be told, or is not well. What follows is the machine's to say.
    pub(super) fn is_not_well(&mut self, why: String) {
        if self.machine.state() == State::NotifyingBack {
            self.failed(format!("the generation before is back, but {why}"));
        } else if self.plan.on_rotate.rollback {
            self.reason = Some(why);
        } else {
            self.failed(format!(
                "{why}; it keeps the new generation: there is no `rollback`"
            ));
        }
    }

    /// Puts the generation before in place.
    pub(super) fn swap_back(&mut self) -> Input {
        self.timer = None;
        let Some(candidate) = &mut self.candidate else {
            return Input::Failed;
        };
        let swapped = match &candidate.kept {
            Some(kept) if candidate.by_hand => {
                let payloads = kept.payloads().into_iter().map(Some).collect();
                let staged = self.live.stage(self.generation.next(), payloads);
                staged.and_then(|()| self.live.swap())
            }
            _ => self.live.swap_back(),
        };
        match swapped {
            Ok(()) => {
                candidate.undone = true;
                self.generation = self.generation.next();
                // What it finds is told of.
                self.inspect().ok();
                Input::Done
            }
            Err(failures) => {
                for failure in failures {
                    let message = format!(
                        "the generation before cannot be put back: {}; the program keeps what it \
                         has",
                        chain(&*failure.error)
                    );
                    self.failed(message.clone());
                    self.answer_back_refused(failure.exit, &message);
                }
                Input::Failed
            }
        }
    }

    /// The candidate is the program's generation now.
    pub(super) fn retire(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            let before = self.known.of(&candidate.draft.new);
            self.wanted
                .retain(|name| !candidate.draft.new.contains(name));
            self.known.adopt(&candidate.draft, &candidate.marks);
            if candidate.draft.found.new == Some(Means::Restart) {
                self.adopted_all();
            } else {
                self.adopted(&candidate.draft.seen, &candidate.marks, &candidate.pins);
            }
            if let Some(kept) = candidate.kept {
                let kept = self.kept.replace(kept);
                self.former = kept.map(|kept| Former {
                    kept,
                    marks: before,
                });
            }
        }
        self.stuck = false;
        if self.outages.is_empty() {
            self.backoff.reset();
        }
        let retired = self.live.retire();
        self.report(retired);
        let generation = self.generation;
        let took = self.since.take().unwrap_or_else(Instant::now).elapsed();
        self.observer.observe(&Event::Rotated { generation, took });
        self.answer_in_place(&format!("generation {generation} is in place"));
        memory::settle();
    }

    /// The program has the generation before, or still has it. What failed is not tried again.
    pub(super) fn quarantine(&mut self) {
        let Some(candidate) = self.candidate.take() else {
            return;
        };
        let undone = candidate.undone;
        let restarted = candidate.draft.found.new == Some(Means::Restart);
        if candidate.by_hand {
            self.take_former(candidate);
        } else {
            let new = &candidate.draft.new;
            let bad = candidate.blamed.as_ref().unwrap_or(new);
            self.known.quarantine(bad, &candidate.marks);
            self.rejected(bad, &candidate.marks, &candidate.pins);
            for name in bad {
                // What it was pinned to is bad.
                self.pins.remove(name);
                self.wanted.remove(name);
            }
            // Nor by hand is the program given what it was not well with.
            let ledger = &self.known.ledger;
            let good = |former: &Former| !ledger.has_bad(&former.marks.digests);
            self.former = self.former.take().filter(good);
        }
        let removed = if undone {
            self.live.retire()
        } else {
            self.live.discard()
        };
        self.report(removed);
        if undone && restarted {
            self.adopted_all();
        }
        if undone {
            self.went_back();
        }
        memory::settle();
    }

    /// The generation before is the program's by hand.
    fn take_former(&mut self, candidate: Candidate) {
        let names: BTreeSet<SecretName> = candidate.marks.digests.keys().cloned().collect();
        let failed = self.known.of(&names);
        self.known.put_back(&candidate.marks);
        for name in &names {
            // What it was pinned to is what it was rolled back from.
            self.pins.remove(name);
        }
        self.rejected(&names, &failed, &candidate.pins);
        self.adopted(&candidate.draft.seen, &candidate.marks, &candidate.pins);
        self.kept = candidate.kept;
        self.former = None;
    }

    /// The candidate is forgotten; its values are tried again.
    pub(super) fn discard(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            if candidate.undone {
                self.went_back();
            }
            if let (true, Some(kept)) = (candidate.by_hand, candidate.kept) {
                let marks = candidate.marks;
                self.former = Some(Former { kept, marks });
            }
        }
        let discarded = self.live.discard();
        self.report(discarded);
        memory::settle();
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

    pub(super) fn failed(&self, message: String) {
        self.observer.observe(&Event::RotationFailed { message });
    }

    pub(super) fn report(&self, result: Result<(), Failures>) {
        for failure in result.err().into_iter().flatten() {
            self.observer.observe(&Event::Fault {
                message: chain(&*failure.error),
            });
        }
    }

    pub(super) fn adopted(&self, names: &BTreeSet<SecretName>, marks: &Marks, pins: &Pins) {
        for name in names {
            let source = pins::source(self.plan, pins, name);
            if let Some(leases) = self.stores[&source.store].leases() {
                leases.adopted(&source, &marks.versions[name]);
            }
        }
    }

    fn rejected(&self, names: &BTreeSet<SecretName>, marks: &Marks, pins: &Pins) {
        for name in names {
            let source = pins::source(self.plan, pins, name);
            if let Some(leases) = self.stores[&source.store].leases() {
                leases.rejected(&source, &marks.versions[name]);
            }
        }
    }
}

impl<'a> Rotation<'a> {
    fn beside(&self) -> Beside<'a> {
        Beside {
            plan: self.plan,
            handle: self.handle.clone(),
            reaper: self.reaper.clone(),
            private: self.live.is_private(),
            apart: self.live.is_apart(),
        }
    }
}
