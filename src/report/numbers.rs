//! Counts of what is so at one time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::graph::Graph;
use super::moment::Moment;

/// A day in seconds.
const DAY: u64 = 86_400;

/// What was not released for so long is unused.
pub const UNUSED: Duration = Duration::from_secs(90 * DAY);

/// Counts that are true at one time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    /// Secrets.
    pub secrets: u64,
    /// Services.
    pub services: u64,
    /// Hosts.
    pub hosts: u64,
    /// With a site or a manifest, and without a record.
    pub silent: u64,
    /// Without an owner.
    pub no_owner: u64,
    /// Without a `max_age`.
    pub no_max_age: u64,
    /// Older than their `max_age`.
    pub overdue: u64,
    /// Unused for 90 days.
    pub unused: u64,
    /// With the value of another one, or a part of it.
    pub shared: u64,
    /// Groups of equal values over several environments.
    pub crossing: u64,
    /// Used by more than one service.
    pub by_many: u64,
    /// Open findings.
    pub findings: u64,
    /// Of the current versions, in days.
    pub median_age: Option<u64>,
    /// The same of the oldest.
    pub most_age: Option<u64>,
    /// Days from the first record to the last.
    pub span: u64,
    /// Environments.
    pub environments: u64,
}

impl Graph {
    /// The days since the current version of each secret was made.
    pub(super) fn ages(&self) -> impl Iterator<Item = Option<u64>> + '_ {
        self.secrets.iter().map(|secret| {
            let is_known = secret.made.is_known();
            is_known.then(|| self.at.since(secret.made).as_secs() / DAY)
        })
    }

    /// Counts it.
    pub fn numbers(&self) -> Numbers {
        let mut ages: Vec<u64> = self.ages().flatten().collect();
        ages.sort_unstable();
        let count = |found: usize| found as u64;
        let mut services: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); self.secrets.len()];
        for it in &self.uses {
            services[it.secret as usize].insert(it.service);
        }
        let first = self
            .hosts
            .iter()
            .fold(Moment::default(), |first, host| first.earliest(host.first));
        let last = self
            .hosts
            .iter()
            .map(|host| host.last)
            .max()
            .unwrap_or_default();
        let environments: BTreeSet<&str> =
            self.secrets.iter().map(|one| &*one.environment).collect();
        let shared: BTreeSet<u32> = self
            .shared
            .iter()
            .flat_map(|group| group.secrets.clone())
            .collect();
        Numbers {
            secrets: count(self.secrets.len()),
            services: count(self.services.len()),
            hosts: count(self.hosts.len()),
            silent: count(self.hosts.iter().filter(|host| host.records == 0).count()),
            no_owner: count(
                self.secrets
                    .iter()
                    .filter(|one| one.owner.is_empty())
                    .count(),
            ),
            no_max_age: count(
                self.secrets
                    .iter()
                    .filter(|one| one.max_age.is_none())
                    .count(),
            ),
            overdue: count(
                self.secrets
                    .iter()
                    .filter(|one| self.is_overdue(one))
                    .count(),
            ),
            unused: count(self.unused(UNUSED).len()),
            shared: count(shared.len()),
            crossing: count(
                self.shared
                    .iter()
                    .filter(|one| one.environments.len() > 1)
                    .count(),
            ),
            by_many: count(services.iter().filter(|all| all.len() > 1).count()),
            findings: count(self.findings.len()),
            median_age: ages.get(ages.len() / 2).copied(),
            most_age: ages.last().copied(),
            span: last.since(first).as_secs() / DAY,
            environments: count(environments.len()),
        }
    }
}
