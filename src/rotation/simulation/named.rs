//! What is asked for by name, and what becomes of leases and of versions that a secret is held at.

use std::collections::BTreeSet;

use super::{Candidate, Former, LEASED, Pin, Quality, VERSIONED, World, one};
use crate::model::SecretName;
use crate::rotation::draft::tests::names;
use crate::rotation::{Draft, Input, Means, State};

impl World {
    pub(super) fn ask_for(&mut self, name: &str) {
        self.wanted.insert(one(name));
        self.drive(Input::Rotate);
    }

    /// All that was given so far is taken back.
    pub(super) fn revoke(&mut self) {
        if self.stores[LEASED].down {
            return;
        }
        self.over.insert(self.stores[LEASED].value);
        self.expire();
        self.over.insert(self.known[&one("f")]);
        self.due = Some(Quality::Good);
        self.ask_for("f");
    }

    /// What the store gave last is kept alive, and what the program has while that is on trial.
    pub(super) fn expire(&mut self) {
        let alive = [self.stores[LEASED].value, self.known[&one("f")]];
        let former = self
            .former
            .iter()
            .filter_map(|former| former.known.get(&one("f")));
        self.over
            .extend(former.filter(|value| !alive.contains(value)));
    }

    /// Asks for the version before the one that the program has, as `rollback NAME` does.
    pub(super) fn hold(&mut self) {
        let has = self.known[&one("e")];
        let from = self.stores[VERSIONED];
        let mut older = self.versions.iter().rev().filter(|version| **version < has);
        let good = |version: &&u32| !self.quarantined.contains(&(one("e"), **version));
        let Some(version) = older.find(good).copied().filter(|_| !from.down) else {
            return;
        };
        let from = from.value;
        self.pin = Some(Pin { version, from });
        self.ask_for("e");
    }

    pub(super) fn roll_back(&mut self) {
        match self.machine.state() {
            State::Steady
            | State::Settling
            | State::Fetching
            | State::Retrying
            | State::Exhausted => {
                let Some(Former { contents, known }) = self.former.take() else {
                    return;
                };
                if known
                    .get(&one("f"))
                    .is_some_and(|value| self.over.contains(value))
                {
                    return;
                }
                let secrets: BTreeSet<SecretName> = known.keys().cloned().collect();
                let restart = secrets.contains(&names("c").pop_first().unwrap());
                let means = if restart { Means::Restart } else { Means::Told };
                self.candidate = Some(Candidate {
                    draft: Draft {
                        new: secrets.clone(),
                        cause: secrets,
                        ..Draft::default()
                    },
                    fetched: known,
                    contents,
                    by_hand: true,
                    undone: false,
                });
                self.drive(Input::RollBack(means));
            }
            State::Notifying | State::Verifying | State::Stopping => {
                self.drive(Input::RollBack(Means::Told));
            }
            _ => {}
        }
    }

    /// A lease that is to be replaced, or is over, is followed by another one.
    pub(super) fn lease(&mut self) {
        let over = self.over.contains(&self.stores[LEASED].value);
        if !self.stores[LEASED].down && (over || self.due.is_some()) {
            let quality = self.due.take().unwrap_or(Quality::Good);
            self.make(LEASED, quality);
        }
    }

    /// It holds until the store has another version than it had then.
    pub(super) fn end_pin(&mut self) {
        let store = self.stores[VERSIONED];
        let ended = |pin: &Pin| !store.down && pin.from != store.value;
        self.pin = self.pin.filter(|pin| !ended(pin));
    }
}
