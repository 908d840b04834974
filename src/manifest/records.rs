//! The records of a manifest: one table each, for decoding and for the schema.

use std::time::Duration;

use serde_json::{Value, json};

use super::collections::{Argv, List, Table};
use super::decode::{Decode, Decoder, record, shown};
use super::fault::{nearest, quote};
use super::tree::{Data, Entry, Node};
use super::values::{
    Content, EnvName, ForwardTo, HostPath, Pattern, ProgramPath, RotateDo, StoreKey, Text, Umask,
    VersionOne, Word, signal,
};
use crate::model::{
    FdKind, FileMode, Isolation, Leftovers, Mode, SecretName, SecretRef, Sha256, Signal, StoreName,
    ValueFormat,
};

record! {
    /// A hushpipe manifest: which secrets, from which stores, delivered how, to which program.
    Manifest("a mapping that starts with `version: 1`") {
        /// The version of the manifest's format: 1.
        required version "version": VersionOne;
        /// The service's name: its identity in policy, audit and metrics.
        required service "service": Word;
        /// Where it runs, such as production.
        optional environment "environment": Word;
        /// Who answers for it.
        optional owner "owner": Word;
        /// supervise: hushpipe stays as the parent. exec: hushpipe becomes the program, and nothing
        /// rotates.
        optional mode "mode": Mode = "supervise";
        /// Where secrets live, by a name of your choice.
        optional stores "stores": Table<StoreName, Store>;
        /// Which secrets are fetched, by the name that deliveries and templates use.
        optional secrets "secrets": Table<SecretName, Secret>;
        /// How the program sees them.
        optional deliver "deliver": List<Deliver>;
        /// Where delivered files go. private: a mount namespace of the program's own. shared: a 0700
        /// directory on tmpfs. auto: private where possible.
        optional isolation "isolation": Isolation = "auto";
        /// The program. Its command can also stand after `--` on the command line.
        optional run "run": Run;
        /// What happens when a secret has a new version.
        optional on_rotate "on_rotate": OnRotation;
    } later {}
}

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
            match crate::model::parse_duration(text) {
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

record! {
    /// A file that the program alone sees.
    FileDelivery("a file delivery") {
        /// Its absolute path.
        required path "file": ProgramPath;
        /// The secret or field that is in it, byte for byte.
        optional secret "secret": SecretRef;
        /// A template of what is in it.
        optional content "content": Content;
        /// Its permission bits, as octal in quotes.
        optional mode "mode": FileMode = "\"0400\"";
        /// Its owner: a user name or uid. Default: run.user.
        optional owner "owner": Word;
        /// Its group: a group name or gid. Default: run.group.
        optional group "group": Word;
    } later {}
}

record! {
    /// A named pipe; each opening reads the current value once.
    FifoDelivery("a fifo delivery") {
        /// Its absolute path.
        required path "fifo": ProgramPath;
        /// The secret or field that is in it, byte for byte.
        optional secret "secret": SecretRef;
        /// A template of what is in it.
        optional content "content": Content;
        /// Its permission bits, as octal in quotes.
        optional mode "mode": FileMode = "\"0400\"";
        /// Its owner: a user name or uid. Default: run.user.
        optional owner "owner": Word;
        /// Its group: a group name or gid. Default: run.group.
        optional group "group": Word;
        /// It is taken away after so many reads.
        optional max_reads "max_reads": u64;
    } later {}
}

record! {
    /// An open file descriptor.
    FdDelivery("an fd delivery") {
        /// Its number, from 3 on.
        required number "fd": u64;
        /// memfd: sealed memory, re-readable. pipe: readable once.
        optional kind "as": FdKind = "memfd";
        /// The secret or field that is in it, byte for byte.
        optional secret "secret": SecretRef;
        /// A template of what is in it.
        optional content "content": Content;
    } later {}
}

record! {
    /// The program's standard input.
    StdinDelivery("a stdin delivery") {
        /// Must be true.
        required stdin "stdin": bool;
        /// The secret or field that is in it, byte for byte.
        optional secret "secret": SecretRef;
        /// A template of what is in it.
        optional content "content": Content;
    } later {}
}

/// One of `deliver:`, by the key that says how.
pub enum Deliver {
    /// `file:`
    File(FileDelivery),
    /// `fifo:`
    Fifo(FifoDelivery),
    /// `fd:`
    Fd(FdDelivery),
    /// `stdin:`
    Stdin(StdinDelivery),
}

impl Deliver {
    const WAYS: [&'static str; 4] = ["file", "fifo", "fd", "stdin"];
    const LATER: [&'static str; 2] = ["credentials", "socket"];

    /// The one key that says how; else faults were added.
    fn way<'n, 'a>(entries: &'n [Entry<'a>], to: &mut Decoder<'_>) -> Option<&'n Entry<'a>> {
        let mut ways = entries
            .iter()
            .filter(|entry| Self::WAYS.contains(&entry.key.as_ref()));
        let Some(first) = ways.next() else {
            Self::no_way(entries, to);
            return None;
        };
        let Some(second) = ways.next() else {
            return Some(first);
        };
        let message = format!(
            "one delivery cannot be both `{}` and `{}`",
            first.key, second.key
        );
        let fault = super::fault::Fault::new(second.key_span, message, "make two items of it");
        to.faults
            .push(fault.related(first.key_span, "this as well"));
        None
    }

    fn no_way(entries: &[Entry<'_>], to: &mut Decoder<'_>) {
        let later = |entry: &&Entry<'_>| Self::LATER.contains(&entry.key.as_ref());
        if let Some(entry) = entries.iter().find(later) {
            let message = format!("deliveries as `{}` are not in this version", entry.key);
            return to.fault(
                entry.key_span,
                message,
                "this version has file, fifo, fd and stdin",
            );
        }
        let known = |key: &str| {
            matches!(
                key,
                "secret" | "content" | "mode" | "as" | "owner" | "group" | "max_reads"
            )
        };
        let guess = entries
            .iter()
            .filter(|entry| !known(&entry.key))
            .find_map(|entry| {
                nearest(&entry.key, Self::WAYS.into_iter()).map(|near| (entry, near))
            });
        if let Some((entry, near)) = guess {
            let message = format!("unknown key {}", quote(&entry.key));
            return to.fault(entry.key_span, message, format!("did you mean `{near}`?"));
        }
        let at = entries.first().map_or(to.within, |entry| entry.key_span);
        let help = "add one of `file: PATH`, `fifo: PATH`, `fd: NUMBER` or `stdin: true`";
        to.fault(at, "this delivery does not say how", help);
    }
}

impl Decode for Deliver {
    const WANTED: &'static str = "a delivery, such as { file: /run/secrets/token, secret: token }";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let entries = to.mapping(node, Self::WANTED)?;
        let way = Self::way(entries, to)?;
        match way.key.as_ref() {
            "file" => FileDelivery::decode(node, to).map(Self::File),
            "fifo" => FifoDelivery::decode(node, to).map(Self::Fifo),
            "fd" => FdDelivery::decode(node, to).map(Self::Fd),
            _ => StdinDelivery::decode(node, to).map(Self::Stdin),
        }
    }

    fn schema() -> Value {
        let filled = |mut schema: Value| {
            schema["oneOf"] = json!([{ "required": ["secret"] }, { "required": ["content"] }]);
            schema
        };
        let mut fd = filled(FdDelivery::schema());
        fd["properties"]["fd"]["minimum"] = json!(3);
        let mut stdin = filled(StdinDelivery::schema());
        stdin["properties"]["stdin"] = json!({ "const": true, "description": "Must be true." });
        json!({ "oneOf": [
            filled(FileDelivery::schema()),
            filled(FifoDelivery::schema()),
            fd,
            stdin,
        ]})
    }
}

record! {
    /// The program and how it runs.
    Run("a mapping with `command`") {
        /// The program and its arguments. `-- CMD ARG...` on the command line goes before it.
        optional command "command": Argv;
        /// The user it runs as: a name or uid.
        optional user "user": Word;
        /// Its group: a name or gid. Default: the user's.
        optional group "group": Word;
        /// Its supplementary groups. Default: those of the user.
        optional groups "groups": List<Word>;
        /// Its working directory. Default: hushpipe's.
        optional cwd "cwd": ProgramPath;
        /// Its file mode creation mask, as octal in quotes.
        optional umask "umask": Umask;
        /// Its environment.
        optional env "env": Env;
        /// The program's SHA-256, checked before anything is fetched.
        optional sha256 "sha256": Sha256;
        /// How it is stopped.
        optional stop "stop": StopRecord;
        /// How signals reach it.
        optional signals "signals": Signals;
        /// Whether it may dump core.
        optional core_dumps "core_dumps": bool = "false";
        /// Whether it is kept from gaining privileges, by setuid programs for instance.
        optional no_new_privs "no_new_privs": bool = "true";
        /// Resource limits, as setrlimit(2) has them.
        optional rlimits "rlimits": Table<Text, Limit>;
    } later {}
}

record! {
    /// The program's environment.
    Env("a mapping with inherit, unset or set") {
        /// Which variables of hushpipe's environment go on: all, none, or a list of names.
        /// Bootstrap credentials never do.
        optional inherit "inherit": Inherit = "all";
        /// Variables that are taken out.
        optional unset "unset": List<EnvName>;
        /// Variables that are set. Never a secret: those go into files, fds or stdin.
        optional set "set": Table<EnvName, Text>;
    } later {}
}

/// `run.env.inherit:`
#[derive(Clone, Debug)]
pub enum Inherit {
    /// `all`
    All,
    /// `none`
    None,
    /// A list of names.
    Only(Vec<EnvName>),
}

impl Decode for Inherit {
    const WANTED: &'static str = "all, none, or a list of names";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        if matches!(node.data, Data::Sequence(_)) {
            return List::<EnvName>::decode(node, to).map(|list| Self::Only(list.values()));
        }
        match to.text(node, Self::WANTED)?.as_str() {
            "all" => Some(Self::All),
            "none" => Some(Self::None),
            text => {
                to.not_a_choice(
                    node,
                    text,
                    &["all", "none", "a list such as [PATH, HOME]"],
                    &[],
                );
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "enum": ["all", "none"] }, List::<EnvName>::schema()] })
    }
}

