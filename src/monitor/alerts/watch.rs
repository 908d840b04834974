//! Watches the record stream by a site's rules.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::alert::Alert;
use super::baseline::{Baseline, Learnt};
use super::rules::{Hit, Rates, at_once, is_about, secrets};
use crate::audit::Kind;
use crate::model::printable::printable;
use crate::model::{AlertOn, AlertRule, AlertsSpec, hex};
use crate::monitor::item::Item;

/// More alerts than this are not kept; those that are over make room first.
const MOST: usize = 1_000;
/// How long one that is over is kept: `incident open` looks for when a leak was detected.
const KEPT: Duration = Duration::from_hours(7 * 24);
/// More versions and programs of launchers than this are not kept.
const MOST_HELD: usize = 10_000;

/// A secret of a running service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldVersion {
    service: String,
    secret: String,
    launcher: String,
    /// A digest of it.
    version: String,
    /// Milliseconds since 1970.
    since: u64,
}

/// What is kept on the disk beside the baseline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The record that is looked at next; `None`: none was yet.
    pub next: Option<u64>,
    /// The last revision that an alert was given.
    revision: u64,
    /// By key.
    pub alerts: BTreeMap<String, Alert>,
    /// By service and secret.
    held: BTreeMap<String, HeldVersion>,
}

/// A sink, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkNow {
    /// Its kind and address.
    pub name: String,
    /// The records before this one were confirmed.
    pub confirmed: u64,
    /// How many there are.
    pub size: u64,
}

/// Rules, and what they go by.
pub struct Watch {
    rules: Rc<[AlertRule]>,
    repeat: u64,
    resolve: u64,
    /// Hour and weekday of a second since 1970, where the host is.
    local: fn(i64) -> (u8, u8),
    standing: Standing,
    baseline: Baseline,
    rates: Rates,
    /// The digest of each launcher's program.
    programs: BTreeMap<String, String>,
    /// Since when a sink has confirmed no more than that.
    waiting: BTreeMap<String, (u64, u64)>,
    /// What is not on the disk yet: alerts, the baseline.
    pub unsaved: (bool, bool),
    /// Alerts that were not kept since that was asked.
    dropped: u64,
    /// Those that began since: their rules and summaries.
    begun: Vec<(String, String)>,
}

impl Watch {
    /// Goes on from what was kept.
    pub fn new(
        spec: &AlertsSpec,
        (standing, baseline): (Standing, Baseline),
        local: fn(i64) -> (u8, u8),
    ) -> Self {
        Self {
            rules: spec.rules.as_slice().into(),
            repeat: spec.repeat.as_millis() as u64,
            resolve: spec.resolve.as_millis() as u64,
            local,
            standing,
            baseline,
            rates: Rates::default(),
            programs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            unsaved: (false, false),
            dropped: 0,
            begun: Vec::new(),
        }
    }

    /// The rules and summaries of alerts that began since this was asked last, and how many were dropped.
    pub fn take_begun(&mut self) -> (Vec<(String, String)>, u64) {
        (
            std::mem::take(&mut self.begun),
            std::mem::take(&mut self.dropped),
        )
    }

    /// It grows with each change that receivers are to know.
    pub const fn revision(&self) -> u64 {
        self.standing.revision
    }

    /// What is kept on the disk.
    pub const fn kept(&self) -> (&Standing, &Baseline) {
        (&self.standing, &self.baseline)
    }

    /// The record that is looked at next; `None`: nothing was kept.
    pub const fn next(&self) -> Option<u64> {
        self.standing.next
    }

    /// Goes on at a record.
    pub fn set_next(&mut self, next: u64) {
        self.standing.next = Some(next);
    }

