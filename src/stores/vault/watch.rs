//! What is done while the program runs: logins and leases are kept alive, versions are looked at,
//! and what nobody uses is given back.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::ask::Ask;
use super::core::Core;
use super::held_back::PendingRequest;
use super::interest::Interest;
use super::kept::Kept;
use super::look::Looking;
use super::looked::Look;
use crate::stores::poll::{Done, Poller};
use crate::stores::{Due, Local, StoreError, Upkeep, Watch, WatchEvent, Watched};
use crate::sys::clock::Boottime;

/// A replacement that nobody came for is told again.
const TELL_AGAIN: Duration = Duration::from_mins(1);

/// One store's watch.
pub(super) struct VaultWatch {
    core: Rc<Core>,
    watched: BTreeMap<Ask, Interest>,
    poller: Poller<Task>,
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
    /// Whether people have authorized it.
    Await(Ask),
}

impl VaultWatch {
    pub fn new(core: Rc<Core>, sources: &[Watched]) -> Result<Self, StoreError> {
        let now = Boottime::now();
        let mut watched: BTreeMap<Ask, Interest> = BTreeMap::new();
        for (place, source) in sources.iter().enumerate() {
            let interest = Interest::new(source.refresh, source.reads, place, now);
            let known = watched.entry(core.ask(&source.source)?);
            known
                .and_modify(|known| known.join(source.refresh, place, now))
                .or_insert(interest);
        }
        Ok(Self {
            core,
            watched,
            poller: Poller::new(),
        })
    }

    async fn next(&mut self) -> WatchEvent {
        self.core.attended.set(true);
        loop {
            self.replace();
            let tasks = self.tasks(Boottime::now());
            let is_wanted = |task: &Task| tasks.iter().any(|(_, one)| one == task);
            self.poller
                .forget(is_wanted, self.core.access.server.answered());
            if let Some(event) = self.poller.event() {
                return event;
            }
            let wait = self.start(tasks);
            let core = Rc::clone(&self.core);
            tokio::select! {
                () = self.poller.step(wait) => {}
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
        let mut changed = Vec::new();
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
            let tells = !interest.reports.is_empty() && !kept.is_spent(ask);
            if !tells && interest.told.is_none() {
                interest.told = Some(now);
                ending.push(ask);
            }
            let again = |at: Boottime| now.since(at) >= TELL_AGAIN;
            if tells && interest.told.is_none_or(again) {
                interest.told = Some(now);
                changed.extend(&interest.reports);
            }
        }
        for ask in ending {
            self.core.tell_end(ask);
        }
        drop(kept);
        drop(looked);
        if !changed.is_empty() {
            self.poller.changed(changed);
        }
    }

    /// Starts what is due, and looks that are due soon where one is due now; gives how long it is to
    /// what is due next.
    fn start(&mut self, tasks: Vec<(Boottime, Task)>) -> Option<Duration> {
        let now = Boottime::now();
        let looks = |(due, task): &(Boottime, Task)| *due <= now && matches!(task, Task::Look(_));
        let together = tasks.iter().any(looks);
        let mut next = self.next_replacement(now).map(|(wait, _)| wait);
        for (due, task) in tasks {
            if self.poller.is_running(&task) {
                continue;
            }
            if due > now && !(together && self.joins(&task, now)) {
                let wait = due.since(now);
                next = Some(next.map_or(wait, |next| next.min(wait)));
                continue;
            }
            let work = self.work(&task, now);
            self.poller.start(task, work);
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
        !self.poller.is_failing(task) && interest.zip(look).is_some_and(joins)
    }

    /// Everything that is to be done, and when: what failed, after its wait.
    fn tasks(&self, now: Boottime) -> Vec<(Boottime, Task)> {
        let mut tasks = self.wanted(now);
        for (due, task) in &mut tasks {
            *due = self.poller.begins(task, *due);
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
        let requests = self.core.requests.borrow();
        let awaited =
            |(ask, one): (&Ask, &Rc<PendingRequest>)| (one.due(), Task::Await(ask.clone()));
        tasks.extend(requests.iter().map(awaited));
        let looked = self.core.looked.borrow();
        for (ask, interest) in &self.watched {
            let Some(look) = looked.get(ask).filter(|_| !requests.contains_key(ask)) else {
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
            if interest.told.is_some() && (interest.reports.is_empty() || kept.is_spent(ask)) {
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
                Task::Look(ask) | Task::Await(ask) => (Upkeep::Look, place(ask)),
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
                let (mut places, mut how) = (Vec::new(), Looking::default());
                if let Some(interest) = self.watched.get_mut(ask) {
                    interest.begins(now);
                    how = Looking {
                        insists: interest.named,
                        reads: interest.reads,
                    };
                    places.clone_from(&interest.reports);
                }
                let ask = ask.clone();
                Box::pin(async move { core.look_again(&ask, how, places).await })
            }
            Task::Await(ask) => {
                // Also where only `hushpipe rotate` asks for it.
                let interest = self.watched.get(ask);
                let places = interest.map(|it| [&it.reports[..], &[it.place]].concat());
                let (ask, mut places) = (ask.clone(), places.unwrap_or_default());
                places.sort_unstable();
                places.dedup();
                Box::pin(async move { core.look_at_pending(&ask, places).await })
            }
        }
    }
}

impl Watch for VaultWatch {
    fn changed(&mut self) -> Local<'_, Result<WatchEvent, StoreError>> {
        Box::pin(async move { Ok(self.next().await) })
    }

    fn due(&self) -> Option<Due> {
        self.next_due()
    }

    fn polls(&self) -> bool {
        true
    }
}
