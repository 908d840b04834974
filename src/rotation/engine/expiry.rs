//! Values that have expired, and when to look for them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effects::Effects;
use super::{Engine, pins};

/// Clocks may jump, and the machine may sleep.
const NAP: Duration = Duration::from_mins(1);

/// How long after its end a value is looked at.
const AFTER: Duration = Duration::from_millis(5);

/// What was revoked is replaced at once, where its store answers: no condition then.
const GRACE: Duration = Duration::from_secs(1);

impl<E: Effects> Engine<'_, E> {
    /// Looks which values have expired; gives when to look next, by [`Effects::now`].
    pub fn look_for_ends(&mut self) -> Option<Duration> {
        let mut met = BTreeMap::new();
        let mut next: Option<Duration> = None;
        let now = self.effects.now();
        for name in self.plan.secrets.keys() {
            let source = pins::source(self.plan, &self.pins, name);
            let left = match self.effects.good_for(&source) {
                Some(Duration::ZERO) => {
                    let since = *self.expired.entry(name.clone()).or_insert(now);
                    GRACE
                        .checked_sub(now.saturating_sub(since))
                        .filter(|left| !left.is_zero())
                }
                left => {
                    self.expired.remove(name);
                    left
                }
            };
            match left {
                Some(left) => next = Some(next.map_or(left, |next| next.min(left))),
                None if self.expired.contains_key(name) => {
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
        self.conditions.are(met, self.observer.as_ref());
        next.map(|left| now + (left + AFTER).min(NAP))
    }
}
