//! Secrets that people have to approve: control groups of the real OpenBao.

use nix::sys::signal::Signal;
use serde_json::json;

use super::{READS, file, manifest, once};
use crate::harness::bao::auth::APPROLE_AUTH;
use crate::harness::{Bao, Fake, FakeAnswers, Hushpipe, Running};

/// A secret whose readings people approve, and one that is read by whoever may.
const SECRETS: &str = "  held: { store: bao, path: kv/data/held, refresh: 1s }\n  \
                       free: { store: bao, path: kv/data/free, refresh: 1s }\n";
const BOTH: &str = "deliver:\n  \
                    - { file: \"{place}/run/token\", content: \"{{ held.key }}\\n\" }\n  \
                    - { file: \"{place}/run/free\", content: \"{{ free.key }}\\n\" }\n\
                    on_rotate: { do: signal, signal: HUP, settle: 0s }\n";

/// The line on standard error that asks people.
const ASKS: &str = "to approve it: ";

/// A server, hushpipe's files for a login whose reading of `held` so many people have to approve, the
/// store, and a token of each who may.
struct Held {
    bao: Bao,
    hushpipe: Hushpipe,
    store: String,
    people: Vec<String>,
}

impl Held {
    fn new(approvals: usize, ttl: &str, more: &str) -> Self {
        Self::with_policy(approvals, ttl, more, LOOKS)
    }

    fn with_policy(approvals: usize, ttl: &str, more: &str, policy: &str) -> Self {
        let bao = Bao::settings().raw_audit().start();
        bao.kv_put("held", &json!({ "key": "one" }));
        bao.kv_put("free", &json!({ "key": "free" }));
        let people = bao.approvers(&["ann", "eve"]);
        bao.policy(
            "held",
            &format!(
                "path \"kv/data/held\" {{ capabilities = [\"read\"]\n control_group = {{ ttl = \
                 \"{ttl}\"\n factor \"people\" {{ controlled_capabilities = [\"read\"]\n identity {{ \
                 group_names = [\"approvers\"]\n approvals = {approvals} }} }} }} }}\n{policy}"
            ),
        );
        let hushpipe = Hushpipe::new();
        bao.approle(hushpipe.place(), &json!({ "token_policies": "held" }));
        let auth = hushpipe.place().fill(APPROLE_AUTH);
        let store = bao.store_at(&bao.address(), &auth, more);
        Self {
            bao,
            hushpipe,
            store,
            people,
        }
    }

    /// Starts it; it waits for people.
    fn spawn(self, secrets: &str, rest: &str) -> (Bao, Running, Vec<String>) {
        let running = self
            .hushpipe
            .manifest(&manifest(&self.store, secrets, rest))
            .controlled()
            .args(["-vv", "run", "--", "{probe}", "on", "TERM", "exit:0"])
            .args(READS)
            .spawn();
        (self.bao, running, self.people)
    }
}

/// What a login needs beside the secret itself: metadata tell of versions, and requests can be seen.
const LOOKS: &str = "path \"kv/metadata/*\" { capabilities = [\"read\"] }\n\
                     path \"kv/data/free\" { capabilities = [\"read\"] }\n\
                     path \"sys/control-group/request\" { capabilities = [\"update\"] }\n";

/// The accessor in the line that asks people.
fn accessor(line: &str) -> String {
    let (_, rest) = line.split_once("accessor=").expect("the line names it");
    let end = rest.find('`').expect("it is a command");
    rest[..end].to_owned()
}

