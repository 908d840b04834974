//! Alerts in the words of their receivers.

use serde_json::{Value, json};

use super::{VERSION, journal, rfc5424};
use crate::monitor::alerts::{Alert, Phase, rfc3339};

/// What `journalctl MESSAGE_ID=` finds all alerts of hushpipe by.
pub const MESSAGE_ID: &str = "c1d9b7a05e3f4f0c8a6e2b14d7f39a62";

/// Syslog's severity, of an alert as it is now.
fn severity(alert: &Alert) -> u8 {
    match (alert.phase(), alert.severity()) {
        (Phase::Resolved, _) => 5,
        (Phase::Firing, "critical") => 1,
        (Phase::Firing, _) => 4,
    }
}

fn words(alert: &Alert) -> String {
    let (phase, rule, summary) = (alert.phase().word(), &alert.rule, &alert.summary);
    match alert.count {
        0 | 1 => format!("alert {rule} {phase}: {summary}"),
        count => format!("alert {rule} {phase}: {summary} ({count} times)"),
    }
}

/// One message of syslog (RFC 5424).
pub fn syslog(alert: &Alert, host: &str, most: usize) -> Vec<u8> {
    let time = rfc3339(alert.revised);
    let labels = alert.labels.iter();
    let mut parameters: Vec<(&str, &str)> =
        labels.map(|(name, value)| (&**name, &**value)).collect();
    let count = alert.count.to_string();
    parameters.extend([
        ("rule", &*alert.rule),
        ("status", alert.phase().word()),
        ("count", &count),
    ]);
    let head = rfc5424::head(&rfc5424::Head {
        severity: severity(alert),
        time: &time,
        host,
        pid: None,
        kind: "alert",
        elements: &[
            (
                "origin",
                &[("software", "hushpipe"), ("swVersion", VERSION)],
            ),
            ("alert@32473", &parameters),
        ],
    });
    let mut message = format!("{head} {}", words(alert)).into_bytes();
    message.truncate(most);
    message
}

/// One entry of the journal.
pub fn journal(alert: &Alert, host: &str) -> Vec<u8> {
    let mut fields = vec![
        ("MESSAGE".to_owned(), words(alert)),
        ("MESSAGE_ID".to_owned(), MESSAGE_ID.to_owned()),
        ("PRIORITY".to_owned(), severity(alert).to_string()),
        ("SYSLOG_IDENTIFIER".to_owned(), "hushpipe".to_owned()),
        ("HUSHPIPE_ALERT".to_owned(), alert.rule.clone()),
        (
            "HUSHPIPE_STATUS".to_owned(),
            alert.phase().word().to_owned(),
        ),
    ];
    let labels = alert.labels.iter();
    fields.extend(labels.map(|(name, value)| {
        let name = name.to_ascii_uppercase();
        (format!("HUSHPIPE_{name}"), value.clone())
    }));
    fields.push(("HUSHPIPE_RECORD".to_owned(), alert.json(host).to_string()));
    let mut bytes = Vec::new();
    for (name, value) in fields {
        journal::field(&mut bytes, &name, &value);
    }
    bytes
}

/// The body of a webhook.
pub fn webhook(alert: &Alert, host: &str) -> Vec<u8> {
    alert.json(host).to_string().into_bytes()
}

/// The body of a request to Alertmanager's /api/v2/alerts (its OpenAPI's postableAlerts). `until`: one that goes
/// on counts as over then, unless it comes again; milliseconds since 1970.
pub fn alertmanager(alerts: &[Alert], host: &str, until: u64) -> Vec<u8> {
    let alerts: Vec<Value> = alerts
        .iter()
        .map(|alert| posted(alert, host, until))
        .collect();
    Value::Array(alerts).to_string().into_bytes()
}

fn posted(alert: &Alert, host: &str, until: u64) -> Value {
    let mut labels = json!({
        "alertname": name(alert),
        "rule": alert.rule,
        "severity": alert.severity(),
        "host": host,
    });
    for (name, value) in &alert.labels {
        labels[name] = json!(value);
    }
    json!({
        "labels": labels,
        "annotations": { "summary": alert.summary, "description": alert.help() },
        "startsAt": rfc3339(alert.started),
        "endsAt": rfc3339(alert.ended.unwrap_or(until)),
    })
}

/// `HushpipeNewReader`
fn name(alert: &Alert) -> String {
    let words = alert.on.word().split('_');
    let words = words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
    format!("Hushpipe{}", words.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::alerts::tests::sample;

    #[test]
    fn alertmanager_gets_what_its_api_wants() {
        let mut over = sample();
        over.ended = Some(1_700_000_900_000);
        let body = alertmanager(&[sample(), over], "web1", 1_700_000_240_000);
        let one = |end: &str| {
            format!(
                "{{\"labels\":{{\"alertname\":\"HushpipeDenied\",\"rule\":\"denied\",\"severity\":\"warning\",\
                 \"host\":\"web1\",\"service\":\"shop\"}},\"annotations\":{{\"summary\":\"policy denied db to \
                 shop\",\"description\":\"the first record is 4: run `hushpipe audit show --service shop` on the \
                 host\"}},\"startsAt\":\"2023-11-14T22:13:20.000Z\",\"endsAt\":\"{end}\"}}"
            )
        };
        let wanted = format!(
            "[{},{}]",
            one("2023-11-14T22:17:20.000Z"),
            one("2023-11-14T22:28:20.000Z")
        );
        assert_eq!(String::from_utf8(body).unwrap(), wanted);
    }

    #[test]
    fn syslog_and_the_journal_say_it_in_a_line() {
        let text = String::from_utf8(syslog(&sample(), "web1", 8192)).unwrap();
        let wanted = format!(
            "<84>1 2023-11-14T22:13:20.250Z web1 hushpipe - alert [origin software=\"hushpipe\" \
             swVersion=\"{VERSION}\"][alert@32473 service=\"shop\" rule=\"denied\" status=\"firing\" \
             count=\"2\"] alert denied firing: policy denied db to shop (2 times)"
        );
        assert_eq!(text, wanted);
        let text = String::from_utf8(journal(&sample(), "web1")).unwrap();
        let begin = format!(
            "MESSAGE=alert denied firing: policy denied db to shop (2 times)\nMESSAGE_ID={MESSAGE_ID}\n\
             PRIORITY=4\nSYSLOG_IDENTIFIER=hushpipe\nHUSHPIPE_ALERT=denied\nHUSHPIPE_STATUS=firing\n\
             HUSHPIPE_SERVICE=shop\nHUSHPIPE_RECORD={{\"version\":1,"
        );
        assert!(text.starts_with(&begin), "{text}");
    }
}
