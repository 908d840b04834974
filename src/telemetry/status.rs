//! The state of a launch, in one place. Events write what happens to the program, the stores and what
//! is delivered; the rotation writes what it knows; the control socket reads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use tokio::sync::Notify;

use super::tally::Tally;
use crate::model::control::{
    Condition, ControlGroupRequest, Moment, Next, Outage, RESTARTING, Rotating, Status,
};
use crate::model::printable::printable;
use crate::model::query::Action;
use crate::model::{Event, Observer};

/// The state of a launch whose secrets people have to approve first.
const WAITING_FOR_APPROVAL: &str = "waiting for approval";

/// What is not as it should be while the last good policies stay in force.
const POLICIES: &str = "policies";

/// Where a launch's program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Stopping,
    /// Between the two programs of a restart.
    Restarting,
    Ending,
}

/// The state of one launch.
pub struct Standing {
    status: RefCell<Status>,
    phase: Cell<Phase>,
    /// Something failed since the last good rotation.
    faulty: Cell<bool>,
    /// The approvals that a launch waits for.
    approval: RefCell<Option<String>>,
    rotating: RefCell<(Rotating, Instant)>,
    tally: Tally,
    wanted: Notify,
    observer: Rc<dyn Observer>,
}

impl Standing {
    /// For a launch, before its program is started: what is known already. Events go on to the
    /// observer.
    pub fn new(status: Status, observer: &Rc<dyn Observer>) -> Self {
        let rotating = Rotating {
            secrets: status.secrets.clone(),
            ..Rotating::default()
        };
        Self {
            status: RefCell::new(status),
            phase: Cell::new(Phase::Starting),
            faulty: Cell::new(false),
            approval: RefCell::new(None),
            rotating: RefCell::new((rotating, Instant::now())),
            tally: Tally::default(),
            wanted: Notify::new(),
            observer: Rc::clone(observer),
        }
    }

    /// The rotation's word.
    pub fn rotates(&self, rotating: Rotating) {
        self.rotating.replace((rotating, Instant::now()));
    }

    /// Ends when somebody reads: what leases and watches do by themselves is to be told again.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// The state now. A rotation that runs, on the same thread, tells its own first.
    pub async fn read(&self) -> Status {
        self.wanted.notify_one();
        tokio::task::yield_now().await;
        self.now()
    }

    /// The state as it was told last.
    pub fn now(&self) -> Status {
        let mut status = self.status.borrow().clone();
        let (rotating, since) = &*self.rotating.borrow();
        let since = since.elapsed().as_secs();
        let Rotating {
            state,
            generation,
            secrets,
            next,
            restarts_left,
        } = rotating.clone();
        let approval = self.approval.borrow();
        let state = match self.phase.get() {
            Phase::Starting if !status.control_groups.is_empty() => WAITING_FOR_APPROVAL,
            Phase::Starting => approval.as_deref().unwrap_or("starting"),
            Phase::Running => state,
            Phase::Stopping => "stopping",
            Phase::Restarting => RESTARTING,
            Phase::Ending => "ending",
        };
        state.clone_into(&mut status.state);
        status.generation = generation.0;
        status.restarts_left = restarts_left;
        status.next = next.map(|next| Next {
            in_seconds: next.in_seconds.saturating_sub(since),
            ..next
        });
        status.secrets = secrets;
        status.counts = self.tally.now();
        for secret in &mut status.secrets {
            secret.age_seconds += since;
            if let Some(left) = &mut secret.lease_seconds {
                *left = left.saturating_sub(since);
            }
        }
        status.healthy = status.program_pid.is_some()
            && !self.faulty.get()
            && status.outages.is_empty()
            && status.conditions.is_empty();
        status
    }

    fn fault(&self, message: String) {
        self.faulty.set(true);
        self.status.borrow_mut().last_fault = Some(moment(message));
    }

    fn went_well(&self, message: String) {
        self.faulty.set(false);
        self.status.borrow_mut().last_rotation = Some(moment(message));
    }

    fn program(&self, event: &Event) {
        let status = &mut *self.status.borrow_mut();
        match event {
            Event::Started { pid, program } => {
                status.program_pid = Some(*pid);
                status.program.clone_from(program);
                status.started = Some(now());
                self.phase.set(Phase::Running);
            }
            Event::Confined { protections } => status.protections.clone_from(protections),
            Event::Restarting => {
                status.restarts += 1;
                self.phase.set(Phase::Restarting);
            }
            Event::Stopping { .. } if self.phase.get() == Phase::Running => {
                self.phase.set(Phase::Stopping);
            }
            Event::Exited { .. } => {
                if self.phase.get() != Phase::Restarting {
                    self.phase.set(Phase::Ending);
                }
                status.program_pid = None;
            }
            _ => {}
        }
    }

