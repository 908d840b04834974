//! What a record says: one JSON line. Of a value it has a keyed fingerprint at most, by type: nothing here
//! is made from the types that hold values.
//!
//! Classes are those of OCSF 1.8 (schema.ocsf.io): `type_uid` is `class_uid * 100 + activity_id`.

use std::borrow::Cow;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::model::query::{Facts, Query, Ruling};
use crate::model::words::words;
use crate::model::{IncidentNote, hex};

/// What the end of a launcher says that became the program: that still has its secrets.
pub const BECOMES: &str = "becomes the program";

/// A record has no more bytes than this.
pub const LONGEST: usize = 4 << 20;

words! {
    /// What happened.
    Kind {
        /// A launcher began its work.
        Start = "start",
        /// A launcher ended, or became the program.
        End = "end",
        /// Policy ruled on one secret.
        Decision = "decision",
        /// A release was denied.
        Denied = "denied",
        /// Secrets are about to be delivered.
        Release = "release",
        /// A secret was delivered.
        Delivered = "delivered",
        /// A delivery failed after its release.
        Failed = "failed",
        /// A new generation is in place.
        Rotated = "rotated",
        /// The program is well with it.
        Verified = "verified",
        /// The previous generation is back.
        RolledBack = "rolled_back",
        /// Leases were revoked.
        Revoked = "revoked",
        /// An approval was requested.
        ApprovalAsked = "approval_asked",
        /// An approval was given.
        ApprovalGiven = "approval_given",
        /// An approval was spent.
        ApprovalSpent = "approval_spent",
        /// A release went past policy by --break-glass.
        BreakGlass = "break_glass",
        /// A person asked to see a sealed secret.
        Reveal = "reveal",
        /// A version of it is about to be shown.
        Revealed = "revealed",
        /// A sealed secret was changed.
        Change = "change",
        /// A launcher was asked over its control socket, or by a signal.
        Control = "control",
        /// The log was read.
        Read = "read",
        /// What a crash left was cut off, or made anew.
        Recovered = "recovered",
        /// Records were removed, as they are old.
        Pruned = "pruned",
        /// An incident was opened: a secret leaked.
        IncidentOpened = "incident_opened",
        /// A step of its playbook was done, or all of them.
        IncidentStep = "incident_step",
        /// It was closed.
        IncidentClosed = "incident_closed",
    }
}

impl Kind {
    /// OCSF's class and activity. The class's first digit is its category.
    const fn class(self) -> (u32, u32) {
        /// "Other" in every class.
        const OTHER: u32 = 99;
        match self {
            // Application Lifecycle: Start, Stop.
            Self::Start => (6002, 3),
            Self::End => (6002, 4),
            Self::Recovered => (6002, OTHER),
            // Authorize Session: Assign Privileges.
            Self::Decision | Self::Denied => (3003, 1),
            // Datastore Activity: Read, Update, Delete.
            Self::Release | Self::Delivered | Self::Failed | Self::Reveal | Self::Revealed => {
                (6005, 1)
            }
            Self::Change => (6005, 2),
            Self::Pruned => (6005, 7),
            // Entity Management: Create, Update, Deactivate.
            Self::ApprovalAsked | Self::IncidentOpened => (3004, 1),
            Self::Rotated | Self::RolledBack | Self::IncidentStep => (3004, 3),
            Self::Verified | Self::IncidentClosed => (3004, OTHER),
            Self::Revoked => (3004, 11),
            // User Access Management: Assign, Revoke Privileges.
            Self::ApprovalGiven | Self::BreakGlass => (3005, 1),
            Self::ApprovalSpent => (3005, 2),
            // API Activity: Read, Update.
            Self::Read => (6003, 2),
            Self::Control => (6003, 3),
        }
    }
}

/// Which launcher, or command, writes: the same in all of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// uname(2).
    pub host: String,
    /// /proc/sys/kernel/random/boot_id; empty, where there is no /proc.
    pub boot: String,
    /// Random, in hex: process ids are used again.
    pub launcher: String,
    /// Its process id.
    pub pid: i32,
    /// Its effective uid.
    pub uid: u32,
    /// `service:`; empty, where there is none.
    pub service: String,
    /// The program's path; else the command's name.
    pub program: String,
}

