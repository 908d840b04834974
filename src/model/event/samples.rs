//! One sample of every event, and of every way that one can be.

use std::collections::BTreeSet;

use super::*;

/// In the order of the table.
pub fn samples() -> Vec<Event> {
    let store = || StoreName::new("bao").unwrap();
    let secret = || SecretName::new("db").unwrap();
    let ms = Duration::from_micros(1500);
    let s = Duration::from_secs(90);
    let t = |text: &str| text.to_owned();
    vec![
        Event::Fetched {
            secrets: 1,
            requests: 2,
            took: ms,
        },
        Event::Waiting {
            store: store(),
            waited: s,
            why: Some(t("refused")),
        },
        Event::Waiting {
            store: store(),
            waited: s,
            why: None,
        },
        Event::StoreAsked {
            store: store(),
            took: ms,
            outcome: Outcome::Answered,
        },
        Event::StoreAsked {
            store: store(),
            took: ms,
            outcome: Outcome::NoAnswer,
        },
        Event::Delivered {
            secret: secret(),
            version: Version(t("v2")),
            generation: Generation(1),
        },
        Event::Isolation {
            used: IsolationUsed::Private,
            reason: None,
        },
        Event::Isolation {
            used: IsolationUsed::Shared,
            reason: Some(t("no namespaces")),
        },
        Event::Started {
            pid: 7,
            program: t("nginx"),
        },
        Event::ControlSocket {
            path: "/run/x.sock".into(),
        },
        Event::Confined {
            protections: vec![t("no_new_privs"), t("seccomp: 3 system calls refused")],
        },
        Event::Forwarded {
            received: Signal::HUP,
            sent: Signal::TERM,
        },
        Event::Relayed {
            pid: 7,
            fields: vec![t("READY"), t("STATUS")],
        },
        Event::Following { pid: 8 },
        Event::Stopping {
            signal: Signal::TERM,
            timeout: s,
        },
        Event::Killed,
        Event::Exited {
            code: 143,
            signal: Some(Signal::TERM),
        },
        Event::Exited {
            code: 3,
            signal: None,
        },
        Event::Leftover { pid: 9 },
        Event::Changed {
            secret: secret(),
            version: Version(t("v2")),
        },
        Event::Unchanged { bad: true },
        Event::Unchanged { bad: false },
        Event::Rotated {
            generation: Generation(2),
            took: ms,
        },
        Event::Notified {
            signal: Signal::HUP,
        },
        Event::Told {
            how: t("command nginx"),
        },
        Event::Verified { took: ms },
        Event::RolledBack {
            generation: Generation(3),
            reason: Some(t("no answer")),
        },
        Event::RolledBack {
            generation: Generation(3),
            reason: None,
        },
        Event::Restarting,
        Event::RestartsExhausted { max: 5, per: s },
        Event::LoggedIn {
            store: store(),
            method: "approle",
            ttl: Some(s),
        },
        Event::LoggedIn {
            store: store(),
            method: "token",
            ttl: None,
        },
        Event::Renewed {
            store: store(),
            asked: t("database/creds/app"),
            ttl: s,
        },
        Event::Revoked {
            store: store(),
            leases: 0,
            token: true,
        },
        Event::Revoked {
            store: store(),
            leases: 2,
            token: true,
        },
        Event::Revoked {
            store: store(),
            leases: 1,
            token: false,
        },
        Event::Asked {
            what: t("rotate db"),
            by: Some((5, 1000)),
        },
        Event::Asked {
            what: t("rotate"),
            by: None,
        },
        Event::RotationFailed {
            error: RotationError::Refused {
                why: t("too short"),
            },
        },
        Event::StoreFault {
            outcome: Outcome::NoAnswer,
            store: store(),
            message: t("store bao: refused"),
        },
        Event::StoreStill {
            outcome: Outcome::Denied,
            store: store(),
            message: t("store bao: sealed"),
        },
        Event::StoreNote {
            store: store(),
            message: t("new to this host"),
        },
        Event::StoreRecovered { store: store() },
        Event::FifoRead {
            path: "/run/fifo".into(),
            reads: 2,
        },
        Event::PutBack {
            path: "/run/token".into(),
            removed: true,
        },
        Event::PutBack {
            path: "/run/token".into(),
            removed: false,
        },
        Event::ConditionBegan {
            what: t("/run/token"),
            message: t("replaced"),
        },
        Event::ConditionEnded {
            what: t("/run/token"),
        },
        Event::Swept {
            path: "/run/old".into(),
        },
        Event::Weaker {
            about: Topic::Memory,
            message: t("no mlock"),
        },
        Event::Fault {
            about: Topic::Program,
            message: t("cannot signal"),
        },
    ]
}

#[test]
fn every_event_has_a_sample_a_tag_a_level_and_a_message() {
    let mut seen = BTreeSet::new();
    for event in samples() {
        let value = serde_json::to_value(&event).unwrap();
        let tag = value["event"].as_str().unwrap();
        assert!(
            !event.level().name().is_empty() && !event.message().is_empty(),
            "{tag}"
        );
        seen.insert(tag.replace('_', ""));
    }
    let all: BTreeSet<String> = Event::ALL.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(seen, all);
}
