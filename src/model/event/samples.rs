//! One sample of every event, and of every way that one can be.

use std::collections::BTreeSet;

use super::*;

const MS: Duration = Duration::from_micros(1500);
const S: Duration = Duration::from_secs(90);

fn store() -> StoreName {
    StoreName::new("bao").unwrap()
}

fn secret() -> SecretName {
    SecretName::new("db").unwrap()
}

fn t(text: &str) -> String {
    text.to_owned()
}

/// In the order of the table.
pub fn samples() -> Vec<Event> {
    let all = [start(), run(), rotation(), stores(), policy(), faults()];
    all.into_iter().flatten().collect()
}

/// Until the program runs.
fn start() -> Vec<Event> {
    vec![
        Event::Fetched {
            secrets: 1,
            requests: 2,
            took: MS,
        },
        Event::ExecRefused {
            pid: 7,
            why: t("no"),
        },
        Event::ExecTraced { pid: 7 },
        Event::ArgumentShowsValue {
            pid: 7,
            argument: 2,
            variable: t("DB_PASSWORD"),
        },
        Event::Waiting {
            store: store(),
            waited: S,
            why: Some(t("refused")),
        },
        Event::Waiting {
            store: store(),
            waited: S,
            why: None,
        },
        Event::StoreAsked {
            store: store(),
            took: MS,
            outcome: Outcome::Answered,
        },
        Event::StoreAsked {
            store: store(),
            took: MS,
            outcome: Outcome::NoAnswer,
        },
        Event::Redacted {
            secret: secret(),
            stream: OutputStream::Stdout,
            times: 3,
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
    ]
}

/// While it runs, and when it ends.
fn run() -> Vec<Event> {
    vec![
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
            timeout: S,
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
    ]
}

/// Of rotations.
fn rotation() -> Vec<Event> {
    vec![
        Event::Changed {
            secret: secret(),
            version: Version(t("v2")),
        },
        Event::Unchanged { bad: true },
        Event::Unchanged { bad: false },
        Event::Rotated {
            generation: Generation(2),
            took: MS,
            changes: vec!["api v1 → v2".to_owned(), "HUP sent".to_owned()],
        },
        Event::Notified {
            signal: Signal::HUP,
        },
        Event::Told {
            how: t("command nginx"),
        },
        Event::Verified { took: MS },
        Event::RolledBack {
            generation: Generation(3),
            reason: Some(t("no answer")),
        },
        Event::RolledBack {
            generation: Generation(3),
            reason: None,
        },
        Event::Restarting,
        Event::RestartsExhausted { max: 5, per: S },
    ]
}

/// Of logins and leases, and of who asks.
fn stores() -> Vec<Event> {
    vec![
        Event::LoggedIn {
            store: store(),
            method: "approle",
            ttl: Some(S),
        },
        Event::LoggedIn {
            store: store(),
            method: "token",
            ttl: None,
        },
        Event::Renewed {
            store: store(),
            asked: t("database/creds/app"),
            ttl: S,
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
    ]
}

/// Of decisions and approvals.
fn policy() -> Vec<Event> {
    let decided = |effect, verdict, policies: &[&str]| Event::PolicyDecided {
        action: Action::Deliver,
        resource: t("db"),
        principal: t("payments"),
        effect,
        verdict,
        policies: policies.iter().map(|id| t(id)).collect(),
    };
    vec![
        decided(Effect::Allow, Verdict::Allowed, &["payments"]),
        decided(Effect::Pending, Verdict::Met, &["two-people"]),
        decided(Effect::Deny, Verdict::Observed, &["pinned", "hours"]),
        decided(Effect::Deny, Verdict::Denied, &[]),
        Event::PolicyReloaded { policies: 1 },
        Event::PolicyReloaded { policies: 12 },
        Event::PolicyStale {
            message: t("/etc/hushpipe/policy.d is gone"),
        },
        Event::ApprovalRequested {
            waits: true,
            request: t("7f3a"),
            policy: t("two-people"),
            needed: 2,
            group: t("sre"),
        },
        Event::ApprovalGiven {
            request: t("7f3a"),
            by: t("alice"),
            given: 1,
            needed: 2,
        },
        Event::ApprovalSpent {
            request: t("7f3a"),
            policy: t("two-people"),
            people: vec![t("alice"), t("bob")],
        },
        Event::BreakGlass {
            action: Action::Deliver,
            reason: t("INC-7"),
            by: None,
        },
        Event::BreakGlass {
            action: Action::Revoke,
            reason: t("INC-7"),
            by: Some((5, 1000)),
        },
    ]
}

/// Of what goes wrong, and of what is mended.
fn faults() -> Vec<Event> {
    vec![
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
        Event::ControlGroupWaiting {
            store: store(),
            asked: t("kv/data/db"),
            accessor: t("A1"),
            namespace: None,
            by: vec![],
            within: S,
        },
        Event::ControlGroupWaiting {
            store: store(),
            asked: t("kv/data/db"),
            accessor: t("A1"),
            namespace: Some(t("team")),
            by: vec![t("ann"), t("eve")],
            within: S,
        },
        Event::ControlGroupEnded {
            store: store(),
            asked: t("kv/data/db"),
            accessor: t("A1"),
            end: ControlGroupEnd::Authorized,
            by: vec![t("ann")],
        },
        Event::ControlGroupEnded {
            store: store(),
            asked: t("kv/data/db"),
            accessor: t("A1"),
            end: ControlGroupEnd::TimedOut,
            by: vec![],
        },
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
