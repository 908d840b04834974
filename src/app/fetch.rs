//! Secrets from all stores at once: one request for each different source.

use std::collections::BTreeMap;
use std::ops::Index;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::gate::{Authorised, Made};
use crate::model::{
    Event, Generation, Observer, Outcome, Plan, SecretName, Source, StoreName, Version, chain,
};
use crate::secret::Value;
use crate::stores::{Fault, Fetched, Store, StoreError, join};

/// The stores of a plan, open.
pub struct Stores {
    open: BTreeMap<StoreName, Box<dyn Store>>,
    observer: Rc<dyn Observer>,
}

impl Stores {
    /// The observer sees each request to them.
    pub fn new(open: BTreeMap<StoreName, Box<dyn Store>>, observer: &Rc<dyn Observer>) -> Self {
        Self {
            open,
            observer: Rc::clone(observer),
        }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&StoreName, &dyn Store)> {
        self.open.iter().map(|(name, store)| (name, &**store))
    }

    /// Whether one of them has this name.
    pub fn has(&self, name: &StoreName) -> bool {
        self.open.contains_key(name)
    }

    /// The version that a fetch of this source would give.
    pub async fn version(&self, source: &Source) -> Result<Version, StoreError> {
        let asked = Instant::now();
        let version = self[&source.store].version(source).await;
        self.note(&source.store, asked, version.as_ref().err());
        version
    }

    /// When the versions that a fetch would give were made, as far as their stores say, which are asked for
    /// nothing else.
    pub async fn ask_made(&self, plan: &Plan) -> Made {
        let asking = sources(plan).into_iter().map(async |(source, names)| {
            let made = self[&source.store].ask_made(source).await;
            (names, made)
        });
        let answers = join::all(asking).await.into_iter();
        let known = answers.filter_map(|(names, made)| Some((names, made?)));
        known
            .flat_map(|(names, made)| names.into_iter().map(move |name| (name.clone(), made)))
            .collect()
    }

    /// When those that were fetched or looked at last were made, as far as that is known without asking.
    pub fn made<'s>(&self, plan: &Plan, secrets: impl IntoIterator<Item = &'s SecretName>) -> Made {
        let secrets = secrets.into_iter().filter_map(|name| {
            let source = &plan.secrets.get(name)?.source;
            let made = self.open.get(&source.store)?.made(source)?;
            Some((name.clone(), made))
        });
        secrets.collect()
    }

    /// A fetch from a store that does not report its requests is one.
    fn note(&self, store: &StoreName, asked: Instant, error: Option<&StoreError>) {
        if self[store].reports_requests() {
            return;
        }
        self.observer.observe(&Event::StoreAsked {
            store: store.clone(),
            took: asked.elapsed(),
            outcome: error.map_or(Outcome::Answered, StoreError::outcome),
        });
    }
}

impl Index<&StoreName> for Stores {
    type Output = dyn Store;

    fn index(&self, name: &StoreName) -> &Self::Output {
        &*self.open[name]
    }
}

/// One consistent set of values: what a generation is made of.
pub struct Round {
    /// By the manifest's names. Secrets with one source share one value.
    pub values: BTreeMap<SecretName, Rc<Value>>,
    /// What the stores call them.
    pub versions: BTreeMap<SecretName, Version>,
    /// How many requests it took.
    pub requests: usize,
}

/// Tells that the program has the versions of its first generation now.
pub fn delivered(versions: BTreeMap<SecretName, Version>, observer: &dyn Observer) {
    for (secret, version) in versions {
        observer.observe(&Event::Delivered {
            secret,
            version,
            generation: Generation::FIRST,
        });
    }
}

/// Every different source, with the secrets that it is for.
pub type Asked<'a> = BTreeMap<&'a Source, Vec<&'a SecretName>>;

/// Fetches what is authorised from all stores at once; gives what there is, and every fault.
pub async fn fetch(
    authorised: &Authorised<'_>,
    stores: &Stores,
    asked: &Asked<'_>,
) -> (Round, Vec<StoreError>) {
    fetch_by(authorised, stores, asked, async |name, sources| {
        stores[name].fetch_all(sources).await
    })
    .await
}

/// As [`fetch`], for a person who waits: a store that takes long is named, with what is wrong there.
pub async fn fetch_aloud(
    authorised: &Authorised<'_>,
    stores: &Stores,
    asked: &Asked<'_>,
    observer: &Rc<dyn Observer>,
) -> (Round, Vec<StoreError>) {
    fetch_by(authorised, stores, asked, async |name, sources| {
        let store = &stores[name];
        let mut fetching = store.fetch_all(sources);
        let (began, mut next) = (Instant::now(), FIRST_WORD);
        loop {
            if let Ok(answers) = timeout_at(began + next, &mut fetching).await {
                return answers;
            }
            if !store.waits_for_people() {
                observer.observe(&Event::Waiting {
                    store: name.clone(),
                    waited: next,
                    why: store.delayed_by(),
                });
            }
            next += BETWEEN_WORDS;
        }
    })
    .await
}

/// How long a store may take before anybody is told.
const FIRST_WORD: Duration = Duration::from_secs(3);
/// And between one word and the next.
const BETWEEN_WORDS: Duration = Duration::from_secs(15);

