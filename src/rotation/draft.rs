//! What a generation is made of: which of the values that the stores gave go to the program, and
//! which wait.
//!
//! Values that belong together never come to the program one without the other. What a store gives
//! as one consistent set (a directory, a sealed store, the output of a command; a single path of a
//! vault) is one unit. A unit is held back as a whole when one of its secrets could not be had, or is
//! quarantined, or needs a restart for which there is no room. A delivery that shows something of a
//! unit that is held back stays as it is; so what is new in it waits as well, and all of its unit.
//! The rest goes on: one store that is down does not keep the others from the program.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{Found, Means};
use crate::model::{
    DeliveryKind, Plan, Refresh, RotateAction, SecretName, Source, StoreKind, StoreName,
};

/// What the program sees of a plan's secrets, and how it comes to new ones.
#[derive(Clone, Debug)]
pub struct Reach {
    secrets: BTreeMap<SecretName, Seen>,
    deliveries: Vec<Carried>,
}

#[derive(Clone, Debug)]
struct Seen {
    /// Which unit it is of.
    unit: usize,
    /// Files or FIFOs show it: they change while the program runs.
    live: bool,
    /// A new value of it needs a restart.
    restart: bool,
    /// `refresh: never`
    never: bool,
}

#[derive(Clone, Debug)]
struct Carried {
    secrets: BTreeSet<SecretName>,
    live: bool,
}

impl Reach {
    /// `uses`: the secrets in each of the plan's deliveries. Secrets that no delivery shows are none
    /// of the rotation's.
    pub fn new(plan: &Plan, uses: Vec<BTreeSet<SecretName>>) -> Self {
        let deliveries: Vec<Carried> = plan
            .deliveries
            .iter()
            .zip(uses)
            .map(|(delivery, secrets)| Carried {
                secrets,
                live: matches!(
                    delivery.kind,
                    DeliveryKind::File(_) | DeliveryKind::Fifo { .. } | DeliveryKind::Credential(_)
                ),
            })
            .collect();
        let mut units = Vec::new();
        let mut secrets = BTreeMap::new();
        for (name, spec) in &plan.secrets {
            let shown = || deliveries.iter().filter(|each| each.secrets.contains(name));
            if shown().next().is_none() {
                continue;
            }
            let action = spec.on_rotate.as_ref().unwrap_or(&plan.on_rotate.action);
            let seen = Seen {
                unit: unit(plan, &spec.source, &mut units),
                live: shown().any(|each| each.live),
                restart: *action == RotateAction::Restart,
                never: spec.refresh == Refresh::Never,
            };
            secrets.insert(name.clone(), seen);
        }
        Self {
            secrets,
            deliveries,
        }
    }

    /// Whether a change of this secret can reach the program.
    pub fn reaches(&self, secret: &SecretName) -> bool {
        let seen = self.secrets.get(secret);
        seen.is_some_and(|seen| seen.live || seen.restart)
    }

    /// The secrets whose new values cannot reach the program.
    pub fn out_of_reach(&self) -> impl Iterator<Item = &SecretName> {
        let names = self.secrets.keys();
        names.filter(|name| !self.is_asked_for(name))
    }

    /// Whether a restart may come of a rotation.
    pub fn restarts(&self) -> bool {
        self.secrets.values().any(|seen| seen.restart)
    }

    /// Whether the stores are asked for this secret: others' changes may bring it to the program.
    pub fn is_asked_for(&self, secret: &SecretName) -> bool {
        let seen = self.secrets.get(secret);
        seen.is_some_and(|seen| seen.live || self.restarts())
    }

    /// Whether the program sees a new value of this secret that comes to it so.
    pub fn sees(&self, secret: &SecretName, means: Option<Means>) -> bool {
        let seen = self.secrets.get(secret);
        means == Some(Means::Restart) || seen.is_some_and(|seen| seen.live)
    }

    /// What is fetched when these have changed: all that is of one unit with them, and all that one
    /// delivery shows with them. A program is started with one generation: where they need a restart,
    /// everything.
    pub fn combined(&self, changed: &BTreeSet<SecretName>) -> BTreeSet<SecretName> {
        let known = changed
            .iter()
            .filter(|name| self.secrets.contains_key(name));
        let mut found: BTreeSet<&SecretName> = known.collect();
        loop {
            let before = found.len();
            let units: BTreeSet<usize> =
                found.iter().map(|name| self.secrets[*name].unit).collect();
            let of_one = self
                .secrets
                .iter()
                .filter(|(_, seen)| units.contains(&seen.unit));
            found.extend(of_one.map(|(name, _)| name));
            for delivery in self.changeable() {
                if delivery.secrets.iter().any(|name| found.contains(name)) {
                    found.extend(&delivery.secrets);
                }
            }
            if found.len() == before {
                break;
            }
        }
        if found.iter().any(|name| self.secrets[*name].restart) {
            return self.asked().cloned().collect();
        }
        let found = found.into_iter().filter(|name| self.is_asked_for(name));
        found.cloned().collect()
    }

