//! Counts what happens in a launcher.

use std::cell::RefCell;

use crate::model::counts::Counts;
use crate::model::{Event, Outcome};

/// More stores than this are not counted apart: a manifest has fewer.
const MOST: usize = 1_000;

/// The counters of one launcher.
#[derive(Debug, Default)]
pub struct Tally(RefCell<Counts>);

impl Tally {
    /// As they are now.
    pub fn now(&self) -> Counts {
        self.0.borrow().clone()
    }

    /// Counts an event, if it is one of those.
    pub fn take(&self, event: &Event) {
        let counts = &mut *self.0.borrow_mut();
        let mut rotated = |how: &str| *counts.rotations.entry(how.to_owned()).or_default() += 1;
        match event {
            Event::Rotated { took, .. } => {
                rotated("ok");
                counts.rotation.add(*took);
            }
            Event::RolledBack { .. } => rotated("rolled_back"),
            Event::RotationFailed { .. } => rotated("failed"),
            Event::StoreAsked {
                store,
                took,
                outcome,
            } => {
                let store = store.to_string();
                if counts.requests.len() >= MOST && !counts.requests.contains_key(&store) {
                    return;
                }
                let of_store = counts.requests.entry(store.clone()).or_default();
                *of_store.entry(result(*outcome)).or_default() += 1;
                counts.fetch.entry(store).or_default().add(*took);
            }
            Event::Redacted { stream, times, .. } => {
                *counts.redactions.entry(stream.to_string()).or_default() += times;
            }
            _ => {}
        }
    }
}

/// `ok`, or the kind of the error as the log has it.
fn result(outcome: Outcome) -> String {
    match (outcome, serde_json::to_value(outcome)) {
        (Outcome::Answered, _) | (_, Err(_)) => "ok".to_owned(),
        (_, Ok(word)) => word.as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::StoreName;

    #[test]
    fn requests_are_counted_by_store_and_result() {
        let tally = Tally::default();
        let store = StoreName::new("vault").unwrap();
        for outcome in [Outcome::Answered, Outcome::NoAnswer, Outcome::Answered] {
            let (store, took) = (store.clone(), Duration::from_millis(3));
            tally.take(&Event::StoreAsked {
                store,
                took,
                outcome,
            });
        }
        tally.take(&Event::RotationFailed {
            error: crate::model::RotationError::Denied { why: String::new() },
        });
        let counts = tally.now();
        assert_eq!(counts.requests["vault"]["ok"], 2);
        assert_eq!(counts.requests["vault"]["no_answer"], 1);
        assert_eq!(counts.fetch["vault"].count(), 3);
        assert_eq!(counts.rotations["failed"], 1);
    }
}
