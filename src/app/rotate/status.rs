//! The state of things, for who asks.

use tokio::time::Instant;

use super::Rotation;
use crate::model::SecretName;
use crate::model::control::{Next, SecretStatus, Status};
use crate::rotation::State;

impl Rotation<'_> {
    /// What rotation knows: the generation, its state, every secret and what comes next. The rest is
    /// told by events, for who serves the request to add.
    pub fn status(&self) -> Status {
        let now = self.began.elapsed();
        Status {
            generation: self.generation.0,
            state: state(self.machine.state()).to_owned(),
            secrets: self
                .plan
                .secrets
                .keys()
                .map(|name| self.secret(name))
                .collect(),
            next: self.next(),
            restarts_left: self
                .reach
                .restarts()
                .then(|| self.machine.restarts_left(now)),
            ..Status::default()
        }
    }

    fn secret(&self, name: &SecretName) -> SecretStatus {
        let source = &self.plan.secrets[name].source;
        let handed = self.known.handed(name);
        let quarantined = self.known.quarantined(name);
        SecretStatus {
            name: name.to_string(),
            store: source.store.to_string(),
            version: handed
                .map(|handed| handed.version.0.clone())
                .unwrap_or_default(),
            age_seconds: handed.map_or(0, |handed| handed.since.elapsed().as_secs()),
            lease_seconds: self.stores[&source.store]
                .leases()
                .and_then(|leases| leases.good_for(source))
                .map(|left| left.as_secs()),
            quarantined: quarantined.map(|version| version.0.clone()),
            pinned: self.pins.get(name).map(|pin| pin.version.clone()),
        }
    }

    /// What the timer that runs is for; else what is done next for what the program has.
    fn next(&self) -> Option<Next> {
        let timer = |what: &str| Some((what.to_owned(), self.timer?));
        let (what, at) = match self.machine.state() {
            State::Settling => timer("ask the stores"),
            State::Retrying => timer("try again"),
            State::Exhausted => timer("restart the program, when the budget has room"),
            State::Steady => self.due.clone(),
            _ => None,
        }?;
        Some(Next {
            what,
            in_seconds: at.saturating_duration_since(Instant::now()).as_secs(),
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
        State::Stopping => "stopping",
        State::Starting => "starting",
        State::Verifying => "verifying",
        State::SwappingBack | State::NotifyingBack | State::StoppingBack | State::StartingBack => {
            "rolling back"
        }
        State::Over => "over",
    }
}
