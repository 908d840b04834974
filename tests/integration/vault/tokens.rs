//! Tokens that hushpipe logged in for, and what hangs on them.

use serde_json::{Value, json};

use super::{API, DB, READS, file_at_once, manifest, start};
use crate::harness::bao::auth::{APPLICATION, APPROLE_AUTH};
use crate::harness::{Bao, Hushpipe, Postgres, Running};

/// A server with the secret `api.key`, and hushpipe that logs in by a role with these settings.
fn bao_with(role: &Value) -> (Bao, Hushpipe, String) {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    bao.policy("app", APPLICATION);
    let hushpipe = Hushpipe::new();
    bao.approle(hushpipe.place(), role);
    let store = bao.store(&hushpipe.place().fill(APPROLE_AUTH));
    (bao, hushpipe, store)
}

fn follows(running: &Running, bao: &Bao, value: &str) {
    bao.kv_put("app", &json!({ "key": value }));
    running.wait_for_line(value);
}

#[test]
fn a_login_is_renewed() {
    let (bao, hushpipe, store) = bao_with(&json!({ "token_policies": "app", "token_ttl": "12s" }));
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    for _ in 0..2 {
        running.wait_for_stderr("auth/token/renew-self: the lease is good for 12s");
    }
    follows(&running, &bao, "two");
    running.stop().success();
    assert_eq!(bao.requests("auth/approle/login"), 1);
    assert!(bao.tokens().is_empty());
}

#[test]
fn a_login_that_can_live_no_longer_is_followed_by_another() {
    let role = json!({ "token_policies": "app", "token_ttl": "3s", "token_max_ttl": "5s" });
    let (bao, hushpipe, store) = bao_with(&role);
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    running.wait_for_stderr("logged in to store bao");
    running.wait_for_stderr("logged in to store bao");
    follows(&running, &bao, "two");
    running.wait_for_stderr("logged in to store bao");
    follows(&running, &bao, "three");
    running.stop().success();
}

#[test]
fn leases_move_to_the_new_login_before_the_old_one_takes_them_along() {
    let role = json!({ "token_policies": "app", "token_ttl": "15s", "token_max_ttl": "15s" });
    let (bao, hushpipe, store) = bao_with(&role);
    let postgres = Postgres::start();
    bao.database(&postgres, "1h", "2h");
    let rest = file_at_once("{{ db.username }}");
    let running = start(hushpipe, &manifest(&store, DB, &rest), &READS);
    let first = postgres.leased_roles().pop().expect("it was made");
    let second = running.wait_for_line("v-");
    let alive = postgres.leased_roles();
    assert_ne!(first, second);
    assert!(alive.contains(&first), "{first}: {alive:?}");
    assert!(alive.contains(&second), "{second}: {alive:?}");
    running.stop().success();
}

#[test]
fn a_batch_token_is_followed_by_another_and_its_leases_are_revoked_one_by_one() {
    let role = json!({ "token_policies": "app", "token_type": "batch", "token_ttl": "6s" });
    let (bao, hushpipe, store) = bao_with(&role);
    let postgres = Postgres::start();
    bao.database(&postgres, "4s", "1h");
    let before = bao.requests("auth/token/revoke-self");
    let rest = file_at_once("{{ db.username }}");
    let running = start(hushpipe, &manifest(&store, DB, &rest), &READS);
    running.wait_for_stderr("logged in to store bao");
    running.wait_for_stderr("logged in to store bao");
    running.wait_for_line("v-");
    running.stop().success().stderr_has("store bao: revoked");
    assert_eq!(bao.requests("auth/token/revoke-self"), before);
    super::until_no_lease(&bao);
}

#[test]
fn a_login_that_is_revoked_behind_our_back_is_followed_by_another() {
    let (bao, hushpipe, store) = bao_with(&json!({ "token_policies": "app" }));
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    bao.revoke_tokens();
    follows(&running, &bao, "two");
    assert_eq!(bao.requests("auth/approle/login"), 2);
    let output = running.stop().success();
    // It was no outage.
    assert!(!output.stderr().contains("error"), "{}", output.stderr());
}

#[test]
fn a_login_for_a_number_of_requests_is_followed_by_another() {
    let role = json!({ "token_policies": "app", "token_num_uses": 3 });
    let (bao, hushpipe, store) = bao_with(&role);
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    for value in ["two", "three", "four"] {
        follows(&running, &bao, value);
    }
    running.stop().success();
    assert!(bao.requests("auth/approle/login") >= 3);
}

#[test]
fn without_the_default_policy_a_policy_that_is_missing_is_no_reason_to_log_in_for_ever() {
    let role = json!({ "token_policies": "app", "token_no_default_policy": true });
    let (bao, hushpipe, store) = bao_with(&role);
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    bao.policy("app", "path \"kv/none\" { capabilities = [\"read\"] }");
    running.wait_for_stderr("no policy of the login allows `read`");
    let logins = bao.requests("auth/approle/login");
    let asked = bao.requests("kv/");
    running.until("it is asked for again", || {
        (bao.requests("kv/") > asked + 2).then_some(())
    });
    assert!(logins <= 2 && bao.requests("auth/approle/login") == logins);
    bao.policy("app", APPLICATION);
    follows(&running, &bao, "two");
    running.stop().success();
}
