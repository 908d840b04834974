//! Tokens that hushpipe is given.

use serde_json::json;

use super::{API, DB, READS, file, file_at_once, manifest, once, start};
use crate::harness::bao::auth::APPLICATION;
use crate::harness::{Bao, Hushpipe, Postgres};

fn bao() -> Bao {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    bao.policy("app", APPLICATION);
    bao
}

const FILE: &str = "{ method: token, file: \"{place}/token\" }";

#[test]
fn a_token_of_the_environment_is_used_and_neither_revoked_nor_passed_on() {
    let bao = bao();
    let token = bao.token("app", "1h");
    let manifest = format!(
        "version: 1\nservice: t\nstores:\n  bao: {{ type: vault }}\nsecrets:\n{API}{}",
        file("{{ api.key }}")
    );
    Hushpipe::new()
        .manifest(&manifest)
        .env("VAULT_ADDR", bao.address())
        .env("VAULT_CACERT", bao.ca_file())
        .env("VAULT_TOKEN", &token)
        .args([
            "run",
            "--",
            "{probe}",
            "cat",
            "{place}/run/token",
            "environ",
        ])
        .run()
        .success()
        .stdout_has("one\n")
        .says_nothing_of(&token)
        .says_nothing_of("VAULT_");
    assert_eq!(bao.tokens().len(), 1);
}

#[test]
fn a_token_that_is_not_taken_is_said_to_be_so() {
    let bao = bao();
    let hushpipe = Hushpipe::new().file("token", "s.nosuchtoken");
    let store = bao.store(&hushpipe.place().fill(FILE));
    once(hushpipe, &manifest(&store, API, &file("{{ api.key }}")))
        .run()
        .code(77)
        .stderr_has("store bao: the server rejected the token in {place}/token")
        .says_nothing_of("nosuchtoken");
}

#[test]
fn a_tokens_file_is_read_again_when_it_changes() {
    let bao = bao();
    let first = bao.token("app", "1h");
    let hushpipe = Hushpipe::new().file("token", &first);
    let store = bao.store(&hushpipe.place().fill(FILE));
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    let second = bao.token("app", "1h");
    running.place().replace("token", &second);
    bao.request_as(&first, "POST", "auth/token/revoke-self", None);
    bao.kv_put("app", &json!({ "key": "two" }));
    running.wait_for_line("two");
    // Nobody has noticed.
    assert!(
        !running.stderr().contains("rejected the token"),
        "{}",
        running.stderr()
    );
    running.stop().success();
}

#[test]
fn a_given_token_that_ends_is_told_once_and_a_new_one_taken_up() {
    let bao = bao();
    let first = bao.token("app", "1h");
    let hushpipe = Hushpipe::new().file("token", &first);
    let store = bao.store(&hushpipe.place().fill(FILE));
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    bao.revoke_tokens();
    running.wait_for_stderr("rejected the token in");
    running.place().replace("token", bao.token("app", "1h"));
    bao.kv_put("app", &json!({ "key": "two" }));
    running.wait_for_line("two");
    let output = running.stop().success();
    assert_eq!(
        output
            .stderr()
            .matches("the server rejected the token")
            .count(),
        1,
        "{}",
        output.stderr()
    );
}

#[test]
fn a_given_token_is_renewed() {
    let bao = bao();
    let token = bao.token("app", "12s");
    let hushpipe = Hushpipe::new().file("token", &token);
    let store = bao.store(&hushpipe.place().fill(FILE));
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    for _ in 0..2 {
        running.wait_for_stderr("auth/token/renew-self: the lease is good for 12s");
    }
    bao.kv_put("app", &json!({ "key": "two" }));
    running.wait_for_line("two");
    running.stop().success();
    assert_eq!(bao.tokens().len(), 1);
}

#[test]
fn a_tokens_file_that_is_written_with_the_same_token_changes_nothing() {
    let (bao, postgres) = (bao(), Postgres::start());
    bao.database(&postgres, "1h", "2h");
    let token = bao.token("app", "1h");
    let hushpipe = Hushpipe::new().file("token", &token);
    let store = bao.store(&hushpipe.place().fill(FILE));
    let rest = file_at_once("{{ api.key }} {{ db.username }}");
    let secrets = format!("{API}{DB}");
    let running = start(hushpipe, &manifest(&store, &secrets, &rest), &READS);
    let roles = postgres.leased_roles();
    running.wait_for_stderr("logged in to store bao");
    running.place().replace("token", &token);
    // Its times are asked for once more: who wrote it may have renewed it.
    running.wait_for_stderr("logged in to store bao");
    bao.kv_put("app", &json!({ "key": "two" }));
    let line = running.wait_for_line("two");
    assert_eq!(line, format!("two {}", roles[0]));
    assert_eq!(postgres.leased_roles(), roles);
    assert_eq!(bao.requests("database/creds/app"), 1);
    running.stop().success();
}
