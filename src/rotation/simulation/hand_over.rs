//! Doing what the machine says, as the composition root does it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    Contents, Flight, Former, LEASED, MAX, PER, Quality, STORES, Values, World, is_live, one,
};
use crate::model::SecretName;
use crate::rotation::draft::tests::names;
use crate::rotation::{Action, Input, State};

impl World {
    pub(super) fn perform(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Settle => self.timer = Some(self.now + Duration::from_secs(2)),
            Action::RetryLater => self.timer = Some(self.now + Duration::from_secs(5)),
            Action::WaitForRoom(wait) => self.timer = Some(self.now + wait),
            Action::Fetch => {
                self.timer = None;
                self.take_off(Flight::Fetch);
            }
            Action::Abandon => self.flight = None,
            Action::Notify => {
                assert!(self.program.untold, "nobody is told without a change");
                self.take_off(Flight::Notify);
            }
            Action::Verify => self.take_off(Flight::Verify),
            Action::Stop => {
                self.count_restart();
                self.take_off(Flight::Stop);
            }
            Action::Stage => return Some(self.stage()),
            Action::Swap => return Some(self.swap()),
            Action::SwapBack => return Some(self.swap_back()),
            Action::Start | Action::StartBack => return Some(self.start(action)),
            Action::Retire => self.retire(),
            Action::Quarantine => self.quarantine(),
            Action::Discard => self.discard(),
            Action::GiveUp => assert!(!self.program.alive),
            Action::Exhausted | Action::Recovered => {}
        }
        None
    }

    /// Only the way back may go beyond the budget.
    fn count_restart(&mut self) {
        let now = self.now;
        let forward = self.machine.state() == State::Stopping;
        self.restarts.retain(|at| now.saturating_sub(*at) < PER);
        assert!(
            !forward || self.restarts.len() < MAX as usize,
            "beyond the budget"
        );
        self.restarts.push(now);
    }

    fn stage(&mut self) -> Input {
        let qualities = &self.qualities;
        let candidate = self.candidate.as_mut().expect("something was found");
        let refused = |name: &&SecretName| qualities[&candidate.fetched[*name]] == Quality::Refused;
        let blamed: BTreeSet<SecretName> = candidate
            .draft
            .new
            .iter()
            .filter(refused)
            .cloned()
            .collect();
        if !blamed.is_empty() {
            candidate.draft.new = blamed;
            return Input::Refused;
        }
        if self.disk {
            Input::Done
        } else {
            Input::Failed
        }
    }

    fn swap(&mut self) -> Input {
        if !self.disk {
            return Input::Failed;
        }
        self.before = Some(self.program.sees.clone());
        let contents = self
            .candidate
            .as_ref()
            .expect("it is staged")
            .contents
            .clone();
        self.show(&contents, false);
        Input::Done
    }

    fn swap_back(&mut self) -> Input {
        self.timer = None;
        let candidate = self.candidate.as_mut().expect("it is on its way");
        let contents = if candidate.by_hand {
            candidate.contents.clone()
        } else {
            self.before.clone().expect("the old one is still there")
        };
        if !self.disk {
            return Input::Failed;
        }
        candidate.undone = true;
        self.show(&contents, false);
        Input::Done
    }

    fn start(&mut self, action: Action) -> Input {
        assert!(!self.program.alive, "the one before is gone");
        assert_eq!(self.flight, None);
        if !self.program.starts {
            return Input::Failed;
        }
        let candidate = self.candidate.as_mut().expect("it is on its way");
        let back = action == Action::StartBack;
        candidate.undone = back;
        let contents = if back && !candidate.by_hand {
            self.current.clone()
        } else {
            candidate.contents.clone()
        };
        self.program.alive = true;
        self.show(&contents, true);
        self.program.untold = false;
        Input::Done
    }

    /// What the program sees from now on; what it reads once only when it starts.
    fn show(&mut self, contents: &Contents, start: bool) {
        for (index, new) in contents.iter().enumerate() {
            if (start || is_live(index)) && self.program.sees[index] != *new {
                self.program.sees[index].clone_from(new);
                self.program.untold = true;
            }
        }
        self.check(start);
    }

    /// No two numbers of one store, and nothing that is quarantined.
    pub(super) fn check(&self, start: bool) {
        let seen = self.program.sees.iter().enumerate();
        let seen = seen.filter(|(index, _)| start || is_live(*index));
        let seen: BTreeSet<(SecretName, u32)> = seen
            .flat_map(|(_, values)| values.iter().map(|(name, value)| (name.clone(), *value)))
            .collect();
        for (store, secrets) in STORES {
            let secrets = names(secrets);
            let of_store = seen.iter().filter(|(name, _)| secrets.contains(name));
            let numbers: BTreeSet<u32> = of_store.map(|(_, value)| *value).collect();
            assert!(numbers.len() <= 1, "a mix of {numbers:?} of {store}");
        }
        let bad = seen.intersection(&self.quarantined).next();
        assert_eq!(bad, None, "it is quarantined");
        let refused = seen
            .iter()
            .find(|(_, value)| self.quality(*value) == Quality::Refused);
        assert_eq!(refused, None, "it failed its check");
    }

    fn retire(&mut self) {
        self.before = None;
        self.ill |= !self.is_well();
        let candidate = self.candidate.take().expect("it is in place");
        let known = |name: &SecretName| (name.clone(), self.known[name]);
        let before: Values = candidate.draft.new.iter().map(known).collect();
        self.ledger.adopt(&candidate.draft, &candidate.fetched);
        for name in &candidate.draft.new {
            self.wanted.remove(name);
            self.known.insert(name.clone(), candidate.fetched[name]);
        }
        let contents = std::mem::replace(&mut self.current, candidate.contents);
        self.former = Some(Former {
            contents,
            known: before,
        });
    }

    fn quarantine(&mut self) {
        self.before = None;
        let candidate = self.candidate.take().expect("it failed");
        let of = |values: &Values| -> Vec<(SecretName, u32)> {
            let new = candidate.draft.new.iter();
            new.map(|name| (name.clone(), values[name])).collect()
        };
        let bad = if candidate.by_hand {
            let bad = of(&self.known);
            self.ledger.quarantine(bad.clone());
            self.ledger.put_back(candidate.fetched.clone());
            self.known.extend(candidate.fetched.clone());
            self.current.clone_from(&candidate.contents);
            self.former = None;
            if let Some(lease) = candidate.fetched.get(&one("f")) {
                self.over.insert(self.stores[LEASED].value);
                self.stores[LEASED].value = *lease;
            }
            if candidate.fetched.contains_key(&one("e")) {
                self.pin = None;
            }
            bad
        } else {
            let bad = of(&candidate.fetched);
            self.ledger.quarantine(bad.clone());
            for name in &candidate.draft.new {
                self.wanted.remove(name);
            }
            if candidate.draft.new.contains(&one("f")) {
                self.over.insert(self.stores[LEASED].value);
                self.stores[LEASED].value = self.known[&one("f")];
            }
            if candidate.draft.new.contains(&one("e")) {
                self.pin = None;
            }
            let ledger = &self.ledger;
            let good = |former: &Former| !ledger.has_bad(&former.known);
            self.former = self.former.take().filter(good);
            bad
        };
        self.quarantined.extend(bad);
    }

    fn discard(&mut self) {
        self.before = None;
        let candidate = self.candidate.take().expect("it was on its way");
        if candidate.by_hand {
            self.former = Some(Former {
                contents: candidate.contents,
                known: candidate.fetched,
            });
        }
    }
}
