//! Durations, file modes, digests, versions and generations, as manifests write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a unit was refused; the message says what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(&'static str);

const DURATION: UnitError = UnitError("a duration is a number and a unit: 500ms, 30s, 5m, 24h, 7d");

/// Parses `500ms`, `30s`, `5m`, `24h`, `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| DURATION)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(DURATION),
    };
    number
        .checked_mul(milliseconds)
        .filter(|ms| *ms <= 10 * 366 * 86_400_000)
        .map(Duration::from_millis)
        .ok_or(UnitError("a duration is at most ten years"))
}

/// Writes a duration the way [`parse_duration`] reads it, in the largest whole unit.
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (size, unit) in [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ] {
        if ms > 0 && ms.is_multiple_of(size) {
            return format!("{}{unit}", ms / size);
        }
    }
    if ms == 0 {
        return "0s".to_owned();
    }
    format!("{ms}ms")
}

/// Permission bits of a delivered file, written as quoted octal (`"0400"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(u32);

impl FileMode {
    /// Parses quoted octal such as `"0400"`. World access, execute and the special bits are refused.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        const WRONG: UnitError =
            UnitError("a mode is four octal digits in quotes, such as \"0400\"");
        if text.len() != 4 || !text.starts_with('0') {
            return Err(WRONG);
        }
        let bits = u32::from_str_radix(text, 8).map_err(|_| WRONG)?;
        if bits & 0o007 != 0 {
            return Err(UnitError(
                "a secret's file is never open to others: the last digit is 0",
            ));
        }
        if bits & 0o110 != 0 {
            return Err(UnitError("a secret's file is not executable"));
        }
        if bits & 0o400 == 0 {
            return Err(UnitError(
                "the owner must be able to read the file: 0400, 0440, 0600 or 0640",
            ));
        }
        Ok(Self(bits))
    }

    /// The permission bits, as chmod(2) takes them.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Default for FileMode {
    fn default() -> Self {
        Self(0o400)
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// Bytes of a public thing as lowercase hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String can be written to");
        text
    })
}

/// A SHA-256 digest of a public thing (a program), written as 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Parses 64 hex digits.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        const WRONG: UnitError =
            UnitError("a SHA-256 digest is 64 hex digits, as sha256sum prints it");
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        let mut digest = [0; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| WRONG)?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// What a store calls one value of a secret: never derived from the value without a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Version(pub String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a version is asked for (`rollback --to`): the store's own text, such as `3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct VersionRef(String);

impl VersionRef {
    const LONGEST: usize = 128;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VersionRef {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=Self::LONGEST).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(UnitError(
            "a version is a word of at most 128 printable characters",
        ))
    }
}

impl TryFrom<String> for VersionRef {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<u64> for VersionRef {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of one consistent set of versions, counted from 1 within a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Generation(pub u64);

impl Generation {
    /// The first generation, delivered before the program starts.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "30", "s", "-1s", "1.5s", "1w", "99999999999999999999s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert!(parse_duration("9000000h").is_err());
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "500ms", "30s", "5m", "24h", "90s"] {
            let parsed = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&format_duration(parsed)), Ok(parsed));
        }
    }

    #[test]
    fn modes_never_open_a_secret_to_others() {
        assert_eq!(FileMode::parse("0400").map(FileMode::bits), Ok(0o400));
        assert_eq!(FileMode::parse("0640").map(FileMode::bits), Ok(0o640));
        for wrong in ["400", "0644", "0700", "0040", "04000", "0x40", ""] {
            assert!(FileMode::parse(wrong).is_err(), "{wrong}");
        }
    }
}