    /// All alerts, those that are over as well.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.standing.alerts.values()
    }

    /// Takes a record, at `now` in milliseconds since 1970. `is_new`: it came since alerts were first watched;
    /// from older ones is only learnt.
    pub fn record(&mut self, item: &Item, now: u64, is_new: bool) {
        self.standing.next = Some(item.seq + 1);
        let (seconds, nanos) = item.time();
        let time = seconds * 1000 + u64::from(nanos / 1_000_000);
        self.baseline.began.get_or_insert_with(|| {
            self.unsaved.1 = true;
            time
        });
        self.learn(item, time);
        let local = (self.local)(i64::try_from(seconds).unwrap_or_default());
        let rules = Rc::clone(&self.rules);
        for rule in rules.iter().filter(|rule| is_about(rule, item)) {
            let hits = match rule.on {
                AlertOn::NewReader => self.new_readers(rule, item, time),
                AlertOn::Rate => self.rates.hit(rule, item, time).into_iter().collect(),
                _ => at_once(rule, item, local),
            };
            for hit in hits.into_iter().filter(|_| is_new) {
                self.fire(rule, hit, now, Some((time, item.seq)));
            }
        }
        // All rules on new readers see the baseline as it was before this record.
        self.read(item);
    }

    /// What rules on launchers go by.
    fn learn(&mut self, item: &Item, time: u64) {
        let (record, entry) = (&item.record, &item.record.entry);
        let launcher = &*record.launcher;
        if let Some(sha256) = program(item) {
            if self.programs.len() >= MOST_HELD {
                self.programs.clear();
            }
            self.programs.insert(launcher.to_owned(), sha256.to_owned());
        }
        match entry.kind {
            Kind::End => {
                self.programs.remove(launcher);
                let before = self.standing.held.len();
                self.standing
                    .held
                    .retain(|_, held| held.launcher != launcher);
                self.unsaved.0 |= self.standing.held.len() != before;
            }
            Kind::Release => {
                for secret in &entry.secrets {
                    self.hold(item, &secret.name, &secret.version, time);
                }
            }
            _ => {}
        }
    }

    fn hold(&mut self, item: &Item, secret: &str, version: &str, time: u64) {
        let service = &*item.record.service;
        let key = format!("{service}\n{secret}");
        let version = hex(&digest(&SHA256, version.as_bytes()).as_ref()[..8]);
        let held = &mut self.standing.held;
        let since = match held.get(&key) {
            Some(held) if held.version == version => held.since,
            None if held.len() >= MOST_HELD => return,
            _ => time,
        };
        let entry = HeldVersion {
            service: service.to_owned(),
            secret: secret.to_owned(),
            launcher: item.record.launcher.as_ref().to_owned(),
            version,
            since,
        };
        held.insert(key, entry);
        self.unsaved.0 = true;
    }

    /// Readers of a release that are not in the baseline.
    fn new_readers(&self, rule: &AlertRule, item: &Item, time: u64) -> Vec<Hit> {
        let learning = self.baseline.began.unwrap_or(time) + rule.after.as_millis() as u64;
        if item.record.entry.kind != Kind::Release || time < learning {
            return Vec::new();
        }
        let knows = |what, name, place| self.baseline.knows(what, name, place);
        let service = &*item.record.service;
        let sha256 = self.programs.get(&*item.record.launcher);
        let mut hits = Vec::new();
        for secret in secrets(rule, &item.record.entry) {
            let place = (&*secret.store, &*secret.asked);
            let mut why = Vec::new();
            if !knows("service", service, place) {
                why.push(format!("service {}", printable(service)));
            }
            if sha256.is_some_and(|sha256| !knows("program", sha256, place)) {
                let short: String = sha256
                    .iter()
                    .flat_map(|sha256| sha256.chars().take(12))
                    .collect();
                let program = printable(&item.record.program);
                why.push(format!("program {program} ({short})"));
            }
            if !why.is_empty() {
                let name = printable(&secret.name);
                let summary = format!("new reader of secret {name}: {}", why.join(", "));
                let labels = [
                    ("service", service),
                    ("secret", &secret.name),
                    ("program", &item.record.program),
                ];
                hits.push(Hit::new(&labels, summary));
            }
        }
        hits
    }

    /// Learns the readers of a release.
    fn read(&mut self, item: &Item) {
        if item.record.entry.kind != Kind::Release {
            return;
        }
        let sha256 = self.programs.get(&*item.record.launcher);
        for secret in &item.record.entry.secrets {
            let place = (&*secret.store, &*secret.asked);
            let service = self.baseline.learn("service", &item.record.service, place);
            let program = sha256.map(|sha256| self.baseline.learn("program", sha256, place));
            self.unsaved.1 |= service == Learnt::New || program == Some(Learnt::New);
        }
    }

    /// Somebody saw another log.
    pub fn tampered(&mut self, what: &str, now: u64) {
        let rules = Rc::clone(&self.rules);
        for rule in of(&rules, AlertOn::Tampered) {
            self.fire(rule, Hit::new(&[], printable(what)), now, None);
        }
    }

    /// Looks at what only time changes: sinks, old versions, alerts that are over.
    pub fn tick(&mut self, now: u64, sinks: &[SinkNow]) {
        self.late(now, sinks);
        self.stale(now);
        let resolve = self.resolve;
        let mut revision = self.standing.revision;
        let mut changed = false;
        for alert in self.standing.alerts.values_mut() {
            let lasts = match alert.on {
                // These are looked at each time.
                AlertOn::Stale | AlertOn::SinkLate => 0,
                _ => resolve,
            };
            if alert.ended.is_none() && now > alert.touched + lasts {
                revision += 1;
                alert.ended = Some(now);
                (alert.revision, alert.revised) = (revision, now);
                changed = true;
            }
        }
        self.standing.revision = revision;
        let oldest = now.saturating_sub(KEPT.as_millis() as u64);
        let before = self.standing.alerts.len();
        let alerts = &mut self.standing.alerts;
        alerts.retain(|_, alert| alert.ended.is_none_or(|ended| ended > oldest));
        self.unsaved.0 |= changed || alerts.len() != before;
    }

    fn late(&mut self, now: u64, sinks: &[SinkNow]) {
        let rules = Rc::clone(&self.rules);
        self.waiting
            .retain(|name, _| sinks.iter().any(|sink| sink.name == *name));
        for sink in sinks {
            let since = match self.waiting.get(&sink.name) {
                Some((confirmed, since)) if *confirmed == sink.confirmed => *since,
                _ => now,
            };
            let since = if sink.confirmed < sink.size {
                since
            } else {
                now
            };
            self.waiting
                .insert(sink.name.clone(), (sink.confirmed, since));
            for rule in of(&rules, AlertOn::SinkLate) {
                if since < now && now - since >= rule.after.as_millis() as u64 {
                    let count = sink.size - sink.confirmed;
                    let name = printable(&sink.name);
                    let summary = format!("{count} records wait for sink {name}");
                    self.fire(rule, Hit::new(&[("sink", &sink.name)], summary), now, None);
                }
            }
        }
    }

    fn stale(&mut self, now: u64) {
        let rules = Rc::clone(&self.rules);
        for rule in of(&rules, AlertOn::Stale) {
            let after = rule.after.as_millis() as u64;
            let fits = |held: &&HeldVersion| {
                held.since + after <= now
                    && (rule.services.is_empty() || rule.services.contains(&held.service))
                    && (rule.secrets.is_empty() || rule.secrets.contains(&held.secret))
            };
            let old: Vec<HeldVersion> = self.standing.held.values().filter(fits).cloned().collect();
            for held in old {
                let days = (now - held.since) / 86_400_000;
                let (service, secret) = (printable(&held.service), printable(&held.secret));
                let summary = format!(
                    "service {service} has had the same version of secret {secret} for {days} days"
                );
                let labels = [("service", &*held.service), ("secret", &*held.secret)];
                self.fire(rule, Hit::new(&labels, summary), now, None);
            }
        }
    }

    /// Begins an alert, or goes on with it. `of`: the record's time and number.
    fn fire(&mut self, rule: &AlertRule, hit: Hit, now: u64, of: Option<(u64, u64)>) {
        let key = Alert::key(&rule.name, &hit.labels);
        let repeat = self.repeat;
        let revision = self.standing.revision + 1;
        let seq = of.map(|(_, seq)| seq);
        let goes_on = |alert: &&mut Alert| alert.ended.is_none();
        if let Some(alert) = self.standing.alerts.get_mut(&key).filter(goes_on) {
            alert.touched = now;
            alert.count += 1;
            alert.last = seq.or(alert.last);
            if now >= alert.revised + repeat {
                (alert.revision, alert.revised) = (revision, now);
                self.standing.revision = revision;
                self.unsaved.0 = true;
            }
            return;
        }
        if !self.has_room(&key) {
            self.dropped += 1;
            return;
        }
        self.begun.push((rule.name.clone(), hit.summary.clone()));
        let alert = Alert {
            rule: rule.name.clone(),
            on: rule.on,
            labels: hit.labels,
            summary: hit.summary,
            started: of.map_or(now, |(time, _)| time),
            fired: now,
            touched: now,
            count: 1,
            first: seq,
            last: seq,
            ended: None,
            revision,
            revised: now,
            sent: BTreeMap::new(),
        };
        self.standing.alerts.insert(key, alert);
        self.standing.revision = revision;
        self.unsaved.0 = true;
    }

    /// Whether there is room for one, after the oldest that is over is gone.
    fn has_room(&mut self, key: &str) -> bool {
        let alerts = &mut self.standing.alerts;
        if alerts.len() < MOST || alerts.contains_key(key) {
            return true;
        }
        let over = alerts
            .iter()
            .filter_map(|(key, alert)| Some((alert.ended?, key)));
        let Some(oldest) = over.min().map(|(_, key)| key.clone()) else {
            return false;
        };
        alerts.remove(&oldest);
        true
    }

    /// What a receiver has not been notified of; `with_firing`: and all that goes on.
    pub fn due(&self, receiver: &str, with_firing: bool) -> Vec<Alert> {
        let is_due = |alert: &&Alert| {
            if with_firing && alert.ended.is_none() {
                return true;
            }
            let sent = alert.sent.get(receiver).copied();
            // One that is over was never heard of where it was not sent before.
            sent.map_or(alert.ended.is_none(), |sent| sent < alert.revision)
        };
        let mut due: Vec<Alert> = self.alerts().filter(is_due).cloned().collect();
        due.sort_by_key(|alert| alert.revision);
        due
    }

    /// A receiver has these.
    pub fn sent(&mut self, receiver: &str, alerts: &[Alert]) {
        for sent in alerts {
            let key = Alert::key(&sent.rule, &sent.labels);
            if let Some(alert) = self.standing.alerts.get_mut(&key) {
                alert.sent.insert(receiver.to_owned(), sent.revision);
                self.unsaved.0 = true;
            }
        }
    }
}