fn approve(bao: &Bao, person: &str, accessor: &str) {
    let body = json!({ "accessor": accessor });
    let path = "sys/control-group/authorize";
    let answer = bao.request_as(person, "POST", path, Some(&body));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Whether the server still knows a request.
fn is_known(bao: &Bao, accessor: &str) -> bool {
    let body = json!({ "accessor": accessor });
    let path = "sys/control-group/request";
    bao.request("POST", path, Some(&body)).status == 200
}

#[test]
fn a_start_waits_for_two_people_and_executes_the_request_once() {
    let held = Held::new(2, "5m", "");
    let (bao, running, people) = held.spawn(SECRETS, BOTH);
    let accessor = accessor(&running.wait_for_stderr(ASKS));
    let status = running.status();
    assert_eq!(status["state"], "waiting for approval");
    let request = &status["control_groups"][0];
    assert_eq!(
        (&request["store"], &request["asked"], &request["by"]),
        (&json!("bao"), &json!("kv/data/held"), &json!([]))
    );
    assert_eq!(request["accessor"], json!(accessor));
    let page = running.ask(&["status"]);
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    let command = format!("sys/control-group/authorize accessor={accessor}");
    assert!(page.contains(&command), "{page}");
    approve(&bao, &people[0], &accessor);
    running.wait_for_stderr("approved so far by userpass-ann");
    let by = &running.status()["control_groups"][0]["by"];
    assert_eq!(*by, json!(["userpass-ann"]));
    approve(&bao, &people[1], &accessor);
    running.wait_for_line("ready");
    running.wait_for_stderr("was approved; approved by userpass-ann, userpass-eve");
    assert_eq!(running.status()["control_groups"], json!([]));
    // Nobody else can have it executed again.
    assert!(!is_known(&bao, &accessor));
    let tokens = bao.answered("/response/wrap_info/token");
    let output = running.stop().success();
    tokens
        .iter()
        .fold(output, |output, token| output.says_nothing_of(token));
}

#[test]
fn a_rotation_keeps_the_value_before_and_holds_nothing_else_up() {
    let held = Held::new(1, "5m", "");
    let (bao, running, people) = held.spawn(SECRETS, BOTH);
    approve(&bao, &people[0], &accessor(&running.wait_for_stderr(ASKS)));
    running.wait_for_line("ready");
    bao.kv_put("held", &json!({ "key": "two" }));
    let second = accessor(&running.wait_for_stderr(ASKS));
    bao.kv_put("free", &json!({ "key": "freed" }));
    running.wait_for_stderr("secret free has version v2");
    // The program reads its files at that: this one is as it was.
    running.wait_for_line("one");
    assert!(running.status()["healthy"].as_bool().unwrap_or_default());
    approve(&bao, &people[1], &second);
    running.wait_for_line("two");
    running.stop().success();
    // No request but these two was made.
    let asked = bao.answered("/response/wrap_info/accessor");
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[test]
fn a_start_ends_with_75_when_the_time_is_up_and_withdraws_the_request() {
    let held = Held::new(
        1,
        "5m",
        ", control_group: { wait: 1s }, retry: { deadline: 500ms }",
    );
    let (bao, running, _) = held.spawn(SECRETS, BOTH);
    let accessor = accessor(&running.wait_for_stderr(ASKS));
    let output = running.wait().code(75);
    output
        .stderr_has("was not approved by enough people (no approval so far) within 1s")
        .stderr_has("control_group: { wait: 1s }");
    assert!(!is_known(&bao, &accessor));
}

#[test]
fn a_signal_ends_the_wait_at_once_and_the_request_with_it() {
    let (bao, running, _) = Held::new(1, "5m", "").spawn(SECRETS, BOTH);
    let accessor = accessor(&running.wait_for_stderr(ASKS));
    running.signal(Signal::SIGTERM);
    running.wait().code(143);
    assert!(!is_known(&bao, &accessor));
}

#[test]
fn a_request_that_expires_ends_the_start() {
    let (_bao, running, _) = Held::new(1, "2s", "").spawn(SECRETS, BOTH);
    running.wait_for_stderr(ASKS);
    running
        .wait()
        .code(75)
        .stderr_has("the server does not know request")
        .stderr_has("the next attempt makes a new request");
}

#[test]
fn a_login_that_may_not_look_at_requests_gets_what_is_approved_all_the_same() {
    let blind = "path \"kv/metadata/*\" { capabilities = [\"read\"] }\n\
                 path \"kv/data/free\" { capabilities = [\"read\"] }\n";
    let held = Held::with_policy(1, "5m", "", blind);
    let (bao, running, people) = held.spawn(SECRETS, BOTH);
    let accessor = accessor(&running.wait_for_stderr(ASKS));
    running.wait_for_stderr("path \"sys/control-group/request\" { capabilities = [\"update\"] }");
    approve(&bao, &people[0], &accessor);
    running.wait_for_line("ready");
    running.stop().success();
}

#[test]
fn check_online_asks_nobody() {
    let held = Held::new(1, "5m", "");
    bao_hides_metadata(&held.bao);
    let text = manifest(&held.store, SECRETS, BOTH);
    held.hushpipe
        .manifest(&(text + "run: { command: [cat, \"{place}/run/token\"] }\n"))
        .args(["check", "--online"])
        .run()
        .success()
        .stdout_has("needs approval");
    let asked = held.bao.answered("/response/wrap_info/accessor");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(!is_known(&held.bao, &asked[0]));
}

/// The metadata of `held` may not be read any more.
fn bao_hides_metadata(bao: &Bao) {
    let policy = bao.get("sys/policies/acl/held");
    let policy = policy["data"]["policy"].as_str().expect("it is text");
    let policy = policy.replace("kv/metadata/*", "kv/metadata/free");
    bao.policy("held", &policy);
}

#[test]
fn a_value_whose_metadata_are_hidden_is_asked_for_when_the_manifest_says() {
    let held = Held::new(1, "5m", "");
    bao_hides_metadata(&held.bao);
    let never = SECRETS.replace("kv/data/held, refresh: 1s", "kv/data/held");
    let (bao, running, people) = held.spawn(&never, BOTH);
    approve(&bao, &people[0], &accessor(&running.wait_for_stderr(ASKS)));
    running.wait_for_line("ready");
    let asked = |count| {
        let asked = bao.answered("/response/wrap_info/accessor");
        assert_eq!(asked.len(), count, "{asked:?}");
    };
    bao.kv_put("free", &json!({ "key": "freed" }));
    running.wait_for_line("one");
    asked(1);
    bao.kv_put("held", &json!({ "key": "two" }));
    let refused = running.ask(&["rotate", "held"]);
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    asked(2);
    approve(&bao, &people[0], &accessor(&running.wait_for_stderr(ASKS)));
    running.wait_for_line("two");
    running.stop().success();
}

/// A fake in front of the server: the answers of Vault Enterprise as its documentation shows them, and
/// some that no server gives.
fn behind_fake() -> (Bao, FakeAnswers, Hushpipe, String) {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let fake = FakeAnswers::before(bao.plain_port());
    let hushpipe = Hushpipe::new();
    bao.application(hushpipe.place());
    let auth = hushpipe.place().fill(APPROLE_AUTH);
    let store = bao.store_at(&fake.address(), &auth, ", control_group: { wait: 5s }");
    (bao, fake, hushpipe, store)
}

fn wrapped(path: &str, accessor: &str) -> Fake {
    json_answer(
        200,
        &json!({ "request_id": "", "lease_id": "", "renewable": false, "lease_duration": 0,
            "data": null, "warnings": null, "auth": null, "wrap_info": {
            "token": "hvs.wrapping", "accessor": accessor, "ttl": 86400,
            "creation_time": "2026-01-01T00:00:00Z", "creation_path": path } }),
    )
}

fn json_answer(status: u16, body: &serde_json::Value) -> Fake {
    Fake::Whole(status, Vec::new(), body.to_string().into_bytes())
}

/// <https://developer.hashicorp.com/vault/api-docs/system/control-group>
fn documented(approved: bool) -> Fake {
    json_answer(
        200,
        &json!({ "data": { "approved": approved, "request_path": "kv/data/app",
            "request_entity": { "id": "c8b6e404-de4b-50a4-2917-715ff8beec8e", "name": "Bob" },
            "authorizations": [
                { "entity_id": "6544a3ec-d3cd-443b-b87b-4fd2e889e0b7", "entity_name": "Abby Jones" },
                { "entity_id": "919084a4-417e-42ee-9d78-87fa2843af37",
                  "entity_name": "James Franklin" } ] } }),
    )
}

const APP: &str = "  api: { store: bao, path: kv/data/app }\n";

#[test]
fn a_fake_vault_enterprise_is_understood() {
    let (_bao, fake, hushpipe, store) = behind_fake();
    fake.answer(
        "/v1/kv/data/app",
        wrapped("kv/data/app", "0ad21b78-e9bb-64fa-88b8-1e38db217bde"),
    );
    fake.answer("/v1/sys/control-group/request", documented(true));
    let value = json!({ "data": { "data": { "key": "two" }, "metadata": {
        "version": 7, "created_time": "t", "deletion_time": "", "destroyed": false } } });
    fake.answer("/v1/sys/wrapping/unwrap", json_answer(200, &value));
    once(hushpipe, &manifest(&store, APP, &file("{{ api.key }}")))
        .run()
        .success()
        .stdout_is("two\n")
        .stderr_has("approved by Abby Jones, James Franklin");
    let unwraps: Vec<_> = fake
        .seen()
        .into_iter()
        .filter(|seen| seen.path == "/v1/sys/wrapping/unwrap")
        .collect();
    assert_eq!(unwraps.len(), 1);
    assert!(
        unwraps[0].head.contains("hvs.wrapping"),
        "{}",
        unwraps[0].head
    );
}

#[test]
fn answers_that_no_control_group_gives_are_refused() {
    let used = json_answer(400, &json!({ "errors": ["wrapping token is not valid"] }));
    let unwrapped_before = [documented(true), used.clone()];
    for (path, accessor, [looked, unwrapped], code, said) in [
        (
            "kv/data/other",
            "a1",
            unwrapped_before.clone(),
            77,
            "made for another path",
        ),
        (
            "kv/data/app",
            "a1; reboot",
            unwrapped_before.clone(),
            65,
            "not one that a server makes",
        ),
        (
            "kv/data/app",
            "a1",
            unwrapped_before,
            77,
            "somebody else has opened it",
        ),
        (
            "kv/data/app",
            "a1",
            [used.clone(), used],
            75,
            "does not know request a1",
        ),
    ] {
        let (_bao, fake, hushpipe, store) = behind_fake();
        fake.answer("/v1/kv/data/app", wrapped(path, accessor));
        fake.answer("/v1/sys/control-group/request", looked);
        fake.answer("/v1/sys/wrapping/unwrap", unwrapped);
        once(hushpipe, &manifest(&store, APP, &file("{{ api.key }}")))
            .run()
            .code(code)
            .stderr_has(said)
            .says_nothing_of("hvs.wrapping");
    }
}

#[test]
fn an_outage_does_not_end_the_wait() {
    let held = Held::new(1, "5m", "");
    let fake = FakeAnswers::before(held.bao.plain_port());
    let auth = held.hushpipe.place().fill(APPROLE_AUTH);
    let more = ", retry: { deadline: 300ms }";
    let store = held.bao.store_at(&fake.address(), &auth, more);
    let held = Held { store, ..held };
    let (bao, running, people) = held.spawn(SECRETS, BOTH);
    let accessor = accessor(&running.wait_for_stderr(ASKS));
    fake.answer("/v1/", Fake::Nothing);
    let before = fake.seen().len();
    running.until("it was asked in vain", || {
        (fake.seen().len() > before + 2).then_some(())
    });
    fake.relent();
    approve(&bao, &people[0], &accessor);
    running.wait_for_line("ready");
    running.stop().success();
}
