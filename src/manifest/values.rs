//! The single values that a manifest can hold.

use std::time::Duration;

use serde_json::{Value, json};

use super::decode::{Decode, Decoder, or_variable, shown};
use super::fault::{Span, quote};
use super::interpolate::unescape;
use super::locate::Written;
use super::tree::{Data, Node};
use crate::model::nearest::nearest;
use crate::model::words::{Words, words};
use crate::model::{FileMode, SecretRef, Sha256, Signal, StoreName, parse_duration};

impl Decoder<'_> {
    /// The place to point at when something is missing in a node.
    pub fn owner_of(&self, node: &Node<'_>) -> Span {
        match &node.data {
            Data::Mapping(entries) => entries.first().map_or(self.within, |first| {
                // A list item or the whole manifest has no key: its first key stands for it.
                let keyed =
                    self.within != Span::default() && self.within.start < first.key_span.start;
                if keyed { self.within } else { first.key_span }
            }),
            _ => node.span,
        }
    }

    /// A word that is none of those that can stand here.
    pub fn not_a_choice(&mut self, node: &Node<'_>, text: &str, words: &[&str]) {
        let shown = shown(node, text);
        let help = match nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {}", words.join(", ")),
        };
        self.fault(node.span, format!("invalid value {shown}"), help);
    }
}

words! {
    /// `on_rotate.do:`
    RotateDo {
        /// Send a signal.
        Signal = "signal",
        /// Stop the program and start it anew.
        Restart = "restart",
        /// Run a command.
        Command = "command",
        /// Make a request.
        Http = "http",
        /// Only change the files.
        Nothing = "nothing",
    }
}

impl<T: Words> Decode for T {
    const WANTED: &'static str = T::WANTED;

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let text = to.text(node, T::WANTED)?;
        let found = T::TABLE.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            to.not_a_choice(node, &text, &words_of::<T>());
        }
        found.map(|(_, value)| *value)
    }

    fn schema() -> Value {
        or_variable(&json!({ "enum": words_of::<T>() }))
    }
}

fn words_of<T: Words>() -> Vec<&'static str> {
    T::TABLE.iter().map(|(word, _)| *word).collect()
}

impl Decode for bool {
    const WANTED: &'static str = "true or false";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        match (to.raw_text(node, Self::WANTED)?, node.is_plain()) {
            ("true", true) => Some(true),
            ("false", true) => Some(false),
            (text, _) => {
                let message = format!("{} is neither true nor false", quote(text));
                to.fault(node.span, message, "write true or false, without quotes");
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

impl Decode for u64 {
    const WANTED: &'static str = "a whole number";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let text = to.raw_text(node, Self::WANTED)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let octal = text.len() > 1 && text.starts_with('0');
        match text.parse() {
            Ok(number) if digits && !octal && node.is_plain() => Some(number),
            _ => {
                let message = format!("{} is not a whole number", quote(text));
                to.fault(
                    node.span,
                    message,
                    "write it in decimal digits, without quotes",
                );
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 0 })
    }
}

/// `version: 1`
pub struct VersionOne;

impl Decode for VersionOne {
    const WANTED: &'static str = "1";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let text = to.raw_text(node, Self::WANTED)?;
        if text == "1" && node.is_plain() {
            return Some(Self);
        }
        let file = if to.fixed { "site" } else { "manifest" };
        let message = if text == "1" {
            format!("the version of the {file} is a number, found text")
        } else {
            format!("unknown version {} of the {file}", quote(text))
        };
        to.fault(node.span, message, "write `version: 1`, without quotes");
        None
    }

    fn schema() -> Value {
        json!({ "const": 1 })
    }
}

/// Text of any kind; numbers and booleans are taken as they are written.
#[derive(Clone, Debug)]
pub struct Text(pub String);

impl Decode for Text {
    const WANTED: &'static str = "text";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.text(node, Self::WANTED).map(Self)
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number", "boolean"] })
    }
}

/// Whether text looks as a template does: values never go where templates are not rendered.
pub fn is_template(text: &str) -> bool {
    text.match_indices("{{").any(|(index, _)| {
        let inner = text[index + 2..].trim_start_matches('-').trim_start();
        inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    })
}

/// Text that cannot be empty, and has no control characters.
#[derive(Clone, Debug)]
pub struct Word(pub String);

impl Decode for Word {
    const WANTED: &'static str = "a name";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| {
            if text.trim().is_empty() {
                Err("it is empty")
            } else if text.chars().any(char::is_control) {
                Err("it has control characters")
            } else {
                Ok(Self(text.to_owned()))
            }
        })
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number"], "minLength": 1 })
    }
}

/// A template, and how it is written, so that its parts can be found in the manifest.
#[derive(Clone, Debug)]
pub struct Content {
    /// The template.
    pub text: String,
    /// What YAML made of it, before `$${` became `${`.
    pub written: Written,
}

