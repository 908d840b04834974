//! A site's policy at work: what it rules, and what follows from that.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::query::{Effect, Principal, Query, Resource, Ruling, Time};
use crate::model::{Decision, Denial, Event, Observer, Policy, PolicyMode, PolicySpec, Verdict};

/// Who rules, and how strictly.
pub struct Rules {
    policy: Box<dyn Policy>,
    spec: PolicySpec,
    observer: Rc<dyn Observer>,
}

impl Rules {
    /// By this policy, as the site says.
    pub fn new(
        policy: impl Policy + 'static,
        spec: PolicySpec,
        observer: &Rc<dyn Observer>,
    ) -> Self {
        Self {
            policy: Box::new(policy),
            spec,
            observer: Rc::clone(observer),
        }
    }

    /// Decides on all of these; one that is refused refuses all, and names them all.
    pub fn judge(&self, queries: Vec<Query>) -> Result<Vec<Decision>, Denial> {
        let rulings = self.policy.rule(&queries);
        let decisions = queries.into_iter().zip(rulings).map(|(query, ruling)| {
            let verdict = self.verdict(&ruling);
            Decision {
                query,
                ruling,
                verdict,
            }
        });
        let decisions: Vec<Decision> = decisions.collect();
        decisions.iter().for_each(|decision| self.observe(decision));
        let asked = decisions.len();
        let (granted, refused): (Vec<_>, Vec<_>) = decisions
            .into_iter()
            .partition(|decision| decision.verdict.is_granted());
        if refused.is_empty() {
            return Ok(granted);
        }
        Err(Denial {
            refused,
            asked,
            directory: self.spec.directory.clone(),
            notes: Vec::new(),
        })
    }

    fn verdict(&self, ruling: &Ruling) -> Verdict {
        match (ruling.effect, self.spec.mode) {
            (Effect::Allow, _) => Verdict::Allowed,
            (Effect::Deny | Effect::Pending, PolicyMode::Observe) => Verdict::Observed,
            (Effect::Deny | Effect::Pending, PolicyMode::Enforce) => Verdict::Denied,
        }
    }

    fn observe(&self, decision: &Decision) {
        let Decision {
            query,
            ruling,
            verdict,
        } = decision;
        self.observer.observe(&Event::PolicyDecided {
            action: query.action,
            resource: match &query.resource {
                Resource::Secret(secret) => secret.name.clone(),
                Resource::Service(service) => service.name.clone(),
            },
            principal: match &query.principal {
                Principal::Service(service) => service.name.clone(),
                Principal::Person(person) => person.name.clone(),
            },
            effect: ruling.effect,
            verdict: *verdict,
            policies: ruling.policies.clone(),
        });
    }
}

/// The host's clock.
pub fn now() -> Time {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    Time {
        unix: unix.map_or(0, |since| since.as_secs() as i64),
        ..Time::default()
    }
}
