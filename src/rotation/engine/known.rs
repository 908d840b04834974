//! What the program has, known by digests: no value is kept here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{SecretName, Version};
use crate::rotation::{Draft, Ledger};

/// What the program has of each secret, and what it must not get.
pub struct Known<D> {
    /// For the machine's decisions.
    pub ledger: Ledger<D>,
    has: BTreeMap<SecretName, Delivered<D>>,
    bad: BTreeMap<SecretName, Version>,
    /// What a person rolled back from: nothing says that the program was not well with it.
    undone: BTreeMap<SecretName, D>,
}

/// What the program has of a secret.
#[derive(Clone)]
pub struct Delivered<D> {
    digest: D,
    /// What the store calls it.
    pub version: Version,
    /// When it was delivered.
    pub since: Duration,
}

/// What tells the values of a generation from others.
#[derive(Clone)]
pub struct Fingerprints<D> {
    /// Their digests.
    pub digests: BTreeMap<SecretName, D>,
    /// What the stores call them.
    pub versions: BTreeMap<SecretName, Version>,
}

impl<D: Copy + PartialEq> Known<D> {
    /// The program has the first generation.
    pub fn new(first: &Fingerprints<D>, now: Duration) -> Self {
        let mut known = Self {
            ledger: Ledger::new(first.digests.clone()),
            has: BTreeMap::new(),
            bad: BTreeMap::new(),
            undone: BTreeMap::new(),
        };
        known.deliver(first.digests.keys(), first, now);
        known
    }

    /// What the program has of a secret.
    pub fn delivered(&self, secret: &SecretName) -> Option<&Delivered<D>> {
        self.has.get(secret)
    }

    /// The version of it that is not tried again.
    pub fn quarantined(&self, secret: &SecretName) -> Option<&Version> {
        let bad = self.ledger.is_bad(secret);
        self.bad.get(secret).filter(|_| bad)
    }

    /// Whether a person rolled back from this of a secret, and that is all that is known against it.
    pub fn was_undone(&self, secret: &SecretName, digest: D) -> bool {
        self.undone.get(secret) == Some(&digest) && self.ledger.refuses(secret, digest)
    }

    /// Whether what is not tried again of a secret is what a person rolled back from.
    pub fn is_undone(&self, secret: &SecretName) -> bool {
        let undone = self.undone.get(secret);
        undone.is_some_and(|digest| self.was_undone(secret, *digest))
    }

    /// A person asks for this again.
    pub fn pardon(&mut self, secret: &SecretName, digest: D) {
        self.undone.remove(secret);
        self.ledger.pardon(secret, digest);
    }

    /// What the program has of these.
    pub fn of(&self, secrets: &BTreeSet<SecretName>) -> Fingerprints<D> {
        let has = secrets
            .iter()
            .filter_map(|name| Some((name.clone(), self.has.get(name)?)));
        let (digests, versions) = has
            .map(|(name, has)| ((name.clone(), has.digest), (name, has.version.clone())))
            .unzip();
        Fingerprints { digests, versions }
    }

    /// A store may call what the program has by another name by now. Gives those that it does.
    pub fn rename(&mut self, fetched: &Fingerprints<D>) -> Vec<(SecretName, Version)> {
        let mut renamed = Vec::new();
        for (name, has) in &mut self.has {
            let same = fetched.digests.get(name) == Some(&has.digest);
            if let Some(version) = fetched.versions.get(name)
                && same
                && *version != has.version
            {
                has.version = version.clone();
                renamed.push((name.clone(), version.clone()));
            }
        }
        renamed
    }

    /// The program has what the draft brings.
    pub fn adopt(&mut self, draft: &Draft, fetched: &Fingerprints<D>, now: Duration) {
        self.ledger.adopt(draft, &fetched.digests);
        self.deliver(&draft.new, fetched, now);
    }

    /// The program has the previous generation, as a person asked; what it had is not tried again by
    /// itself.
    pub fn put_back(&mut self, previous: &Fingerprints<D>, now: Duration) {
        let names: BTreeSet<SecretName> = previous.digests.keys().cloned().collect();
        let bad = self.of(&names);
        self.quarantine(&names, &bad);
        self.undone.extend(bad.digests);
        self.ledger.put_back(previous.digests.clone());
        self.deliver(previous.digests.keys(), previous, now);
    }

    /// These are not tried again until their stores have others.
    pub fn quarantine(&mut self, secrets: &BTreeSet<SecretName>, of: &Fingerprints<D>) {
        for name in secrets {
            if let (Some(digest), Some(version)) = (of.digests.get(name), of.versions.get(name)) {
                self.undone.remove(name);
                self.ledger.quarantine([(name.clone(), *digest)]);
                self.bad.insert(name.clone(), version.clone());
            }
        }
    }

    fn deliver<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a SecretName>,
        of: &Fingerprints<D>,
        since: Duration,
    ) {
        for name in names {
            let delivered = Delivered {
                digest: of.digests[name],
                version: of.versions[name].clone(),
                since,
            };
            self.has.insert(name.clone(), delivered);
        }
    }
}
