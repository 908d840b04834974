//! Every way to log in.

use serde_json::{Value, json};

use super::{API, READS, file, file_at_once, manifest, once, start};
use crate::harness::bao::auth::APPLICATION;
use crate::harness::{Bao, FakeAnswers, Hushpipe, Output};

/// A server with the secret `api.key`, and the policy that reads it.
fn bao() -> Bao {
    prepared(Bao::start())
}

fn prepared(bao: Bao) -> Bao {
    bao.kv_put("app", &json!({ "key": "s3cret" }));
    bao.policy("app", APPLICATION);
    bao
}

fn run(hushpipe: Hushpipe, store: &str) -> Output {
    once(hushpipe, &manifest(store, API, &file("{{ api.key }}"))).run()
}

/// It logs in so, and leaves no login behind.
fn logs_in(bao: &Bao, hushpipe: Hushpipe, auth: &str, more: &str) {
    let auth = hushpipe.place().fill(auth);
    let more = hushpipe.place().fill(more);
    let store = bao.store_at(&bao.address(), &auth, &more);
    run(hushpipe, &store).success().stdout_is("s3cret\n");
    assert!(bao.tokens().is_empty(), "{:?}", bao.tokens());
}

/// The login is refused with these words.
fn is_refused(bao: &Bao, hushpipe: Hushpipe, auth: &str, said: &str) -> Output {
    let store = bao.store(&hushpipe.place().fill(auth));
    run(hushpipe, &store).code(77).stderr_has(said)
}

#[test]
fn by_approle_with_and_without_a_secret_id() {
    let bao = bao();
    let hushpipe = Hushpipe::new();
    bao.application(hushpipe.place());
    logs_in(&bao, hushpipe, crate::harness::bao::auth::APPROLE_AUTH, "");
    let hushpipe = Hushpipe::new();
    let role = json!({ "token_policies": "app", "bind_secret_id": false,
        "token_bound_cidrs": "127.0.0.0/8" });
    bao.post("auth/approle/role/free", &role);
    let role_id = bao.get("auth/approle/role/free/role-id");
    let role_id = role_id["data"]["role_id"].as_str().unwrap();
    hushpipe.place().write("role_id", role_id);
    let auth = "{ method: approle, role_id_file: \"{place}/role_id\" }";
    logs_in(&bao, hushpipe, auth, "");
}

#[test]
fn by_a_wrapped_secret_id() {
    let bao = bao();
    let hushpipe = Hushpipe::new();
    bao.application(hushpipe.place());
    bao.new_wrapped_secret_id(hushpipe.place());
    let auth = "{ method: approle, role_id_file: \"{place}/role_id\", \
                secret_id_file: \"{place}/secret_id\", wrapped: true }";
    let store = bao.store(&hushpipe.place().fill(auth));
    let output = run(hushpipe, &store).success().stdout_is("s3cret\n");
    // It opens once.
    run(output.again(), &store)
        .code(77)
        .stderr_has("the wrapping token in {place}/secret_id is not valid");
}

#[test]
fn a_wrapping_token_that_was_put_in_the_place_of_the_true_one_is_noticed() {
    let bao = bao();
    let hushpipe = Hushpipe::new();
    bao.application(hushpipe.place());
    let header = format!("X-Vault-Token: {}", crate::harness::bao::ROOT);
    let curl = ["--header", &header, "--header", "X-Vault-Wrap-TTL: 60s"];
    let body = json!({ "secret_id": "the attacker's" });
    let made = bao.request_with(&curl, "POST", "sys/wrapping/wrap", Some(&body));
    let made = made.unwrap().body;
    let token = made["wrap_info"]["token"].as_str().unwrap();
    hushpipe.place().write("secret_id", token);
    let auth = "{ method: approle, role_id_file: \"{place}/role_id\", \
                secret_id_file: \"{place}/secret_id\", wrapped: true }";
    is_refused(
        &bao,
        hushpipe,
        auth,
        "was not made by auth/approle/role/…/secret-id",
    )
    .says_nothing_of(token);
}

#[test]
fn a_secret_ids_file_can_be_removed_once_it_was_used() {
    let bao = bao();
    let hushpipe = Hushpipe::new();
    bao.application(hushpipe.place());
    let auth = "{ method: approle, role_id_file: \"{place}/role_id\", \
                secret_id_file: \"{place}/secret_id\", remove_secret_id_file: true }";
    let store = bao.store(&hushpipe.place().fill(auth));
    let output = run(hushpipe, &store).success().stdout_is("s3cret\n");
    assert!(!output.place().join("secret_id").exists());
}

#[test]
fn by_a_jwt() {
    let bao = bao();
    bao.jwt_role("app");
    let auth = "{ method: jwt, jwt_file: \"{place}/jwt\", role: app }";
    let hushpipe = Hushpipe::new().file("jwt", bao.jwt(600) + "\n");
    logs_in(&bao, hushpipe, auth, "");
    let hushpipe = Hushpipe::new().file("jwt", "not.a.jwt");
    is_refused(
        &bao,
        hushpipe,
        auth,
        "(auth/jwt): unknown role, or one that rejects",
    );
}

