//! Values that are known: a store's, looked for wherever they are, as they are and in base64, hexadecimal,
//! percent and JSON encoding. Nothing of a value is kept: a bit for the start of each form, and keyed digests
//! of its last bytes and of all of it, under a key of this process.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::engine::AHEAD;
use super::filter;
use super::rule::Span;

/// Shorter values are in places by chance.
pub const SHORTEST: usize = 8;

/// Bits of the filter on the first eight bytes.
const BITS: u32 = 20;

/// So many failed comparisons in a block, and it is made to have them: what is left of it is compared
/// without the filter's help only where a form starts as none before it.
const FAILED: usize = 4096;

/// A form of a value, by its digests.
struct Form {
    /// The first eight bytes, by the filter's function: not enough to know them.
    bucket: u32,
    /// The last eight, keyed and cut.
    tail: u16,
    length: usize,
    digest: [u8; 32],
    /// Of which value.
    value: usize,
    encoding: &'static str,
}

/// Values that are known.
pub struct Known {
    key: [u8; 32],
    factor: u64,
    filter: Vec<u64>,
    forms: Vec<Form>,
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
    /// Of no values yet, under a random key.
    pub fn new(key: [u8; 32]) -> Self {
        let half = u64::from_le_bytes([
            key[0], key[1], key[2], key[3], key[4], key[5], key[6], key[7],
        ]);
        Self {
            key,
            factor: half | 1,
            filter: vec![0; 1 << (BITS - 6)],
            forms: Vec::new(),
            names: Vec::new(),
            passed: Vec::new(),
        }
    }

