//! KV secrets of both versions.

use serde_json::json;

use super::{API, READS, by_approle, file, file_at_once, manifest, once, start};
use crate::harness::{Bao, FaultProxy, Hushpipe, Running, Wire};

#[test]
fn fields_of_version_2_are_given_as_they_are_and_others_as_json() {
    let bao = Bao::start();
    let value = json!({ "key": "sk \"1\"", "port": 5432, "tags": ["a"], "none": null });
    bao.kv_put("app", &value);
    let (hushpipe, store) = by_approle(&bao);
    let content = file("{{ api.key }} {{ api.port }} {{ api.tags }}");
    once(hushpipe, &manifest(&store, API, &content))
        .run()
        .success()
        .stdout_is("sk \"1\" 5432 [\"a\"]\n");
}

#[test]
fn a_field_that_is_null_is_missing() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": null, "other": "x" }));
    let (hushpipe, store) = by_approle(&bao);
    once(hushpipe, &manifest(&store, API, &file("{{ api.key }}")))
        .run()
        .code(65)
        .stderr_has("api.key")
        .stderr_has("2 fields, whose names are not shown");
}

#[test]
fn secrets_with_one_path_are_one_request() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "a": "1", "b": "2" }));
    let (hushpipe, store) = by_approle(&bao);
    let secrets = "  one: { store: bao, path: kv/data/app }\n  \
                   two: { store: bao, mount: kv, key: app }\n";
    let content = file("{{ one.a }}{{ two.b }}");
    once(hushpipe, &manifest(&store, secrets, &content))
        .run()
        .success()
        .stdout_is("12\n");
    assert_eq!(bao.requests("kv/"), 1, "{:?}", bao.audited_paths());
    assert_eq!(bao.requests("auth/approle/login"), 1);
}

#[test]
fn many_secrets_share_one_login() {
    let bao = Bao::start();
    for number in 0..20 {
        let name = format!("app{number}");
        bao.kv_put(&name, &json!({ "v": number.to_string() }));
    }
    let all = |one: &dyn Fn(i32) -> String| (0..20).map(one).collect::<String>();
    let secrets = all(&|n| format!("  s{n}: {{ store: bao, path: kv/data/app{n} }}\n"));
    let content = all(&|n| format!("{{{{ s{n}.v }}}} "));
    let (hushpipe, store) = by_approle(&bao);
    once(hushpipe, &manifest(&store, &secrets, &file(&content)))
        .run()
        .success()
        .stdout_has("17 18 19");
    assert_eq!(bao.requests("auth/approle/login"), 1);
    assert_eq!(bao.requests("kv/"), 20);
}

#[test]
fn of_several_addresses_the_one_that_answers_is_asked_and_a_dead_one_passed_over() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let proxies = [bao.port(), bao.port()].map(FaultProxy::start);
    proxies[0].set(Wire::Refuse);
    let hushpipe = Hushpipe::new();
    let addresses = proxies.each_ref().map(FaultProxy::address).join("\", \"");
    let store = bao.store_by_approle_at(hushpipe.place(), &addresses, "");
    let store = store.replace(&format!("\"{addresses}\""), &format!("[\"{addresses}\"]"));
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    for (dead, value) in [(1, "two"), (0, "three")] {
        proxies[1 - dead].set(Wire::Good);
        proxies[dead].set(Wire::Refuse);
        bao.kv_put("app", &json!({ "key": value }));
        running.wait_for_line(value);
    }
    assert_eq!(bao.requests("auth/approle/login"), 1);
    let output = running.stop().success();
    assert!(!output.stderr().contains("error"), "{}", output.stderr());
}

#[test]
fn a_new_version_reaches_the_program_and_is_seen_without_reading_values() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    for value in ["two", "three"] {
        bao.kv_put("app", &json!({ "key": value }));
        running.wait_for_line(value);
    }
    running.stop().success();
    assert_eq!(bao.requests("kv/data/"), 3);
}

