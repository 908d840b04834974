//! How long something is good that a server gave for a time: a lease, a token.

use std::time::Duration;

use crate::stores::poll::fraction;
use crate::sys::clock::Boottime;

/// Whole seconds are told, so that a term may look this much shorter than it is.
const ROUNDING: Duration = Duration::from_secs(1);

/// A time that something is good for, and whether it can be made longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    from: Boottime,
    length: Duration,
    /// What it was at first: what each renewal gives, until the end of all renewals is near.
    full: Duration,
    renewable: bool,
    /// When something is to be done for it.
    due: Boottime,
}

impl Term {
    /// It begins when the request was sent: the server's own count is never ahead of that.
    pub fn new(from: Boottime, length: Duration, renewable: bool) -> Self {
        Self {
            from,
            length,
            full: length,
            renewable,
            due: from + early(length),
        }
    }

    /// It was renewed for `length`. Where that is clearly less than what it was at first, the end of
    /// all renewals is near, and this was the last one.
    #[must_use]
    pub fn renewed(self, from: Boottime, length: Duration, renewable: bool) -> Self {
        let capped = length + ROUNDING < self.full && length < self.full * 9 / 10;
        let longer = from + length > self.end();
        Self {
            from,
            length,
            full: self.full,
            renewable: renewable && longer && !capped,
            due: from + early(length),
        }
    }

    /// It cannot be made longer any more: something is to be done now.
    #[must_use]
    pub const fn fixed(self, now: Boottime) -> Self {
        Self {
            renewable: false,
            due: now,
            ..self
        }
    }

    /// How long it was good when it was given or renewed last.
    pub const fn length(self) -> Duration {
        self.length
    }

    /// When it is over.
    pub fn end(self) -> Boottime {
        self.from + self.length
    }

    /// How long it is still good.
    pub fn left(self, now: Boottime) -> Duration {
        self.end().since(now)
    }

    /// Whether it is over.
    pub fn is_over(self, now: Boottime) -> bool {
        now >= self.end()
    }

    /// After two thirds of it: to be renewed then, or replaced.
    pub const fn due(self) -> Boottime {
        self.due
    }

    /// Whether it can be made longer.
    pub const fn is_renewable(self) -> bool {
        self.renewable
    }
}

/// Two thirds, or up to a twentieth less, so that a fleet that was started at once does not come at
/// once.
fn early(length: Duration) -> Duration {
    spread(length * 2 / 3)
}

/// Up to a twentieth shorter.
pub(super) fn spread(length: Duration) -> Duration {
    length.mul_f64(1.0 - 0.05 * fraction())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_due_after_two_thirds_or_a_little_before() {
        let now = Boottime::now();
        for _ in 0..1_000 {
            let due = Term::new(now, s(3_000), true).due().since(now);
            assert!(due <= s(2_000) && due >= s(1_900), "{due:?}");
        }
    }

    #[test]
    fn a_renewal_that_gives_less_is_the_last() {
        let now = Boottime::now();
        let term = Term::new(now, s(60), true);
        let again = term.renewed(now + s(40), s(60), true);
        assert!(again.is_renewable());
        assert_eq!(again.end().since(now), s(100));
        let rounded = again.renewed(now + s(80), s(59), true);
        assert!(rounded.is_renewable());
        let last = rounded.renewed(now + s(120), s(20), true);
        assert!(!last.is_renewable());
        assert!(last.due().since(now) <= s(134));
        assert!(!last.is_over(now + s(139)) && last.is_over(now + s(140)));
    }

    #[test]
    fn a_renewal_that_does_not_make_it_longer_is_the_last() {
        let now = Boottime::now();
        let term = Term::new(now, s(4), true);
        assert!(!term.renewed(now, s(4), true).is_renewable());
        assert!(!term.renewed(now + s(2), s(4), false).is_renewable());
        assert!(term.renewed(now + s(2), s(4), true).is_renewable());
    }
}
