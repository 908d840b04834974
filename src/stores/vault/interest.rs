//! What the manifest wants of a request: how often it is looked at, and when it is replaced.

use std::time::{Duration, SystemTime};

use super::kept::Kept;
use super::looked::Look;
use crate::model::Refresh;
use crate::stores::poll::{LOOK, jittered};
use crate::sys::clock::Boottime;

/// What the manifest wants of a request.
pub(super) struct Interest {
    /// The first of the sources that want it, by its place among those that are watched.
    pub place: usize,
    /// The sources of which changes are reported.
    pub reports: Vec<usize>,
    /// How often it is looked at.
    pub every: Option<Duration>,
    /// Whether the manifest named that time.
    pub named: bool,
    /// Whether its value may be read to look for a change.
    pub reads: bool,
    /// When it is looked at next.
    pub next: Boottime,
    /// When it was told that it is to be replaced.
    pub told: Option<Boottime>,
}

impl Interest {
    pub fn new(refresh: Refresh, reads: bool, place: usize, now: Boottime) -> Self {
        let every = match refresh {
            Refresh::Store => Some(LOOK),
            Refresh::Every(period) => Some(period),
            Refresh::Never => None,
        };
        Self {
            place,
            reports: (refresh != Refresh::Never)
                .then_some(place)
                .into_iter()
                .collect(),
            every,
            named: matches!(refresh, Refresh::Every(_)),
            reads,
            next: every.map_or(now, |every| now + jittered(every)),
            told: None,
        }
    }

    /// Another secret asks for the same: who is more impatient decides.
    pub fn join(&mut self, refresh: Refresh, place: usize, now: Boottime) {
        let other = Self::new(refresh, self.reads, place, now);
        if other.named && (!self.named || other.every < self.every) || self.reports.is_empty() {
            self.every = other.every;
            self.named = other.named;
            self.next = other.next;
        }
        self.reports.extend(other.reports);
    }

    /// It is looked at now.
    pub fn begins(&mut self, now: Boottime) {
        if let Some(every) = self.every {
            self.next = now + jittered(every);
        }
    }

    /// Whether it is looked at now where another one is: then one connection does for both.
    pub fn joins(&self, look: &Look, now: Boottime) -> bool {
        let soon = self.every.map(|every| now + every / 10);
        soon.is_some_and(|soon| self.next <= soon && look.hinted.is_none())
    }

    /// When it is looked at next: earlier where the server named a time of its own.
    pub fn due(&self, look: &Look) -> Boottime {
        look.hinted
            .map_or(self.next, |hinted| hinted.min(self.next))
    }

    /// In what time what is kept is to be replaced. A value without a lease or a certificate says
    /// nothing of its own end: `refresh: 24h` does.
    pub fn replaced_in(
        &self,
        kept: &Kept,
        fetched: Option<Boottime>,
        now: Boottime,
        wall: SystemTime,
    ) -> Option<Duration> {
        let by_itself = kept.replaced_in(now, wall);
        let lasting = kept.current().lease.is_none() && kept.stamp.is_none();
        let by_period = fetched
            .zip(self.every.filter(|_| self.named && lasting))
            .map(|(at, every)| (at + every).since(now));
        by_itself.into_iter().chain(by_period).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::vault::looked::{Kind, State};

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_is_more_impatient_decides() {
        let now = Boottime::now();
        let every = |first: Refresh, second: Refresh| {
            let mut interest = Interest::new(first, true, 0, now);
            interest.join(second, 1, now);
            (!interest.reports.is_empty(), interest.every)
        };
        let period = |seconds| Refresh::Every(s(seconds));
        for (first, second, tells, expected) in [
            (Refresh::Never, Refresh::Never, false, None),
            (Refresh::Never, Refresh::Store, true, Some(LOOK)),
            (Refresh::Store, Refresh::Never, true, Some(LOOK)),
            (Refresh::Store, period(300), true, Some(s(300))),
            (period(300), Refresh::Store, true, Some(s(300))),
            (period(10), period(300), true, Some(s(10))),
            (period(300), period(10), true, Some(s(10))),
        ] {
            assert_eq!(
                every(first, second),
                (tells, expected),
                "{first:?} {second:?}"
            );
        }
    }

    #[test]
    fn what_is_due_within_a_tenth_of_its_period_is_looked_at_with_another() {
        let now = Boottime::now();
        let interest = Interest::new(Refresh::Every(s(100)), true, 0, now);
        let look = Look::new(Kind::Versioned, State::Faulty);
        assert!(!interest.joins(&look, now));
        assert!(!interest.joins(&look, now + s(75)));
        assert!(interest.joins(&look, now + s(90)));
        let mut hinted = Look::new(Kind::Plain, State::Faulty);
        hinted.hint(Some(s(200)));
        assert!(!interest.joins(&hinted, now + s(90)));
        let never = Interest::new(Refresh::Never, true, 0, now);
        assert!(!never.joins(&look, now + s(90)));
    }

    #[test]
    fn a_time_that_the_server_names_is_not_slept_through() {
        let now = Boottime::now();
        let interest = Interest::new(Refresh::Store, true, 0, now);
        let due = |kind, ttl| {
            let mut look = Look::new(kind, State::Faulty);
            look.hint(ttl);
            interest.due(&look)
        };
        let usual = due(Kind::Plain, None);
        assert!(usual.since(now) >= s(54));
        let soon = due(Kind::Plain, Some(s(5))).since(now);
        assert!(soon >= s(5) && soon <= s(7));
        assert_eq!(due(Kind::Plain, Some(s(90))), usual);
        assert_eq!(due(Kind::Versioned, Some(s(5))), usual);
    }
}