/// `ask` gives a store's answers, in the order of its sources.
async fn fetch_by(
    authorised: &Authorised<'_>,
    stores: &Stores,
    asked: &Asked<'_>,
    ask: impl AsyncFn(&StoreName, &[&Source]) -> Vec<Result<Fetched, StoreError>>,
) -> (Round, Vec<StoreError>) {
    let mut by_store: BTreeMap<&StoreName, Vec<&Source>> = BTreeMap::new();
    for source in asked.keys() {
        by_store.entry(&source.store).or_default().push(source);
    }
    let asking = by_store.iter().map(async |(store, sources)| {
        let asked = Instant::now();
        let answers = ask(store, sources).await;
        let error = answers.iter().find_map(|answer| answer.as_ref().err());
        stores.note(store, asked, error);
        answers
    });
    let answers = join::values(asking).await;
    let mut round = Round::new(asked.len());
    let mut faults = Vec::new();
    let answered = by_store
        .values()
        .flatten()
        .zip(answers.into_iter().flatten());
    for (source, answer) in answered {
        match answer {
            Ok(fetched) => round.take(&asked[*source], fetched),
            Err(fault) => faults.push(fault),
        }
    }
    round.trim(authorised.plan());
    authorised.note(&round.values);
    if authorised.reads_age() {
        authorised.note_made(stores.made(authorised.plan(), round.values.keys()));
    }
    (round, told_once(faults))
}

/// A store that is down fails for each of its secrets alike: one fault tells it for all of them.
/// Secrets that are missing are each named.
fn told_once(faults: Vec<StoreError>) -> Vec<StoreError> {
    let mut told: Vec<Told> = Vec::new();
    for mut fault in faults {
        let asked = fault.asked.take();
        let text = chain(&fault.at_any_time());
        fault.asked = asked;
        // A fault that names no secret is the whole store's.
        let named = matches!(fault.fault, Fault::Missing { .. }) && fault.asked.is_some();
        match told.iter_mut().find(|told| !named && told.text == text) {
            Some(told) => told.more += 1,
            None => told.push(Told {
                fault,
                text,
                more: 0,
            }),
        }
    }
    told.into_iter().map(Told::fault).collect()
}

struct Told {
    fault: StoreError,
    /// Its text without what was asked for.
    text: String,
    more: usize,
}

impl Told {
    fn fault(mut self) -> StoreError {
        if let (Some(asked), 1..) = (&mut self.fault.asked, self.more) {
            *asked = format!("{asked} and {} more", self.more);
        }
        self.fault
    }
}

/// All of the plan's sources.
pub fn sources(plan: &Plan) -> Asked<'_> {
    let secrets = plan.secrets.iter();
    by_source(secrets.map(|(name, secret)| (name, &secret.source)))
}

/// Secrets with one source are one request.
pub fn by_source<'a>(secrets: impl IntoIterator<Item = (&'a SecretName, &'a Source)>) -> Asked<'a> {
    let mut sources = Asked::new();
    for (name, source) in secrets {
        sources.entry(source).or_default().push(name);
    }
    sources
}

impl Round {
    /// Takes the line ends away that the manifest says are no part of its secrets.
    fn trim(&mut self, plan: &Plan) {
        for (name, value) in &mut self.values {
            if plan.secrets.get(name).is_some_and(|spec| spec.trim) {
                *value = Rc::new(value.trimmed());
            }
        }
    }

    const fn new(requests: usize) -> Self {
        Self {
            values: BTreeMap::new(),
            versions: BTreeMap::new(),
            requests,
        }
    }

    fn take(&mut self, names: &[&SecretName], fetched: Fetched) {
        let value = Rc::new(fetched.value);
        for name in names {
            self.values.insert((*name).clone(), Rc::clone(&value));
            self.versions
                .insert((*name).clone(), fetched.version.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(store: &str, asked: &str, reason: &str) -> StoreError {
        StoreError {
            store: StoreName::new(store).unwrap(),
            asked: Some(asked.to_owned()),
            fault: Fault::Denied {
                reason: reason.to_owned(),
            },
        }
    }

    #[test]
    fn a_store_that_is_down_is_told_once() {
        let faults = vec![
            fault("a", "x", "locked"),
            fault("a", "y", "locked"),
            fault("b", "x", "locked"),
            fault("a", "z", "other"),
            fault("a", "w", "locked"),
        ];
        let told: Vec<String> = told_once(faults).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "store a, x and 2 more: locked",
                "store b, x: locked",
                "store a, z: other",
            ]
        );
    }

    #[test]
    fn it_does_not_matter_how_long_each_secret_was_tried() {
        let fault = |asked: &str, millis| StoreError {
            store: StoreName::new("a").unwrap(),
            asked: Some(asked.to_owned()),
            fault: Fault::NoAnswer {
                address: "https://a".to_owned(),
                after: Duration::from_millis(millis),
                cause: "connection refused".to_owned(),
            },
        };
        let told: Vec<String> = told_once(vec![fault("x", 60_012), fault("y", 59_987)])
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            told,
            ["store a, x and 1 more: no answer from https://a: connection refused (tried for 1m)"]
        );
    }
}