#[test]
fn where_metadata_are_forbidden_versions_are_seen_by_the_data() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    bao.policy("app", "path \"kv/data/*\" { capabilities = [\"read\"] }");
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    bao.kv_put("app", &json!({ "key": "two" }));
    running.wait_for_line("two");
    bao.kv_put("app", &json!({ "key": "three" }));
    running.wait_for_line("three");
    running.stop().success();
    // Asked for once, and then no more.
    assert_eq!(bao.requests("kv/metadata/"), 1);
    assert_eq!(bao.requests("auth/approle/login"), 1);
}

#[test]
fn a_secret_of_version_1_is_polled_by_its_value() {
    let bao = Bao::start();
    bao.kv1_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    let secrets = "  api: { store: bao, path: kv1/app, refresh: 1s }\n";
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, secrets, &rest), &READS);
    bao.kv1_put("app", &json!({ "key": "two" }));
    running.wait_for_line("two");
    running.stop().success();
}

#[test]
fn a_pinned_version_stays() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    bao.kv_put("app", &json!({ "key": "two" }));
    let (hushpipe, store) = by_approle(&bao);
    let secrets = "  api: { store: bao, path: kv/data/app, version: 1 }\n";
    once(hushpipe, &manifest(&store, secrets, &file("{{ api.key }}")))
        .run()
        .success()
        .stdout_is("one\n");
}

#[test]
fn a_pinned_version_stays_whatever_is_written_and_when_it_is_destroyed() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    bao.kv_put("other", &json!({ "key": "a" }));
    let (hushpipe, store) = by_approle(&bao);
    let secrets = "  api: { store: bao, path: kv/data/app, version: 1, refresh: 1s }\n  \
                   other: { store: bao, path: kv/data/other, refresh: 1s }\n";
    let pinned = "  - { file: \"{place}/pinned/api\", content: \"{{ api.key }}\\n\" }\n";
    let rest = file("{{ other.key }}") + pinned + super::AT_ONCE;
    let mut probe = READS.to_vec();
    probe.splice(0..0, ["on", "HUP", "cat:{place}/pinned/api"]);
    let running = start(hushpipe, &manifest(&store, secrets, &rest), &probe);
    bao.kv_put("app", &json!({ "key": "two" }));
    bao.kv_put("other", &json!({ "key": "b" }));
    running.wait_for_line("b");
    bao.kv_destroy("app", 1);
    running.wait_for_stderr("kv/data/app: not found: version 1 was destroyed");
    bao.kv_put("other", &json!({ "key": "c" }));
    running.wait_for_line("c");
    let output = running
        .stop()
        .success()
        .stdout_is("ready\none\nb\none\nc\n");
    assert_eq!(output.stderr().matches("hushpipe: error").count(), 1);
}

/// The launch fails for want of a value, and says this.
fn is_missing(bao: &Bao, secrets: &str, said: &str) {
    let (hushpipe, store) = by_approle(bao);
    let rest = file("{{ api.key }}");
    once(hushpipe, &manifest(&store, secrets, &rest))
        .run()
        .code(65)
        .stderr_has(said);
    assert!(bao.tokens().is_empty(), "the login is left");
}

#[test]
fn what_is_not_there_is_said_with_its_reason() {
    let bao = Bao::start();
    for _ in 0..3 {
        bao.kv_put("app", &json!({ "key": "x" }));
    }
    bao.kv_destroy("app", 1);
    bao.kv_delete("app");
    let api = |rest: &str| format!("  api: {{ store: bao, {rest} }}\n");
    for (secret, said) in [
        ("path: kv/data/app", "version 3 was deleted"),
        ("path: kv/data/app, version: 1", "version 1 was destroyed"),
        ("path: kv/data/app, version: 9", "no version 9"),
        ("path: kv/data/none", "kv/data/none: not found: no secret"),
        ("path: kv/app", "this is KV version 2"),
        ("path: kv1/none", "no secret at this path"),
    ] {
        is_missing(&bao, &api(secret), said);
    }
}

/// Waits until hushpipe says that it asks in vain.
fn until_missing(running: &Running, said: &str) {
    running.wait_for_stderr(said);
}

