//! One alert.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::AlertOn;

/// What a receiver is notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It goes on.
    Firing,
    /// It is over.
    Resolved,
}

impl Phase {
    /// As Alertmanager calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// An alert, from its first record until it is over, and a while longer. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// The name of its rule.
    pub rule: String,
    /// What the rule is about.
    pub on: AlertOn,
    /// What it is about: service, secret, program, ...
    pub labels: BTreeMap<String, String>,
    /// In a line, for people.
    pub summary: String,
    /// The time of its first record.
    pub started: u64,
    /// When the monitor saw that one.
    pub fired: u64,
    /// When it saw the last one.
    pub touched: u64,
    /// How many there were.
    pub count: u64,
    /// The number of the first record; `None`: it is about none.
    pub first: Option<u64>,
    /// That of the last one.
    pub last: Option<u64>,
    /// When it was over.
    pub ended: Option<u64>,
    /// It grows each time that receivers are to be notified.
    pub revision: u64,
    /// When it did last.
    pub revised: u64,
    /// What each receiver has, by name.
    pub sent: BTreeMap<String, u64>,
}

impl Alert {
    /// The same as long as it is about the same.
    pub fn key(rule: &str, labels: &BTreeMap<String, String>) -> String {
        let mut key = rule.to_owned();
        for (name, value) in labels {
            key.extend(["\n", name, "=", value]);
        }
        key
    }

    /// Whether it goes on.
    pub const fn phase(&self) -> Phase {
        match self.ended {
            Some(_) => Phase::Resolved,
            None => Phase::Firing,
        }
    }

    /// `critical` where somebody went past policy or changed the log.
    pub const fn severity(&self) -> &'static str {
        match self.on {
            AlertOn::BreakGlass | AlertOn::Tampered => "critical",
            _ => "warning",
        }
    }

    /// What to run on the host, to see more.
    pub fn help(&self) -> String {
        match (self.on, self.first) {
            (AlertOn::Tampered, _) => "run `hushpipe audit verify --ask` on the host".to_owned(),
            (AlertOn::SinkLate, _) => {
                "see the messages of `hushpipe monitor` on the host".to_owned()
            }
            (_, Some(first)) => {
                let first = format!("the first record is {first}");
                match self.labels.get("service") {
                    Some(service) => format!(
                        "{first}: run `hushpipe audit show --service {service}` on the host"
                    ),
                    None => format!("{first}: run `hushpipe audit show` on the host"),
                }
            }
            (_, None) => "run `hushpipe status` on the host".to_owned(),
        }
    }

    /// As JSON, for a webhook.
    pub fn json(&self, host: &str) -> Value {
        json!({
            "version": 1,
            "status": self.phase().word(),
            "rule": self.rule,
            "on": self.on,
            "severity": self.severity(),
            "host": host,
            "labels": self.labels,
            "summary": self.summary,
            "help": self.help(),
            "started": rfc3339(self.started),
            "detected": rfc3339(self.fired),
            "ended": self.ended.map(rfc3339),
            "count": self.count,
            "records": { "first": self.first, "last": self.last },
        })
    }
}

/// A time as receivers have it.
pub fn rfc3339(millis: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    humantime::format_rfc3339_millis(time.unwrap_or(SystemTime::UNIX_EPOCH)).to_string()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// One of two records.
    pub fn sample() -> Alert {
        Alert {
            rule: "denied".to_owned(),
            on: AlertOn::Denied,
            labels: BTreeMap::from([("service".to_owned(), "shop".to_owned())]),
            summary: "policy denied db to shop".to_owned(),
            started: 1_700_000_000_000,
            fired: 1_700_000_000_250,
            touched: 1_700_000_001_000,
            count: 2,
            first: Some(4),
            last: Some(9),
            ended: None,
            revision: 3,
            revised: 1_700_000_000_250,
            sent: BTreeMap::new(),
        }
    }

    #[test]
    fn a_webhook_has_all_of_it() {
        let mut alert = sample();
        alert.ended = Some(1_700_000_900_000);
        let wanted = json!({
            "version": 1, "status": "resolved", "rule": "denied", "on": "denied", "severity": "warning",
            "host": "web1", "labels": { "service": "shop" }, "summary": "policy denied db to shop",
            "help": "the first record is 4: run `hushpipe audit show --service shop` on the host",
            "started": "2023-11-14T22:13:20.000Z", "detected": "2023-11-14T22:13:20.250Z",
            "ended": "2023-11-14T22:28:20.000Z", "count": 2, "records": { "first": 4, "last": 9 },
        });
        assert_eq!(alert.json("web1"), wanted);
    }

    #[test]
    fn every_kind_has_its_help() {
        for (on, wanted) in [
            (AlertOn::Tampered, "audit verify --ask"),
            (AlertOn::SinkLate, "messages of `hushpipe monitor`"),
            (AlertOn::Stale, "--service shop"),
        ] {
            let alert = Alert { on, ..sample() };
            assert!(alert.help().contains(wanted), "{}", alert.help());
        }
    }
}
