//! What was found. A finding has the place of a value, and never the value: what leaves this room can be
//! printed, sent and kept.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::rule::Severity;
use crate::secret::SecretBytes;

/// Where a text is from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, as it was named: a path, a path within a commit or an image, a process.
    pub path: String,
    /// How much of the path the user named: it says nothing of the file's kind.
    #[serde(skip)]
    pub named: usize,
    /// What the file is in, by kind: `commit`, `image`, `layer`, `process`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

/// What a file is in, if that is no directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Within {
    /// `commit`, `layer`, `process`
    pub kind: &'static str,
    /// Its name there.
    pub name: String,
}

impl Place {
    /// A file in a directory.
    pub fn file(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            named: 0,
            within: None,
        }
    }

    /// A file below a directory that the user named, whose name takes so many bytes of the path.
    pub fn below(path: impl Into<String>, named: usize) -> Self {
        Self {
            named,
            ..Self::file(path)
        }
    }

    /// A file in an image, behind the image's name and a `!`.
    pub fn inside(image: &str, path: &str, kind: &'static str, name: impl Into<String>) -> Self {
        Self {
            named: image.len() + 1,
            ..Self::within(format!("{image}!{path}"), kind, name)
        }
    }

    /// The part of the path that the user did not name.
    pub fn own(&self) -> &str {
        self.path.get(self.named..).unwrap_or(&self.path)
    }

    /// A file within something else.
    pub fn within(path: impl Into<String>, kind: &'static str, name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            within: Some(Within { kind, name }),
            ..Self::file(path)
        }
    }
}

/// A secret that is where it should not be, or a setting that lets others read one.
#[derive(Serialize)]
pub struct Finding {
    /// The rule that found it.
    pub rule: String,
    /// What it is, for people.
    pub title: String,
    /// How much harm it can do.
    pub severity: Severity,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// The line, from 1; 0: the whole file.
    pub line: u64,
    /// The byte of the line, from 1.
    pub column: u64,
    /// The name that it is assigned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many bytes it has; 0 for a setting that is no value.
    pub length: usize,
    /// Secrets of a known store that it is, by their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,
    /// What a baseline knows it by.
    pub fingerprint: String,
    /// The value, where the caller asked to see it. It is not serialised.
    #[serde(skip)]
    pub value: Option<SecretBytes>,
}

impl Finding {
    /// What is written in place of the value: its name, and how long it is.
    pub fn excerpt(&self) -> String {
        let length = match self.length {
            0 => return self.name.clone().unwrap_or_default(),
            1 => "[1 byte]".to_owned(),
            length => format!("[{length} bytes]"),
        };
        match &self.name {
            Some(name) => format!("{name}={length}"),
            None => length,
        }
    }
}

/// What a baseline knows a finding by: a digest of rule, path and name, and 12 bits of one over the value.
/// Another value at the same place is seen, and who has the baseline cannot find a value by it: of a million
/// guesses 244 fit.
pub fn fingerprint(rule: &str, place: &Place, name: Option<&str>, value: &[u8]) -> String {
    let mut base = Sha256::new();
    let kind = place.within.as_ref().map_or("", |within| within.kind);
    for part in [rule, &place.path, kind, name.unwrap_or_default()] {
        base.update((part.len() as u64).to_le_bytes());
        base.update(part);
    }
    let base = base.finalize();
    let mut check = Sha256::new();
    check.update(base);
    check.update(value);
    let check = check.finalize();
    let mut out = String::with_capacity(20);
    for byte in &base[..8] {
        write!(out, "{byte:02x}").expect("writing to a String does not fail");
    }
    write!(out, "-{:01x}{:02x}", check[0] & 15, check[1])
        .expect("writing to a String does not fail");
    out
}

/// The name that a value is assigned to, if one stands right before it: `NAME=`, `"name": "`. What looks
/// like a value itself is no name.
pub fn name_before(
    text: &[u8],
    start: usize,
    is_taken: impl Fn(usize, usize) -> bool,
) -> Option<String> {
    let before = &text[start.saturating_sub(96)..start];
    let base = start - before.len();
    let trim = |bytes: &[u8], set: &[u8]| {
        bytes
            .iter()
            .rposition(|byte| !set.contains(byte))
            .map_or(0, |at| at + 1)
    };
    let end = trim(before, b" \t\"'`\\");
    let after_operator = trim(&before[..end], b"=:>,");
    if after_operator == end {
        return None;
    }
    let end = trim(&before[..after_operator], b" \t\"'`])\\");
    let length = before[..end]
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        .count();
    let name = &before[end - length..end];
    let digits = name.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_name = (1..=64).contains(&length)
        && digits <= 4
        && digits * 3 <= length
        && !is_taken(base + end - length, base + end);
    is_name.then(|| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_before_their_values() {
        let name = |text: &str, value: &str| {
            let start = text.find(value).unwrap();
            name_before(text.as_bytes(), start, |_, _| false)
        };
        assert_eq!(
            name("DB_PASSWORD=abc", "abc").as_deref(),
            Some("DB_PASSWORD")
        );
        assert_eq!(
            name("  \"apiKey\": \"abc\"", "abc").as_deref(),
            Some("apiKey")
        );
        assert_eq!(name("c['token'] = 'abc'", "abc").as_deref(), Some("token"));
        assert_eq!(name("echo abc", "abc"), None);
        assert_eq!(name("8f3a92b7c1:abc", "abc"), None);
    }

    #[test]
    fn a_fingerprint_is_of_the_place_and_of_few_bits_of_the_value() {
        let place = Place::file("a/b.env");
        let one = fingerprint("r", &place, Some("N"), b"one");
        assert_eq!(one, fingerprint("r", &place, Some("N"), b"one"));
        assert_eq!(one.len(), 20);
        let other = fingerprint("r", &place, Some("N"), b"two");
        assert_eq!(one[..16], other[..16]);
        assert_ne!(one, other);
        assert_ne!(one[..16], fingerprint("r", &place, Some("M"), b"one")[..16]);
    }
}
