//! Time as it passes also while the machine sleeps, which is what a server counts for a lease; and waits
//! until a moment that there may not be.

use std::fs::File;
use std::io::Read as _;
use std::ops::Add;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until};
use tz::{DateTime, TimeZone};

/// Ends at that moment; never, if there is none. Needs a tokio runtime with time.
pub async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// When a date and a time of day (year, month from 1, day, hour, minute, second) are in the time zone of
/// the host. The first time, where clocks are set back; `None`: there is no such day.
pub fn of_host(at: [u16; 6]) -> Option<i64> {
    in_zone(at, &zone())
}

fn in_zone(at: [u16; 6], zone: &TimeZone) -> Option<i64> {
    let [year, month, day, hour, minute, second] = at;
    let part = |number: u16| u8::try_from(number).ok();
    let found = DateTime::find(
        year.into(),
        part(month)?,
        part(day)?,
        part(hour)?,
        part(minute)?,
        part(second)?,
        0,
        zone.as_ref(),
    );
    Some(found.ok()?.earliest()?.unix_time())
}

/// Where a host says its time zone: localtime(5).
const ZONE: &str = "/etc/localtime";

/// More than the largest zone has several times over.
const MAX_ZONE: u64 = 256 << 10;

/// The host's time zone, and never TZ (environ(7)), which is the caller's. UTC where the host has none.
fn zone() -> TimeZone {
    let mut bytes = Vec::new();
    let read = File::open(ZONE).and_then(|file| file.take(MAX_ZONE).read_to_end(&mut bytes));
    let zone = read.ok().and_then(|_| TimeZone::from_tz_data(&bytes).ok());
    zone.unwrap_or_else(TimeZone::utc)
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

/// The host's clock, in its time zone.
pub fn local() -> Local {
    local_at(clock_gettime(ClockId::Realtime).tv_sec, &zone())
}

/// A second since 1970 in the host's time zone.
pub fn local_of(unix: i64) -> Local {
    local_at(unix, &zone())
}

fn local_at(unix: i64, zone: &TimeZone) -> Local {
    // A moment that no calendar has: UTC then.
    let offset = zone.find_local_time_type(unix);
    let offset = offset.map_or(0, |local| i64::from(local.ut_offset()));
    let here = unix.saturating_add(offset);
    let days = here.div_euclid(86_400);
    Local {
        hour: (here.rem_euclid(86_400) / 3_600) as u8,
        // The first day of 1970 was a Thursday.
        weekday: ((days + 3).rem_euclid(7) + 1) as u8,
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

    /// Ten hours east of UTC in winter, eleven in summer.
    fn sydney() -> TimeZone {
        let zone = std::fs::read("/usr/share/zoneinfo/Australia/Sydney");
        match zone {
            Ok(bytes) => TimeZone::from_tz_data(&bytes).unwrap(),
            Err(_) => TimeZone::fixed(11 * 3_600).unwrap(),
        }
    }

    #[test]
    fn a_moment_has_an_hour_and_a_weekday_in_the_zone_of_the_host() {
        // Sunday, 2026-11-29T20:30:00Z.
        let unix = 1_795_984_200;
        let utc = local_at(unix, &TimeZone::utc());
        assert_eq!((utc.hour, utc.weekday), (20, 7));
        let east = local_at(unix, &sydney());
        assert_eq!((east.hour, east.weekday, east.unix), (7, 1, unix));
        let at = [2026, 11, 30, 7, 30, 0];
        assert_eq!(in_zone(at, &sydney()), Some(unix));
        assert_eq!(in_zone([2026, 2, 30, 0, 0, 0], &sydney()), None);
        // Further than any year that fits.
        let far = local_at(i64::MAX / 2, &sydney());
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