    fn rotation(&self, event: &Event) {
        match event {
            Event::Rotated {
                generation, took, ..
            } => {
                let took = took.as_secs_f64() * 1e3;
                self.went_well(format!("generation {generation} in {took:.1} ms"));
            }
            Event::RolledBack { generation, reason } => match reason {
                Some(reason) => self.fault(format!("rolled back: {reason}")),
                None => self.went_well(format!("rolled back by request: generation {generation}")),
            },
            Event::RotationFailed { error } => self.fault(error.to_string()),
            Event::Fault { message, .. } => self.fault(message.clone()),
            Event::RestartsExhausted { .. } => {
                self.fault("the budget of restarts is used up".to_owned());
            }
            // What was refused is not there any more.
            Event::Unchanged { bad: false } => self.faulty.set(false),
            _ => {}
        }
    }

    fn store(&self, event: &Event) {
        let status = &mut *self.status.borrow_mut();
        let outages = &mut status.outages;
        match event {
            Event::StoreFault { store, message, .. } | Event::StoreStill { store, message, .. } => {
                let store = store.to_string();
                status.last_fault = Some(moment(message.clone()));
                match outages.iter_mut().find(|outage| outage.store == store) {
                    Some(outage) => outage.message.clone_from(message),
                    None => outages.push(Outage {
                        store,
                        since: now(),
                        message: message.clone(),
                    }),
                }
            }
            Event::StoreRecovered { store } => {
                outages.retain(|outage| outage.store != store.as_str());
            }
            _ => {}
        }
    }

    fn condition(&self, event: &Event) {
        let status = &mut *self.status.borrow_mut();
        let conditions = &mut status.conditions;
        match event {
            Event::ConditionBegan { what, message } => {
                status.last_fault = Some(moment(message.clone()));
                match conditions.iter_mut().find(|known| known.what == *what) {
                    Some(known) => known.message.clone_from(message),
                    None => conditions.push(Condition {
                        what: what.clone(),
                        since: now(),
                        message: message.clone(),
                    }),
                }
            }
            Event::ExecRefused { .. }
            | Event::ExecTraced { .. }
            | Event::ArgumentShowsValue { .. } => {
                status.last_fault = Some(moment(event.message()));
            }
            Event::ConditionEnded { what } => conditions.retain(|known| known.what != *what),
            Event::PolicyStale { .. } => {
                let message = event.message();
                status.last_fault = Some(moment(message.clone()));
                conditions.retain(|known| known.what != POLICIES);
                conditions.push(Condition {
                    what: POLICIES.to_owned(),
                    since: now(),
                    message,
                });
            }
            Event::PolicyReloaded { .. } => conditions.retain(|known| known.what != POLICIES),
            Event::PutBack { path, removed } => {
                let how = if *removed { "removed" } else { "replaced" };
                let message = format!("{} was {how}, and is put back", path.display());
                status.last_fault = Some(moment(message));
            }
            _ => {}
        }
    }
}

impl Standing {
    /// Requests to vaults that people have to approve.
    fn control_group(&self, event: &Event) {
        let requests = &mut self.status.borrow_mut().control_groups;
        match event {
            Event::ControlGroupWaiting {
                store,
                asked,
                accessor,
                by,
                ..
            } => match requests.iter_mut().find(|one| one.accessor == *accessor) {
                Some(known) => known.by.clone_from(by),
                None => requests.push(ControlGroupRequest {
                    store: store.to_string(),
                    asked: asked.clone(),
                    accessor: accessor.clone(),
                    since: now(),
                    by: by.clone(),
                }),
            },
            Event::ControlGroupEnded { accessor, .. } => {
                requests.retain(|one| one.accessor != *accessor);
            }
            _ => {}
        }
    }

    fn approval(&self, event: &Event) {
        match event {
            Event::ApprovalRequested { needed, .. } => {
                let text = format!("waiting for approval 0 of {needed}");
                self.approval.replace(Some(text));
            }
            Event::ApprovalGiven { given, needed, .. } => {
                let text = format!("waiting for approval {given} of {needed}");
                self.approval.replace(Some(text));
            }
            Event::ApprovalSpent { .. }
            | Event::PolicyDecided {
                action: Action::Deliver,
                ..
            } => {
                self.approval.replace(None);
            }
            _ => {}
        }
    }

