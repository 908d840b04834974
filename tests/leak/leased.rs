//! What a vault makes on demand, which hushpipe keeps to hand it over again, and the tokens of one login
//! after the other: nothing of them is found in hushpipe.

use serde_json::json;

use super::canary::Canary;
use super::deliveries::assert_clean;
use crate::harness::bao::auth::APPROLE_AUTH;
use crate::harness::{Bao, Hushpipe, Postgres, Running, is_long};

const SECRETS: &str = "  db: { store: it, path: database/creds/app }\n  \
     tls: { store: it, path: pki/issue/web, parameters: { common_name: localhost } }\n  \
     plain: { store: it, path: kv/data/plain, refresh: 1h }\n";

const REST: &str = r#"
deliver:
  - { file: "{place}/run/db", content: "{{ db.username }}:{{ db.password }}:{{ plain.value }}" }
  - { file: "{place}/run/key", content: "{{ tls.private_key }}\n{{ tls.certificate }}" }
isolation: private
run:
  command: ["{probe}", on, HUP, "digest:{place}/run/db", on, HUP, "digest:{place}/run/key",
    on, TERM, "exit:0", serve]
on_rotate: { do: signal, signal: HUP, settle: 0s }
"#;

/// How often each of the two is replaced.
fn rotations() -> usize {
    if is_long() { 50 } else { 10 }
}
/// So many of these each follow another login.
const LOGINS: usize = 5;

fn start(bao: &Bao, hushpipe: Hushpipe) -> Running {
    let store = bao.store(&hushpipe.place().fill(APPROLE_AUTH));
    let running = hushpipe
        .manifest(&format!(
            "version: 1\nservice: leak\nstores:\n  it: {store}\nsecrets:\n{SECRETS}{REST}"
        ))
        .controlled()
        .args(["run", "-vv"])
        .spawn();
    running.wait_for_line("ready");
    running
}

/// All that hushpipe was given so far.
fn given(bao: &Bao, mut all: Vec<Canary>) -> Vec<Canary> {
    let of = |name: &str, values: Vec<String>| {
        let canaries = values.iter().map(|value| Canary::of(name, value));
        canaries.collect::<Vec<_>>()
    };
    all.extend(of("password", bao.given("database/creds/", "password")));
    let keys = bao.given("pki/issue/", "private_key");
    // The line after its first has the secret number; what follows is the public key.
    let number = |key: &String| key.lines().nth(1).expect("it is PEM").to_owned();
    all.extend(of("private key", keys.iter().map(number).collect()));
    all.extend(of("token", bao.login_tokens()));
    all
}

#[test]
fn nothing_of_leases_certificates_and_later_logins_is_left() {
    let (bao, postgres) = (Bao::settings().raw_audit().start(), Postgres::start());
    bao.database(&postgres, "1h", "2h");
    bao.pki("1h");
    let plain = Canary::new("plain");
    bao.kv_put("plain", &json!({ "value": plain.value() }));
    let hushpipe = Hushpipe::new();
    let ids = bao.application(hushpipe.place());
    let known = || {
        let ids = [("role_id", &ids.role_id), ("secret_id", &ids.secret_id)];
        let mut all: Vec<Canary> = ids.map(|(name, id)| Canary::of(name, id)).into();
        all.push(Canary::of("plain", &plain.value()));
        given(&bao, all)
    };
    let control = Canary::new("control");
    let running = start(&bao, hushpipe.env("CONTROL", control.value()));
    let check = |passwords: usize, logins: usize| {
        let all = known();
        let count = |name: &str| all.iter().filter(|canary| canary.name == name).count();
        assert!(count("password") >= passwords, "{}", count("password"));
        assert!(
            count("private key") >= passwords,
            "{}",
            count("private key")
        );
        assert!(count("token") >= logins, "{}", count("token"));
        assert_clean(&running, &control, &all.iter().collect::<Vec<_>>());
    };
    check(1, 1);
    for rotation in 0..rotations() {
        if rotation % (rotations() / LOGINS) == 0 {
            bao.revoke_tokens();
        }
        for name in ["db", "tls"] {
            running.rotate(name);
            running.wait_for_line("digest");
        }
    }
    check(1 + rotations(), 1 + LOGINS);
    running.stop().success();
}
