//! A value that is found wherever it went, and in whatever form.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// A value that is looked for.
pub struct Canary {
    /// What it stands for, such as the delivery that it goes through.
    pub name: String,
    value: String,
    /// Parts that are enough to be sure: each half of what is random in it.
    halves: [String; 2],
}

/// A form of a canary.
pub struct Form {
    /// `fd as pipe, hex`
    pub name: String,
    /// What is looked for.
    pub bytes: Vec<u8>,
}

impl Canary {
    /// A new one: 40 random digits around characters that URLs, JSON and shells escape.
    pub fn new(name: &str) -> Self {
        let mut bytes = [0_u8; 20];
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut bytes))
            .expect("the kernel has random bytes");
        let random = hex(&bytes);
        let (head, tail) = random.split_at(20);
        Self {
            name: name.to_owned(),
            value: format!("{head}\"\\/+&%'{tail}"),
            halves: [head.to_owned(), tail.to_owned()],
        }
    }

    /// A value that somebody else made, such as a token.
    pub fn of(name: &str, value: &str) -> Self {
        assert!(value.len() >= 20, "{name} is too short to be looked for");
        let (head, tail) = value.split_at(value.len() / 2);
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
            halves: [head.to_owned(), tail.to_owned()],
        }
    }

    /// The value itself.
    pub fn value(&self) -> String {
        self.value.clone()
    }

    /// Every form it may have in memory: a half is enough, in any encoding, at any offset.
    pub fn forms(&self) -> Vec<Form> {
        let [head, tail] = &self.halves;
        let mut forms = vec![
            Form::new(&self.name, "raw, first half", head.as_bytes()),
            Form::new(&self.name, "raw, second half", tail.as_bytes()),
        ];
        forms.extend(encoded(&self.name, &self.value));
        forms
    }
}

impl Form {
    fn new(name: &str, form: &str, bytes: &[u8]) -> Self {
        Self {
            name: format!("{name}, {form}"),
            bytes: bytes.to_vec(),
        }
    }
}

/// A whole value in every encoding.
pub fn encoded(name: &str, value: &str) -> Vec<Form> {
    let hex = hex(value.as_bytes());
    let mut forms = vec![
        Form::new(name, "hex", hex.as_bytes()),
        Form::new(name, "HEX", hex.to_uppercase().as_bytes()),
        Form::new(name, "URL-encoded", url(value).as_bytes()),
        Form::new(name, "JSON", json(value).as_bytes()),
    ];
    for before in 0..3 {
        let form = |kind| format!("{kind} at offset {before}");
        let padded = [&b"   "[..before], value.as_bytes()].concat();
        let standard = inner(&STANDARD.encode(&padded), before);
        let url_safe = inner(&URL_SAFE.encode(&padded), before);
        forms.push(Form::new(name, &form("base64"), &standard));
        forms.push(Form::new(name, &form("base64url"), &url_safe));
    }
    forms
}

/// The part of base64 text that does not depend on what stands before and after.
fn inner(text: &str, before: usize) -> Vec<u8> {
    let start = if before == 0 { 0 } else { 4 };
    text.as_bytes()[start..text.len() - 4].to_vec()
}

/// Lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
        text
    })
}

fn url(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(byte.into());
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String does not fail");
        }
        out
    })
}

fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.trim_matches('"').to_owned()
}
