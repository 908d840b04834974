//! `deliver:`

use serde_json::{Value, json};

use super::credentials::CredentialsDelivery;
use crate::manifest::decode::{Decode, Decoder, record};
use crate::manifest::fault::{Fault, quote};
use crate::manifest::paths::{DeliveryPath, HostPath};
use crate::manifest::tree::{Entry, Node};
use crate::manifest::values::{Content, EnvName, Word};
use crate::model::nearest::nearest;
use crate::model::{Children, FdKind, FileMode, SecretRef};

record! {
    /// A file that the program alone sees.
    FileDelivery("a file delivery") {
        /// Its path. A relative one, such as token, is below a directory that hushpipe chooses and
        /// {{ files }} names in run.command and run.env.set.
        required path "file": DeliveryPath;
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
        /// A symbolic link that leads to it, such as ~/.pgpass: hushpipe makes it for the time that the
        /// program runs, and replaces no file. Relative to the manifest's directory.
        optional link "link": HostPath;
    } elsewhere {}
}

record! {
    /// A named pipe; each opening reads the current value once.
    FifoDelivery("a fifo delivery") {
        /// Its path, as of `file`.
        required path "fifo": DeliveryPath;
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
        /// A symbolic link that leads to it, as of `file`.
        optional link "link": HostPath;
        /// It is taken away after so many reads.
        optional max_reads "max_reads": u64;
    } elsewhere {}
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
        /// Its permission bits, as octal in quotes: they count when /dev/fd/N is opened.
        optional mode "mode": FileMode = "\"0400\"";
        /// Its owner: a user name or uid. Default: run.user.
        optional owner "owner": Word;
        /// Its group: a group name or gid. Default: run.group.
        optional group "group": Word;
    } elsewhere {}
}

record! {
    /// An environment variable that the program reads, and that /proc/PID/environ never shows.
    GetenvDelivery("a getenv delivery") {
        /// Its name, such as DATABASE_URL: what getenv(), process.env, os.environ and the like read.
        required name "getenv": EnvName;
        /// The secret or field that is in it, byte for byte.
        optional secret "secret": SecretRef;
        /// A template of what is in it.
        optional content "content": Content;
        /// none: the program alone has it, through its own execs. same: every process that inherits it
        /// from the program, as npm run, make and process managers need.
        optional children "children": Children = "none";
    } elsewhere {}
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
    } elsewhere {}
}

/// One of `deliver:`, by the key that says how.
pub enum Deliver {
    /// `file:`
    File(FileDelivery),
    /// `fifo:`
    Fifo(FifoDelivery),
    /// `fd:`
    Fd(FdDelivery),
    /// `getenv:`
    Getenv(GetenvDelivery),
    /// `stdin:`
    Stdin(StdinDelivery),
    /// `credentials:`
    Credentials(CredentialsDelivery),
}

impl Deliver {
    const WAYS: [&'static str; 6] = ["file", "fifo", "fd", "stdin", "getenv", "credentials"];
    const LATER: [&'static str; 1] = ["socket"];

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
        let fault = Fault::new(second.key_span, message, "make two items of it");
        to.faults
            .push(fault.related(first.key_span, "this as well"));
        None
    }

    fn no_way(entries: &[Entry<'_>], to: &mut Decoder<'_>) {
        let later = |entry: &&Entry<'_>| Self::LATER.contains(&entry.key.as_ref());
        if let Some(entry) = entries.iter().find(later) {
            let message = format!("this version has no `{}` deliveries", entry.key);
            return to.fault(
                entry.key_span,
                message,
                "this version has file, fifo, fd, stdin, getenv and credentials",
            );
        }
        let known = |key: &str| {
            matches!(
                key,
                "secret"
                    | "content"
                    | "mode"
                    | "as"
                    | "owner"
                    | "group"
                    | "max_reads"
                    | "directory"
                    | "link"
                    | "children"
            )
        };
        if let Some(entry) = entries.iter().find(|entry| entry.key == "env") {
            let help = "did you mean `getenv`?";
            return to.fault(entry.key_span, "unknown key `env`", help);
        }
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
        let help =
            "add one of file, fifo, fd, stdin, getenv and credentials, such as `file: token`";
        to.fault(at, "this delivery has no destination", help);
    }
}

impl Decode for Deliver {
    const WANTED: &'static str = "a delivery, such as { file: token, secret: token }";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let entries = to.mapping(node, Self::WANTED)?;
        let way = Self::way(entries, to)?;
        match way.key.as_ref() {
            "file" => FileDelivery::decode(node, to).map(Self::File),
            "fifo" => FifoDelivery::decode(node, to).map(Self::Fifo),
            "fd" => FdDelivery::decode(node, to).map(Self::Fd),
            "getenv" => GetenvDelivery::decode(node, to).map(Self::Getenv),
            "stdin" => StdinDelivery::decode(node, to).map(Self::Stdin),
            _ => CredentialsDelivery::decode(node, to).map(Self::Credentials),
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
            filled(GetenvDelivery::schema()),
            CredentialsDelivery::schema(),
        ]})
    }
}
