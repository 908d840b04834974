//! The report: how many secrets there are, how old they are, what happened to them, and what that shows of
//! controls. All of it follows from the graph; the same graphs give the same report.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::controls::{Control, assess};
use super::figures::Durations;
use super::graph::{Finding, Graph};
use super::moment::Moment;
use super::numbers::{Numbers, UNUSED};

/// A report over a period.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Of this form: 1.
    pub version: u32,
    /// The period begins here; null: with the first record.
    pub since: Moment,
    /// And ends here.
    pub until: Moment,
    /// How many records were read.
    pub records: u64,
    /// How many lines were no records.
    pub damaged: u64,
    /// Figures.
    pub kpis: Vec<Kpi>,
    /// By owner.
    pub owners: Vec<Owner>,
    /// How many records of which kind, by month.
    pub months: BTreeMap<String, BTreeMap<String, u64>>,
    /// What is shown of controls.
    pub controls: Vec<Control>,
    /// Findings that were not there at the beginning.
    pub opened: Vec<Finding>,
    /// Findings that are gone.
    pub closed: Vec<Finding>,
    /// Of each host: its records, and whether its site was read.
    pub hosts: Vec<Coverage>,
}

/// A figure.
#[derive(Debug, Serialize)]
pub struct Kpi {
    /// Its name.
    pub key: &'static str,
    /// In words.
    pub title: &'static str,
    /// `days`, `seconds`; none: a count.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub unit: &'static str,
    /// At the beginning of the period, where there is one.
    pub before: Option<u64>,
    /// At its end. `None`: not observed.
    pub now: Option<u64>,
}

/// The secrets of an owner.
#[derive(Debug, Default, Serialize)]
#[allow(clippy::struct_field_names, reason = "the names are the document's")]
pub struct Owner {
    /// Empty: nobody is named.
    pub owner: String,
    /// How many.
    pub secrets: u64,
    /// By age of the current version in days: below 30, 90, 365, above, and not known.
    pub ages: [u64; 5],
    /// Older than their `max_age`.
    pub overdue: u64,
    /// Unused for 90 days.
    pub unused: u64,
    /// Found in the open.
    pub found: u64,
}

/// What is known of a host.
#[derive(Debug, Serialize)]
pub struct Coverage {
    /// Its name.
    pub host: String,
    /// Whether its site was read.
    pub site: bool,
    /// How many records.
    pub records: u64,
    /// The first.
    pub first: Moment,
    /// The last.
    pub last: Moment,
}

impl Graph {
    fn owners(&self) -> Vec<Owner> {
        let mut owners: BTreeMap<&str, Owner> = BTreeMap::new();
        let unused: BTreeSet<_> = self
            .unused(UNUSED)
            .into_iter()
            .map(|one| one.secret)
            .collect();
        let found: BTreeSet<u32> = self
            .findings
            .iter()
            .flat_map(|one| one.secrets.clone())
            .collect();
        for (at, (secret, age)) in (0..).zip(self.secrets.iter().zip(self.ages())) {
            let row = owners.entry(&secret.owner).or_default();
            row.secrets += 1;
            let class = match age {
                Some(..30) => 0,
                Some(..90) => 1,
                Some(..365) => 2,
                Some(_) => 3,
                None => 4,
            };
            row.ages[class] += 1;
            row.overdue += u64::from(self.is_overdue(secret));
            row.unused += u64::from(unused.contains(&self.name(secret)));
            row.found += u64::from(found.contains(&at));
        }
        let named = owners.into_iter().map(|(owner, row)| Owner {
            owner: owner.to_owned(),
            ..row
        });
        named.collect()
    }
}

/// What a finding is known by over time.
fn key(finding: &Finding) -> (&str, &str, &str, &str) {
    (
        &finding.host,
        &finding.path,
        &finding.rule,
        &finding.fingerprint,
    )
}

/// Findings of one that are not in the other.
fn without(all: &Graph, other: &Graph) -> Vec<Finding> {
    let known: BTreeSet<_> = other.findings.iter().map(key).collect();
    let new = all.findings.iter().filter(|one| !known.contains(&key(one)));
    new.cloned().collect()
}