#[cfg(test)]
impl Writer {
    /// For tests.
    pub fn of_a_test() -> Self {
        Self {
            host: "web1".to_owned(),
            boot: "b".to_owned(),
            launcher: "0011223344556677".to_owned(),
            pid: 7,
            uid: 0,
            service: "shop".to_owned(),
            program: "/usr/bin/shop".to_owned(),
        }
    }
}

/// HMAC-SHA256 (RFC 2104) of a value's bytes under the site's fingerprint key, in hex.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Of the digest.
    pub fn new(digest: &[u8; 32]) -> Self {
        Self(hex(digest))
    }

    /// In hex.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A secret of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// Its name in the manifest.
    pub name: String,
    /// The name of its store.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub store: String,
    /// What the store was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub asked: String,
    /// What the store calls the value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// `classification:`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub classification: String,
    /// `owner:`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// How it is delivered, and where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Delivery>,
    /// Of each part of the value: its bytes, or each field's and, for JSON, all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fingerprints: Vec<Fingerprint>,
}

/// One delivery of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// `file`, `fd`, ...
    pub kind: String,
    /// A path, a number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
}

/// Who was at the other end of a socket: SO_PEERCRED, unix(7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its process id.
    pub pid: i32,
    /// Its uid.
    pub uid: u32,
}

/// Bytes that were cut off the end of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// How many.
    pub bytes: u64,
    /// Their SHA-256, in hex.
    pub sha256: String,
}

/// What a record says beside who writes it. What there is not is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What happened.
    pub kind: Kind,
    /// OCSF.
    pub category_uid: u32,
    /// OCSF.
    pub class_uid: u32,
    /// OCSF.
    pub activity_id: u32,
    /// OCSF.
    pub type_uid: u32,
    /// OCSF: 1 is success, 2 is failure.
    pub status_id: u32,
    /// In words: why, or what was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why secrets are released: `launch` or `rotation`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The generation that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The exit code of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// As whom the program runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_uid: Option<u32>,
    /// Which secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// What was found out about who asked or launched, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Box<Facts>>,
    /// What policy was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Box<Query>>,
    /// What it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruling: Option<Ruling>,
    /// What was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Records with smaller numbers were removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<u64>,
    /// Of which incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Box<IncidentNote>>,
}

impl Entry {
    /// Of this kind, a success, and nothing else.
    pub fn new(kind: Kind) -> Self {
        let (class_uid, activity_id) = kind.class();
        Self {
            kind,
            category_uid: class_uid / 1000,
            class_uid,
            activity_id,
            type_uid: class_uid * 100 + activity_id,
            status_id: 1,
            message: String::new(),
            reason: String::new(),
            generation: None,
            code: None,
            run_uid: None,
            secrets: Vec::new(),
            peer: None,
            facts: None,
            query: None,
            ruling: None,
            cut: None,
            below: None,
            incident: None,
        }
    }

    /// Something that went wrong.
    #[must_use]
    pub fn failed(self) -> Self {
        let status_id = 2;
        Self { status_id, ..self }
    }

    /// Asked for by this process and uid; `None`: by none that is known.
    #[must_use]
    pub fn by(self, peer: Option<(i32, u32)>) -> Self {
        let peer = peer.map(|(pid, uid)| Peer { pid, uid });
        Self { peer, ..self }
    }

    /// With words.
    #[must_use]
    pub fn saying(self, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, ..self }
    }
}

/// A whole record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// Its number: the index of its leaf. The first is 0.
    pub seq: u64,
    /// RFC 3339, UTC.
    pub time: Cow<'a, str>,
    /// See [`Writer`].
    pub host: Cow<'a, str>,
    /// See [`Writer`].
    pub boot: Cow<'a, str>,
    /// See [`Writer`].
    pub launcher: Cow<'a, str>,
    /// See [`Writer`].
    pub pid: i32,
    /// See [`Writer`].
    pub uid: u32,
    /// See [`Writer`].
    pub service: Cow<'a, str>,
    /// See [`Writer`].
    pub program: Cow<'a, str>,
    /// What happened.
    #[serde(flatten)]
    pub entry: Cow<'a, Entry>,
}

/// Something that happened, and when: all but its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// When.
    pub time: SystemTime,
    /// What.
    pub entry: Entry,
}

impl Draft {
    /// It happened now.
    pub fn now(entry: Entry) -> Self {
        let time = SystemTime::now();
        Self { time, entry }
    }

