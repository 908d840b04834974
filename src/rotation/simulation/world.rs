//! What the engine acts on: stores, a program and what it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::model::{
    Exit, Generation, NoSite, Reason, Receipt, Release, RotateAction, SecretName, Source,
    StoreName, Verify, Version, record,
};
use crate::rotation::Means;
use crate::rotation::draft::tests::{names, plan_of};
use crate::rotation::engine::{
    Answers, Denied, Effects, Failed, Fingerprints, Pin, Pins, Stage, StageError,
};
use crate::stores::{Fault, Past, StoreError};

/// Three stores. What a store is written with at one time is one number, and belongs together: the
/// program must never see two numbers of one store. `c` needs a restart; `d` is read once. `f` is a lease:
/// there is another one when one is asked for, and it comes when it is asked for by name.
pub const SECRETS: &str = "x:a x:b y:e z:!c z:d w:~f";

/// Kinds, and the secrets that they show.
pub type Deliveries = [(&'static str, &'static str); 7];

/// Stores that are shown apart.
pub const APART: Deliveries = [
    ("/1", "a b"),
    ("/2", "e"),
    ("/3", "a"),
    ("/4", "b"),
    ("/5", "f"),
    ("fd", "c d"),
    ("fd", "a"),
];

/// Stores that are shown together.
pub const TOGETHER: Deliveries = [
    ("/1", "a b"),
    ("/2", "e"),
    ("/3", "a e"),
    ("/4", "b"),
    ("/5", "f b"),
    ("fd", "c d"),
    ("fd", "a d"),
];
pub const STORES: [(char, &str); 4] = [('x', "a b"), ('y', "e"), ('z', "c d"), ('w', "f")];
/// The store that keeps versions, and the one that gives leases.
pub const VERSIONED: usize = 1;
pub const LEASED: usize = 3;

pub const MAX: u32 = 2;
pub const PER: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    Good,
    Refused,
    Unwell,
}

pub fn all(number: u32) -> Values {
    let secrets = STORES.iter().flat_map(|(_, secrets)| names(secrets));
    secrets.map(|name| (name, number)).collect()
}

/// The first five are files in either.
pub const fn is_live(delivery: usize) -> bool {
    delivery < 5
}

pub fn one(name: &str) -> SecretName {
    names(name).pop_first().expect("it is a name")
}

pub type Values = BTreeMap<SecretName, u32>;
/// What each delivery shows.
pub type Contents = Vec<Values>;

/// What was started.
pub enum Pending {
    Fetch(BTreeSet<SecretName>, Pins),
    Record,
    Notify,
    Verify,
    Stop,
}

#[derive(Clone, Copy)]
pub struct Store {
    pub value: u32,
    pub down: bool,
    /// It was written while it was down, and could not tell.
    pub missed: bool,
    /// It was found to be down when it was asked last: it is asked again, and need not tell.
    pub noticed: bool,
}

/// The program, and what it sees.
pub struct Program {
    pub alive: bool,
    pub sees: Contents,
    /// Something that it sees has changed since it was notified, or started.
    pub untold: bool,
    pub starts: bool,
}

/// What lies around the program.
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Host {
    /// The disk has room.
    pub disk: bool,
    /// Policy denies every release.
    pub denies: bool,
    /// And wants the program stopped then.
    pub expels: bool,
    /// The program is stopped for that.
    pub expelled: bool,
}

pub struct World {
    deliveries: Deliveries,
    pub now: Duration,
    pub pending: Option<Pending>,
    pub stores: [Store; 4],
    /// The next fetch makes another lease.
    due: bool,
    /// Of this quality.
    pub lease_quality: Quality,
    /// All leases, the one that the program has, and those that are of no more use.
    leases: BTreeSet<u32>,
    lease: u32,
    over: BTreeSet<u32>,
    /// What the versioned store was written with, and what the program has of it.
    versions: Vec<u32>,
    version: u32,
    qualities: BTreeMap<u32, Quality>,
    next: u32,
    pub host: Host,
    pub program: Program,
    pub quarantined: BTreeSet<(SecretName, u32)>,
    restarts: Vec<Duration>,
    /// What is staged, and whether for a restart.
    staged: Option<Contents>,
    to_restart: bool,
    /// The previous generation, which is still there to be swapped back.
    before: Option<Contents>,
    /// A generation that the program is not well with could not be rolled back. Whatever comes after
    /// it may get the blame.
    pub ill: bool,
}

