//! What the log's records say in numbers. Counters begin at zero with the monitor, as Prometheus expects them
//! to; gauges are warmed by the last records before that.

use std::collections::BTreeMap;

use crate::audit::Kind;
use crate::model::counts::Histogram;
use crate::monitor::format::VERSION;
use crate::monitor::item::Item;

/// More series than this a family never has: what is more is counted in `hushpipe_series_dropped_total`.
const MOST_SERIES: usize = 5_000;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// It only grows.
    Counter,
    /// It is what it is now.
    Gauge,
    /// Counts by length of time.
    Histogram,
}

/// A family of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name; that of a counter without `_total`.
    pub name: &'static str,
    /// What it is.
    pub kind: Type,
    /// For people.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

macro_rules! families {
    ($($id:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// Each family.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the table says what each is")]
        pub enum Id { $($id),* }

        /// All of them, in the order of [`Id`].
        pub const FAMILIES: &[Family] = &[
            $(Family { name: $name, kind: Type::$kind, help: $help, labels: &[$($label),*] }),*
        ];
    };
}

families! {
    Build Gauge "hushpipe_build_info" ["version"] "The version of the monitor; always 1.";
    Records Counter "hushpipe_audit_records" ["service", "kind"] "Records of the audit log.";
    Failures Counter "hushpipe_audit_failures" [] "Times that records were lost or cut off the log.";
    Size Gauge "hushpipe_audit_size" [] "Records in the audit log.";
    Witnessed Gauge "hushpipe_audit_witnessed_size" ["witness"] "Records under the last cosigned checkpoint.";
    WitnessUp Gauge "hushpipe_witness_up" ["witness"] "Whether the witness cosigned when it was asked last.";
    Tampered Gauge "hushpipe_audit_tampered" [] "1 if a witness or a sink saw another log.";
    SinkLag Gauge "hushpipe_sink_lag_records" ["sink"] "Records that the sink has not confirmed.";
    SinkUp Gauge "hushpipe_sink_up" ["sink"] "Whether the sink takes records.";
    Decisions Counter "hushpipe_policy_decisions" ["effect"] "Decisions of policy.";
    Violations Counter "hushpipe_policy_violations" ["service"] "What policy denied, also where it was observed alone.";
    BreakGlass Counter "hushpipe_break_glass" ["service"] "Uses of --break-glass.";
    Reveals Counter "hushpipe_reveals" [] "Sealed secrets that a person was shown.";
    Rotations Counter "hushpipe_rotations" ["service", "result"] "Rotations: ok, rolled_back or failed.";
    Generation Gauge "hushpipe_generation" ["service"] "The generation that the service was given last.";
    Delivered Gauge "hushpipe_secret_delivered_timestamp_seconds" ["service", "secret"] "When the secret was released last.";
    Created Gauge "hushpipe_secret_created_timestamp_seconds" ["service", "secret"] "When the program was given the version that it has.";
    Expiration Gauge "hushpipe_secret_expiration_timestamp_seconds" ["service", "secret"] "When its lease or certificate ends.";
    NextRefresh Gauge "hushpipe_next_refresh_timestamp_seconds" ["service"] "When the launcher does something by itself next.";
    Overdue Gauge "hushpipe_secret_overdue" ["service", "secret"] "Whether its lease or certificate has ended.";
    ProgramUp Gauge "hushpipe_program_up" ["service"] "Whether the program runs.";
    Healthy Gauge "hushpipe_healthy" ["service"] "Whether the launcher is healthy, as `hushpipe status --check` says.";
    Restarts Counter "hushpipe_restarts" ["service"] "Restarts of the program by rotations.";
    ApprovalsPending Gauge "hushpipe_approvals_pending" ["service"] "Approvals that a launcher waits for.";
    StoreUp Gauge "hushpipe_store_up" ["service", "store"] "Whether the store answers.";
    StoreRequests Counter "hushpipe_store_requests" ["service", "store", "result"] "Requests to the store.";
    FetchDuration Histogram "hushpipe_fetch_duration_seconds" ["service", "store"] "How long requests to the store took.";
    RotationDuration Histogram "hushpipe_rotation_duration_seconds" ["service"] "How long rotations took that worked.";
    Redactions Counter "hushpipe_redactions" ["service", "stream"] "Values that were replaced in the program's output.";
    Alerts Counter "hushpipe_alerts" ["rule"] "Alerts that began.";
    AlertsFiring Gauge "hushpipe_alerts_firing" ["rule"] "Alerts that go on.";
    Notifications Counter "hushpipe_notifications" ["receiver", "result"] "Alerts sent to a receiver, or dropped.";
    Dropped Counter "hushpipe_series_dropped" [] "Samples that were not kept, as there were too many series.";
}

/// A count as all formats of metrics have it.
#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub fn number(count: u64) -> f64 {
    count as f64
}

