//! `on_rotate`: what each way to write it becomes.

use std::path::Path;
use std::time::Duration;

use super::super::*;
use crate::model::{
    HttpMethod, OnRotate, RestartBudget, Rewrite, RotateAction, Signal, Verify, VerifyHow,
};

pub const ROTATE: &str = include_str!("../../../tests/vectors/manifests/good/rotate.yaml");

fn plan(text: &str) -> Plan {
    let plan = parse(Path::new("x"), text, &Overrides::default(), &|_| None);
    plan.unwrap_or_else(|error| panic!("{}", error.render(false)))
}

fn on_rotate(body: &str) -> OnRotate {
    let start = "version: 1\nservice: a\nrun: { command: [x] }\n";
    plan(&format!("{start}on_rotate: {{ {body} }}\n")).on_rotate
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn the_key_that_is_there_says_what_is_done() {
    let table = [
        ("", RotateAction::Nothing),
        ("settle: 1s", RotateAction::Nothing),
        ("do: nothing", RotateAction::Nothing),
        ("do: signal", RotateAction::Signal(Signal::HUP)),
        ("signal: QUIT", RotateAction::Signal(Signal::QUIT)),
        ("do: restart", RotateAction::Restart),
        (
            "command: [app, reload]",
            RotateAction::Command {
                argv: argv(&["app", "reload"]),
                timeout: Duration::from_secs(30),
            },
        ),
        (
            "do: command, command: [x], timeout: 1m",
            RotateAction::Command {
                argv: argv(&["x"]),
                timeout: Duration::from_mins(1),
            },
        ),
        (
            "http: \"http://127.0.0.1:8080/-/reload\"",
            RotateAction::Http {
                url: "http://127.0.0.1:8080/-/reload".to_owned(),
                method: HttpMethod::Post,
                timeout: Duration::from_secs(10),
            },
        ),
        (
            "do: http, http: \"https://app/a?b\", method: GET, timeout: 5s",
            RotateAction::Http {
                url: "https://app/a?b".to_owned(),
                method: HttpMethod::Get,
                timeout: Duration::from_secs(5),
            },
        ),
    ];
    for (body, wanted) in table {
        assert_eq!(on_rotate(body).action, wanted, "{body}");
    }
}

#[test]
fn a_program_that_is_asked_gets_the_old_values_back_unless_the_manifest_says_no() {
    let ten = Duration::from_secs(10);
    let table = [
        ("signal: HUP", None, false),
        (
            "signal: HUP, verify: { alive: true }",
            Some((VerifyHow::Alive, ten)),
            true,
        ),
        (
            "signal: HUP, verify: { alive: true, within: 3s }, rollback: false",
            Some((VerifyHow::Alive, Duration::from_secs(3))),
            false,
        ),
        (
            "verify: { command: [app, check] }, rollback: true",
            Some((VerifyHow::Command(argv(&["app", "check"])), ten)),
            true,
        ),
        (
            "do: restart, verify: { http: \"http://localhost/health\" }",
            Some((VerifyHow::Http("http://localhost/health".to_owned()), ten)),
            true,
        ),
        ("command: [app, reload], rollback: true", None, true),
        ("do: restart", None, false),
    ];
    for (body, how, rollback) in table {
        let found = on_rotate(body);
        let wanted = how.map(|(how, within)| Verify { how, within });
        assert_eq!((found.verify, found.rollback), (wanted, rollback), "{body}");
    }
}

#[test]
fn delays_and_the_budget_have_their_defaults() {
    let found = on_rotate("do: restart");
    assert_eq!(found.settle, Duration::from_secs(2));
    assert_eq!(found.splay, Duration::ZERO);
    assert_eq!(found.restarts, RestartBudget::default());
    let found = on_rotate("do: restart, restarts: { max: 2 }, splay: 1m");
    assert_eq!(found.splay, Duration::from_mins(1));
    let per = RestartBudget::default().per;
    assert_eq!(found.restarts, RestartBudget { max: 2, per });
}

#[test]
fn a_secret_has_an_action_of_its_own() {
    let plan = plan(ROTATE);
    let own: Vec<Option<&RotateAction>> = plan
        .secrets
        .values()
        .map(|secret| secret.on_rotate.as_ref())
        .collect();
    assert_eq!(own[0], None);
    assert_eq!(own[1], Some(&RotateAction::Signal(Signal::HUP)));
    assert_eq!(own[2], Some(&RotateAction::Signal(Signal::USR1)));
    assert!(matches!(own[3], Some(RotateAction::Command { .. })));
    assert!(matches!(own[4], Some(RotateAction::Http { .. })));
    assert_eq!(own[5], Some(&RotateAction::Nothing));
    assert_eq!(plan.run.forward.rewrite[&Signal::USR1], Rewrite::Rotate);
    assert_eq!(plan.run.forward.rewrite[&Signal::QUIT], Rewrite::Drop);
}

#[test]
fn restarts_are_counted_where_a_secret_alone_restarts() {
    let text = ROTATE
        .replace("do: restart\n", "do: nothing\n")
        .replace("{ signal: USR1 }", "{ do: restart }");
    assert_eq!(plan(&text).on_rotate.restarts.max, 3);
}
