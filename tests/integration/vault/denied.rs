//! What a policy lacks is said.

use serde_json::json;

use super::{API, by_approle, file, manifest, once};
use crate::harness::Bao;

/// A policy that allows nothing.
const NOTHING: &str = "path \"none\" { capabilities = [\"read\"] }";

#[test]
fn a_policy_that_is_missing_is_named_with_its_path_and_capability() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "s3cret" }));
    bao.pki("1h");
    for (secret, said) in [
        (
            API,
            "kv/data/app: denied: no policy of the login allows `read` on kv/data/app",
        ),
        (
            "  api: { store: bao, path: pki/issue/web, parameters: { common_name: localhost } }\n",
            "path \"pki/issue/web\" { capabilities = [\"update\"] }",
        ),
    ] {
        let (hushpipe, store) = by_approle(&bao);
        bao.policy("app", NOTHING);
        let rest = file("{{ api.key }}");
        once(hushpipe, &manifest(&store, secret, &rest))
            .run()
            .code(77)
            .stderr_has(said)
            .says_nothing_of("s3cret");
    }
    // A good login is not replaced because of a policy.
    assert_eq!(bao.requests("auth/approle/login"), 2);
}

#[test]
fn check_online_asks_for_the_policy_of_what_is_made_on_demand_and_makes_nothing() {
    let bao = Bao::start();
    bao.pki("1h");
    let secrets = "  tls: { store: bao, path: pki/issue/web, \
                   parameters: { common_name: localhost } }\n";
    let run = "run: { command: [\"true\"] }\n";
    let (hushpipe, store) = by_approle(&bao);
    let output = hushpipe
        .manifest(&manifest(&store, secrets, run))
        .args(["check", "--online"])
        .run()
        .success()
        .stdout_has("made on demand");
    bao.policy("app", NOTHING);
    output
        .again()
        .args(["check", "--online"])
        .run()
        .code(77)
        .stderr_has("allows `update` on pki/issue/web");
    assert_eq!(bao.requests("pki/issue"), 0);
}

#[test]
fn a_path_that_wants_parameters_says_so() {
    let bao = Bao::start();
    bao.pki("1h");
    let (hushpipe, store) = by_approle(&bao);
    bao.policy(
        "app",
        "path \"pki/issue/*\" { capabilities = [\"read\", \"update\"] }",
    );
    let secrets = "  api: { store: bao, path: pki/issue/web }\n";
    once(hushpipe, &manifest(&store, secrets, &file("{{ api.key }}")))
        .run()
        .code(65)
        .stderr_has("does it need `parameters`");
    let (hushpipe, store) = by_approle(&bao);
    let secrets = "  api: { store: bao, path: pki/issue/none, parameters: { common_name: x } }\n";
    once(hushpipe, &manifest(&store, secrets, &file("{{ api.key }}")))
        .run()
        .code(65)
        .stderr_has("rejected the request (400)");
}
