//! `alerts:` of a site.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::sinks::{JournaldRecord, SyslogRecord};
use super::site_path::SitePath;
use crate::manifest::addresses::Server;
use crate::manifest::collections::List;
use crate::manifest::decode::{Decode, Decoder, NO_SECRET, Spanned, record};
use crate::manifest::fault::quote;
use crate::manifest::tree::Node;
use crate::manifest::values::Word;
use crate::model::{AlertOn, AlertRule, Hours, RECORD_KINDS, Weekday};

record! {
    /// What somebody is notified of.
    AlertsRecord("a mapping such as { rules: [{ on: denied }], notify: [{ journald: {} }] }") {
        /// The rules that `hushpipe monitor` evaluates.
        required rules "rules": Rules;
        /// Who is notified. Without it, alerts show in the monitor's messages and metrics alone.
        optional notify "notify": List<Receiver>;
        /// How long until an alert that goes on is sent again.
        optional repeat "repeat": Duration = "4h";
        /// How long after its last record an alert is resolved.
        optional resolve "resolve": Duration = "15m";
    } elsewhere {}
}

record! {
    /// One rule.
    AlertRuleRecord("a mapping such as { on: denied } or { on: rate, more_than: 100, within: 1m }") {
        /// new_reader: a service or program reads a secret for the first time. rate: more_than records within a
        /// time. outside: something happens outside hours and weekdays. denied, break_glass: each of those
        /// records. stale: a running service has had the same version of a secret for too long. sink_late: a
        /// sink does not confirm records. tampered: the log was replaced, rewritten or cut off.
        required on "on": AlertOn;
        /// Its name, where there are several of a kind. Default: what `on` says.
        optional name "name": Word;
        /// Only for these services.
        optional services "services": List<Word>;
        /// Only for these secrets.
        optional secrets "secrets": List<Word>;
        /// For rate and outside: kinds of records. Default: release for rate; start, reveal and change for
        /// outside.
        optional kinds "kinds": List<RecordKind>;
        /// For rate: how many are allowed, of each service.
        optional more_than "more_than": u64;
        /// For rate: within this time. Default: 1m.
        optional within "within": Duration;
        /// For outside: the hours that are allowed, in the host's time zone, such as 8-18.
        optional hours "hours": HoursRange;
        /// For outside: the weekdays that are allowed. Default: all.
        optional weekdays "weekdays": List<Weekday>;
        /// For stale: how old a version may be (default 90d). For sink_late: how long records may wait (default
        /// 5m).
        optional after "after": Duration;
        /// For new_reader: how long after the log's first record readers are only learnt. Default: 7d.
        optional learn "learn": Duration;
    } elsewhere {}
}

/// The rules, each with a name of its own.
pub struct Rules(pub Vec<AlertRule>);

impl Decode for Rules {
    const WANTED: &'static str = "a list of rules";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let list = List::<Rule>::decode(node, to)?;
        if list.0.is_empty() {
            to.fault(
                node.span,
                "there is no rule",
                "add one, such as { on: denied }",
            );
        }
        let mut names = BTreeSet::new();
        let mut rules = Vec::new();
        for item in list.0 {
            let Some(Rule(rule)) = item.value else {
                continue;
            };
            if !names.insert(rule.name.clone()) {
                let message = format!("two rules are called {}", quote(&rule.name));
                to.fault(item.span, message, "give each a `name:` of its own");
            }
            rules.push(rule);
        }
        Some(Self(rules))
    }

    fn schema() -> Value {
        let mut schema = List::<Rule>::schema();
        schema["minItems"] = json!(1);
        schema
    }
}

/// A rule with the keys of its kind.
pub struct Rule(AlertRule);

impl Decode for Rule {
    const WANTED: &'static str = "a mapping such as { on: denied }";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let record = AlertRuleRecord::decode(node, to)?;
        let on = *record.on.get()?;
        record.misplaced(on, to);
        if on == AlertOn::Rate && !record.more_than.is_present() {
            let help = "add `more_than:` with how many are allowed";
            to.fault(record.at, "a rule on rate needs the key `more_than`", help);
        }
        if on == AlertOn::Outside && !record.hours.is_present() && !record.weekdays.is_present() {
            let message = "a rule on outside needs the key `hours` or `weekdays`";
            to.fault(record.at, message, "add what is allowed: hours: 8-18");
        }
        Some(Self(record.rule(on)))
    }

    fn schema() -> Value {
        AlertRuleRecord::schema()
    }
}

impl AlertRuleRecord {
    /// Keys of other kinds of rules.
    fn misplaced(&self, on: AlertOn, to: &mut Decoder<'_>) {
        use AlertOn::{NewReader, Outside, Rate, SinkLate, Stale, Tampered};
        let is_of_host = matches!(on, SinkLate | Tampered);
        let keys = [
            ("services", self.services.key, !is_of_host),
            ("secrets", self.secrets.key, !is_of_host),
            ("kinds", self.kinds.key, matches!(on, Rate | Outside)),
            ("more_than", self.more_than.key, on == Rate),
            ("within", self.within.key, on == Rate),
            ("hours", self.hours.key, on == Outside),
            ("weekdays", self.weekdays.key, on == Outside),
            ("after", self.after.key, matches!(on, Stale | SinkLate)),
            ("learn", self.learn.key, on == NewReader),
        ];
        for (key, at, fits) in keys {
            if let (Some(at), false) = (at, fits) {
                let message = format!("a rule on {on} has no key `{key}`");
                to.fault(at, message, "remove it");
            }
        }
    }