    /// Adds the record's line, with its end.
    pub fn write(&self, seq: u64, by: &Writer, line: &mut Vec<u8>) {
        let record = Record {
            seq,
            time: humantime::format_rfc3339_micros(self.time)
                .to_string()
                .into(),
            host: by.host.as_str().into(),
            boot: by.boot.as_str().into(),
            launcher: by.launcher.as_str().into(),
            pid: by.pid,
            uid: by.uid,
            service: by.service.as_str().into(),
            program: by.program.as_str().into(),
            entry: Cow::Borrowed(&self.entry),
        };
        serde_json::to_writer(&mut *line, &record).expect("records are JSON, and a Vec is written");
        line.push(b'\n');
    }
}

impl Record<'static> {
    /// Parses a line.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

/// The number that a line begins with: it is the first member of each record.
pub fn seq(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"seq\":")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let digits = std::str::from_utf8(&rest[..end]).ok()?;
    (rest[end] == b',').then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::words::Words as _;

    #[test]
    fn rules_of_a_site_name_every_kind() {
        let kinds: Vec<&str> = Kind::TABLE.iter().map(|(word, _)| *word).collect();
        assert_eq!(kinds, crate::model::RECORD_KINDS);
    }

    #[test]
    fn a_record_is_one_line_that_reads_back() {
        for (word, kind) in Kind::TABLE {
            let entry = Entry::new(*kind).saying("two\nlines").failed();
            let draft = Draft {
                time: SystemTime::UNIX_EPOCH,
                entry: entry.clone(),
            };
            let mut line = Vec::new();
            draft.write(12, &Writer::of_a_test(), &mut line);
            assert_eq!(memchr::memchr_iter(b'\n', &line).count(), 1);
            assert_eq!(seq(&line), Some(12));
            let record = Record::parse(&line).unwrap();
            assert_eq!(record.entry.as_ref(), &entry);
            assert_eq!(
                (record.entry.kind.word(), &*record.service),
                (*word, "shop")
            );
            assert_eq!(record.time, "1970-01-01T00:00:00.000000Z");
            assert_eq!(entry.category_uid, entry.class_uid / 1000);
        }
    }

    #[test]
    fn the_line_of_a_release_is_as_documented() {
        let secret = Secret {
            name: "db".to_owned(),
            store: "vault".to_owned(),
            asked: "database/creds/shop".to_owned(),
            version: "lease 1".to_owned(),
            classification: "restricted".to_owned(),
            owner: "payments".to_owned(),
            deliveries: vec![Delivery {
                kind: "file".to_owned(),
                place: "/run/shop/db".to_owned(),
            }],
            fingerprints: vec![Fingerprint::new(&[0xab; 32])],
        };
        let mut entry = Entry::new(Kind::Release);
        entry.reason = "launch".to_owned();
        entry.secrets.push(secret);
        let time = SystemTime::UNIX_EPOCH;
        let mut line = Vec::new();
        Draft { time, entry }.write(0, &Writer::of_a_test(), &mut line);
        let wanted = concat!(
            r#"{"seq":0,"time":"1970-01-01T00:00:00.000000Z","host":"web1","boot":"b","#,
            r#""launcher":"0011223344556677","pid":7,"uid":0,"service":"shop","#,
            r#""program":"/usr/bin/shop","kind":"release","category_uid":6,"class_uid":6005,"#,
            r#""activity_id":1,"type_uid":600501,"status_id":1,"reason":"launch","secrets":[{"#,
            r#""name":"db","store":"vault","asked":"database/creds/shop","version":"lease 1","#,
            r#""classification":"restricted","owner":"payments","deliveries":[{"kind":"file","#,
            r#""place":"/run/shop/db"}],"fingerprints":["abababababababababababababababababab"#,
            r#"abababababababababababababab"]}]}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(line).unwrap(), wanted);
    }

    #[test]
    fn a_number_is_read_from_the_first_member_alone() {
        assert_eq!(seq(b"{\"seq\":0,\"a\""), Some(0));
        for line in [
            "",
            "{",
            "{\"seq\":",
            "{\"seq\":1",
            "{\"seq\":,",
            "{\"seq\":-1,",
            "{\"a\":1,",
            "{\"seq\":99999999999999999999,",
        ] {
            assert_eq!(seq(line.as_bytes()), None, "{line}");
        }
    }
}
