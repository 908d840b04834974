//! Sinks that are down, and monitors that are killed.

use std::net::TcpListener;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::fake::{Collector, Posted};
use super::{again, json, launched, lines, site};
use crate::harness::ports::free_port;
use crate::harness::{Hushpipe, Output};

fn sink(port: u16) -> String {
    format!("{{ http: {{ url: 'http://127.0.0.1:{port}/', format: json }} }}")
}

/// The numbers of the records that came, and whether they were marked as duplicates.
fn came(posted: &[Posted]) -> Vec<(u64, bool)> {
    let rows = posted.iter().flat_map(|one| match json(&one.body) {
        Value::Array(rows) => rows,
        other => panic!("{other}"),
    });
    rows.map(|row| {
        let seq = row["record"]["seq"].as_u64().unwrap();
        (seq, row["duplicate"].as_bool().unwrap())
    })
    .collect()
}

fn monitor(output: Output) -> Hushpipe {
    again(output).args(["monitor"])
}

#[test]
fn a_sink_that_is_down_gets_everything_once_it_is_back() {
    let port = free_port();
    let output = launched(&sink(port));
    let log = output.place().path().display().to_string();
    let running = monitor(output).spawn();
    let said = running.wait_for_stderr("warning: sink http http://127.0.0.1");
    assert!(said.contains("connection refused"), "{said}");
    // Records that come meanwhile wait.
    let beside = Hushpipe::new()
        .manifest(super::MANIFEST)
        .file("s/db", "x")
        .controlled();
    let beside = beside.env("HUSHPIPE_SITE", format!("{log}/site.yaml"));
    beside.args(["run", "--", "true"]).run().success();
    let collector = Collector::at(TcpListener::bind(("127.0.0.1", port)).unwrap(), &[200]);
    running.wait_for_stderr("it takes records again");
    let wanted = lines(running.place()).len() as u64;
    assert_eq!(wanted, 8);
    running.until("all have come", || {
        (came(&collector.posted()).len() == 8).then_some(())
    });
    let numbers: Vec<u64> = came(&collector.posted())
        .iter()
        .map(|(seq, _)| *seq)
        .collect();
    assert_eq!(numbers, (0..wanted).collect::<Vec<_>>());
    running.signal(Signal::SIGTERM);
    running.wait().success();
}

#[test]
fn what_was_not_confirmed_comes_again_and_is_marked() {
    let collector = Collector::start(&[500, 200]);
    let output = launched(&sink(collector.port));
    let running = monitor(output).spawn();
    let said = running.wait_for_stderr("status 500: the server failed");
    assert!(said.contains("records wait in the log"), "{said}");
    let came = came(&collector.wait(2));
    let once: Vec<(u64, bool)> = (0..4).map(|seq| (seq, false)).collect();
    let twice = (0..4).map(|seq| (seq, true));
    assert_eq!(came, once.into_iter().chain(twice).collect::<Vec<_>>());
    running.signal(Signal::SIGTERM);
    running.wait().success();
}

#[test]
fn a_monitor_that_was_killed_goes_on_where_it_was() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let output = launched(&sink(port));
    let running = monitor(output).spawn();
    // It has sent, and was not answered.
    let (stream, _) = held.accept().unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(&mut &stream, &mut byte).unwrap();
    running.until("it was written that they are tried", || {
        let entries = running.place().join("monitor").read_dir().ok()?;
        let texts = entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let found = texts.filter(|text| text.contains("\"tried\":4")).count();
        (found == 1).then_some(())
    });
    running.signal(Signal::SIGKILL);
    let output = running.wait();
    drop((stream, held));
    let collector = Collector::at(TcpListener::bind(("127.0.0.1", port)).unwrap(), &[200]);
    let output = again(output).args(["run", "--", "true"]).run().success();
    again(output).args(["monitor", "--once"]).run().success();
    let wanted: Vec<(u64, bool)> = (0..8).map(|seq| (seq, seq < 4)).collect();
    assert_eq!(came(&collector.posted()), wanted);
}

#[test]
fn a_log_that_begins_anew_is_reported() {
    let collector = Collector::start(&[200]);
    let output = launched(&sink(collector.port));
    let output = again(output).args(["monitor", "--once"]).run().success();
    std::fs::remove_dir_all(output.place().join("log")).unwrap();
    let hushpipe =
        site(again(output), &sink(collector.port)).manifest("version: 1\nservice: other\n");
    let output = hushpipe.args(["run", "--", "true"]).run().success();
    let output = again(output).args(["monitor", "--once"]).run().code(1);
    let output = output.stderr_has("error: sink http");
    output.stderr_has("it was replaced or cut off");
    assert!(came(&collector.posted()).len() > 4);
}