    fn rule(&self, on: AlertOn) -> AlertRule {
        let (minute, day) = (Duration::from_mins(1), Duration::from_hours(24));
        let after = self.after.get().or(self.learn.get()).copied();
        let kinds = match (names(&self.kinds, |kind| &kind.0), on) {
            (kinds, _) if !kinds.is_empty() => kinds,
            (_, AlertOn::Rate) => BTreeSet::from(["release".to_owned()]),
            (_, AlertOn::Outside) => ["start", "reveal", "change"].map(str::to_owned).into(),
            (none, _) => none,
        };
        AlertRule {
            on,
            name: match self.name.get() {
                Some(name) => name.0.clone(),
                None => on.word().to_owned(),
            },
            services: names(&self.services, |word| &word.0),
            secrets: names(&self.secrets, |word| &word.0),
            kinds,
            more_than: self.more_than.get().copied().unwrap_or_default(),
            within: self.within.get().copied().unwrap_or(minute),
            hours: self.hours.get().map(|hours| hours.0),
            weekdays: match self.weekdays.get() {
                Some(list) => list.values().into_iter().collect(),
                None => BTreeSet::new(),
            },
            after: after.unwrap_or(match on {
                AlertOn::NewReader => day * 7,
                AlertOn::Stale => day * 90,
                _ => minute * 5,
            }),
        }
    }
}

/// The words of a list, each once.
fn names<T>(field: &Spanned<List<T>>, word: fn(&T) -> &String) -> BTreeSet<String> {
    let items = field.get().map_or(&[][..], |list| &list.0);
    let items = items.iter().filter_map(Spanned::get);
    items.map(|item| word(item).clone()).collect()
}

/// The kind of a record.
#[derive(Clone, Debug)]
pub struct RecordKind(pub String);

impl Decode for RecordKind {
    const WANTED: &'static str = "a kind of records such as release";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let text = to.text(node, Self::WANTED)?;
        if RECORD_KINDS.contains(&text.as_str()) {
            return Some(Self(text));
        }
        to.not_a_choice(node, &text, RECORD_KINDS);
        None
    }

    fn schema() -> Value {
        json!({ "enum": RECORD_KINDS })
    }
}

/// `8-18`
#[derive(Clone, Copy, Debug)]
pub struct HoursRange(pub Hours);

impl Decode for HoursRange {
    const WANTED: &'static str = "hours such as 8-18 or 22-6";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| {
            const WRONG: &str =
                "hours are two whole numbers: FROM (0 to 23) and TO (1 to 24), such as 8-18";
            let number = |text: &str| {
                let digits =
                    (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
                text.parse::<u8>().ok().filter(|_| digits).ok_or(WRONG)
            };
            let (from, until) = text.split_once('-').ok_or(WRONG)?;
            let hours = Hours {
                from: number(from)?,
                to: number(until)?,
            };
            let in_range = hours.from <= 23 && (1..=24).contains(&hours.to);
            if in_range && hours.from != hours.to {
                Ok(Self(hours))
            } else {
                Err(WRONG)
            }
        })
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9]{1,2}-[0-9]{1,2}$" })
    }
}

record! {
    /// One receiver of alerts.
    ReceiverRecord("a mapping with one of webhook, alertmanager, syslog, journald") {
        /// JSON by POST, signed as Standard Webhooks are.
        optional webhook "webhook": WebhookRecord;
        /// Prometheus' Alertmanager.
        optional alertmanager "alertmanager": AlertmanagerRecord;
        /// Syslog (RFC 5424).
        optional syslog "syslog": SyslogRecord;
        /// The journal of this host.
        optional journald "journald": JournaldRecord;
    } elsewhere {}
}

/// A receiver of one kind.
pub struct Receiver(pub ReceiverRecord);

impl Decode for Receiver {
    const WANTED: &'static str = "a mapping with one of webhook, alertmanager, syslog, journald";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let record = ReceiverRecord::decode(node, to)?;
        let present = [
            record.webhook.is_present(),
            record.alertmanager.is_present(),
            record.syslog.is_present(),
            record.journald.is_present(),
        ];
        if present.iter().filter(|is_there| **is_there).count() == 1 {
            return Some(Self(record));
        }
        let help = "write one of `webhook: {...}`, `alertmanager: {...}`, `syslog: {...}`, `journald: {}` an item";
        to.fault(node.span, "a receiver has one kind", help);
        None
    }

    fn schema() -> Value {
        let mut schema = ReceiverRecord::schema();
        schema["minProperties"] = json!(1);
        schema["maxProperties"] = json!(1);
        schema
    }
}

record! {
    /// JSON by POST, confirmed by a status of 200 to 299.
    WebhookRecord("a mapping such as { url: https://alerts.internal/hushpipe, key_file: /etc/hushpipe/webhook.key }") {
        /// The URL that is posted to, whole.
        required url "url": Server;
        /// The file with the key that requests are signed with (standardwebhooks.com): whsec_ and base64. Without
        /// it, they are not signed.
        optional key_file "key_file": SitePath;
        /// The file with the token of the Authorization header (Bearer).
        optional token_file "token_file": SitePath;
        /// PEM certificates of the authorities that are trusted. Default: those of the system.
        optional ca_file "ca_file": SitePath;
    } elsewhere {
        "token": NO_SECRET => "name the token's file: token_file: PATH",
        "key": NO_SECRET => "name the key's file: key_file: PATH",
    }
}

record! {
    /// Prometheus' Alertmanager.
    AlertmanagerRecord("a mapping such as { url: http://127.0.0.1:9093 }") {
        /// Where it is; hushpipe adds /api/v2/alerts.
        required url "url": Server;
        /// The file with the token of the Authorization header (Bearer).
        optional token_file "token_file": SitePath;
        /// PEM certificates of the authorities that are trusted. Default: those of the system.
        optional ca_file "ca_file": SitePath;
    } elsewhere {
        "token": NO_SECRET => "name the token's file: token_file: PATH",
    }
}
