//! The machine and the drafts against a model of stores and of a program: random writes, outages,
//! faults, ends, requests and timers, in any order.

mod hand_over;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::draft::tests::{names, reach};
use super::{Draft, Input, Ledger, Machine, Means, Reach, Rules, State};
use crate::model::{RestartBudget, SecretName};

/// Three stores. What a store is written with at one time is one number, and belongs together: the
/// program must never see two numbers of one store. `c` needs a restart; `d` is read once.
const SECRETS: &str = "x:a x:b y:e z:!c z:d";

/// Kinds, and the secrets that they show.
type Deliveries = [(&'static str, &'static str); 6];

/// Stores that are shown apart.
const APART: Deliveries = [
    ("/1", "a b"),
    ("/2", "e"),
    ("/3", "a"),
    ("/4", "b"),
    ("fd", "c d"),
    ("fd", "a"),
];

/// Stores that are shown together.
const TOGETHER: Deliveries = [
    ("/1", "a b"),
    ("/2", "e"),
    ("/3", "a e"),
    ("/4", "b"),
    ("fd", "c d"),
    ("fd", "a d"),
];
const STORES: [(char, &str); 3] = [('x', "a b"), ('y', "e"), ('z', "c d")];

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
    let step = prop_oneof![
        8 => (0..3_usize, quality).prop_map(|(store, quality)| Step::Write(store, quality)),
        3 => (0..3_usize).prop_map(Step::Toggle),
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
    stores: [Store; 3],
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

/// The first four are files in either.
const fn is_live(delivery: usize) -> bool {
    delivery < 4
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
            stores: [Store::default(); 3],
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
            Step::Die => self.die(),
        }
    }

    fn write(&mut self, store: usize, quality: Quality) {
        self.stores[store].value = self.next;
        self.qualities.insert(self.next, quality);
        self.next += 1;
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

    fn roll_back(&mut self) {
        match self.machine.state() {
            State::Steady
            | State::Settling
            | State::Fetching
            | State::Retrying
            | State::Exhausted => {
                let Some(Former { contents, known }) = self.former.take() else {
                    return;
                };
                let secrets: BTreeSet<SecretName> = known.keys().cloned().collect();
                let restart = secrets.contains(&names("c").pop_first().unwrap());
                let means = if restart { Means::Restart } else { Means::Told };
                self.candidate = Some(Candidate {
                    draft: Draft {
                        new: secrets.clone(),
                        cause: secrets,
                        ..Draft::default()
                    },
                    fetched: known,
                    contents,
                    by_hand: true,
                    undone: false,
                });
                self.drive(Input::RollBack(means));
            }
            State::Notifying | State::Verifying | State::Stopping => {
                self.drive(Input::RollBack(Means::Told));
            }
            _ => {}
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
        let fetched = self.values(|store| !store.down);
        let room = self.machine.restarts_left(self.now) > 0;
        let draft = self.ledger.draft(&self.reach, &fetched, room);
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

    /// What those stores have.
    fn values(&self, of: impl Fn(&Store) -> bool) -> Values {
        let stores = STORES.iter().zip(self.stores);
        let stores = stores.filter(|(_, store)| of(store));
        let values = stores.flat_map(|((_, secrets), store)| {
            let secrets = names(secrets).into_iter();
            secrets.map(move |name| (name, store.value))
        });
        values.collect()
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
        (0..3).for_each(|store| self.comes_back(store));
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
        let restarted = self.program.sees[4]
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
