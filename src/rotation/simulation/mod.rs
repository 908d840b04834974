//! The machine and the drafts against a model of stores and of a program: random writes, outages,
//! faults, ends, requests and timers, in any order.

mod hand_over;
mod named;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::draft::tests::{names, reach};
use super::{ByName, Draft, Input, Ledger, Machine, Reach, Rules, State};
use crate::model::{RestartBudget, SecretName};

/// Three stores. What a store is written with at one time is one number, and belongs together: the
/// program must never see two numbers of one store. `c` needs a restart; `d` is read once. `f` is a lease:
/// there is another one when one is asked for, and it comes when it is asked for by name.
const SECRETS: &str = "x:a x:b y:e z:!c z:d w:~f";

/// Kinds, and the secrets that they show.
type Deliveries = [(&'static str, &'static str); 7];

/// Stores that are shown apart.
const APART: Deliveries = [
    ("/1", "a b"),
    ("/2", "e"),
    ("/3", "a"),
    ("/4", "b"),
    ("/5", "f"),
    ("fd", "c d"),
    ("fd", "a"),
];

/// Stores that are shown together.
const TOGETHER: Deliveries = [
    ("/1", "a b"),
    ("/2", "e"),
    ("/3", "a e"),
    ("/4", "b"),
    ("/5", "f b"),
    ("fd", "c d"),
    ("fd", "a d"),
];
const STORES: [(char, &str); 4] = [('x', "a b"), ('y', "e"), ('z', "c d"), ('w', "f")];
/// The store that keeps versions, and the one that gives leases.
const VERSIONED: usize = 1;
const LEASED: usize = 3;

const MAX: u32 = 2;
const PER: Duration = Duration::from_mins(1);

type Values = BTreeMap<SecretName, u32>;
/// What each delivery shows.
type Contents = Vec<Values>;

/// What happens to the world.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A store is written: with values that are good, fail their check, or that the program is not
    /// well with.
    Write(usize, Quality),
    /// A store goes down, or comes back.
    Toggle(usize),
    /// The disk is full, or has room again.
    Disk,
    /// What is in flight ends, as it should or with a fault of its own.
    Land(bool),
    /// Time passes, and the timer with it.
    Wait(u64),
    /// Somebody asks.
    Rotate,
    /// Somebody asks.
    RollBack,
    /// Another lease is asked for by name, and this is what it will be.
    Another(Quality),
    /// The lease is revoked.
    Revoke,
    /// Leases that nobody keeps alive run out.
    Expire,
    /// An older version is asked for by name.
    Pin,
    /// The program ends by itself.
    Die,
    /// The program cannot be started any more, or can again.
    Break,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quality {
    Good,
    Refused,
    Unwell,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let quality = prop_oneof![
        4 => Just(Quality::Good),
        1 => Just(Quality::Refused),
        1 => Just(Quality::Unwell),
    ];
    let another = prop_oneof![3 => Just(Quality::Good), 1 => Just(Quality::Unwell)];
    let step = prop_oneof![
        8 => (0..3_usize, quality).prop_map(|(store, quality)| Step::Write(store, quality)),
        3 => (0..4_usize).prop_map(Step::Toggle),
        2 => another.prop_map(Step::Another),
        1 => Just(Step::Revoke),
        2 => Just(Step::Expire),
        2 => Just(Step::Pin),
        1 => Just(Step::Disk),
        12 => prop::bool::weighted(0.85).prop_map(Step::Land),
        6 => (1..40_u64).prop_map(Step::Wait),
        2 => Just(Step::Rotate),
        2 => Just(Step::RollBack),
        1 => prop::bool::weighted(0.1).prop_map(|dies| if dies { Step::Die } else { Step::Break }),
    ];
    prop::collection::vec(step, 0..120)
}

/// What is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    Fetch,
    Notify,
    Verify,
    Stop,
}

struct Candidate {
    draft: Draft,
    fetched: Values,
    contents: Contents,
    by_hand: bool,
    undone: bool,
}

struct Former {
    contents: Contents,
    known: Values,
}