/// The digest of the program that a record is about, where it says so.
fn program(item: &Item) -> Option<&str> {
    let entry = &item.record.entry;
    let facts = match (&entry.facts, &entry.query) {
        (Some(facts), _) => facts,
        (None, Some(query)) => &query.context.facts,
        (None, None) => return None,
    };
    let sha256 = facts.program.sha256.as_str();
    (!sha256.is_empty()).then_some(sha256)
}

fn of(rules: &[AlertRule], on: AlertOn) -> impl Iterator<Item = &AlertRule> {
    rules.iter().filter(move |rule| rule.on == on)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::audit::Entry;
    use crate::model::query::Facts;
    use crate::model::{Hours, Weekday};
    use crate::monitor::alerts::Phase;
    use crate::monitor::item::tests::{item, of};

    const DAY: u64 = 86_400_000;
    const SECOND: u64 = 1_000;

    fn rule(on: AlertOn) -> AlertRule {
        AlertRule {
            on,
            name: on.word().to_owned(),
            services: BTreeSet::new(),
            secrets: BTreeSet::new(),
            kinds: BTreeSet::from(["release".to_owned()]),
            more_than: 2,
            within: Duration::from_mins(1),
            hours: None,
            weekdays: BTreeSet::new(),
            after: Duration::from_hours(7 * 24),
        }
    }

    fn watch(rules: impl Into<Vec<AlertRule>>) -> Watch {
        let spec = AlertsSpec {
            rules: rules.into(),
            notify: Vec::new(),
            repeat: Duration::from_hours(1),
            resolve: Duration::from_mins(15),
        };
        // Midnight of a Thursday, in UTC.
        let local = |unix: i64| {
            (
                (unix / 3_600 % 24) as u8,
                ((unix / 86_400 + 3) % 7 + 1) as u8,
            )
        };
        Watch::new(&spec, Default::default(), local)
    }

    /// A record at a time, of a service.
    fn at(mut item: Item, time: u64, service: &str) -> Item {
        let text =
            humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + Duration::from_millis(time));
        item.record.time = text.to_string().into();
        item.record.service = service.to_owned().into();
        item.seq = time;
        item
    }

    fn release(time: u64, service: &str) -> Item {
        at(item(Kind::Release), time, service)
    }

    /// As a launch has it: what it is allowed, then what it gets, by a program.
    fn launch(watch: &mut Watch, time: u64, service: &str, sha256: &str) {
        let mut decision = item(Kind::Release);
        let mut facts = Facts::default();
        facts.program.sha256 = sha256.to_owned();
        decision.record.entry.to_mut().facts = Some(Box::new(facts));
        watch.record(&at(decision, time, service), time, true);
    }

    fn rules_of(watch: &Watch) -> Vec<(&str, u64, Phase)> {
        watch
            .alerts()
            .map(|alert| (&*alert.rule, alert.count, alert.phase()))
            .collect()
    }

    #[test]
    fn a_reader_is_new_after_the_time_of_learning() {
        let mut watch = watch([rule(AlertOn::NewReader)]);
        launch(&mut watch, 0, "shop", "aa");
        launch(&mut watch, 6 * DAY, "web", "aa");
        assert_eq!(watch.take_begun(), (vec![], 0));
        // Both are known now; another program of a known service is not, nor another service.
        launch(&mut watch, 8 * DAY, "web", "aa");
        assert_eq!(watch.alerts().count(), 0);
        launch(&mut watch, 8 * DAY, "web", "bb");
        launch(&mut watch, 8 * DAY, "web", "bb");
        let summary = "new reader of secret db: program /usr/bin/shop (bb)";
        assert_eq!(
            watch.take_begun().0,
            [("new_reader".to_owned(), summary.to_owned())]
        );
        launch(&mut watch, 9 * DAY, "thief", "bb");
        let (begun, _) = watch.take_begun();
        assert_eq!(begun[0].1, "new reader of secret db: service thief");
        assert_eq!(rules_of(&watch).len(), 2);
    }

    #[test]
    fn what_came_before_the_first_start_is_learnt_alone() {
        let mut watch = watch([rule(AlertOn::Denied), rule(AlertOn::NewReader)]);
        watch.record(&at(item(Kind::Denied), 0, "shop"), 30 * DAY, false);
        watch.record(&release(9 * DAY, "shop"), 30 * DAY, false);
        assert_eq!(watch.alerts().count(), 0);
        watch.record(&release(30 * DAY, "shop"), 30 * DAY, true);
        assert_eq!(watch.alerts().count(), 0);
        watch.record(&at(item(Kind::Denied), 31 * DAY, "shop"), 31 * DAY, true);
        assert_eq!(rules_of(&watch), [("denied", 1, Phase::Firing)]);
    }

    #[test]
    fn a_rate_is_of_each_service() {
        let mut watch = watch([rule(AlertOn::Rate)]);
        for number in 0..2 {
            watch.record(&release(number * SECOND, "shop"), 0, true);
            watch.record(&release(number * SECOND, "web"), 0, true);
        }
        // A minute later the first ones do not count any more.
        watch.record(&release(62 * SECOND, "shop"), 0, true);
        assert_eq!(watch.alerts().count(), 0);
        watch.record(&release(3 * SECOND, "web"), 0, true);
        let alert = watch.alerts().next().unwrap();
        assert_eq!(alert.labels["service"], "web");
        assert_eq!(
            alert.summary,
            "more than 2 records such as release within 1m: service web"
        );
    }

    #[test]
    fn hours_and_weekdays_are_the_hosts() {
        let mut outside = rule(AlertOn::Outside);
        outside.hours = Some(Hours { from: 8, to: 18 });
        outside.weekdays = [Weekday::Thursday, Weekday::Friday].into();
        let mut watch = watch([outside]);
        let hour = 3_600 * SECOND;
        watch.record(&release(9 * hour, "shop"), 0, true);
        watch.record(&release(DAY + 17 * hour, "shop"), 0, true);
        watch.record(&at(item(Kind::Denied), 0, "shop"), 0, true);
        assert_eq!(watch.alerts().count(), 0);
        watch.record(&release(18 * hour, "shop"), 0, true);
        watch.record(&release(2 * DAY + 9 * hour, "shop"), 0, true);
        assert_eq!(rules_of(&watch), [("outside", 2, Phase::Firing)]);
    }

    #[test]
    fn rules_are_about_their_services_and_secrets_alone() {
        let mut named = rule(AlertOn::Denied);
        named.services = BTreeSet::from(["shop".to_owned()]);
        named.secrets = BTreeSet::from(["db".to_owned()]);
        let mut watch = watch([named]);
        watch.record(&at(item(Kind::Denied), 0, "web"), 0, true);
        watch.record(&at(of(Entry::new(Kind::Denied)), 0, "shop"), 0, true);
        assert_eq!(watch.alerts().count(), 0);
        watch.record(&at(item(Kind::Denied), 0, "shop"), 0, true);
        let labels = &watch.alerts().next().unwrap().labels;
        let labels: Vec<(&str, &str)> = labels
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(
            labels,
            [
                ("program", "/usr/bin/shop"),
                ("secret", "db"),
                ("service", "shop")
            ]
        );
    }

    #[test]
    fn each_alert_is_sent_once_again_after_a_while_and_when_it_is_over() {
        let mut watch = watch([rule(AlertOn::BreakGlass)]);
        let broken = || item(Kind::BreakGlass);
        let due = |watch: &Watch| -> Vec<(u64, Phase)> {
            let due = watch.due("r", false);
            due.iter()
                .map(|alert| (alert.count, alert.phase()))
                .collect()
        };
        let sent = |watch: &mut Watch| {
            let due = watch.due("r", false);
            watch.sent("r", &due);
        };
        watch.record(&at(broken(), 0, "shop"), 0, true);
        assert_eq!(due(&watch), [(1, Phase::Firing)]);
        sent(&mut watch);
        let minute = 60 * SECOND;
        for time in 1..60 {
            watch.record(&at(broken(), time * minute, "shop"), time * minute, true);
            watch.tick(time * minute, &[]);
            assert_eq!(due(&watch), []);
            assert_eq!(watch.due("r", true).len(), 1);
        }
        watch.record(&at(broken(), 60 * minute, "shop"), 60 * minute, true);
        assert_eq!(due(&watch), [(61, Phase::Firing)]);
        // Another receiver was notified of nothing so far.
        assert_eq!(watch.due("other", false).len(), 1);
        sent(&mut watch);
        watch.tick(75 * minute, &[]);
        assert_eq!(due(&watch), []);
        watch.tick(75 * minute + 1, &[]);
        assert_eq!(due(&watch), [(61, Phase::Resolved)]);
        assert_eq!(watch.due("other", false), []);
        sent(&mut watch);
        assert_eq!(due(&watch), []);
        // It begins anew.
        watch.record(&at(broken(), 90 * minute, "shop"), 90 * minute, true);
        assert_eq!(due(&watch), [(1, Phase::Firing)]);
        watch.tick(200 * DAY, &[]);
        watch.tick(300 * DAY, &[]);
        assert_eq!(watch.alerts().count(), 0);
    }

    #[test]
    fn a_version_that_stays_is_stale_until_it_changes_or_its_launcher_ends() {
        let mut watch = watch([rule(AlertOn::Stale)]);
        let with = |time: u64, service: &str, version: &str| {
            let mut item = release(time, service);
            item.record.entry.to_mut().secrets[0].version = version.to_owned();
            item
        };
        watch.record(&with(0, "shop", "1"), 0, true);
        watch.record(&with(5 * DAY, "shop", "1"), 0, true);
        watch.tick(7 * DAY - 1, &[]);
        assert_eq!(watch.alerts().count(), 0);
        watch.tick(7 * DAY, &[]);
        watch.tick(8 * DAY, &[]);
        assert_eq!(rules_of(&watch), [("stale", 2, Phase::Firing)]);
        watch.record(&with(8 * DAY, "shop", "2"), 0, true);
        watch.tick(8 * DAY + 1, &[]);
        assert_eq!(rules_of(&watch), [("stale", 2, Phase::Resolved)]);
        watch.record(&at(of(Entry::new(Kind::End)), 9 * DAY, "shop"), 0, true);
        watch.tick(30 * DAY, &[]);
        assert!(
            rules_of(&watch)
                .iter()
                .all(|(_, _, phase)| *phase == Phase::Resolved)
        );
    }

    #[test]
    fn a_sink_is_late_if_it_confirms_nothing_for_a_while() {
        let mut late = rule(AlertOn::SinkLate);
        late.after = Duration::from_mins(5);
        let mut watch = watch([late]);
        let sink = |confirmed, size| {
            let name = "syslog tcp://h:1".to_owned();
            [SinkNow {
                name,
                confirmed,
                size,
            }]
        };
        let minute = 60 * SECOND;
        watch.tick(0, &sink(0, 10));
        watch.tick(4 * minute, &sink(1, 10));
        watch.tick(8 * minute, &sink(1, 10));
        assert_eq!(watch.alerts().count(), 0);
        watch.tick(9 * minute, &sink(1, 20));
        let alert = watch.alerts().next().unwrap();
        assert_eq!(alert.summary, "19 records wait for sink syslog tcp://h:1");
        watch.tick(10 * minute, &sink(20, 20));
        assert_eq!(rules_of(&watch), [("sink_late", 1, Phase::Resolved)]);
        watch.tick(99 * minute, &sink(20, 20));
        assert_eq!(rules_of(&watch)[0].2, Phase::Resolved);
    }

    #[test]
    fn who_names_many_services_fills_no_memory() {
        let mut watch = watch([rule(AlertOn::Denied)]);
        for number in 0..MOST as u64 + 5 {
            watch.record(
                &at(item(Kind::Denied), number, &number.to_string()),
                0,
                true,
            );
        }
        assert_eq!(watch.alerts().count(), MOST);
        assert_eq!(watch.take_begun().1, 5);
        // Those that are over make room.
        watch.tick(DAY, &[]);
        watch.record(&at(item(Kind::Denied), DAY, "last"), DAY, true);
        assert!(
            watch
                .alerts()
                .any(|alert| alert.labels["service"] == "last")
        );
    }

    #[test]
    fn what_is_kept_goes_on_after_a_restart() {
        let place = tempfile::tempdir().unwrap();
        let files = super::super::Files::open(place.path()).unwrap();
        let rules = || [rule(AlertOn::NewReader), rule(AlertOn::Tampered)];
        let mut before = watch(rules());
        launch(&mut before, 0, "shop", "aa");
        before.tampered("a witness saw another log\n", 5);
        files.save(&mut before).unwrap();
        assert_eq!(before.unsaved, (false, false));
        let (standing, baseline) = files.load().unwrap();
        assert_eq!((&standing, &baseline), before.kept());
        let kept = super::super::read_alerts(place.path()).unwrap();
        assert_eq!(kept[0].summary, "a witness saw another log\\n");
        std::fs::write(place.path().join("alerts.json"), "{}").unwrap();
        assert!(files.load().unwrap_err().contains("alerts.json"));
    }
}
