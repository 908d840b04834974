//! What is done while the program runs: logins and leases are kept alive, versions are looked at,
//! and what nobody uses is given back.
//!
//! The work itself is owned by the watch: whoever waits for it may stop waiting at any time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use super::Core;
use super::ask::Ask;
use super::interest::Interest;
use super::kept::Kept;
use super::look::Look;
use super::term::random;
use super::upkeep::Done;
use crate::model::Backoff;
use crate::stores::{Due, Local, Seen, StoreError, Upkeep, Watch, Watched};
use crate::sys::clock::Boottime;
use crate::sys::memory;

/// Never asleep for longer, as the clocks may jump.
const NAP: Duration = Duration::from_mins(1);

/// A replacement that nobody came for is told again.
const TELL_AGAIN: Duration = Duration::from_mins(1);

/// Waits between tries while the server does not answer.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// One store's watch.
pub(super) struct VaultWatch {
    core: Rc<Core>,
    watched: BTreeMap<Ask, Interest>,
    running: Vec<(Task, Local<'static, Done>)>,
    /// Tasks that failed: they are tried again.
    failing: BTreeMap<Task, Hold>,
    told: VecDeque<Seen>,
    /// The faults that were told last, in words.
    faults: BTreeSet<String>,
    /// Something was done since memory was last given back.
    worked: bool,
}

/// Something to do, one at a time of each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    KeepLogin,
    /// By the lease's id.
    Renew(String),
    /// By the lease's id.
    GiveBack(String),
    Look(Ask),
}

/// A task that waits after a failure.
struct Hold {
    until: Boottime,
    /// When it failed last.
    since: Boottime,
    backoff: Backoff,
    /// The last one.
    fault: StoreError,
}

impl VaultWatch {
    pub fn new(core: Rc<Core>, sources: &[Watched]) -> Result<Self, StoreError> {
        let now = Boottime::now();
        let mut watched: BTreeMap<Ask, Interest> = BTreeMap::new();
        for (place, source) in sources.iter().enumerate() {
            let interest = Interest::new(source.refresh, place, now);
            let known = watched.entry(core.ask(&source.source)?);
            known
                .and_modify(|known| known.join(source.refresh, now))
                .or_insert(interest);
        }
        Ok(Self {
            core,
            watched,
            running: Vec::new(),
            failing: BTreeMap::new(),
            told: VecDeque::new(),
            faults: BTreeSet::new(),
            worked: false,
        })
    }

    async fn next(&mut self) -> Seen {
        loop {
            self.replace();
            if let Some(seen) = self.told.pop_front() {
                return seen;
            }
            let wait = self.start();
            if self.running.is_empty() && std::mem::take(&mut self.worked) {
                memory::scrub_stack();
                memory::trim();
                memory::release_code();
            }
            let core = Rc::clone(&self.core);
            tokio::select! {
                (task, done) = first(&mut self.running) => self.finish(&task, done),
                () = tokio::time::sleep(wait.unwrap_or(NAP).min(NAP)), if wait.is_some() => {}
                () = core.wake.notified() => {}
            }
        }
    }

    /// Tells of what is to be replaced.
    fn replace(&mut self) {
        let (now, wall) = (Boottime::now(), SystemTime::now());
        let login = self.core.access.current();
        let mut kept = self.core.kept.borrow_mut();
        let looked = self.core.looked.borrow();
        let mut changed = false;
        let mut ending = Vec::new();
        for (ask, interest) in &mut self.watched {
            let Some(kept) = kept.get_mut(ask) else {
                continue;
            };
            kept.sweep(now, wall);
            let lease = kept.current().lease.as_ref();
            let orphan = lease.is_some_and(|lease| lease.is_orphan(login.as_ref()));
            let fetched = looked.get(ask).map(|look| look.fetched);
            let wait = interest.replaced_in(kept, fetched, now, wall);
            if !orphan && wait != Some(Duration::ZERO) {
                interest.told = None;
                continue;
            }
            kept.expire();
            let tells = interest.tells && !kept.is_spent(ask);
            if !tells && interest.told.is_none() {
                interest.told = Some(now);
                ending.push(ask);
            }
            let again = |at: Boottime| now.since(at) >= TELL_AGAIN;
            if tells && interest.told.is_none_or(again) {
                interest.told = Some(now);
                changed = true;
            }
        }
        for ask in ending {
            self.core.tell_end(ask);
        }
        drop(kept);
        drop(looked);
        if changed {
            self.tell_change();
        }
    }

