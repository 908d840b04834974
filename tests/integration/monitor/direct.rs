//! `audit.direct`: the launcher feeds its sinks itself, and delivers nothing that they have not confirmed.

use super::fake::Collector;
use super::{MANIFEST, VALUE, again, json, lines};
use crate::harness::{Hushpipe, Output};

fn direct(port: u16, required: bool) -> Hushpipe {
    let hushpipe = Hushpipe::new().manifest(MANIFEST).file("s/db", VALUE);
    let text = format!(
        "version: 1\naudit:\n  required: {required}\n  direct: true\n  directory: \"{{place}}/log\"\n  key_file: \
         \"{{place}}/audit.key\"\n  sinks: [{{ http: {{ url: 'http://127.0.0.1:{port}/', format: json }} \
         }}]\nmonitor: {{ directory: \"{{place}}/positions\" }}\n"
    );
    let text = hushpipe.place().fill(&text);
    hushpipe
        .file("site.yaml", text)
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
        .controlled()
}

/// The numbers of the records that came.
fn came(collector: &Collector) -> Vec<u64> {
    let posted = collector.posted();
    let rows = posted
        .iter()
        .flat_map(|one| json(&one.body).as_array().unwrap().clone());
    rows.map(|row| row["record"]["seq"].as_u64().unwrap())
        .collect()
}

/// The program says that it runs.
fn launch(hushpipe: Hushpipe) -> Output {
    hushpipe.args(["run", "--", "echo", "delivered"]).run()
}

#[test]
fn every_record_is_with_the_sink_when_the_launcher_has_ended() {
    let collector = Collector::start(&[200]);
    let output = launch(direct(collector.port, true))
        .success()
        .stdout_has("delivered");
    let all = lines(output.place()).len() as u64;
    assert_eq!(came(&collector), (0..all).collect::<Vec<_>>());
    let output = again(output).args(["run", "--", "true"]).run().success();
    let more = lines(output.place()).len() as u64;
    assert_eq!(came(&collector), (0..more).collect::<Vec<_>>());
    // Its positions are the launchers'.
    assert!(
        !collector
            .posted()
            .iter()
            .any(|one| one.body.contains(VALUE))
    );
}

#[test]
fn nothing_is_delivered_that_the_sink_has_not_confirmed() {
    let collector = Collector::start(&[500]);
    let output = launch(direct(collector.port, true)).code(75);
    let output = output
        .stderr_has("has not confirmed it")
        .stderr_has("status 500");
    assert_eq!(output.stdout(), "");
    // It is on record all the same.
    assert!(
        lines(output.place())
            .iter()
            .any(|line| line.contains("\"kind\":\"release\""))
    );
}

#[test]
fn without_required_it_is_said_and_the_records_wait() {
    let collector = Collector::start(&[500]);
    let output = launch(direct(collector.port, false))
        .success()
        .stdout_has("delivered");
    let output = output.stderr_has("the audit log is not sent");
    let back = Collector::start(&[200]);
    let text = output.place().read("site.yaml");
    let text = text.replace(&collector.port.to_string(), &back.port.to_string());
    let output = again(output).file("site.yaml", text);
    let output = output.args(["run", "--", "true"]).run().success();
    assert_eq!(came(&back).len(), lines(output.place()).len());
}
