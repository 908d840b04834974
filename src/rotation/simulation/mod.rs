//! The engine against a world of stores and of a program: random writes, outages, errors, ends,
//! requests and timers, in any order.

mod world;

use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::Engine;
use super::draft::tests::{names, plan_of, reach_of};
use super::engine::{Completed, ControlRequest, First};
use crate::model::control::{Reply, Request};
use crate::model::{
    Exit, Exited, Plan, RestartBudget, SealedStore, StoreKind, StoreName, Verify, VerifyHow,
};
use crate::supervisor::Ended;
use world::{
    APART, Deliveries, MAX, PER, Pending, Quality, SECRETS, STORES, TOGETHER, VERSIONED, Values,
    World, all, one,
};

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
    /// Policy denies releases, or allows them again.
    Deny,
    /// A denial has the program stopped, or not.
    Expel,
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
        1 => Just(Step::Deny),
        1 => prop::bool::weighted(0.2).prop_map(|stops| if stops { Step::Expel } else { Step::Deny }),
        12 => prop::bool::weighted(0.85).prop_map(Step::Land),
        6 => (1..40_u64).prop_map(Step::Wait),
        2 => Just(Step::Rotate),
        2 => Just(Step::RollBack),
        1 => prop::bool::weighted(0.1).prop_map(|dies| if dies { Step::Die } else { Step::Break }),
    ];
    prop::collection::vec(step, 0..120)
}

fn plan(deliveries: &Deliveries, verify: bool, rollback: bool) -> Plan {
    let mut plan = plan_of(SECRETS, deliveries);
    plan.on_rotate.settle = Duration::from_secs(2);
    plan.on_rotate.restarts = RestartBudget { max: MAX, per: PER };
    plan.on_rotate.rollback = rollback;
    plan.on_rotate.verify = verify.then(|| Verify {
        how: VerifyHow::Alive,
        within: Duration::from_secs(10),
    });
    let versioned = StoreName::new(&STORES[VERSIONED].0.to_string()).expect("it is a name");
    let versioned = plan.stores.get_mut(&versioned).expect("it is a store");
    versioned.kind = StoreKind::Sealed(SealedStore {
        path: "/y".into(),
        identity_file: "/i".into(),
        accept: false,
    });
    plan
}

/// An engine in a world.
struct Simulation<'p> {
    engine: Engine<'p, World>,
    /// A program that is not well has its generation rolled back.
    takes_back: bool,
    /// The program is gone, and no other one comes.
    over: bool,
    replies: Vec<oneshot::Receiver<Reply>>,
}

impl<'p> Simulation<'p> {
    fn new(plan: &'p Plan, deliveries: Deliveries) -> Self {
        let world = World::new(deliveries);
        let first = First {
            fingerprints: world::fingerprints(&all(1)),
            payloads: Some(world.program.sees.clone()),
            receipt: world::receipt(),
        };
        let engine = Engine::new(plan, reach_of(plan, &deliveries), Rc::new(()), world, first);
        Self {
            engine,
            takes_back: plan.on_rotate.verify.is_some() && plan.on_rotate.rollback,
            over: false,
            replies: Vec::new(),
        }
    }

    fn world(&mut self) -> &mut World {
        self.engine.effects()
    }

    fn step(&mut self, step: Step) {
        if self.over {
            return;
        }
        match step {
            Step::Write(store, quality) => self.write(store, quality),
            Step::Toggle(store) if self.world().stores[store].down => self.comes_back(store),
            Step::Toggle(store) => self.world().stores[store].down = true,
            Step::Disk => self.world().host.disk ^= true,
            Step::Deny => self.world().host.denies ^= true,
            Step::Expel => self.world().host.expels ^= true,
            Step::Break => self.world().program.starts ^= true,
            Step::Land(well) => self.land(well),
            Step::Wait(seconds) => self.wait(Duration::from_secs(seconds)),
            Step::Rotate => self.request(Request::Rotate { secret: None }),
            Step::RollBack => self.roll_back(),
            Step::Another(quality) => {
                self.world().lease_quality = quality;
                self.ask_for("f");
            }
            Step::Revoke => self.revoke(),
            Step::Expire => self.world().run_out(),
            Step::Pin => self.hold(),
            Step::Die => self.die(),
        }
        self.engine.look_for_ends();
    }

    fn request(&mut self, request: Request) {
        let (answer, reply) = oneshot::channel();
        let by = None;
        self.engine.requested(ControlRequest {
            request,
            by,
            answer,
        });
        self.replies.push(reply);
    }

    fn ask_for(&mut self, name: &str) {
        let secret = Some(name.to_owned());
        self.request(Request::Rotate { secret });
    }

    fn roll_back(&mut self) {
        let (secret, to) = (None, None);
        self.request(Request::Rollback { secret, to });
    }

    fn write(&mut self, index: usize, quality: Quality) {
        self.world().make(index, quality);
        let store = &mut self.world().stores[index];
        if store.down {
            store.missed = true;
        } else {
            self.engine.changed(names(STORES[index].1));
        }
    }

