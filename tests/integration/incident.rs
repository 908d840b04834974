//! `hushpipe incident`: a leaked secret is replaced where it is, and refused elsewhere.

use std::io::Write as _;

use serde_json::Value;

use crate::harness::{Hushpipe, Output, Running};

const OLD: &str = "correct-horse-battery";
const NEW: &str = "staple-of-another-sort";

/// A service whose program sends what it has to standard output at each HUP.
fn manifest(service: &str) -> String {
    format!(
        "version: 1\nservice: {service}\nstores: {{ s: {{ type: directory, path: \"{{place}}/s\" }} }}\nsecrets: {{ \
         db: {{ store: s, key: db, classification: restricted, refresh: 1h }} }}\ndeliver: [{{ file: \
         \"{{place}}/run/db\", secret: db }}]\nrun: {{ command: [sh, -c, 'trap \"cat {{place}}/run/db; echo\" HUP; echo up; while :; do \
         sleep 0.05; done'] }}\non_rotate: {{ do: signal, signal: HUP }}\n"
    )
}

fn site(hushpipe: Hushpipe, playbook: &str) -> Hushpipe {
    let text = format!(
        "version: 1\naudit:\n  directory: \"{{place}}/log\"\n  key_file: \"{{place}}/audit.key\"\n  \
         fingerprint_key_file: \"{{place}}/fingerprint.key\"\nmonitor: {{ directory: \"{{place}}/monitor\" \
         }}\nincidents:\n  directory: \"{{place}}/incidents\"\n  playbooks: [{playbook}]\n"
    );
    let text = hushpipe.place().fill(&text);
    hushpipe
        .file("site.yaml", text)
        .file("fingerprint.key", "0123456789abcdef0123456789abcdef\n")
        .file("s/db", OLD)
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
        .controlled()
}

fn running(service: &str, playbook: &str) -> Running {
    let hushpipe = Hushpipe::new().manifest(&manifest(service));
    let running = site(hushpipe, playbook).args(["run"]).spawn();
    running.wait_for_line("up");
    running
}

/// Another hushpipe under the site of a running one.
fn beside(running: &Running, words: &[&str]) -> Hushpipe {
    let place = running.place().path().display().to_string();
    let hushpipe = Hushpipe::new().env("HUSHPIPE_SITE", format!("{place}/site.yaml"));
    // Where the running one has its socket.
    let hushpipe = hushpipe.env("XDG_RUNTIME_DIR", format!("{place}/runtime"));
    hushpipe.args(words.iter().copied())
}

fn steps(output: &Output) -> Vec<(String, Value)> {
    let incident: Value = serde_json::from_str(&output.stdout()).unwrap();
    let steps = incident["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            (
                step["step"].as_str().unwrap().to_owned(),
                step["worked"].clone(),
            )
        })
        .collect()
}

#[test]
fn a_leaked_value_is_replaced_where_it_is_and_refused_elsewhere() {
    let running = running("incident-a", "{ steps: [revoke, rotate, verify] }");
    // Nothing newer is in the store yet: not contained, and what it had is refused from now on.
    let open = [
        "incident",
        "open",
        "db",
        "--reason",
        "in a repository",
        "--json",
    ];
    let first = beside(&running, &open).run().code(1);
    let wanted = [
        ("revoke", Value::Null),
        ("rotate", true.into()),
        ("verify", false.into()),
    ];
    assert_eq!(
        steps(&first),
        wanted.map(|(step, worked)| (step.to_owned(), worked))
    );
    std::fs::File::create(running.place().join("s/db"))
        .unwrap()
        .write_all(NEW.as_bytes())
        .unwrap();
    // Again, by the value that leaked.
    let found = beside(
        &running,
        &["incident", "open", "--value", "--reason", "x", "--dry-run"],
    );
    found
        .stdin(OLD)
        .run()
        .success()
        .stdout_has("incident-a")
        .stdout_has("1 running launchers have it");
    let again = beside(&running, &["incident", "open", "db", "--reason", "again"])
        .run()
        .success();
    again
        .stdout_has("contained after")
        .stdout_has("no program of this host has the old value");
    running.wait_for_line(NEW);
    let status = beside(&running, &["incident", "status"]).run().success();
    status
        .stdout_has("rotate db of incident-a")
        .stdout_has("deliveries of the secret are refused until");
    // Neither value goes anywhere now.
    let launch = |name: &str, value: &str| {
        let hushpipe = Hushpipe::new()
            .manifest(&manifest(name))
            .file("s/db", value)
            .controlled();
        let place = running.place().path().display().to_string();
        let hushpipe = hushpipe.env("HUSHPIPE_SITE", format!("{place}/site.yaml"));
        hushpipe.args(["run", "--", "true"]).run()
    };
    for value in [OLD, NEW] {
        let refused = launch("incident-a", value)
            .code(77)
            .stderr_has("incident 2");
        refused
            .stderr_has("in a repository")
            .stderr_has("hushpipe incident");
    }
    beside(&running, &["rotate", "-t", &running.pid().to_string()])
        .run()
        .code(77);
    beside(&running, &["incident", "close", "--reason", "over"])
        .run()
        .success();
    launch("incident-a", OLD).success();
    let list = beside(&running, &["incident", "list", "--all"])
        .run()
        .success();
    list.stdout_has("closed").stdout_has("incident-a");
    let place = running.place();
    let log = place.read("log/records.jsonl");
    for kind in [
        "incident_opened",
        "incident_step",
        "incident_closed",
        "denied",
    ] {
        assert!(
            log.contains(&format!("\"kind\":\"{kind}\"")),
            "{kind}: {log}"
        );
    }
    assert!(log.contains("\"contained_ms\":"), "{log}");
    let files = std::fs::read_dir(place.join("incidents")).unwrap();
    let texts: String = files
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    for value in [OLD, NEW] {
        assert!(!log.contains(value) && !texts.contains(value));
    }
    running.stop();
}

