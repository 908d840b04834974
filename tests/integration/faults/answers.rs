//! The server answers, but not with sense.

use std::time::Instant;

use serde_json::json;

use super::{DEADLINE, KV, MORE, ONE_INTERVAL, PATIENCE, goes_on, is_told, is_well, manifest, run};
use crate::harness::{Bao, Fake, FakeAnswers, Hushpipe, Running};

/// A program with the KV secret `app`, through a fake.
struct Spoilt {
    bao: Bao,
    fake: FakeAnswers,
    running: Running,
}

impl Spoilt {
    fn start() -> Self {
        Self::patient(PATIENCE)
    }

    fn patient(patience: &str) -> Self {
        let bao = Bao::start();
        bao.kv_put("app", &json!({ "value": "one" }));
        let fake = FakeAnswers::before(bao.plain_port());
        let hushpipe = Hushpipe::new();
        let store = bao.store_by_approle_at(hushpipe.place(), &fake.address(), patience);
        let running = run(hushpipe, &manifest(&store, KV, "{{ it.value }}"));
        Self { bao, fake, running }
    }

    /// Every answer of KV is this, until it was met in more tries; one line says so.
    fn suffers(&self, fake: Fake, text: &str) {
        let said = self.running.stderr().len();
        self.fake.answer("/v1/kv/", fake);
        self.running.wait_for_stderr(text);
        let before = self.fake.tries("/v1/kv/", DEADLINE);
        self.running.until("hushpipe tries again", || {
            (self.fake.tries("/v1/kv/", DEADLINE) >= before + MORE).then_some(())
        });
        goes_on(&self.running, "one");
        let said = self.running.stderr().split_off(said);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("the program keeps what it has"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        is_told(&self.running, text);
    }

    fn recovers(&self) {
        self.fake.relent();
        let since = Instant::now();
        self.bao.kv_put("app", &json!({ "value": "two" }));
        self.running.wait_for_line("two");
        assert!(since.elapsed() < ONE_INTERVAL, "{:?}", since.elapsed());
        self.running.wait_for_stderr("store bao answers again");
        goes_on(&self.running, "two");
        is_well(&self.running);
    }
}

#[test]
fn a_storm_of_429_is_weathered() {
    let life = Spoilt::start();
    let later = vec!["Retry-After: 1".to_owned()];
    life.suffers(Fake::Whole(429, later, b"hunter2".to_vec()), "429");
    life.recovers();
}

#[test]
fn retry_after_is_kept() {
    let life = Spoilt::patient(", retry: { deadline: 10s }");
    let later = vec!["Retry-After: 3".to_owned()];
    life.fake
        .answer("/v1/kv/", Fake::Whole(429, later, Vec::new()));
    let before = life.fake.count("/v1/kv/");
    let times = life.running.until("hushpipe tries twice", || {
        let seen = life.fake.seen();
        let kv: Vec<_> = seen
            .iter()
            .filter(|seen| seen.path.starts_with("/v1/kv/"))
            .collect();
        (kv.len() >= before + 2).then(|| (kv[before].at, kv[before + 1].at))
    });
    let pause = times.1 - times.0;
    assert!(pause.as_millis() >= 2_900, "{pause:?}");
}

#[test]
fn faults_of_the_server_are_weathered() {
    let life = Spoilt::start();
    life.suffers(Fake::status(500, "hunter2"), "500");
    life.recovers();
}

#[test]
fn faults_of_a_gateway_are_weathered() {
    let life = Spoilt::start();
    life.suffers(Fake::status(502, "<html>hunter2</html>"), "502");
    life.recovers();
}

#[test]
fn garbage_is_no_value() {
    let life = Spoilt::start();
    life.suffers(Fake::status(200, "{\"data\":hunter2"), "store bao");
    life.recovers();
}

#[test]
fn json_of_another_kind_is_no_value() {
    let life = Spoilt::start();
    life.suffers(Fake::status(200, "[\"hunter2\"]"), "store bao");
    life.recovers();
}

#[test]
fn half_an_answer_is_no_value() {
    let life = Spoilt::start();
    life.suffers(Fake::Truncated, "store bao");
    life.recovers();
}

#[test]
fn a_connection_that_closes_without_a_word_is_made_again() {
    let life = Spoilt::start();
    life.suffers(Fake::Nothing, "no answer from");
    life.recovers();
}

#[test]
fn the_token_does_not_follow_a_redirect_to_another_host() {
    let life = Spoilt::start();
    let other = FakeAnswers::alone();
    let there = vec![format!("Location: {}/v1/kv/data/app", other.address())];
    life.suffers(Fake::Whole(307, there, Vec::new()), "store bao");
    let seen = other.seen();
    let shown = seen
        .iter()
        .any(|seen| seen.head.to_lowercase().contains("x-vault-token"));
    assert!(!shown, "{seen:?}");
    life.recovers();
}
