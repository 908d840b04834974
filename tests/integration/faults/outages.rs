//! The server is not there, or does not answer.

use std::time::Duration;

use serde_json::{Value, json};

use super::{KV, Life, PATIENCE, goes_on, manifest, run};
use crate::harness::{Bao, FaultProxy, Hushpipe, Wire};

#[test]
fn a_server_that_is_down_for_a_while_is_waited_for() {
    let mut life = Life::start(Bao::settings().durable().start());
    life.takes_note();
    life.bao.kill();
    life.suffers("no answer from");
    life.bao.restart();
    life.recovers();
}

#[test]
fn a_server_that_refuses_connections_is_waited_for() {
    let life = Life::start(Bao::start());
    life.takes_note();
    life.proxy.set(Wire::Refuse);
    life.suffers_unseen("refused");
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
    life.suffers("no answer from");
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
    life.suffers("no answer from");
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
    assert!(!life.running.stderr().contains("no answer from"));
}

#[test]
fn a_server_that_is_down_does_not_keep_the_values_of_another_back() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "value": "one" }));
    bao.kv_put("held", &json!({ "value": "one" }));
    let proxy = FaultProxy::start(bao.port());
    let hushpipe = Hushpipe::new();
    let store = |address: &str| bao.store_by_approle_at(hushpipe.place(), address, PATIENCE);
    let stores = format!(
        "{}\n  down: {}",
        store(&bao.address()),
        store(&proxy.address())
    );
    let secrets = format!("{KV} }}\n  held: {{ store: down, path: kv/data/held, refresh: 1s");
    let file = "  - { file: \"{place}/other/held\", secret: held.value }\nisolation:";
    let text = manifest(&stores, &secrets, "{{ it.value }}").replace("isolation:", file);
    let running = run(hushpipe, &text);
    proxy.set(Wire::Refuse);
    running.wait_for_stderr("error: store down");
    bao.kv_put("held", &json!({ "value": "two" }));
    for value in ["two", "three"] {
        bao.kv_put("app", &json!({ "value": value }));
        running.wait_for_line(value);
        goes_on(&running, value);
    }
    let status = running.status();
    assert_eq!(status["outages"][0]["store"], "down", "{status}");
    let held = |status: &Value| status["secrets"][0]["version"].clone();
    assert_eq!(held(&status), "v1", "{status}");
    proxy.set(Wire::Good);
    running.wait_for_stderr("store down answers again");
    running.until("the program has what was held back", || {
        (held(&running.status()) == "v2").then_some(())
    });
    goes_on(&running, "three");
    let said = running.stderr();
    assert_eq!(said.matches("hushpipe: error").count(), 1, "{said}");
}
