//! Syslog messages: RFC 5424, framed by counting octets where a stream carries them (RFC 6587, RFC 5425).

use std::fmt::Write as _;

use super::VERSION;
use crate::monitor::item::{Item, Severity};

/// Facility 10: security and authorization messages.
const FACILITY: u8 = 10;

/// All of a message but its text.
pub struct Head<'a> {
    /// Of syslog, 0 to 7.
    pub severity: u8,
    /// RFC 3339.
    pub time: &'a str,
    /// The host's name.
    pub host: &'a str,
    /// Whose message it is.
    pub pid: Option<i32>,
    /// MSGID.
    pub kind: &'a str,
    /// Structured data: elements and their parameters.
    pub elements: &'a [(&'a str, &'a [(&'a str, &'a str)])],
}

/// A record as one message. `most`: its longest; one that is longer has a short object in place of the record.
pub fn message(item: &Item, most: usize) -> Vec<u8> {
    let head = of_record(item);
    let mut message = format!("{head} {}", item.text()).into_bytes();
    if message.len() > most {
        let seq = item.seq;
        let short = format!(
            "{head} {{\"seq\":{seq},\"kind\":\"{}\",\"cut\":true}}",
            item.kind()
        );
        message = short.into_bytes();
    }
    message
}

fn of_record(item: &Item) -> String {
    let record = &item.record;
    // 32473 is the number of examples (RFC 5612).
    let id = item.id();
    head(&Head {
        severity: match item.severity() {
            Severity::Information => 6,
            Severity::Notice => 5,
            Severity::Warning => 4,
            Severity::Alert => 1,
        },
        time: &record.time,
        host: &record.host,
        pid: Some(record.pid),
        kind: item.kind(),
        elements: &[
            (
                "origin",
                &[("software", "hushpipe"), ("swVersion", VERSION)],
            ),
            (
                "hushpipe@32473",
                &[
                    ("id", &*id),
                    ("service", &*record.service),
                    ("launcher", &*record.launcher),
                    ("duplicate", if item.duplicate { "true" } else { "false" }),
                ],
            ),
        ],
    })
}

/// Up to the message's text.
pub fn head(head: &Head<'_>) -> String {
    let priority = FACILITY * 8 + head.severity;
    let host = word(head.host, 255);
    let pid = head
        .pid
        .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    let (time, kind) = (head.time, head.kind);
    let mut text = format!("<{priority}>1 {time} {host} hushpipe {pid} {kind} ");
    for (element, parameters) in head.elements {
        text.push('[');
        text += element;
        for (name, value) in *parameters {
            // 6.3.3: these three characters are escaped.
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace(']', "\\]");
            write!(text, " {name}=\"{value}\"").expect("a String is written");
        }
        text.push(']');
    }
    text
}

/// Printable ASCII without spaces, or the nil value.
fn word(text: &str, most: usize) -> String {
    let plain = |c: &char| c.is_ascii_graphic();
    let word: String = text.chars().filter(plain).take(most).collect();
    if word.is_empty() {
        "-".to_owned()
    } else {
        word
    }
}

/// Messages of a stream: each after its length (RFC 6587, section 3.4.1).
pub fn counted(messages: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend(message.len().to_string().into_bytes());
        bytes.push(b' ');
        bytes.extend(message);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Entry, Kind};
    use crate::monitor::item::tests::of;

    #[test]
    fn a_message_is_as_the_rfc_says() {
        let mut item = of(Entry::new(Kind::Denied).failed());
        item.record.service = "a\"b]c\\".into();
        let text = String::from_utf8(message(&item, 8192)).unwrap();
        let wanted = format!(
            "<84>1 2023-11-14T22:13:20.123456Z web1 hushpipe 7 denied \
             [origin software=\"hushpipe\" swVersion=\"{VERSION}\"]\
             [hushpipe@32473 id=\"web1/12\" service=\"a\\\"b\\]c\\\\\" launcher=\"0011223344556677\" \
             duplicate=\"false\"] {}",
            item.text()
        );
        assert_eq!(text, wanted);
        assert!(message(&item, 300).ends_with(b"] {\"seq\":12,\"kind\":\"denied\",\"cut\":true}"));
    }

    #[test]
    fn a_stream_counts_octets() {
        let messages = ["<1>1 é", "x"].map(|text| text.as_bytes().to_vec());
        assert_eq!(counted(messages), "7 <1>1 é1 x".as_bytes());
    }

    #[test]
    fn a_host_without_a_name_is_nil() {
        assert_eq!(word("", 9), "-");
        assert_eq!(word("a b\u{e9}\n", 9), "ab");
    }
}