    fn tell_change(&mut self) {
        if !matches!(self.told.back(), Some(Seen::Changed)) {
            self.told.push_back(Seen::Changed);
        }
    }

    /// Starts what is due, and looks that are due soon where one is due now; gives how long it is to
    /// what is due next.
    fn start(&mut self) -> Option<Duration> {
        let now = Boottime::now();
        let tasks = self.tasks(now);
        self.forget_failing(&tasks);
        let looks = |(due, task): &(Boottime, Task)| *due <= now && matches!(task, Task::Look(_));
        let together = tasks.iter().any(looks);
        let mut next = self.next_replacement(now).map(|(wait, _)| wait);
        for (due, task) in tasks {
            if self.running.iter().any(|(running, _)| *running == task) {
                continue;
            }
            if due > now && !(together && self.joins(&task, now)) {
                let wait = due.since(now);
                next = Some(next.map_or(wait, |next| next.min(wait)));
                continue;
            }
            self.worked = true;
            let work = self.work(&task, now);
            self.running.push((task, work));
        }
        next
    }

    /// Whether this look may as well be now.
    fn joins(&self, task: &Task, now: Boottime) -> bool {
        let Task::Look(ask) = task else {
            return false;
        };
        let looked = self.core.looked.borrow();
        let (interest, look) = (self.watched.get(ask), looked.get(ask));
        let joins = |(interest, look): (&Interest, &Look)| interest.joins(look, now);
        !self.failing.contains_key(task) && interest.zip(look).is_some_and(joins)
    }

    /// Everything that is to be done, and when: what failed, after its wait.
    fn tasks(&self, now: Boottime) -> Vec<(Boottime, Task)> {
        let mut tasks = self.wanted(now);
        for (due, task) in &mut tasks {
            let held = self.failing.get(task).map(|hold| hold.until);
            *due = held.map_or(*due, |until| until.max(*due));
        }
        tasks
    }

    fn wanted(&self, now: Boottime) -> Vec<(Boottime, Task)> {
        let mut tasks = Vec::new();
        tasks.extend(self.login_due(now).map(|due| (due, Task::KeepLogin)));
        let kept = self.core.kept.borrow();
        for kept in kept.values() {
            for lease in kept.alive() {
                if lease.term().is_renewable() && !lease.is_over(now) {
                    tasks.push((lease.term().due(), Task::Renew(lease.id.clone())));
                }
            }
            for lease in kept.unused() {
                tasks.push((now, Task::GiveBack(lease.id.clone())));
            }
        }
        let looked = self.core.looked.borrow();
        for (ask, interest) in &self.watched {
            let Some(look) = looked.get(ask) else {
                continue;
            };
            let is_fixed = |kept: &Kept| !kept.can_be_looked_at();
            if interest.every.is_none() || kept.get(ask).is_some_and(is_fixed) {
                continue;
            }
            let due = interest.due(look);
            tasks.push((due, Task::Look(ask.clone())));
        }
        tasks
    }

    fn login_due(&self, now: Boottime) -> Option<Boottime> {
        let token = self.core.access.known()?;
        if !token.is_looked_up() {
            return Some(now);
        }
        let term = token.term()?;
        (term.is_renewable() || !token.is_given()).then(|| term.due())
    }

    fn next_replacement(&self, now: Boottime) -> Option<(Duration, &Interest)> {
        let wall = SystemTime::now();
        let kept = self.core.kept.borrow();
        let looked = self.core.looked.borrow();
        let mut next: Option<(Duration, &Interest)> = None;
        for (ask, interest) in &self.watched {
            let Some(kept) = kept.get(ask) else {
                continue;
            };
            // The end of what is not replaced is told once.
            if interest.told.is_some() && (!interest.tells || kept.is_spent(ask)) {
                continue;
            }
            let fetched = looked.get(ask).map(|look| look.fetched);
            let Some(wait) = interest.replaced_in(kept, fetched, now, wall) else {
                continue;
            };
            let told = interest.told.map(|at| (at + TELL_AGAIN).since(now));
            let wait = told.map_or(wait, |told| told.max(wait));
            if next.is_none_or(|(least, _)| wait < least) {
                next = Some((wait, interest));
            }
        }
        next
    }

