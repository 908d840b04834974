//! `on_rotate:`, of the manifest and of a secret.

use std::time::Duration;

use serde_json::{Value, json};

use crate::manifest::addresses::HookUrl;
use crate::manifest::collections::Argv;
use crate::manifest::decode::{Decode, Decoder, record};
use crate::manifest::tree::Node;
use crate::manifest::values::RotateDo;
use crate::model::{HttpMethod, Signal};

record! {
    /// What happens when a secret has a new version.
    OnRotation("a mapping such as { do: signal, signal: HUP }") {
        /// signal: the program gets a signal. restart: it is stopped and started anew. command: a
        /// command is run. http: a request is made. nothing: only the files change. Default: what the
        /// keys signal, command or http say, else nothing.
        optional action "do": RotateDo;
        /// The signal. Default: HUP.
        optional signal "signal": Signal;
        /// The command that tells the program, and its arguments.
        optional command "command": Argv;
        /// The URL that is asked; an answer of 2xx is success.
        optional http "http": HookUrl;
        /// The method of the request. Default: POST.
        optional method "method": HttpMethod;
        /// How long the command (default: 30s) or the request (default: 10s) may take.
        optional timeout "timeout": Duration;
        /// Changes within it become one generation.
        optional settle "settle": Duration = "2s";
        /// A random part of it is waited for after that, so that a fleet does not move at once.
        optional splay "splay": Duration = "0s";
        /// How the program is asked whether it is well with the new values.
        optional verify "verify": Probe;
        /// Whether a program that is not gets the old values back. Default: true with verify.
        optional rollback "rollback": bool;
        /// How often it may be restarted. A restart that is rolled back counts once.
        optional restarts "restarts": Restarts;
    } elsewhere {
        "alive": "it is a key of `verify`" => "write verify: { alive: true }",
        "within": "it is a key of `verify`" => "write verify: { within: 10s, ... }",
        "max": "it is a key of `restarts`" => "write restarts: { max: 5, per: 10m }",
        "per": "it is a key of `restarts`" => "write restarts: { max: 5, per: 10m }",
    }
}

record! {
    /// What a new version of this secret does, in place of the manifest's on_rotate.
    SecretRotation("a mapping such as { do: signal, signal: HUP }") {
        /// As in the manifest's on_rotate.
        optional action "do": RotateDo;
        /// The signal. Default: HUP.
        optional signal "signal": Signal;
        /// The command that tells the program, and its arguments.
        optional command "command": Argv;
        /// The URL that is asked; an answer of 2xx is success.
        optional http "http": HookUrl;
        /// The method of the request. Default: POST.
        optional method "method": HttpMethod;
        /// How long the command (default: 30s) or the request (default: 10s) may take.
        optional timeout "timeout": Duration;
    } elsewhere {
        "settle": "it is for all secrets together" => "write it under the manifest's own `on_rotate`",
        "splay": "it is for all secrets together" => "write it under the manifest's own `on_rotate`",
        "verify": "it is for all secrets together" => "write it under the manifest's own `on_rotate`",
        "rollback": "it is for all secrets together" => "write it under the manifest's own `on_rotate`",
        "restarts": "it is for all secrets together" => "write it under the manifest's own `on_rotate`",
    }
}

record! {
    /// How the program is asked whether it is well: by one of http, command and alive.
    VerifyRecord("a mapping such as { http: URL, within: 10s }") {
        /// A URL that answers with 2xx.
        optional http "http": HookUrl;
        /// A command that ends with 0.
        optional command "command": Argv;
        /// Must be true: the program has not ended by then.
        optional alive "alive": bool;
        /// How long the program has to become well.
        optional within "within": Duration = "10s";
    } elsewhere {}
}

/// `verify:`
pub struct Probe(pub VerifyRecord);

impl Decode for Probe {
    const WANTED: &'static str = VerifyRecord::WANTED;

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        VerifyRecord::decode(node, to).map(Self)
    }

    fn schema() -> Value {
        let mut schema = VerifyRecord::schema();
        schema["properties"]["alive"]["const"] = json!(true);
        schema["oneOf"] = json!([
            { "required": ["http"] },
            { "required": ["command"] },
            { "required": ["alive"] },
        ]);
        schema
    }
}

record! {
    /// How often the program may be restarted.
    Restarts("a mapping such as { max: 5, per: 10m }") {
        /// So many times, at least 1.
        optional max "max": u64 = "5";
        /// Within any such time.
        optional per "per": Duration = "10m";
    } elsewhere {}
}
