//! Stores of type `vault`, against the real OpenBao.

mod asked;
mod control_groups;
mod denied;
mod engines;
mod exit;
mod given;
mod idle;
mod kv;
mod leases;
mod logins;
mod next;
mod rotated;
mod tokens;
mod wrapped;

use crate::harness::{Bao, Hushpipe, Running, wait_until};

/// No waiting for more changes.
const AT_ONCE: &str = "on_rotate: { do: signal, signal: HUP, settle: 0s }\n";

/// At SIGHUP the program writes the file that `token` is delivered in.
const READS: [&str; 4] = ["on", "HUP", "cat:{place}/run/token", "serve"];

/// `api` is the KV secret `app`.
const API: &str = "  api: { store: bao, path: kv/data/app, refresh: 1s }\n";

/// `db` is a login to the database.
const DB: &str = "  db: { store: bao, path: database/creds/app }\n";

/// A manifest of one store and its secrets, and what follows.
fn manifest(store: &str, secrets: &str, rest: &str) -> String {
    format!("version: 1\nservice: t\nstores:\n  bao: {store}\nsecrets:\n{secrets}{rest}")
}

/// `content` as the file `run/token`, with a line end.
fn file(content: &str) -> String {
    format!("deliver:\n  - {{ file: \"{{place}}/run/token\", content: \"{content}\\n\" }}\n")
}

/// As [`file`], and no waiting for more changes.
fn file_at_once(content: &str) -> String {
    file(content) + AT_ONCE
}

/// Starts it; the program is `{probe}` with these commands, and ready.
fn start(hushpipe: Hushpipe, manifest: &str, probe: &[&str]) -> Running {
    let running = hushpipe
        .manifest(manifest)
        .args(["-vv", "run", "--", "{probe}", "on", "TERM", "exit:0"])
        .args(probe.iter().copied())
        .spawn();
    running.wait_for_line("ready");
    running
}

/// A program that writes the delivered file and ends.
fn once(hushpipe: Hushpipe, manifest: &str) -> Hushpipe {
    hushpipe
        .manifest(manifest)
        .args(["-v", "run", "--", "cat", "{place}/run/token"])
}

/// OpenBao takes leases back one after the other, and answers before it has.
fn until_no_lease(bao: &Bao) {
    let gone = wait_until(|| bao.leases("database/creds/app").is_empty().then_some(()));
    assert!(gone.is_some(), "{:?}", bao.leases("database/creds/app"));
}

/// hushpipe in a place that has the files of an AppRole login, and the store that uses them.
fn by_approle(bao: &Bao) -> (Hushpipe, String) {
    let hushpipe = Hushpipe::new();
    let store = bao.store_by_approle(hushpipe.place());
    (hushpipe, store)
}