    /// What comes next that is of use to people: what is given back is not.
    fn next_due(&self) -> Option<Due> {
        let now = Boottime::now();
        let place = |ask: &Ask| self.watched.get(ask).map(|interest| interest.place);
        let kept = self.core.kept.borrow();
        let holds = |id: &str| {
            let has = |kept: &Kept| kept.alive().any(|lease| lease.id == id);
            let found = kept.iter().find(|(_, kept)| has(kept));
            found.and_then(|(ask, _)| place(ask))
        };
        let told = |(due, task): (Boottime, Task)| {
            let (what, source) = match &task {
                Task::KeepLogin => (Upkeep::Login, None),
                Task::Renew(id) => (Upkeep::Renew, holds(id)),
                Task::Look(ask) => (Upkeep::Look, place(ask)),
                Task::GiveBack(_) => return None,
            };
            let within = due.since(now);
            Some(Due {
                what,
                source,
                within,
            })
        };
        let replaced = self.next_replacement(now).map(|(within, interest)| Due {
            what: Upkeep::Replace,
            source: Some(interest.place),
            within,
        });
        let tasks = self.tasks(now).into_iter().filter_map(told);
        tasks.chain(replaced).min_by_key(|due| due.within)
    }

    /// What is no more to be done does not fail any more, once the server has answered: a lease that
    /// ends in an outage does not end the outage.
    fn forget_failing(&mut self, tasks: &[(Boottime, Task)]) {
        let answered = self.core.access.answered();
        self.failing.retain(|failing, hold| {
            let wanted = tasks.iter().any(|(_, task)| task == failing);
            wanted || answered.is_none_or(|at| at <= hold.since)
        });
        if self.tell_faults() {
            self.core.wake.notify_one();
        }
    }

    /// Tells of what fails, if that is not what was told last.
    fn tell_faults(&mut self) -> bool {
        let holds = self.failing.values();
        let faults: BTreeMap<String, &StoreError> = holds
            .map(|hold| (words(&hold.fault), &hold.fault))
            .collect();
        if faults.keys().eq(&self.faults) {
            return false;
        }
        let seen = if faults.is_empty() {
            Seen::Up
        } else {
            Seen::Down(faults.values().map(|fault| fault.again()).collect())
        };
        self.faults = faults.into_keys().collect();
        // What was not heard yet is out of date.
        self.told.retain(|seen| matches!(seen, Seen::Changed));
        self.told.push_front(seen);
        true
    }

    fn work(&mut self, task: &Task, now: Boottime) -> Local<'static, Done> {
        let core = Rc::clone(&self.core);
        match task {
            Task::KeepLogin => Box::pin(async move { core.keep_login().await }),
            Task::Renew(id) => {
                let id = id.clone();
                Box::pin(async move { core.renew(&id).await })
            }
            Task::GiveBack(id) => {
                let id = id.clone();
                Box::pin(async move { core.give_back_unused(&id).await })
            }
            Task::Look(ask) => {
                if let Some(interest) = self.watched.get_mut(ask) {
                    interest.begins(now);
                }
                let ask = ask.clone();
                Box::pin(async move { core.look_again(&ask).await })
            }
        }
    }

    fn finish(&mut self, task: &Task, done: Done) {
        let failed = match done {
            Done::Down(fault) => Some(fault),
            Done::Changed => {
                let tells = match task {
                    Task::Look(ask) => self.watched.get(ask).is_some_and(|known| known.tells),
                    _ => true,
                };
                if tells {
                    self.tell_change();
                }
                None
            }
            Done::Well => None,
        };
        match failed {
            None => {
                self.failing.remove(task);
            }
            Some(fault) => self.hold(task, fault),
        }
        self.tell_faults();
    }

    /// It is tried again after a while.
    fn hold(&mut self, task: &Task, fault: StoreError) {
        let now = Boottime::now();
        let held = self.failing.remove(task);
        let mut backoff = held.map_or_else(
            || Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            |hold| hold.backoff,
        );
        let until = now + backoff.next(random());
        let hold = Hold {
            until,
            since: now,
            backoff,
            fault,
        };
        self.failing.insert(task.clone(), hold);
    }
}

impl Watch for VaultWatch {
    fn changed(&mut self) -> Local<'_, Result<Seen, StoreError>> {
        Box::pin(async move { Ok(self.next().await) })
    }

    fn due(&self) -> Option<Due> {
        self.next_due()
    }

    fn polls(&self) -> bool {
        true
    }
}

/// What tells a fault from others: the same whenever it is met, and for all secrets where it is the
/// store's.
fn words(fault: &StoreError) -> String {
    let mut same = fault.at_any_time();
    same.asked = same.asked.take().filter(|_| !fault.is_of_the_store());
    same.to_string()
}

/// Ends with the first of them that ends.
async fn first(running: &mut Vec<(Task, Local<'static, Done>)>) -> (Task, Done) {
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