/// Samples of one family, by the values of its labels.
type Samples = BTreeMap<Vec<String>, f64>;

/// All metrics, now.
#[derive(Debug, Default)]
pub struct Metrics {
    samples: BTreeMap<Id, Samples>,
    histograms: BTreeMap<Id, BTreeMap<Vec<String>, Histogram>>,
}

impl Metrics {
    /// With what is known at the start.
    pub fn new() -> Self {
        let mut metrics = Self::default();
        metrics.set(Id::Build, &[VERSION], 1.0);
        for id in [Id::Failures, Id::Reveals, Id::Dropped] {
            metrics.add(id, &[], 0.0);
        }
        metrics.set(Id::Tampered, &[], 0.0);
        metrics
    }

    /// Each family that has samples.
    pub fn families(&self) -> impl Iterator<Item = (&'static Family, &Samples)> {
        let all = self.samples.iter();
        all.map(|(id, samples)| (&FAMILIES[*id as usize], samples))
    }

    /// Each family that has histograms.
    pub fn histograms(
        &self,
    ) -> impl Iterator<Item = (&'static Family, &BTreeMap<Vec<String>, Histogram>)> {
        let all = self.histograms.iter();
        all.map(|(id, histograms)| (&FAMILIES[*id as usize], histograms))
    }

    /// Sets a histogram.
    pub fn histogram(&mut self, id: Id, labels: &[&str], histogram: &Histogram) {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let of_family = self.histograms.entry(id).or_default();
        if of_family.len() < MOST_SERIES || of_family.contains_key(&labels) {
            of_family.insert(labels, histogram.clone());
        } else {
            self.add(Id::Dropped, &[], 1.0);
        }
    }

    /// Sets a gauge, unless it is less already.
    pub fn least(&mut self, id: Id, labels: &[&str], value: f64) {
        let before = self.get(id, labels).unwrap_or(value);
        self.set(id, labels, before.min(value));
    }

    /// The same, unless it is more.
    pub fn most(&mut self, id: Id, labels: &[&str], value: f64) {
        let before = self.get(id, labels).unwrap_or(value);
        self.set(id, labels, before.max(value));
    }

    fn sample(&mut self, id: Id, labels: &[&str]) -> Option<&mut f64> {
        debug_assert_eq!(FAMILIES[id as usize].labels.len(), labels.len());
        let samples = self.samples.entry(id).or_default();
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        if samples.len() >= MOST_SERIES && !samples.contains_key(&labels) {
            return None;
        }
        Some(samples.entry(labels).or_default())
    }

    /// What a sample is now.
    pub fn get(&self, id: Id, labels: &[&str]) -> Option<f64> {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        self.samples.get(&id)?.get(&labels).copied()
    }

    /// Adds to a counter.
    pub fn add(&mut self, id: Id, labels: &[&str], more: f64) {
        match self.sample(id, labels) {
            Some(sample) => *sample += more,
            None => self.add(Id::Dropped, &[], 1.0),
        }
    }

    /// Sets a gauge.
    pub fn set(&mut self, id: Id, labels: &[&str], value: f64) {
        match self.sample(id, labels) {
            Some(sample) => *sample = value,
            None => self.add(Id::Dropped, &[], 1.0),
        }
    }

    /// Takes in a record; `counted`: it is new, and not one of those that only warm gauges.
    pub fn take(&mut self, item: &Item, counted: bool) {
        let entry = &item.record.entry;
        let service = &*item.record.service;
        let time = number(item.time().0);
        match entry.kind {
            Kind::Release => {
                for secret in &entry.secrets {
                    self.set(Id::Delivered, &[service, &secret.name], time);
                }
            }
            Kind::Delivered | Kind::Rotated | Kind::RolledBack => {
                if let Some(generation) = entry.generation {
                    self.set(Id::Generation, &[service], number(generation));
                }
            }
            _ => {}
        }
        if counted {
            self.count(item);
        }
    }

