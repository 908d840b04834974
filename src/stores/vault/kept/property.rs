//! Whatever is asked for, handed over, refused, rolled back from or waited for, in any order: the lease
//! that the program has is kept alive, and never given back.

use proptest::prelude::*;

use super::tests::{given, ids, seen, version};
use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Another one is wanted.
    Expire,
    /// The stores are asked.
    Fetch,
    /// The program has what was fetched.
    Adopt,
    /// It does not get it, or was not well with it.
    Reject,
    /// By hand.
    RollBack,
    /// So many seconds pass; a lease lives a minute.
    Wait(u64),
    /// What nobody uses is given back.
    GiveBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Expire),
        4 => Just(Step::Fetch),
        3 => Just(Step::Adopt),
        2 => Just(Step::Reject),
        2 => Just(Step::RollBack),
        2 => (1..90_u64).prop_map(Step::Wait),
        1 => Just(Step::GiveBack),
    ];
    prop::collection::vec(step, 0..60)
}

struct World {
    kept: Kept,
    now: Boottime,
    next: u32,
    /// What the program has.
    has: String,
    /// What it may get.
    fetched: Option<String>,
    /// What it had.
    former: Option<String>,
}

impl World {
    fn new() -> Self {
        let now = Boottime::now();
        Self {
            kept: Kept::new(given("0", now, true), None),
            now,
            next: 1,
            has: "0".to_owned(),
            fetched: None,
            former: None,
        }
    }

    fn fetch(&mut self) {
        let wall = SystemTime::now();
        if self.kept.again(self.now, wall).is_none() {
            self.kept
                .take(given(&self.next.to_string(), self.now, true), None);
            self.next += 1;
        }
        let found = seen(&self.kept, self.now).expect("it is good");
        self.fetched = Some(found).filter(|found| *found != self.has);
    }

    fn adopt(&mut self) {
        if let Some(new) = self.fetched.take() {
            self.kept.adopted(&version(&new));
            self.former = Some(std::mem::replace(&mut self.has, new));
        }
    }

    fn reject(&mut self) {
        if let Some(bad) = self.fetched.take() {
            self.kept.rejected(&version(&bad), self.now);
        }
    }

    /// As the rotation does it: nothing is in flight then.
    fn roll_back(&mut self) {
        if self.fetched.is_some() {
            return;
        }
        let Some(former) = self.former.take() else {
            return;
        };
        if !self
            .kept
            .is_good(&version(&former), self.now, SystemTime::now())
        {
            return;
        }
        self.kept.rejected(&version(&self.has), self.now);
        self.kept.adopted(&version(&former));
        self.has = former;
        assert_eq!(seen(&self.kept, self.now).as_ref(), Some(&self.has));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Expire => self.kept.expire(),
            Step::Fetch => self.fetch(),
            Step::Adopt => self.adopt(),
            Step::Reject => self.reject(),
            Step::RollBack => self.roll_back(),
            Step::Wait(seconds) => {
                self.now = self.now + Duration::from_secs(seconds);
                self.kept.sweep(self.now, SystemTime::now());
            }
            Step::GiveBack => {
                let unused: Vec<String> = ids(self.kept.unused())
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                for id in unused {
                    self.kept.settle(&id);
                }
            }
        }
        assert!(
            ids(self.kept.alive()).contains(&&*self.has),
            "{} is left to run out",
            self.has
        );
        assert!(
            !ids(self.kept.unused()).contains(&&*self.has),
            "{} is given back",
            self.has
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_what_the_program_has_is_kept_alive(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
    }
}