pub fn fingerprints(values: &Values) -> Fingerprints<u32> {
    let versions = values.iter();
    Fingerprints {
        digests: values.clone(),
        versions: versions
            .map(|(name, value)| (name.clone(), version(*value)))
            .collect(),
    }
}

fn version(value: u32) -> Version {
    Version(format!("v{value}"))
}

fn number(version: &Version) -> u32 {
    let number = version
        .0
        .strip_prefix('v')
        .and_then(|text| text.parse().ok());
    number.expect("it is one of ours")
}

fn shown(deliveries: &Deliveries, values: &Values) -> Contents {
    let show = |used: &str| {
        let used = names(used).into_iter();
        used.filter_map(|name| values.get(&name).map(|value| (name.clone(), *value)))
            .collect()
    };
    deliveries.iter().map(|(_, used)| show(used)).collect()
}

fn error(store: usize) -> StoreError {
    StoreError {
        store: StoreName::new(&STORES[store].0.to_string()).expect("it is a name"),
        asked: None,
        fault: Fault::Deadline {
            after: Duration::ZERO,
        },
    }
}

pub fn refused(exit: Exit) -> Failed {
    let why = "not now".to_owned();
    Failed { exit, why }
}

/// As the composition root gets it, where there is no site.
pub fn receipt() -> Receipt {
    let (plan, versions) = (plan_of("", &[]), BTreeMap::new());
    let release = Release {
        plan: &plan,
        program: Path::new("/p"),
        uid: 0,
        reason: Reason::Launch,
        versions: &versions,
        facts: None,
        decisions: &[],
        approvals: &[],
        fingerprints: &BTreeMap::new(),
    };
    let recording = pin!(record(&NoSite, &release));
    match recording.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(receipt) => receipt.expect("nothing is recorded"),
        Poll::Pending => panic!("nothing is waited for"),
    }
}

impl World {
    pub fn new(deliveries: Deliveries) -> Self {
        let store = Store {
            value: 1,
            down: false,
            missed: false,
            noticed: false,
        };
        Self {
            deliveries,
            now: Duration::ZERO,
            pending: None,
            stores: [store; 4],
            due: false,
            lease_quality: Quality::Good,
            leases: BTreeSet::from([1]),
            lease: 1,
            over: BTreeSet::new(),
            versions: vec![1],
            version: 1,
            qualities: BTreeMap::from([(1, Quality::Good)]),
            next: 2,
            host: Host {
                disk: true,
                denies: false,
                expels: false,
                expelled: false,
            },
            program: Program {
                alive: true,
                sees: shown(&deliveries, &all(1)),
                untold: false,
                starts: true,
            },
            quarantined: BTreeSet::new(),
            restarts: Vec::new(),
            staged: None,
            to_restart: false,
            before: None,
            ill: false,
        }
    }

    pub fn make(&mut self, store: usize, quality: Quality) {
        self.stores[store].value = self.next;
        self.qualities.insert(self.next, quality);
        if store == VERSIONED {
            self.versions.push(self.next);
        }
        self.next += 1;
    }

    /// The store's newest value could be the program's.
    pub fn is_good(&self, store: usize) -> bool {
        let value = self.stores[store].value;
        let quarantined = self.quarantined.iter().any(|(_, bad)| *bad == value);
        !quarantined && self.quality(value) == Quality::Good
    }

    fn quality(&self, value: u32) -> Quality {
        self.qualities[&value]
    }

