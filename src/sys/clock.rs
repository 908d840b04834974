//! Time as it passes also while the machine sleeps, which is what a server counts for a lease; and waits
//! until a moment that there may not be.

use std::ops::Add;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until};

/// Ends at that moment; never, if there is none. Needs a tokio runtime with time.
pub async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// A moment of CLOCK_BOOTTIME (clock_gettime(2)): it is never set, and does not stop in a suspended
/// machine as the monotonic clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boottime(Duration);

impl Boottime {
    /// Now.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanoseconds))
    }

    /// How long it is from `earlier` to this; zero if it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Boottime {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward() {
        let before = Boottime::now();
        let after = Boottime::now();
        assert!(after >= before && before.since(after).is_zero() || after == before);
        let later = before + Duration::from_secs(3);
        assert_eq!(later.since(before), Duration::from_secs(3));
        assert_eq!(before.since(later), Duration::ZERO);
    }
}
