//! From a change to a candidate: when the stores are asked, and what is made of their answers.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::known::Marks;
use super::pins::{self, Answers, Pin, Pins};
use super::{Landed, Rotation};
use crate::app::failure::chain;
use crate::app::fetch::Round;
use crate::app::kept::Kept;
use crate::app::memory;
use crate::app::watch::random;
use crate::model::{Event, Exit, SecretName, format_duration};
use crate::rotation::{ByName, Draft, Input};
use crate::stores::StoreError;

/// A generation on its way to the program, or back.
pub struct Candidate {
    /// What it brings.
    pub draft: Draft,
    /// By what it is told from others.
    pub marks: Marks,
    /// The pins that it was asked for with.
    pub pins: Pins,
    /// Its values, until they are staged.
    pub round: Option<Round>,
    /// What is delivered, where that is kept.
    pub kept: Option<Kept>,
    /// Those whose values are bad; `None`: any of the new ones may be.
    pub blamed: Option<BTreeSet<SecretName>>,
    /// It is the generation before, asked for by hand.
    pub by_hand: bool,
    /// The program has the generation before it back; by hand, the program has it.
    pub undone: bool,
}

impl Rotation<'_> {
    /// Waits for more changes, and a random part of the splay.
    pub(super) fn settle(&mut self) -> Option<Input> {
        let on_rotate = &self.plan.on_rotate;
        let wait = on_rotate.settle + part(on_rotate.splay, random());
        self.since.get_or_insert_with(Instant::now);
        if wait.is_zero() {
            return Some(Input::Elapsed);
        }
        self.wait(wait);
        None
    }

    pub(super) fn wait(&mut self, wait: Duration) {
        // What is too far away never comes.
        self.timer = Instant::now().checked_add(wait);
    }

    pub(super) fn retry_later(&mut self) {
        let wait = self.backoff.next(random());
        self.wait(wait);
    }

    pub(super) fn fetch(&mut self) {
        self.timer = None;
        self.since.get_or_insert_with(Instant::now);
        self.waiting.begins();
        let secrets = self.plan.secrets.keys();
        let secrets = secrets.filter(|name| self.reach.is_asked_for(name));
        let asking = pins::ask(
            self.plan,
            self.stores,
            secrets.cloned().collect(),
            self.pins.clone(),
        );
        self.flight = Some(Box::pin(async { Landed::Asked(asking.await) }));
    }

    /// What the stores gave becomes a candidate, if there is anything new in it.
    pub(super) fn found(&mut self, answers: Answers) -> Input {
        let Answers {
            round,
            faults,
            pins,
            refused,
        } = answers;
        let new = self.take_pins(&pins);
        for (name, fault) in refused {
            self.answer_refused(fault.exit(), &chain(&fault));
            let before = pins.get(&name).cloned();
            self.hold_as_before(name, before);
        }
        self.outages.asked(&faults);
        let marks = self.known.marks(&round);
        self.refuse_bad(new, &marks);
        for (name, version) in self.known.rename(&marks) {
            let source = pins::source(self.plan, &pins, &name);
            if let Some(leases) = self.stores[&source.store].leases() {
                leases.adopted(&source, &version);
            }
        }
        let room = self.machine.restarts_left(self.began.elapsed()) > 0;
        let known = &self.known;
        let arrived = |name: &SecretName| {
            let digest = marks.digests.get(name);
            digest.is_some_and(|digest| known.ledger.has(name, *digest))
        };
        // There was nothing new to be had.
        self.wanted.retain(|name| !arrived(name));
        let by_name = ByName {
            wanted: &self.wanted,
            pinned: &pins.keys().cloned().collect(),
        };
        let ledger = &mut self.known.ledger;
        let draft = ledger.draft(&self.reach, &marks.digests, by_name, room);
        let found = draft.found;
        if found.new.is_none() {
            drop(round);
            self.nothing_new(&draft, &faults);
            return Input::Found(found);
        }
        for secret in &draft.cause {
            self.observer.observe(&Event::Changed {
                secret: secret.clone(),
                version: marks.versions[secret].clone(),
            });
        }
        self.candidate = Some(Candidate {
            draft,
            marks,
            pins,
            round: Some(round),
            kept: None,
            blamed: None,
            by_hand: false,
            undone: false,
        });
        Input::Found(found)
    }

    /// Keeps the pins that hold, of those that were asked for; others came meanwhile. Gives those that
    /// hold for the first time, with what held before.
    fn take_pins(&mut self, held: &Pins) -> Vec<(SecretName, Option<Box<Pin>>)> {
        let mut new = Vec::new();
        self.pins.retain(|name, pin| {
            let Some(now) = held.get(name) else {
                // It was settled once, so it has ended; or it came meanwhile.
                return pin.from.is_none();
            };
            if now.version == pin.version {
                if pin.from.is_none() {
                    new.push((name.clone(), pin.otherwise.take()));
                }
                *pin = now.clone();
            }
            true
        });
        new
    }

    /// What the program was not well with it does not get by hand either: what held before holds on.
    fn refuse_bad(&mut self, new: Vec<(SecretName, Option<Box<Pin>>)>, marks: &Marks) {
        for (name, before) in new {
            let digest = marks.digests.get(&name);
            if !digest.is_some_and(|digest| self.known.ledger.refuses(&name, *digest)) {
                continue;
            }
            let version = &marks.versions[&name];
            let text = format!(
                "secret {name}: the program was not well with {version}, and does not get it again"
            );
            self.answer_refused(Exit::Value, &text);
            self.wanted.remove(&name);
            self.hold_as_before(name, before.map(|pin| *pin));
        }
    }

    /// Takes a pin back that was refused.
    fn hold_as_before(&mut self, name: SecretName, before: Option<Pin>) {
        match before {
            Some(before) => self.pins.insert(name, before),
            None => self.pins.remove(&name),
        };
    }

    fn nothing_new(&mut self, draft: &Draft, faults: &[StoreError]) {
        // The values are gone, but not yet from where reading them left its traces.
        memory::settle();
        if let Some(first) = faults.first() {
            let text = format!("{}; it is tried again", chain(first));
            self.answer_refused(first.exit(), &text);
            return;
        }
        self.since = None;
        if draft.found.short {
            let text = self.no_room();
            self.answer_refused(Exit::Deadline, &text);
            return;
        }
        let bad = draft.bad;
        self.observer.observe(&Event::Unchanged { bad });
        if bad {
            let text = "the stores still have what was refused: give them newer values";
            self.answer_refused(Exit::Value, text);
        } else {
            self.answer_done("nothing has changed");
        }
    }

    fn no_room(&self) -> String {
        let rule = self.plan.on_rotate.restarts;
        format!(
            "the budget of {} restarts in {} is used up: the new values wait until there is room",
            rule.max,
            format_duration(rule.per)
        )
    }

    /// No restart for now: said once, until there was one.
    pub(super) fn exhausted(&mut self) {
        let rule = self.plan.on_rotate.restarts;
        let (max, per) = (rule.max, rule.per);
        self.observer
            .observe(&Event::RestartsExhausted { max, per });
    }
}

/// A random part of a length of time; `random` is drawn evenly from all of `u64`.
fn part(whole: Duration, random: u64) -> Duration {
    let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
    let drawn = (u128::from(random) * (u128::from(millis) + 1)) >> 64;
    Duration::from_millis(drawn as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_drawn_from_nothing_to_all() {
        let whole = Duration::from_secs(30);
        assert_eq!(part(whole, 0), Duration::ZERO);
        assert_eq!(part(whole, u64::MAX / 2), Duration::from_secs(15));
        assert_eq!(part(whole, u64::MAX), whole);
        assert_eq!(part(Duration::ZERO, u64::MAX), Duration::ZERO);
    }
}
