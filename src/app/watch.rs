//! Sources of change, all at once: what the stores tell, and polling where they do not.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::fetch::{Stores, sources};
use crate::model::{Event, Observer, Plan, Refresh, SecretName, StoreName};
use crate::stores::{Seen, StoreError, Watch, Watched};

/// How long a watch that broke is left alone before it is set up again.
const REPAIR: Duration = Duration::from_secs(5);

/// Tells when a source may have a new version.
pub struct Changes {
    watched: Vec<Looking>,
    periods: Vec<Period>,
    observer: Rc<dyn Observer>,
}

/// A store's sources, and its watch or when that is to be set up again.
struct Looking {
    store: StoreName,
    sources: Vec<Watched>,
    watch: Result<Box<dyn Watch>, Instant>,
}

/// A `refresh:` period and when it is due.
struct Period {
    every: Duration,
    due: Instant,
}

impl Changes {
    /// Starts to look, before the first fetch, so that no change falls between the two.
    pub fn start(
        plan: &Plan,
        stores: &Stores,
        observer: Rc<dyn Observer>,
    ) -> Result<Self, StoreError> {
        Self::with(plan, stores, observer, |name| plan.secrets[name].refresh)
    }

    /// Sees no change: for launches that no new generation could reach, as pipes and memfds are read
    /// once. What the program has is kept alive all the same.
    pub fn none(
        plan: &Plan,
        stores: &Stores,
        observer: Rc<dyn Observer>,
    ) -> Result<Self, StoreError> {
        Self::with(plan, stores, observer, |_| Refresh::Never)
    }

    fn with(
        plan: &Plan,
        stores: &Stores,
        observer: Rc<dyn Observer>,
        refresh: impl Fn(&SecretName) -> Refresh,
    ) -> Result<Self, StoreError> {
        let mut watched = Vec::new();
        let mut fetched: Vec<Duration> = Vec::new();
        for (store, sources) in by_store(plan, refresh) {
            let periods = periods(&sources);
            let watch = stores[&store].watch(&sources)?;
            if !watch.as_ref().is_some_and(|watch| watch.polls()) {
                fetched.extend(periods);
            }
            if let Some(watch) = watch {
                watched.push(Looking {
                    store,
                    sources,
                    watch: Ok(watch),
                });
            }
        }
        Ok(Self {
            watched,
            periods: first_due(fetched),
            observer,
        })
    }

    /// Ends when something may have changed.
    pub async fn next(&mut self, stores: &Stores) {
        loop {
            let alarm = self.alarm();
            let seen = tokio::select! {
                (index, seen) = first(&mut self.watched) => Woken::Store(index, seen),
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => Woken::Alarm,
                else => std::future::pending().await,
            };
            let due = match seen {
                Woken::Store(index, seen) => self.seen(index, seen),
                Woken::Alarm => self.ring(stores),
            };
            if due {
                return;
            }
        }
    }

    /// True when the stores are to be asked.
    fn seen(&mut self, index: usize, seen: Result<Seen, StoreError>) -> bool {
        match seen {
            Ok(Seen::Changed) => return true,
            Ok(Seen::Down(fault)) => self.down(index, &fault),
            Ok(Seen::Up) => self.up(index),
            Err(fault) => {
                self.watched[index].watch = Err(Instant::now() + REPAIR);
                self.down(index, &fault);
            }
        }
        false
    }

    /// The next time at which something is to be done.
    fn alarm(&self) -> Option<Instant> {
        let repairs = self
            .watched
            .iter()
            .filter_map(|watched| watched.watch.as_ref().err().copied());
        self.periods
            .iter()
            .map(|period| period.due)
            .chain(repairs)
            .min()
    }

    /// Does what is due; true when the stores are to be asked.
    fn ring(&mut self, stores: &Stores) -> bool {
        let now = Instant::now();
        let mut due = false;
        for period in self.periods.iter_mut().filter(|period| period.due <= now) {
            period.due = now + jittered(period.every);
            due = true;
        }
        for index in 0..self.watched.len() {
            if self.watched[index]
                .watch
                .as_ref()
                .is_err_and(|at| *at <= now)
            {
                due |= self.repair(index, stores);
            }
        }
        due
    }

    /// Sets a broken watch up again; what changed meanwhile was not seen, so the stores are asked.
    fn repair(&mut self, index: usize, stores: &Stores) -> bool {
        let watched = &mut self.watched[index];
        let Ok(Some(watch)) = stores[&watched.store].watch(&watched.sources) else {
            watched.watch = Err(Instant::now() + REPAIR);
            return false;
        };
        watched.watch = Ok(watch);
        self.up(index);
        true
    }

    /// Said once, not at every try.
    fn down(&self, index: usize, fault: &StoreError) {
        self.observer.observe(&Event::StoreFault {
            store: self.watched[index].store.clone(),
            message: super::failure::chain(fault),
        });
    }

    fn up(&self, index: usize) {
        self.observer.observe(&Event::StoreRecovered {
            store: self.watched[index].store.clone(),
        });
    }
}

/// What ended a wait.
enum Woken {
    Store(usize, Result<Seen, StoreError>),
    Alarm,
}

/// Every store's sources, each with how often it is looked at: as often as the most impatient of its
/// secrets asks for.
fn by_store(
    plan: &Plan,
    refresh: impl Fn(&SecretName) -> Refresh,
) -> BTreeMap<StoreName, Vec<Watched>> {
    let mut stores: BTreeMap<StoreName, Vec<Watched>> = BTreeMap::new();
    for (source, names) in sources(plan) {
        let refresh = names.into_iter().map(&refresh).reduce(sooner);
        stores
            .entry(source.store.clone())
            .or_default()
            .push(Watched {
                source: source.clone(),
                refresh: refresh.unwrap_or_default(),
            });
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

/// Every period of these sources.
fn periods(sources: &[Watched]) -> Vec<Duration> {
    let period = |source: &Watched| match source.refresh {
        Refresh::Every(period) => Some(period),
        Refresh::Store | Refresh::Never => None,
    };
    sources.iter().filter_map(period).collect()
}

/// Every different period, and when it is due first.
fn first_due(mut lengths: Vec<Duration>) -> Vec<Period> {
    lengths.sort_unstable();
    lengths.dedup();
    lengths
        .into_iter()
        .map(|every| Period {
            every,
            due: Instant::now() + jittered(every),
        })
        .collect()
}

/// Ends with the first watch that has something to tell.
async fn first(watched: &mut [Looking]) -> (usize, Result<Seen, StoreError>) {
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

/// A draw from all of `u64`. Jitter needs no better source than the hasher's seed.
pub fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
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