    /// What people have to do before the program can start, in a line; `None`: nothing.
    pub fn waits_for_people(&self) -> Option<String> {
        if let Some(approval) = &*self.approval.borrow() {
            return Some(approval.clone());
        }
        let status = self.status.borrow();
        let first = status.control_groups.first()?;
        Some(format!(
            "waiting for approval of {} (store {}), accessor {}, {} so far",
            printable(&first.asked),
            first.store,
            printable(&first.accessor),
            first.by.len()
        ))
    }
}

impl Observer for Standing {
    fn observe(&self, event: &Event) {
        self.observer.observe(event);
        self.tally.take(event);
        self.control_group(event);
        self.approval(event);
        self.program(event);
        self.rotation(event);
        self.store(event);
        self.condition(event);
    }
}

fn moment(message: String) -> Moment {
    Moment { at: now(), message }
}

/// RFC 3339, in UTC.
fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::control::SecretStatus;
    use crate::model::{Generation, Outcome, RotationError, Signal, StoreName};

    /// A launch whose program runs.
    fn running() -> Standing {
        let observer: Rc<dyn Observer> = Rc::new(());
        let standing = Standing::new(Status::default(), &observer);
        assert!(!standing.now().healthy);
        standing.observe(&Event::Started {
            pid: 7,
            program: "nginx".to_owned(),
        });
        standing
    }

    fn rotated(standing: &Standing, generation: u64) {
        standing.observe(&Event::Rotated {
            generation: Generation(generation),
            took: Duration::from_millis(2),
            changes: Vec::new(),
        });
    }

    fn failed(standing: &Standing) {
        standing.observe(&Event::RotationFailed {
            error: RotationError::NotStarted {
                why: "too short".to_owned(),
            },
        });
    }

    #[test]
    fn a_launch_is_healthy_while_its_program_runs() {
        let standing = running();
        let status = standing.now();
        assert!(status.healthy);
        assert_eq!(status.program_pid, Some(7));
        assert_eq!(status.program, "nginx");
        assert_eq!(status.state, "steady");
        let started = status.started.unwrap();
        assert!(humantime::parse_rfc3339(&started).is_ok(), "{started}");
        standing.observe(&Event::Stopping {
            signal: Signal::TERM,
            timeout: Duration::from_secs(1),
        });
        assert_eq!(standing.now().state, "stopping");
        standing.observe(&Event::Exited {
            code: 0,
            signal: None,
        });
        let status = standing.now();
        assert_eq!((status.healthy, status.program_pid), (false, None));
    }

    #[test]
    fn a_launch_that_waits_for_approvals_says_how_many_it_has() {
        let observer: Rc<dyn Observer> = Rc::new(());
        let standing = Standing::new(Status::default(), &observer);
        let text = String::new;
        standing.observe(&Event::ApprovalRequested {
            waits: true,
            request: text(),
            policy: text(),
            needed: 2,
            group: text(),
        });
        assert_eq!(standing.now().state, "waiting for approval 0 of 2");
        standing.observe(&Event::ApprovalGiven {
            request: text(),
            by: text(),
            given: 1,
            needed: 2,
        });
        assert_eq!(standing.now().state, "waiting for approval 1 of 2");
        assert!(standing.waits_for_people().is_some());
        standing.observe(&Event::ApprovalSpent {
            request: text(),
            policy: text(),
            people: Vec::new(),
        });
        assert_eq!(standing.now().state, "starting");
    }

    #[test]
    fn the_rotations_word_is_shown_while_the_program_runs() {
        let standing = running();
        rotated(&standing, 2);
        let last = standing.now().last_rotation.unwrap().message;
        assert_eq!(last, "generation 2 in 2.0 ms");
        let secret = SecretStatus {
            name: "a".to_owned(),
            lease_seconds: Some(60),
            ..SecretStatus::default()
        };
        standing.rotates(Rotating {
            state: "verifying",
            generation: Generation(2),
            secrets: vec![secret.clone()],
            next: None,
            restarts_left: Some(3),
        });
        let status = standing.now();
        assert_eq!((&*status.state, status.generation), ("verifying", 2));
        assert_eq!(
            (status.secrets, status.restarts_left),
            (vec![secret], Some(3))
        );
        standing.observe(&Event::Restarting);
        assert_eq!(standing.now().state, "restarting");
    }

    #[test]
    fn what_was_told_a_while_ago_is_older_by_now() {
        let standing = running();
        let secret = SecretStatus {
            age_seconds: 5,
            lease_seconds: Some(60),
            ..SecretStatus::default()
        };
        let next = Next {
            what: "renew db".to_owned(),
            in_seconds: 5,
        };
        let rotating = Rotating {
            secrets: vec![secret],
            next: Some(next),
            ..Rotating::default()
        };
        let told = Instant::now().checked_sub(Duration::from_secs(7)).unwrap();
        standing.rotating.replace((rotating, told));
        let status = standing.now();
        let secret = &status.secrets[0];
        assert_eq!((secret.age_seconds, secret.lease_seconds), (12, Some(53)));
        assert_eq!(status.next.unwrap().in_seconds, 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_reads_has_a_rotation_that_runs_tell_its_own_first() {
        let standing = running();
        let rotation = async {
            standing.wanted().await;
            standing.rotates(Rotating {
                state: "fetching",
                ..Rotating::default()
            });
            std::future::pending::<()>().await;
        };
        let status = tokio::select! {
            biased;
            () = rotation => unreachable!(),
            status = standing.read() => status,
        };
        assert_eq!(status.state, "fetching");
        // One that does not run at this moment holds nobody up.
        assert_eq!(standing.read().await.state, "fetching");
    }

    #[test]
    fn a_fault_lasts_until_something_works() {
        let standing = running();
        failed(&standing);
        assert!(!standing.now().healthy);
        standing.observe(&Event::Unchanged { bad: true });
        assert!(!standing.now().healthy);
        rotated(&standing, 2);
        let status = standing.now();
        assert!(status.healthy);
        // It is still told of.
        assert_eq!(
            status.last_fault.unwrap().message,
            "the new generation: too short"
        );
        failed(&standing);
        standing.observe(&Event::Unchanged { bad: false });
        assert!(standing.now().healthy);
        standing.observe(&Event::RolledBack {
            generation: Generation(4),
            reason: Some("no answer".to_owned()),
        });
        let status = standing.now();
        assert!(!status.healthy);
        standing.observe(&Event::RolledBack {
            generation: Generation(5),
            reason: None,
        });
        let status = standing.now();
        assert!(status.healthy);
    }

    #[test]
    fn an_outage_lasts_until_its_store_answers() {
        let standing = running();
        let fault = |store: &str, message: &str| {
            standing.observe(&Event::StoreFault {
                outcome: Outcome::Denied,
                store: StoreName::new(store).unwrap(),
                message: message.to_owned(),
            });
        };
        let recovered = |store: &str| {
            let store = StoreName::new(store).unwrap();
            standing.observe(&Event::StoreRecovered { store });
        };
        fault("bao", "refused");
        fault("bao", "sealed");
        fault("local", "gone");
        let outages = standing.now().outages;
        let told: Vec<_> = outages.iter().map(|o| (&*o.store, &*o.message)).collect();
        assert_eq!(told, [("bao", "sealed"), ("local", "gone")]);
        recovered("local");
        assert!(!standing.now().healthy);
        // A rotation of other secrets does not end it.
        rotated(&standing, 2);
        assert!(!standing.now().healthy);
        recovered("bao");
        assert!(standing.now().healthy);
    }

    #[test]
    fn a_condition_lasts_until_it_ends() {
        let standing = running();
        let what = || "/run/app/token".to_owned();
        for message in ["replaced", "still replaced"] {
            let message = message.to_owned();
            standing.observe(&Event::ConditionBegan {
                what: what(),
                message,
            });
        }
        // A rotation does not end it.
        rotated(&standing, 2);
        let status = standing.now();
        assert!(!status.healthy && status.conditions.len() == 1);
        assert_eq!(status.conditions[0].message, "still replaced");
        standing.observe(&Event::ConditionEnded { what: what() });
        assert!(standing.now().healthy);
        standing.observe(&Event::PutBack {
            path: what().into(),
            removed: true,
        });
        let status = standing.now();
        let last = status.last_fault.unwrap().message;
        assert_eq!(last, "/run/app/token was removed, and is put back");
        assert!(status.healthy);
    }

    #[test]
    fn restarts_are_counted() {
        let standing = running();
        standing.observe(&Event::Restarting);
        assert_eq!(standing.now().state, "restarting");
        standing.observe(&Event::Exited {
            code: 0,
            signal: None,
        });
        standing.observe(&Event::Started {
            pid: 8,
            program: "nginx".to_owned(),
        });
        let status = standing.now();
        assert_eq!((status.restarts, status.program_pid), (1, Some(8)));
        assert!(status.healthy);
    }
}
