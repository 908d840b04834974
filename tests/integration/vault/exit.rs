//! At the end all is given back.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{
    API, DB, READS, by_approle, file, file_at_once, manifest, once, start, until_no_lease,
};
use crate::harness::{
    Bao, Fake, FakeAnswers, FaultProxy, Hushpipe, Output, Postgres, Running, Wire,
};

fn with_database() -> (Bao, Postgres) {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "1h", "2h");
    (bao, postgres)
}

#[test]
fn leases_and_the_login_are_revoked() {
    let (bao, _postgres) = with_database();
    let (hushpipe, store) = by_approle(&bao);
    let rest = file_at_once("{{ db.username }}");
    let running = start(hushpipe, &manifest(&store, DB, &rest), &READS);
    assert_eq!(bao.leases("database/creds/app").len(), 1);
    let said = "store bao: revoked 1 lease and the login";
    running.stop().success().stderr_has(said);
    assert!(bao.tokens().is_empty());
    until_no_lease(&bao);
}

#[test]
fn leases_of_a_given_token_are_revoked_and_the_token_stays() {
    let (bao, _postgres) = with_database();
    let hushpipe = Hushpipe::new();
    bao.application(hushpipe.place());
    hushpipe.place().write("token", bao.token("app", "1h"));
    let auth = "{ method: token, file: \"{place}/token\" }";
    let store = bao.store(&hushpipe.place().fill(auth));
    once(hushpipe, &manifest(&store, DB, &file("{{ db.username }}")))
        .run()
        .success()
        .stderr_has("store bao: revoked 1 lease\n");
    until_no_lease(&bao);
    assert_eq!(bao.tokens().len(), 1);
}

#[test]
fn a_lease_that_may_not_be_revoked_is_said_to_run_out() {
    let (bao, _postgres) = with_database();
    let hushpipe = Hushpipe::new();
    bao.policy(
        "app",
        "path \"database/creds/*\" { capabilities = [\"read\"] }",
    );
    hushpipe.place().write("token", bao.token("app", "1h"));
    let auth = "{ method: token, file: \"{place}/token\" }";
    let store = bao.store(&hushpipe.place().fill(auth));
    once(hushpipe, &manifest(&store, DB, &file("{{ db.username }}")))
        .run()
        .success()
        .stderr_has("allows `update` on sys/leases/revoke")
        .stderr_has("left to run out");
}

#[test]
fn a_launch_that_fails_gives_back_what_it_got() {
    let (bao, _postgres) = with_database();
    let (hushpipe, store) = by_approle(&bao);
    once(hushpipe, &manifest(&store, DB, &file("{{ db.nothing }}")))
        .run()
        .code(65)
        .stderr_has("revoked 1 lease and the login");
    assert!(bao.tokens().is_empty());
    until_no_lease(&bao);
}

#[test]
fn a_signal_during_the_fetch_gives_back_what_was_got_until_then() {
    let (bao, _postgres) = with_database();
    let (hushpipe, store) = by_approle(&bao);
    // The second store never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let second = bao.store_by_approle_at(hushpipe.place(), &address, "");
    let secrets = format!("{DB}  api: {{ store: deaf, path: kv/data/app }}\n");
    let text = manifest(&format!("{store}\n  deaf: {second}"), &secrets, "");
    let running = hushpipe
        .manifest(&text)
        .args(["-v", "run", "--", "true"])
        .spawn();
    running.until("the lease is there", || {
        (bao.leases("database/creds/app").len() == 1).then_some(())
    });
    running.signal(Signal::SIGTERM);
    running
        .wait()
        .code(143)
        .stderr_has("revoked 1 lease and the login");
    assert!(bao.tokens().is_empty());
    until_no_lease(&bao);
}

/// A launch whose login the server has taken, while its answer is held back.
fn logging_in(bao: &Bao) -> (Running, FakeAnswers) {
    bao.kv_put("app", &json!({ "key": "one" }));
    let fake = FakeAnswers::before(bao.plain_port());
    fake.answer("/v1/auth/approle/login", Fake::Held);
    let hushpipe = Hushpipe::new();
    let store = bao.store_by_approle_at(hushpipe.place(), &fake.address(), "");
    let running = once(hushpipe, &manifest(&store, API, &file("{{ api.key }}"))).spawn();
    running.until("the server has the login", || {
        (bao.requests("auth/approle/login") == 1).then_some(())
    });
    (running, fake)
}

#[test]
fn a_signal_during_the_login_waits_for_its_answer_and_revokes_it() {
    let bao = Bao::start();
    let (running, fake) = logging_in(&bao);
    // It sees both at once: the signal comes first.
    running.signal(Signal::SIGSTOP);
    running.signal(Signal::SIGTERM);
    fake.relent();
    std::thread::sleep(Duration::from_millis(300));
    running.signal(Signal::SIGCONT);
    running
        .wait()
        .code(143)
        .stdout_is("")
        .stderr_has("store bao: revoked the login");
    assert!(bao.tokens().is_empty());
    assert_eq!(bao.requests("kv/"), 0, "it went on after the login");
}

#[test]
fn a_login_that_is_not_answered_does_not_hold_the_end_up() {
    let bao = Bao::start();
    let (running, _fake) = logging_in(&bao);
    let began = Instant::now();
    running.signal(Signal::SIGTERM);
    running.wait().code(143).stderr_has(
        "store bao, the login: no answer within 50ms; leases and logins are left to run out",
    );
    // 100 ms on a machine that has nothing else to do.
    assert!(began.elapsed().as_millis() < 1_000, "{:?}", began.elapsed());
}