    /// Those that a generation is made of.
    fn changeable(&self) -> impl Iterator<Item = &Carried> {
        let all = self.restarts();
        let deliveries = self.deliveries.iter();
        deliveries.filter(move |each| each.live || all)
    }

    fn asked(&self) -> impl Iterator<Item = &SecretName> {
        self.secrets.keys().filter(|name| self.is_asked_for(name))
    }
}

/// What is given as one.
#[derive(PartialEq, Eq)]
enum Unit {
    Store(StoreName),
    Source(Source),
}

fn unit(plan: &Plan, source: &Source, units: &mut Vec<Unit>) -> usize {
    let of_one = |store: &StoreName| matches!(plan.stores[store].kind, StoreKind::Vault(_));
    let unit = if of_one(&source.store) {
        Unit::Source(source.clone())
    } else {
        Unit::Store(source.store.clone())
    };
    let known = units.iter().position(|known| *known == unit);
    known.unwrap_or_else(|| {
        units.push(unit);
        units.len() - 1
    })
}

/// What the program has of each secret, and what it must not get; `D` tells one value from another.
#[derive(Clone, Debug)]
pub struct Ledger<D> {
    known: BTreeMap<SecretName, D>,
    /// Several, where the one before a value that failed was rolled back from as well.
    bad: BTreeMap<SecretName, Vec<D>>,
}

/// What the stores were asked for.
#[derive(Clone, Copy, Debug)]
pub struct Fetch<'a> {
    /// These; what no store gave of them is missing. `None`: all.
    pub secrets: Option<&'a BTreeSet<SecretName>>,
    /// These come also where `refresh` is never.
    pub wanted: &'a BTreeSet<SecretName>,
    /// These are held at a version: it is not the newest that was fetched.
    pub pinned: &'a BTreeSet<SecretName>,
}

/// A generation, before it is made.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The secrets whose new values are in it.
    pub new: BTreeSet<SecretName>,
    /// Those among them that the program sees; the others, when it is started the next time.
    pub seen: BTreeSet<SecretName>,
    /// Those among them that it is made for.
    pub cause: BTreeSet<SecretName>,
    /// For each delivery, whether it stays as it is.
    pub stays: Vec<bool>,
    /// What there is, for the machine.
    pub found: Found,
    /// The stores still have what is quarantined.
    pub bad: bool,
}

impl<D: Copy + PartialEq> Ledger<D> {
    /// The program has these.
    pub const fn new(known: BTreeMap<SecretName, D>) -> Self {
        Self {
            known,
            bad: BTreeMap::new(),
        }
    }

    /// Whether the program has this.
    pub fn has(&self, secret: &SecretName, digest: D) -> bool {
        self.known.get(secret) == Some(&digest)
    }

    /// Whether it must not get this.
    pub fn is_bad(&self, secret: &SecretName) -> bool {
        self.bad.contains_key(secret)
    }

    /// Whether one of these must not get to the program.
    pub fn has_bad(&self, values: &BTreeMap<SecretName, D>) -> bool {
        let mut values = values.iter();
        values.any(|(name, digest)| self.refuses(name, *digest))
    }

    /// Whether this of a secret must not get to the program.
    pub fn refuses(&self, secret: &SecretName, digest: D) -> bool {
        let bad = self.bad.get(secret);
        bad.is_some_and(|bad| bad.contains(&digest))
    }

    /// What the draft brings is in the program's generation now.
    pub fn adopt(&mut self, draft: &Draft, fetched: &BTreeMap<SecretName, D>) {
        for name in &draft.new {
            self.known.insert(name.clone(), fetched[name]);
        }
    }

    /// The program has other values of some secrets again.
    pub fn put_back(&mut self, known: BTreeMap<SecretName, D>) {
        self.known.extend(known);
    }

    /// These are not to be tried again until the stores have others.
    pub fn quarantine(&mut self, values: impl IntoIterator<Item = (SecretName, D)>) {
        for (name, digest) in values {
            self.bad.entry(name).or_default().push(digest);
        }
    }

    /// The program may get this of a secret all the same.
    pub fn pardon(&mut self, secret: &SecretName, digest: D) {
        if let Some(bad) = self.bad.get_mut(secret) {
            bad.retain(|known| *known != digest);
        }
        self.bad.retain(|_, bad| !bad.is_empty());
    }

    /// What to make of what the stores gave. `room`: a restart is possible.
    pub fn draft(
        &mut self,
        reach: &Reach,
        fetched: &BTreeMap<SecretName, D>,
        fetch: Fetch,
        room: bool,
    ) -> Draft {
        // After another one they are judged anew. What a pin had them give says nothing of that.
        self.bad.retain(|name, bad| {
            let same = |digest| bad.contains(digest);
            fetch.pinned.contains(name) || fetched.get(name).is_none_or(same)
        });
        let mut drafting = Drafting {
            reach,
            ledger: self,
            fetched,
            wanted: fetch.wanted,
            asked: fetch.secrets,
            held: BTreeSet::new(),
        };
        drafting.draft(room)
    }
}

