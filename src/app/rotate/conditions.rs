//! What the program was given and is not as it should be: delivered paths that something else was put
//! at, and values that have ended. Each is told of when it begins and when it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Rotation, pins};
use crate::app::failure::{Failure, Failures};
use crate::app::live::Served;
use crate::delivery::DeliveryError;
use crate::model::{Event, Exit, Observer, SecretName};

/// Clocks may jump, and the machine may sleep.
const NAP: Duration = Duration::from_mins(1);

/// How long after its end a value is looked at.
const AFTER: Duration = Duration::from_millis(5);

/// What was revoked is replaced at once, where its store answers: no condition then.
const GRACE: Duration = Duration::from_secs(1);

/// Conditions that last, by what they are about.
#[derive(Default)]
pub struct Conditions {
    told: BTreeMap<String, String>,
    /// Values that have ended, and when that was noticed.
    ended: BTreeMap<SecretName, Instant>,
}

impl Conditions {
    /// Takes all that are met now of those that begin with `kind`.
    fn are(&mut self, kind: &str, met: BTreeMap<String, String>, observer: &dyn Observer) {
        self.told.retain(|what, _| {
            let lasts = !what.starts_with(kind) || met.contains_key(what);
            if !lasts {
                let what = what.clone();
                observer.observe(&Event::ConditionEnded { what });
            }
            lasts
        });
        for (what, message) in met {
            if self.told.get(&what) != Some(&message) {
                observer.observe(&Event::ConditionBegan {
                    what: what.clone(),
                    message: message.clone(),
                });
                self.told.insert(what, message);
            }
        }
    }
}

/// Why a generation cannot be put in place.
#[derive(Debug)]
struct Displaced(String);

impl std::fmt::Display for Displaced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Displaced {}

impl Rotation<'_> {
    pub(super) fn served(&mut self, served: Result<Served, DeliveryError>) {
        match served {
            Ok(Served::Event(event)) => self.observer.observe(&event),
            Ok(Served::Disturbed) => {
                // What it finds is told of.
                self.inspect().ok();
            }
            Err(fault) => self.observer.observe(&Event::Fault {
                message: crate::app::failure::chain(&fault),
            }),
        }
    }

    /// Looks whether what is delivered is at its path, and puts it back. An error says that nothing can
    /// be delivered at some path.
    pub(super) fn inspect(&mut self) -> Result<(), Failures> {
        let found = self.live.inspect();
        for put_back in found.put_back {
            self.observer.observe(&Event::PutBack {
                path: put_back.path,
                removed: put_back.removed,
            });
        }
        self.damaged = found.damaged.iter().filter_map(|each| each.file).collect();
        let displaced = found.damaged.iter().filter(|each| each.file.is_none());
        let failures: Failures = displaced
            .map(|each| Failure::new(Exit::Os, Displaced(each.why.clone())))
            .collect();
        let met = found.damaged.into_iter();
        let met = met.map(|each| (each.path.display().to_string(), each.why));
        self.conditions
            .are("/", met.collect(), self.observer.as_ref());
        if failures.is_empty() {
            Ok(())
        } else {
            Err(failures)
        }
    }

    /// Looks which values have ended, and sets when to look next.
    pub(super) fn look_for_ends(&mut self) {
        let mut met = BTreeMap::new();
        let mut next: Option<Duration> = None;
        let mut ended = std::mem::take(&mut self.conditions.ended);
        let now = Instant::now();
        for name in self.plan.secrets.keys() {
            let source = pins::source(self.plan, &self.pins, name);
            let leases = self.stores[&source.store].leases();
            let left = match leases.and_then(|leases| leases.good_for(&source)) {
                Some(Duration::ZERO) => {
                    let since = *ended.entry(name.clone()).or_insert(now);
                    GRACE
                        .checked_sub(now - since)
                        .filter(|left| !left.is_zero())
                }
                left => {
                    ended.remove(name);
                    left
                }
            };
            match left {
                Some(left) => next = Some(next.map_or(left, |next| next.min(left))),
                None if ended.contains_key(name) => {
                    let what = format!("secret {name}");
                    let message = format!(
                        "secret {name}: what the program has of it has expired, and store {} has \
                         not given another one",
                        source.store
                    );
                    met.insert(what, message);
                }
                None => {}
            }
        }
        self.conditions.ended = ended;
        self.conditions.are("secret ", met, self.observer.as_ref());
        self.expiry = next.map(|left| Instant::now() + (left + AFTER).min(NAP));
    }
}
