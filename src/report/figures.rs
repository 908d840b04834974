//! What happened, counted: by kind, by month, with the records that show it, and how long things took.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::line::Line;
use super::moment::Moment;

/// So many durations of one kind are kept; later ones are counted alone.
const SAMPLES: usize = 1 << 20;

/// So many records of one kind and host show that it happened: the newest.
const SHOWN: usize = 3;

/// A record, by which `hushpipe audit prove` finds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Evidence {
    /// When.
    pub time: Moment,
    /// Whose log.
    pub host: String,
    /// Its number there.
    pub seq: u64,
    /// What it is.
    pub kind: String,
}

/// How long something took, in seconds.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    seconds: Vec<u32>,
    /// How many were measured.
    pub count: u64,
}

impl Durations {
    fn add(&mut self, from: Moment, to: Moment) {
        self.count += 1;
        if self.seconds.len() < SAMPLES {
            self.seconds
                .push(u32::try_from(to.since(from).as_secs()).unwrap_or(u32::MAX));
        }
    }

    /// The middle one, and the longest; `None`: none was measured.
    pub fn median_and_most(&self) -> Option<(u32, u32)> {
        let mut sorted = self.seconds.clone();
        sorted.sort_unstable();
        Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
    }
}

/// Counts and times of a period.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The period begins here.
    pub since: Moment,
    /// How many records of each kind.
    pub kinds: BTreeMap<String, u64>,
    /// The same by month, `2026-11`.
    pub months: BTreeMap<String, BTreeMap<String, u64>>,
    /// From the release of a rotation until the program is well with it.
    pub uptake: Durations,
    /// From a new generation until the former leases are revoked.
    pub revocation: Durations,
    /// From the opening of an incident until it is contained.
    pub containment: Durations,
    /// How many releases policy had decided on, and how many there were.
    pub decided: u64,
    /// Releases of services.
    pub releases: u64,
    /// Shown sealed secrets, with a reason.
    pub reasons: u64,
    newest: BTreeMap<(String, String), Vec<(Moment, u64)>>,
    pending: HashMap<(u32, u64), Pending>,
    incidents: HashMap<String, Moment>,
}

/// What a launcher is in the middle of.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    decided: bool,
    released: Moment,
    rotated: Moment,
}

impl Figures {
    /// Takes a record of a launcher of a host.
    pub fn take(&mut self, host: u32, launcher: u64, time: Moment, line: &Line<'_>) {
        let counts = time >= self.since;
        if counts {
            self.count(time, line);
        }
        self.measure((host, launcher), time, line, counts);
    }

    fn count(&mut self, time: Moment, line: &Line<'_>) {
        // Kinds are words of hushpipe's; another one is not listed.
        if !line
            .kind
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            || line.kind.len() > 32
        {
            return;
        }
        *self.kinds.entry(line.kind.to_string()).or_default() += 1;
        let month = time.to_string()[..7].to_owned();
        let month = self.months.entry(month).or_default();
        *month.entry(line.kind.to_string()).or_default() += 1;
        let key = (
            line.kind.to_string(),
            super::table::clean(&line.host).into_owned(),
        );
        let newest = self.newest.entry(key).or_default();
        newest.push((time, line.seq));
        if newest.len() > SHOWN {
            newest.sort_unstable();
            newest.remove(0);
        }
    }

    fn measure(&mut self, key: (u32, u64), time: Moment, line: &Line<'_>, counts: bool) {
        if matches!(&*line.kind, "incident_opened" | "incident_step") {
            return self.incident(time, line, counts);
        }
        if line.kind == "reveal" {
            let query = line.query.as_ref();
            let said = query.is_some_and(|query| !query.context.reason.is_empty());
            self.reasons += u64::from(counts && said);
            return;
        }
        if line.kind == "end" {
            self.pending.remove(&key);
            return;
        }
        if !matches!(
            &*line.kind,
            "decision" | "release" | "rotated" | "verified" | "revoked"
        ) {
            return;
        }
        let pending = self.pending.entry(key).or_default();
        match &*line.kind {
            "decision" => pending.decided = true,
            "release" => {
                self.releases += u64::from(counts);
                self.decided += u64::from(counts && pending.decided);
                pending.decided = false;
                pending.released = if line.reason == "rotation" {
                    time
                } else {
                    Moment::default()
                };
            }
            "rotated" => pending.rotated = time,
            "verified" if pending.released.is_known() => {
                if counts {
                    self.uptake.add(pending.released, time);
                }
                pending.released = Moment::default();
            }
            "revoked" if pending.rotated.is_known() => {
                if counts {
                    self.revocation.add(pending.rotated, time);
                }
                pending.rotated = Moment::default();
            }
            _ => {}
        }
    }

    /// The step that is of none of a playbook says that it is contained.
    fn incident(&mut self, time: Moment, line: &Line<'_>, counts: bool) {
        let Some(incident) = &line.incident else {
            return;
        };
        if line.kind == "incident_opened" {
            self.incidents.insert(incident.id.to_string(), time);
        } else if incident.step.is_none()
            && incident.contained_ms.is_some()
            && let Some(opened) = self.incidents.remove(&*incident.id)
            && counts
        {
            self.containment.add(opened, time);
        }
    }

    /// How many records of these kinds.
    pub fn of(&self, kinds: &[&str]) -> u64 {
        kinds.iter().filter_map(|kind| self.kinds.get(*kind)).sum()
    }

    /// The newest records of these kinds, the newest of all first, and no more than a few.
    pub fn evidence(&self, kinds: &[&str]) -> Vec<Evidence> {
        let found = self
            .newest
            .iter()
            .filter(|((kind, _), _)| kinds.contains(&kind.as_str()));
        let mut found: Vec<Evidence> = found
            .flat_map(|((kind, host), records)| {
                records.iter().map(move |(time, seq)| Evidence {
                    time: *time,
                    host: host.clone(),
                    seq: *seq,
                    kind: kind.clone(),
                })
            })
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(5);
        found
    }
}
