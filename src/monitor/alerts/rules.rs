//! What one rule says to one record.

use std::collections::{BTreeMap, VecDeque};

use crate::audit::{Entry, Kind, Secret};
use crate::model::printable::printable;
use crate::model::{AlertOn, AlertRule, Weekday};
use crate::monitor::item::Item;

/// So many services have a rate of their own; more share one.
const MOST_RATES: usize = 2_000;

/// A rule fits a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// In a line.
    pub summary: String,
}

impl Hit {
    /// About these; empty ones are left out.
    pub fn new(labels: &[(&str, &str)], summary: String) -> Self {
        let labels = labels.iter().filter(|(_, value)| !value.is_empty());
        let labels = labels.map(|(name, value)| ((*name).to_owned(), printable(value)));
        Self {
            labels: labels.collect(),
            summary,
        }
    }
}

/// Whether a record is one of a rule's services, and has one of its secrets.
pub fn is_about(rule: &AlertRule, item: &Item) -> bool {
    let named = |name: &str| rule.secrets.is_empty() || rule.secrets.contains(name);
    let secrets = &item.record.entry.secrets;
    (rule.services.is_empty() || rule.services.contains(&*item.record.service))
        && (rule.secrets.is_empty() || secrets.iter().any(|secret| named(&secret.name)))
}

/// Of a rule that needs nothing but the record.
pub fn at_once(rule: &AlertRule, item: &Item, local: (u8, u8)) -> Vec<Hit> {
    let entry = &item.record.entry;
    match rule.on {
        AlertOn::Denied if entry.kind == Kind::Denied => denied(item),
        AlertOn::BreakGlass if entry.kind == Kind::BreakGlass => vec![broken(item)],
        AlertOn::Outside if is_outside(rule, item, local) => vec![outside(item)],
        AlertOn::Tampered if entry.kind == Kind::Recovered && entry.status_id != 1 => {
            let summary = format!("the audit log lost records: {}", printable(&entry.message));
            vec![Hit::new(&[], summary)]
        }
        _ => Vec::new(),
    }
}

fn service(item: &Item) -> &str {
    &item.record.service
}

/// `service shop`, or the command.
fn who(item: &Item) -> String {
    match service(item) {
        "" => printable(&item.record.program),
        service => format!("service {}", printable(service)),
    }
}

fn denied(item: &Item) -> Vec<Hit> {
    let one = |name: &str| {
        let what = if name.is_empty() {
            "a command".to_owned()
        } else {
            format!("secret {}", printable(name))
        };
        let labels = [
            ("service", service(item)),
            ("secret", name),
            ("program", &item.record.program),
        ];
        Hit::new(&labels, format!("policy denied {what} to {}", who(item)))
    };
    let secrets = &item.record.entry.secrets;
    if secrets.is_empty() {
        return vec![one("")];
    }
    secrets.iter().map(|secret| one(&secret.name)).collect()
}

fn broken(item: &Item) -> Hit {
    let entry = &item.record.entry;
    let uid = entry.peer.as_ref().map_or(item.record.uid, |peer| peer.uid);
    let uid = uid.to_string();
    let reason = printable(&entry.message);
    let summary = format!("--break-glass by uid {uid} for {}: {reason}", who(item));
    Hit::new(&[("service", service(item)), ("uid", &uid)], summary)
}

/// `local`: hour and weekday (1 is Monday).
fn is_outside(rule: &AlertRule, item: &Item, (hour, weekday): (u8, u8)) -> bool {
    let in_hours = rule.hours.is_none_or(|hours| hours.has(hour));
    let number = |day: &Weekday| *day as u8 + 1;
    let in_days =
        rule.weekdays.is_empty() || rule.weekdays.iter().any(|day| number(day) == weekday);
    rule.kinds.contains(item.kind()) && !(in_hours && in_days)
}

fn outside(item: &Item) -> Hit {
    let summary = format!("outside the allowed hours: {}", item.summary());
    Hit::new(
        &[("service", service(item)), ("kind", item.kind())],
        summary,
    )
}

/// The times of a rule's records, by service.
#[derive(Debug, Default)]
pub struct Rates(BTreeMap<(String, String), VecDeque<u64>>);

impl Rates {
    /// Takes a record at a time in milliseconds.
    pub fn hit(&mut self, rule: &AlertRule, item: &Item, time: u64) -> Option<Hit> {
        if !rule.kinds.contains(item.kind()) {
            return None;
        }
        let name = if self.0.len() < MOST_RATES {
            service(item)
        } else {
            ""
        };
        let times = self
            .0
            .entry((rule.name.clone(), name.to_owned()))
            .or_default();
        times.push_back(time);
        let oldest = time.saturating_sub(rule.within.as_millis() as u64);
        while times.front().is_some_and(|time| *time < oldest) {
            times.pop_front();
        }
        let count = times.len() as u64;
        // No more times are kept than are needed to see that there are too many.
        while times.len() as u64 > rule.more_than.saturating_add(1) {
            times.pop_front();
        }
        if count <= rule.more_than {
            return None;
        }
        let within = crate::model::format_duration(rule.within);
        let (most, what) = (rule.more_than, item.kind());
        let summary = format!(
            "more than {most} records such as {what} within {within}: {}",
            who(item)
        );
        Some(Hit::new(&[("service", name)], summary))
    }
}

/// The secrets of a record that a rule is about.
pub fn secrets<'a>(rule: &'a AlertRule, entry: &'a Entry) -> impl Iterator<Item = &'a Secret> {
    let secrets = entry.secrets.iter();
    secrets.filter(|secret| rule.secrets.is_empty() || rule.secrets.contains(&secret.name))
}
