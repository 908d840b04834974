//! `secrets:`

use std::time::Duration;

use serde_json::{Value, json};

use crate::manifest::collections::Table;
use crate::manifest::decode::{Decode, Decoder, record};
use crate::manifest::tree::Node;
use crate::manifest::values::{Pattern, StoreKey, Text, Word};
use crate::model::{StoreName, ValueFormat, parse_duration};

record! {
    /// A secret: one named thing in a store.
    Secret("a secret, such as { store: local, key: stripe/token }") {
        /// The store that has it.
        required store "store": StoreName;
        /// Its name in the store: a relative path.
        optional key "key": StoreKey;
        /// A pinned version, for sealed stores; without it the current one is taken.
        optional version "version": u64;
        /// How its bytes are read: json and dotenv have fields.
        optional format "format": ValueFormat = "raw";
        /// How often the store is asked again: a duration, or never. Without it, as the store knows
        /// best.
        optional refresh "refresh": RefreshEvery;
        /// What must hold for the value before it is used.
        optional check "check": Check;
        /// Free words that policy reads.
        optional classification "classification": Word;
        /// Who answers for it.
        optional owner "owner": Word;
    } later {
        "path": "it is for vault stores, and this build has none; the other stores have `key`",
    }
}

/// `refresh:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshEvery {
    /// `never`
    Never,
    /// A duration.
    After(Duration),
}

impl Decode for RefreshEvery {
    const WANTED: &'static str = "a duration such as 30s, or never";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| {
            if text == "never" {
                return Ok(Self::Never);
            }
            match parse_duration(text) {
                Ok(duration) if duration < Duration::from_secs(1) => {
                    Err("stores are asked at most once a second".to_owned())
                }
                Ok(duration) => Ok(Self::After(duration)),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "const": "never" }, Duration::schema()] })
    }
}

record! {
    /// What must hold for a value.
    Check("a mapping of checks, such as { min_length: 20 }") {
        /// A regular expression that must match somewhere: anchor it with ^ and $.
        optional pattern "pattern": Pattern;
        /// At least so many bytes.
        optional min_length "min_length": u64;
        /// At most so many bytes.
        optional max_length "max_length": u64;
        /// It must be JSON.
        optional json "json": bool = "false";
        /// It must be PEM certificates, the first of which is valid now.
        optional certificate "certificate": bool = "false";
        /// Checks of single fields; a field that is named here must be there.
        optional fields "fields": Table<Text, FieldCheck>;
    } later {}
}

record! {
    /// What must hold for a field.
    FieldCheck("a mapping of checks, such as { min_length: 20 }") {
        /// A regular expression that must match somewhere: anchor it with ^ and $.
        optional pattern "pattern": Pattern;
        /// At least so many bytes.
        optional min_length "min_length": u64;
        /// At most so many bytes.
        optional max_length "max_length": u64;
        /// It must be JSON.
        optional json "json": bool = "false";
        /// It must be PEM certificates, the first of which is valid now.
        optional certificate "certificate": bool = "false";
    } later {}
}
