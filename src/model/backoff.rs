//! Full-jitter exponential backoff: each wait is drawn evenly from zero to a ceiling that doubles,
//! so that a fleet that lost its store does not come back in step.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A draw from all of `u64`, for waits. Jitter needs no better source than the hasher's seed; what must
/// not be guessed is drawn by `sys::memory::fill_random`.
pub fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// The waits between tries while a fault lasts.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// Ceilings from `first`, doubling, up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            tries: 0,
        }
    }

    /// The next wait. `random` is a number from all of `u64`, evenly.
    pub fn next(&mut self, random: u64) -> Duration {
        let ceiling = self
            .first
            .saturating_mul(1_u32.checked_shl(self.tries).unwrap_or(u32::MAX))
            .min(self.longest);
        self.tries = self.tries.saturating_add(1).min(31);
        let millis = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
        // The product's upper half is an even draw from 0..=millis without a division's bias.
        let drawn = (u128::from(random) * (u128::from(millis) + 1)) >> 64;
        Duration::from_millis(drawn as u64)
    }

    /// The fault has ended.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let waits: Vec<_> = (0..5).map(|_| backoff.next(u64::MAX)).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5].map(Duration::from_secs));
    }

    #[test]
    fn waits_are_drawn_from_zero() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        assert_eq!(backoff.next(0), Duration::ZERO);
        assert_eq!(backoff.next(u64::MAX / 2), Duration::from_secs(1));
    }

    #[test]
    fn a_reset_starts_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_hours(1));
        for _ in 0..100 {
            assert!(backoff.next(u64::MAX) <= Duration::from_hours(1));
        }
        backoff.reset();
        assert_eq!(backoff.next(u64::MAX), Duration::from_secs(1));
    }
}
