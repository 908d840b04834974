//! Moments: of requests (RFC 3339) and of allowed_signers files (ssh-keygen(1)).

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The last second of the year 9999, as RFC 3339 has four digits for a year.
const LAST: u64 = 253_402_300_799;

/// Whole seconds since 1970, written as `2026-11-28T12:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Of the clock, without its fraction. Before 1970 it is 1970, after 9999 it is 9999.
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Self::from_unix(since.map_or(0, |since| since.as_secs()))
    }

    /// Of seconds since 1970.
    pub fn from_unix(seconds: u64) -> Self {
        Self(seconds.min(LAST))
    }

    /// Seconds since 1970.
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// That much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self::from_unix(self.0.saturating_add(duration.as_secs()))
    }

    /// How long it is from `earlier` to this; zero if it is not later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// Its one form is read, and no other.
impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = humantime::parse_rfc3339(text).map(Self::of);
        let moment = moment.ok().filter(|moment| moment.to_string() == text);
        moment.ok_or("expected a time such as 2026-11-28T12:00:00Z")
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.0);
        write!(f, "{}", humantime::format_rfc3339_seconds(time))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A date and a time of day somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Such as 2026.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

/// When that is in the time zone of the host, in seconds since 1970; `None`: never.
pub type Zone<'a> = &'a dyn Fn(Civil) -> Option<i64>;

/// `valid-after` and `valid-before`: YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, in the time zone of the host,
/// or in UTC with `Z` (or `UTC`) at the end: `parse_absolute_time` of misc.c. Days that no month has are
/// refused.
pub fn parse_timestamp(text: &str, zone: Zone<'_>) -> Option<Moment> {
    let upper = text.to_ascii_uppercase();
    let utc = upper
        .strip_suffix("UTC")
        .or_else(|| upper.strip_suffix('Z'));
    let digits = utc.unwrap_or(&upper);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| match digits.get(from..to) {
        Some(part) => part.parse().ok(),
        None => Some(0),
    };
    let civil = match digits.len() {
        8 | 12 | 14 => Civil {
            year: digits[..4].parse().ok()?,
            month: part(4, 6)?,
            day: part(6, 8)?,
            hour: part(8, 10)?,
            minute: part(10, 12)?,
            second: part(12, 14)?,
        },
        _ => return None,
    };
    let in_utc = unix(civil)?;
    let seconds = match utc {
        Some(_) => in_utc,
        None => u64::try_from(zone(civil)?).ok()?,
    };
    (1..=LAST).contains(&seconds).then_some(Moment(seconds))
}

/// In UTC, if there is such a day and time.
fn unix(at: Civil) -> Option<u64> {
    let text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        at.year, at.month, at.day, at.hour, at.minute, at.second
    );
    text.parse().ok().map(Moment::unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two hours ahead of UTC.
    fn zone(at: Civil) -> Option<i64> {
        Some(unix(at)? as i64 - 7200)
    }

    #[test]
    fn timestamps_have_the_forms_of_the_manual() {
        let noon = 1_795_867_200;
        for (text, expected) in [
            ("20261128Z", noon - 12 * 3600),
            ("202611281200Z", noon),
            ("20261128120001z", noon + 1),
            ("20261128120000UTC", noon),
            ("20261128", noon - 14 * 3600),
            ("202611281400", noon),
            ("20261128140005", noon + 5),
        ] {
            let found = parse_timestamp(text, &zone).map(Moment::unix);
            assert_eq!(found, Some(expected), "{text}");
        }
        for wrong in [
            "",
            "Z",
            "2026",
            "2026112812",
            "20261301Z",
            "20260230Z",
            "20261128246000Z",
            "+0261128Z",
            "20261128 ",
            "19700101Z",
            "2026-11-28",
            "99999999999999Z",
            "é0261128",
        ] {
            assert_eq!(parse_timestamp(wrong, &zone), None, "{wrong}");
        }
    }

    #[test]
    fn moments_are_written_in_one_way() {
        let text = "\"2026-11-28T12:00:00Z\"";
        let moment: Moment = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&moment).unwrap(), text);
        for wrong in [
            "2026-11-28T12:00:00.5Z",
            "2026-11-28 12:00:00Z",
            "2026-11-28",
            "",
        ] {
            let read = serde_json::from_str::<Moment>(&format!("\"{wrong}\""));
            assert!(read.is_err(), "{wrong}");
        }
    }
}
