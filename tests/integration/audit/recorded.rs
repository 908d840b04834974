//! What is on record.

use serde_json::json;

use super::{VALUE, again, audited, files, kinds, of_kind, records, site, verifies};
use crate::harness::{Hushpipe, Running, walk};

#[test]
fn a_launch_is_on_record_before_it_delivers_and_its_end_after() {
    let seen =
        "cat {place}/run/db; grep -c '\"kind\":\"release\"' {place}/log/records.jsonl; exit 3";
    let output = audited()
        .args(["run", "--", "sh", "-c", seen])
        .run()
        .code(3);
    assert_eq!(output.stdout(), format!("{VALUE}1\n"));
    let records = records(output.place());
    assert_eq!(kinds(&records), ["start", "release", "delivered", "end"]);
    for (seq, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], seq);
        assert_eq!(record["service"], "shop");
        assert_eq!(record["launcher"], records[0]["launcher"]);
    }
    let secret = &of_kind(&records, "release")["secrets"][0];
    assert_eq!(secret["name"], "db");
    assert_eq!(
        (&secret["store"], &secret["asked"]),
        (&json!("s"), &json!("db"))
    );
    assert_eq!(secret["classification"], "restricted");
    let place = output.place().join("run/db").display().to_string();
    assert_eq!(
        secret["deliveries"],
        json!([{ "kind": "file", "place": place }])
    );
    assert_eq!(secret["fingerprints"].as_array().unwrap().len(), 1);
    assert_eq!(
        secret["version"],
        of_kind(&records, "delivered")["secrets"][0]["version"]
    );
    assert_eq!(of_kind(&records, "end")["code"], 3);
    let facts = &of_kind(&records, "release")["facts"];
    assert_eq!(facts["environment"], "production");
    // As sha256sum prints it.
    assert_eq!(facts["program"]["sha256"].as_str().unwrap().len(), 64);
    for path in walk(&output.place().join("log")) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(VALUE), "{path:?}");
    }
    verifies(again(output));
}

#[test]
fn a_launcher_that_becomes_the_program_signs_before_it_does() {
    let seen = "cat {place}/checkpoint-copy; sed -n 2p {place}/log/checkpoint";
    let hushpipe = audited().file("checkpoint-copy", "");
    let output = hushpipe
        .args(["run", "--exec", "--", "sh", "-c", seen])
        .run()
        .success();
    assert_eq!(output.stdout(), "4\n");
    let records = records(output.place());
    assert_eq!(kinds(&records), ["start", "release", "delivered", "end"]);
    assert_eq!(of_kind(&records, "end")["message"], "becomes the program");
    let output = verified_again(again(output)).file("bad", "no program");
    let output = output
        .mode("bad", 0o755)
        .args(["run", "--exec", "--", "{place}/bad"])
        .run()
        .code(126);
    let records = super::records(output.place());
    let last = records.last().unwrap();
    assert_eq!(
        (&last["kind"], &last["status_id"]),
        (&json!("end"), &json!(2))
    );
    verifies(again(output));
}

fn verified_again(hushpipe: Hushpipe) -> Hushpipe {
    again(hushpipe.args(["audit", "verify"]).run().success())
}

#[test]
fn a_launch_that_fails_says_so_in_its_last_record() {
    let output = audited()
        .args(["run", "--", "{place}/none"])
        .run()
        .code(127);
    let records = records(output.place());
    assert_eq!(kinds(&records), ["start", "end"]);
    assert_eq!(records[1]["status_id"], 2);
    assert!(records[1]["message"].as_str().unwrap().contains("none"));
}

/// Deciding, where policy observes or enforces.
const POLICY: &str = "@id(\"all\") permit (principal, action, resource);\n\
                      @id(\"no\") forbid (principal, action == Action::\"deliver\", resource);\n";

