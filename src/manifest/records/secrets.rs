//! `secrets:`

use std::time::Duration;

use serde_json::{Value, json};

use super::rotation::SecretRotation;
use super::site::{LabelName, LabelValue};
use crate::manifest::collections::{List, Table};
use crate::manifest::decode::{Decode, Decoder, NO_SECRET, record};
use crate::manifest::parameters::Parameters;
use crate::manifest::paths::{ApiPath, HostPath, Mount, StoreKey};
use crate::manifest::tree::Node;
use crate::manifest::values::{Pattern, Text, Word};
use crate::model::{StoreName, ValueFormat, parse_duration};

record! {
    /// A secret: one named thing in a store.
    Secret("a secret, such as { store: local, key: stripe/token }") {
        /// The store that has it.
        required store "store": StoreName;
        /// Its name in the store: a relative path. With a vault store: its name below `mount`, in KV
        /// version 2.
        optional key "key": StoreKey;
        /// For vault stores: what is asked, as the API's path without /v1/, such as
        /// database/creds/app or kv/data/stripe.
        optional path "path": ApiPath;
        /// For vault stores, in place of `path`: where KV version 2 is mounted; `key` is the name
        /// there.
        optional mount "mount": Mount;
        /// A pinned version, for sealed stores and KV version 2; without it the current one is taken.
        optional version "version": u64;
        /// For vault stores: what is sent, such as common_name and ttl. With it the request is a
        /// POST.
        optional parameters "parameters": Parameters;
        /// For the path sys/wrapping/unwrap of a vault store: the file with the wrapping token.
        optional token_file "token_file": HostPath;
        /// How its bytes are read: json and dotenv have fields. Not for vault stores, which know
        /// fields themselves.
        optional format "format": ValueFormat = "raw";
        /// Whether line ends at the end of the value, and of each of its fields, are removed: `echo`
        /// and editors leave one there.
        optional trim "trim": bool = "false";
        /// How often the store is asked again: a duration, or never. Without it, as the store knows
        /// best.
        optional refresh "refresh": RefreshEvery;
        /// What must hold for the value before it is used.
        optional check "check": Check;
        /// What a new version of this secret does, if not what the manifest's on_rotate says.
        optional on_rotate "on_rotate": SecretRotation;
        /// Free words that policy reads.
        optional classification "classification": Word;
        /// Who answers for it.
        optional owner "owner": Word;
        /// The environment that it belongs to, such as production. Default: the service's.
        optional environment "environment": Word;
        /// Free words about it that policy reads, such as pci: yes.
        optional labels "labels": Table<LabelName, LabelValue>;
        /// How old a version may become before it is due for rotation, such as 90d.
        optional max_age "max_age": Duration;
        /// Fields that are no secrets, such as username and host: the program's arguments and
        /// environment may have their values.
        optional public "public": List<Text>;
    } elsewhere {
        "value": NO_SECRET => "put it into a store: `hushpipe secret set KEY`",
        "field": "a delivery names the field" => "write `secret: NAME.FIELD` in the delivery, or {{ NAME.FIELD }}",
        "name": "the name is the key of this entry" => "write `key:` with the name in the store",
        "file": "a store has the file" => "write `key: NAME`, below the path of a directory store",
        "env": "a delivery names the variable" => "write deliver: [{ getenv: NAME, secret: NAME }]",
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
                    Err("stores are polled at most once a second".to_owned())
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
        /// At least so many bytes; 0 lets an empty value be delivered.
        optional min_length "min_length": u64;
        /// At most so many bytes.
        optional max_length "max_length": u64;
        /// It must be JSON.
        optional json "json": bool = "false";
        /// It must be PEM certificates, the first of which is valid now.
        optional certificate "certificate": bool = "false";
        /// Checks of single fields; a field that is named here must be there.
        optional fields "fields": Table<Text, FieldCheck>;
    } elsewhere {}
}

record! {
    /// What must hold for a field.
    FieldCheck("a mapping of checks, such as { min_length: 20 }") {
        /// A regular expression that must match somewhere: anchor it with ^ and $.
        optional pattern "pattern": Pattern;
        /// At least so many bytes; 0 lets an empty value be delivered.
        optional min_length "min_length": u64;
        /// At most so many bytes.
        optional max_length "max_length": u64;
        /// It must be JSON.
        optional json "json": bool = "false";
        /// It must be PEM certificates, the first of which is valid now.
        optional certificate "certificate": bool = "false";
    } elsewhere {}
}