    pub fn is_well(&self) -> bool {
        let mut seen = self.program.sees.iter().flat_map(Values::values);
        !seen.any(|value| self.quality(*value) == Quality::Unwell)
    }

    /// The store keeps alive what it gave last, and what the program has.
    pub fn run_out(&mut self) {
        let alive = [self.stores[LEASED].value, self.lease];
        let ended = self.leases.iter().filter(|lease| !alive.contains(lease));
        self.over.extend(ended);
    }

    /// What was given so far is revoked, if the store is there.
    pub fn revoked(&mut self) -> Result<(), StoreError> {
        if self.stores[LEASED].down {
            return Err(error(LEASED));
        }
        self.over.extend(&self.leases);
        Ok(())
    }

    /// One that was never quarantined.
    pub fn older_version(&self) -> Option<u32> {
        let versions = self.versions.iter().rev();
        let mut older = versions.filter(|version| **version < self.version);
        let good = |version: &&u32| !self.quarantined.contains(&(one("e"), **version));
        older.find(good).copied()
    }

    /// What the stores give.
    pub fn answers(&mut self, secrets: &BTreeSet<SecretName>, pins: Pins) -> Answers<Self> {
        let asks = |used: &str| names(used).iter().any(|name| secrets.contains(name));
        let mut errors = Vec::new();
        for (index, _) in STORES
            .iter()
            .enumerate()
            .filter(|(_, (_, used))| asks(used))
        {
            let store = &mut self.stores[index];
            store.noticed = store.down;
            errors.extend(store.down.then(|| error(index)));
        }
        if secrets.contains(&one("f")) {
            self.lease();
        }
        let (pins, refused) = self.settle(pins);
        let stores = STORES.iter().zip(self.stores);
        let stores = stores.filter(|(_, store)| !store.down);
        let values = stores.flat_map(|((_, used), store)| {
            let used = names(used).into_iter();
            used.map(move |name| (name, store.value))
        });
        let mut values: Values = values.filter(|(name, _)| secrets.contains(name)).collect();
        for (name, pin) in &pins {
            if let Some(value) = values.get_mut(name) {
                *value = pin.version.as_str().parse().expect("it is one of ours");
            }
        }
        Answers {
            fingerprints: fingerprints(&values),
            values,
            errors,
            pins,
            refused,
        }
    }

    /// A lease that is to be replaced, or is over, is followed by another one.
    fn lease(&mut self) {
        let store = self.stores[LEASED];
        if !store.down && (self.due || self.over.contains(&store.value)) {
            self.due = false;
            let quality = std::mem::replace(&mut self.lease_quality, Quality::Good);
            self.make(LEASED, quality);
            self.leases.insert(self.stores[LEASED].value);
        }
    }

    /// A pin holds until the store has another version than it had then.
    fn settle(&self, pins: Pins) -> (Pins, Vec<(SecretName, StoreError)>) {
        let store = self.stores[VERSIONED];
        let (mut held, mut refused) = (Pins::new(), Vec::new());
        for (name, mut pin) in pins {
            let otherwise = pin.otherwise.take();
            let current = version(store.value);
            match &pin.from {
                None if store.down => {
                    refused.push((name.clone(), error(VERSIONED)));
                    held.extend(otherwise.map(|pin| (name, *pin)));
                }
                None => {
                    let from = Some(current);
                    held.insert(name, Pin { from, ..pin });
                }
                Some(from) if store.down || *from == current => {
                    held.insert(name, pin);
                }
                Some(_) => {}
            }
        }
        (held, refused)
    }

    fn take_off(&mut self, pending: Pending) {
        assert!(self.pending.is_none(), "one thing at a time");
        assert!(self.program.alive);
        self.pending = Some(pending);
    }

    /// Restarts for new values keep to the budget; the way back is not counted.
    fn count_restart(&mut self) {
        let now = self.now;
        self.restarts.retain(|at| now.saturating_sub(*at) < PER);
        let forward = std::mem::take(&mut self.to_restart);
        let room = self.restarts.len() < MAX as usize;
        if forward {
            assert!(room, "beyond the budget");
            self.restarts.push(now);
        }
    }