struct Drafting<'a, D> {
    reach: &'a Reach,
    ledger: &'a Ledger<D>,
    fetched: &'a BTreeMap<SecretName, D>,
    wanted: &'a BTreeSet<SecretName>,
    asked: Option<&'a BTreeSet<SecretName>>,
    /// The units that wait.
    held: BTreeSet<usize>,
}

impl<D: Copy + PartialEq> Drafting<'_, D> {
    fn draft(&mut self, room: bool) -> Draft {
        let outage = self.hold_missing();
        let bad = self.hold_bad();
        let mut short = false;
        loop {
            let before = self.held.len();
            self.hold_entangled();
            if self.means() == Some(Means::Restart) && !room {
                short = true;
                self.hold_restarts();
            }
            if self.held.len() == before {
                break;
            }
        }
        let means = self.means();
        let deliveries = self.reach.deliveries.iter();
        let new = self.coming();
        let seen = new.iter().filter(|name| self.reach.sees(name, means));
        Draft {
            seen: seen.cloned().collect(),
            new,
            cause: self.cause().cloned().collect(),
            stays: deliveries.map(|each| self.stays(each)).collect(),
            found: Found {
                new: means,
                outage,
                short,
            },
            bad,
        }
    }

    fn hold_missing(&mut self) -> bool {
        let missing = self
            .reach
            .asked()
            .filter(|name| self.asked.is_none_or(|asked| asked.contains(*name)))
            .filter(|name| !self.fetched.contains_key(*name));
        let units: Vec<usize> = missing.map(|name| self.reach.secrets[name].unit).collect();
        self.held.extend(&units);
        !units.is_empty()
    }

    fn hold_bad(&mut self) -> bool {
        let fetched = self.fetched.iter();
        let bad = fetched.filter(|(name, digest)| self.ledger.refuses(name, **digest));
        let units: Vec<usize> = bad
            .filter_map(|(name, _)| Some(self.reach.secrets.get(name)?.unit))
            .collect();
        self.held.extend(&units);
        !units.is_empty()
    }

    /// What cannot be shown without something that waits, waits.
    fn hold_entangled(&mut self) {
        loop {
            let before = self.held.len();
            let waiting = self.reach.changeable().filter(|each| self.stays(each));
            let new = waiting
                .flat_map(|each| &each.secrets)
                .filter(|name| self.is_new(name));
            let units: Vec<usize> = new.map(|name| self.reach.secrets[name].unit).collect();
            self.held.extend(units);
            if self.held.len() == before {
                return;
            }
        }
    }

    fn hold_restarts(&mut self) {
        let secrets = &self.reach.secrets;
        let restarts = self.cause().filter(|name| secrets[*name].restart);
        let units: Vec<usize> = restarts.map(|name| secrets[name].unit).collect();
        self.held.extend(units);
    }

    /// Those that a generation can be made for.
    fn cause(&self) -> impl Iterator<Item = &SecretName> {
        let can_be = |name: &&SecretName| {
            let seen = &self.reach.secrets[*name];
            let comes = !seen.never || self.wanted.contains(*name);
            comes && (seen.live || seen.restart) && self.is_new(name)
        };
        self.reach.secrets.keys().filter(can_be)
    }

    fn means(&self) -> Option<Means> {
        let restart = |name: &SecretName| self.reach.secrets[name].restart;
        self.cause().fold(None, |means, name| match means {
            Some(Means::Restart) => means,
            _ if restart(name) => Some(Means::Restart),
            _ => Some(Means::Told),
        })
    }

    /// The secrets whose new values come along. Where a restart may follow, all of them do: what a
    /// program would be started with is one generation as well.
    fn coming(&self) -> BTreeSet<SecretName> {
        let none = self.means().is_none();
        let all = self.reach.restarts();
        let secrets = self.reach.secrets.iter();
        let coming =
            secrets.filter(|(name, seen)| !none && (seen.live || all) && self.is_new(name));
        coming.map(|(name, _)| name.clone()).collect()
    }

    /// It has another value than the program, and does not wait.
    fn is_new(&self, name: &SecretName) -> bool {
        self.differs(name) == Some(true) && !self.held.contains(&self.reach.secrets[name].unit)
    }

    fn differs(&self, name: &SecretName) -> Option<bool> {
        let digest = self.fetched.get(name)?;
        Some(!self.ledger.has(name, *digest))
    }

    /// It shows something that waits.
    fn stays(&self, delivery: &Carried) -> bool {
        delivery
            .secrets
            .iter()
            .any(|name| match self.differs(name) {
                None => true,
                Some(differs) => differs && self.held.contains(&self.reach.secrets[name].unit),
            })
    }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
pub(super) mod tests;
