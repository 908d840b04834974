//! `stores:`

use std::time::Duration;

use serde_json::{Value, json};

use super::trust::TrustRecord;
use super::vault::VaultRecord;
use crate::manifest::collections::{Argv, List};
use crate::manifest::decode::{Decode, Decoder, Tag, record, shown, tagged};
use crate::manifest::fault::quote;
use crate::manifest::paths::HostPath;
use crate::manifest::tree::Node;
use crate::manifest::values::EnvName;
use crate::model::ValueFormat;
use crate::model::nearest::nearest;

record! {
    /// A directory of age files, one a version.
    SealedRecord("a sealed store") {
        /// The type of the store.
        required kind "type": Tag;
        /// The store's directory; a relative path starts at the manifest's directory.
        required path "path": HostPath;
        /// The age or OpenSSH ed25519 identity that opens it, readable by its owner alone.
        required identity_file "identity_file": HostPath;
        /// Whom its files may belong to, beside root and hushpipe's own user.
        optional trust "trust": TrustRecord;
    } elsewhere {}
}

record! {
    /// A directory with one file a secret, as Docker, Kubernetes and systemd mount them.
    DirectoryRecord("a directory store") {
        /// The type of the store.
        required kind "type": Tag;
        /// The directory; a relative path starts at the manifest's directory.
        required path "path": HostPath;
        /// Whom its files may belong to, beside root and hushpipe's own user.
        optional trust "trust": TrustRecord;
    } elsewhere {}
}

record! {
    /// A program that prints secrets.
    CommandRecord("a command store") {
        /// The type of the store.
        required kind "type": Tag;
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
        /// Whether a message may show the last line of its standard error. It may hold a secret.
        optional show_errors "show_errors": bool = "false";
    } elsewhere {
        "command": "the command is `run`" => "write run: [PROGRAM, ARGUMENT, ...]",
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
    /// `type: vault`
    Vault(Box<VaultRecord>),
}

impl Store {
    /// `trust:`
    pub fn trust(&self) -> Vec<u32> {
        let trust = match self {
            Self::Sealed(sealed) => sealed.trust.get(),
            Self::Directory(directory) => directory.trust.get(),
            Self::Vault(vault) => vault.trust.get(),
            Self::Command(_) => None,
        };
        trust.map_or_else(Vec::new, TrustRecord::uids)
    }

    const TYPES: [&'static str; 4] = ["sealed", "directory", "command", "vault"];
    /// What each type is called in messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sealed(_) => "sealed",
            Self::Directory(_) => "directory",
            Self::Command(_) => "command",
            Self::Vault(_) => "vault",
        }
    }

    const LATER: [&'static str; 4] = ["aws", "gcp", "azure", "kubernetes"];

    fn unknown_type(node: &Node<'_>, text: &str, to: &mut Decoder<'_>) {
        let types = Self::TYPES.join(", ");
        if Self::LATER.contains(&text) {
            let message = format!("this build has no stores of type {}", quote(text));
            let help = format!("use a command store with the vendor's tool, or one of {types}");
            return to.fault(node.span, message, help);
        }
        let help = match nearest(text, Self::TYPES.into_iter()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("this build has {types}"),
        };
        let message = format!("unknown store type {}", shown(node, text));
        to.fault(node.span, message, help);
    }
}

impl Decode for Store {
    const WANTED: &'static str = "a store, such as { type: directory, path: /run/secrets }";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let (kind, place) = to.tag(node, "type", Self::WANTED, &Self::TYPES)?;
        match kind.as_str() {
            "sealed" => SealedRecord::decode(node, to).map(Self::Sealed),
            "directory" => DirectoryRecord::decode(node, to).map(Self::Directory),
            "command" => CommandRecord::decode(node, to).map(Self::Command),
            "vault" => VaultRecord::decode(node, to).map(Box::new).map(Self::Vault),
            other => {
                Self::unknown_type(place, other, to);
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "oneOf": [
            tagged(SealedRecord::schema(), "type", "sealed"),
            tagged(DirectoryRecord::schema(), "type", "directory"),
            tagged(CommandRecord::schema(), "type", "command"),
            tagged(VaultRecord::schema(), "type", "vault"),
        ]})
    }
}