    pub fn start(&mut self, contents: &Contents) {
        assert!(!self.program.alive, "the one before is gone");
        assert!(self.pending.is_none());
        self.program.alive = true;
        self.show(contents, true);
        self.program.untold = false;
    }

    /// What the program sees from now on; what it reads once only when it starts.
    fn show(&mut self, contents: &Contents, start: bool) {
        for (index, new) in contents.iter().enumerate() {
            if (start || is_live(index)) && self.program.sees[index] != *new {
                self.program.sees[index].clone_from(new);
                self.program.untold = true;
            }
        }
        self.check(start);
    }

    /// No two numbers of one store, and nothing that is quarantined.
    fn check(&self, start: bool) {
        let seen = self.program.sees.iter().enumerate();
        let seen = seen.filter(|(index, _)| start || is_live(*index));
        let seen: BTreeSet<(SecretName, u32)> = seen
            .flat_map(|(_, values)| values.iter().map(|(name, value)| (name.clone(), *value)))
            .collect();
        for (store, secrets) in STORES {
            let secrets = names(secrets);
            let of_store = seen.iter().filter(|(name, _)| secrets.contains(name));
            let numbers: BTreeSet<u32> = of_store.map(|(_, value)| *value).collect();
            assert!(numbers.len() <= 1, "a mix of {numbers:?} of {store}");
        }
        let bad = seen.intersection(&self.quarantined).next();
        assert_eq!(bad, None, "it is quarantined");
        let refused = seen
            .iter()
            .find(|(_, value)| self.quality(*value) == Quality::Refused);
        assert_eq!(refused, None, "it failed its check");
    }

    /// All stores are up, and their values good.
    pub fn sees_the_newest(&self) {
        let stores = STORES.iter().zip(self.stores);
        let newest = stores.flat_map(|((_, used), store)| {
            let used = names(used).into_iter();
            used.map(move |name| (name, store.value))
        });
        let newest = shown(&self.deliveries, &newest.collect());
        let live = |contents: &Contents| -> Contents {
            let contents = contents.iter().enumerate();
            let contents = contents.filter(|(index, _)| is_live(*index));
            contents.map(|(_, values)| values.clone()).collect()
        };
        assert_eq!(live(&self.program.sees), live(&newest));
        let restarted = self.program.sees[5]
            .values()
            .all(|value| *value == self.stores[2].value);
        assert!(restarted, "what needs a restart was delivered");
    }
}

impl Effects for World {
    type Values = Values;
    type Digest = u32;
    type Payloads = Contents;

    fn now(&self) -> Duration {
        self.now
    }

    fn random(&mut self) -> u64 {
        u64::MAX
    }

    fn fetch(&mut self, secrets: BTreeSet<SecretName>, pins: Pins) -> Result<(), Denied> {
        let allowed = self.allows(&secrets);
        self.host.expelled = allowed.as_ref().is_err_and(|denied| denied.stop);
        allowed?;
        self.take_off(Pending::Fetch(secrets, pins));
        Ok(())
    }

    fn allows(&mut self, _: &BTreeSet<SecretName>) -> Result<(), Denied> {
        if self.host.denies {
            return Err(Denied {
                failed: refused(Exit::Denied),
                stop: self.host.expels,
            });
        }
        Ok(())
    }

    fn record(&mut self, versions: BTreeMap<SecretName, Version>) {
        assert!(!versions.is_empty());
        self.take_off(Pending::Record);
    }

    fn notify(&mut self, _: Vec<RotateAction>) {
        assert!(self.program.untold, "notified without a change");
        self.take_off(Pending::Notify);
    }

    fn verify(&mut self, _: &Verify) {
        self.take_off(Pending::Verify);
    }

    fn abandon(&mut self) {
        self.pending = None;
    }

