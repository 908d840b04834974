//! Sources of change, all at once: what the stores tell, and polling where they do not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::fetch::{Stores, sources};
use crate::model::{Plan, Refresh, SecretName, StoreName, random};
use crate::stores::{StoreError, Upkeep, Watch, WatchEvent, Watched};

/// How long a watch that broke is left alone before it is set up again.
const REPAIR: Duration = Duration::from_secs(5);

/// Tells when a source may have a new version.
pub struct Changes {
    watched: Vec<Looking>,
    periods: Vec<Period>,
    noticed: VecDeque<Noticed>,
}

/// What there is to tell.
pub enum Noticed {
    /// These secrets may have new versions.
    Changed(BTreeSet<SecretName>),
    /// A store cannot be watched, or does not answer: all that is wrong with it, told again with
    /// each change.
    Down(Vec<StoreError>),
    /// It can, and does.
    Up(StoreName),
    /// A store cannot be watched and is polled: a warning.
    Unwatched(String),
}

/// A store's sources, and its watch or when that is to be set up again.
struct Looking {
    store: StoreName,
    sources: Vec<Watched>,
    /// What the manifest calls each of the sources.
    secrets: Vec<Vec<SecretName>>,
    watch: Result<Box<dyn Watch>, Instant>,
    /// Why it broke, where it is set up again at once and that may do.
    broke: Option<StoreError>,
    /// When it was set up last.
    since: Instant,
}

/// A `refresh:` period, the secrets that are fetched at it, and when it is due.
struct Period {
    every: Duration,
    secrets: BTreeSet<SecretName>,
    due: Instant,
}

impl Changes {
    /// Starts to look, before the first fetch, so that no change falls between the two. `refresh` says
    /// how often a secret is looked at: never, where no change of it could reach the program. What the
    /// program has is kept alive all the same. `reads`: values may be read to look for changes, as nobody
    /// decides on that.
    pub fn start(
        plan: &Plan,
        stores: &Stores,
        refresh: impl Fn(&SecretName) -> Refresh,
        reads: bool,
    ) -> Result<Self, StoreError> {
        let mut watched = Vec::new();
        let mut fetched: BTreeMap<Duration, BTreeSet<SecretName>> = BTreeMap::new();
        for (store, (sources, secrets)) in by_store(plan, refresh, reads) {
            let watch = stores[&store].watch(&sources)?;
            if !watch.as_ref().is_some_and(|watch| watch.polls()) {
                for (source, secrets) in sources.iter().zip(&secrets) {
                    if let Refresh::Every(period) = source.refresh {
                        fetched
                            .entry(period)
                            .or_default()
                            .extend(secrets.iter().cloned());
                    }
                }
            }
            if let Some(watch) = watch {
                watched.push(Looking {
                    store,
                    sources,
                    secrets,
                    watch: Ok(watch),
                    broke: None,
                    since: Instant::now(),
                });
            }
        }
        Ok(Self {
            watched,
            periods: first_due(fetched),
            noticed: VecDeque::new(),
        })
    }

    /// Ends when there is something to tell.
    pub async fn next(&mut self, stores: &Stores) -> Noticed {
        loop {
            if let Some(noticed) = self.noticed.pop_front() {
                return noticed;
            }
            let alarm = self.alarm();
            let woken = tokio::select! {
                (index, seen) = first(&mut self.watched) => Woken::Store(index, seen),
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => Woken::Alarm,
                else => std::future::pending().await,
            };
            match woken {
                Woken::Store(index, seen) => self.seen(index, seen),
                Woken::Alarm => self.ring(stores),
            }
        }
    }

    fn seen(&mut self, index: usize, seen: Result<WatchEvent, StoreError>) {
        let looking = &mut self.watched[index];
        let now = Instant::now();
        self.noticed.push_back(match seen {
            Ok(WatchEvent::Changed(places)) => Noticed::Changed(looking.at(&places)),
            Ok(WatchEvent::Down(faults)) => Noticed::Down(faults),
            Ok(WatchEvent::Up) => Noticed::Up(looking.store.clone()),
            Ok(WatchEvent::Unwatched(warning)) => Noticed::Unwatched(warning),
            Err(fault) if now - looking.since >= REPAIR => {
                // It may do without what it lacks.
                looking.watch = Err(now);
                looking.broke = Some(fault);
                return;
            }
            Err(fault) => {
                looking.watch = Err(now + REPAIR);
                Noticed::Down(vec![fault])
            }
        });
    }

    /// What is done next, as far as that is known, and when.
    pub fn due(&self) -> Option<(String, Instant)> {
        let asked = self.asked().map(|at| ("ask the stores".to_owned(), at));
        let watched = self.watched.iter().filter_map(Looking::due);
        watched.chain(asked).min_by_key(|(_, at)| *at)
    }

    /// When all stores are asked next.
    fn asked(&self) -> Option<Instant> {
        self.periods.iter().map(|period| period.due).min()
    }

    /// The next time at which something is to be done.
    fn alarm(&self) -> Option<Instant> {
        let repairs = self
            .watched
            .iter()
            .filter_map(|watched| watched.watch.as_ref().err().copied());
        self.asked().into_iter().chain(repairs).min()
    }