    fn count(&mut self, item: &Item) {
        let entry = &item.record.entry;
        let service = &*item.record.service;
        self.add(Id::Records, &[service, item.kind()], 1.0);
        match entry.kind {
            Kind::Recovered => self.add(Id::Failures, &[], 1.0),
            Kind::Decision | Kind::Denied => {
                self.add(Id::Decisions, &[&entry.message], 1.0);
                if entry.status_id != 1 {
                    self.add(Id::Violations, &[service], 1.0);
                }
            }
            Kind::BreakGlass => self.add(Id::BreakGlass, &[service], 1.0),
            Kind::Revealed => self.add(Id::Reveals, &[], 1.0),
            Kind::Rotated => self.add(Id::Rotations, &[service, "ok"], 1.0),
            Kind::RolledBack => self.add(Id::Rotations, &[service, "rolled_back"], 1.0),
            Kind::Failed => self.add(Id::Rotations, &[service, "failed"], 1.0),
            _ => {}
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::audit::Entry;
    use crate::monitor::item::tests::{item, of};

    /// Of some records.
    pub fn some() -> Metrics {
        let mut metrics = Metrics::new();
        metrics.take(&item(Kind::Release), false);
        metrics.take(&item(Kind::Release), true);
        let mut rotated = Entry::new(Kind::Rotated);
        rotated.generation = Some(4);
        metrics.take(&of(rotated), true);
        metrics.take(
            &of(Entry::new(Kind::Denied).saying("denied").failed()),
            true,
        );
        metrics.set(Id::SinkUp, &["a\\b\"c\nd"], 1.0);
        metrics
    }

    #[test]
    fn records_are_counted_once_and_gauges_are_warmed() {
        let metrics = some();
        let value = |id: Id, labels: &[&str]| {
            let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
            // Counts are whole numbers.
            metrics.samples[&id][&labels] as u64
        };
        assert_eq!(value(Id::Records, &["shop", "release"]), 1);
        assert_eq!(value(Id::Delivered, &["shop", "db"]), 1_700_000_000);
        assert_eq!(value(Id::Generation, &["shop"]), 4);
        assert_eq!(value(Id::Rotations, &["shop", "ok"]), 1);
        assert_eq!(value(Id::Decisions, &["denied"]), 1);
        assert_eq!(value(Id::Violations, &["shop"]), 1);
    }

    #[test]
    fn there_is_an_end_to_series() {
        let mut metrics = Metrics::new();
        for number in 0..MOST_SERIES + 5 {
            metrics.add(Id::BreakGlass, &[&number.to_string()], 1.0);
        }
        assert_eq!(metrics.samples[&Id::BreakGlass].len(), MOST_SERIES);
        assert_eq!(metrics.get(Id::Dropped, &[]), Some(5.0));
    }

    /// The names of all series, as queries have them.
    fn names() -> Vec<String> {
        let name = |family: &Family| match family.kind {
            Type::Counter => format!("{}_total", family.name),
            Type::Gauge | Type::Histogram => family.name.to_owned(),
        };
        FAMILIES.iter().map(name).collect()
    }

    #[test]
    fn rules_and_dashboard_ask_for_metrics_that_there_are() {
        let rules = include_str!("../../../packaging/prometheus/hushpipe.rules.yml");
        let tests = include_str!("../../../packaging/prometheus/hushpipe.rules.test.yml");
        let dashboard = include_str!("../../../packaging/grafana/hushpipe.json");
        let names = names();
        for (file, text) in [("rules", rules), ("tests", tests), ("dashboard", dashboard)] {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let asked = text
                .split(|c| !word(c))
                .filter(|word| word.starts_with("hushpipe_"));
            let asked: Vec<&str> = asked.collect();
            assert!(asked.len() > 5, "{file}");
            for name in asked {
                assert!(names.iter().any(|known| known == name), "{file}: {name}");
            }
        }
        let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        assert!(dashboard["panels"].as_array().unwrap().len() > 5);
    }
}