    fn stage(&mut self, stage: Stage<'_, Self>) -> Result<Option<Contents>, StageError> {
        let draft = stage.draft;
        let refused_value =
            |name: &&SecretName| self.quality(stage.values[*name]) == Quality::Refused;
        let blamed: BTreeSet<SecretName> =
            draft.new.iter().filter(refused_value).cloned().collect();
        if !blamed.is_empty() {
            let failed = vec![refused(Exit::Value)];
            return Err(StageError::Values { failed, blamed });
        }
        if !self.host.disk {
            return Err(StageError::System(vec![refused(Exit::Os)]));
        }
        let kept = stage.kept.expect("restarts keep it");
        let contents = shown(&self.deliveries, &stage.values).into_iter().zip(kept);
        let contents = contents.zip(&draft.stays);
        let contents: Contents = contents
            .map(|((new, old), stays)| if *stays { old.clone() } else { new })
            .collect();
        self.to_restart = draft.found.new == Some(Means::Restart);
        self.staged = (!self.to_restart).then(|| contents.clone());
        Ok(Some(contents))
    }

    fn swap(&mut self, _: &Receipt) -> Result<(), Vec<Failed>> {
        if !self.host.disk {
            return Err(vec![refused(Exit::Os)]);
        }
        self.before = Some(self.program.sees.clone());
        let staged = self.staged.take().expect("it is staged");
        self.show(&staged, false);
        Ok(())
    }

    fn swap_back(
        &mut self,
        _: &Receipt,
        contents: Option<(&Contents, Generation)>,
    ) -> Result<(), Vec<Failed>> {
        if !self.host.disk {
            return Err(vec![refused(Exit::Os)]);
        }
        let contents = match contents {
            Some((contents, _)) => contents.clone(),
            None => self.before.clone().expect("the old one is still there"),
        };
        self.show(&contents, false);
        Ok(())
    }

    fn retire(&mut self) {
        self.before = None;
        self.ill |= !self.is_well();
    }

    fn discard(&mut self) {
        self.before = None;
        self.staged = None;
    }

    fn forget(&mut self, _: Values) {}

    fn stop(&mut self) {
        if !self.host.expelled {
            self.count_restart();
        }
        self.take_off(Pending::Stop);
    }

    fn is_changing(&mut self, _: bool) {}

    fn upkeep(&self) -> Option<(String, Duration)> {
        None
    }

    fn past(&self, source: &Source, version: &Version) -> Option<Past> {
        let this = u64::from(number(version));
        (source.key.as_deref() == Some("e")).then(|| Past {
            this: this.into(),
            before: None,
        })
    }

    fn good_for(&self, source: &Source) -> Option<Duration> {
        let leased = source.store.as_str() == STORES[LEASED].0.to_string();
        let ended = self.over.contains(&self.lease);
        leased.then_some(Duration::from_secs(u64::from(!ended)))
    }

    fn is_good(&self, source: &Source, version: &Version) -> bool {
        source.key.as_deref() != Some("~f") || !self.over.contains(&number(version))
    }

    fn expire(&mut self, source: &Source) {
        self.due |= source.key.as_deref() == Some("~f");
    }

    fn adopted(&mut self, source: &Source, version: &Version) {
        match source.key.as_deref() {
            Some("~f") => {
                self.lease = number(version);
                if self.over.contains(&self.stores[LEASED].value) {
                    self.stores[LEASED].value = self.lease;
                }
            }
            Some("e") => self.version = number(version),
            _ => {}
        }
    }

    fn rejected(&mut self, source: &Source, version: &Version) {
        let key = source.key.as_deref().expect("all have one");
        let name = one(key.trim_start_matches(['!', '~']));
        self.quarantined.insert((name, number(version)));
        if key == "~f" {
            self.over.insert(number(version));
            self.stores[LEASED].value = self.lease;
        }
    }

    fn revoke(&mut self, _: &SecretName, _: &Source) {}
}
