//! What policy is asked about a plan: one question for each secret.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use crate::model::query::{
    Action, Context, Facts, Justification, Person, Principal, Query, Resource, Secret, Service,
    Time,
};
use crate::model::{IsolationUsed, Plan, Reason, SecretName, SecretSpec};
use crate::sys::clock;

/// What is the same for each question of a release.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What was found out about the launch.
    pub facts: &'a Facts,
    /// Where files go; `None`: there are none.
    pub isolation: Option<IsolationUsed>,
    /// When versions were made, as far as that is known.
    pub made: &'a Made,
    /// Now.
    pub time: Time,
}

/// Deliveries that have a place in the file system.
const IN_FILES: [&str; 3] = ["file", "fifo", "credentials"];

/// When the versions of secrets were made.
pub type Made = BTreeMap<SecretName, SystemTime>;

impl Asking<'_> {
    /// May the service have these secrets?
    pub fn deliver(&self, secrets: &BTreeSet<SecretName>, why: Reason) -> Vec<Query> {
        let kinds = kinds(self.plan);
        let asked = secrets.iter().map(|name| {
            let deliveries = kinds.get(name).cloned().unwrap_or_default();
            let mut context = self.context(why.word(), self.facts.clone());
            // It is of files: a descriptor beside a private file is not private by it.
            if !deliveries.iter().any(|kind| IN_FILES.contains(&&**kind)) {
                context.isolation = String::new();
            }
            Query {
                principal: Principal::Service(self.service()),
                action: Action::Deliver,
                resource: self.secret(name),
                context: Context {
                    deliveries,
                    ..context
                },
            }
        });
        asked.collect()
    }

    /// May a person do this with these secrets of the running service (none: with the service)?
    pub fn command(
        &self,
        (person, action): (&Person, Action),
        secrets: &BTreeSet<SecretName>,
        said: &Justification,
    ) -> Vec<Query> {
        // The launch's reason is not the command's.
        let mut facts = Facts {
            reason: String::new(),
            break_glass: false,
            ..self.facts.clone()
        };
        said.apply(&mut facts);
        let query = |resource| Query {
            principal: Principal::Person(person.clone()),
            action,
            resource,
            context: self.context(action.word(), facts.clone()),
        };
        if secrets.is_empty() {
            return vec![query(Resource::Service(self.service()))];
        }
        let resources = secrets.iter().map(|name| self.secret(name));
        resources.map(query).collect()
    }

    fn context(&self, occasion: &str, mut facts: Facts) -> Context {
        let isolation = self.isolation.map(IsolationUsed::word).unwrap_or_default();
        isolation.clone_into(&mut facts.shown.isolation);
        Context {
            deliveries: Vec::new(),
            isolation: isolation.to_owned(),
            mode: self.plan.mode.word().to_owned(),
            occasion: occasion.to_owned(),
            facts,
            time: self.time,
        }
    }

    /// As manifest and site describe it.
    pub fn service(&self) -> Service {
        Service {
            name: self.plan.service.clone(),
            owner: self.plan.owner.clone().unwrap_or_default(),
            environment: self.facts.environment.clone(),
            labels: self.plan.labels.clone(),
        }
    }

    fn secret(&self, name: &SecretName) -> Resource {
        let spec = &self.plan.secrets[name];
        let store = &spec.source.store;
        Resource::Secret(Box::new(Secret {
            name: name.to_string(),
            store: store.to_string(),
            store_type: self.plan.stores[store].kind.name().to_owned(),
            path: spec.source.asked().to_owned(),
            age: self.made.get(name).map_or(0, |made| age(*made, self.time)),
            ..described(Some(self.plan), Some(spec), self.facts)
        }))
    }
}

/// A secret as its manifest describes it, as far as there is one and it does.
pub fn described(plan: Option<&Plan>, spec: Option<&SecretSpec>, facts: &Facts) -> Secret {
    let owner = spec.and_then(|spec| spec.owner.as_ref());
    let owner = owner.or_else(|| plan?.owner.as_ref());
    let classification = spec.and_then(|spec| spec.classification.as_ref());
    let environment = spec.and_then(|spec| spec.environment.as_ref());
    Secret {
        classification: classification.cloned().unwrap_or_default(),
        owner: owner.cloned().unwrap_or_default(),
        environment: environment.unwrap_or(&facts.environment).clone(),
        labels: spec.map(|spec| spec.labels.clone()).unwrap_or_default(),
        ..Secret::default()
    }
}

/// The same questions, as they are now, of versions that were made then. Of others the age is not known.
pub fn as_of_now(mut queries: Vec<Query>, made: Option<&Made>) -> Vec<Query> {
    let time = now();
    for query in &mut queries {
        query.context.time = time;
        if let (Some(made), Resource::Secret(secret)) = (made, &mut query.resource) {
            let known = made.iter().find(|(name, _)| name.as_str() == secret.name);
            secret.age = known.map_or(0, |(_, made)| age(*made, time));
        }
    }
    queries
}

/// Clocks of stores may be ahead of this host's by so many seconds.
const AHEAD: i64 = 300;

/// In seconds; at least 1, as 0 is not known. What will be made in the future is older than anything: one of
/// the clocks is wrong, or somebody has set the time of a file.
fn age(made: SystemTime, time: Time) -> i64 {
    let since = made.duration_since(SystemTime::UNIX_EPOCH);
    let made = since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    });
    match time.unix.saturating_sub(made) {
        age if age < -AHEAD => i64::MAX,
        age => age.max(1),
    }
}

/// The host's clock.
pub fn now() -> Time {
    let local = clock::local();
    Time {
        hour: local.hour,
        weekday: local.weekday,
        unix: local.unix,
    }
}

/// How each secret is delivered, each kind once. A secret in arguments or the environment is no
/// delivery.
fn kinds(plan: &Plan) -> BTreeMap<SecretName, Vec<String>> {
    let mut kinds: BTreeMap<SecretName, BTreeSet<&str>> = BTreeMap::new();
    for delivery in &plan.deliveries {
        for secret in delivery.channel.secrets() {
            kinds
                .entry(secret)
                .or_default()
                .insert(delivery.kind.word());
        }
    }
    let words = |kinds: BTreeSet<&str>| kinds.into_iter().map(str::to_owned).collect();
    kinds
        .into_iter()
        .map(|(name, kinds)| (name, words(kinds)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_made_in_the_future_is_older_than_anything() {
        let time = Time {
            unix: 1_000_000,
            ..Time::default()
        };
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (made, known) in [
            (999_990, 10),
            (1_000_000, 1),
            // The store's clock is a little ahead.
            (1_000_300, 1),
            (1_000_301, i64::MAX),
            (4_000_000_000, i64::MAX),
            (0, 1_000_000),
        ] {
            assert_eq!(age(at(made), time), known, "{made}");
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(age(before, time), 1_000_000);
        // This host's clock was put back.
        assert_eq!(age(at(1_000_000), Time::default()), i64::MAX);
    }
}
