//! What watches do while the program runs: each task at its time, a failed one again after a while, and
//! what there is to report. Stores that are looked at by their versions need no more than [`versions`].
//!
//! The work is owned here: whoever waits for it may stop waiting at any time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::error::StoreError;
use super::traits::{Due, Local, Upkeep, Watch, WatchEvent, Watched};
use crate::model::{Backoff, Refresh, Source, Version, random};
use crate::sys::clock::Boottime;
use crate::sys::memory;

/// How often versions are looked at where the manifest does not say.
pub const LOOK: Duration = Duration::from_mins(1);

/// Never asleep for longer, as the clocks may jump.
const NAP: Duration = Duration::from_mins(1);

/// Waits between tries while the store does not answer.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// How a task went.
pub(super) enum Done {
    /// There is nothing to report.
    Well,
    /// These sources may have new versions.
    Changed(Vec<usize>),
    /// The store cannot be asked.
    Down(StoreError),
}

/// Tasks, one at a time of each.
pub(super) struct Poller<T> {
    running: Vec<(T, Local<'static, Done>)>,
    /// Tasks that failed: they are retried.
    failing: BTreeMap<T, Hold>,
    events: VecDeque<WatchEvent>,
    /// The errors that were reported last, in words.
    reported: BTreeSet<String>,
    /// Something was done since memory was last given back.
    worked: bool,
}

/// A task that waits after a failure.
struct Hold {
    until: Boottime,
    /// When it failed last.
    since: Boottime,
    backoff: Backoff,
    /// The last one.
    error: StoreError,
}

impl<T: Ord + Clone> Poller<T> {
    pub fn new() -> Self {
        Self {
            running: Vec::new(),
            failing: BTreeMap::new(),
            events: VecDeque::new(),
            reported: BTreeSet::new(),
            worked: false,
        }
    }

    /// What there is to report.
    pub fn event(&mut self) -> Option<WatchEvent> {
        self.events.pop_front()
    }

    /// These sources may have new versions.
    pub fn changed(&mut self, places: impl IntoIterator<Item = usize>) {
        if let Some(WatchEvent::Changed(known)) = self.events.back_mut() {
            known.extend(places);
            known.sort_unstable();
            known.dedup();
            return;
        }
        self.events
            .push_back(WatchEvent::Changed(places.into_iter().collect()));
    }

    pub fn is_running(&self, task: &T) -> bool {
        self.running.iter().any(|(running, _)| running == task)
    }

    pub fn is_failing(&self, task: &T) -> bool {
        self.failing.contains_key(task)
    }

    /// When a task that is due is begun: one that failed, after its wait.
    pub fn begins(&self, task: &T, due: Boottime) -> Boottime {
        self.failing
            .get(task)
            .map_or(due, |hold| hold.until.max(due))
    }

    pub fn start(&mut self, task: T, work: Local<'static, Done>) {
        self.worked = true;
        self.running.push((task, work));
    }

    /// Waits for a task to end, but no longer than `wait`; without one, until a task ends.
    pub async fn step(&mut self, wait: Option<Duration>) {
        if self.running.is_empty() && std::mem::take(&mut self.worked) {
            memory::scrub_stack();
            memory::trim();
            memory::release_code();
        }
        tokio::select! {
            (task, done) = first(&mut self.running) => self.finish(task, done),
            () = tokio::time::sleep(wait.unwrap_or(NAP).min(NAP)), if wait.is_some() => {}
        }
    }

    fn finish(&mut self, task: T, done: Done) {
        match done {
            Done::Down(error) => self.hold(task, error),
            done => {
                self.failing.remove(&task);
                if let Done::Changed(places) = done
                    && !places.is_empty()
                {
                    self.changed(places);
                }
            }
        }
        self.report_errors();
    }

    /// It is retried after a while.
    fn hold(&mut self, task: T, error: StoreError) {
        let now = Boottime::now();
        let held = self.failing.remove(&task);
        let mut backoff = held.map_or_else(
            || Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            |hold| hold.backoff,
        );
        let until = now + backoff.next(random());
        let hold = Hold {
            until,
            since: now,
            backoff,
            error,
        };
        self.failing.insert(task, hold);
    }

    /// What is no more to be done does not fail any more, once the store has answered: a lease that
    /// ends in an outage does not end the outage.
    pub fn forget(&mut self, is_wanted: impl Fn(&T) -> bool, answered: Option<Boottime>) {
        self.failing
            .retain(|task, hold| is_wanted(task) || answered.is_none_or(|at| at <= hold.since));
        self.report_errors();
    }

