//! Requests for a launcher's state: whoever may connect can make thousands of them, and each would be a record.
//!
//! The rule: of each user, the first one is recorded, and then one each ten minutes, with how many there were
//! since the last record. The rest is recorded when the launcher ends. So all are accounted for, and the log
//! grows by six records an hour and user.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::audit::{Entry, Kind};
use crate::model::Decision;
use crate::model::query::{Action, Principal};

/// One of each user is recorded in this time.
const EVERY: Duration = Duration::from_mins(10);
/// More users than this are counted together.
const MOST: usize = 64;

/// What became of a request for the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// It was answered.
    Read,
    /// Policy allowed it.
    Allowed,
    /// Policy denied it.
    Denied,
}

impl Look {
    /// Of a decision; `None`: it is on something else. With the user's number.
    pub fn of(decision: &Decision) -> Option<(Self, u32)> {
        let Principal::Person(person) = &decision.query.principal else {
            return None;
        };
        let look = if decision.verdict.is_granted() {
            Self::Allowed
        } else {
            Self::Denied
        };
        (decision.query.action == Action::Status).then_some((look, person.uid))
    }

    /// As a record says it.
    pub fn words(self, before: u64) -> String {
        let what = match self {
            Self::Read => "status",
            Self::Allowed => "status allowed",
            Self::Denied => "status denied",
        };
        match before {
            0 => what.to_owned(),
            before => format!("{what}, and {before} times more since the last record of that"),
        }
    }

    /// A record of those that were counted.
    pub fn counted(self, uid: u32, before: u64) -> Entry {
        let entry = Entry::new(Kind::Control).saying(self.words(before));
        let entry = entry.by(Some((0, uid)));
        match self {
            Self::Denied => entry.failed(),
            _ => entry,
        }
    }
}

/// Since when, and how many were counted since.
type Seen = (Instant, u64);

/// Who looked lately.
#[derive(Debug, Default)]
pub struct Looks(RefCell<BTreeMap<(Look, u32), Seen>>);

impl Looks {
    /// Takes one of a user. `None`: it is counted; else it is to be recorded, and so many were counted before.
    pub fn take(&self, look: Look, uid: u32) -> Option<u64> {
        self.at(look, uid, Instant::now())
    }

    fn at(&self, look: Look, uid: u32, now: Instant) -> Option<u64> {
        let mut seen = self.0.borrow_mut();
        let is_known = seen.contains_key(&(look, uid));
        let uid = if is_known || seen.len() < MOST {
            uid
        } else {
            u32::MAX
        };
        match seen.get_mut(&(look, uid)) {
            Some((since, count)) if now.duration_since(*since) < EVERY => {
                *count += 1;
                None
            }
            Some(one) => Some(std::mem::replace(one, (now, 0)).1),
            None => {
                seen.insert((look, uid), (now, 0));
                Some(0)
            }
        }
    }

    /// Records of all that were counted and not recorded.
    pub fn rest(&self) -> Vec<Entry> {
        let seen = self.0.take();
        let counted = seen.into_iter().filter(|(_, (_, count))| *count > 0);
        counted
            .map(|((look, uid), (_, count))| look.counted(uid, count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_accounted_for_and_few_recorded() {
        let looks = Looks::default();
        let start = Instant::now();
        let at = |look, uid, seconds| looks.at(look, uid, start + Duration::from_secs(seconds));
        assert_eq!(at(Look::Read, 1, 0), Some(0));
        for second in 1..600 {
            assert_eq!(at(Look::Read, 1, second), None);
        }
        assert_eq!(at(Look::Denied, 1, 5), Some(0));
        assert_eq!(at(Look::Read, 2, 5), Some(0));
        assert_eq!(at(Look::Read, 1, 600), Some(599));
        assert_eq!(at(Look::Read, 1, 601), None);
        let rest = looks.rest();
        assert_eq!(rest.len(), 1);
        assert_eq!(
            rest[0].message,
            "status, and 1 times more since the last record of that"
        );
        for uid in 0..1_000 {
            at(Look::Read, uid, 0);
        }
        assert!(looks.0.borrow().len() <= MOST + 1);
    }
}
