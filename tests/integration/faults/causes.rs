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
fn each_cause_of_an_outage_is_logged_once_and_the_last_one_shown() {
    let mut life = Life::start(Bao::settings().manual().start());
    life.takes_note();
    life.bao.seal();
    comes_to(&life, "sealed");
    life.proxy.set(Wire::Refuse);
    comes_to(&life, "refused");
    life.proxy.set(Wire::Good);
    comes_to(&life, "sealed");
    is_told(&life.running, "sealed");
    life.has("one");
    let said = life.running.stderr().split_off(life.said.get());
    let causes = ["sealed", "connection refused", "sealed"];
    assert_eq!(said.lines().count(), causes.len(), "{said}");
    for (line, cause) in said.lines().zip(causes) {
        assert!(line.contains(cause), "{said}");
    }
    life.bao.unseal();
    life.bao.kv_put("app", &json!({ "value": "two" }));
    life.running.wait_for_line("two");
    life.running.wait_for_stderr("store bao answers again");
    is_well(&life.running);
}