record! {
    /// How the program is stopped.
    StopRecord("a mapping with signal, timeout or leftovers") {
        /// The first signal.
        optional signal "signal": Signal = "TERM";
        /// SIGKILL follows after this.
        optional timeout "timeout": Duration = "30s";
        /// What becomes of descendants when the program has ended.
        optional leftovers "leftovers": Leftovers = "terminate";
    } later {}
}

record! {
    /// How signals that hushpipe gets reach the program.
    Signals("a mapping with to or rewrite") {
        /// program: to the program alone. group: to its process group.
        optional to "to": ForwardTo = "program";
        /// What a signal becomes: another one, or none.
        optional rewrite "rewrite": Table<Signal, Rewritten>;
    } later {}
}

/// One of `run.signals.rewrite:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// `none`
    Dropped,
    /// Another signal.
    To(Signal),
}

impl Decode for Rewritten {
    const WANTED: &'static str = "a signal such as QUIT, or none";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| match text {
            "none" => Ok(Self::Dropped),
            _ => signal(text).map(Self::To),
        })
    }

    fn schema() -> Value {
        Signal::schema()
    }
}

/// A resource limit: `None` is infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Soft limit.
    pub soft: Option<u64>,
    /// Hard limit.
    pub hard: Option<u64>,
}

