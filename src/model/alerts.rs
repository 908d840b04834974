//! `alerts:` of a site: which records somebody is notified of, and how.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::endpoint::{ServerSpec, SyslogAddress};
use super::words::words;
use super::written::{duration, path, path_or_none};
use super::{Tls, format_duration};

/// The kinds of records that a rule can be about: each word of `audit::Kind`, which has a test for that.
pub const RECORD_KINDS: &[&str] = &[
    "start",
    "end",
    "decision",
    "denied",
    "release",
    "delivered",
    "failed",
    "rotated",
    "verified",
    "rolled_back",
    "revoked",
    "approval_asked",
    "approval_given",
    "approval_spent",
    "break_glass",
    "reveal",
    "revealed",
    "change",
    "control",
    "read",
    "recovered",
    "pruned",
    "incident_opened",
    "incident_step",
    "incident_closed",
];

words! {
    /// `on:` of a rule.
    AlertOn {
        /// A service or a program reads a secret for the first time.
        NewReader = "new_reader",
        /// More records than a number within a time.
        Rate = "rate",
        /// Something happened outside some hours or weekdays.
        Outside = "outside",
        /// Policy denied something.
        Denied = "denied",
        /// Policy was overridden by --break-glass.
        BreakGlass = "break_glass",
        /// A running service has had the same version of a secret for too long.
        Stale = "stale",
        /// A sink does not confirm records.
        SinkLate = "sink_late",
        /// The log was replaced, rewritten or cut off.
        Tampered = "tampered",
    }
}

words! {
    /// `weekdays:` of a rule.
    Weekday {
        /// 1, as ISO 8601 counts.
        Monday = "mon",
        /// 2
        Tuesday = "tue",
        /// 3
        Wednesday = "wed",
        /// 4
        Thursday = "thu",
        /// 5
        Friday = "fri",
        /// 6
        Saturday = "sat",
        /// 7
        Sunday = "sun",
    }
}

/// Whole hours of the host's time zone, `8-18`: from the first one to before the last one, over midnight if
/// that is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// 0 to 23.
    pub from: u8,
    /// 1 to 24.
    pub to: u8,
}

impl Hours {
    /// Whether an hour (0 to 23) is one of them.
    pub const fn has(self, hour: u8) -> bool {
        if self.from < self.to {
            self.from <= hour && hour < self.to
        } else {
            self.from <= hour || hour < self.to
        }
    }
}

impl Serialize for Hours {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}-{}", self.from, self.to))
    }
}

/// `alerts:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertsSpec {
    /// What somebody is notified of.
    pub rules: Vec<AlertRule>,
    /// Who.
    pub notify: Vec<ReceiverSpec>,
    /// How long until an alert that goes on is sent again.
    #[serde(serialize_with = "duration")]
    pub repeat: Duration,
    /// How long after its last record an alert is over.
    #[serde(serialize_with = "duration")]
    pub resolve: Duration,
}

/// One of `alerts.rules:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertRule {
    /// What it is about.
    pub on: AlertOn,
    /// Its name; that of its kind, where the site gives none.
    pub name: String,
    /// Only for these services; empty: for all.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<String>,
    /// Only for these secrets; empty: for all.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<String>,
    /// Of `rate` and `outside`: the kinds of records.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<String>,
    /// Of `rate`: so many are allowed.
    pub more_than: u64,
    /// Of `rate`: within this time.
    #[serde(serialize_with = "duration")]
    pub within: Duration,
    /// Of `outside`: what is allowed.
    pub hours: Option<Hours>,
    /// Of `outside`: the same; empty: all.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub weekdays: BTreeSet<Weekday>,
    /// Of `stale` and `sink_late`: how long it may take. Of `new_reader`: how long readers are only learnt.
    #[serde(serialize_with = "duration")]
    pub after: Duration,
}

/// One of `alerts.notify:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverSpec {
    /// JSON by POST, signed (Standard Webhooks).
    Webhook {
        /// Where.
        #[serde(flatten)]
        server: ServerSpec,
        /// The key that it is signed with; `None`: it is not.
        #[serde(serialize_with = "path_or_none")]
        key_file: Option<PathBuf>,
    },
    /// Prometheus' Alertmanager, API v2.
    Alertmanager(ServerSpec),
    /// RFC 5424.
    Syslog {
        /// Where.
        address: SyslogAddress,
        /// How the server is known, where it is `tls:`.
        #[serde(flatten)]
        tls: Tls,
    },
    /// The journal of this host.
    Journald {
        /// Of its native protocol.
        #[serde(serialize_with = "path")]
        socket: PathBuf,
    },
}

impl ReceiverSpec {
    /// Its kind and address, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Webhook { server, .. } => format!("webhook {}", server.url),
            Self::Alertmanager(server) => format!("alertmanager {}", server.url),
            Self::Syslog { address, .. } => format!("syslog {address}"),
            Self::Journald { .. } => "journald".to_owned(),
        }
    }
}

impl AlertsSpec {
    /// How often an alert that goes on is sent again, if the site does not say.
    pub const REPEAT: Duration = Duration::from_hours(4);

    /// What it requires, for people.
    pub fn words(&self) -> String {
        let rules: Vec<&str> = self.rules.iter().map(|rule| &*rule.name).collect();
        let receivers: Vec<String> = self.notify.iter().map(ReceiverSpec::name).collect();
        let to = if receivers.is_empty() {
            "shown by the monitor alone".to_owned()
        } else {
            format!("to {}", receivers.join(", "))
        };
        let repeat = format_duration(self.repeat);
        format!("{}; {to}, again after {repeat}", rules.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_go_over_midnight() {
        let day = Hours { from: 8, to: 18 };
        assert!(day.has(8) && day.has(17) && !day.has(18) && !day.has(7));
        let night = Hours { from: 22, to: 6 };
        assert!(night.has(22) && night.has(0) && night.has(5) && !night.has(6) && !night.has(21));
        assert!(Hours { from: 0, to: 24 }.has(23));
    }
}
