//! Prometheus and Alertmanager as Debian has them: the one scrapes a monitor and alerts, the other gets an alert.
//! `tests/install --nightly` installs them.

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{again, json, launched};
use crate::harness::ports::free_port;
use crate::harness::server::Server;
use crate::harness::{Hushpipe, is_long, wait_until};

/// Whether a program is there, as it is in a nightly run.
fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(found || !is_long(), "a nightly run has {program}");
    found
}

fn get(url: &str) -> Option<Value> {
    let output = Command::new("curl").args(["-sf", url]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| json(&text))
}

/// A launch that policy denies: its policies permit nothing.
fn denied(place: &str) {
    let hushpipe = Hushpipe::new()
        .manifest(super::MANIFEST)
        .file("s/db", super::VALUE);
    let hushpipe = hushpipe
        .controlled()
        .env("HUSHPIPE_SITE", format!("{place}/site.yaml"));
    hushpipe.args(["run", "--", "true"]).run().code(77);
}

#[test]
fn alertmanager_takes_an_alert() {
    if !is_there("prometheus-alertmanager") {
        return;
    }
    let port = free_port();
    let output = launched("");
    let place = output.place();
    place.write(
        "alertmanager.yml",
        "route: { receiver: none }\nreceivers: [{ name: none }]\n",
    );
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let words = [
        "prometheus-alertmanager",
        "--config.file=alertmanager.yml",
        "--storage.path=alertmanager",
        "--cluster.listen-address=",
        &listen,
    ];
    let mut server = Server::start(&words, &place.join("alertmanager.log"), place.path());
    let url = format!("http://127.0.0.1:{port}");
    let ready = || get(&format!("{url}/api/v2/status"));
    wait_until(ready).unwrap_or_else(|| panic!("{}", server.log()));
    let text = place.read("site.yaml")
        + &format!(
            "policy: {{ directory: \"{}\" }}\nalerts:\n  rules: [{{ on: denied }}]\n  notify: [{{ alertmanager: {{ \
             url: '{url}' }} }}]\n",
            place.join("policy.d").display()
        );
    let hushpipe = again(output)
        .file("site.yaml", text)
        .file("policy.d/none.cedar", "");
    let output = hushpipe.args(["monitor", "--once"]).run().success();
    denied(&output.place().path().display().to_string());
    again(output).args(["monitor", "--once"]).run().success();
    let alerts =
        wait_until(|| get(&format!("{url}/api/v2/alerts")).filter(|all| !all[0].is_null()));
    let alerts = alerts.unwrap_or_else(|| panic!("{}", server.log()));
    assert_eq!(
        alerts[0]["labels"]["alertname"], "HushpipeDenied",
        "{alerts}"
    );
    assert_eq!(alerts[0]["labels"]["service"], "shop");
    assert_eq!(alerts[0]["status"]["state"], "active");
    server.stop(Signal::SIGTERM);
}

#[test]
fn prometheus_scrapes_a_monitor_and_an_alert_fires() {
    if !is_there("prometheus") {
        return;
    }
    let (port, scraped) = (free_port(), free_port());
    let output = launched("");
    let place = output.place();
    let rules = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/packaging/prometheus/hushpipe.rules.yml"
    );
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{rules}']\nscrape_configs:\n  - \
         job_name: hushpipe\n    static_configs: [{{ targets: ['127.0.0.1:{scraped}'] }}]\n"
    );
    place.write("prometheus.yml", config);
    let text = place.read("site.yaml")
        + &format!(
            "policy: {{ directory: \"{}\" }}\nmetrics: {{ listen: '127.0.0.1:{scraped}' }}\n",
            place.join("policy.d").display()
        );
    let hushpipe = again(output)
        .file("site.yaml", text)
        .file("policy.d/none.cedar", "");
    let running = hushpipe.args(["monitor"]).spawn();
    let place = running.place();
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let words = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=tsdb",
        &listen,
    ];
    let mut server = Server::start(&words, &place.join("prometheus.log"), place.path());
    let url = format!("http://127.0.0.1:{port}/api/v1");
    let size = || {
        let answer = get(&format!("{url}/query?query=hushpipe_audit_size"))?;
        (!answer["data"]["result"][0].is_null()).then_some(())
    };
    wait_until(size).unwrap_or_else(|| panic!("{}", server.log()));
    denied(&place.path().display().to_string());
    let fires = || {
        let answer = get(&format!("{url}/alerts"))?;
        let alerts = answer["data"]["alerts"].as_array()?.clone();
        alerts
            .into_iter()
            .find(|one| one["labels"]["alertname"] == "HushpipePolicyViolations")
    };
    let alert = wait_until(fires).unwrap_or_else(|| panic!("{}", server.log()));
    assert_eq!(alert["labels"]["service"], "shop", "{alert}");
    assert_eq!(alert["state"], "firing", "{alert}");
    server.stop(Signal::SIGTERM);
    running.signal(Signal::SIGTERM);
    running.wait().success();
}