record! {
    /// A soft and a hard limit.
    LimitPair("a mapping with soft and hard") {
        /// The limit that holds.
        required soft "soft": OneLimit;
        /// Up to where the program may raise it.
        required hard "hard": OneLimit;
    } later {}
}

/// A number, or infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneLimit(Option<u64>);

impl Decode for OneLimit {
    const WANTED: &'static str = "a number, or infinity";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        match to.raw_text(node, Self::WANTED)? {
            "infinity" | "unlimited" => Some(Self(None)),
            _ => u64::decode(node, to).map(Some).map(Self),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "enum": ["infinity", "unlimited"] }, u64::schema()] })
    }
}

impl Decode for Limit {
    const WANTED: &'static str = "a number, infinity, or { soft: N, hard: N }";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        if !matches!(node.data, Data::Mapping(_)) {
            let OneLimit(limit) = OneLimit::decode(node, to)?;
            let (soft, hard) = (limit, limit);
            return Some(Self { soft, hard });
        }
        let pair = LimitPair::decode(node, to)?;
        let (OneLimit(soft), OneLimit(hard)) = (*pair.soft.get()?, *pair.hard.get()?);
        if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
            let help = "the soft limit is the lower one";
            to.fault(
                pair.soft.span,
                "the soft limit is above the hard limit",
                help,
            );
            return None;
        }
        Some(Self { soft, hard })
    }

    fn schema() -> Value {
        json!({ "anyOf": [OneLimit::schema(), LimitPair::schema()] })
    }
}

record! {
    /// What happens when a secret has a new version.
    OnRotation("a mapping such as { do: signal, signal: HUP }") {
        /// signal: the program gets a signal. nothing: only the files change.
        optional action "do": RotateDo;
        /// The signal. Default: HUP.
        optional signal "signal": Signal;
        /// Changes within it become one generation.
        optional settle "settle": Duration = "2s";
    } later {
        "verify": "the program cannot be probed after a rotation yet",
        "rollback": "a rotation cannot be taken back yet",
        "splay": "a random delay is not there yet",
        "command": "no command can be run yet",
        "http": "no request can be made yet",
        "restart": "the program cannot be restarted yet",
        "max": "the program cannot be restarted yet",
    }
}