    /// Does what is due.
    fn ring(&mut self, stores: &Stores) {
        let now = Instant::now();
        let mut due = BTreeSet::new();
        for period in self.periods.iter_mut().filter(|period| period.due <= now) {
            period.due = now + jittered(period.every);
            due.extend(period.secrets.iter().cloned());
        }
        for index in 0..self.watched.len() {
            let watch = &self.watched[index].watch;
            if watch.as_ref().is_err_and(|at| *at <= now) && self.repair(index, stores) {
                due.extend(self.watched[index].all());
            }
        }
        if !due.is_empty() {
            self.noticed.push_back(Noticed::Changed(due));
        }
    }

    /// Sets a broken watch up again; what changed meanwhile was not seen, so the stores are asked.
    fn repair(&mut self, index: usize, stores: &Stores) -> bool {
        let looking = &mut self.watched[index];
        let broke = looking.broke.take();
        let Ok(Some(watch)) = stores[&looking.store].watch(&looking.sources) else {
            looking.watch = Err(Instant::now() + REPAIR);
            let down = broke.map(|fault| Noticed::Down(vec![fault]));
            self.noticed.extend(down);
            return false;
        };
        looking.watch = Ok(watch);
        looking.since = Instant::now();
        if broke.is_none() {
            self.noticed.push_back(Noticed::Up(looking.store.clone()));
        }
        true
    }
}

fn joined(secrets: &[SecretName]) -> String {
    let secrets: Vec<&str> = secrets.iter().map(SecretName::as_str).collect();
    secrets.join(", ")
}

impl Looking {
    /// The secrets of these sources.
    fn at(&self, places: &[usize]) -> BTreeSet<SecretName> {
        let places = places.iter().filter_map(|place| self.secrets.get(*place));
        places.flatten().cloned().collect()
    }

    fn all(&self) -> BTreeSet<SecretName> {
        self.secrets.iter().flatten().cloned().collect()
    }

    fn due(&self) -> Option<(String, Instant)> {
        let watch = match &self.watch {
            Ok(watch) => watch,
            Err(at) => return Some((format!("watch store {} again", self.store), *at)),
        };
        let due = watch.due()?;
        let named = due.source.and_then(|place| self.secrets.get(place));
        let name = named.map_or_else(|| self.store.to_string(), |secrets| joined(secrets));
        let what = match due.what {
            Upkeep::Look => format!("look at {name}"),
            Upkeep::Renew => format!("renew {name}"),
            Upkeep::Replace => format!("replace {name}"),
            Upkeep::Login => format!("renew the login to {}", self.store),
        };
        Some((what, Instant::now().checked_add(due.within)?))
    }
}

/// What ended a wait.
enum Woken {
    Store(usize, Result<WatchEvent, StoreError>),
    Alarm,
}

/// Every store's sources, each with how often it is looked at: as often as the most impatient of its
/// secrets asks for; and what the manifest calls it.
fn by_store(
    plan: &Plan,
    refresh: impl Fn(&SecretName) -> Refresh,
    reads: bool,
) -> BTreeMap<StoreName, (Vec<Watched>, Vec<Vec<SecretName>>)> {
    let mut stores: BTreeMap<StoreName, (Vec<Watched>, Vec<Vec<SecretName>>)> = BTreeMap::new();
    for (source, secrets) in sources(plan) {
        let names = secrets.iter().map(|name| (*name).clone()).collect();
        let refresh = secrets.into_iter().map(&refresh).reduce(sooner);
        let (watched, named) = stores.entry(source.store.clone()).or_default();
        watched.push(Watched {
            source: source.clone(),
            refresh: refresh.unwrap_or_default(),
            reads,
        });
        named.push(names);
    }
    stores
}

fn sooner(one: Refresh, other: Refresh) -> Refresh {
    match (one, other) {
        (Refresh::Every(one), Refresh::Every(other)) => Refresh::Every(one.min(other)),
        (every @ Refresh::Every(_), _) | (_, every @ Refresh::Every(_)) => every,
        (Refresh::Store, _) | (_, Refresh::Store) => Refresh::Store,
        (Refresh::Never, Refresh::Never) => Refresh::Never,
    }
}

/// When each period is due first.
fn first_due(lengths: BTreeMap<Duration, BTreeSet<SecretName>>) -> Vec<Period> {
    let first = lengths.into_iter().map(|(every, secrets)| Period {
        every,
        secrets,
        due: Instant::now() + jittered(every),
    });
    first.collect()
}

/// Ends with the first watch that has something to tell.
async fn first(watched: &mut [Looking]) -> (usize, Result<WatchEvent, StoreError>) {
    let mut futures: Vec<_> = watched
        .iter_mut()
        .enumerate()
        .filter_map(|(index, watched)| Some((index, watched.watch.as_mut().ok()?.changed())))
        .collect();
    poll_fn(|context| {
        for (index, future) in &mut futures {
            if let Poll::Ready(result) = future.as_mut().poll(context) {
                return Poll::Ready((*index, result));
            }
        }
        Poll::Pending
    })
    .await
}

/// Up to a tenth shorter, so that a fleet's polls spread, and never later than asked for.
fn jittered(period: Duration) -> Duration {
    let thousandths = 900 + (random() % 101) as u32;
    period / 1_000 * thousandths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_never_makes_a_poll_late() {
        let period = Duration::from_secs(30);
        for _ in 0..1_000 {
            let drawn = jittered(period);
            assert!(drawn <= period && drawn >= period.mul_f64(0.9), "{drawn:?}");
        }
    }
}