#[test]
fn a_launcher_that_keeps_the_old_value_is_stopped_where_the_playbook_says_so() {
    let running = running(
        "incident-b",
        "{ classification: restricted, steps: [rotate, verify], otherwise: stop, quarantine: value }",
    );
    let stopped = beside(
        &running,
        &["incident", "open", "db", "--reason", "x", "--json"],
    )
    .run()
    .success();
    let wanted = [("rotate", true), ("verify", false), ("stop", true)];
    assert_eq!(
        steps(&stopped),
        wanted.map(|(step, worked)| (step.to_owned(), Value::from(worked)))
    );
    // Another value of it may be delivered.
    let place = running.place().path().display().to_string();
    let launch = |value: &str| {
        let hushpipe = Hushpipe::new()
            .manifest(&manifest("incident-b"))
            .file("s/db", value)
            .controlled();
        let hushpipe = hushpipe.env("HUSHPIPE_SITE", format!("{place}/site.yaml"));
        hushpipe.args(["run", "--", "true"]).run()
    };
    launch(NEW).success();
    // The old one is refused under any name.
    launch(OLD).code(77).stderr_has("incident 2");
    running.wait();
}

#[test]
fn what_is_not_known_is_said_with_what_is() {
    let running = running("incident-c", "");
    let open = |words: &[&str]| {
        let all = [&["incident", "open", "--reason", "x"], words].concat();
        beside(&running, &all)
    };
    open(&["dbb"])
        .run()
        .code(64)
        .stderr_has("no secret dbb is on record: did you mean db?");
    open(&["db", "--service", "other"])
        .run()
        .code(64)
        .stderr_has("of service other");
    open(&["--value"])
        .stdin("unknown")
        .run()
        .code(1)
        .stderr_has("no service of this host was given that value");
    beside(&running, &["incident", "status"])
        .run()
        .code(64)
        .stderr_has("no incident is open");
    beside(&running, &["incident", "close", "--reason", "x"])
        .run()
        .code(64)
        .stderr_has("no incident is open");
    beside(&running, &["incident", "close", "x", "--reason", "x"])
        .run()
        .code(64)
        .stderr_has("looks like");
    // What cannot be read refuses everything.
    let place = running.place().path().display().to_string();
    std::fs::create_dir_all(running.place().join("incidents")).unwrap();
    let file = running
        .place()
        .join("incidents/open-20261128T150102Z-1a2b.json");
    std::fs::write(file, "{").unwrap();
    let hushpipe = Hushpipe::new()
        .manifest(&manifest("incident-d"))
        .file("s/db", OLD)
        .controlled();
    let hushpipe = hushpipe.env("HUSHPIPE_SITE", format!("{place}/site.yaml"));
    hushpipe
        .args(["run", "--", "true"])
        .run()
        .code(77)
        .stderr_has("cannot read the incident");
    running.stop();
}
