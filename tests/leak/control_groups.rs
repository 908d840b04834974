//! Secrets that people approve: nothing of the wrapping tokens that stand for them, nor of the values, is
//! left, while hushpipe waits and after.

use serde_json::json;

use super::canary::Canary;
use super::deliveries::assert_clean;
use super::scan::Scan;
use crate::harness::bao::auth::APPROLE_AUTH;
use crate::harness::{Bao, Hushpipe, Running};

const POLICY: &str = r#"
path "kv/data/app" {
  capabilities = ["read"]
  control_group = {
    ttl = "5m"
    factor "people" {
      controlled_capabilities = ["read"]
      identity { group_names = ["approvers"] approvals = 1 }
    }
  }
}
path "kv/metadata/app" { capabilities = ["read"] }
path "sys/control-group/request" { capabilities = ["update"] }
"#;

const ROTATIONS: usize = 3;

fn put(bao: &Bao) -> Canary {
    let canary = Canary::new("value");
    bao.kv_put("app", &json!({ "value": canary.value() }));
    canary
}

/// The wrapping tokens so far.
fn wrapping(bao: &Bao) -> Vec<Canary> {
    let tokens = bao.answered("/response/wrap_info/token");
    tokens
        .iter()
        .map(|token| Canary::of("wrapping token", token))
        .collect()
}

/// Approves what the next line asks for.
fn approve(bao: &Bao, running: &Running, person: &str) {
    let line = running.wait_for_stderr("to approve it: ");
    let (_, accessor) = line.split_once("accessor=").expect("the line names it");
    let accessor = accessor.split('`').next().expect("it is a command");
    let body = json!({ "accessor": accessor });
    let answer = bao.request_as(person, "POST", "sys/control-group/authorize", Some(&body));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn nothing_of_what_people_approve_is_left() {
    let bao = Bao::settings().raw_audit().start();
    let people = bao.approvers(&["ann"]);
    bao.policy("held", POLICY);
    let mut all = vec![put(&bao)];
    let control = Canary::new("control");
    let hushpipe = Hushpipe::new().env("CONTROL", control.value());
    bao.approle(hushpipe.place(), &json!({ "token_policies": "held" }));
    let store = bao.store(&hushpipe.place().fill(APPROLE_AUTH));
    let running = hushpipe
        .manifest(&format!(
            "version: 1\nservice: leak\nstores:\n  it: {store}\nsecrets:\n  value: {{ store: it, path: \
             kv/data/app, refresh: 1h }}\ndeliver:\n  - {{ file: \"{{place}}/run/file\", secret: \
             value.value }}\nisolation: private\nrun:\n  command: [\"{{probe}}\", on, HUP, \
             \"digest:{{place}}/run/file\", on, TERM, \"exit:0\", serve]\non_rotate: {{ do: signal, \
             signal: HUP, settle: 0s }}\n"
        ))
        .controlled()
        .args(["run", "-vv"])
        .spawn();
    running.until("the request is made", || {
        (!wrapping(&bao).is_empty()).then_some(())
    });
    let told = |running: &Running, all: &[Canary]| {
        let mut told = running.stderr().into_bytes();
        for words in [
            &["status"][..],
            &["status", "--json"],
            &["status", "--check"],
        ] {
            let output = running.ask(words);
            told.extend(output.stdout);
            told.extend(output.stderr);
        }
        assert_eq!(Scan::new(all).bytes("what it says", &told), [""; 0]);
    };
    // While it waits, the token is in protected memory alone.
    let waiting: Vec<Canary> = wrapping(&bao);
    told(&running, &waiting);
    assert_clean(&running, &control, &waiting.iter().collect::<Vec<_>>());
    approve(&bao, &running, &people[0]);
    running.wait_for_line("ready");
    for _ in 0..ROTATIONS {
        all.push(put(&bao));
        running.ask(&["rotate"]);
        approve(&bao, &running, &people[0]);
        running.wait_for_line("digest");
    }
    all.extend(wrapping(&bao));
    all.extend(
        bao.login_tokens()
            .iter()
            .map(|token| Canary::of("token", token)),
    );
    assert_eq!(wrapping(&bao).len(), ROTATIONS + 1);
    assert_clean(&running, &control, &all.iter().collect::<Vec<_>>());
    told(&running, &all);
    running.stop().success();
}
