//! Values that are known: a store's, looked for wherever they are, by [`crate::patterns`].

use std::io;
use std::ops::Range;

use super::engine::AHEAD;
use super::filter;
use super::rule::Span;
use crate::patterns::{self, Patterns, SHORTEST};

/// What is longer than what is kept of a block cannot be seen across two.
const LONGEST: usize = AHEAD - SHORTEST;

/// So many bytes of a block are compared with values, 20 times what is in it: a block that was made to look
/// like one everywhere takes no more time than that.
const WORK: usize = 32 << 20;

/// Values that are known.
pub struct Known {
    patterns: Patterns,
    /// The owners of the patterns: of which value it is a form, and in which encoding.
    forms: Vec<(usize, &'static str)>,
    names: Vec<String>,
    /// Names of values that are not looked for, and why.
    passed: Vec<(String, &'static str)>,
}

/// A known value in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Where.
    pub span: Span,
    /// Which value: see [`Known::name`].
    pub value: usize,
    /// In which encoding; empty: as it is.
    pub encoding: &'static str,
}

impl Known {
    /// Of no values yet. Fails if the kernel gives no random numbers.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            patterns: Patterns::many()?,
            forms: Vec::new(),
            names: Vec::new(),
            passed: Vec::new(),
        })
    }

    /// Looks for a value from now on, under a name. Of a value of several lines each that is long enough is
    /// looked for as well.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let value = value.trim_ascii();
        let cause = match () {
            () if value.len() < SHORTEST => Some("it is too short"),
            () if different(value) < 4 => Some("it has fewer than four different bytes"),
            () if value.len() > LONGEST => Some("it has more than 20,000 bytes"),
            () => None,
        };
        if let Some(cause) = cause {
            self.passed.push((name.to_owned(), cause));
        }
        if value.len() < SHORTEST || different(value) < 4 {
            return;
        }
        let number = self.names.len();
        self.names.push(name.to_owned());
        self.forms_of(value, number, None);
        let lines: Vec<&[u8]> = value
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .collect();
        for line in lines.iter().filter(|_| lines.len() > 1) {
            // `-----BEGIN …` and the like are in every file of its kind.
            if line.len() >= 24 && !line.starts_with(b"-----") && filter::entropy(line) >= 3.5 {
                self.forms_of(line, number, Some("a line of it"));
            }
        }
    }

    /// Names of values that are not looked for, and why.
    pub fn passed(&self) -> &[(String, &'static str)] {
        &self.passed
    }

    /// What a value is called.
    pub fn name(&self, value: usize) -> &str {
        &self.names[value]
    }

    fn forms_of(&mut self, value: &[u8], number: usize, called: Option<&'static str>) {
        let forms = patterns::forms(value);
        for form in forms.iter().filter(|form| form.text.len() <= LONGEST) {
            let known = (number, called.unwrap_or(form.encoding));
            if self.forms.last() != Some(&known) {
                self.forms.push(known);
            }
            self.patterns.add(&form.text, self.forms.len() - 1);
        }
    }

    /// All known values that start in a range of a text.
    pub fn find(&self, text: &[u8], range: Range<usize>) -> Vec<Sighting> {
        let mut hits = Vec::new();
        if !self.patterns.is_empty() {
            self.patterns.search(text, range, WORK, &mut hits);
        }
        let mut end = 0;
        hits.retain(|hit| {
            let is_new = hit.start >= end;
            end = if is_new { hit.end } else { end };
            is_new
        });
        let sighting = |hit: patterns::Hit| {
            let (value, encoding) = self.forms[hit.owner];
            Sighting {
                span: Span {
                    start: hit.start,
                    end: hit.end,
                },
                value,
                encoding,
            }
        };
        hits.into_iter().map(sighting).collect()
    }
}

fn different(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    use super::*;

    const VALUE: &[u8] = b"k3yb0ard-Cat/+\"7!";

    fn known() -> Known {
        let mut known = Known::new().unwrap();
        known.add("db/password", VALUE);
        known.add("short", b"1234567");
        known.add("same", b"aaaaaaaaaaaa");
        known
    }

    fn encodings(text: &[u8]) -> Vec<&'static str> {
        let known = known();
        known
            .find(text, 0..text.len())
            .into_iter()
            .map(|one| one.encoding)
            .collect()
    }

    #[test]
    fn a_value_is_found_in_each_of_its_forms_at_any_offset() {
        for lead in 0..9 {
            let around = |bytes: &[u8]| [&b"xxxxxxxxx"[..lead], bytes, b"yy"].concat();
            assert_eq!(encodings(&around(VALUE)), [""], "{lead}");
            for hex in [
                "6b337962306172642d4361742f2b223721",
                "6B337962306172642D4361742F2B223721",
            ] {
                assert_eq!(encodings(&around(hex.as_bytes())), ["hex"]);
            }
            for percent in ["k3yb0ard-Cat%2F%2B%227%21", "k3yb0ard-Cat%2f%2b%227!"] {
                assert_eq!(encodings(&around(percent.as_bytes())), ["percent"]);
            }
            assert_eq!(encodings(&around(br#"k3yb0ard-Cat/+\"7!"#)), ["JSON"]);
            let encoded = STANDARD_NO_PAD.encode(around(VALUE));
            assert_eq!(encodings(encoded.as_bytes()), ["base64"], "{lead}");
        }
        assert_eq!(encodings(b"k3yb0ard-Cat/+\"7?"), [""; 0]);
        assert_eq!(encodings(b""), [""; 0]);
    }

    #[test]
    fn what_is_not_looked_for_is_named() {
        let known = known();
        let names: Vec<&str> = known
            .passed()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["short", "same"]);
        assert_eq!(known.name(0), "db/password");
    }

    #[test]
    fn a_long_value_is_named_and_its_lines_are_found() {
        let mut known = Known::new().unwrap();
        let lines: Vec<String> = (0..2000)
            .map(|line| format!("line-{line}-{}", line * 7_919 + 1_000_000_007))
            .collect();
        known.add("long", lines.join("\n").as_bytes());
        assert_eq!(known.passed().len(), 1);
        assert_eq!(known.find(lines[500].as_bytes(), 0..8).len(), 0);
        let line = format!("{}-0123456789abcdef", lines[500]);
        let mut known = Known::new().unwrap();
        known.add("long", [&line, "\n", &lines.join("\n")].concat().as_bytes());
        let found = known.find(line.as_bytes(), 0..line.len());
        assert_eq!(found[0].encoding, "a line of it");
    }

    #[test]
    fn a_text_that_is_made_to_look_alike_takes_bounded_time() {
        let mut known = Known::new().unwrap();
        let mut value = b"abcdefgh".repeat(64);
        value[256] = b'!';
        known.add("a", &value);
        let text = b"abcdefgh".repeat(20_000);
        assert_eq!(known.find(&text, 0..text.len()), []);
    }

    #[test]
    fn lines_of_a_key_are_found_alone() {
        let mut known = Known::new().unwrap();
        known.add("key", b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIBftnHPp22SewYmm\n-----END PRIVATE KEY-----\n");
        let text = b"\"MC4CAQAwBQYDK2VwBCIEIBftnHPp22SewYmm\"";
        assert_eq!(known.find(text, 0..text.len())[0].encoding, "a line of it");
        assert_eq!(known.find(b"-----BEGIN PRIVATE KEY-----\n", 0..20), []);
    }
}
