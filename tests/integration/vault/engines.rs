//! Other engines: each is asked in the same way.

use serde_json::json;

use super::{READS, by_approle, file, file_at_once, manifest, once, start};
use crate::harness::bao::auth::APPLICATION;
use crate::harness::{Bao, Postgres};

const TLS: &str = "  tls: { store: bao, path: pki/issue/web, \
                   parameters: { common_name: localhost } }\n";

#[test]
fn a_certificate_comes_with_its_key_and_its_chain_as_pem() {
    let bao = Bao::start();
    bao.pki("1h");
    let (hushpipe, store) = by_approle(&bao);
    let content = "{{ tls.certificate }}\\n{{ tls.ca_chain }}\\n{{ tls.private_key }}";
    let output = once(hushpipe, &manifest(&store, TLS, &file(content)))
        .run()
        .success();
    let text = output.stdout();
    let begins = text.lines().filter(|line| line.starts_with("-----BEGIN"));
    let kinds: Vec<&str> = begins.collect();
    assert_eq!(
        kinds,
        [
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN EC PRIVATE KEY-----"
        ]
    );
    assert_eq!(bao.requests("pki/issue/web"), 1);
}

#[test]
fn a_certificate_is_replaced_after_two_thirds_of_its_validity() {
    let bao = Bao::start();
    bao.pki("5s");
    let (hushpipe, store) = by_approle(&bao);
    let rest = file_at_once("{{ tls.serial_number }}");
    let running = start(hushpipe, &manifest(&store, TLS, &rest), &READS);
    let first = running.wait_for_line(":");
    let second = running.wait_for_line(":");
    assert_ne!(first, second);
    running.stop().success();
}

#[test]
fn what_is_made_is_made_once_however_often_others_change() {
    let bao = Bao::start();
    bao.pki("1h");
    bao.kv_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    let secrets = format!("{TLS}{}", super::API);
    let rest = file_at_once("{{ api.key }} {{ tls.serial_number }}");
    let running = start(hushpipe, &manifest(&store, &secrets, &rest), &READS);
    let mut serials = Vec::new();
    for value in ["two", "three"] {
        bao.kv_put("app", &json!({ "key": value }));
        let line = running.wait_for_line(value);
        serials.push(line.trim_start_matches(value).to_owned());
    }
    assert_eq!(serials[0], serials[1]);
    assert_eq!(bao.requests("pki/issue/web"), 1);
    running.stop().success();
}

#[test]
fn a_period_replaces_what_has_no_lease_and_no_end() {
    let bao = Bao::start();
    bao.post("sys/mounts/transit", &json!({ "type": "transit" }));
    bao.post("transit/keys/app", &json!({}));
    let (hushpipe, store) = by_approle(&bao);
    let transit = "path \"transit/datakey/*\" { capabilities = [\"update\"] }";
    bao.policy("app", &format!("{APPLICATION}\n{transit}"));
    let secrets = "  key: { store: bao, path: transit/datakey/plaintext/app, \
                   parameters: {}, refresh: 1s }\n";
    let rest = file_at_once("{{ key.ciphertext }}");
    let running = start(hushpipe, &manifest(&store, secrets, &rest), &READS);
    let first = running.wait_for_line("vault:v1:");
    let second = running.wait_for_line("vault:v1:");
    assert_ne!(first, second);
    running.stop().success();
}

#[test]
fn a_token_that_is_made_at_each_reading_is_read_again_only_before_it_ends() {
    let bao = Bao::start();
    let key = json!({ "allowed_client_ids": "*" });
    bao.post("identity/oidc/key/app", &key);
    bao.post(
        "identity/oidc/role/app",
        &json!({ "key": "app", "ttl": "6s" }),
    );
    bao.kv_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    let oidc = "path \"identity/oidc/token/*\" { capabilities = [\"read\"] }";
    bao.policy("app", &format!("{APPLICATION}\n{oidc}"));
    let secrets = format!(
        "  id: {{ store: bao, path: identity/oidc/token/app }}\n{}",
        super::API
    );
    let rest = file_at_once("{{ api.key }} {{ id.token }}");
    let running = start(hushpipe, &manifest(&store, &secrets, &rest), &READS);
    let first = running.wait_for_line("one ey");
    let second = running.wait_for_line("one ey");
    assert_ne!(first, second);
    bao.kv_put("app", &json!({ "key": "two" }));
    running.wait_for_line("two ey");
    running.stop().success();
    assert!(bao.requests("identity/oidc/token/app") <= 4);
}

#[test]
fn a_password_that_the_server_changes_by_itself_comes_when_it_said() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "1h", "1h");
    postgres.query("CREATE ROLE fixed LOGIN PASSWORD 'first'");
    let role = json!({ "db_name": "postgres", "username": "fixed", "rotation_period": "5s" });
    bao.post("database/static-roles/fixed", &role);
    let (hushpipe, store) = by_approle(&bao);
    let fixed = "path \"database/static-creds/*\" { capabilities = [\"read\"] }";
    bao.policy("app", &format!("{APPLICATION}\n{fixed}"));
    // Looked at every minute, but for what the server says.
    let secrets = "  db: { store: bao, path: database/static-creds/fixed }\n";
    let rest = file_at_once("password {{ db.password }}");
    let running = start(hushpipe, &manifest(&store, secrets, &rest), &READS);
    for _ in 0..2 {
        // Before the program is told, the server has changed it.
        let now = || bao.get("database/static-creds/fixed")["data"]["password"].clone();
        let before = now();
        let other = running.until("the server changes it", || {
            Some(now()).filter(|password| *password != before)
        });
        running.wait_for_line(&format!("password {}", other.as_str().unwrap()));
    }
    let output = running.stop().success();
    // Each generation has another password.
    let mut passwords: Vec<String> = output.stdout().lines().map(str::to_owned).collect();
    let all = passwords.len();
    passwords.dedup();
    assert_eq!(passwords.len(), all);
}
