//! The site's audit log: what is delivered, shown or changed is on record, and the log proves that.

mod crashes;
mod failing;
mod reading;
mod recorded;
mod witness;

use serde_json::Value;

use crate::harness::{Hushpipe, Output, Place};

/// A value that nothing but the program may ever have.
const VALUE: &str = "correct-horse-battery";

/// A store of files; the program sends what it got to standard output.
const MANIFEST: &str = "version: 1\nservice: shop\nstores: { s: { type: directory, path: \"{place}/s\" } }\n\
                        secrets: { db: { store: s, key: db, classification: restricted } }\n\
                        deliver: [{ file: \"{place}/run/db\", secret: db }]\n";

/// A site with a log, and more lines of its own.
fn site(hushpipe: Hushpipe, required: bool, more: &str) -> Hushpipe {
    let text = format!(
        "version: 1\nenvironment: production\naudit:\n  required: {required}\n  directory: \
         \"{{place}}/log\"\n  key_file: \"{{place}}/audit.key\"\n  fingerprint_key_file: \
         \"{{place}}/fingerprint.key\"\n{more}"
    );
    let text = hushpipe.place().fill(&text);
    hushpipe
        .file("site.yaml", text)
        .file("fingerprint.key", "0123456789abcdef0123456789abcdef\n")
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
        // Nobody else asks it for its state, which would be on record.
        .controlled()
}

/// With one secret.
fn files() -> Hushpipe {
    Hushpipe::new().manifest(MANIFEST).file("s/db", VALUE)
}

/// A site that wants each delivery on record.
fn audited() -> Hushpipe {
    site(files(), true, "")
}

/// All records so far.
fn records(place: &Place) -> Vec<Value> {
    let text = place.read("log/records.jsonl");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a record is JSON"))
        .collect()
}

/// What they are, in order.
fn kinds(records: &[Value]) -> Vec<&str> {
    let kinds = records.iter().map(|record| record["kind"].as_str());
    kinds.map(Option::unwrap_or_default).collect()
}

/// The one of that kind.
fn of_kind<'a>(records: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = records
        .iter()
        .filter(|record| record["kind"] == kind)
        .collect();
    match found.as_slice() {
        [one] => one,
        several => panic!("{} records of kind {kind}: {records:?}", several.len()),
    }
}

/// hushpipe's own word that the log is whole, for a hushpipe of this place.
fn verifies(hushpipe: Hushpipe) -> String {
    let verified = hushpipe.args(["audit", "verify"]).run().success();
    let said = verified.stdout();
    assert!(said.starts_with("whole: "), "{said}");
    assert!(said.contains(", 0 after it"), "{said}");
    said
}

/// Another hushpipe in the same place, under its site.
fn again(output: Output) -> Hushpipe {
    let hushpipe = output.again().controlled();
    hushpipe.env("HUSHPIPE_SITE", "{place}/site.yaml")
}