    /// Looks for a value from now on, under a name. Of a value of several lines each that is long enough is
    /// looked for as well.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let value = value.trim_ascii();
        let cause = match () {
            () if value.len() < SHORTEST => Some("it is too short"),
            () if different(value) < 4 => Some("it has fewer than four different bytes"),
            () => None,
        };
        if let Some(cause) = cause {
            self.passed.push((name.to_owned(), cause));
            return;
        }
        let number = self.names.len();
        self.names.push(name.to_owned());
        self.forms_of(value, number);
        let lines: Vec<&[u8]> = value
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .collect();
        for line in lines.iter().filter(|_| lines.len() > 1) {
            // `-----BEGIN …` and the like are in every file of its kind.
            if line.len() >= 24 && !line.starts_with(b"-----") && filter::entropy(line) >= 3.5 {
                self.form(line, number, "a line of it");
            }
        }
        self.forms.sort_by_key(|form| form.bucket);
    }

    /// Names of values that are not looked for, and why.
    pub fn passed(&self) -> &[(String, &'static str)] {
        &self.passed
    }

    /// What a value is called.
    pub fn name(&self, value: usize) -> &str {
        &self.names[value]
    }

    fn forms_of(&mut self, value: &[u8], number: usize) {
        self.form(value, number, "");
        for (upper, encoding) in [(false, "hex"), (true, "hex")] {
            self.form(&hexadecimal(value, upper), number, encoding);
        }
        for lead in 0..3_usize {
            // Where it stands within what was encoded decides; the letters at its ends are shared.
            let padded = Zeroizing::new([&[0; 2][..lead], value].concat());
            let (first, last) = ((lead * 8).div_ceil(6), (padded.len() * 8) / 6);
            for (engine, encoding) in [
                (&STANDARD_NO_PAD, "base64"),
                (&URL_SAFE_NO_PAD, "base64url"),
            ] {
                let text = Zeroizing::new(engine.encode(&*padded));
                let middle = &text.as_bytes()[first..last];
                // Short values have little left in the middle.
                if middle.len() >= SHORTEST {
                    self.form(middle, number, encoding);
                }
            }
        }
        let percent = percent(value);
        if percent.as_slice() != value {
            self.form(&percent, number, "percent");
        }
        if let Ok(text) = str::from_utf8(value) {
            let quoted = Zeroizing::new(serde_json::Value::String(text.to_owned()).to_string());
            let inner = &quoted.as_bytes()[1..quoted.len() - 1];
            if inner != value {
                self.form(inner, number, "JSON");
            }
        }
    }

    fn form(&mut self, bytes: &[u8], value: usize, encoding: &'static str) {
        // What is longer than what is kept of a block cannot be seen across two.
        if bytes.len() < SHORTEST || bytes.len() > AHEAD - SHORTEST {
            return;
        }
        let bucket = self.bucket(load(bytes));
        let tail = self.tail(bytes);
        let form = Form {
            bucket,
            tail,
            length: bytes.len(),
            digest: self.digest(bytes),
            value,
            encoding,
        };
        let is_known = self
            .forms
            .iter()
            .any(|other| other.digest == form.digest && other.value == value);
        if !is_known {
            self.filter[(bucket >> 6) as usize] |= 1 << (bucket & 63);
            self.forms.push(form);
        }
    }

    const fn bucket(&self, first: u64) -> u32 {
        (first.wrapping_mul(self.factor) >> (64 - BITS)) as u32
    }

    fn tail(&self, bytes: &[u8]) -> u16 {
        let last = load(&bytes[bytes.len() - SHORTEST..]);
        (last.wrapping_mul(self.factor ^ 0x9e37_79b9_7f4a_7c14) >> 48) as u16
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    /// All known values that start in a range of a text.
    pub fn find(&self, text: &[u8], range: std::ops::Range<usize>) -> Vec<Sighting> {
        let mut found = Vec::new();
        if self.forms.is_empty() || text.len() < SHORTEST {
            return found;
        }
        let mut failed = 0;
        let end = range.end.min(text.len() - SHORTEST + 1);
        let mut at = range.start;
        while at < end {
            let bucket = self.bucket(load(&text[at..]));
            if self.filter[(bucket >> 6) as usize] & (1 << (bucket & 63)) != 0
                && let Some(sighting) = self.look(text, at, bucket, &mut failed)
            {
                at = sighting.span.end;
                found.push(sighting);
            } else {
                at += 1;
            }
        }
        found
    }

    fn look(&self, text: &[u8], at: usize, bucket: u32, failed: &mut usize) -> Option<Sighting> {
        let first = self.forms.partition_point(|form| form.bucket < bucket);
        let forms = self.forms[first..]
            .iter()
            .take_while(|form| form.bucket == bucket);
        let mut best: Option<Sighting> = None;
        for form in forms {
            let Some(window) = text.get(at..at + form.length) else {
                continue;
            };
            let is_shorter = best.is_some_and(|best| best.span.end - at >= form.length);
            if is_shorter || self.tail(window) != form.tail || *failed > FAILED {
                continue;
            }
            if bool::from(self.digest(window).ct_eq(&form.digest)) {
                let span = Span {
                    start: at,
                    end: at + form.length,
                };
                best = Some(Sighting {
                    span,
                    value: form.value,
                    encoding: form.encoding,
                });
            } else {
                *failed += 1;
            }
        }
        best
    }
}

fn load(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk::<8>()
        .map_or(0, |first| u64::from_le_bytes(*first))
}

fn different(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count()
}

fn hexadecimal(bytes: &[u8], upper: bool) -> Zeroizing<Vec<u8>> {
    let digits = if upper {
        b"0123456789ABCDEF"
    } else {
        b"0123456789abcdef"
    };
    let pairs = bytes.iter().flat_map(|byte| {
        [
            digits[usize::from(byte >> 4)],
            digits[usize::from(byte & 15)],
        ]
    });
    Zeroizing::new(pairs.collect())
}

/// RFC 3986, 2.1.
fn percent(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(String::with_capacity(bytes.len() * 3));
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
    Zeroizing::new(out.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &[u8] = b"k3yb0ard-Cat/+\"7!";

    fn known() -> Known {
        let mut known = Known::new([7; 32]);
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
            assert_eq!(encodings(&around(&hexadecimal(VALUE, false))), ["hex"]);
            assert_eq!(encodings(&around(&hexadecimal(VALUE, true))), ["hex"]);
            assert_eq!(encodings(&around(&percent(VALUE))), ["percent"]);
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
    fn nothing_of_a_value_is_kept() {
        let known = known();
        let kept: Vec<u8> = known.forms.iter().flat_map(|form| form.digest).collect();
        assert!(memchr::memmem::find(&kept, &VALUE[..6]).is_none());
        // A million texts share each of the filter's bits.
        assert!(known.forms.iter().all(|form| form.bucket < 1 << BITS));
    }

    #[test]
    fn a_text_that_is_made_to_look_alike_takes_bounded_time() {
        let mut known = Known::new([9; 32]);
        let mut value = b"abcdefgh".repeat(64);
        value[256] = b'!';
        known.add("a", &value);
        let text = b"abcdefgh".repeat(20_000);
        assert_eq!(known.find(&text, 0..text.len()), []);
    }

    #[test]
    fn lines_of_a_key_are_found_alone() {
        let mut known = Known::new([9; 32]);
        known.add("key", b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIBftnHPp22SewYmm\n-----END PRIVATE KEY-----\n");
        let text = b"\"MC4CAQAwBQYDK2VwBCIEIBftnHPp22SewYmm\"";
        assert_eq!(known.find(text, 0..text.len())[0].encoding, "a line of it");
        assert_eq!(known.find(b"-----BEGIN PRIVATE KEY-----\n", 0..20), []);
    }
}
