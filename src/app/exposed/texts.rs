//! What other processes can read of the program: arguments and variables, as they are and decoded.
//!
//! The texts are decoded, not the values encoded: any mix of alphabets, padding and alignment is
//! found, also within a longer text such as `Authorization: Basic`, and no more copies of the values
//! are made.

use std::borrow::Cow;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Values of fewer bytes are not looked for.
pub const SHORTEST: usize = 8;

/// Whose text it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The variable of this name.
    Variable(OsString),
    /// The argument of this index; 0 is the program's name.
    Argument(usize),
}

/// One reading of a text.
pub struct Text<'a> {
    pub place: Place,
    pub bytes: Cow<'a, [u8]>,
    /// Where a variable's value starts.
    pub body: usize,
    /// How it is encoded, for messages.
    pub form: &'static str,
    /// What is beside a value in it may be chance.
    pub encoded: bool,
}

/// Every reading of all arguments and variables.
pub fn texts<'a>(argv: &'a [CString], env: &'a [CString]) -> Vec<Text<'a>> {
    let mut texts = Vec::with_capacity(2 * (argv.len() + env.len()));
    for (index, argument) in argv.iter().enumerate() {
        read(&mut texts, &Place::Argument(index), argument.as_bytes(), 0);
    }
    for variable in env {
        let bytes = variable.as_bytes();
        let equals = memchr::memchr(b'=', bytes).unwrap_or(bytes.len());
        let name = OsStr::from_bytes(&bytes[..equals]).to_owned();
        let body = (equals + 1).min(bytes.len());
        read(&mut texts, &Place::Variable(name), bytes, body);
    }
    texts
}

fn read<'a>(texts: &mut Vec<Text<'a>>, place: &Place, bytes: &'a [u8], body: usize) {
    let mut add = |bytes: Cow<'a, [u8]>, body: usize, form, encoded| {
        texts.push(Text {
            place: place.clone(),
            bytes,
            body,
            form,
            encoded,
        });
    };
    let value = &bytes[body..];
    let percent = percent(value, false);
    let plus = percent
        .is_some()
        .then(|| self::percent(value, true))
        .flatten();
    let unescaped = unescaped(value);
    for plain in [Some(value), percent.as_deref(), unescaped.as_deref()] {
        let Some(plain) = plain else { continue };
        for decoded in base64(plain) {
            add(Cow::Owned(decoded), 0, " (in base64)", true);
        }
        for decoded in hex(plain) {
            add(Cow::Owned(decoded), 0, " (in hex)", true);
        }
    }
    for decoded in [percent, plus].into_iter().flatten() {
        add(Cow::Owned(decoded), 0, " (percent-encoded)", false);
    }
    if let Some(unescaped) = unescaped {
        add(Cow::Owned(unescaped), 0, " (with escapes)", false);
    }
    add(Cow::Borrowed(bytes), body, "", false);
}

/// `%2F` and the like decoded; with `plus`, `+` is a space, as in forms. `None`: nothing is encoded.
fn percent(text: &[u8], plus: bool) -> Option<Vec<u8>> {
    memchr::memchr(b'%', text)?;
    if plus {
        memchr::memchr(b'+', text)?;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        let code = match (first, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match (first, code) {
            (_, Some((high, low))) => {
                out.push(high << 4 | low);
                rest = &after[2..];
            }
            (b'+', None) if plus => out.push(b' '),
            (first, None) => out.push(*first),
        }
    }
    Some(out)
}

/// The escapes of JSON and, where they are the same, of shells and C. `None`: there are none.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'\\', text)?;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        let (b'\\', [escape, after @ ..]) = (first, after) else {
            out.push(*first);
            continue;
        };
        rest = after;
        match escape {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                if let Some((c, after)) = unicode(after) {
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = after;
                }
            }
            other => out.push(*other),
        }
    }
    Some(out)
}

