//! Canaries, the login and its ids through a vault store: nothing of them is left in hushpipe.

use serde_json::json;

use super::canary::Canary;
use super::deliveries::assert_clean;
use super::scan::Scan;
use crate::harness::{Bao, Hushpipe, Running, is_long};

const NAMES: &[&str] = &["file", "template", "memfd", "pipe", "stdin", "fifo"];

const DELIVER: &str = r#"
deliver:
  - { file: "{place}/run/file", secret: file.value }
  - { file: "{place}/run/template", content: "a {{ template.value }} b {{ template | json }} c {{ template.value | b64encode }}" }
  - { fd: 3, as: memfd, secret: memfd.value }
  - { fd: 4, as: pipe, secret: pipe.value }
  - { stdin: true, secret: stdin.value }
  - { fifo: "{place}/run/fifo", secret: fifo.value }
isolation: private
run:
  command: ["{probe}", digest, "4", digest, "0", digest-file, "{place}/run/fifo",
    on, HUP, "digest:{place}/run/file", on, TERM, "exit:0", serve]
on_rotate: { do: signal, signal: HUP, settle: 0s }
"#;

/// How often the value of `file` changes.
fn rotations() -> usize {
    if is_long() { 100 } else { 20 }
}

fn put(bao: &Bao, canary: &Canary) {
    bao.kv_put(&canary.name, &json!({ "value": canary.value() }));
}

fn start(bao: &Bao, hushpipe: Hushpipe, auth: &str) -> Running {
    let store = bao.store(&hushpipe.place().fill(auth));
    let secret =
        |name: &&str| format!("  {name}: {{ store: it, path: kv/data/{name}, refresh: 1h }}\n");
    let secrets: String = NAMES.iter().map(secret).collect();
    let running = hushpipe
        .manifest(&format!(
            "version: 1\nservice: leak\nstores:\n  it: {store}\nsecrets:\n{secrets}{DELIVER}"
        ))
        .controlled()
        .args(["run", "-vv"])
        .spawn();
    running.wait_for_line("ready");
    running
}

/// A launch with an AppRole login whose settings are these, and many rotations.
fn leaves_nothing(auth: &str) {
    let bao = Bao::settings().raw_audit().start();
    let mut all: Vec<Canary> = NAMES.iter().map(|name| Canary::new(name)).collect();
    for canary in &all {
        put(&bao, canary);
    }
    let hushpipe = Hushpipe::new();
    let ids = bao.application(hushpipe.place());
    all.push(Canary::of("role_id", &ids.role_id));
    all.push(Canary::of("secret_id", &ids.secret_id));
    let control = Canary::new("control");
    let hushpipe = hushpipe.env("CONTROL", control.value());
    let running = start(&bao, hushpipe, auth);
    let tokens = bao.login_tokens();
    assert_eq!(tokens.len(), 1, "one login is for all secrets");
    all.push(Canary::of("token", &tokens[0]));
    assert_clean(&running, &control, &all.iter().collect::<Vec<_>>());
    for _ in 0..rotations() {
        let canary = Canary::new("file");
        put(&bao, &canary);
        let output = running.ask(&["rotate"]);
        assert!(output.status.success(), "{}", running.stderr());
        running.wait_for_line("digest");
        all.push(canary);
    }
    assert_clean(&running, &control, &all.iter().collect::<Vec<_>>());
    nothing_is_told(&running, &all);
    running.stop().success();
}

/// What it says, and all that its control socket answers.
fn nothing_is_told(running: &Running, canaries: &[Canary]) {
    let mut told = running.stderr().into_bytes();
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["status", "--check"],
        &["rotate"],
        &["rotate", "file"],
        &["rollback"],
        &["rollback", "file"],
        &["revoke", "file"],
        &["status", "--json"],
    ] {
        let output = running.ask(words);
        told.extend(output.stdout);
        told.extend(output.stderr);
    }
    told.extend(running.stderr().into_bytes());
    let text = String::from_utf8_lossy(&told);
    assert!(text.contains("\"service\": \"leak\""), "{text}");
    assert_eq!(Scan::new(canaries).bytes("the answers", &told), [""; 0]);
}

#[test]
fn nothing_of_a_vault_store_is_left() {
    leaves_nothing(crate::harness::bao::auth::APPROLE_AUTH);
}

#[test]
fn nothing_of_a_secret_id_that_is_kept_is_left() {
    leaves_nothing(
        r#"{ method: approle, role_id_file: "{place}/role_id", secret_id_file: "{place}/secret_id", remove_secret_id_file: true }"#,
    );
}
