//! What other policies would have decided on what is on record.

use std::io::{self, BufRead, Read as _};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::query::{Effect, Query, Ruling};
use crate::policy::Policies;

/// A longer line is no record of hushpipe's.
const MAX_LINE: u64 = 1 << 20;

/// What a record has that is of use here.
#[derive(Deserialize)]
struct Record {
    time: Option<String>,
    query: Option<Value>,
    ruling: Option<Value>,
}

/// How the rulings on record compare.
#[derive(Debug, Default, Serialize)]
pub struct Replay {
    /// Decisions that were looked at.
    pub decisions: usize,
    /// Of them, those that stay as they were.
    pub same: usize,
    /// Lines that could not be read, or are older than the start.
    pub skipped: usize,
    /// Of them, the lines that are broken.
    pub broken: usize,
    /// What would change, each kind of change once, in the order in which they were found.
    pub changes: Vec<Change>,
}

/// A change, and how often it was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Who.
    pub principal: String,
    /// What.
    pub action: String,
    /// With what.
    pub resource: String,
    /// What was decided.
    pub before: Effect,
    /// What would be.
    pub after: Effect,
    /// By which policies.
    pub policies: Vec<String>,
    /// How often.
    pub count: usize,
    /// When last, as it is written.
    pub last: String,
}

impl Replay {
    /// Reads records, one JSON object a line, as a stream.
    pub fn of(
        mut records: impl BufRead,
        since: Option<SystemTime>,
        policies: &Policies,
    ) -> io::Result<Self> {
        let mut replay = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut bounded = records.by_ref().take(MAX_LINE);
            if bounded.read_until(b'\n', &mut line)? == 0 {
                return Ok(replay);
            }
            if line.len() as u64 == MAX_LINE && line.last() != Some(&b'\n') {
                replay.broken += 1;
                skip_line(&mut records)?;
            } else if !line.trim_ascii().is_empty() {
                replay.take(&line, since, policies);
            }
        }
    }

    fn take(&mut self, line: &[u8], since: Option<SystemTime>, policies: &Policies) {
        let Ok(record) = serde_json::from_slice::<Record>(line) else {
            self.broken += 1;
            return;
        };
        let (Some(query), Some(ruling)) = (record.query, record.ruling) else {
            return;
        };
        let query = serde_json::from_value::<Query>(query);
        let ruling = serde_json::from_value::<Ruling>(ruling);
        let (Ok(query), Ok(ruling)) = (query, ruling) else {
            self.broken += 1;
            return;
        };
        let time = record.time.unwrap_or_default();
        if let Some(since) = since {
            let at = humantime::parse_rfc3339(&time);
            if at.is_ok_and(|at| at < since) {
                self.skipped += 1;
                return;
            }
        }
        self.decisions += 1;
        let new = policies.decide(&query);
        if new.effect == ruling.effect {
            self.same += 1;
        } else {
            self.note(&query, ruling.effect, new, time);
        }
    }

    fn note(&mut self, query: &Query, before: Effect, new: Ruling, last: String) {
        let change = Change {
            principal: query.principal.name().to_owned(),
            action: query.action.to_string(),
            resource: query.resource.name().to_owned(),
            before,
            after: new.effect,
            policies: new.policies,
            count: 1,
            last,
        };
        let is_it = |known: &&mut Change| {
            (&known.principal, &known.action, &known.resource)
                == (&change.principal, &change.action, &change.resource)
                && (known.before, known.after, &known.policies)
                    == (change.before, change.after, &change.policies)
        };
        match self.changes.iter_mut().find(is_it) {
            Some(known) => {
                known.count += 1;
                known.last = change.last;
            }
            None => self.changes.push(change),
        }
    }
}

fn skip_line(records: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = records.fill_buf()?;
        let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        records.consume(length);
        if ended {
            return Ok(());
        }
    }
}

/// From when on: so long ago.
pub fn ago(length: Duration) -> Option<SystemTime> {
    SystemTime::now().checked_sub(length)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::query::{Action, Context, Principal, Resource, Secret, Service};

    fn query(secret: &str) -> Query {
        Query {
            principal: Principal::Service(Service::default()),
            action: Action::Deliver,
            resource: Resource::Secret(Box::new(Secret {
                name: secret.to_owned(),
                ..Secret::default()
            })),
            context: Context::default(),
        }
    }

    #[test]
    fn each_change_is_counted_once_and_what_is_no_decision_is_passed() {
        let text = "@id(\"a\") permit (principal, action, resource == Secret::\"a\");";
        let policies = Policies::parse(&[("a.cedar".to_owned(), text.to_owned())], None);
        let policies = policies.unwrap_or_else(|errors| panic!("{errors}"));
        let ruling = policies.decide(&query("a"));
        let record = |time: &str, secret: &str| {
            let query = query(secret);
            format!(
                "{}\n",
                json!({"seq": 1, "kind": "decision", "time": time, "query": query, "ruling": ruling})
            )
        };
        let mut log = [
            record("2026-01-01T00:00:00Z", "a"),
            record("2026-01-02T00:00:00Z", "b"),
            record("2026-01-03T00:00:00Z", "b"),
            "{\"seq\": 2, \"kind\": \"start\"}\n{broken\n\n".to_owned(),
        ]
        .concat();
        log.push_str(&"x".repeat(3 << 20));
        let replay =
            |since| Replay::of(log.as_bytes(), since, &policies).expect("memory can be read");
        let all = replay(None);
        assert_eq!(
            (all.decisions, all.same, all.broken, all.skipped),
            (3, 1, 2, 0)
        );
        assert_eq!(all.changes.len(), 1);
        assert_eq!(
            (all.changes[0].count, all.changes[0].after),
            (2, Effect::Deny)
        );
        assert_eq!(all.changes[0].last, "2026-01-03T00:00:00Z");
        let since = humantime::parse_rfc3339("2026-01-02T12:00:00Z").ok();
        assert_eq!((replay(since).decisions, replay(since).skipped), (1, 2));
    }
}