#[derive(Clone, Copy, Default)]
struct Store {
    value: u32,
    down: bool,
    /// It was written while it was down, and nobody could tell.
    missed: bool,
    /// It was found to be down when it was asked last: it is asked again, and need not tell.
    noticed: bool,
}

/// A version that its secret is held at until its store has another one than this.
#[derive(Clone, Copy)]
struct Pin {
    version: u32,
    from: u32,
}

/// The program, and what it sees.
struct Program {
    alive: bool,
    sees: Contents,
    /// Something that it sees has changed since it was told, or started.
    untold: bool,
    starts: bool,
}

struct World {
    deliveries: Deliveries,
    /// A fault of the program takes a generation back.
    takes_back: bool,
    machine: Machine,
    ledger: Ledger<u32>,
    reach: Reach,
    now: Duration,
    timer: Option<Duration>,
    flight: Option<Flight>,
    stores: [Store; 4],
    /// The next fetch makes another lease, of this quality.
    due: Option<Quality>,
    /// Leases that are of no more use.
    over: BTreeSet<u32>,
    /// What the versioned store was written with.
    versions: Vec<u32>,
    pin: Option<Pin>,
    /// What was asked for by name.
    wanted: BTreeSet<SecretName>,
    qualities: BTreeMap<u32, Quality>,
    next: u32,
    disk: bool,
    program: Program,
    candidate: Option<Candidate>,
    current: Contents,
    former: Option<Former>,
    /// What the ledger stands for: what the program has of each secret that can reach it.
    known: Values,
    quarantined: BTreeSet<(SecretName, u32)>,
    restarts: Vec<Duration>,
    /// A generation that the program is not well with could not be rolled back. Whatever comes after
    /// it may get the blame.
    ill: bool,
    /// The old generation that is still there to be swapped back.
    before: Option<Contents>,
}

fn all(number: u32) -> Values {
    let secrets = STORES.iter().flat_map(|(_, secrets)| names(secrets));
    secrets.map(|name| (name, number)).collect()
}

fn shown(deliveries: &Deliveries, values: &Values) -> Contents {
    let show = |used: &str| {
        let used = names(used).into_iter();
        used.filter_map(|name| values.get(&name).map(|value| (name.clone(), *value)))
            .collect()
    };
    deliveries.iter().map(|(_, used)| show(used)).collect()
}

/// The first five are files in either.
const fn is_live(delivery: usize) -> bool {
    delivery < 5
}

fn one(name: &str) -> SecretName {
    names(name).pop_first().expect("it is a name")
}

impl World {
    fn new(deliveries: Deliveries, verify: bool, rollback: bool) -> Self {
        let rules = Rules {
            verify,
            rollback,
            restarts: RestartBudget { max: MAX, per: PER },
        };
        let known = all(0);
        let contents = shown(&deliveries, &known);
        Self {
            deliveries,
            takes_back: verify && rollback,
            machine: Machine::new(rules),
            ledger: Ledger::new(known.clone()),
            reach: reach(SECRETS, &deliveries),
            now: Duration::ZERO,
            timer: None,
            flight: None,
            stores: [Store::default(); 4],
            due: None,
            over: BTreeSet::new(),
            versions: vec![0],
            pin: None,
            wanted: BTreeSet::new(),
            qualities: BTreeMap::from([(0, Quality::Good)]),
            next: 1,
            disk: true,
            program: Program {
                alive: true,
                sees: contents.clone(),
                untold: false,
                starts: true,
            },
            candidate: None,
            current: contents,
            former: None,
            known,
            quarantined: BTreeSet::new(),
            restarts: Vec::new(),
            ill: false,
            before: None,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(store, quality) => self.write(store, quality),
            Step::Toggle(store) if self.stores[store].down => self.comes_back(store),
            Step::Toggle(store) => self.stores[store].down = true,
            Step::Disk => self.disk ^= true,
            Step::Break => self.program.starts ^= true,
            Step::Land(well) => self.land(well),
            Step::Wait(seconds) => self.wait(Duration::from_secs(seconds)),
            Step::Rotate => self.drive(Input::Rotate),
            Step::RollBack => self.roll_back(),
            Step::Another(quality) => {
                self.due = Some(quality);
                self.ask_for("f");
            }
            Step::Revoke => self.revoke(),
            Step::Expire => self.expire(),
            Step::Pin => self.hold(),
            Step::Die => self.die(),
        }
    }

