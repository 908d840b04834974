//! Events of OCSF 1.8 (schema.ocsf.io). Each has the record's line as `raw_data` and its digest: whoever has
//! them can build the log's tree from the receiver's copy alone.

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::VERSION;
use crate::model::hex;
use crate::monitor::item::{Item, Severity};

/// A body of `application/json`: a list of events.
pub fn body(items: &[Item]) -> Vec<u8> {
    let events: Vec<Value> = items.iter().map(event).collect();
    serde_json::to_vec(&events).expect("JSON is JSON")
}

/// One record.
pub fn event(item: &Item) -> Value {
    let (record, entry) = (&item.record, &item.record.entry);
    let (seconds, nanos) = item.time();
    let severity = match item.severity() {
        Severity::Information => 1,
        Severity::Notice => 2,
        Severity::Warning => 3,
        Severity::Alert => 4,
    };
    let mut event = json!({
        "category_uid": entry.category_uid,
        "class_uid": entry.class_uid,
        "activity_id": entry.activity_id,
        "type_uid": u64::from(entry.type_uid),
        "severity_id": severity,
        "status_id": entry.status_id,
        "time": seconds * 1000 + u64::from(nanos / 1_000_000),
        "message": item.summary(),
        "metadata": metadata(item),
        "actor": {
            "app_name": named(&record.service, "hushpipe"),
            "process": { "pid": record.pid, "name": named(&record.program, "hushpipe") },
            "user": { "uid": person(item) },
        },
        "raw_data": item.text(),
        "raw_data_hash": {
            "algorithm_id": 3,
            "algorithm": "SHA-256",
            "value": hex(digest(&SHA256, &item.line).as_ref()),
        },
    });
    for (name, value) in of_class(item) {
        event[name] = value;
    }
    event
}

fn metadata(item: &Item) -> Value {
    let labels: &[&str] = if item.duplicate { &["duplicate"] } else { &[] };
    json!({
        "version": "1.8.0",
        "product": { "name": "hushpipe", "vendor_name": "hushpipe", "version": VERSION },
        "profiles": ["host"],
        "uid": item.id(),
        "sequence": item.seq,
        "log_name": "audit",
        "event_code": item.kind(),
        "original_time": &*item.record.time,
        "labels": labels,
    })
}

fn named<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// Who asked, or as whom hushpipe runs.
fn person(item: &Item) -> String {
    let peer = item.record.entry.peer.as_ref();
    peer.map_or(item.record.uid, |peer| peer.uid).to_string()
}

/// What a class wants beside what all have.
fn of_class(item: &Item) -> Vec<(&'static str, Value)> {
    let (record, entry) = (&item.record, &item.record.entry);
    let service = named(&record.service, "hushpipe");
    let names: Vec<&str> = entry.secrets.iter().map(|secret| &*secret.name).collect();
    let source = || json!({ "hostname": &*record.host, "name": &*record.host });
    let privileges: Vec<String> = match names.as_slice() {
        [] => vec![item.kind().to_owned()],
        names => names.iter().map(|name| format!("secret {name}")).collect(),
    };
    match entry.class_uid {
        3003 => vec![
            ("user", json!({ "name": service, "type_id": 4 })),
            ("privileges", json!(privileges)),
        ],
        3004 => vec![
            (
                "entity",
                json!({ "name": service, "type_id": 99, "type": "Service" }),
            ),
            ("comment", json!(entry.message)),
        ],
        3005 => vec![
            ("user", json!({ "uid": person(item) })),
            ("privileges", json!(privileges)),
        ],
        6002 => vec![("app", json!({ "name": service, "vendor_name": "hushpipe" }))],
        6003 => vec![
            (
                "api",
                json!({ "operation": named(&entry.message, item.kind()) }),
            ),
            ("src_endpoint", source()),
        ],
        6005 => {
            let stores: Vec<&str> = entry.secrets.iter().map(|secret| &*secret.store).collect();
            let store = stores.first().copied().unwrap_or_default();
            let name = if names.is_empty() {
                "audit log".to_owned()
            } else {
                names.join(", ")
            };
            let bucket = json!({
                "name": name, "uid": named(store, "hushpipe"), "type_id": 99, "type": "Secrets",
            });
            vec![
                ("databucket", bucket),
                ("type_id", json!(99)),
                ("type", json!("Secrets")),
                ("src_endpoint", source()),
            ]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::audit::{Entry, Kind};
    use crate::model::words::Words as _;
    use crate::monitor::item::tests::{item, of};

    /// By the schema of OCSF itself.
    fn valid(events: &[Value]) -> (bool, String) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stores/ocsf.py");
        let mut python = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = python.stdin.take().unwrap();
        for event in events {
            writeln!(stdin, "{event}").unwrap();
        }
        drop(stdin);
        let output = python.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    #[test]
    fn every_kind_of_record_is_an_event_by_ocsfs_own_schema() {
        let mut events = Vec::new();
        for (_, kind) in Kind::TABLE {
            events.push(event(&item(*kind)));
            let mut bare = of(Entry::new(*kind).failed());
            bare.duplicate = true;
            bare.record.service = "".into();
            bare.record.program = "".into();
            events.push(event(&bare));
        }
        let (is_valid, said) = valid(&events);
        assert!(is_valid, "{said}");
        assert_eq!(
            said,
            format!("valid: {} records of OCSF 1.8.0\n", events.len())
        );
        // It can fail.
        for (pointer, wrong) in [
            ("/severity_id", json!(77)),
            ("/time", json!("now")),
            ("/databucket/type_id", json!(50)),
            ("/metadata/product", json!({})),
            ("/actor", json!({ "user": {} })),
            ("/type_uid", json!(1)),
        ] {
            let mut event = event(&item(Kind::Release));
            *event.pointer_mut(pointer).unwrap() = wrong;
            assert!(!valid(&[event]).0, "{pointer}");
        }
    }

    #[test]
    fn the_log_can_be_built_from_the_receivers_copy() {
        let item = item(Kind::Release);
        let event = event(&item);
        assert_eq!(event["raw_data"].as_str().unwrap().as_bytes(), item.line);
        assert_eq!(event["metadata"]["uid"], "web1/12");
        assert_eq!(event["message"], "release of db for shop: because \"so\"");
        assert_eq!(event["time"], 1_700_000_000_123_u64);
    }
}
