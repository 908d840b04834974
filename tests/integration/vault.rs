//! Stores of type `vault`, against the real OpenBao.

mod kv;
mod leases;

use crate::harness::{Bao, Hushpipe, Running};

/// No waiting for more changes.
const AT_ONCE: &str = "on_rotate: { do: signal, signal: HUP, settle: 0s }\n";

/// At SIGHUP the program writes the file that `token` is delivered in.
const READS: [&str; 4] = ["on", "HUP", "cat:{place}/run/token", "serve"];

/// A manifest of one store and its secrets, and what follows.
fn manifest(store: &str, secrets: &str, rest: &str) -> String {
    format!("version: 1\nservice: t\nstores:\n  bao: {store}\nsecrets:\n{secrets}{rest}")
}

/// `content` as the file `run/token`, with a line end.
fn file(content: &str) -> String {
    format!("deliver:\n  - {{ file: \"{{place}}/run/token\", content: \"{content}\\n\" }}\n")
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

/// A store that logs in by AppRole without TLS.
fn plain(bao: &Bao, hushpipe: &Hushpipe) -> String {
    bao.store_by_approle_at(hushpipe.place(), &bao.plain(), "")
}
