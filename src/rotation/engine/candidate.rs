//! From a change to a candidate: when the stores are asked, and what is made of their answers.

use std::time::Duration;

use super::Engine;
use super::effects::{Answers, Denied, Effects, Failed};
use super::generations::Candidate;
use super::known::Fingerprints;
use super::pins::{self, Pin, Pins};
use crate::model::{Event, Exit, RotationError, SecretName, Version, chain, format_duration};
use crate::rotation::{Draft, Fetch, Found, Input};
use crate::stores::StoreError;

impl<E: Effects> Engine<'_, E> {
    /// Waits for more changes, and a random part of the splay.
    pub(super) fn settle(&mut self) -> Option<Input> {
        let on_rotate = &self.plan.on_rotate;
        let wait = on_rotate.settle + part(on_rotate.splay, self.effects.random());
        self.begin();
        if wait.is_zero() {
            return Some(Input::Elapsed);
        }
        self.wait(wait);
        None
    }

    pub(super) fn wait(&mut self, wait: Duration) {
        // What is too far away never comes.
        self.timer = self.effects.now().checked_add(wait);
    }

    pub(super) fn retry_later(&mut self) {
        let wait = self.backoff.next(self.effects.random());
        self.wait(wait);
    }

    /// What is in flight was noticed now, if not before.
    fn begin(&mut self) {
        let now = self.effects.now();
        self.since.get_or_insert(now);
    }

    pub(super) fn fetch(&mut self) -> Option<Input> {
        self.timer = None;
        self.begin();
        self.waiting.begins();
        self.asked = self.reach.combined(&std::mem::take(&mut self.due));
        let fetching = self.effects.fetch(self.asked.clone(), self.pins.clone());
        let Err(denied) = fetching else {
            self.denied = None;
            return None;
        };
        // With a later change it is decided on anew.
        self.is_due_again();
        self.pins = std::mem::take(&mut self.pins)
            .into_iter()
            .filter_map(|(name, pin)| Some((name, *pin.held()?)))
            .collect();
        self.since = None;
        Some(self.denied(denied))
    }

    /// Policy denies the generation: the program keeps what it has, or is not to.
    fn denied(&mut self, Denied { failed, stop }: Denied) -> Input {
        let Failed { exit, why } = failed;
        let error = if stop {
            self.expelled = Some(why.clone());
            RotationError::Expelled { why }
        } else {
            RotationError::Denied { why }
        };
        let message = error.to_string();
        // What is polled is denied again and again.
        if self.denied.as_ref() != Some(&message) {
            self.failed(error);
            self.denied = Some(message.clone());
        }
        self.answer_refused(exit, &message);
        if stop {
            return Input::Expelled;
        }
        // Policies may change, and people approve, without a change in a store: it is tried again, as after an
        // outage.
        Input::Found(Found {
            outage: true,
            ..Found::default()
        })
    }

    /// What was fetched last is fetched again, with what is due next.
    pub(super) fn is_due_again(&mut self) {
        self.due.extend(self.asked.iter().cloned());
    }

    pub(super) fn abandon(&mut self) {
        self.effects.abandon();
        self.is_due_again();
    }

    /// What the stores gave becomes a candidate, if there is anything new in it.
    pub(super) fn found(&mut self, answers: Answers<E>) -> Input {
        let Answers {
            values,
            fingerprints,
            errors,
            pins,
            refused,
        } = answers;
        let new = self.take_pins(&pins);
        for (name, error) in refused {
            self.answer_refused(error.exit(), &chain(&error));
            let before = pins.get(&name).cloned();
            self.hold_as_before(name, before);
        }
        self.outages.asked(&errors);
        self.refuse_bad(new, &fingerprints);
        for (name, version) in self.known.rename(&fingerprints) {
            let source = pins::source(self.plan, &pins, &name);
            self.effects.adopted(&source, &version);
        }
        let draft = self.draft(&fingerprints, &pins);
        let found = draft.found;
        if found.outage || found.short {
            self.is_due_again();
        }
        if found.new.is_none() {
            self.effects.forget(values);
            self.nothing_new(&draft, &errors);
            return Input::Found(found);
        }
        for secret in &draft.cause {
            self.observer.observe(&Event::Changed {
                secret: secret.clone(),
                version: fingerprints.versions[secret].clone(),
            });
        }
        self.candidate = Some(Candidate {
            draft,
            fingerprints,
            pins,
            values: Some(values),
            payloads: None,
            receipt: None,
            blamed: None,
            by_hand: false,
            undone: false,
        });
        Input::Found(found)
    }

    /// What to make of what the stores gave.
    fn draft(&mut self, fetched: &Fingerprints<E::Digest>, pins: &Pins) -> Draft {
        let room = self.machine.restarts_left(self.effects.now()) > 0;
        let ledger = &mut self.known.ledger;
        // There was nothing new to be had.
        self.wanted.retain(|name| {
            let digest = fetched.digests.get(name);
            !digest.is_some_and(|digest| ledger.has(name, *digest))
        });
        let fetch = Fetch {
            secrets: Some(&self.asked),
            wanted: &self.wanted,
            pinned: &pins.keys().cloned().collect(),
        };
        ledger.draft(&self.reach, &fetched.digests, fetch, room)
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

    /// What the program was not well with it does not get by hand either: what held before holds on. What
    /// a person rolled back from, a person may ask for again.
    fn refuse_bad(
        &mut self,
        new: Vec<(SecretName, Option<Box<Pin>>)>,
        fetched: &Fingerprints<E::Digest>,
    ) {
        for (name, before) in new {
            let digest = fetched.digests.get(&name);
            let refused = digest.filter(|digest| self.known.ledger.refuses(&name, **digest));
            let Some(digest) = refused else { continue };
            if self.known.was_undone(&name, *digest) {
                self.known.pardon(&name, *digest);
                continue;
            }
            let version = &fetched.versions[&name];
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

    fn nothing_new(&mut self, draft: &Draft, errors: &[StoreError]) {
        if let Some(first) = errors.first() {
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
            let text = self.still_there();
            self.answer_refused(Exit::Value, &text);
        } else {
            self.answer_done(&self.unchanged());
        }
    }

    /// That nothing changed, and what was not looked at.
    fn unchanged(&self) -> String {
        let out_of_reach: Vec<&str> = self.reach.out_of_reach().map(SecretName::as_str).collect();
        if out_of_reach.is_empty() {
            return "nothing has changed".to_owned();
        }
        format!(
            "nothing has changed that the running program could get; {} cannot reach it (by getenv, fd or \
             stdin): restart it for a new value, or write `on_rotate: restart`",
            out_of_reach.join(", ")
        )
    }

    /// The stores have values that are not tried again: which, why, and what to do.
    fn still_there(&self) -> String {
        let held = self.plan.secrets.keys();
        let held = held.filter_map(|name| Some((name, self.known.quarantined(name)?)));
        let (undone, rejected): (Vec<_>, Vec<_>) =
            held.partition(|(name, _)| self.known.is_undone(name));
        let list = |held: &[(&SecretName, &Version)]| {
            let named = held
                .iter()
                .map(|(name, version)| format!("{name} {version}"));
            named.collect::<Vec<_>>().join(", ")
        };
        let mut text = Vec::new();
        if !rejected.is_empty() {
            let rejected = list(&rejected);
            text.push(format!(
                "the stores still hold the rejected values ({rejected})"
            ));
        }
        if !undone.is_empty() {
            let again = undone.iter().find_map(|(name, version)| {
                let version = self.past(name, version)?.this;
                Some(format!(
                    "; `rollback {name} --to {version}` delivers one again"
                ))
            });
            text.push(format!(
                "the stores still hold the values that were rolled back ({}){}",
                list(&undone),
                again.unwrap_or_default()
            ));
        }
        format!("{}. Write new versions", text.join("; "))
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
