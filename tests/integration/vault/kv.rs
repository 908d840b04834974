//! KV secrets of both versions.

use serde_json::json;

use super::{AT_ONCE, READS, file, manifest, plain, start};
use crate::harness::{Bao, Hushpipe};

#[test]
fn a_secret_of_version_2_is_fetched_by_an_approle_login() {
    let bao = Bao::start();
    bao.kv_put(
        "stripe",
        &json!({ "key": "sk_live_1", "port": 5432, "tags": ["a"] }),
    );
    let hushpipe = Hushpipe::new();
    let store = plain(&bao, &hushpipe);
    let secrets = "  api: { store: bao, path: kv/data/stripe }\n";
    let content = file("{{ api.key }} {{ api.port }} {{ api.tags }}");
    hushpipe
        .manifest(&manifest(&store, secrets, &content))
        .args(["-v", "run", "--", "cat", "{place}/run/token"])
        .run()
        .success()
        .stdout_is("sk_live_1 5432 [\"a\"]\n");
    assert_eq!(bao.requests("kv/"), 1);
}

#[test]
fn a_new_version_reaches_the_program() {
    let bao = Bao::start();
    bao.kv_put("stripe", &json!({ "key": "one" }));
    let hushpipe = Hushpipe::new();
    let store = plain(&bao, &hushpipe);
    let secrets = "  api: { store: bao, mount: kv, key: stripe, refresh: 1s }\n";
    let rest = file("{{ api.key }}") + AT_ONCE;
    let running = start(hushpipe, &manifest(&store, secrets, &rest), &READS);
    for value in ["two", "three"] {
        bao.kv_put("stripe", &json!({ "key": value }));
        running.wait_for_line(value);
    }
    running.stop().success();
    // The values were read once each; the rest was seen by metadata.
    assert_eq!(bao.requests("kv/data/"), 3);
}
