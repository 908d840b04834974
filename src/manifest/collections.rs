//! Lists and mappings of values, and the keys that free mappings have.

use std::fmt;

use serde_json::{Value, json};

use super::decode::{Decode, Decoder, Spanned};
use super::fault::{Span, quote};
use super::tree::{Data, Node};
use super::values::{EnvName, Text, signal};
use crate::model::{SecretName, Signal, StoreName};

/// A list.
pub struct List<T>(pub Vec<Spanned<T>>);

impl<T: Decode> Decode for List<T> {
    const WANTED: &'static str = "a list";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let Data::Sequence(items) = &node.data else {
            to.unexpected(node, &format!("a list, each item {}", T::WANTED));
            return None;
        };
        let outer = to.within;
        let items = items
            .iter()
            .map(|item| {
                // An item has no key: nothing but itself can be pointed at.
                to.within = if item.span.start < item.span.end {
                    item.span
                } else {
                    outer
                };
                Spanned {
                    key: Some(item.span),
                    span: item.span,
                    value: T::decode(item, to),
                }
            })
            .collect();
        to.within = outer;
        Some(Self(items))
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

impl<T: Clone> List<T> {
    /// What could be read.
    pub fn values(&self) -> Vec<T> {
        self.0
            .iter()
            .filter_map(|item| item.value.clone())
            .collect()
    }
}

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Argv {
    /// Never empty; the program's name is not empty.
    pub words: Vec<String>,
    /// Where each stands.
    pub spans: Vec<Span>,
}

impl Decode for Argv {
    const WANTED: &'static str = "a list: the program and its arguments";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        if let (Data::Scalar { text, .. }, false) = (&node.data, node.is_null()) {
            let message = "a command is a list: the program and its arguments";
            let words: Vec<&str> = text.split_whitespace().collect();
            let simple = !text.contains(['{', '[', ',', '\'', '"', '#', ':', '\\']);
            let list = if simple {
                words.join(", ")
            } else {
                "PROGRAM, ARGUMENT, ...".to_owned()
            };
            let help = format!("write [{list}]; no shell is started");
            to.fault(node.span, message, help);
            return None;
        }
        let list = List::<Text>::decode(node, to)?;
        let spans = list.0.iter().map(|item| item.span).collect();
        let words: Vec<String> = list.values().into_iter().map(|text| text.0).collect();
        if list.0.len() != words.len() {
            return None;
        }
        match words.first() {
            Some(program) if !program.is_empty() => Some(Self { words, spans }),
            first => {
                let span = first.map_or(to.within, |_| list.0[0].span);
                to.fault(
                    span,
                    "the program is missing",
                    "write [PROGRAM, ARGUMENT, ...]",
                );
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "type": "array", "minItems": 1, "items": Text::schema() })
    }
}

/// A key of a free mapping.
pub trait Key: Sized {
    /// What it is, for messages.
    const KEY: &'static str;
    /// A pattern that each key matches.
    const PATTERN: &'static str;

    /// Reads it.
    fn parse_key(text: &str) -> Result<Self, impl fmt::Display>;
}

macro_rules! key {
    ($type:ty, $wanted:literal, $pattern:literal, $parse:expr) => {
        impl Key for $type {
            const KEY: &'static str = $wanted;
            const PATTERN: &'static str = $pattern;

            fn parse_key(text: &str) -> Result<Self, impl fmt::Display> {
                $parse(text)
            }
        }
    };
}

key!(
    StoreName,
    "a name such as local",
    "^[A-Za-z][A-Za-z0-9_-]{0,63}$",
    StoreName::new
);
key!(
    SecretName,
    "a name such as db_password",
    "^[A-Za-z][A-Za-z0-9_]{0,63}$",
    SecretName::new
);
key!(Signal, "a signal such as TERM", "^[A-Za-z0-9]+$", signal);
key!(EnvName, "a name such as HOME", "^[^=]+$", EnvName::new);
key!(Text, "a name", "^.+$", |text: &str| {
    if text.is_empty() {
        Err("it is empty")
    } else {
        Ok(Text(text.to_owned()))
    }
});

/// A mapping with free keys, in the manifest's order.
pub struct Table<K, V>(pub Vec<(Span, K, Spanned<V>)>);

impl<K: Key, V: Decode> Decode for Table<K, V> {
    const WANTED: &'static str = "a mapping";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let mut table = Vec::new();
        for entry in to.mapping(node, Self::WANTED)? {
            let key = K::parse_key(&entry.key).map_err(|error| error.to_string());
            // The value is read even if the key is wrong: its faults are told in the same run.
            let value = to.field(entry);
            match key {
                Ok(key) => table.push((entry.key_span, key, value)),
                Err(error) => {
                    let message = format!("invalid value {}: {error}", quote(&entry.key));
                    to.fault(entry.key_span, message, format!("write {}", K::KEY));
                }
            }
        }
        Some(Self(table))
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "propertyNames": { "pattern": K::PATTERN },
            "additionalProperties": V::schema(),
        })
    }
}
