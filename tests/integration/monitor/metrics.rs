//! The monitor's metrics, by each of their ways.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use nix::sys::signal::Signal;

use super::fake::Collector;
use super::{again, json, launched};
use crate::harness::ports::free_port;

/// What a scrape gets, with its head.
fn scrape(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn metrics_are_scraped_written_and_pushed() {
    let collector = Collector::start(&[200]);
    let (port, url) = (free_port(), format!("http://127.0.0.1:{}", collector.port));
    let output = launched("");
    let text = output.place().read("site.yaml")
        + &output.place().fill(&format!(
            "metrics: {{ listen: '127.0.0.1:{port}', textfile: '{{place}}/text', otlp: {{ url: '{url}', every: \
             1s }} }}\n"
        ));
    let hushpipe = again(output).file("site.yaml", text).directory("text");
    let running = hushpipe.args(["monitor"]).spawn();
    let first = running.until("it is scraped", || scrape(port, "/metrics"));
    assert!(
        first.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{first}"
    );
    assert!(first.ends_with("# EOF\n"), "{first}");
    let launch = "hushpipe_audit_records_total{service=\"shop\",kind=\"release\"} 1";
    // What was there before is not counted; a launch is.
    assert!(!first.contains(launch), "{first}");
    let place = running.place().path().display().to_string();
    let beside = crate::harness::Hushpipe::new()
        .manifest(super::MANIFEST)
        .file("s/db", "x");
    let beside = beside
        .controlled()
        .env("HUSHPIPE_SITE", format!("{place}/site.yaml"));
    beside.args(["run", "--", "true"]).run().success();
    running.until("the launch is counted", || {
        scrape(port, "/metrics")
            .filter(|text| text.contains(launch) && text.contains("hushpipe_audit_size 8\n"))
    });
    assert!(scrape(port, "/").unwrap().starts_with("HTTP/1.1 404"));
    let written = running.place().read("text/hushpipe.prom");
    assert!(
        written.contains("# TYPE hushpipe_audit_failures_total counter\n"),
        "{written}"
    );
    let posted = collector.wait(1);
    assert!(
        posted[0].head.starts_with("POST /v1/metrics "),
        "{}",
        posted[0].head
    );
    let pushed = json(&posted[0].body);
    let metrics = &pushed["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    assert!(
        metrics
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["name"] == "hushpipe_audit_size")
    );
    running.signal(Signal::SIGTERM);
    running.wait().success();
}
