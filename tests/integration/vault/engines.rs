//! Other engines: each is asked in the same way.

use serde_json::json;

use super::{READS, by_approle, file, file_at_once, manifest, once, start};
use crate::harness::bao::auth::APPLICATION;
use crate::harness::{Bao, Hushpipe, Postgres};

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
fn what_is_asked_for_with_the_same_parameters_is_one_request() {
    let bao = Bao::start();
    bao.pki("1h");
    let (hushpipe, store) = by_approle(&bao);
    let tls = |name: &str, parameters: &str| {
        format!("  {name}: {{ store: bao, path: pki/issue/web, parameters: {{ {parameters} }} }}\n")
    };
    let secrets = [
        tls("one", "common_name: localhost, ttl: 20m"),
        tls("same", "ttl: 20m, common_name: localhost"),
        tls("other", "common_name: localhost, ttl: 30m"),
    ];
    let names = ["one", "same", "other"].map(|name| format!("{{{{ {name}.serial_number }}}} "));
    let text = manifest(&store, &secrets.concat(), &file(&names.concat()));
    let output = once(hushpipe, &text).run().success();
    let stdout = output.stdout();
    let serials: Vec<&str> = stdout.split_whitespace().collect();
    assert_eq!(serials[0], serials[1]);
    assert_ne!(serials[0], serials[2]);
    assert_eq!(bao.requests("pki/issue/web"), 2);
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

/// A database where the server changes one role's password by itself, and the application may read it.
fn with_static_role() -> (Bao, Postgres, Hushpipe, String) {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "1h", "1h");
    postgres.query("CREATE ROLE fixed LOGIN PASSWORD 'first'");
    let role = json!({ "db_name": "postgres", "username": "fixed", "rotation_period": "5s" });
    bao.post("database/static-roles/fixed", &role);
    let fixed = "path \"database/static-creds/*\" { capabilities = [\"read\"] }";
    let (hushpipe, store) = by_approle(&bao);
    bao.policy("app", &format!("{APPLICATION}\n{fixed}"));
    (bao, postgres, hushpipe, store)
}

#[test]
fn a_time_that_the_server_named_is_not_waited_for_again_and_again_when_the_secret_is_gone() {
    let (bao, _postgres, hushpipe, store) = with_static_role();
    bao.kv_put("app", &json!({ "key": "one" }));
    let secrets = format!(
        "  db: {{ store: bao, path: database/static-creds/fixed, refresh: 24h }}\n{}",
        super::API
    );
    let password = "  - { file: \"{place}/db/password\", secret: db.password }\n";
    let rest = file("{{ api.key }}") + password + super::AT_ONCE;
    let running = start(hushpipe, &manifest(&store, &secrets, &rest), &READS);
    bao.delete("database/static-roles/fixed");
    running.wait_for_stderr("database/static-creds/fixed");
    // What else there is goes on meanwhile, for several seconds.
    for value in ["two", "three", "four", "five"] {
        bao.kv_put("app", &json!({ "key": value }));
        running.wait_for_line(value);
    }
    running.stop().success();
    // A few looks until it was gone; then the tries of what is missing, which are further and further
    // apart, and one for each change of the other.
    let asked = bao.requests("database/static-creds/fixed");
    assert!(asked < 40, "it was asked for {asked} times");
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
    let (bao, _postgres, hushpipe, store) = with_static_role();
    // Never looked at, but for what the server says.
    let secrets = "  db: { store: bao, path: database/static-creds/fixed, refresh: 24h }\n";
    let rest = file_at_once("password {{ db.password }}");
    let running = start(hushpipe, &manifest(&store, secrets, &rest), &READS);
    for _ in 0..2 {
        let now = || bao.get("database/static-creds/fixed")["data"]["password"].clone();
        let before = now();
        // Which of them it is, does not matter: while the machine is busy, the server may have set
        // one more before the program has read the last.
        running.until("the program has what the server changed it to", || {
            let other = Some(now()).filter(|password| *password != before)?;
            let line = format!("password {}", other.as_str().unwrap());
            (running.stdout().lines().next_back() == Some(&line)).then_some(())
        });
    }
    let output = running.stop().success();
    // No generation has the password of the one before. (What the program reads says nothing of it:
    // told of two in a row, it may read the second twice.)
    let stderr = output.stderr();
    let versions = stderr.lines().filter(|line| line.contains("secret db"));
    let mut versions: Vec<&str> = versions.collect();
    let all = versions.len();
    versions.dedup();
    assert!(all >= 2 && versions.len() == all, "{stderr}");
}
