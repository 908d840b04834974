//! The state of things, for who asks.

use std::time::SystemTime;

use tokio::time::Instant;

use super::Rotation;
use crate::model::SecretName;
use crate::model::control::{Moment, Next, Outage, SecretStatus, Status};
use crate::rotation::State;

/// The last moments that matter, in words.
#[derive(Default)]
pub struct Moments {
    /// The last rotation that worked.
    pub rotation: Option<Moment>,
    /// The last fault; its end does not take it away.
    pub fault: Option<Moment>,
    /// Nothing failed since the last rotation that worked.
    pub well: bool,
}

impl Moments {
    /// Something failed.
    pub fn failed(&mut self, message: String) {
        self.fault = Some(now(message));
        self.well = false;
    }

    /// A rotation worked.
    pub fn worked(&mut self, message: String) {
        self.rotation = Some(now(message));
        self.well = true;
    }
}

fn now(message: String) -> Moment {
    Moment {
        at: rfc3339(SystemTime::now()),
        message,
    }
}

/// As everywhere: UTC, whole seconds.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

impl Rotation<'_> {
    /// What rotation knows: the generation, its state, every secret, what comes next, and what was.
    /// The fields of the launch (version, service, process ids) are for who serves the request.
    pub fn status(&self) -> Status {
        Status {
            program_pid: self.handle.pid().filter(|_| self.handle.is_alive()),
            generation: self.generation.0,
            state: state(self.machine.state()).to_owned(),
            healthy: self.moments.well && self.down.is_empty(),
            secrets: self
                .plan
                .secrets
                .keys()
                .map(|name| self.secret(name))
                .collect(),
            last_rotation: self.moments.rotation.clone(),
            last_fault: self.moments.fault.clone(),
            outages: self.outages(),
            next: self.next(),
            ..Status::default()
        }
    }

    fn secret(&self, name: &SecretName) -> SecretStatus {
        let source = &self.plan.secrets[name].source;
        let known = self.known.secrets.get(name);
        SecretStatus {
            name: name.to_string(),
            store: source.store.to_string(),
            version: known
                .map(|known| known.version.0.clone())
                .unwrap_or_default(),
            age_seconds: known.map_or(0, |known| known.since.elapsed().as_secs()),
            lease_seconds: self.stores[&source.store]
                .good_for(source)
                .map(|left| left.as_secs()),
            quarantined: None,
            pinned: None,
        }
    }

    fn outages(&self) -> Vec<Outage> {
        let outages = self.down.iter();
        outages
            .map(|((store, ..), (since, message))| Outage {
                store: store.to_string(),
                since: rfc3339(*since),
                message: message.clone(),
            })
            .collect()
    }

    /// What the timer that runs is for.
    fn next(&self) -> Option<Next> {
        let what = match self.machine.state() {
            State::Settling => "ask the stores",
            State::Retrying => "try again",
            _ => return None,
        };
        let at = self.timer?;
        Some(Next {
            what: what.to_owned(),
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
        State::Staging => "staging",
        State::Swapping => "swapping",
        State::Notifying | State::NotifyingBack => "notifying",
        State::Verifying => "verifying",
        State::SwappingBack => "rolling back",
    }
}