#[test]
fn a_secret_that_is_deleted_stays_with_the_program_until_there_is_another() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    bao.kv_delete("app");
    until_missing(&running, "version 1 was deleted");
    bao.kv_undelete("app", 1);
    running.wait_for_stderr("store bao answers again");
    bao.kv_put("app", &json!({ "key": "two" }));
    running.wait_for_line("two");
    bao.kv_destroy("app", 2);
    until_missing(&running, "version 2 was destroyed");
    bao.kv_put("app", &json!({ "key": "three" }));
    running.wait_for_line("three");
    bao.kv_remove("app");
    until_missing(&running, "no secret at this path");
    bao.kv_put("app", &json!({ "key": "four" }));
    running.wait_for_line("four");
    running.stop().success();
}

#[test]
fn the_answers_of_check_online_are_versions_and_leave_no_login() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "s3cret" }));
    bao.kv1_put("app", &json!({ "key": "s3cret" }));
    let (hushpipe, store) = by_approle(&bao);
    let secrets = "  api: { store: bao, path: kv/data/app }\n  \
                   old: { store: bao, path: kv1/app }\n";
    let run = "run: { command: [\"true\"] }\n";
    hushpipe
        .manifest(&manifest(&store, secrets, run))
        .args(["check", "--online"])
        .run()
        .success()
        .stdout_has("v1")
        .says_nothing_of("s3cret");
    assert_eq!(bao.requests("kv/data/"), 0);
    assert!(bao.tokens().is_empty());
}

#[test]
fn a_namespace_is_asked_in() {
    let bao = Bao::start();
    bao.post("sys/namespaces/team", &json!({}));
    let header = format!("X-Vault-Token: {}", crate::harness::bao::ROOT);
    let inside = ["--header", &header, "--header", "X-Vault-Namespace: team"];
    let post = |path: &str, body: serde_json::Value| {
        let answer = bao
            .request_with(&inside, "POST", path, Some(&body))
            .unwrap();
        assert!(answer.status < 300, "{path}: {}", answer.body);
        answer.body
    };
    post(
        "sys/mounts/kv",
        json!({ "type": "kv", "options": { "version": "2" } }),
    );
    post("kv/data/app", json!({ "data": { "key": "inside" } }));
    let policy = "path \"kv/*\" { capabilities = [\"read\"] }";
    post("sys/policies/acl/app", json!({ "policy": policy }));
    let token = post(
        "auth/token/create",
        json!({ "policies": ["app"], "no_parent": true }),
    );
    let hushpipe = Hushpipe::new();
    let token = token["auth"]["client_token"].as_str().unwrap();
    hushpipe.place().write("token", token);
    let auth = hushpipe
        .place()
        .fill("{ method: token, file: \"{place}/token\" }");
    let store = bao.store_at(&bao.address(), &auth, ", namespace: team");
    let rest = file("{{ api.key }}");
    let output = once(hushpipe, &manifest(&store, API, &rest)).run();
    let again = output.success().stdout_is("inside\n").again();
    // Or by the variable; and without either, the token is not one of the root namespace.
    let store = bao.store(&auth);
    let again = once(again, &manifest(&store, API, &rest)).env("VAULT_NAMESPACE", "team");
    let again = again.run().success().stdout_is("inside\n").again();
    once(again, &manifest(&store, API, &rest)).run().code(77);
}

#[test]
fn a_secret_that_is_made_again_under_the_same_number_is_a_change() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe.controlled(), &manifest(&store, API, &rest), &READS);
    for value in ["two", "three"] {
        bao.delete("kv/metadata/app");
        bao.kv_put("app", &json!({ "key": value }));
        running.wait_for_line(value);
        let status = running.status();
        assert_eq!(status["secrets"][0]["version"], "v1");
    }
    // A version that was deleted and is back is what it was.
    bao.delete("kv/data/app");
    running.wait_for_stderr("version 1 was deleted");
    bao.post("kv/undelete/app", &json!({ "versions": [1] }));
    running.wait_for_stderr("store bao answers again");
    assert_eq!(running.status()["generation"], 3);
    running.stop().success();
}
