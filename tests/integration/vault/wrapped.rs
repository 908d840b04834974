//! Secrets that are wrapped.

use serde_json::json;

use super::{API, READS, by_approle, file, file_at_once, manifest, once, start};
use crate::harness::bao::ROOT;
use crate::harness::{Bao, Postgres};

const UNWRAP: &str = "  gift: { store: bao, path: sys/wrapping/unwrap, \
                      token_file: \"{place}/wrapping\" }\n";

/// A wrapping token of what is read at a path, or of a body.
fn wrap(bao: &Bao, method: &str, path: &str, body: Option<&serde_json::Value>) -> String {
    let header = format!("X-Vault-Token: {ROOT}");
    let curl = ["--header", &header, "--header", "X-Vault-Wrap-TTL: 60s"];
    let made = bao.request_with(&curl, method, path, body).unwrap().body;
    let token = made["wrap_info"]["token"].as_str();
    token.unwrap_or_else(|| panic!("{made}")).to_owned()
}

#[test]
fn a_secret_is_unwrapped_once_and_kept() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let body = json!({ "password": "wrapped up" });
    let token = wrap(&bao, "POST", "sys/wrapping/wrap", Some(&body));
    let (hushpipe, store) = by_approle(&bao);
    hushpipe.place().write("wrapping", &token);
    let rest = file_at_once("{{ api.key }} {{ gift.password }}");
    let secrets = format!("{UNWRAP}{API}");
    let running = start(hushpipe, &manifest(&store, &secrets, &rest), &READS);
    for value in ["two", "three"] {
        bao.kv_put("app", &json!({ "key": value }));
        running.wait_for_line(&format!("{value} wrapped up"));
    }
    running.stop().success().says_nothing_of(&token);
}

#[test]
fn a_wrapped_kv_secret_has_its_own_fields() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let token = wrap(&bao, "GET", "kv/data/app", None);
    let (hushpipe, store) = by_approle(&bao);
    hushpipe.place().write("wrapping", token + "\n");
    let output = once(hushpipe, &manifest(&store, UNWRAP, &file("{{ gift.key }}")))
        .run()
        .success()
        .stdout_is("one\n");
    // What needs no login makes none.
    assert_eq!(bao.requests("auth/approle/login"), 0);
    output
        .again()
        .args(["-v", "run", "--", "true"])
        .run()
        .code(77)
        .stderr_has("the wrapping token in {place}/wrapping is not valid");
}

#[test]
fn check_online_opens_nothing() {
    let bao = Bao::start();
    let body = json!({ "password": "wrapped up" });
    let token = wrap(&bao, "POST", "sys/wrapping/wrap", Some(&body));
    let (hushpipe, store) = by_approle(&bao);
    hushpipe.place().write("wrapping", &token);
    let rest = file("{{ gift.password }}") + "run: { command: [cat, \"{place}/run/token\"] }\n";
    let output = hushpipe
        .manifest(&manifest(&store, UNWRAP, &rest))
        .args(["check", "--online"])
        .run()
        .success()
        .stdout_has("wrapped");
    let output = output.again().arg("run").run().success();
    let output = output.stdout_is("wrapped up\n");
    output.again().args(["check", "--online"]).run().code(77);
}

#[test]
fn a_wrapped_lease_is_kept_alive_and_given_back() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "12s", "1h");
    let token = wrap(&bao, "GET", "database/creds/app", None);
    let (hushpipe, store) = by_approle(&bao);
    hushpipe.place().write("wrapping", &token);
    let text = manifest(&store, UNWRAP, &file_at_once("{{ gift.username }}"));
    let running = start(hushpipe.controlled(), &text, &READS);
    let roles = postgres.leased_roles();
    assert_eq!(roles.len(), 1);
    let left = running.status()["secrets"][0]["lease_seconds"].clone();
    assert!(left.as_u64().is_some_and(|left| left <= 12), "{left}");
    for _ in 0..2 {
        running.wait_for_stderr("sys/wrapping/unwrap: the lease is good for 12s");
    }
    assert_eq!(postgres.leased_roles(), roles);
    running
        .stop()
        .success()
        .stderr_has("store bao: revoked 1 lease and the login")
        .says_nothing_of(&token);
    assert_eq!(postgres.leased_roles(), [""; 0]);
    assert!(bao.tokens().is_empty());
}

#[test]
fn a_wrapped_lease_that_ends_is_told_and_another_wrapping_token_taken_up() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "1h", "2h");
    let (hushpipe, store) = by_approle(&bao);
    let wrapped = || wrap(&bao, "GET", "database/creds/app", None);
    hushpipe.place().write("wrapping", wrapped());
    let often = UNWRAP.replace(" }", ", refresh: 1s }");
    let text = manifest(&store, &often, &file_at_once("{{ gift.username }}"));
    let running = start(hushpipe.controlled(), &text, &READS);
    // Some remove it.
    std::fs::remove_file(running.place().join("wrapping")).unwrap();
    bao.revoke_prefix("database/creds/app");
    running.wait_for_stderr("has expired: put a new wrapping token there");
    running.place().replace("wrapping", wrapped());
    let role = running.wait_for_line("v-");
    assert_eq!(postgres.leased_roles(), [role.trim()]);
    running.stop().success();
}
