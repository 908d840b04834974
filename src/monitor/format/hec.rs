//! Splunk's HTTP Event Collector: JSON objects one after the other, for `/services/collector/event`.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::monitor::item::Item;

#[derive(Serialize)]
struct Posted<'a> {
    /// Seconds since 1970, as text: no digit is lost.
    time: String,
    host: &'a str,
    source: &'static str,
    sourcetype: &'static str,
    event: Option<&'a RawValue>,
    fields: Fields<'a>,
}

#[derive(Serialize)]
struct Fields<'a> {
    id: String,
    kind: &'static str,
    service: &'a str,
    duplicate: &'static str,
}

/// The body of a request.
pub fn body(items: &[Item]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in items {
        let (seconds, nanos) = item.time();
        let event = Posted {
            time: format!("{seconds}.{:06}", nanos / 1000),
            host: &item.record.host,
            source: "hushpipe",
            sourcetype: "hushpipe:audit",
            event: item.raw(),
            fields: Fields {
                id: item.id(),
                kind: item.kind(),
                service: &item.record.service,
                duplicate: if item.duplicate { "true" } else { "false" },
            },
        };
        serde_json::to_writer(&mut bytes, &event).expect("strings and JSON are JSON");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Entry, Kind};
    use crate::monitor::item::tests::of;

    #[test]
    fn it_is_as_splunk_documents_it() {
        let item = of(Entry::new(Kind::Start));
        let text = String::from_utf8(body(std::slice::from_ref(&item))).unwrap();
        let wanted = format!(
            "{{\"time\":\"1700000000.123456\",\"host\":\"web1\",\"source\":\"hushpipe\",\
             \"sourcetype\":\"hushpipe:audit\",\"event\":{},\"fields\":{{\"id\":\"web1/12\",\
             \"kind\":\"start\",\"service\":\"shop\",\"duplicate\":\"false\"}}}}",
            item.text()
        );
        assert_eq!(text, wanted);
    }
}
