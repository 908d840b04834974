//! Sources of change, all at once: what the stores tell, and polling where they do not.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::fetch::{Stores, sources};
use crate::model::{Event, Observer, Plan, Refresh, Source, StoreName};
use crate::stores::{StoreError, Watch};

/// How long a watch that broke is left alone before it is set up again.
const REPAIR: Duration = Duration::from_secs(5);

/// Tells when a source may have a new version.
pub struct Changes {
    watched: Vec<Watched>,
    periods: Vec<Period>,
    observer: Rc<dyn Observer>,
}

/// A store's sources, and its watch or when that is to be set up again.
struct Watched {
    store: StoreName,
    sources: Vec<Source>,
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
        let mut watched = Vec::new();
        for (store, sources) in watchable(plan) {
            if let Some(watch) = stores[&store].watch(&sources)? {
                watched.push(Watched {
                    store,
                    sources,
                    watch: Ok(watch),
                });
            }
        }
        Ok(Self {
            watched,
            periods: periods(plan),
            observer,
        })
    }

    /// Sees nothing: for launches that no new generation could reach, as pipes and memfds are read
    /// once.
    pub fn none(observer: Rc<dyn Observer>) -> Self {
        Self {
            watched: Vec::new(),
            periods: Vec::new(),
            observer,
        }
    }

    /// Ends when something may have changed.
    pub async fn next(&mut self, stores: &Stores) {
        loop {
            let alarm = self.alarm();
            let seen = tokio::select! {
                (index, result) = first(&mut self.watched) => Seen::Store(index, result),
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => Seen::Alarm,
                else => std::future::pending().await,
            };
            let due = match seen {
                Seen::Store(_, Ok(())) => true,
                Seen::Store(index, Err(fault)) => {
                    self.fault(index, &fault);
                    false
                }
                Seen::Alarm => self.ring(stores),
            };
            if due {
                return;
            }
        }
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
        self.observer.observe(&Event::StoreRecovered {
            store: watched.store.clone(),
        });
        true
    }

    /// A watch broke: said once, not at every try to mend it.
    fn fault(&mut self, index: usize, fault: &StoreError) {
        let watched = &mut self.watched[index];
        watched.watch = Err(Instant::now() + REPAIR);
        self.observer.observe(&Event::StoreFault {
            store: watched.store.clone(),
            message: super::failure::chain(fault),
        });
    }
}

/// What ended a wait.
enum Seen {
    Store(usize, Result<(), StoreError>),
    Alarm,
}

/// Every store's sources that may change under a watch.
fn watchable(plan: &Plan) -> BTreeMap<StoreName, Vec<Source>> {
    let mut stores: BTreeMap<StoreName, Vec<Source>> = BTreeMap::new();
    for (source, names) in sources(plan) {
        let never = names
            .iter()
            .all(|name| plan.secrets[*name].refresh == Refresh::Never);
        if !never {
            stores
                .entry(source.store.clone())
                .or_default()
                .push(source.clone());
        }
    }
    stores
}

/// Every different period of the plan.
fn periods(plan: &Plan) -> Vec<Period> {
    let mut lengths: Vec<Duration> = plan
        .secrets
        .values()
        .filter_map(|secret| match secret.refresh {
            Refresh::Every(period) => Some(period),
            Refresh::Store | Refresh::Never => None,
        })
        .collect();
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
async fn first(watched: &mut [Watched]) -> (usize, Result<(), StoreError>) {
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
