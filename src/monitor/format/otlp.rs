//! OpenTelemetry's logs by OTLP/HTTP in JSON (opentelemetry.io/docs/specs/otlp): numbers of 64 bits are text.

use serde_json::{Value, json};

use super::VERSION;
use crate::monitor::item::{Item, Severity};

/// The body of a request to `/v1/logs`. All of one host.
pub fn body(items: &[Item]) -> Vec<u8> {
    let host = items.first().map_or("", |item| &*item.record.host);
    let records: Vec<Value> = items.iter().map(record).collect();
    let body = json!({ "resourceLogs": [{
        "resource": { "attributes": [
            attribute("service.name", "hushpipe"),
            attribute("service.version", VERSION),
            attribute("host.name", host),
        ] },
        "scopeLogs": [{
            "scope": { "name": "hushpipe.audit", "version": VERSION },
            "logRecords": records,
        }],
    }] });
    body.to_string().into_bytes()
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn record(item: &Item) -> Value {
    // SeverityNumber: the least of its range.
    let (number, text) = match item.severity() {
        Severity::Information => (9, "INFO"),
        Severity::Notice => (10, "INFO2"),
        Severity::Warning => (13, "WARN"),
        Severity::Alert => (17, "ERROR"),
    };
    let (seconds, nanos) = item.time();
    let time = (u128::from(seconds) * 1_000_000_000 + u128::from(nanos)).to_string();
    json!({
        "timeUnixNano": time,
        "observedTimeUnixNano": time,
        "severityNumber": number,
        "severityText": text,
        "eventName": format!("hushpipe.{}", item.kind()),
        "body": { "stringValue": item.text() },
        "attributes": [
            attribute("hushpipe.id", &item.id()),
            attribute("hushpipe.kind", item.kind()),
            attribute("hushpipe.service", &item.record.service),
            attribute("hushpipe.launcher", &item.record.launcher),
            json!({ "key": "hushpipe.duplicate", "value": { "boolValue": item.duplicate } }),
        ],
    })
}

/// How many records the other side says that it does not take, and why. `None`: all were taken.
pub fn rejected(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let partial = answer.get("partialSuccess")?;
    let count = match partial.get("rejectedLogRecords")? {
        Value::String(text) => text.parse().ok()?,
        number => number.as_u64()?,
    };
    (count > 0).then(|| format!("it rejected {count} records"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Entry, Kind};
    use crate::monitor::item::tests::of;

    #[test]
    fn a_request_is_as_the_protocol_says() {
        let item = of(Entry::new(Kind::Denied).failed());
        let text = String::from_utf8(body(std::slice::from_ref(&item))).unwrap();
        let line = serde_json::to_string(item.text()).unwrap();
        let wanted = format!(
            "{{\"resourceLogs\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\"value\":\
             {{\"stringValue\":\"hushpipe\"}}}},{{\"key\":\"service.version\",\"value\":{{\"stringValue\":\
             \"{VERSION}\"}}}},{{\"key\":\"host.name\",\"value\":{{\"stringValue\":\"web1\"}}}}]}},\
             \"scopeLogs\":[{{\"scope\":{{\"name\":\"hushpipe.audit\",\"version\":\"{VERSION}\"}},\
             \"logRecords\":[{{\"timeUnixNano\":\"1700000000123456000\",\"observedTimeUnixNano\":\
             \"1700000000123456000\",\"severityNumber\":13,\"severityText\":\"WARN\",\"eventName\":\
             \"hushpipe.denied\",\"body\":{{\"stringValue\":{line}}},\"attributes\":[{{\"key\":\
             \"hushpipe.id\",\"value\":{{\"stringValue\":\"web1/12\"}}}},{{\"key\":\"hushpipe.kind\",\
             \"value\":{{\"stringValue\":\"denied\"}}}},{{\"key\":\"hushpipe.service\",\"value\":\
             {{\"stringValue\":\"shop\"}}}},{{\"key\":\"hushpipe.launcher\",\"value\":{{\"stringValue\":\
             \"0011223344556677\"}}}},{{\"key\":\"hushpipe.duplicate\",\"value\":{{\"boolValue\":false}}}}\
             ]}}]}}]}}]}}"
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn what_was_rejected_is_said() {
        for (answer, wanted) in [
            ("{}", None),
            ("", None),
            ("{\"partialSuccess\":{}}", None),
            ("{\"partialSuccess\":{\"rejectedLogRecords\":\"0\"}}", None),
            (
                "{\"partialSuccess\":{\"rejectedLogRecords\":\"2\"}}",
                Some("it rejected 2 records"),
            ),
            (
                "{\"partialSuccess\":{\"rejectedLogRecords\":3}}",
                Some("it rejected 3 records"),
            ),
        ] {
            assert_eq!(rejected(answer.as_bytes()).as_deref(), wanted, "{answer}");
        }
    }
}