    fn make(&mut self, store: usize, quality: Quality) {
        self.stores[store].value = self.next;
        self.qualities.insert(self.next, quality);
        if store == VERSIONED {
            self.versions.push(self.next);
        }
        self.next += 1;
    }

    fn write(&mut self, store: usize, quality: Quality) {
        self.make(store, quality);
        if self.stores[store].down {
            self.stores[store].missed = true;
        } else {
            self.drive(Input::Changed);
        }
    }

    fn comes_back(&mut self, store: usize) {
        let store = &mut self.stores[store];
        store.down = false;
        if std::mem::take(&mut store.missed) && !store.noticed {
            self.drive(Input::Changed);
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.timer.is_some_and(|at| at <= self.now) {
            self.timer = None;
            self.drive(Input::Elapsed);
        }
    }

    fn die(&mut self) {
        if self.program.alive && self.flight != Some(Flight::Stop) {
            self.program.alive = false;
            self.drive(Input::Ended);
        }
    }

    fn land(&mut self, well: bool) {
        let input = match self.flight.take() {
            None => return,
            Some(Flight::Fetch) => self.found(),
            Some(Flight::Notify) if well => {
                self.program.untold = false;
                Input::Done
            }
            Some(Flight::Verify) if well && self.is_well() => Input::Done,
            Some(Flight::Notify | Flight::Verify) => Input::Failed,
            Some(Flight::Stop) => {
                self.program.alive = false;
                Input::Ended
            }
        };
        self.drive(input);
    }

    fn quality(&self, value: u32) -> Quality {
        self.qualities[&value]
    }

    fn is_well(&self) -> bool {
        let mut seen = self.program.sees.iter().flat_map(Values::values);
        !seen.any(|value| self.quality(*value) == Quality::Unwell)
    }

    fn found(&mut self) -> Input {
        for store in &mut self.stores {
            store.noticed = store.down;
        }
        self.lease();
        self.end_pin();
        let fetched = self.values(|store| !store.down);
        let ledger = &self.ledger;
        let arrived = |name: &SecretName| {
            let value = fetched.get(name);
            value.is_some_and(|value| ledger.has(name, *value))
        };
        self.wanted.retain(|name| !arrived(name));
        let room = self.machine.restarts_left(self.now) > 0;
        let by_name = ByName {
            wanted: &self.wanted,
            pinned: &self.pin.iter().map(|_| one("e")).collect(),
        };
        let draft = self.ledger.draft(&self.reach, &fetched, by_name, room);
        let found = draft.found;
        if found.new.is_some() {
            let contents = shown(&self.deliveries, &fetched)
                .into_iter()
                .zip(&self.current)
                .zip(&draft.stays);
            let contents = contents
                .map(|((new, old), stays)| if *stays { old.clone() } else { new })
                .collect();
            self.candidate = Some(Candidate {
                draft,
                fetched,
                contents,
                by_hand: false,
                undone: false,
            });
        }
        Input::Found(found)
    }

    /// What those stores give.
    fn values(&self, of: impl Fn(&Store) -> bool) -> Values {
        let stores = STORES.iter().zip(self.stores);
        let stores = stores.filter(|(_, store)| of(store));
        let values = stores.flat_map(|((_, secrets), store)| {
            let secrets = names(secrets).into_iter();
            secrets.map(move |name| (name, store.value))
        });
        let mut values: Values = values.collect();
        if let (Some(pin), Some(value)) = (self.pin, values.get_mut(&one("e"))) {
            *value = pin.version;
        }
        values
    }

    fn drive(&mut self, input: Input) {
        let mut actions = VecDeque::from(self.machine.step(input, self.now));
        while let Some(action) = actions.pop_front() {
            if let Some(input) = self.perform(action) {
                actions.extend(self.machine.step(input, self.now));
            }
        }
    }

    fn take_off(&mut self, flight: Flight) {
        assert_eq!(self.flight, None, "one thing at a time");
        assert!(self.program.alive);
        self.flight = Some(flight);
    }

    /// Until nothing is in flight, and no timer runs.
    fn rests(&mut self) {
        for _ in 0..200 {
            match (self.flight, self.timer) {
                (Some(_), _) => self.land(true),
                (None, Some(at)) => self.wait(at.saturating_sub(self.now)),
                (None, None) => return,
            }
        }
        panic!("it never rests");
    }

    /// All faults end, and every store has a good value: the program gets them.
    fn settles(&mut self) {
        self.disk = true;
        self.program.starts = true;
        (0..4).for_each(|store| self.comes_back(store));
        self.rests();
        if self.pin.is_some() {
            self.write(VERSIONED, Quality::Good);
        }
        self.due = Some(Quality::Good);
        self.ask_for("f");
        self.rests();
        for store in 0..3 {
            let value = self.stores[store].value;
            let bad = self.quarantined.iter().any(|(_, bad)| *bad == value);
            if bad || self.quality(value) != Quality::Good {
                self.write(store, Quality::Good);
            }
        }
        self.rests();
        if self.machine.state() == State::Over {
            assert!(!self.program.alive);
            return;
        }
        assert_eq!(self.machine.state(), State::Steady);
        if self.takes_back && self.ill {
            return;
        }
        let live = |contents: &Contents| -> Contents {
            let contents = contents.iter().enumerate();
            let contents = contents.filter(|(index, _)| is_live(*index));
            contents.map(|(_, values)| values.clone()).collect()
        };
        let newest = self.values(|_| true);
        assert_eq!(
            live(&self.program.sees),
            live(&shown(&self.deliveries, &newest))
        );
        let restarted = self.program.sees[5]
            .values()
            .all(|value| *value == self.stores[2].value);
        assert!(restarted, "what needs a restart was delivered");
    }
}

proptest! {
    // A failure is shrunk and shown; the repository keeps no file of it.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_program_sees_one_good_generation(
        steps in steps(),
        verify: bool,
        rollback: bool,
        together: bool,
    ) {
        let deliveries = if together { TOGETHER } else { APART };
        let mut world = World::new(deliveries, verify, rollback);
        for step in steps {
            world.step(step);
        }
        world.settles();
    }
}