#[test]
fn nothing_is_revoked_where_the_manifest_says_so() {
    let (bao, _postgres) = with_database();
    let (hushpipe, _) = by_approle(&bao);
    let store =
        bao.store_by_approle_at(hushpipe.place(), &bao.address(), ", revoke_on_exit: false");
    once(hushpipe, &manifest(&store, DB, &file("{{ db.username }}")))
        .run()
        .success();
    assert_eq!(bao.leases("database/creds/app").len(), 1);
    assert_eq!(bao.tokens().len(), 1);
}

#[test]
fn a_server_that_does_not_answer_holds_the_end_up_for_five_seconds_at_most() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let proxy = FaultProxy::start(bao.port());
    let hushpipe = Hushpipe::new();
    let store = bao.store_by_approle_at(hushpipe.place(), &proxy.address(), "");
    let rest = file_at_once("{{ api.key }}");
    let hushpipe = hushpipe.args(["--log-format", "json"]);
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    proxy.set(Wire::BlackHole);
    is_held_up_for_five_seconds(&running.stop().success());
}

/// Between the end of the program and hushpipe's own, by the times in its log.
fn is_held_up_for_five_seconds(output: &Output) {
    let stderr = output.stderr();
    let events: Vec<Value> = stderr
        .lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect();
    let one = |name: &str| {
        let mut found = events.iter().filter(|event| event["event"] == name);
        let (first, more) = (found.next(), found.next());
        assert!(more.is_none(), "{stderr}");
        first.unwrap_or_else(|| panic!("no {name}\n{stderr}"))
    };
    let at = |event: &Value| humantime::parse_rfc3339(event["time"].as_str().unwrap()).unwrap();
    let (ended, fault) = (one("exited"), one("fault"));
    let said = fault["message"].as_str().unwrap();
    assert!(said.contains("did not take all back within 5s"), "{said}");
    let took = at(fault).duration_since(at(ended)).unwrap();
    assert!(took >= Duration::from_millis(4_900), "{took:?}");
    assert!(took < Duration::from_millis(6_500), "{took:?}");
}

#[test]
fn the_bound_is_one_for_all_leases_and_stores() {
    let (bao, _postgres) = with_database();
    bao.kv_put("app", &json!({ "key": "one" }));
    let proxy = FaultProxy::start(bao.port());
    let hushpipe = Hushpipe::new().controlled();
    let place = hushpipe.place();
    let store = bao.store_by_approle_at(place, &proxy.address(), "");
    place.write("token", bao.token("app", "1h"));
    let auth = place.fill("{ method: token, file: \"{place}/token\" }");
    let given = bao.store_at(&proxy.address(), &auth, "");
    let secrets = format!("{API}  db: {{ store: given, path: database/creds/app }}\n");
    let text = manifest(
        &format!("{store}\n  given: {given}"),
        &secrets,
        &file_at_once("{{ api.key }} {{ db.username }}"),
    );
    let running = start(hushpipe.args(["--log-format", "json"]), &text, &READS);
    running.rotate("db");
    assert_eq!(bao.leases("database/creds/app").len(), 2);
    proxy.set(Wire::BlackHole);
    is_held_up_for_five_seconds(&running.stop().success());
    assert_eq!(bao.leases("database/creds/app").len(), 2);
}

#[test]
fn another_signal_ends_the_wait_for_the_server() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let proxy = FaultProxy::start(bao.port());
    let hushpipe = Hushpipe::new();
    let store = bao.store_by_approle_at(hushpipe.place(), &proxy.address(), "");
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    proxy.set(Wire::BlackHole);
    running.signal(Signal::SIGTERM);
    running.wait_for_stderr("the program ended");
    running.signal(Signal::SIGTERM);
    running
        .wait()
        .success()
        .stderr_has("SIGTERM ended the wait for stores");
}

#[test]
fn in_exec_mode_a_lease_stays_and_its_login_too_and_it_is_said() {
    let (bao, _postgres) = with_database();
    let (hushpipe, store) = by_approle(&bao);
    let fd = "deliver:\n  - { fd: 3, as: memfd, secret: db.username }\n";
    hushpipe
        .manifest(&manifest(&store, DB, fd))
        .args(["-v", "run", "--exec", "--", "cat", "/dev/fd/3"])
        .run()
        .success()
        .stdout_has("v-")
        .stderr_has("in exec mode hushpipe does not remain to renew or revoke it");
    assert_eq!(bao.leases("database/creds/app").len(), 1);
    assert_eq!(bao.tokens().len(), 1);
}

#[test]
fn in_exec_mode_a_login_that_nothing_hangs_on_is_revoked_before_the_program_starts() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    let secret = "  api: { store: bao, path: kv/data/app }\n";
    let fd = "deliver:\n  - { fd: 3, as: memfd, secret: api.key }\n";
    hushpipe
        .manifest(&manifest(&store, secret, fd))
        .args(["-v", "run", "--exec", "--", "cat", "/dev/fd/3"])
        .run()
        .success()
        .stdout_is("one")
        .stderr_has("store bao: revoked the login");
    assert!(bao.tokens().is_empty());
}