#[test]
fn by_the_service_account_of_a_pod() {
    let bao = bao();
    let kubernetes = FakeAnswers::kubernetes();
    bao.kubernetes_role(&kubernetes.address(), "app");
    let auth = "{ method: kubernetes, jwt_file: \"{place}/jwt\", role: app }";
    let hushpipe = Hushpipe::new().file("jwt", bao.service_account_token(600));
    logs_in(&bao, hushpipe, auth, "");
}

/// The file has another token at the second login, and that is the one that is shown.
fn shows_what_the_file_has_then(bao: &Bao, method: &str, tokens: &[String; 2]) {
    let auth = format!("{{ method: {method}, jwt_file: \"{{place}}/jwt\", role: app }}");
    let hushpipe = Hushpipe::new().file("jwt", &tokens[0]);
    let store = bao.store(&hushpipe.place().fill(&auth));
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    running.place().replace("jwt", &tokens[1]);
    bao.revoke_tokens();
    bao.kv_put("app", &json!({ "key": "two" }));
    running.wait_for_line("two");
    running.stop().success();
    let login = format!("auth/{method}/login");
    let logins = bao.audit().into_iter();
    let logins = logins.filter(|entry| entry["request"]["path"] == login.as_str());
    let shown: Vec<Value> = logins
        .map(|entry| entry["request"]["data"]["jwt"].clone())
        .collect();
    assert_eq!(shown, tokens);
}

#[test]
fn a_jwts_file_is_read_again_at_every_login() {
    let bao = prepared(Bao::settings().raw_audit().start());
    bao.jwt_role("app");
    let tokens = [600, 601].map(|seconds| bao.jwt(seconds));
    shows_what_the_file_has_then(&bao, "jwt", &tokens);
}

#[test]
fn a_service_accounts_file_is_read_again_at_every_login() {
    let bao = prepared(Bao::settings().raw_audit().start());
    let kubernetes = FakeAnswers::kubernetes();
    bao.kubernetes_role(&kubernetes.address(), "app");
    let tokens = [600, 601].map(|seconds| bao.service_account_token(seconds));
    shows_what_the_file_has_then(&bao, "kubernetes", &tokens);
}

#[test]
fn by_a_client_certificate() {
    let bao = bao();
    let client = bao.certificate_role("app");
    let more = format!(
        ", client_cert: \"{}\", client_key: \"{}\"",
        client.certificate.display(),
        client.key.display()
    );
    logs_in(&bao, Hushpipe::new(), "{ method: cert, role: app }", &more);
    logs_in(&bao, Hushpipe::new(), "{ method: cert }", &more);
}

#[test]
fn by_user_name_and_password() {
    let bao = bao();
    bao.userpass("ann", " pass word ", "app");
    let auth = "{ method: userpass, username: ann, password_file: \"{place}/password\" }";
    let hushpipe = Hushpipe::new().file("password", " pass word \n");
    logs_in(&bao, hushpipe, auth, "");
    let hushpipe = Hushpipe::new().file("password", "pass word\n");
    is_refused(&bao, hushpipe, auth, "wrong user or password").says_nothing_of("pass word");
}

#[test]
fn over_a_unix_socket() {
    let bao = bao();
    let hushpipe = Hushpipe::new();
    let address = format!("unix://{}", bao.socket().display());
    let store = bao.store_by_approle_at(hushpipe.place(), &address, "");
    run(hushpipe, &store).success().stdout_is("s3cret\n");
}

#[test]
fn what_is_wrong_with_a_login_is_said() {
    let bao = bao();
    let approle =
        |files: &str| format!("{{ method: approle, role_id_file: \"{{place}}/role_id\"{files} }}");
    let with_secret_id = approle(", secret_id_file: \"{place}/secret_id\"");
    let refused = "rejected the login (auth/approle): invalid role id or secret id";
    let hushpipe = Hushpipe::new();
    bao.application(hushpipe.place());
    hushpipe.place().write("secret_id", "wrong-secret-id");
    is_refused(&bao, hushpipe, &with_secret_id, refused).says_nothing_of("wrong-secret-id");
    let nowhere = approle(", mount: nowhere");
    let hushpipe = Hushpipe::new().file("role_id", "x");
    is_refused(
        &bao,
        hushpipe,
        &nowhere,
        "rejected the login (auth/nowhere)",
    );
    let hushpipe = Hushpipe::new().file("role_id", "\n");
    is_refused(&bao, hushpipe, &approle(""), "{place}/role_id is empty");
    let hushpipe = Hushpipe::new();
    let store = bao.store(&hushpipe.place().fill(&approle("")));
    run(hushpipe, &store)
        .code(69)
        .stderr_has("cannot read {place}/role_id")
        .stderr_has("No such file");
}
