//! The state of a launch as its events tell it: what `hushpipe status` shows, but for what the
//! rotation alone knows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use crate::model::control::{Condition, Moment, Outage, RESTARTING, Status};
use crate::model::{Event, Observer, SecretName, Version};

/// The state of a launch whose program runs and is not about to end: the rotation's own is to be shown
/// then.
pub const RUNNING: &str = "steady";

/// Keeps what events tell.
pub struct Board {
    facts: RefCell<Facts>,
}

struct Facts {
    status: Status,
    /// When each secret's value was handed over, in the order of `status.secrets`.
    handed_over: Vec<Instant>,
    /// New versions, until the program has them.
    coming: BTreeMap<SecretName, Version>,
    /// Something failed since the last good rotation.
    faulty: bool,
    alive: bool,
}

impl Board {
    /// For a launch, before its program is started: what is known already, with its secrets by name.
    pub fn new(status: Status) -> Self {
        let handed_over = vec![Instant::now(); status.secrets.len()];
        Self {
            facts: RefCell::new(Facts {
                status,
                handed_over,
                coming: BTreeMap::new(),
                faulty: false,
                alive: false,
            }),
        }
    }

    /// The versions of the first generation.
    pub fn first(&self, versions: &BTreeMap<SecretName, Version>) {
        let facts = &mut *self.facts.borrow_mut();
        facts.coming.clone_from(versions);
        facts.hand_over();
    }

    /// The state now.
    pub fn status(&self) -> Status {
        let facts = self.facts.borrow();
        let mut status = facts.status.clone();
        for (secret, since) in status.secrets.iter_mut().zip(&facts.handed_over) {
            secret.age_seconds = since.elapsed().as_secs();
        }
        status.healthy = facts.alive
            && !facts.faulty
            && status.outages.is_empty()
            && status.conditions.is_empty();
        status
    }
}

impl Observer for Board {
    fn observe(&self, event: &Event) {
        let facts = &mut *self.facts.borrow_mut();
        facts.program(event);
        facts.rotation(event);
        facts.store(event);
        facts.condition(event);
    }
}

impl Facts {
    fn program(&mut self, event: &Event) {
        let status = &mut self.status;
        match event {
            Event::Started { pid, program } => {
                status.program_pid = Some(*pid);
                status.program.clone_from(program);
                status.started = Some(now());
                RUNNING.clone_into(&mut status.state);
                self.alive = true;
            }
            Event::Confined { protections } => status.protections.clone_from(protections),
            Event::Restarting => {
                status.restarts += 1;
                RESTARTING.clone_into(&mut status.state);
            }
            Event::Stopping { .. } if status.state == RUNNING => {
                "stopping".clone_into(&mut status.state);
            }
            Event::Exited { .. } => {
                if status.state != RESTARTING {
                    "ending".clone_into(&mut status.state);
                }
                status.program_pid = None;
                self.alive = false;
            }
            _ => {}
        }
    }

    fn rotation(&mut self, event: &Event) {
        match event {
            Event::Changed { secret, version } => {
                self.coming.insert(secret.clone(), version.clone());
            }
            Event::Rotated { generation, took } => {
                self.status.generation = generation.0;
                self.hand_over();
                self.faulty = false;
                let took = took.as_secs_f64() * 1e3;
                let message = format!("generation {generation} in {took:.1} ms");
                self.status.last_rotation = Some(moment(message));
            }
            Event::RolledBack { generation, reason } => {
                self.status.generation = generation.0;
                self.coming.clear();
                if let Some(reason) = reason {
                    self.fault(format!("rolled back: {reason}"));
                } else {
                    let message = format!("rolled back by request: generation {generation}");
                    self.status.last_rotation = Some(moment(message));
                    self.faulty = false;
                }
            }
            Event::RotationFailed { error } => {
                self.coming.clear();
                self.fault(error.to_string());
            }
            Event::RestartsExhausted { .. } => {
                self.fault("the budget of restarts is used up".to_owned());
            }
            Event::Fault { message, .. } => self.fault(message.clone()),
            // What was refused is not there any more.
            Event::Unchanged { bad: false } => self.faulty = false,
            _ => {}
        }
    }