impl Report {
    /// Of the graph at the end of a period, and of the one at its beginning.
    pub fn new(graph: &Graph, before: Option<&Graph>) -> Self {
        let numbers = graph.numbers();
        let former = before.map(Graph::numbers);
        let opened = before.map_or_else(Vec::new, |before| without(graph, before));
        let closed = before.map_or_else(Vec::new, |before| without(before, graph));
        let mut kpis = states(&numbers, former.as_ref(), graph.scans > 0);
        kpis.extend(happened(graph));
        if before.is_some() {
            let scanned = (graph.scans > 0).then_some(());
            kpis.push(once(
                "findings_opened",
                "Findings opened",
                scanned.map(|()| opened.len() as u64),
            ));
            kpis.push(once(
                "findings_closed",
                "Findings closed",
                scanned.map(|()| closed.len() as u64),
            ));
        }
        Self {
            version: 1,
            since: graph.figures.since,
            until: graph.at,
            records: graph.records,
            damaged: graph.damaged,
            kpis,
            owners: graph.owners(),
            months: graph.figures.months.clone(),
            controls: assess(graph, &numbers),
            opened,
            closed,
            hosts: graph
                .hosts
                .iter()
                .map(|host| Coverage {
                    host: host.name.clone(),
                    site: host.site,
                    records: host.records,
                    first: host.first,
                    last: host.last,
                })
                .collect(),
        }
    }
}

/// What is so at one time.
fn states(now: &Numbers, former: Option<&Numbers>, scanned: bool) -> Vec<Kpi> {
    type Get = fn(&Numbers) -> Option<u64>;
    let rows: [(&str, &str, &str, Get); 13] = [
        ("secrets", "Secrets", "", |n| Some(n.secrets)),
        ("services", "Services", "", |n| Some(n.services)),
        ("hosts", "Hosts", "", |n| Some(n.hosts)),
        ("hosts_without_records", "Hosts without a record", "", |n| {
            Some(n.silent)
        }),
        (
            "secrets_without_owner",
            "Secrets without an owner",
            "",
            |n| Some(n.no_owner),
        ),
        (
            "secrets_without_max_age",
            "Secrets without a max_age",
            "",
            |n| Some(n.no_max_age),
        ),
        ("age_median", "Age of a secret, median", "days", |n| {
            n.median_age
        }),
        ("age_most", "Age of the oldest secret", "days", |n| {
            n.most_age
        }),
        ("overdue", "Overdue rotations", "", |n| Some(n.overdue)),
        ("unused", "Unused for 90 days", "", |n| Some(n.unused)),
        ("same_value", "Secrets with another one's value", "", |n| {
            Some(n.shared)
        }),
        ("crossing", "Values that cross environments", "", |n| {
            Some(n.crossing)
        }),
        ("findings", "Findings in the open", "", |n| Some(n.findings)),
    ];
    let kpi = |(key, title, unit, get): (&'static str, &'static str, &'static str, Get)| Kpi {
        key,
        title,
        unit,
        before: former.and_then(get),
        now: get(now).filter(|_| key != "findings" || scanned),
    };
    rows.into_iter().map(kpi).collect()
}

/// What happened in the period.
fn happened(graph: &Graph) -> Vec<Kpi> {
    let figures = &graph.figures;
    let counted: [(&str, &str, &[&str]); 10] = [
        ("releases", "Releases", &["release"]),
        ("denials", "Denials", &["denied"]),
        (
            "approvals_asked",
            "Approvals requested",
            &["approval_asked"],
        ),
        ("approvals_given", "Approvals given", &["approval_given"]),
        ("approvals_spent", "Approvals used", &["approval_spent"]),
        ("break_glass", "Break-glass", &["break_glass"]),
        ("reveals", "Secrets shown to people", &["revealed"]),
        ("rotations", "Rotations", &["rotated"]),
        ("rollbacks", "Rollbacks", &["rolled_back"]),
        ("failures", "Deliveries that failed", &["failed"]),
    ];
    let mut kpis: Vec<Kpi> = counted
        .into_iter()
        .map(|(key, title, kinds)| once(key, title, Some(figures.of(kinds))))
        .collect();
    let times: [(&str, &str, &str, &str, &Durations); 3] = [
        (
            "uptake_median",
            "Time to uptake, median",
            "uptake_most",
            "Time to uptake, longest",
            &figures.uptake,
        ),
        (
            "revoke_median",
            "Time to revoke, median",
            "revoke_most",
            "Time to revoke, longest",
            &figures.revocation,
        ),
        (
            "contain_median",
            "Time to contain, median",
            "contain_most",
            "Time to contain, longest",
            &figures.containment,
        ),
    ];
    for (median, median_title, most, most_title, durations) in times {
        let found = durations.median_and_most();
        for (key, title, now) in [
            (median, median_title, found.map(|(median, _)| median)),
            (most, most_title, found.map(|(_, most)| most)),
        ] {
            kpis.push(Kpi {
                unit: "seconds",
                ..once(key, title, now.map(u64::from))
            });
        }
    }
    kpis
}

/// A figure of the period alone.
const fn once(key: &'static str, title: &'static str, now: Option<u64>) -> Kpi {
    Kpi {
        key,
        title,
        unit: "",
        before: None,
        now,
    }
}
