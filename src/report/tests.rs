//! The graph against the truth of a fleet that is made up, and against names that want to be more than names.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Collector, Graph, Moment};
use crate::manifest::{self, Overrides};
use crate::model::rounds;

#[path = "../../tests/inventory/fleet.rs"]
mod fleet;

use fleet::{Fleet, Truth};

fn collect(logs: impl IntoIterator<Item = String>) -> Collector {
    let mut collector = Collector::default();
    for (root, log) in (1..).zip(logs) {
        let origin = collector.origin(root, "");
        for line in log.lines() {
            collector
                .line(origin, line.as_bytes())
                .expect("it is a record");
        }
    }
    collector
}

fn graph(logs: impl IntoIterator<Item = String>) -> Graph {
    collect(logs).finish(None)
}

fn truth(graph: &Graph) -> Truth {
    let one = |it: &super::Use| {
        let secret = &graph.secrets[it.secret as usize];
        (
            secret.environment.clone(),
            graph.store_of(secret).to_owned(),
            secret.name.clone(),
            graph.services[it.service as usize].name.clone(),
            graph.host_of(it).to_owned(),
            graph.program_of(it).to_owned(),
            graph.deliveries[it.delivery as usize].clone(),
            it.running,
        )
    };
    graph.uses.iter().map(one).collect()
}

#[test]
fn the_graph_of_a_fleet_is_its_truth() {
    let fleet = Fleet {
        hosts: rounds(20, 100),
        secrets: rounds(500, 10_000),
    };
    let logs: Vec<String> = (0..fleet.hosts).map(|host| fleet.log(host)).collect();
    let began = Instant::now();
    let found = graph(logs.iter().cloned());
    eprintln!("{} records in {:?}", found.records, began.elapsed());
    assert!(truth(&found) == fleet.truth(), "the graph is not the truth");
    assert_eq!(found.uses.len(), fleet.truth().len());
    assert_eq!(found.secrets.len(), fleet.secrets);
    let name = |at: &u32| found.secrets[*at as usize].name.clone();
    let twins = found.shared.iter().filter(|group| group.whole);
    let twins: BTreeSet<(String, String)> = twins
        .map(|group| {
            assert_eq!(group.environments.len(), 2);
            let mut pair: Vec<String> = group.secrets.iter().map(name).collect();
            pair.sort();
            (pair[0].clone(), pair[1].clone())
        })
        .collect();
    assert_eq!(twins, fleet.twins());
    for secret in &found.secrets {
        assert_eq!((secret.current.as_str(), secret.versions), ("v2", 2));
    }

    // Hosts in another order, and each log twice.
    let again = graph(logs.iter().rev().chain(&logs).cloned());
    assert_eq!(again.duplicates, found.records);
    let text = |graph: &Graph| {
        serde_json::to_string(&(&graph.uses, &graph.secrets, &graph.shared)).unwrap()
    };
    assert_eq!(text(&again), text(&found));
}

/// A record with these members.
fn record(seq: u64, time: &str, launcher: u64, rest: &str) -> String {
    format!(
        r#"{{"seq":{seq},"time":"{time}","host":"web1","boot":"b1","launcher":"{launcher:016x}","pid":1,"uid":0,"service":"shop","program":"/usr/bin/shop",{rest}}}"#
    )
}

fn release(name: &str) -> String {
    format!(
        r#""kind":"release","secrets":[{{"name":{name},"store":"vault","asked":{name},"version":"1","owner":{name}}}],"facts":{{"environment":"production"}}"#
    )
}