/// The character of `\uXXXX` after its `\u`, also of a surrogate pair, and what follows.
fn unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let unit = |text: &[u8]| -> Option<u32> {
        let mut digits = text.get(..4)?.iter();
        digits.try_fold(0, |sum, byte| Some(sum << 4 | u32::from(digit(*byte)?)))
    };
    let first = unit(text)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, &text[4..]));
    }
    let second = unit(text.get(4..)?.strip_prefix(b"\\u")?)?;
    let code = 0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
    Some((char::from_u32(code)?, &text[10..]))
}

/// What each run of base64's letters means, from each of its four places on: the alphabets of
/// RFC 4648, 4 and 5. Line ends within are no end of a run.
fn base64(text: &[u8]) -> Vec<Vec<u8>> {
    let value = |byte: u8| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        })
    };
    let least = (SHORTEST * 4).div_ceil(3);
    let mut decoded = Vec::new();
    for run in runs(text, value, least) {
        decoded.extend((0..4).filter_map(|from| {
            let run = run.get(from..).filter(|run| run.len() >= least)?;
            let mut out = Vec::with_capacity(run.len() * 3 / 4);
            for four in run.chunks(4) {
                let mut bits = [0; 4];
                bits[..four.len()].copy_from_slice(four);
                let [a, b, c, d] = bits;
                let bytes = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
                out.extend_from_slice(&bytes[..four.len() - 1]);
            }
            Some(out)
        }));
    }
    decoded
}

/// What each run of hexadecimal digits means, from each of its two places on.
fn hex(text: &[u8]) -> Vec<Vec<u8>> {
    let mut decoded = Vec::new();
    for run in runs(text, digit, 2 * SHORTEST) {
        decoded.extend((0..2).map(|from| {
            let pairs = run[from..].chunks_exact(2);
            pairs.map(|pair| pair[0] << 4 | pair[1]).collect()
        }));
    }
    decoded
}

/// Runs of at least so many bytes that all have a value, as their values.
fn runs(text: &[u8], value: impl Fn(u8) -> Option<u8>, least: usize) -> Vec<Vec<u8>> {
    let mut runs = Vec::new();
    let mut run = Vec::new();
    for byte in text {
        match value(*byte) {
            Some(value) => run.push(value),
            None if matches!(byte, b'\n' | b'\r') => {}
            None if run.len() >= least => runs.push(std::mem::take(&mut run)),
            None => run.clear(),
        }
    }
    if run.len() >= least {
        runs.push(run);
    }
    runs
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Which windows of [`SHORTEST`] bytes the texts have, so that a value with thousands of lines costs
/// no more than its own length.
pub struct Filter {
    bits: Vec<u64>,
    shift: u32,
}

impl Filter {
    pub fn of(texts: &[Text<'_>]) -> Self {
        let windows: usize = texts.iter().map(|text| text.bytes.len()).sum();
        // Of 16 bits about one is set.
        let size = (windows * 16).next_power_of_two().max(64);
        let mut filter = Self {
            bits: vec![0; size / 64],
            shift: 64 - size.trailing_zeros(),
        };
        for window in texts.iter().flat_map(|text| text.bytes.windows(SHORTEST)) {
            let (word, bit) = filter.place(window);
            filter.bits[word] |= bit;
        }
        filter
    }

    /// `false`: none of the texts has these bytes.
    pub fn may_hold(&self, bytes: &[u8]) -> bool {
        let ends = [&bytes[..SHORTEST], &bytes[bytes.len() - SHORTEST..]];
        ends.iter().all(|window| {
            let (word, bit) = self.place(window);
            self.bits[word] & bit != 0
        })
    }

    fn place(&self, window: &[u8]) -> (usize, u64) {
        let mut eight = [0; SHORTEST];
        eight.copy_from_slice(window);
        // Fibonacci hashing: the upper bits of the product are mixed best.
        let hash = u64::from_le_bytes(eight).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        (hash as usize / 64, 1 << (hash % 64))
    }
}
