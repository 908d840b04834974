//! How often a program may be restarted: `restarts: { max: 5, per: 10m }` as a sliding window.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::RestartBudget;

/// The restarts that count, by when they were. Times are those of any one steady clock.
#[derive(Clone, Debug)]
pub struct Budget {
    rule: RestartBudget,
    taken: VecDeque<Duration>,
}

impl Budget {
    /// Nothing is taken yet.
    pub const fn new(rule: RestartBudget) -> Self {
        Self {
            rule,
            taken: VecDeque::new(),
        }
    }

    /// What it is.
    pub const fn rule(&self) -> RestartBudget {
        self.rule
    }

    /// So many restarts are left.
    pub fn left(&self, now: Duration) -> u32 {
        let taken = self.taken.iter().filter(|at| self.counts(**at, now));
        let taken = u32::try_from(taken.count()).unwrap_or(u32::MAX);
        self.rule.max.saturating_sub(taken)
    }

    /// Takes note of a restart, even beyond the budget.
    pub fn take(&mut self, now: Duration) {
        while self.taken.front().is_some_and(|at| !self.counts(*at, now)) {
            self.taken.pop_front();
        }
        self.taken.push_back(now);
    }

    /// When there is room: zero if there is, [`Duration::MAX`] if there never will be.
    pub fn room_in(&self, now: Duration) -> Duration {
        if self.left(now) > 0 {
            return Duration::ZERO;
        }
        // The one that must be forgotten so that fewer than `max` are left.
        let counting = self.taken.iter().filter(|at| self.counts(**at, now));
        let needed = counting
            .rev()
            .nth((self.rule.max as usize).saturating_sub(1));
        match needed {
            Some(at) if self.rule.max > 0 => (*at + self.rule.per).saturating_sub(now),
            _ => Duration::MAX,
        }
    }

    fn counts(&self, at: Duration, now: Duration) -> bool {
        now.saturating_sub(at) < self.rule.per
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn budget(max: u32, per: u64) -> Budget {
        Budget::new(RestartBudget {
            max,
            per: seconds(per),
        })
    }

    #[test]
    fn the_window_slides() {
        let mut budget = budget(2, 10);
        assert_eq!(
            (budget.left(seconds(0)), budget.room_in(seconds(0))),
            (2, Duration::ZERO)
        );
        budget.take(seconds(0));
        budget.take(seconds(4));
        assert_eq!(
            (budget.left(seconds(9)), budget.room_in(seconds(9))),
            (0, seconds(1))
        );
        assert_eq!(
            (budget.left(seconds(10)), budget.room_in(seconds(10))),
            (1, Duration::ZERO)
        );
        budget.take(seconds(10));
        assert_eq!(
            (budget.left(seconds(13)), budget.room_in(seconds(13))),
            (0, seconds(1))
        );
        assert_eq!(budget.left(seconds(100)), 2);
    }

    #[test]
    fn what_is_taken_beyond_it_must_be_forgotten_too() {
        let mut budget = budget(1, 10);
        budget.take(seconds(0));
        budget.take(seconds(3));
        assert_eq!(budget.room_in(seconds(5)), seconds(8));
        assert_eq!(budget.left(seconds(12)), 0);
        assert_eq!(budget.left(seconds(13)), 1);
    }

    #[test]
    fn a_budget_of_none_never_has_room() {
        let budget = budget(0, 10);
        assert_eq!(
            (budget.left(seconds(0)), budget.room_in(seconds(0))),
            (0, Duration::MAX)
        );
    }

    proptest! {
        /// Whoever takes only where something is left never takes more than `max` in any window, and
        /// there is room exactly when it was said that there would be.
        #[test]
        fn no_window_holds_more_than_the_most(
            max in 0_u32..5,
            per in 1_u64..20,
            steps in proptest::collection::vec(0_u64..8, 0..60),
        ) {
            let mut budget = budget(max, per);
            let (mut now, mut taken) = (0, Vec::new());
            for step in steps {
                now += step;
                let room = budget.room_in(seconds(now));
                prop_assert_eq!(room.is_zero(), budget.left(seconds(now)) > 0);
                if room.is_zero() {
                    budget.take(seconds(now));
                    taken.push(now);
                } else if max > 0 {
                    let then = seconds(now) + room;
                    prop_assert!(budget.left(then) > 0);
                    prop_assert_eq!(budget.left(then.saturating_sub(Duration::from_nanos(1))), 0);
                }
                let window = taken.iter().filter(|at| now - **at < per).count();
                prop_assert!(window <= max as usize);
            }
        }
    }
}
