//! Other engines: each is asked in the same way.

use serde_json::json;

use super::{READS, by_approle, file, file_at_once, manifest, once, start};
use crate::harness::Bao;
use crate::harness::bao::auth::APPLICATION;

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
