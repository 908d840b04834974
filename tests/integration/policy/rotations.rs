//! Policy decides again at every generation.

use serde_json::json;

use super::{PERMIT, decide_anew, files, site};
use crate::harness::Running;

const FORBID: &str = "@id(\"frozen\") forbid (principal, action == Action::\"deliver\", resource) when \
                      { context.occasion == \"rotation\" };\n";
const STOP: &str = "@id(\"gone\") @on_rotation(\"stop\") forbid (principal, action == \
                    Action::\"deliver\", resource);\n";

/// At SIGHUP the program writes what it is delivered.
pub fn start() -> Running {
    site(files("one"), PERMIT, "").controlled().rereads("db")
}

#[test]
fn a_denied_rotation_keeps_what_the_program_has() {
    let running = start();
    decide_anew(running.place(), &(PERMIT.to_owned() + FORBID));
    running.place().write("s/db", "two");
    let said = running.wait_for_stderr("policy denies 1 of 1 secrets to service t");
    assert!(said.contains("policy frozen forbids it"), "{said}");
    assert!(said.contains("the program keeps what it has"), "{said}");
    let status = running.status();
    assert_eq!(
        (&status["generation"], &status["healthy"]),
        (&json!(1), &json!(false))
    );
    let fault = status["last_fault"]["message"].as_str().unwrap().to_owned();
    assert!(fault.contains("policy frozen forbids it"), "{fault}");
    let has = std::fs::read_to_string(running.place().join("run/db"));
    assert!(has.is_err() || has.is_ok_and(|has| has == "one\n"));
    // By command it is denied in the same way.
    let output = running.ask(&["rotate"]);
    assert_eq!(output.status.code(), Some(77));
    // And once policy allows it again, it is delivered.
    decide_anew(running.place(), PERMIT);
    running.rotate("db");
    running.wait_for_line("two");
    assert_eq!(running.status()["healthy"], true);
    running.stop().success();
}

#[test]
fn a_policy_can_take_away_what_a_program_has() {
    let running = start();
    decide_anew(running.place(), &(PERMIT.to_owned() + STOP));
    running.place().write("s/db", "two");
    let output = running.wait().code(77);
    let said = output.stderr();
    assert!(said.contains("policy gone forbids it"), "{said}");
    assert!(said.contains("the program is stopped"), "{said}");
    assert!(!output.place().join("run/db").exists());
}

#[test]
fn policies_that_cannot_be_read_any_more_stay_in_force() {
    let running = start();
    let place = running.place();
    std::fs::rename(place.join("policy.d"), place.join("elsewhere")).expect("it can be moved");
    place.write("s/db", "two");
    running.wait_for_stderr("the last good policies stay in force");
    running.wait_for_line("two");
    running.stop().success();
}
