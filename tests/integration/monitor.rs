//! `hushpipe monitor`: every record arrives at each sink, in order, and what may have come before is marked.
//! What stands for a receiver here is a fake that keeps the bytes; TLS is OpenSSL's.

mod alerts;
mod direct;
mod fake;
mod metrics;
mod outages;
mod receivers;
mod rsyslog;
mod sinks;

use serde_json::Value;

use crate::harness::{Hushpipe, Output, Place};

const MANIFEST: &str = "version: 1\nservice: shop\nstores: { s: { type: directory, path: \"{place}/s\" } }\n\
                        secrets: { db: { store: s, key: db, classification: restricted } }\n\
                        deliver: [{ file: \"{place}/run/db\", secret: db }]\n";

/// A value that no sink ever gets.
const VALUE: &str = "correct-horse-battery";

/// A host with a log, and these sinks.
fn site(hushpipe: Hushpipe, sinks: &str) -> Hushpipe {
    let text = format!(
        "version: 1\naudit:\n  directory: \"{{place}}/log\"\n  key_file: \"{{place}}/audit.key\"\n  sinks: \
         [{sinks}]\nmonitor: {{ directory: \"{{place}}/monitor\" }}\n"
    );
    let text = hushpipe.place().fill(&text);
    hushpipe
        .file("site.yaml", text)
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
        .controlled()
}

/// After a launch: four records.
fn launched(sinks: &str) -> Output {
    let hushpipe = Hushpipe::new().manifest(MANIFEST).file("s/db", VALUE);
    let output = site(hushpipe, sinks)
        .args(["run", "--", "true"])
        .run()
        .success();
    assert_eq!(lines(output.place()).len(), 4);
    output
}

/// Another hushpipe of this host.
fn again(output: Output) -> Hushpipe {
    let hushpipe = output.again().controlled();
    hushpipe.env("HUSHPIPE_SITE", "{place}/site.yaml")
}

/// The log, line by line.
fn lines(place: &Place) -> Vec<String> {
    let text = place.read("log/records.jsonl");
    text.lines().map(str::to_owned).collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
