//! What hushpipe logs in with: nothing of it is left, however it came.

use serde_json::json;

use super::canary::Canary;
use super::deliveries::assert_clean;
use crate::harness::bao::auth::APPLICATION;
use crate::harness::{Bao, Hushpipe, Running};

/// How often the value changes: at each time hushpipe may have looked at its login once more.
const ROTATIONS: usize = 5;

const TOKEN: &str = "/response/auth/client_token";

fn bao() -> Bao {
    let bao = Bao::settings().raw_audit().start();
    bao.policy("app", APPLICATION);
    bao
}

fn put(bao: &Bao) -> Canary {
    let canary = Canary::new("value");
    bao.kv_put("app", &json!({ "value": canary.value() }));
    canary
}

fn start(bao: &Bao, hushpipe: Hushpipe, auth: &str) -> Running {
    let ca = bao.ca_file();
    let running = hushpipe
        .manifest(&format!(
            "version: 1\nservice: leak\nstores:\n  it: {{ type: vault, address: \"{}\", \
             ca_file: \"{}\"{auth} }}\nsecrets:\n  value: {{ store: it, path: kv/data/app, \
             refresh: 1h }}\ndeliver:\n  - {{ file: \"{{place}}/run/file\", secret: value.value }}\n\
             isolation: private\nrun:\n  command: [\"{{probe}}\", on, HUP, \
             \"digest:{{place}}/run/file\", on, TERM, \"exit:0\", serve]\n\
             on_rotate: {{ do: signal, signal: HUP, settle: 0s }}\n",
            bao.address(),
            ca.display()
        ))
        .controlled()
        .args(["run", "-vv"])
        .spawn();
    running.wait_for_line("ready");
    running
}

/// A launch with this login, and some rotations: of what it logged in with, of what it was granted and
/// of the values nothing is left.
fn leaves_nothing(bao: &Bao, hushpipe: Hushpipe, auth: &str, login: Vec<Canary>) {
    let mut all = login;
    all.push(put(bao));
    let control = Canary::new("control");
    let hushpipe = hushpipe.env("CONTROL", control.value());
    // Those of whoever prepared the server are none of hushpipe's.
    let (before, ids) = (bao.answered(TOKEN).len(), "/response/data/secret_id");
    let unwrapped = bao.answered(ids).len();
    let running = start(bao, hushpipe, auth);
    for _ in 0..ROTATIONS {
        all.push(put(bao));
        running.rotate("value");
        running.wait_for_line("digest");
    }
    let granted = bao.answered(TOKEN).split_off(before);
    all.extend(granted.iter().map(|token| Canary::of("granted", token)));
    let opened = bao.answered(ids).split_off(unwrapped);
    all.extend(opened.iter().map(|id| Canary::of("secret_id", id)));
    assert_clean(&running, &control, &all.iter().collect::<Vec<_>>());
    running.stop().success();
}

#[test]
fn nothing_of_a_token_of_the_environment_is_left() {
    for name in ["VAULT_TOKEN", "BAO_TOKEN"] {
        let bao = bao();
        let token = bao.token("app", "1h");
        let hushpipe = Hushpipe::new().env(name, &token);
        leaves_nothing(&bao, hushpipe, "", vec![Canary::of("token", &token)]);
    }
}

#[test]
fn nothing_of_a_token_that_another_login_makes_needless_is_left() {
    let bao = bao();
    let token = bao.token("app", "1h");
    let hushpipe = Hushpipe::new().env("VAULT_TOKEN", &token);
    bao.application(hushpipe.place());
    let auth = format!(", auth: {}", crate::harness::bao::auth::APPROLE_AUTH);
    let auth = hushpipe.place().fill(&auth);
    leaves_nothing(&bao, hushpipe, &auth, vec![Canary::of("token", &token)]);
}

#[test]
fn nothing_of_a_tokens_file_is_left() {
    let bao = bao();
    let token = bao.token("app", "1h");
    let hushpipe = Hushpipe::new().file("token", &token);
    let auth = ", auth: { method: token, file: \"{place}/token\" }";
    leaves_nothing(&bao, hushpipe, auth, vec![Canary::of("token", &token)]);
}

#[test]
fn nothing_of_a_jwt_is_left() {
    let bao = bao();
    bao.jwt_role("app");
    let jwt = bao.jwt(600);
    let hushpipe = Hushpipe::new().file("jwt", jwt.clone() + "\n");
    let auth = ", auth: { method: jwt, jwt_file: \"{place}/jwt\", role: app }";
    // What is secret of it is the signature.
    let signature = jwt.rsplit('.').next().expect("it has three parts");
    let login = vec![Canary::of("jwt", &jwt), Canary::of("signature", signature)];
    leaves_nothing(&bao, hushpipe, auth, login);
}

#[test]
fn nothing_of_a_password_is_left() {
    let bao = bao();
    let password = Canary::new("password");
    bao.userpass("ann", &password.value(), "app");
    let hushpipe = Hushpipe::new().file("password", password.value());
    let auth = ", auth: { method: userpass, username: ann, password_file: \"{place}/password\" }";
    leaves_nothing(&bao, hushpipe, auth, vec![password]);
}

#[test]
fn nothing_of_a_wrapped_secret_id_is_left() {
    let bao = bao();
    let hushpipe = Hushpipe::new();
    let ids = bao.application(hushpipe.place());
    let wrapping = bao.new_wrapped_secret_id(hushpipe.place());
    let auth = ", auth: { method: approle, role_id_file: \"{place}/role_id\", \
                secret_id_file: \"{place}/secret_id\", wrapped: true }";
    let login = vec![
        Canary::of("wrapping token", &wrapping),
        Canary::of("role_id", &ids.role_id),
    ];
    leaves_nothing(&bao, hushpipe, auth, login);
}