#[test]
fn what_runs_is_in_use_however_old() {
    let log = [
        record(0, "2026-01-01T00:00:00Z", 1, &release("\"kept\"")),
        record(1, "2026-01-01T00:00:00Z", 2, &release("\"gone\"")),
        record(2, "2026-01-02T00:00:00Z", 2, r#""kind":"end""#),
        record(3, "2026-01-01T00:00:00Z", 3, &release("\"execed\"")),
        record(
            4,
            "2026-01-02T00:00:00Z",
            3,
            r#""kind":"end","message":"becomes the program""#,
        ),
        record(5, "2026-06-01T00:00:00Z", 4, r#""kind":"start""#),
    ];
    let unused = |graph: &Graph| -> Vec<String> {
        let unused = graph.unused(Duration::from_hours(90 * 24));
        unused
            .iter()
            .map(|one| one.secret.name.to_owned())
            .collect()
    };
    assert_eq!(unused(&graph([log.join("\n")])), ["gone"]);
    // After a reboot nothing of before runs; of a program without a launcher none is seen to end.
    let boot = log[5].replace("\"b1\"", "\"b2\"");
    assert_eq!(
        unused(&graph([log[..5].join("\n"), boot])),
        ["gone", "kept"]
    );
}

#[test]
fn manifests_sites_and_scans_join_the_records_of_their_host() {
    let mut collector = Collector::default();
    let web1 = collector.origin(1, "web1-export");
    let line = record(0, "2026-01-01T00:00:00Z", 1, &release("\"db\""));
    collector.line(web1, line.as_bytes()).unwrap();
    let manifest = "version: 1\nservice: shop\nenvironment: production\nowner: payments\nstores:\n  vault: { type: directory, path: /srv/vault }\nsecrets:\n  db: { store: vault, key: db, max_age: 30d }\n  never: { store: vault, key: never, classification: restricted }\ndeliver:\n  - { file: /run/shop/db, secret: db }\n  - { fd: 3, secret: never }\nrun: { command: [shop] }\n";
    let plan = manifest::parse(
        Path::new("x.yaml"),
        manifest,
        &Overrides::default(),
        &|_| None,
    );
    collector.manifest(web1, &plan.map_err(|error| error.text()).unwrap());
    let scan = br#"{"version":1,"findings":[{"rule":"known","title":"a value of the store","severity":"high","path":"/srv/.env","line":3,"known":["db"],"fingerprint":"f"}]}"#;
    assert!(collector.scan(web1, scan));
    assert!(!collector.scan(web1, b"{}") && !collector.scan(web1, b"no"));
    let graph = collector.finish(Moment::parse("2026-02-01"));
    assert_eq!(graph.hosts.len(), 1, "{:?}", graph.hosts);
    assert_eq!(graph.findings[0].host, "web1");
    let names: Vec<&str> = graph.secrets.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["db", "never"]);
    assert_eq!(graph.flags(), [vec!["found", "overdue"], vec![]]);
    assert_eq!(graph.stores[0].place, "/srv/vault");
    let blast = &graph.blast("vault:db")[0];
    assert_eq!((blast.hits.len(), blast.findings.len()), (1, 1));
    assert!(blast.hits[0].running);
    let never = &graph.blast("never")[0];
    assert!(!never.last.is_known() && never.hits[0].delivery == "fd 3");
    assert!(graph.blast("other:db").is_empty() && graph.blast("d").is_empty());
    let unused = graph.unused(Duration::from_hours(24));
    assert_eq!(unused.len(), 1);
    assert_eq!(
        (unused[0].secret.name, unused[0].owner),
        ("never", "payments")
    );
}

#[test]
fn names_are_names_in_every_output() {
    let hostile = [
        r"</script><script>alert(1)</script>",
        r"<!--<script>",
        r#"" onclick="alert(1)"#,
        "a\u{202e}b\u{2066}c",
        "\u{2028}\u{1b}[2J",
        r#"\"]; x -> y; "\"#,
        "'&amp;<img src=x>",
        "__proto__",
    ];
    let lines = hostile.iter().zip(0..).map(|(name, seq)| {
        let name = serde_json::to_string(name).unwrap();
        record(seq, "2026-01-01T00:00:00Z", seq, &release(&name))
    });
    let lines: Vec<String> = lines.collect();
    let graph = graph([lines.join("\n")]);
    assert_eq!(graph.secrets.len(), hostile.len());
    let mut page = Vec::new();
    graph.page(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    let data = page.split("id=\"data\">").nth(1).unwrap();
    let data = data.split("</script>").next().unwrap();
    assert!(!data.contains(['<', '>', '&']), "markup in the data");
    let parsed: serde_json::Value = serde_json::from_str(data).unwrap();
    let json = serde_json::to_string(&graph).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed["secrets"], whole["secrets"]);
    for text in [&page, &json, &graph.dot()] {
        assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{2028}', '\u{1b}']));
    }
    // Every line of dot is a node, an edge or the frame: no name ended its text.
    for line in graph.dot().lines().skip(3) {
        let is_node = line.starts_with("  ") && line.ends_with(']') && line.contains(" [");
        assert!(is_node || line == "}", "{line}");
    }
}

#[test]
fn what_is_no_record_is_counted_and_changes_nothing() {
    let mut collector = collect([record(0, "2026-01-01T00:00:00Z", 1, &release("\"db\""))]);
    let origin = collector.origin(1, "");
    for line in [
        &b""[..],
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{\"seq\":1,\"kind\":\"release\",\"host\":\"a\"}",
        b"{\"seq\":1,\"kind\":\"release\",\"host\":\"a\",\"time\":\"never\"}",
        br#"{"seq":-1,"kind":"release","host":"a","time":"2026-01-01T00:00:00Z"}"#,
        br#"{"seq":1,"kind":"release","host":"a","time":"2026-01-01T00:00:00Z","secrets":7}"#,
    ] {
        assert!(
            collector.line(origin, line).is_err(),
            "{}",
            line.escape_ascii()
        );
    }
    collector.cut();
    // A kind of a later version, and members that nobody knows.
    let later = br#"{"seq":9,"kind":"teleported","host":"web1","boot":"b1","time":"2026-01-01T00:00:00Z","more":{"value":"s3cr3t"}}"#;
    assert!(collector.line(origin, later).is_ok());
    let graph = collector.finish(None);
    assert_eq!((graph.records, graph.damaged), (2, 10));
    assert!(!serde_json::to_string(&graph).unwrap().contains("s3cr3t"));
}

#[test]
fn a_report_says_what_the_records_show_and_no_more() {
    use super::{Document, Report};
    let nothing = Report::new(&Collector::default().finish(None), None);
    let words = |report: &Report| -> BTreeSet<String> {
        report
            .controls
            .iter()
            .map(|one| one.status.to_string())
            .collect()
    };
    assert_eq!(words(&nothing), BTreeSet::from(["not observed".to_owned()]));
    let fleet = Fleet {
        hosts: 10,
        secrets: 200,
    };
    let logs = || (0..fleet.hosts).map(|host| fleet.log(host));
    let (before, after) = (
        Moment::parse("2026-01-01T01:00:00Z"),
        Moment::parse("2026-03-01"),
    );
    let of = |since: Option<Moment>, until: Option<Moment>| {
        let mut collector = Collector::of_period(since, until);
        let origin = collector.origin(1, "");
        for log in logs() {
            for line in log.lines() {
                collector
                    .line(origin, line.as_bytes())
                    .expect("it is a record");
            }
        }
        collector.finish(until)
    };
    let (earlier, later) = (of(None, before), of(before, after));
    let report = Report::new(&later, Some(&earlier));
    let kpi = |key: &str| {
        let found = report.kpis.iter().find(|one| one.key == key);
        let found = found.unwrap_or_else(|| panic!("{key}"));
        (found.before, found.now)
    };
    // Services are launched one each ten minutes: six have begun, and one is about to.
    assert_eq!(kpi("secrets"), (Some(60), Some(200)));
    assert_eq!(kpi("hosts_without_records").1, Some(0));
    assert_eq!(kpi("crossing").1, Some(2));
    // 20 services on three hosts each, two releases; before: 6 of them.
    assert_eq!(kpi("releases").1, Some(14 * 3 * 2));
    let control = |id: &str| report.controls.iter().find(|one| one.id == id).unwrap();
    let isolation = control("NHI8");
    assert_eq!(isolation.status.to_string(), "not met");
    assert!(!isolation.records.is_empty());
    assert_eq!(control("NHI2").status.to_string(), "not observed");
    assert_eq!(control("NHI10").status.to_string(), "met");
    let document = Document::of(&report);
    let again = Document::of(&Report::new(&of(before, after), Some(&of(None, before))));
    assert_eq!(document.html(), again.html());
    assert_eq!(document.markdown(), again.markdown());
    assert!(document.html().contains("script-src 'none'") && !document.html().contains("<script"));
}

#[test]
fn an_incident_is_contained_by_the_step_that_is_of_none_of_a_playbook() {
    let opened = r#""kind":"incident_opened","incident":{"id":"i1"}"#;
    let step = r#""kind":"incident_step","incident":{"id":"i1","step":"rotate","took_ms":9}"#;
    let over = r#""kind":"incident_step","incident":{"id":"i1","contained_ms":2000}"#;
    let graph = graph([
        record(0, "2026-01-01T00:00:00Z", 1, opened),
        record(1, "2026-01-01T00:00:01Z", 1, step),
        record(2, "2026-01-01T00:00:02Z", 1, over),
    ]);
    let contained = graph.figures.containment.median_and_most();
    assert_eq!(contained, Some((2, 2)));
}

#[test]
fn a_report_escapes_names() {
    use super::{Document, Report};
    let name = r#""</td><script>alert(1)</script>|[x](y)`*""#;
    let graph = graph([record(0, "2026-01-01T00:00:00Z", 1, &release(name))]);
    let document = Document::of(&Report::new(&graph, None));
    assert!(!document.html().contains("<script"), "{}", document.html());
    let markdown = document.markdown();
    let row = markdown
        .lines()
        .find(|line| line.contains("alert"))
        .unwrap();
    assert!(
        !row.contains('<') && row.contains(r"\|\[x\](y)\`\*"),
        "{row}"
    );
}
