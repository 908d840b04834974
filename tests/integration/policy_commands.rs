//! `hushpipe policy`, on directories as sites have them.

use std::fs;

use crate::harness::{Hushpipe, Output};

const GOOD: &str = r#"@id("own") permit (principal, action == Action::"deliver", resource) when { resource.owner == "a" };
@id("two") @approval("2 of sre within 8h") forbid (principal, action == Action::"deliver", resource)
when { resource.classification == "restricted" };
"#;

fn policies() -> Hushpipe {
    Hushpipe::new().file("p/main.cedar", GOOD)
}

fn check(hushpipe: Hushpipe) -> Output {
    hushpipe.args(["policy", "check", "{place}/p"]).run()
}

#[test]
fn good_policies_are_counted_and_all_errors_are_shown_at_once() {
    check(policies())
        .success()
        .stdout_has("p: 2 policies, no errors\n");
    let bad = "permit (principal, action, resource) when { resource.nme == \"x\" };\n@id(\"two\") forbid (oops);\n";
    let output = check(
        policies()
            .file("p/bad.cedar", bad)
            .file("p/entities.json", "[{}]"),
    );
    let output = output.code(78);
    let stderr = output.stderr();
    for part in ["p/bad.cedar:1:", "p/bad.cedar:2:", "p/entities.json:1:"] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
}

#[test]
fn a_directory_that_others_could_change_or_that_holds_other_things_is_refused() {
    check(policies().mode("p/main.cedar", 0o666))
        .code(78)
        .stderr_has("main.cedar");
    check(policies().mode("p", 0o777)).code(78);
    check(policies().file("p/README", ""))
        .code(78)
        .stderr_has("holds *.cedar and entities.json alone");
    check(policies().directory("p/d.cedar"))
        .code(78)
        .stderr_has("d.cedar");
    check(policies().file("p/x.cedar", b"\xff".as_slice()))
        .code(78)
        .stderr_has("not UTF-8 from byte 1");
    let hushpipe = policies();
    let place = hushpipe.place().join("p");
    std::os::unix::fs::symlink("main.cedar", place.join("link.cedar")).unwrap();
    check(hushpipe).code(78).stderr_has("link.cedar");
    let hushpipe = policies();
    let fifo = hushpipe.place().join("p/fifo.cedar");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    check(hushpipe).code(78).stderr_has("fifo.cedar");
    Hushpipe::new()
        .args(["policy", "check", "{place}/p"])
        .run()
        .code(78)
        .stderr_has("/p");
}

const CASES: &str = "
defaults: { resource: { owner: a } }
cases:
  - { name: mine, query: {}, decision: allow, policies: [own] }
  - { name: restricted, query: { resource: { classification: restricted } }, decision: pending, reason: 2 approvals of sre }
";

#[test]
fn cases_are_compared_and_a_difference_is_shown() {
    let test = |cases: &str| {
        let hushpipe = policies().file("cases.yaml", cases);
        hushpipe
            .args([
                "policy",
                "test",
                "--with",
                "{place}/p",
                "{place}/cases.yaml",
            ])
            .run()
    };
    test(CASES).success().stdout_is("ok mine\nok restricted\n");
    let output = test(&CASES.replace("decision: pending", "decision: deny"));
    let output = output.code(65).stderr_has("1 of 2 cases failed");
    assert_eq!(
        output.stdout(),
        "ok mine\nFAILED restricted\n  -decision: deny\n  +decision: pending\n   policy `two` (main.cedar:2) forbids it: \
         resource.classification = \"restricted\"; lifted by 2 approvals of sre within 8h\n"
    );
    test(&CASES.replace("classification", "clasification"))
        .code(78)
        .stderr_has(
            "restricted: unknown key `resource.clasification`: did you mean `classification`?",
        );
    test("cases: [").code(78);
}

#[test]
fn a_record_is_decided_on_again() {
    let hushpipe = policies();
    let explained = r#"{"time": "2026-01-01T00:00:00Z", "kind": "decision",
        "query": {"principal": {"type": "Service", "name": "s"}, "action": "deliver",
                  "resource": {"type": "Secret", "name": "db"}, "context": {}},
        "ruling": {"effect": "allow", "policies": ["x"], "errors": [], "obligations": [], "stop": false}}"#;
    let record = explained.replace('\n', " ") + "\n{\"kind\": \"start\"}\n";
    let output = hushpipe
        .stdin(record)
        .args(["policy", "replay", "--with", "{place}/p", "-", "--json"])
        .run()
        .success();
    let found: serde_json::Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(found["decisions"], 1);
    assert_eq!(found["changes"][0]["before"], "allow");
    assert_eq!(found["changes"][0]["after"], "deny");
}

#[test]
fn the_schema_is_printed_in_both_forms() {
    Hushpipe::new()
        .args(["policy", "schema"])
        .run()
        .success()
        .stdout_has("entity Secret");
    let output = Hushpipe::new()
        .args(["policy", "schema", "--json"])
        .run()
        .success();
    let json: serde_json::Value = serde_json::from_str(&output.stdout()).unwrap();
    assert!(json[""]["actions"]["deliver"].is_object());
}

const MANIFEST: &str = "
version: 1
service: billing
owner: a
stores: { s: { type: directory, path: '{place}/s' } }
secrets:
  plain: { store: s, key: plain }
  card: { store: s, key: card, classification: restricted }
deliver:
  - { fd: 3, as: memfd, secret: plain }
  - { fd: 4, as: memfd, secret: card }
run: { command: [/bin/true] }
";

#[test]
fn a_launch_is_explained_without_asking_a_store() {
    let hushpipe = policies().manifest(MANIFEST);
    let site = format!(
        "version: 1\nenvironment: test\npolicy: {{ directory: {} }}\n",
        hushpipe.place().join("p").display()
    );
    fs::write(hushpipe.place().join("site.yaml"), site).unwrap();
    let output = hushpipe
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
        .args(["policy", "explain"])
        .run()
        .code(1)
        .stdout_has(
            "plain: allow\n  policy `own` (main.cedar:1) permits it: resource.owner = \"a\"\n",
        )
        .stdout_has("card: pending\n  policy `two` (main.cedar:2) forbids it");
    let again = output
        .again()
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
        .args(["policy", "explain", "--json"])
        .run()
        .code(1);
    let json: serde_json::Value = serde_json::from_str(&again.stdout()).unwrap();
    let facts = &json[0]["query"]["context"];
    assert_eq!(facts["environment"], "test");
    assert_eq!(facts["program"]["sha256"].as_str().map(str::len), Some(64));
}