    /// Reports what fails, if that is not what was reported last.
    fn report_errors(&mut self) {
        let holds = self.failing.values();
        let errors: BTreeMap<String, &StoreError> = holds
            .map(|hold| (words(&hold.error), &hold.error))
            .collect();
        if errors.keys().eq(&self.reported) {
            return;
        }
        let event = if errors.is_empty() {
            WatchEvent::Up
        } else {
            WatchEvent::Down(errors.values().map(|error| error.again()).collect())
        };
        self.reported = errors.into_keys().collect();
        // What was not heard yet is out of date.
        self.events
            .retain(|event| matches!(event, WatchEvent::Changed(_)));
        self.events.push_front(event);
    }
}

/// What tells an error from others: the same whenever it is met, and for all secrets where it is the
/// store's.
fn words(error: &StoreError) -> String {
    let mut same = error.at_any_time();
    same.asked = same.asked.take().filter(|_| !error.is_of_the_store());
    same.to_string()
}

/// Ends with the first of them that ends.
async fn first<T>(running: &mut Vec<(T, Local<'static, Done>)>) -> (T, Done) {
    poll_fn(|context| {
        for index in 0..running.len() {
            if let Poll::Ready(done) = running[index].1.as_mut().poll(context) {
                let (task, _) = running.swap_remove(index);
                return Poll::Ready((task, done));
            }
        }
        Poll::Pending
    })
    .await
}

/// Asks a store for the version that a source has now.
type Look = Rc<dyn Fn(Source) -> Local<'static, Result<Version, StoreError>>>;

/// A source that is looked at.
struct Looked {
    place: usize,
    source: Source,
    every: Duration,
    next: Boottime,
    known: Rc<RefCell<Option<Version>>>,
}

struct VersionWatch {
    poller: Poller<usize>,
    sources: Vec<Looked>,
    look: Look,
}

/// Looks at the versions of sources, each as often as the manifest says (1m where it does not), and
/// reports those that have another one. What the first look finds is reported as well, as nothing says
/// that it is what was fetched.
pub fn versions(
    sources: &[Watched],
    look: impl Fn(Source) -> Local<'static, Result<Version, StoreError>> + 'static,
) -> Option<Box<dyn Watch>> {
    let now = Boottime::now();
    let looked: Vec<Looked> = sources
        .iter()
        .enumerate()
        .filter_map(|(place, watched)| {
            let every = match watched.refresh {
                Refresh::Store => LOOK,
                Refresh::Every(period) => period,
                Refresh::Never => return None,
            };
            Some(Looked {
                place,
                source: watched.source.clone(),
                every,
                next: now + jittered(every),
                known: Rc::default(),
            })
        })
        .collect();
    (!looked.is_empty()).then(|| {
        Box::new(VersionWatch {
            poller: Poller::new(),
            sources: looked,
            look: Rc::new(look),
        }) as Box<dyn Watch>
    })
}

impl VersionWatch {
    async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(event) = self.poller.event() {
                return event;
            }
            let wait = self.start();
            self.poller.step(wait).await;
        }
    }

    /// Starts what is due; how long it is to what is due next.
    fn start(&mut self) -> Option<Duration> {
        let now = Boottime::now();
        let mut next = None;
        for looked in &mut self.sources {
            if self.poller.is_running(&looked.place) {
                continue;
            }
            let begins = self.poller.begins(&looked.place, looked.next);
            if begins > now {
                let wait = begins.since(now);
                next = Some(next.map_or(wait, |next: Duration| next.min(wait)));
                continue;
            }
            looked.next = now + jittered(looked.every);
            let version = (self.look)(looked.source.clone());
            let (place, known) = (looked.place, Rc::clone(&looked.known));
            let work = async move {
                match version.await {
                    Ok(version) if known.borrow().as_ref() == Some(&version) => Done::Well,
                    Ok(version) => {
                        known.replace(Some(version));
                        Done::Changed(vec![place])
                    }
                    Err(error) => Done::Down(error),
                }
            };
            self.poller.start(looked.place, Box::pin(work));
        }
        next
    }
}

impl Watch for VersionWatch {
    fn changed(&mut self) -> Local<'_, Result<WatchEvent, StoreError>> {
        Box::pin(async move { Ok(self.next().await) })
    }

    fn due(&self) -> Option<Due> {
        let now = Boottime::now();
        let due = self.sources.iter().map(|looked| Due {
            what: Upkeep::Look,
            source: Some(looked.place),
            within: self.poller.begins(&looked.place, looked.next).since(now),
        });
        due.min_by_key(|due| due.within)
    }

    fn polls(&self) -> bool {
        true
    }
}

/// What a look and what follows it may take, at least: the program is to have the new value within
/// the period, not only then be asked for.
const HAND_OVER: Duration = Duration::from_millis(50);

/// Up to a tenth shorter, so that a fleet's polls spread, and a little more for the way to the
/// program: at most a twentieth.
pub(super) fn jittered(period: Duration) -> Duration {
    let ahead = HAND_OVER.min(period / 20);
    period.saturating_sub(ahead).mul_f64(1.0 - 0.1 * fraction())
}

/// From 0 to 1.
pub(super) fn fraction() -> f64 {
    f64::from(random() as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_come_a_little_before_their_period() {
        let s = Duration::from_secs;
        for _ in 0..1_000 {
            let poll = jittered(s(30));
            assert!(poll + HAND_OVER <= s(30) && poll >= s(26), "{poll:?}");
            let often = jittered(Duration::from_millis(200)).as_millis();
            assert!((171..=190).contains(&often), "{often}");
        }
    }
}
