//! The forms that a value can have in a text: as it is, and as encoders write it.

use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use zeroize::{Zeroize as _, Zeroizing};

/// What is shorter is not looked for: it would be found in ordinary text.
pub const SHORTEST: usize = 8;

/// A form of a value.
pub struct Form {
    /// What stands in the text.
    pub text: Zeroizing<Vec<u8>>,
    /// Which encoding it is; empty: the value as it is.
    pub encoding: &'static str,
}

/// All forms of a value that are long enough, each once; its lines are not among them.
pub fn forms(value: &[u8]) -> Vec<Form> {
    let mut forms = Vec::new();
    if value.len() < SHORTEST {
        return forms;
    }
    let mut add = |encoding, text| forms.push(Form { text, encoding });
    add("", Zeroizing::new(value.to_vec()));
    for (alphabet, encoding) in [(&STANDARD, "base64"), (&URL_SAFE, "base64url")] {
        for before in 0..3 {
            let whole = base64(value, before, alphabet);
            // In lines, as base64(1), MIME (RFC 2045, 6.8) and PEM (RFC 7468, 2) have it.
            for length in [76, 64]
                .into_iter()
                .filter(|length| before == 0 && whole.len() > *length)
            {
                for line in whole.chunks(length) {
                    add(encoding, Zeroizing::new(line.to_vec()));
                }
            }
            add(encoding, inner(value, before, &whole));
            add(encoding, whole);
        }
    }
    for digits in [LOWER, UPPER] {
        for (before, between) in [("", ""), ("", ":"), ("", " "), ("\\x", "\\x")] {
            add("hex", bytes(value, digits, before, between));
        }
        for form in percent(value, digits) {
            add("percent", form);
        }
        if let Ok(text) = std::str::from_utf8(value) {
            for form in json_strings(text, digits) {
                // And as a string that holds JSON.
                if let Ok(text) = std::str::from_utf8(&form) {
                    add("JSON", json(text, false, "", digits));
                }
                add("JSON", form);
            }
        }
    }
    forms.retain(|form| form.text.len() >= SHORTEST);
    // Stable: of equal texts the first stays.
    forms.sort_by(|one, other| one.text.as_slice().cmp(&other.text));
    forms.dedup_by(|one, other| *one.text == *other.text);
    forms
}

/// As RFC 3986, 2.3 has it; with the slash, as Python's quote(); encodeURIComponent() and encodeURI();
/// application/x-www-form-urlencoded, as browsers and as others write it; and each byte.
fn percent(value: &[u8], digits: &'static [u8; 16]) -> [Text; 7] {
    let percent = |is_plain: fn(u8) -> bool, plus: bool| {
        each(value, |byte, form| match byte {
            b' ' if plus => form.push(b'+'),
            byte if is_plain(byte) => form.push(byte),
            byte => {
                form.push(b'%');
                hex(byte, digits, form);
            }
        })
    };
    [
        percent(is_unreserved, false),
        percent(|byte| is_unreserved(byte) || byte == b'/', false),
        percent(
            |byte| is_unreserved(byte) || b"!'()*".contains(&byte),
            false,
        ),
        percent(
            |byte| is_unreserved(byte) || b"!'()*;/?:@&=+$,#".contains(&byte),
            false,
        ),
        percent(
            |byte| byte.is_ascii_alphanumeric() || b"*-._".contains(&byte),
            true,
        ),
        percent(is_unreserved, true),
        percent(|_| false, false),
    ]
}

fn json_strings(text: &str, digits: &'static [u8; 16]) -> impl Iterator<Item = Text> {
    let escaped = ["", "/", "<>&", "<>&'", "/<>&'"];
    [false, true]
        .into_iter()
        .flat_map(move |ascii| escaped.map(|extra| json(text, ascii, extra, digits)))
}

type Text = Zeroizing<Vec<u8>>;

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Room for the longest form, so that nothing is moved and left behind.
fn each(value: &[u8], write: impl Fn(u8, &mut Vec<u8>)) -> Text {
    let mut form = Zeroizing::new(Vec::with_capacity(value.len() * 3));
    for byte in value {
        write(*byte, &mut form);
    }
    form
}

fn hex(byte: u8, digits: &[u8; 16], form: &mut Vec<u8>) {
    form.extend([
        digits[usize::from(byte >> 4)],
        digits[usize::from(byte & 15)],
    ]);
}

/// With so many bytes before it, without the digits that those have a part in, to the end of the text.
fn base64(value: &[u8], before: usize, alphabet: &Alphabet) -> Text {
    let mut bytes = Zeroizing::new(vec![0; before + value.len()]);
    bytes[before..].copy_from_slice(value);
    let mut digits = GeneralPurpose::new(alphabet, NO_PAD)
        .encode(bytes.as_slice())
        .into_bytes();
    let form = Zeroizing::new(digits[(before * 8).div_ceil(6)..].to_vec());
    digits.zeroize();
    form
}

/// The same where the text goes on: without the digit that what comes next has a part in.
fn inner(value: &[u8], before: usize, whole: &Text) -> Text {
    let length = (before + value.len()) * 8 / 6 - (before * 8).div_ceil(6);
    Zeroizing::new(whole[..length].to_vec())
}

/// Each byte as two digits, with a text before all of them and between them.
fn bytes(value: &[u8], digits: &[u8; 16], before: &str, between: &str) -> Text {
    let room = before.len() + value.len() * (2 + between.len());
    let mut form = Zeroizing::new(Vec::with_capacity(room));
    form.extend_from_slice(before.as_bytes());
    for (at, byte) in value.iter().enumerate() {
        if at > 0 {
            form.extend_from_slice(between.as_bytes());
        }
        hex(*byte, digits, &mut form);
    }
    form
}

/// The inside of a string of JSON (RFC 8259, 7), with the short escapes.
fn json(text: &str, ascii: bool, extra: &str, digits: &[u8; 16]) -> Text {
    let mut form = Zeroizing::new(Vec::with_capacity(text.len() * 6));
    let mut units = [0; 2];
    for character in text.chars() {
        let short = match character {
            '"' => b'"',
            '\\' => b'\\',
            '\n' => b'n',
            '\r' => b'r',
            '\t' => b't',
            '\u{8}' => b'b',
            '\u{c}' => b'f',
            '/' if extra.contains('/') => b'/',
            _ => 0,
        };
        let by_number =
            character < ' ' || ascii && !character.is_ascii() || extra.contains(character);
        if short != 0 {
            form.extend([b'\\', short]);
        } else if by_number {
            for unit in character.encode_utf16(&mut units) {
                form.extend(b"\\u");
                for byte in unit.to_be_bytes() {
                    hex(byte, digits, &mut form);
                }
            }
        } else {
            let mut bytes = [0; 4];
            form.extend(character.encode_utf8(&mut bytes).as_bytes());
        }
    }
    form
}