    fn store(&mut self, event: &Event) {
        let outages = &mut self.status.outages;
        match event {
            Event::StoreFault { store, message, .. } | Event::StoreStill { store, message, .. } => {
                let store = store.to_string();
                self.status.last_fault = Some(moment(message.clone()));
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

    fn condition(&mut self, event: &Event) {
        let conditions = &mut self.status.conditions;
        match event {
            Event::ConditionBegan { what, message } => {
                self.status.last_fault = Some(moment(message.clone()));
                match conditions.iter_mut().find(|known| known.what == *what) {
                    Some(known) => known.message.clone_from(message),
                    None => conditions.push(Condition {
                        what: what.clone(),
                        since: now(),
                        message: message.clone(),
                    }),
                }
            }
            Event::ConditionEnded { what } => conditions.retain(|known| known.what != *what),
            Event::PutBack { path, removed } => {
                let how = if *removed { "removed" } else { "replaced" };
                let message = format!("{} was {how}, and is put back", path.display());
                self.status.last_fault = Some(moment(message));
            }
            _ => {}
        }
    }

    fn hand_over(&mut self) {
        let now = Instant::now();
        for (secret, since) in self.status.secrets.iter_mut().zip(&mut self.handed_over) {
            let version = self
                .coming
                .iter()
                .find(|(name, _)| name.as_str() == secret.name);
            if let Some((_, version)) = version {
                secret.version = version.to_string();
                *since = now;
            }
        }
        self.coming.clear();
    }

    fn fault(&mut self, message: String) {
        self.faulty = true;
        self.status.last_fault = Some(moment(message));
    }
}

fn moment(message: String) -> Moment {
    Moment { at: now(), message }
}

/// RFC 3339, in UTC.
fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Two observers: each sees every event, the first one first.
pub struct Both(pub Rc<dyn Observer>, pub Rc<dyn Observer>);

impl Observer for Both {
    fn observe(&self, event: &Event) {
        self.0.observe(event);
        self.1.observe(event);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;
    use crate::model::control::SecretStatus;
    use crate::model::{Generation, Outcome, RotationError, Signal, StoreName};

    fn secret(name: &str) -> SecretStatus {
        SecretStatus {
            name: name.to_owned(),
            ..SecretStatus::default()
        }
    }

    fn version(text: &str) -> Version {
        Version(text.to_owned())
    }

    fn name(text: &str) -> SecretName {
        SecretName::new(text).unwrap()
    }

    /// A launch of two secrets, whose program runs.
    fn running() -> Board {
        let board = Board::new(Status {
            secrets: vec![secret("a"), secret("b")],
            ..Status::default()
        });
        assert!(!board.status().healthy);
        let versions = [(name("a"), version("1")), (name("b"), version("1"))];
        board.first(&BTreeMap::from(versions));
        board.observe(&Event::Started {
            pid: 7,
            program: "nginx".to_owned(),
        });
        board
    }

    fn rotated(board: &Board, generation: u64) {
        board.observe(&Event::Rotated {
            generation: Generation(generation),
            took: Duration::from_millis(2),
        });
    }

    fn changed(board: &Board, secret: &str, to: &str) {
        board.observe(&Event::Changed {
            secret: name(secret),
            version: version(to),
        });
    }

    fn versions(board: &Board) -> Vec<String> {
        let status = board.status();
        let secrets = status.secrets.into_iter();
        secrets.map(|secret| secret.version).collect()
    }

    fn failed(board: &Board) {
        board.observe(&Event::RotationFailed {
            error: RotationError::NotStarted {
                why: "too short".to_owned(),
            },
        });
    }

    #[test]
    fn a_launch_is_healthy_while_its_program_runs() {
        let board = running();
        let status = board.status();
        assert!(status.healthy);
        assert_eq!(status.program_pid, Some(7));
        assert_eq!(status.program, "nginx");
        assert_eq!(status.state, "steady");
        let started = status.started.unwrap();
        assert!(humantime::parse_rfc3339(&started).is_ok(), "{started}");
        assert_eq!(versions(&board), ["1", "1"]);
        board.observe(&Event::Stopping {
            signal: Signal::TERM,
            timeout: Duration::from_secs(1),
        });
        assert_eq!(board.status().state, "stopping");
        board.observe(&Event::Exited {
            code: 0,
            signal: None,
        });
        let status = board.status();
        assert_eq!((status.healthy, status.program_pid), (false, None));
    }

    #[test]
    fn a_version_is_the_programs_when_it_was_handed_over() {
        let board = running();
        changed(&board, "b", "2");
        assert_eq!(versions(&board), ["1", "1"]);
        rotated(&board, 2);
        assert_eq!(versions(&board), ["1", "2"]);
        let status = board.status();
        assert_eq!(status.generation, 2);
        let last = status.last_rotation.unwrap().message;
        assert_eq!(last, "generation 2 in 2.0 ms");
        changed(&board, "a", "bad");
        failed(&board);
        changed(&board, "b", "3");
        rotated(&board, 3);
        assert_eq!(versions(&board), ["1", "3"]);
    }

    #[test]
    fn a_fault_lasts_until_something_works() {
        let board = running();
        failed(&board);
        assert!(!board.status().healthy);
        board.observe(&Event::Unchanged { bad: true });
        assert!(!board.status().healthy);
        rotated(&board, 2);
        let status = board.status();
        assert!(status.healthy);
        // It is still told of.
        assert_eq!(
            status.last_fault.unwrap().message,
            "the new generation: too short"
        );
        failed(&board);
        board.observe(&Event::Unchanged { bad: false });
        assert!(board.status().healthy);
        board.observe(&Event::RolledBack {
            generation: Generation(4),
            reason: Some("no answer".to_owned()),
        });
        let status = board.status();
        assert_eq!((status.generation, status.healthy), (4, false));
        board.observe(&Event::RolledBack {
            generation: Generation(5),
            reason: None,
        });
        let status = board.status();
        assert_eq!((status.generation, status.healthy), (5, true));
    }

    #[test]
    fn an_outage_lasts_until_its_store_answers() {
        let board = running();
        let fault = |store: &str, message: &str| {
            board.observe(&Event::StoreFault {
                outcome: Outcome::Denied,
                store: StoreName::new(store).unwrap(),
                message: message.to_owned(),
            });
        };
        let recovered = |store: &str| {
            let store = StoreName::new(store).unwrap();
            board.observe(&Event::StoreRecovered { store });
        };
        fault("bao", "refused");
        fault("bao", "sealed");
        fault("local", "gone");
        let outages = board.status().outages;
        let told: Vec<_> = outages.iter().map(|o| (&*o.store, &*o.message)).collect();
        assert_eq!(told, [("bao", "sealed"), ("local", "gone")]);
        recovered("local");
        assert!(!board.status().healthy);
        // A rotation of other secrets does not end it.
        rotated(&board, 2);
        assert!(!board.status().healthy);
        recovered("bao");
        assert!(board.status().healthy);
    }

    #[test]
    fn a_condition_lasts_until_it_ends() {
        let board = running();
        let what = || "/run/app/token".to_owned();
        for message in ["replaced", "still replaced"] {
            let message = message.to_owned();
            board.observe(&Event::ConditionBegan {
                what: what(),
                message,
            });
        }
        // A rotation does not end it.
        rotated(&board, 2);
        let status = board.status();
        assert!(!status.healthy && status.conditions.len() == 1);
        assert_eq!(status.conditions[0].message, "still replaced");
        board.observe(&Event::ConditionEnded { what: what() });
        assert!(board.status().healthy);
        board.observe(&Event::PutBack {
            path: what().into(),
            removed: true,
        });
        let status = board.status();
        let last = status.last_fault.unwrap().message;
        assert_eq!(last, "/run/app/token was removed, and is put back");
        assert!(status.healthy);
    }

    #[test]
    fn restarts_are_counted() {
        let board = running();
        board.observe(&Event::Restarting);
        assert_eq!(board.status().state, "restarting");
        board.observe(&Event::Exited {
            code: 0,
            signal: None,
        });
        board.observe(&Event::Started {
            pid: 8,
            program: "nginx".to_owned(),
        });
        let status = board.status();
        assert_eq!((status.restarts, status.program_pid), (1, Some(8)));
        assert!(status.healthy);
    }

    #[test]
    fn both_see_every_event() {
        #[derive(Default)]
        struct Count(Cell<u32>);
        impl Observer for Count {
            fn observe(&self, _: &Event) {
                self.0.set(self.0.get() + 1);
            }
        }
        let (one, other) = (Rc::new(Count::default()), Rc::new(Count::default()));
        let both = Both(Rc::<Count>::clone(&one), Rc::<Count>::clone(&other));
        both.observe(&Event::Killed);
        assert_eq!((one.0.get(), other.0.get()), (1, 1));
    }
}
