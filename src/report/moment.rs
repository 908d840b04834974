//! Points in time, as records have them.

use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

/// Microseconds since 1970; zero is a time that is not known. Written as RFC 3339, or null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// Of RFC 3339: a time in UTC, or a day. `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let time = humantime::parse_rfc3339_weak(text)
            .or_else(|_| humantime::parse_rfc3339(text))
            .or_else(|_| humantime::parse_rfc3339(&format!("{text}T00:00:00Z")))
            .ok()?;
        Some(Self::of(time))
    }

    /// Of the system's clock.
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_micros() as u64))
    }

    /// Whether it is known.
    pub const fn is_known(self) -> bool {
        self.0 != 0
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by.as_micros() as u64))
    }

    /// How long since an earlier one.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The earlier of two that are known.
    #[must_use]
    pub fn earliest(self, other: Self) -> Self {
        if self.is_known() && (self < other || !other.is_known()) {
            self
        } else {
            other
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Years of five digits cannot be written.
        let most = 253_402_300_799_000_000;
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(self.0.min(most));
        write!(f, "{}", humantime::format_rfc3339_seconds(time))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.is_known() {
            to.collect_str(self)
        } else {
            to.serialize_none()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_days_are_read_and_written() {
        for (text, written) in [
            ("2026-11-28T10:00:00.123456Z", "2026-11-28T10:00:00Z"),
            ("2026-11-28T10:00:00Z", "2026-11-28T10:00:00Z"),
            ("2026-11-28", "2026-11-28T00:00:00Z"),
        ] {
            let moment = Moment::parse(text).expect(text);
            assert_eq!(moment.to_string(), written);
        }
        for text in ["", "yesterday", "2026-13-01", "2026-11-28T25:00:00Z"] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
        assert!(Moment(u64::MAX).to_string().starts_with("9999-"));
        assert_eq!(Moment(0).earliest(Moment(5)), Moment(5));
        assert_eq!(Moment(5).earliest(Moment(0)), Moment(5));
    }
}
