//! The server is not there, or does not answer.

use std::time::Duration;

use serde_json::json;

use super::Life;
use crate::harness::{Bao, Wire};

#[test]
fn a_server_that_is_down_for_a_while_is_waited_for() {
    let mut life = Life::start(Bao::settings().durable().start());
    life.takes_note();
    life.bao.kill();
    life.suffers("gives no answer");
    life.bao.restart();
    life.recovers();
}

#[test]
fn a_server_that_refuses_connections_is_waited_for() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.proxy.set(Wire::Refuse);
    life.running.wait_for_stderr("gives no answer");
    life.bears("refused");
    life.proxy.set(Wire::Good);
    life.recovers();
}

#[test]
fn a_sealed_server_is_waited_for() {
    let mut life = Life::start(Bao::settings().manual().start());
    life.takes_note();
    life.bao.seal();
    life.suffers("sealed");
    life.bao.unseal();
    life.recovers();
}

#[test]
fn a_frozen_server_is_waited_for() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.bao.freeze();
    life.suffers("no answer");
    life.bao.thaw();
    life.recovers();
}

#[test]
fn a_wire_that_takes_everything_and_gives_nothing_is_waited_for() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.proxy.set(Wire::BlackHole);
    life.suffers("no answer");
    life.proxy.set(Wire::Good);
    life.recovers();
}

#[test]
fn bytes_that_come_too_slowly_are_not_waited_for_for_ever() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.proxy.set(Wire::Trickle(Duration::from_millis(50)));
    life.suffers("no answer");
    life.proxy.set(Wire::Good);
    life.recovers();
}

#[test]
fn a_connection_that_is_cut_before_it_is_made_is_made_again() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.proxy.set(Wire::CutAfter(500));
    life.suffers("gives no answer");
    life.proxy.set(Wire::Good);
    life.recovers();
}

#[test]
fn half_a_value_is_never_handed_over() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.proxy.set(Wire::CutAfter(20_000));
    let long = "x".repeat(200_000);
    life.bao.kv_put("app", &json!({ "value": long }));
    life.suffers("gives no answer");
    life.proxy.set(Wire::Good);
    life.recovers();
}

#[test]
fn a_slow_wire_is_no_fault() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.proxy.set(Wire::Delay(Duration::from_millis(50)));
    life.bao.kv_put("app", &json!({ "value": "two" }));
    life.running.wait_for_line("two");
    assert!(!life.running.stderr().contains("gives no answer"));
}
