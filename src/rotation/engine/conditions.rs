//! What the program was given and is not as it should be, reported when it begins and when it ends.

use std::collections::BTreeMap;

use crate::model::{Event, Observer};

/// Conditions that last, by what they are about.
#[derive(Default)]
pub struct Conditions(BTreeMap<String, String>);

impl Conditions {
    /// Takes all that are met now.
    pub fn are(&mut self, met: BTreeMap<String, String>, observer: &dyn Observer) {
        self.0.retain(|what, _| {
            let lasts = met.contains_key(what);
            if !lasts {
                let what = what.clone();
                observer.observe(&Event::ConditionEnded { what });
            }
            lasts
        });
        for (what, message) in met {
            if self.0.get(&what) != Some(&message) {
                observer.observe(&Event::ConditionBegan {
                    what: what.clone(),
                    message: message.clone(),
                });
                self.0.insert(what, message);
            }
        }
    }
}
