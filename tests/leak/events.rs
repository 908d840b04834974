//! Events: what they say of secrets is names, versions and kinds.

use serde_json::Value;

use super::deliveries::canaries;
use super::rotations::{DELIVER, NAMES, SIGNAL};
use super::scan::Scan;
use super::stocked::{Kind, Stocked};
use crate::harness::Hushpipe;

/// A launch, a rotation and a rollback, with every event there is in the log.
fn says_nothing_of_values(kind: Kind) {
    let mut all = canaries(NAMES);
    let (stocked, hushpipe) = Stocked::new(kind, Hushpipe::new().directory("run"), &all);
    let text = stocked.manifest(hushpipe.place(), NAMES, &format!("{DELIVER}{SIGNAL}"));
    let hushpipe = hushpipe.manifest(&text);
    let running = hushpipe
        .args(["--log-format", "json", "run", "-vvv"])
        .spawn();
    running.wait_for_line("ready");
    stocked.rotate_and_roll_back(&running, &mut all);
    let log = running.stop().success().stderr();
    assert_eq!(Scan::new(&all).bytes("the log", log.as_bytes()), [""; 0]);
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events: Vec<Value> = events.collect();
    let of = |name: &'static str| events.iter().filter(move |event| event["event"] == name);
    for asked in of("store_asked") {
        assert_eq!(
            (&asked["store"], &asked["outcome"]),
            (&"it".into(), &"answered".into())
        );
    }
    assert!(of("store_asked").count() >= 3, "{log}");
    let first = of("delivered").filter(|event| event["generation"] == 1);
    let mut first: Vec<&str> = first.filter_map(|event| event["secret"].as_str()).collect();
    first.sort_unstable();
    let mut names = NAMES.to_vec();
    names.sort_unstable();
    assert_eq!(first, names, "{log}");
    let numbers: Vec<u64> = events
        .iter()
        .filter_map(|event| event["seq"].as_u64())
        .collect();
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "each event has the next number");
}

#[test]
fn events_of_a_sealed_store_say_nothing_of_values() {
    says_nothing_of_values(Kind::Sealed);
}

#[test]
fn events_of_a_vault_say_nothing_of_values() {
    says_nothing_of_values(Kind::Vault);
}
