//! `hushpipe graph`, `blast` and `unused`: of directories, archives and streams, of what others wrote, and as a
//! page in a browser.

#[allow(dead_code, reason = "of the fleet the graph's own tests use more")]
#[path = "../inventory/fleet.rs"]
mod fleet;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Hushpipe, Output, canary::Canary};
use fleet::Fleet;

const SMALL: Fleet = Fleet {
    hosts: 4,
    secrets: 60,
};

/// With the values that no output may have.
fn manifest(value: &str) -> String {
    format!(
        "version: 1\nservice: shop\nenvironment: production\nowner: payments\nstores:\n  files: {{ type: directory, path: /srv }}\nsecrets:\n  db: {{ store: files, key: shop/db, max_age: 30d }}\ndeliver:\n  - {{ file: /run/shop/db, content: \"{{{{ db }}}} {value}\" }}\nrun:\n  command: [/usr/bin/shop, --token={value}]\n  env: {{ set: {{ TOKEN: \"{value}\" }} }}\n"
    )
}

/// A fleet's directory: logs, a manifest, a scan, and what is none of them. Values where others may have put
/// them: in members that no record has, in a manifest, in lines that are damaged.
fn collected(value: &str) -> Hushpipe {
    let hushpipe = (0..SMALL.hosts).fold(Hushpipe::new(), |hushpipe, host| {
        let log = SMALL.log(host);
        let log = log.replacen(r#""pid":7"#, &format!(r#""pid":7,"value":"{value}""#), 1);
        let name = Fleet::host(host);
        hushpipe.file(&format!("fleet/{name}/log/records.jsonl"), log)
    });
    let scan = format!(
        r#"{{"version":1,"host":"host-001","time":"2026-02-01T00:00:00Z","paths":["/srv"],"value":"{value}","findings":[{{"rule":"known","title":"a value of the store","severity":"high","path":"/srv/.env","line":3,"value":"{value}","known":["{}"],"fingerprint":"f"}}]}}"#,
        Fleet::secret(10)
    );
    hushpipe
        .file("fleet/host-000/hushpipe.yaml", manifest(value))
        .file("fleet/host-000/compose.yaml", format!("x: {value}\n"))
        .file("fleet/host-001/scan.json", scan)
        .file(
            "fleet/host-002/bad.jsonl",
            format!("{value}\n{{\"kind\":\"{value}\n"),
        )
        .file("fleet/host-003/tile/0/000", "binary")
}

fn run(hushpipe: Hushpipe, arguments: &[&str]) -> Output {
    hushpipe.args(arguments.to_vec()).run()
}

fn parsed(output: &Output) -> Value {
    serde_json::from_str(&output.stdout()).expect("it is JSON")
}

#[test]
fn no_output_has_a_value_and_all_ways_in_give_the_same_graph() {
    let canary = Canary::new("in the inputs");
    // Without quotes: in JSON and YAML it is one.
    let value: String = canary
        .value()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let canary = Canary::of("in the inputs", &value);
    let mut hushpipe = collected(&value);
    let mut graphs = Vec::new();
    for arguments in [
        &["graph", "--json", "{place}/fleet"][..],
        &["graph", "{place}/fleet"],
        &["graph", "--dot", "{place}/fleet"],
        &["graph", "--html", "{place}/fleet"],
        &["blast", "team-01/secret-00010", "{place}/fleet"],
        &["blast", "--json", "shop/db", "{place}/fleet"],
        &["unused", "--days", "1", "{place}/fleet"],
        &["unused", "--json", "{place}/fleet"],
    ] {
        let output = run(hushpipe, arguments);
        let output = output.code(0);
        let (stdout, stderr) = (output.stdout(), output.stderr());
        let all = format!("{stdout}{stderr}");
        for form in canary.forms() {
            let is_there = memchr::memmem::find(all.as_bytes(), &form.bytes).is_some();
            assert!(!is_there, "{} in {arguments:?}", form.name);
        }
        assert!(stderr.contains("2 lines are no records"), "{stderr}");
        assert!(!stderr.contains("compose.yaml"), "{stderr}");
        if arguments[1] == "--json" && arguments[0] == "graph" {
            graphs.push(stdout);
        }
        hushpipe = output.again();
    }
    let graph: Value = serde_json::from_str(&graphs[0]).expect("it is JSON");
    assert_eq!(
        graph["secrets"].as_array().map(Vec::len),
        Some(SMALL.secrets + 1)
    );
    assert_eq!(
        graph["findings"][0]["secrets"].as_array().map(Vec::len),
        Some(1)
    );
    let hosts = graph["hosts"].as_array().expect("a list");
    assert_eq!(hosts.len(), SMALL.hosts);

    let place = hushpipe.place().path().to_owned();
    let tar = |arguments: &[&str]| {
        let done = Command::new("tar")
            .current_dir(&place)
            .args(arguments)
            .status();
        assert!(done.expect("tar can be started").success());
    };
    tar(&["-cf", "fleet.tar", "fleet"]);
    tar(&["-czf", "fleet.tar.gz", "-C", "fleet", "."]);
    for path in ["{place}/fleet.tar", "{place}/fleet.tar.gz"] {
        let output = run(hushpipe, &["graph", "--json", path]);
        let output = output.code(0);
        assert!(parsed(&output) == graph, "{path}");
        hushpipe = output.again();
    }
    // Records alone, as a stream; and each twice, as a sink may have sent them.
    let logs: String = (0..SMALL.hosts).map(|host| SMALL.log(host)).collect();
    let output = run(hushpipe.stdin(logs.repeat(2)), &["graph", "--json", "-"]);
    let streamed = parsed(&output);
    assert_eq!(streamed["duplicates"], streamed["records"]);
    assert_eq!(
        streamed["shared"].as_array().map(Vec::len),
        graph["shared"].as_array().map(Vec::len)
    );
}

#[test]
fn what_cannot_be_read_is_said_and_links_lead_nowhere() {
    for (arguments, code, said) in [
        (&["graph"][..], 64, "name directories, archives or files"),
        (&["graph", "{place}/none"], 66, "cannot read"),
        (
            &["graph", "--json", "--dot", "{place}"],
            64,
            "cannot be used with",
        ),
        (&["graph", "--at", "soon", "{place}"], 64, "expected a time"),
        (
            &["blast", "db", "{place}/in"],
            1,
            "no record and no manifest has the secret db",
        ),
        (&["unused", "--days", "x", "{place}"], 64, "--days"),
    ] {
        let hushpipe = Hushpipe::new().directory("in");
        let output = run(hushpipe, arguments);
        let output = output.code(code);
        assert!(output.stderr().contains(said), "{}", output.stderr());
    }
    let hushpipe = Hushpipe::new()
        .file("outside/records.jsonl", SMALL.log(0))
        .file("in/cut.tar", "ustar")
        .file("in/site.yaml", "version: 7\n")
        .file("in/hushpipe.yaml", "stores:\nsecrets:\n  s3cr3t-text: [\n")
        .file(
            "in/long.jsonl",
            format!("{}\n{}", "x".repeat(5 << 20), SMALL.log(1)),
        )
        .file("in/scan.json", "{ }");
    let place = hushpipe.place().path().to_owned();
    for (to, link) in [
        ("outside", "in/d"),
        ("outside/records.jsonl", "in/l.jsonl"),
        (".", "in/loop"),
    ] {
        std::os::unix::fs::symlink(place.join(to), place.join(link)).expect("a link can be made");
    }
    let output = run(hushpipe, &["graph", "--json", "{place}/in"]);
    let output = output.code(0);
    let stderr = output.stderr();
    for said in [
        "cut.tar was skipped",
        "site.yaml was skipped: it is no valid site",
        "hushpipe.yaml was skipped: it is no valid manifest",
        "scan.json was skipped",
        "1 lines are no records",
    ] {
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
    assert!(!stderr.contains("s3cr3t"), "{stderr}");
    let graph = parsed(&output);
    assert_eq!(
        graph["hosts"].as_array().map(Vec::len),
        Some(1),
        "a link was followed"
    );
}

#[test]
fn a_page_is_written_for_its_owner_alone() {
    let output = run(
        collected("none-at-all"),
        &[
            "graph",
            "--html",
            "-o",
            "{place}/page.html",
            "{place}/fleet",
        ],
    );
    let output = output.code(0);
    assert_eq!(output.stdout(), "");
    let page = output.place().join("page.html");
    let mode = std::fs::metadata(&page).expect("it is there").permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
    let text = std::fs::read_to_string(&page).expect("it is UTF-8");
    let script = text.rsplit("<script>").next().expect("there is one");
    let script = script.split("</script>").next().expect("it ends");
    let file = page.with_extension("js");
    std::fs::write(&file, script).expect("it can be written");
    let checked = Command::new("node").arg("--check").arg(&file).output();
    let checked = checked.expect("node can be started: tests/install");
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

/// Names that want to be more than names.
fn hostile() -> String {
    let names = [
        "</script><script>window.hit=1</script>",
        "<img src=x onerror=window.hit=1>",
        "\u{202e}gnp.exe",
        "'\"><svg onload=window.hit=1>",
        "__proto__",
        "javascript:window.hit=1",
    ];
    let one = |(seq, name): (usize, &&str)| {
        let name = serde_json::to_string(name).expect("text is JSON");
        format!(
            r#"{{"seq":{seq},"time":"2026-03-01T00:00:00Z","host":{name},"boot":"x","launcher":"{seq:x}","service":{name},"program":{name},"kind":"release","secrets":[{{"name":{name},"store":{name},"asked":{name},"version":{name},"owner":{name},"classification":{name},"deliveries":[{{"kind":"file","place":{name}}}]}}]}}"#
        ) + "\n"
    };
    names.iter().enumerate().map(one).collect()
}

/// Where screenshots go: those of continuous integration are kept.
fn screenshots() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("it is in the target");
    let directory = target.join("screenshots");
    std::fs::create_dir_all(&directory).expect("a directory can be made");
    directory
}

/// Every night; Chromium takes its time.
#[test]
fn a_browser_shows_ten_thousand_secrets_and_sends_nothing() {
    if std::env::var_os("HUSHPIPE_NIGHTLY").is_none() {
        return;
    }
    let fleet = Fleet {
        hosts: 100,
        secrets: 10_000,
    };
    let hushpipe = (0..fleet.hosts).fold(Hushpipe::new(), |hushpipe, host| {
        hushpipe.file(
            &format!("fleet/{}/records.jsonl", Fleet::host(host)),
            fleet.log(host),
        )
    });
    let hushpipe = hushpipe.file("fleet/hostile/records.jsonl", hostile());
    let output = run(
        hushpipe,
        &[
            "graph",
            "--html",
            "-o",
            "{place}/page.html",
            "{place}/fleet",
        ],
    );
    let output = output.code(0);
    let place = output.place();
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inventory/page.mjs");
    let modules = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("it is in the target");
    let done = Command::new("node")
        .arg(driver)
        .arg(place.path().join("page.html"))
        .args([screenshots(), modules.join("tools/npm/node_modules")])
        .arg("2000")
        .output()
        .expect("node can be started: tests/install --nightly");
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{said}");
    assert!(
        done.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// packaging/fleet, in DuckDB: a small fleet, loaded twice. By hand, and with ClickHouse and 100 million records, it
/// is `tests/inventory/warehouse.py --help`.
#[test]
fn the_queries_for_fleets_answer_what_is_true() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inventory/warehouse.py");
    let done = Command::new("python3").arg(script).output();
    let done = done.expect("python3 can be started: tests/install");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(
        said.contains("DuckDB: all answers are as they should be"),
        "{said}"
    );
}
