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

/// When a date and a time of day (year, month from 1, day, hour, minute, second) are in the time zone of
/// the host, in seconds since 1970: mktime(3), which knows about summer time. `None`: it has no number.
pub fn of_host([year, month, day, hour, minute, second]: [u16; 6]) -> Option<i64> {
    // SAFETY: a C struct of numbers and a pointer that is not read; zero is valid for each.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    parts.tm_year = i32::from(year) - 1900;
    parts.tm_mon = i32::from(month) - 1;
    parts.tm_mday = i32::from(day);
    parts.tm_hour = i32::from(hour);
    parts.tm_min = i32::from(minute);
    parts.tm_sec = i32::from(second);
    parts.tm_isdst = -1;
    // What is not set shows that -1 is an error and not the last second of 1969.
    parts.tm_wday = -1;
    // SAFETY: the struct lives as long as the call. hushpipe has one thread: nothing changes TZ meanwhile.
    let seconds = unsafe { libc::mktime(&raw mut parts) };
    (parts.tm_wday != -1).then_some(seconds)
}

/// Local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// 0 to 23.
    pub hour: u8,
    /// 1 (Monday) to 7.
    pub weekday: u8,
    /// Seconds since 1970.
    pub unix: i64,
}

/// The host's clock, in its time zone: localtime_r(3).
pub fn local() -> Local {
    local_at(clock_gettime(ClockId::Realtime).tv_sec)
}

fn local_at(unix: i64) -> Local {
    // SAFETY: all zeros is a good `tm`, whose pointer to the zone's name may be null.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are good for the call; it keeps neither.
    let known = unsafe { !libc::localtime_r(&raw const unix, &raw mut parts).is_null() };
    // A year that does not fit an int: UTC then.
    let (hour, weekday) = if known {
        (parts.tm_hour, parts.tm_wday)
    } else {
        let days = unix.div_euclid(86_400);
        let hour = unix.rem_euclid(86_400) / 3_600;
        (hour as i32, (days + 4).rem_euclid(7) as i32)
    };
    Local {
        hour: hour as u8,
        weekday: if weekday == 0 { 7 } else { weekday as u8 },
        unix,
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
    fn a_moment_has_an_hour_and_a_weekday() {
        // No zone is further away than 14 hours: Thursday noon is Wednesday to Friday everywhere.
        let local = local_at(12 * 3_600);
        assert!((3..=5).contains(&local.weekday), "{local:?}");
        assert!(local.hour < 24);
        // Further than any year that fits: UTC, and what the calendar would say.
        let far = local_at(i64::MAX / 2);
        assert!((1..=7).contains(&far.weekday) && far.hour < 24, "{far:?}");
    }

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
