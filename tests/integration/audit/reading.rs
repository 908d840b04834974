//! `hushpipe audit`: reading and proving.

use std::process::Command;

use super::{VALUE, again, audited, files, of_kind, records, site, verifies};
use crate::harness::{Hushpipe, Output};

fn launched() -> Output {
    audited().args(["run", "--", "true"]).run().success()
}

#[test]
fn records_are_shown_by_what_they_are_about_and_that_is_on_record() {
    let show = |hushpipe: Hushpipe, words: &[&str]| {
        let words = ["audit", "show"].iter().chain(words).copied();
        hushpipe.args(words).run().success()
    };
    let output = show(again(launched()), &["--kind", "release"]);
    let lines: Vec<String> = output.stdout().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[1].contains("shop") && lines[1].contains("db"),
        "{lines:?}"
    );
    let output = show(again(output), &["--service", "another", "--json"]).stdout_is("");
    let output = show(
        again(output),
        &["--secret", "db", "--since", "2020-01-01", "--json"],
    );
    assert_eq!(output.stdout().lines().count(), 2);
    let records = records(output.place());
    let read: Vec<_> = records
        .iter()
        .filter(|record| record["kind"] == "read")
        .collect();
    assert_eq!(read.len(), 3);
    assert_eq!(read[0]["message"], "show --kind release");
    assert_eq!(read[0]["peer"]["uid"], nix::unistd::getuid().as_raw());
    verifies(again(output));
}

#[test]
fn a_leaked_value_is_found_without_being_said() {
    let find = |hushpipe: Hushpipe, value: &str| {
        let words = ["audit", "find", "--value", "--json"];
        hushpipe.args(words).stdin(value).run()
    };
    let mut output = launched();
    for leaked in [VALUE.to_owned(), format!("{VALUE}\n")] {
        output = find(again(output), &leaked).success();
        let found = output.stdout();
        assert_eq!(found.lines().count(), 1, "{found}");
        assert!(
            found.contains("\"kind\":\"release\"") && !found.contains(VALUE),
            "{found}"
        );
    }
    output = find(again(output), "another").success().stdout_is("");
    assert!(!output.place().read("log/records.jsonl").contains(VALUE));
    find(again(output), "")
        .code(64)
        .stderr_has("no value on standard input");
}

#[test]
fn what_was_changed_shows_and_an_older_checkpoint_is_continued() {
    let output = launched();
    let kept = again(output).args(["audit", "checkpoint"]).run().success();
    let text = kept.stdout();
    let output = again(kept).file("kept", text);
    let output = output.args(["run", "--", "true"]).run().success();
    let words = ["audit", "verify", "--since", "{place}/kept"];
    let output = again(output).args(words).run().success();
    let records = output.place().read("log/records.jsonl");
    let changed = records.replacen("\"service\":\"shop\"", "\"service\":\"ship\"", 1);
    let output = again(output).file("log/records.jsonl", changed);
    let output = output.args(words).run().code(1);
    let said = output.stdout();
    assert!(
        said.contains("record 0 is not the one that was added"),
        "{said}"
    );
    assert!(said.contains("NOT WHOLE"), "{said}");
    // A copy elsewhere needs the key.
    let output = again(output).file("log/records.jsonl", records);
    let copy = ["audit", "verify", "--directory", "{place}/log"];
    let output = output.args(copy).run().code(64).stderr_has("--key");
    let key = again(output).args(["audit", "key"]).run().success();
    let text = key.stdout();
    let output = again(key).args(copy).args(["--key", text.trim()]).run();
    output.success();
}

#[test]
fn a_host_without_a_log_says_so() {
    let text = "version: 1\n";
    let hushpipe = Hushpipe::new().file("site.yaml", text);
    let hushpipe = hushpipe.env("HUSHPIPE_SITE", "{place}/site.yaml");
    let output = hushpipe.args(["audit", "show"]).run().code(78);
    output.stderr_has("--directory");
}

#[test]
fn a_proof_is_of_one_record() {
    let output = launched();
    let output = again(output).args(["audit", "prove", "1"]).run().success();
    let proof = output.stdout();
    assert!(
        proof.starts_with("c2sp.org/tlog-proof@v1\nindex 1\n"),
        "{proof}"
    );
    let output = again(output).args(["audit", "prove", "99"]).run().code(64);
    let output = output.stderr_has("there is no record 99: the checkpoint covers");
    let records = records(output.place());
    assert_eq!(of_kind(&records, "read")["message"], "prove 1");
}

#[test]
fn an_independent_verifier_agrees_about_the_log_and_a_proof() {
    let mut output = launched();
    // Past a full tile, so that there are two levels.
    let words = ["audit", "show", "--service", "none"];
    for _ in 0..260 {
        output = again(output).args(words).run().success();
    }
    let key = again(output).args(["audit", "key"]).run().success();
    let vkey = key.stdout();
    let proof = again(key).args(["audit", "prove", "1"]).run().success();
    let text = proof.stdout();
    let output = again(proof).file("proof", text).args(words).run().success();
    let verify = |change: &str| {
        let change = Command::new("sh")
            .args(["-ec", change])
            .current_dir(output.place().path())
            .status();
        assert!(change.expect("sh is there").success());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stores/tlog.py");
        let said = Command::new("python3")
            .args([script, "log", vkey.trim(), "proof"])
            .current_dir(output.place().path())
            .output()
            .expect("tests/install installs Python");
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        (said.status.success(), text)
    };
    let (is_whole, said) = verify("true");
    assert!(is_whole && said.starts_with("whole: "), "{said}");
    // It can fail.
    let bad = [
        "sed -i 's/\"service\":\"shop\"/\"service\":\"ship\"/' log/records.jsonl",
        "sed -i 's/\"service\":\"ship\"/\"service\":\"shop\"/' log/records.jsonl; \
         printf x | dd of=log/tile/0/000 bs=1 seek=70 conv=notrunc status=none",
    ];
    for change in bad {
        let (is_whole, said) = verify(change);
        assert!(!is_whole, "{change}: {said}");
    }
}

#[test]
fn policies_are_replayed_on_the_sites_log() {
    let policy = "@id(\"all\") permit (principal, action, resource);\n";
    let more = "policy: { directory: \"{place}/policy.d\" }\n";
    let hushpipe = site(files(), true, more).file("policy.d/a.cedar", policy);
    let output = hushpipe.args(["run", "--", "true"]).run().success();
    let stricter = "@id(\"no\") forbid (principal, action, resource);\n";
    let hushpipe = again(output).file("stricter/a.cedar", stricter);
    let words = ["policy", "replay", "--with", "{place}/stricter", "--json"];
    let output = hushpipe.args(words).run().success();
    let replayed: serde_json::Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(
        (&replayed["decisions"], &replayed["same"]),
        (&1.into(), &0.into())
    );
    let records = records(output.place());
    assert_eq!(of_kind(&records, "read")["message"], "policy replay");
}

#[test]
fn what_is_old_is_pruned_by_segments_alone() {
    let output = launched();
    let words = ["audit", "prune", "--older-than", "1d"];
    let output = again(output).args(words).run().success();
    let output = output.stdout_is("the first record is 0\n");
    verifies(again(output));
}
