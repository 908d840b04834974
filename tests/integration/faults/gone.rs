//! What was given is there no more.

use serde_json::json;

use super::{Life, goes_on, is_well};
use crate::harness::Bao;

#[test]
fn a_secret_that_was_deleted_is_kept() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.bao.kv_delete("app");
    life.suffers("kv/data/app");
    life.recovers();
}

#[test]
fn a_secret_that_was_removed_with_all_its_versions_is_kept() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.bao.kv_remove("app");
    life.suffers("kv/data/app");
    life.recovers();
}

#[test]
fn a_secret_that_was_deleted_is_taken_up_when_it_is_back() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.bao.kv_delete("app");
    life.suffers("kv/data/app");
    life.bao.kv_undelete("app", 1);
    life.running.wait_for_stderr("store bao answers again");
    life.has("one");
}

#[test]
fn a_version_that_was_destroyed_is_kept() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.bao.kv_destroy("app", 1);
    life.suffers("kv/data/app");
    life.recovers();
}

#[test]
fn a_value_whose_field_is_gone_is_not_handed_over() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.bao.kv_put("app", &json!({ "other": "two" }));
    life.running.wait_for_stderr("value");
    life.is_tried_again();
    life.has("one");
    let said = life.running.stderr().split_off(life.said.get());
    assert_eq!(said.lines().count(), 1, "{said}");
    let status = life.running.status();
    assert_eq!(status["healthy"], false, "{status}");
    let fault = status["last_fault"]["message"].as_str().unwrap_or_default();
    assert!(fault.contains("value"), "{status}");
    life.bao.kv_put("app", &json!({ "value": "three" }));
    life.running.wait_for_line("three");
    goes_on(&life.running, "three");
    is_well(&life.running);
}