impl Decode for Content {
    const WANTED: &'static str = "text with {{ secret }} in it";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let raw = to.raw_text(node, Self::WANTED)?;
        let text = match unescape(raw) {
            Ok(text) => text,
            Err(ranges) => {
                for range in ranges {
                    let span = to.locate(node, range);
                    to.fault(
                        span,
                        "environment variables are not allowed in `content`",
                        "write {{ name }} for a secret, `$${` for a plain `${`; other settings go \
                         into run.env",
                    );
                }
                return None;
            }
        };
        if text.is_empty() {
            to.fault(
                node.span,
                "the content is empty",
                "write a template, or use `secret: NAME`",
            );
            return None;
        }
        let written = Written::of(node)?;
        Some(Self { text, written })
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number", "boolean"], "minLength": 1 })
    }
}

/// A signal; the message does not name the text again.
pub fn signal(text: &str) -> Result<Signal, &'static str> {
    Signal::parse(text).map_err(|_| "signals are names such as TERM, or numbers from 1 to 64")
}

macro_rules! parsed {
    ($type:ty, $wanted:literal, $parse:expr, $schema:expr) => {
        impl Decode for $type {
            const WANTED: &'static str = $wanted;

            fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
                to.parsed(node, Self::WANTED, $parse)
            }

            fn schema() -> Value {
                $schema
            }
        }
    };
}

parsed!(
    Duration,
    "a duration such as 500ms, 30s, 5m or 24h",
    parse_duration,
    or_variable(&json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }))
);
parsed!(
    Signal,
    "a signal such as TERM or HUP",
    signal,
    or_variable(&json!({ "type": ["string", "integer"], "pattern": "^[A-Za-z0-9]+$" }))
);
parsed!(
    Sha256,
    "64 hex digits, as sha256sum prints them",
    Sha256::parse,
    or_variable(&json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{64}$" }))
);
parsed!(
    SecretRef,
    "the name of a secret, or NAME.FIELD",
    SecretRef::parse,
    or_variable(&json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]{0,63}([.].+)?$" }))
);
parsed!(
    StoreName,
    "the name of a store",
    StoreName::new,
    or_variable(&json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$" }))
);
parsed!(
    Pattern,
    "a regular expression",
    Pattern::new,
    json!({ "type": ["string", "number"], "minLength": 1 })
);
parsed!(
    EnvName,
    "the name of an environment variable",
    EnvName::new,
    or_variable(&json!({ "type": "string", "pattern": "^[^=]+$" }))
);

/// A regular expression that compiles.
#[derive(Clone, Debug)]
pub struct Pattern(pub String);

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        match regex_lite::Regex::new(text) {
            Ok(_) if text.is_empty() => Err("it is empty".to_owned()),
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(error.to_string().replace('\n', " ")),
        }
    }
}

/// The name of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EnvName(pub String);

impl EnvName {
    /// Checks the text and takes it.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.contains(['=', '\0']) {
            return Err("a name is not empty and has no `=`");
        }
        Ok(Self(text.to_owned()))
    }
}

/// Permission bits; an unquoted number gets a fault of its own.
fn octal<T>(
    node: &Node<'_>,
    to: &mut Decoder<'_>,
    wanted: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let number = node.is_plain()
        && matches!(&node.data, Data::Scalar { text, .. }
            if text.starts_with(|c: char| c.is_ascii_digit()));
    if number {
        let raw = to.raw_text(node, wanted)?;
        let message = format!("{} needs quotes", quote(raw));
        // Four digits, as they are wanted in quotes.
        let raw = format!("{raw:0>4}");
        let help = match parse(&raw) {
            Ok(_) => {
                format!("write \"{raw}\": without quotes YAML reads octal digits as another number")
            }
            Err(_) => format!("write {wanted}"),
        };
        to.fault(node.span, message, help);
        return None;
    }
    to.parsed(node, wanted, parse)
}

impl Decode for FileMode {
    const WANTED: &'static str = "a mode in quotes: \"0400\", \"0440\", \"0600\" or \"0640\"";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        octal(node, to, Self::WANTED, |text| {
            Self::parse(text).map_err(|error| error.to_string())
        })
    }

    fn schema() -> Value {
        or_variable(&json!({ "type": "string", "pattern": "^0[46][04]0$" }))
    }
}

/// `run.umask:`
#[derive(Clone, Copy, Debug)]
pub struct Umask(pub u32);

impl Decode for Umask {
    const WANTED: &'static str = "a umask in quotes, such as \"0027\"";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        octal(node, to, Self::WANTED, |text| {
            let shape = text.len() == 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
            match u32::from_str_radix(text, 8) {
                Ok(mask) if shape && mask <= 0o777 => Ok(Self(mask)),
                _ => Err("it is not four octal digits from 0000 to 0777".to_owned()),
            }
        })
    }

    fn schema() -> Value {
        or_variable(&json!({ "type": "string", "pattern": "^0[0-7]{3}$" }))
    }
}
