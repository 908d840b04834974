//! `stores:`

use std::time::Duration;

use serde_json::{Value, json};

use crate::manifest::collections::{Argv, List};
use crate::manifest::decode::{Decode, Decoder, record, shown};
use crate::manifest::fault::{nearest, quote};
use crate::manifest::tree::{Entry, Node};
use crate::manifest::values::{EnvName, HostPath};
use crate::model::ValueFormat;

record! {
    /// A directory of age files, one a version.
    SealedRecord("a sealed store") {
        /// The type of the store.
        required kind "type": StoreType;
        /// The store's directory; a relative path starts at the manifest's directory.
        required path "path": HostPath;
        /// The age or OpenSSH ed25519 identity that opens it, readable by its owner alone.
        required identity_file "identity_file": HostPath;
    } later {}
}

record! {
    /// A directory with one file a secret, as Docker, Kubernetes and systemd mount them.
    DirectoryRecord("a directory store") {
        /// The type of the store.
        required kind "type": StoreType;
        /// The directory; a relative path starts at the manifest's directory.
        required path "path": HostPath;
    } later {}
}

record! {
    /// A program that prints secrets.
    CommandRecord("a command store") {
        /// The type of the store.
        required kind "type": StoreType;
        /// The program and its arguments. Where an argument holds {key}, it runs once a secret with
        /// the secret's key in that place; else it runs once, and `key` picks a field of its output.
        required run "run": Argv;
        /// How its output is read.
        optional format "format": ValueFormat = "raw";
        /// It is killed when it takes longer.
        optional timeout "timeout": Duration = "30s";
        /// Variables of hushpipe's environment that it gets beside PATH, HOME, USER, LANG, LC_ALL,
        /// TZ, TERM, XDG_RUNTIME_DIR and XDG_CONFIG_HOME.
        optional env "env": List<EnvName>;
    } later {}
}

/// The word after `type:`; which types there are is decided by [`Store`].
#[derive(Clone, Copy, Debug)]
pub struct StoreType;

impl Decode for StoreType {
    const WANTED: &'static str = "sealed, directory or command";

    fn decode(_: &Node<'_>, _: &mut Decoder<'_>) -> Option<Self> {
        Some(Self)
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

/// One of `stores:`, by its `type`.
pub enum Store {
    /// `type: sealed`
    Sealed(SealedRecord),
    /// `type: directory`
    Directory(DirectoryRecord),
    /// `type: command`
    Command(CommandRecord),
}

impl Store {
    const TYPES: [&'static str; 3] = ["sealed", "directory", "command"];
    const LATER: [&'static str; 5] = ["vault", "aws", "gcp", "azure", "kubernetes"];

    fn unknown_type(node: &Node<'_>, text: &str, to: &mut Decoder<'_>) {
        let types = Self::TYPES.join(", ");
        if Self::LATER.contains(&text) {
            let message = format!("this build has no stores of type {}", quote(text));
            let help = format!("this build has {types}; a command store can run the vendor's tool");
            return to.fault(node.span, message, help);
        }
        let help = match nearest(text, Self::TYPES.into_iter()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("this build has {types}"),
        };
        let message = format!("no store has the type {}", shown(node, text));
        to.fault(node.span, message, help);
    }
}

impl Decode for Store {
    const WANTED: &'static str = "a store, such as { type: directory, path: /run/secrets }";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let owner = to.owner_of(node);
        let entries = to.mapping(node, Self::WANTED)?;
        let Some(kind) = find(entries, "type") else {
            let help = format!("add `type:` with one of {}", Self::TYPES.join(", "));
            to.fault(owner, "the key `type` is missing", help);
            return None;
        };
        let outer = std::mem::replace(&mut to.within, kind.key_span);
        let text = to.text(&kind.value, StoreType::WANTED);
        to.within = outer;
        match text?.as_str() {
            "sealed" => SealedRecord::decode(node, to).map(Self::Sealed),
            "directory" => DirectoryRecord::decode(node, to).map(Self::Directory),
            "command" => CommandRecord::decode(node, to).map(Self::Command),
            other => {
                Self::unknown_type(&kind.value, other, to);
                None
            }
        }
    }

    fn schema() -> Value {
        let typed = |name: &str, mut schema: Value| {
            schema["properties"]["type"] = json!({
                "const": name,
                "description": "The type of the store.",
            });
            schema
        };
        json!({ "oneOf": [
            typed("sealed", SealedRecord::schema()),
            typed("directory", DirectoryRecord::schema()),
            typed("command", CommandRecord::schema()),
        ]})
    }
}

fn find<'n, 'a>(entries: &'n [Entry<'a>], key: &str) -> Option<&'n Entry<'a>> {
    entries.iter().find(|entry| entry.key == key)
}
