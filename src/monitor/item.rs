//! A record on its way to a sink.

use serde_json::value::RawValue;

use crate::audit::{Entry, Kind, Record, Tailed};
use crate::model::printable::printable;

/// How much a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It happened as it should.
    Information,
    /// Someone should know.
    Notice,
    /// It was refused, or failed.
    Warning,
    /// Somebody went past policy, or the log was damaged.
    Alert,
}

/// A record.
pub struct Item {
    /// Its number.
    pub seq: u64,
    /// As it is in the log.
    pub line: Vec<u8>,
    /// What it says.
    pub record: Record<'static>,
    /// It may have been sent before.
    pub duplicate: bool,
}

impl Item {
    /// Of a line of the log; the error is for a person.
    pub fn new(tailed: Tailed, duplicate: bool) -> Result<Self, String> {
        let Tailed { seq, line } = tailed;
        let record = Record::parse(&line).map_err(|error| format!("record {seq}: {error}"))?;
        Ok(Self {
            seq,
            line,
            record,
            duplicate,
        })
    }

    /// The same for each copy of the record, and for no other one.
    pub fn id(&self) -> String {
        format!("{}/{}", self.record.host, self.seq)
    }

    /// The line as text; records are JSON, and so UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.line).unwrap_or_default()
    }

    /// The line as a part of other JSON, byte for byte.
    pub fn raw(&self) -> Option<&RawValue> {
        serde_json::from_slice(&self.line).ok()
    }

    /// Seconds and nanoseconds since 1970.
    pub fn time(&self) -> (u64, u32) {
        let time = humantime::parse_rfc3339(&self.record.time).ok();
        let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or((0, 0), |since| (since.as_secs(), since.subsec_nanos()))
    }

    /// What it is called.
    pub fn kind(&self) -> &'static str {
        self.record.entry.kind.word()
    }

    /// How much it matters.
    pub fn severity(&self) -> Severity {
        severity(&self.record.entry)
    }

    /// In a line, for people.
    pub fn summary(&self) -> String {
        let entry = &self.record.entry;
        let names: Vec<String> = entry
            .secrets
            .iter()
            .map(|one| printable(&one.name))
            .collect();
        let mut text = self.kind().to_owned();
        for (before, what) in [
            (" of ", names.join(", ")),
            (" for ", printable(&self.record.service)),
            (": ", printable(&entry.message)),
        ] {
            if !what.is_empty() {
                text += before;
                text += &what;
            }
        }
        text
    }
}

fn severity(entry: &Entry) -> Severity {
    match entry.kind {
        Kind::BreakGlass | Kind::IncidentOpened => Severity::Alert,
        Kind::Recovered if entry.status_id != 1 => Severity::Alert,
        Kind::Denied | Kind::Failed => Severity::Warning,
        _ if entry.status_id != 1 => Severity::Warning,
        Kind::Recovered
        | Kind::Reveal
        | Kind::Revealed
        | Kind::Change
        | Kind::Pruned
        | Kind::RolledBack
        | Kind::ApprovalGiven
        | Kind::ApprovalSpent
        | Kind::IncidentStep
        | Kind::IncidentClosed => Severity::Notice,
        _ => Severity::Information,
    }
}

#[cfg(test)]
pub mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::audit::{Delivery, Draft, Fingerprint, Secret, Writer, seq};

    /// A record of this kind, with a secret.
    pub fn item(kind: Kind) -> Item {
        let mut entry = Entry::new(kind).saying("because \"so\"");
        entry.peer = Some(crate::audit::Peer { pid: 9, uid: 1000 });
        entry.secrets.push(Secret {
            name: "db".to_owned(),
            store: "vault".to_owned(),
            asked: "kv/db".to_owned(),
            version: "3".to_owned(),
            deliveries: vec![Delivery {
                kind: "file".to_owned(),
                place: "/run/db".to_owned(),
            }],
            fingerprints: vec![Fingerprint::new(&[0xab; 32])],
            ..Secret::default()
        });
        of(entry)
    }

    /// Of an entry.
    pub fn of(entry: Entry) -> Item {
        let by = Writer::of_a_test();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_000);
        let mut line = Vec::new();
        Draft { time, entry }.write(12, &by, &mut line);
        line.pop();
        let seq = seq(&line).unwrap();
        Item::new(Tailed { seq, line }, false).unwrap()
    }

    #[test]
    fn it_says_what_happened_in_a_line() {
        let item = item(Kind::Release);
        assert_eq!(item.summary(), "release of db for shop: because \"so\"");
        assert_eq!(item.id(), "web1/12");
        assert_eq!(item.time(), (1_700_000_000, 123_456_000));
        assert_eq!(item.raw().unwrap().get(), item.text());
        assert_eq!(item.severity(), Severity::Information);
        assert_eq!(self::item(Kind::BreakGlass).severity(), Severity::Alert);
        assert_eq!(
            of(Entry::new(Kind::End).failed()).severity(),
            Severity::Warning
        );
    }

    #[test]
    fn what_is_no_record_is_none() {
        let line = b"{\"seq\":1}".to_vec();
        assert!(Item::new(Tailed { seq: 1, line }, false).is_err());
    }
}
