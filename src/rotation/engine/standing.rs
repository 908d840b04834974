//! The state of things, for who asks.

use std::time::Duration;

use super::Engine;
use super::effects::Effects;
use crate::model::SecretName;
use crate::model::control::{Next, Rotating, SecretStatus};
use crate::rotation::State;

impl<E: Effects> Engine<'_, E> {
    /// The generation, the rotation's state, every secret and what comes next: while nothing rotates,
    /// the watches' next upkeep.
    pub fn standing(&self) -> Rotating {
        let now = self.effects.now();
        let upkeep = self.effects.upkeep();
        Rotating {
            generation: self.generation,
            state: state(self.machine.state()),
            secrets: self
                .plan
                .secrets
                .keys()
                .map(|name| self.secret(name))
                .collect(),
            next: self.next(upkeep),
            restarts_left: self
                .reach
                .restarts()
                .then(|| self.machine.restarts_left(now)),
        }
    }

    fn secret(&self, name: &SecretName) -> SecretStatus {
        let source = &self.plan.secrets[name].source;
        let delivered = self.known.delivered(name);
        let now = self.effects.now();
        let quarantined = self.known.quarantined(name);
        SecretStatus {
            name: name.to_string(),
            store: source.store.to_string(),
            version: delivered
                .map(|delivered| delivered.version.0.clone())
                .unwrap_or_default(),
            age_seconds: delivered
                .map_or(0, |delivered| now.saturating_sub(delivered.since).as_secs()),
            lease_seconds: self.effects.good_for(source).map(|left| left.as_secs()),
            quarantined: quarantined.map(|version| version.0.clone()),
            pinned: self.pins.get(name).map(|pin| pin.version.clone()),
        }
    }

    /// What the timer that runs is for; else what is done next for what the program has.
    fn next(&self, upkeep: Option<(String, Duration)>) -> Option<Next> {
        let timer = |what: &str| Some((what.to_owned(), self.timer?));
        let (what, at) = match self.machine.state() {
            State::Settling => timer("ask the stores"),
            State::Retrying => timer("try again"),
            State::Exhausted => timer("restart the program, when the budget has room"),
            State::Steady => upkeep,
            _ => None,
        }?;
        Some(Next {
            what,
            in_seconds: at.saturating_sub(self.effects.now()).as_secs(),
        })
    }
}

const fn state(state: State) -> &'static str {
    match state {
        State::Steady => "steady",
        State::Settling => "settling",
        State::Fetching => "fetching",
        State::Retrying => "retrying",
        State::Exhausted => "restarts exhausted",
        State::Staging => "staging",
        State::Swapping => "swapping",
        State::Notifying => "notifying",
        State::Stopping | State::Expelling => "stopping",
        State::Starting => "starting",
        State::Verifying => "verifying",
        State::SwappingBack | State::NotifyingBack | State::StoppingBack | State::StartingBack => {
            "rolling back"
        }
        State::Over => "over",
    }
}