    fn comes_back(&mut self, index: usize) {
        let store = &mut self.world().stores[index];
        store.down = false;
        if std::mem::take(&mut store.missed) && !store.noticed {
            self.engine.changed(names(STORES[index].1));
        }
    }

    fn wait(&mut self, time: Duration) {
        self.world().now += time;
        let now = self.world().now;
        if self.engine.timer().is_some_and(|at| at <= now) {
            self.engine.elapsed();
        }
    }

    /// All that was given so far is revoked.
    fn revoke(&mut self) {
        let secret = "f".to_owned();
        self.request(Request::Revoke { secret });
        let revoked = self.world().revoked();
        self.engine.revoked(&one("f"), revoked);
    }

    /// Asks for a version before the one that the program has.
    fn hold(&mut self) {
        if let Some(version) = self.world().older_version() {
            self.request(Request::Rollback {
                secret: Some("e".to_owned()),
                to: Some(u64::from(version).into()),
            });
        }
    }

    fn die(&mut self) {
        if self.world().program.alive {
            self.ended(false);
        }
    }

    fn ended(&mut self, replaced: bool) {
        self.world().program.alive = false;
        let exited = Exited {
            code: 0,
            signal: None,
        };
        let another = self.engine.ended(&Ended { exited, replaced }, false);
        self.over = !another || !self.start();
    }

    /// Starts the program as the composition root does. `false`: it cannot be started.
    fn start(&mut self) -> bool {
        loop {
            let next = self.engine.next_to_start();
            let (world, contents, _) = next.expect("there is one to start");
            if world.program.starts {
                world.start(contents);
                self.engine.started();
                return true;
            }
            if !self.engine.not_started("it is broken") {
                return false;
            }
        }
    }

    fn land(&mut self, well: bool) {
        let world = self.world();
        let completed = match world.pending.take() {
            None => return,
            Some(Pending::Fetch(secrets, pins)) => {
                Completed::Fetched(world.answers(&secrets, pins))
            }
            Some(Pending::Record) if well => Completed::Recorded(Ok(world::receipt())),
            Some(Pending::Record) => Completed::Recorded(Err(world::refused(Exit::Deadline))),
            Some(Pending::Notify) if well => {
                world.program.untold = false;
                Completed::Notified(Ok(()))
            }
            Some(Pending::Notify) => Completed::Notified(Err("no".to_owned())),
            Some(Pending::Verify) if well && world.is_well() => Completed::Verified(Ok(())),
            Some(Pending::Verify) => Completed::Verified(Err("no".to_owned())),
            Some(Pending::Stop) => return self.ended(true),
        };
        self.engine.completed(completed);
    }

    /// Until nothing is pending, and no timer runs.
    fn rests(&mut self) {
        for _ in 0..200 {
            let now = self.world().now;
            if self.over {
                return;
            } else if self.world().pending.is_some() {
                self.land(true);
            } else if let Some(at) = self.engine.timer() {
                self.wait(at.saturating_sub(now));
            } else {
                return;
            }
        }
        panic!("it never rests");
    }

    /// All errors end, and every store has a good value: the program gets them.
    fn settles(&mut self) {
        self.world().host.disk = true;
        self.world().host.denies = false;
        self.world().program.starts = true;
        if !self.over {
            (0..4).for_each(|store| self.comes_back(store));
        }
        self.rests();
        if !self.over {
            let pinned = self
                .engine
                .standing()
                .secrets
                .iter()
                .any(|one| one.pinned.is_some());
            if pinned {
                self.write(VERSIONED, Quality::Good);
            }
            self.world().lease_quality = Quality::Good;
            self.ask_for("f");
        }
        self.rests();
        for store in 0..3 {
            if !self.over && !self.world().is_good(store) {
                self.write(store, Quality::Good);
            }
        }
        self.rests();
        if self.over {
            assert!(!self.world().program.alive);
            return;
        }
        assert_eq!(self.engine.standing().state, "steady");
        for reply in &mut self.replies {
            let pending = reply.try_recv() == Err(oneshot::error::TryRecvError::Empty);
            assert!(!pending, "a request has no reply");
        }
        if self.takes_back && self.world().ill {
            return;
        }
        self.world().sees_the_newest();
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
        let plan = plan(&deliveries, verify, rollback);
        let mut simulation = Simulation::new(&plan, deliveries);
        for step in steps {
            simulation.step(step);
        }
        simulation.settles();
    }
}