/// A version that was held at, and that the program was taken back from, is not the generation before.
#[test]
fn nobody_is_rolled_back_to_what_is_quarantined() {
    let mut world = World::new(APART, false, false);
    world.step(Step::Write(VERSIONED, Quality::Good));
    world.rests();
    world.step(Step::Pin);
    world.land(true);
    assert_eq!(world.machine.state(), State::Notifying);
    world.step(Step::RollBack);
    world.rests();
    assert!(world.quarantined.contains(&(one("e"), 0)));
    world.step(Step::RollBack);
    assert_eq!(world.machine.state(), State::Steady);
    assert_eq!(world.program.sees[1], Values::from([(one("e"), 1)]));
}

/// Nor is the newest tried again that it was taken back from before that.
#[test]
fn what_is_quarantined_stays_so_while_its_secret_is_held_at_a_version() {
    let mut world = World::new(APART, true, true);
    world.step(Step::Write(VERSIONED, Quality::Good));
    world.rests();
    world.step(Step::Write(VERSIONED, Quality::Unwell));
    world.rests();
    assert!(world.quarantined.contains(&(one("e"), 2)));
    world.step(Step::Pin);
    world.land(true);
    world.step(Step::RollBack);
    world.rests();
    assert!(world.quarantined.contains(&(one("e"), 0)));
    world.step(Step::Rotate);
    world.rests();
    assert_eq!(world.program.sees[1], Values::from([(one("e"), 1)]));
}