#[test]
fn denials_are_on_record_and_what_is_only_observed() {
    let run = |mode: &str, code: i32| {
        let more = format!("policy: {{ directory: \"{{place}}/policy.d\", mode: {mode} }}\n");
        let hushpipe = site(files(), true, &more).file("policy.d/a.cedar", POLICY);
        let words = ["run", "--break-glass", "INC-7", "--", "true"];
        let output = hushpipe.args(words).run().code(code);
        let records = records(output.place());
        verifies(again(output));
        records
    };
    let denied = run("enforce", 77);
    assert_eq!(kinds(&denied), ["start", "break_glass", "denied", "end"]);
    let record = of_kind(&denied, "denied");
    assert_eq!(record["ruling"]["policies"], json!(["no"]));
    assert_eq!(record["query"]["context"]["environment"], "production");
    assert_eq!(record["secrets"][0]["name"], "db");
    assert_eq!(of_kind(&denied, "break_glass")["message"], "INC-7");
    let observed = run("observe", 0);
    let wanted = [
        "start",
        "break_glass",
        "decision",
        "release",
        "delivered",
        "end",
    ];
    assert_eq!(kinds(&observed), wanted);
    let record = of_kind(&observed, "decision");
    assert_eq!(
        (&record["message"], &record["status_id"]),
        (&json!("observed"), &json!(2))
    );
}

fn serving(hushpipe: Hushpipe) -> Running {
    let manifest =
        super::MANIFEST.to_owned() + "on_rotate: { do: signal, signal: HUP, settle: 0s }\n";
    hushpipe.place().copy_probe();
    hushpipe.manifest(&manifest).rereads("db")
}

#[test]
fn rotations_and_commands_are_on_record_with_who_asked() {
    let running = serving(audited());
    running.place().replace("s/db", "second-value\n");
    running.rotate("db");
    running.wait_for_line("second-value");
    running.status();
    let output = running.stop().success();
    let records = records(output.place());
    let uid = nix::unistd::getuid().as_raw();
    let asked: Vec<_> = records
        .iter()
        .filter(|record| record["kind"] == "control")
        .collect();
    let said: Vec<_> = asked
        .iter()
        .map(|record| record["message"].as_str().unwrap())
        .collect();
    for wanted in ["rotate db", "status"] {
        assert!(
            said.iter().any(|said| said.starts_with(wanted)),
            "{wanted}: {said:?}"
        );
    }
    assert!(asked.iter().all(|record| record["peer"]["uid"] == uid));
    let releases: Vec<_> = records
        .iter()
        .filter(|record| record["kind"] == "release")
        .collect();
    let reasons: Vec<_> = releases
        .iter()
        .map(|record| record["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["launch", "rotation"]);
    assert_ne!(
        releases[0]["secrets"][0]["fingerprints"],
        releases[1]["secrets"][0]["fingerprints"]
    );
    assert_eq!(of_kind(&records, "rotated")["generation"], 2);
    verifies(again(output));
}

#[test]
fn a_sealed_secret_is_not_shown_or_changed_off_the_record() {
    let hushpipe = site(Hushpipe::new().sealed(&[("db", VALUE)]), true, "");
    let get = [
        "secret",
        "get",
        "db",
        "--reveal",
        "--store",
        "store",
        "--identity",
        "identity.txt",
    ];
    let output = hushpipe.args(get).run().success();
    assert_eq!(output.stdout(), VALUE);
    let set = [
        "secret",
        "set",
        "db",
        "--store",
        "store",
        "--identity",
        "identity.txt",
    ];
    let output = again(output).args(set).stdin("another").run().success();
    let records = records(output.place());
    let reveal = of_kind(&records, "reveal");
    assert_eq!(reveal["secrets"][0]["name"], "db");
    assert_eq!(reveal["peer"]["uid"], nix::unistd::getuid().as_raw());
    let revealed = &of_kind(&records, "revealed")["secrets"][0];
    assert_eq!(
        (&revealed["name"], &revealed["version"]),
        (&json!("db"), &json!("1"))
    );
    assert_eq!(revealed["fingerprints"].as_array().unwrap().len(), 1);
    assert_eq!(of_kind(&records, "change")["secrets"][0]["name"], "db");
    // Whoever has the value finds who saw it.
    let words = ["audit", "find", "--value", "--json"];
    let output = again(output).args(words).stdin(VALUE).run().success();
    assert!(output.stdout().contains("\"kind\":\"revealed\""));
    // And not without the log.
    let output = verified_again(again(output));
    let output = output.mode("log", 0o777).args(get).run().code(75);
    assert_eq!(output.stdout(), "");
    output.stderr_has("others can write to");
}
