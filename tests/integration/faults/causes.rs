//! What is wrong with a store may change while it lasts.

use serde_json::json;

use super::{Life, is_told, is_well};
use crate::harness::{Bao, Wire};

/// What `status` says of the store becomes this.
fn comes_to(life: &Life, text: &str) {
    life.running.until(text, || {
        let status = life.running.status();
        let message = status["outages"][0]["message"].as_str()?;
        message.contains(text).then_some(())
    });
}

#[test]
fn the_last_cause_of_an_outage_is_shown_and_the_first_one_logged() {
    let mut life = Life::start(Bao::settings().manual().start());
    life.takes_note();
    life.bao.seal();
    comes_to(&life, "sealed");
    life.proxy.set(Wire::Refuse);
    comes_to(&life, "refused");
    life.proxy.set(Wire::Good);
    comes_to(&life, "sealed");
    is_told(&life.running, "sealed");
    life.bears("sealed");
    life.bao.unseal();
    life.bao.kv_put("app", &json!({ "value": "two" }));
    life.running.wait_for_line("two");
    life.running.wait_for_stderr("store bao answers again");
    is_well(&life.running);
}
