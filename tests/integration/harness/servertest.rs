//! Tests of the servers that tests use: what they promise is what is there.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bao::ROOT;
use super::{Bao, Fake, FakeAnswers, FaultProxy, Place, Postgres, Wire, is_alive};

/// Logs in by the ids; the token.
fn log_in(bao: &Bao, path: &str, body: &Value) -> Option<String> {
    let answer = bao.request_with(&[], "POST", path, Some(body)).ok()?;
    answer.body["auth"]["client_token"]
        .as_str()
        .map(str::to_owned)
}

/// curl's exit code for a health check through a proxy, with TLS checked.
fn health(bao: &Bao, address: &str, seconds: &str) -> i32 {
    let curl = std::process::Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--max-time", seconds])
        .arg("--cacert")
        .arg(bao.ca_file())
        .arg(format!("{address}/v1/sys/health"))
        .status();
    curl.unwrap().code().unwrap()
}

#[test]
fn openbao_serves_by_tls_and_logs_in_at_once() {
    let place = Place::new();
    let bao = Bao::start();
    let app = bao.application(&place);
    let ids = json!({ "role_id": app.role_id, "secret_id": app.secret_id });
    let token = log_in(&bao, "auth/approle/login", &ids).unwrap();
    assert_eq!(bao.kv_put("a", &json!({ "k": "one" })), 1);
    let read = bao.request_as(&token, "GET", "kv/data/a", None);
    assert_eq!(read.body["data"]["data"]["k"], "one");
    assert_eq!(
        bao.request_as(&token, "GET", "sys/mounts", None).status,
        403
    );
    assert_eq!(health(&bao, &bao.address(), "5"), 0);
    assert_eq!(bao.requests("kv/data/a"), 1);
    assert_eq!(bao.tokens().len(), 1);
    bao.revoke_tokens();
    assert_eq!(bao.request_as(&token, "GET", "kv/data/a", None).status, 403);
}

#[test]
fn openbao_takes_every_login_that_tests_need() {
    let bao = Bao::start();
    bao.policy("app", super::bao::auth::APPLICATION);
    bao.userpass("ann", "secret", "app");
    assert!(
        log_in(
            &bao,
            "auth/userpass/login/ann",
            &json!({ "password": "secret" })
        )
        .is_some()
    );
    bao.jwt_role("app");
    let body = json!({ "role": "app", "jwt": bao.jwt(60) });
    assert!(log_in(&bao, "auth/jwt/login", &body).is_some());
    let kubernetes = FakeAnswers::kubernetes();
    bao.kubernetes_role(&kubernetes.address(), "app");
    let body = json!({ "role": "app", "jwt": bao.service_account_token(60) });
    assert!(log_in(&bao, "auth/kubernetes/login", &body).is_some());
    assert_eq!(kubernetes.count("/apis"), 1);
}

#[test]
fn openbao_keeps_what_it_is_to_keep() {
    let mut bao = Bao::settings().durable().start();
    bao.kv_put("a", &json!({ "k": "one" }));
    bao.kill();
    bao.restart();
    assert_eq!(bao.get("kv/data/a")["data"]["data"]["k"], "one");
}

#[test]
fn openbao_is_sealed_and_unsealed_while_it_runs() {
    let mut bao = Bao::settings().manual().start();
    bao.kv_put("a", &json!({ "k": "one" }));
    let pid = bao.pid();
    bao.seal();
    assert_eq!(bao.request("GET", "kv/data/a", None).status, 503);
    bao.unseal();
    assert_eq!(bao.get("kv/data/a")["data"]["data"]["k"], "one");
    assert_eq!(bao.pid(), pid);
    drop(bao);
    assert!(!is_alive(pid));
}

#[test]
fn the_wire_does_what_it_is_told() {
    let bao = Bao::start();
    let proxy = FaultProxy::start(bao.port());
    let health = |seconds| health(&bao, &proxy.address(), seconds);
    assert_eq!(health("5"), 0);
    assert_eq!(proxy.connections(), 1);
    proxy.set(Wire::Refuse);
    assert_eq!(health("5"), 7, "refused");
    proxy.set(Wire::BlackHole);
    assert_eq!(health("0.2"), 28, "timed out");
    proxy.set(Wire::CutAfter(800));
    assert_ne!(health("5"), 0, "cut");
    proxy.set(Wire::Trickle(Duration::from_millis(100)));
    assert_eq!(health("0.3"), 28, "timed out");
    proxy.set(Wire::Delay(Duration::from_millis(50)));
    let since = Instant::now();
    assert_eq!(health("5"), 0);
    assert!(
        since.elapsed() >= Duration::from_millis(200),
        "TLS and the request"
    );
    proxy.set(Wire::Good);
    assert_eq!(health("5"), 0);
}

#[test]
fn fake_answers_stand_before_real_ones() {
    let bao = Bao::start();
    bao.kv_put("a", &json!({ "k": "one" }));
    let fake = FakeAnswers::before(bao.plain_port());
    let get = || {
        let curl = std::process::Command::new("curl")
            .args(["--silent", "--show-error", "--include", "--header"])
            .arg(format!("X-Vault-Token: {ROOT}"))
            .arg(format!("{}/v1/kv/data/a", fake.address()))
            .output();
        let curl = curl.unwrap();
        (
            curl.status.code().unwrap(),
            String::from_utf8(curl.stdout).unwrap(),
        )
    };
    assert!(get().1.contains("\"one\""));
    let storm = Fake::Whole(
        429,
        vec!["Retry-After: 1".to_owned()],
        b"slow down".to_vec(),
    );
    fake.answer("/v1/kv/", storm);
    assert!(get().1.contains("429") && get().1.contains("Retry-After"));
    fake.answer("/v1/kv/", Fake::Truncated);
    assert_ne!(get().0, 0);
    fake.answer("/v1/kv/", Fake::Nothing);
    assert_ne!(get().0, 0);
    fake.relent();
    assert!(get().1.contains("\"one\""));
    assert_eq!(fake.count("/v1/kv/data/a"), 6);
}

#[test]
fn leases_are_roles_of_postgresql() {
    let postgres = Postgres::start();
    let bao = Bao::start();
    bao.database(&postgres, "60s", "120s");
    let made = bao.get("database/creds/app");
    let name = made["data"]["username"].as_str().unwrap();
    assert_eq!(postgres.leased_roles(), [name]);
    let leases = bao.leases("database/creds/app");
    assert_eq!(leases, [made["lease_id"].as_str().unwrap()]);
    assert!(bao.lease(&leases[0]).is_some());
    bao.revoke_lease(&leases[0]);
    assert!(bao.lease(&leases[0]).is_none());
    assert_eq!(postgres.leased_roles(), [""; 0]);
}

#[test]
fn certificates_come_with_their_keys() {
    let bao = Bao::start();
    let root = bao.pki("60s");
    let body = json!({ "common_name": "localhost", "ip_sans": "127.0.0.1" });
    let made = bao.post("pki/issue/web", &body);
    assert!(
        made["data"]["private_key"]
            .as_str()
            .unwrap()
            .contains("PRIVATE KEY")
    );
    assert_eq!(made["data"]["issuing_ca"].as_str().unwrap(), root);
}
