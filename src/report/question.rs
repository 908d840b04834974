//! What people ask of the graph: who is hit if a secret leaks, and which secrets nothing uses.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::graph::{Finding, Graph, Secret};
use super::moment::Moment;
use super::table::clean;

/// Who is hit if a secret leaks.
#[derive(Debug, Serialize)]
pub struct Blast<'g> {
    /// The secret.
    pub secret: Name<'g>,
    /// When it was released last.
    pub last: Moment,
    /// Who answers for it.
    pub owner: &'g str,
    /// `classification:`
    pub classification: &'g str,
    /// Secrets with the same value, or a part of it: they leak with it.
    pub same_value: Vec<Name<'g>>,
    /// Services that have it, or one of the same value.
    pub hits: Vec<Hit<'g>>,
    /// People who asked to see it.
    pub people: Vec<Person<'g>>,
    /// Where it lies in the open.
    pub findings: Vec<&'g Finding>,
    /// Policies that ruled on it.
    pub policies: Vec<&'g str>,
}

/// A secret's name, with what makes it another one than those of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[allow(clippy::struct_field_names, reason = "the names are the document's")]
pub struct Name<'g> {
    /// Its environment.
    pub environment: &'g str,
    /// Its store's name.
    pub store: &'g str,
    /// What the store is asked.
    pub name: &'g str,
}

/// A service that has it.
#[derive(Debug, Serialize)]
pub struct Hit<'g> {
    /// Its name.
    pub service: &'g str,
    /// Where it belongs.
    pub environment: &'g str,
    /// Empty: not known.
    pub host: &'g str,
    /// Its path.
    pub program: &'g str,
    /// `kind place`
    pub delivery: &'g str,
    /// Last release; null: only declared.
    pub last: Moment,
    /// Whether it was not seen to end.
    pub running: bool,
    /// The secret through which it is hit, where that is another one of the same value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<Name<'g>>,
}

/// A person who asked to see it.
#[derive(Debug, Serialize)]
pub struct Person<'g> {
    /// The user's name.
    pub name: &'g str,
    /// Where.
    pub host: &'g str,
    /// The last time.
    pub last: Moment,
}

/// A secret that nothing uses.
#[derive(Debug, Serialize)]
pub struct Unused<'g> {
    /// Which.
    #[serde(flatten)]
    pub secret: Name<'g>,
    /// Who answers for it.
    pub owner: &'g str,
    /// Last release; null: never, as far as the records go.
    pub last: Moment,
    /// Services that declare it or had it.
    pub services: BTreeSet<&'g str>,
}

impl Graph {
    /// The full name of a secret.
    pub fn name<'g>(&'g self, secret: &'g Secret) -> Name<'g> {
        Name {
            environment: &secret.environment,
            store: self.store_of(secret),
            name: &secret.name,
        }
    }

    /// Who is hit, for each secret of that name: `NAME` or `STORE:NAME`.
    pub fn blast(&self, wanted: &str) -> Vec<Blast<'_>> {
        let wanted = clean(wanted);
        let fits = |secret: &Secret| {
            let store = wanted.strip_suffix(secret.name.as_str());
            let store = store.and_then(|before| before.strip_suffix(':'));
            *wanted == secret.name || store == Some(self.store_of(secret))
        };
        let found = (0..).zip(&self.secrets).filter(|(_, secret)| fits(secret));
        found
            .map(|(at, secret)| self.blast_of(at, secret))
            .collect()
    }

    fn blast_of<'g>(&'g self, at: u32, secret: &'g Secret) -> Blast<'g> {
        let groups = self
            .shared
            .iter()
            .filter(|group| group.secrets.contains(&at));
        let mut same: BTreeSet<u32> = groups.flat_map(|group| &group.secrets).copied().collect();
        same.remove(&at);
        let by_number = |at: &u32| self.name(&self.secrets[*at as usize]);
        let uses = self.uses.iter();
        let mut hits: Vec<(u32, Hit<'g>)> = uses
            .filter(|it| it.secret == at || same.contains(&it.secret))
            .map(|it| {
                let service = &self.services[it.service as usize];
                let through = (it.secret != at).then(|| by_number(&it.secret));
                (
                    it.secret,
                    Hit {
                        service: &service.name,
                        environment: &service.environment,
                        host: self.host_of(it),
                        program: self.program_of(it),
                        delivery: &self.deliveries[it.delivery as usize],
                        last: it.last,
                        running: it.running,
                        through,
                    },
                )
            })
            .collect();
        // Those of the secret itself first.
        hits.sort_by_key(|(secret, _)| *secret != at);
        let people = self.reveals.iter().filter(|one| one.secret == at);
        let policies = self
            .policies
            .iter()
            .filter(|policy| policy.secrets.contains(&at));
        let findings = self.findings.iter();
        Blast {
            secret: self.name(secret),
            last: secret.last,
            owner: &secret.owner,
            classification: &secret.classification,
            same_value: same.iter().map(by_number).collect(),
            hits: hits.into_iter().map(|(_, hit)| hit).collect(),
            people: people
                .map(|one| Person {
                    name: &one.person,
                    host: &self.hosts[one.host as usize].name,
                    last: one.last,
                })
                .collect(),
            findings: findings.filter(|one| one.secrets.contains(&at)).collect(),
            policies: policies.map(|policy| policy.id.as_str()).collect(),
        }
    }

    /// What a reader should look at, of each secret: `found`, `overdue`, `crosses`, `same value`.
    pub fn flags(&self) -> Vec<Vec<&'static str>> {
        let mut flags = vec![BTreeSet::new(); self.secrets.len()];
        for at in self.findings.iter().flat_map(|finding| &finding.secrets) {
            flags[*at as usize].insert("found");
        }
        for group in &self.shared {
            let crosses = group.environments.len() > 1;
            for at in &group.secrets {
                flags[*at as usize].insert(if crosses { "crosses" } else { "same value" });
            }
        }
        for (flags, secret) in flags.iter_mut().zip(&self.secrets) {
            if self.is_overdue(secret) {
                flags.insert("overdue");
            }
        }
        flags
            .into_iter()
            .map(|flags| flags.into_iter().collect())
            .collect()
    }

    /// Whether its current version is older than its `max_age`.
    pub fn is_overdue(&self, secret: &Secret) -> bool {
        let most = secret.max_age.map(Duration::from_secs);
        most.is_some_and(|most| secret.made.is_known() && self.at.since(secret.made) > most)
    }

    /// Secrets that were not released for so long, and that no running program has.
    pub fn unused(&self, longer_than: Duration) -> Vec<Unused<'_>> {
        let since = self.at.before(longer_than);
        let mut services = vec![BTreeSet::new(); self.secrets.len()];
        let mut running = vec![false; self.secrets.len()];
        for it in &self.uses {
            let at = it.secret as usize;
            services[at].insert(self.services[it.service as usize].name.as_str());
            running[at] |= it.running;
        }
        let all = self.secrets.iter().zip(services).zip(running);
        let unused = all.filter(|((secret, _), running)| !running && secret.last < since);
        unused
            .map(|((secret, services), _)| Unused {
                secret: self.name(secret),
                owner: &secret.owner,
                last: secret.last,
                services,
            })
            .collect()
    }
}
