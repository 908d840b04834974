//! `hushpipe audit`: reading and proving.

use super::{VALUE, again, audited, of_kind, records, verifies};
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
    let output = again(output).args(["audit", "prove", "99"]).run().code(75);
    let output = output.stderr_has("record 99 is none of them");
    let records = records(output.place());
    assert_eq!(of_kind(&records, "read")["message"], "prove 1");
}