/// A version that was pinned, and that the program was rolled back from, is not the previous generation.
#[test]
fn nobody_is_rolled_back_to_what_is_quarantined() {
    let plan = plan(&APART, false, false);
    let mut simulation = Simulation::new(&plan, APART);
    simulation.step(Step::Write(VERSIONED, Quality::Good));
    simulation.rests();
    simulation.step(Step::Pin);
    simulation.land(true);
    simulation.land(true);
    assert_eq!(simulation.engine.standing().state, "notifying");
    simulation.step(Step::RollBack);
    simulation.rests();
    assert!(simulation.world().quarantined.contains(&(one("e"), 1)));
    simulation.step(Step::RollBack);
    assert_eq!(simulation.engine.standing().state, "steady");
    assert_eq!(
        simulation.world().program.sees[1],
        Values::from([(one("e"), 2)])
    );
}

/// Nor is the newest tried again that it was rolled back from before that.
#[test]
fn what_is_quarantined_stays_so_while_its_secret_is_held_at_a_version() {
    let plan = plan(&APART, true, true);
    let mut simulation = Simulation::new(&plan, APART);
    simulation.step(Step::Write(VERSIONED, Quality::Good));
    simulation.rests();
    simulation.step(Step::Write(VERSIONED, Quality::Unwell));
    simulation.rests();
    assert!(simulation.world().quarantined.contains(&(one("e"), 3)));
    simulation.step(Step::Pin);
    simulation.land(true);
    simulation.land(true);
    simulation.step(Step::RollBack);
    simulation.rests();
    assert!(simulation.world().quarantined.contains(&(one("e"), 1)));
    simulation.step(Step::Rotate);
    simulation.rests();
    assert_eq!(
        simulation.world().program.sees[1],
        Values::from([(one("e"), 2)])
    );
}

/// The program keeps what it has, and the stores are asked again.
#[test]
fn what_cannot_be_recorded_is_not_delivered() {
    let plan = plan(&APART, false, false);
    let mut simulation = Simulation::new(&plan, APART);
    simulation.step(Step::Write(VERSIONED, Quality::Good));
    simulation.step(Step::Wait(2));
    simulation.land(true);
    assert!(matches!(simulation.world().pending, Some(Pending::Record)));
    simulation.land(false);
    assert_eq!(simulation.engine.standing().state, "retrying");
    assert_eq!(
        simulation.world().program.sees[1],
        Values::from([(one("e"), 1)])
    );
    simulation.rests();
    assert_eq!(
        simulation.world().program.sees[1],
        Values::from([(one("e"), 2)])
    );
}

/// The program is stopped, no store is asked, and nothing follows.
#[test]
fn what_policy_takes_away_is_stopped_for_good() {
    let plan = plan(&APART, false, false);
    let mut simulation = Simulation::new(&plan, APART);
    simulation.step(Step::Deny);
    simulation.step(Step::Expel);
    simulation.step(Step::Rotate);
    assert!(matches!(simulation.world().pending, Some(Pending::Stop)));
    assert_eq!(simulation.engine.standing().state, "stopping");
    assert_eq!(simulation.engine.expelled(), Some("not now"));
    let reply = simulation.replies.pop().expect("it was requested");
    let Ok(Reply::Refused { exit, .. }) = reply.blocking_recv() else {
        panic!("it was denied");
    };
    assert_eq!(exit, Exit::Denied.code());
    simulation.step(Step::Land(true));
    assert!(simulation.over);
}

/// What was denied meanwhile does not come back by hand either.
#[test]
fn nobody_is_rolled_back_to_what_is_denied() {
    let plan = plan(&APART, false, true);
    let mut simulation = Simulation::new(&plan, APART);
    simulation.step(Step::Write(VERSIONED, Quality::Good));
    simulation.step(Step::Wait(2));
    simulation.rests();
    let has = Values::from([(one("e"), 2)]);
    assert_eq!(simulation.world().program.sees[1], has);
    for (denies, sees) in [(true, 2), (false, 1)] {
        simulation.world().host.denies = denies;
        simulation.step(Step::RollBack);
        simulation.rests();
        assert_eq!(
            simulation.world().program.sees[1],
            Values::from([(one("e"), sees)])
        );
    }
}

/// No store is asked; who requested it gets to know why.
#[test]
fn what_is_denied_is_not_fetched() {
    let plan = plan(&APART, false, false);
    let mut simulation = Simulation::new(&plan, APART);
    simulation.step(Step::Deny);
    simulation.step(Step::Write(VERSIONED, Quality::Good));
    simulation.step(Step::Wait(2));
    assert!(simulation.world().pending.is_none());
    simulation.step(Step::Rotate);
    let reply = simulation.replies.pop().expect("it was requested");
    let Ok(Reply::Refused { exit, .. }) = reply.blocking_recv() else {
        panic!("it was denied");
    };
    assert_eq!(exit, Exit::Denied.code());
    assert_eq!(simulation.engine.standing().state, "retrying");
    simulation.step(Step::Wait(60));
    assert!(simulation.world().pending.is_none());
    // Once it is allowed, it is delivered by itself.
    simulation.step(Step::Deny);
    simulation.step(Step::Wait(60));
    simulation.rests();
    assert_eq!(
        simulation.world().program.sees[1],
        Values::from([(one("e"), 2)])
    );
}
