//! What the program has, known by keyed digests: no value is kept here.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::app::fetch::Round;
use crate::app::kept::Kept;
use crate::model::{SecretName, Version};
use crate::rotation::{Draft, Ledger};
use crate::secret::{Digest, DigestKey};

/// Digests of values, by secret.
pub type Digests = BTreeMap<SecretName, Digest>;

/// What stores call values, by secret.
pub type Versions = BTreeMap<SecretName, Version>;

/// What the program has of each secret, and what it must not get.
pub struct Known {
    key: DigestKey,
    /// For the machine's decisions.
    pub ledger: Ledger<Digest>,
    handed: BTreeMap<SecretName, Handed>,
    bad: Versions,
}

/// What the program has of a secret.
#[derive(Clone)]
pub struct Handed {
    digest: Digest,
    /// What the store calls it.
    pub version: Version,
    /// When it was handed over.
    pub since: Instant,
}

/// A generation as it is told from others.
#[derive(Clone)]
pub struct Marks {
    /// The digests of its values.
    pub digests: Digests,
    /// Their versions.
    pub versions: Versions,
}

/// The generation before, as far as it differs from the one that the program has.
pub struct Former {
    /// What was delivered.
    pub kept: Kept,
    /// Of the secrets that differ.
    pub marks: Marks,
}

impl Known {
    /// Takes note of the first generation.
    pub fn new(key: DigestKey, round: &Round) -> Self {
        let marks = Marks {
            digests: digests(&key, round),
            versions: round.versions.clone(),
        };
        let mut known = Self {
            key,
            ledger: Ledger::new(marks.digests.clone()),
            handed: BTreeMap::new(),
            bad: Versions::new(),
        };
        known.hand_over(marks.digests.keys(), &marks);
        known
    }

    /// What tells a round from others.
    pub fn marks(&self, round: &Round) -> Marks {
        Marks {
            digests: digests(&self.key, round),
            versions: round.versions.clone(),
        }
    }

    /// What the program has of a secret.
    pub fn handed(&self, secret: &SecretName) -> Option<&Handed> {
        self.handed.get(secret)
    }

    /// The version of it that is not tried again.
    pub fn quarantined(&self, secret: &SecretName) -> Option<&Version> {
        let bad = self.ledger.is_bad(secret);
        self.bad.get(secret).filter(|_| bad)
    }

    /// What the program has of these.
    pub fn of(&self, secrets: &BTreeSet<SecretName>) -> Marks {
        let handed = secrets
            .iter()
            .filter_map(|name| Some((name.clone(), self.handed.get(name)?)));
        let (digests, versions) = handed
            .map(|(name, handed)| {
                (
                    (name.clone(), handed.digest),
                    (name, handed.version.clone()),
                )
            })
            .unzip();
        Marks { digests, versions }
    }

    /// A store may call what the program has by another name by now. Gives those that it does.
    pub fn rename(&mut self, marks: &Marks) -> Vec<(SecretName, Version)> {
        let mut renamed = Vec::new();
        for (name, handed) in &mut self.handed {
            let same = marks.digests.get(name) == Some(&handed.digest);
            if let Some(version) = marks.versions.get(name)
                && same
                && *version != handed.version
            {
                handed.version = version.clone();
                renamed.push((name.clone(), version.clone()));
            }
        }
        renamed
    }

    /// The program has what the draft brings.
    pub fn adopt(&mut self, draft: &Draft, marks: &Marks) {
        self.ledger.adopt(draft, &marks.digests);
        self.hand_over(&draft.new, marks);
    }

    /// The program has the generation before; what it had is not tried again.
    pub fn put_back(&mut self, marks: &Marks) {
        let names: BTreeSet<SecretName> = marks.digests.keys().cloned().collect();
        let bad = self.of(&names);
        self.quarantine(&names, &bad);
        self.ledger.put_back(marks.digests.clone());
        self.hand_over(marks.digests.keys(), marks);
    }

    /// These are not tried again until their stores have others.
    pub fn quarantine(&mut self, secrets: &BTreeSet<SecretName>, marks: &Marks) {
        for name in secrets {
            if let (Some(digest), Some(version)) =
                (marks.digests.get(name), marks.versions.get(name))
            {
                self.ledger.quarantine([(name.clone(), *digest)]);
                self.bad.insert(name.clone(), version.clone());
            }
        }
    }

    fn hand_over<'a>(&mut self, names: impl IntoIterator<Item = &'a SecretName>, marks: &Marks) {
        let since = Instant::now();
        for name in names {
            let handed = Handed {
                digest: marks.digests[name],
                version: marks.versions[name].clone(),
                since,
            };
            self.handed.insert(name.clone(), handed);
        }
    }
}

fn digests(key: &DigestKey, round: &Round) -> Digests {
    let values = round.values.iter();
    values
        .map(|(name, value)| (name.clone(), key.digest(value)))
        .collect()
}
