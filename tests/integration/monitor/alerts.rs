//! Alerts: rules of a site, and what receivers get.

use nix::sys::signal::Signal;
use serde_json::Value;

use super::fake::Collector;
use super::{VALUE, again, json, launched};
use crate::harness::{Hushpipe, Output};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A launched host whose monitor notifies this port of a second sort of readers, and of releases at all.
fn alerting(port: u16) -> Output {
    let output = launched("");
    let text = output.place().read("site.yaml")
        + &output.place().fill(&format!(
            "alerts:\n  resolve: 1s\n  rules:\n    - {{ on: rate, more_than: 0 }}\n    - {{ on: new_reader, \
             learn: 1ms }}\n  notify:\n    - webhook: {{ url: 'http://127.0.0.1:{port}/hook', key_file: \
             '{{place}}/key' }}\n"
        ));
    let output = again(output).file("site.yaml", text).file("key", KEY);
    // What is there before the first start is learnt alone.
    output.args(["monitor", "--once"]).run().success()
}

/// Another launch under that site, by a service.
fn launch(place: &str, service: &str) {
    let manifest = super::MANIFEST.replace("service: shop", &format!("service: {service}"));
    let beside = Hushpipe::new()
        .manifest(&manifest)
        .file("s/db", VALUE)
        .controlled();
    let beside = beside.env("HUSHPIPE_SITE", format!("{place}/site.yaml"));
    beside.args(["run", "--", "true"]).run().success();
}

fn bodies(collector: &Collector, count: usize) -> Vec<Value> {
    collector
        .wait(count)
        .iter()
        .map(|one| json(&one.body))
        .collect()
}

#[test]
fn a_webhook_is_notified_once_signed_and_when_it_is_over() {
    let collector = Collector::start(&[200]);
    let output = alerting(collector.port);
    assert_eq!(collector.posted().len(), 0);
    let place = output.place().path().display().to_string();
    let running = again(output).args(["monitor"]).spawn();
    launch(&place, "shop");
    running
        .wait_for_stderr("alert rate: more than 0 records such as release within 1m: service shop");
    let posted = bodies(&collector, 2);
    assert_eq!(posted[0]["status"], "firing");
    assert_eq!(
        posted[0]["labels"],
        serde_json::json!({ "service": "shop" })
    );
    assert_eq!(posted[0]["count"], 1);
    assert_eq!(posted[0]["records"]["first"], posted[0]["records"]["last"]);
    assert_eq!(posted[1]["status"], "resolved");
    let head = collector.posted()[0].head.to_ascii_lowercase();
    for wanted in [
        "post /hook ",
        "webhook-id: msg_",
        "webhook-timestamp: ",
        "webhook-signature: v1,",
    ] {
        assert!(head.contains(wanted), "{head}");
    }
    // A service that never read it before.
    launch(&place, "thief");
    let said = running.wait_for_stderr("alert new_reader: new reader of secret db: service thief");
    assert!(!said.contains(VALUE));
    let posted = bodies(&collector, 4);
    assert!(
        posted[2..].iter().any(|one| one["on"] == "new_reader"),
        "{posted:?}"
    );
    running.signal(Signal::SIGTERM);
    let output = running.wait().success();
    let kept = output.place().read("monitor/alerts.json");
    assert!(
        kept.contains("\"new_reader\"") && !kept.contains(VALUE),
        "{kept}"
    );
}

#[test]
fn what_came_while_the_monitor_was_down_is_seen_later() {
    let collector = Collector::start(&[500, 200]);
    let output = alerting(collector.port);
    let place = output.place().path().display().to_string();
    launch(&place, "shop");
    let failed = again(output).args(["monitor", "--once"]).run();
    let failed = failed.code(69).stderr_has("webhook http://127.0.0.1");
    // It is sent later; the alert itself was on the disk.
    let running = again(failed).args(["monitor"]).spawn();
    let posted = bodies(&collector, 2);
    assert_eq!(
        (&posted[0]["summary"], posted[1]["count"].as_u64()),
        (&posted[1]["summary"], Some(1))
    );
    running.signal(Signal::SIGTERM);
    running.wait().success();
}

#[test]
fn alertmanager_gets_its_own_api() {
    let collector = Collector::start(&[200]);
    let output = alerting(collector.port);
    let place = output.place().path().display().to_string();
    let text = output.place().read("site.yaml");
    let (before, _) = text.split_once("    - webhook").unwrap();
    let text = format!(
        "{before}    - alertmanager: {{ url: 'http://127.0.0.1:{}' }}\n",
        collector.port
    );
    launch(&place, "shop");
    let output = again(output).file("site.yaml", text);
    output.args(["monitor", "--once"]).run().success();
    let posted = collector.wait(1);
    assert!(
        posted[0].head.starts_with("POST /api/v2/alerts "),
        "{}",
        posted[0].head
    );
    let alerts = json(&posted[0].body);
    assert_eq!(alerts[0]["labels"]["alertname"], "HushpipeRate");
    assert_eq!(alerts[0]["labels"]["service"], "shop");
    let (starts, ends) = (&alerts[0]["startsAt"], &alerts[0]["endsAt"]);
    assert!(starts.as_str() < ends.as_str(), "{alerts}");
}
