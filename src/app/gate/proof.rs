//! What `policy explain` says, what a launch does, and what Cedar says of the same are one: on random
//! policies and questions, 100,000 at night, on each processor a part. Each reads the directory as it does
//! for users: explain parses it, and a launch by root takes it from the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use super::InForce;
use super::rules::{Judged, Rules};
use crate::app::policies::{Explained, PolicyDirectory};
use crate::model::query::{Effect, Query};
use crate::model::{Observer, PolicyMode, PolicySpec, rounds};
use crate::policy::proof::{Expected, Random, Round};

/// What becomes of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Launch {
    Starts,
    /// Once it is approved.
    Waits,
    Refused,
}

/// How often there was what, with an error or without.
type Counts = BTreeMap<(Effect, Launch, bool), usize>;

/// As a launch decides.
fn launch(directory: &Path) -> Rules {
    let spec = PolicySpec {
        directory: directory.to_owned(),
        mode: PolicyMode::Enforce,
    };
    let observer: Rc<dyn Observer> = Rc::new(());
    let policy = InForce::open(&spec, &observer).unwrap_or_else(|all| panic!("{}", all[0].error));
    Rules::new(policy, spec, &observer)
}

fn compare_one(
    (rules, directory): (&Rules, &PolicyDirectory),
    (query, expected): (&Query, &Expected),
    about: &dyn Fn() -> String,
) -> (Effect, Launch, bool) {
    let (launch, decisions) = match rules.judge(vec![query.clone()], &[]) {
        Judged::Granted(decisions) => (Launch::Starts, decisions),
        Judged::Open(open) => (Launch::Waits, open.decisions),
        Judged::Denied(denial) => (Launch::Refused, denial.refused),
    };
    let [decision] = &decisions[..] else {
        panic!("{} decisions: {}", decisions.len(), about());
    };
    let wanted = match expected.effect {
        Effect::Allow => Launch::Starts,
        Effect::Pending if expected.by_approvals => Launch::Waits,
        Effect::Pending | Effect::Deny => Launch::Refused,
    };
    assert_eq!(launch, wanted, "{}", about());
    assert_eq!(decision.query, *query);
    let explained = Explained::of(query.clone(), directory.policies());
    assert_eq!(explained.ruling.effect, expected.effect, "{}", about());
    assert_eq!(decision.ruling, explained.ruling, "{}", about());
    let fails = !expected.failed.is_empty();
    assert_eq!(explained.ruling.errors.is_empty(), !fails, "{}", about());
    let named: BTreeSet<String> = explained.ruling.policies.iter().cloned().collect();
    if fails {
        assert_eq!(named, expected.failed, "{}", about());
    }
    let causes = explained.why.causes.iter();
    let shown: BTreeSet<String> = causes.map(|cause| cause.policy.clone()).collect();
    assert_eq!(shown, named, "{}", about());
    (expected.effect, launch, fails)
}

fn compare(rounds: usize, seed: u64) -> Counts {
    let mut random = Random(seed);
    let mut seen = Counts::new();
    for number in 0..rounds {
        let mut round = Round::new(&mut random);
        let place = tempfile::tempdir().expect("it can be made");
        fs::write(place.path().join("p.cedar"), &round.text).expect("it is writable");
        let entities = round.entities.to_string();
        fs::write(place.path().join("entities.json"), entities).expect("it is writable");
        let explains = PolicyDirectory::open(place.path());
        let explains = explains.unwrap_or_else(|all| panic!("{}\n{}", all[0].error, round.text));
        // The second one is from the cache, where this is root.
        let launches = [launch(place.path()), launch(place.path())];
        for _ in 0..50 {
            let (query, expected) = round.ask(&mut random);
            let about = || {
                let Round { text, entities, .. } = &round;
                format!("round {number} of {seed}: {query:?}\n{entities}\n{text}")
            };
            let [first, second] = launches
                .each_ref()
                .map(|rules| compare_one((rules, &explains), (&query, &expected), &about));
            assert_eq!(first, second);
            *seen.entry(first).or_insert(0) += 1;
        }
        round.end();
    }
    seen
}

#[test]
fn explain_a_launch_and_cedar_decide_the_same() {
    let rounds = rounds(12, 2_000);
    let parts = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = parts.min(rounds / 10) as u64;
    let each = rounds.div_ceil(parts as usize);
    let seen = std::thread::scope(|scope| {
        let started: Vec<_> = (0..parts)
            .map(|part| scope.spawn(move || compare(each, 0x9E37_79B9_7F4A_7C15 + part)))
            .collect();
        let mut seen = Counts::new();
        for part in started {
            for (what, count) in part.join().expect("each part agrees") {
                *seen.entry(what).or_insert(0) += count;
            }
        }
        seen
    });
    // Else the cases show nothing.
    assert!(
        seen.len() == 5 && seen.values().all(|count| *count >= 3),
        "{seen:?}"
    );
    println!("{seen:?}");
}
