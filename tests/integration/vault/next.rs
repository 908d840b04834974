//! `status` says what is done next for what the program has.

use serde_json::json;

use super::{AT_ONCE, file, manifest, start};
use crate::harness::bao::auth::{APPLICATION, APPROLE_AUTH};
use crate::harness::{Bao, Hushpipe, Postgres};

/// A manifest's one secret, what is delivered of it, what comes next, and in what time.
type Row<'a> = (&'a str, &'a str, &'a str, std::ops::RangeInclusive<u64>);

const ROWS: [Row; 6] = [
    (
        "api: { store: bao, path: kv/data/app, refresh: 1h }",
        "{{ api.key }}",
        "look at api",
        3_200..=3_600,
    ),
    (
        "api: { store: bao, path: kv/data/app, refresh: never }",
        "{{ api.key }}",
        "renew the login to bao",
        7_200..=9_600,
    ),
    (
        "db: { store: bao, path: database/creds/app, refresh: never }",
        "{{ db.username }}",
        "renew db",
        2_200..=2_400,
    ),
    // Whether it was revoked behind hushpipe's back.
    (
        "db: { store: bao, path: database/creds/app }",
        "{{ db.username }}",
        "look at db",
        20..=60,
    ),
    (
        "tls: { store: bao, path: pki/issue/web, parameters: { common_name: localhost, ttl: 3h } }",
        "{{ tls.serial_number }}",
        "replace tls",
        6_700..=7_200,
    ),
    (
        "tls: { store: bao, path: pki/issue/web, refresh: 30m, \
         parameters: { common_name: localhost, ttl: 3h } }",
        "{{ tls.serial_number }}",
        "replace tls",
        1_700..=1_800,
    ),
];

#[test]
fn what_is_done_next_for_a_vaults_secrets_is_told() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.kv_put("app", &json!({ "key": "one" }));
    bao.database(&postgres, "1h", "2h");
    bao.pki("24h");
    bao.policy("app", APPLICATION);
    for (secret, content, what, within) in ROWS {
        let hushpipe = Hushpipe::new().controlled();
        let role = json!({ "token_policies": "app", "token_ttl": "4h" });
        bao.approle(hushpipe.place(), &role);
        let store = bao.store(&hushpipe.place().fill(APPROLE_AUTH));
        let rest = file(content) + AT_ONCE;
        let text = manifest(&store, &format!("  {secret}\n"), &rest);
        let running = start(hushpipe, &text, &["serve"]);
        let status = running.status();
        let next = &status["next"];
        assert_eq!(next["what"], what, "{secret}: {status}");
        let seconds = next["in_seconds"].as_u64().expect("it is a number");
        assert!(within.contains(&seconds), "{secret}: {next}");
        running.stop().success();
    }
}
