//! Lengths of time as people read them.

use std::time::{Duration, SystemTime};

use crate::model::printable::printable;

/// The two largest units: `42s`, `5m 3s`, `2h 10m`, `3d 4h`.
pub fn length(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        (_, _, _) => format!("{days}d {}h", hours % 24),
    }
}

/// How long ago a time in RFC 3339 was; `None` when it is none. One that is yet to come was now.
pub fn since(time: &str, now: SystemTime) -> Option<Duration> {
    let time = humantime::parse_rfc3339(time).ok()?;
    Some(now.duration_since(time).unwrap_or_default())
}

/// `5m 3s ago`, and the time itself.
pub fn ago(time: &str, now: SystemTime) -> String {
    match since(time, now) {
        Some(age) => format!("{} ago ({time})", length(age.as_secs())),
        None => printable(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_their_two_largest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (303, "5m 3s"),
            (3_600, "1h 0m"),
            (7_860, "2h 11m"),
            (86_400, "1d 0h"),
            (273_600, "3d 4h"),
            (40_000_000, "462d 23h"),
        ] {
            assert_eq!(length(seconds), text);
        }
    }

    #[test]
    fn times_are_told_by_how_long_ago_they_were() {
        let now = humantime::parse_rfc3339("2026-11-23T12:05:03Z").unwrap();
        let shown = ago("2026-11-23T12:00:00Z", now);
        assert_eq!(shown, "5m 3s ago (2026-11-23T12:00:00Z)");
        // Another host's clock, or one that was set back.
        let shown = ago("2026-11-23T12:06:00Z", now);
        assert_eq!(shown, "0s ago (2026-11-23T12:06:00Z)");
        assert_eq!(ago("yesterday\x1b[2J", now), "yesterday\\u{1b}[2J");
    }
}
