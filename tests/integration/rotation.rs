//! Rotation: from a change in a store to the program, which is told and reads it.
//!
//! Where a test says that something did not happen, it makes a change that is seen, waits for
//! that, and counts.

mod actions;
mod around;
mod by_hand;
mod command;
mod delivered;
mod directory;
mod faults;
mod outage;
mod restart;
mod sealed;
mod verify;

use crate::harness::{Hushpipe, Output, Running};

/// At SIGHUP the program writes the file that `token` is delivered in.
const READS: [&str; 4] = ["on", "HUP", "cat:{place}/run/token", "serve"];

/// A file that is one line: the secret.
const BY_FILE: &str =
    "deliver:\n  - { file: \"{place}/run/token\", content: \"{{ token }}\\n\" }\n";

/// `token` in the sealed store of the place.
const STORE: &str = "stores:\n  local: { type: sealed, path: \"{place}/store\", \
     identity_file: \"{place}/identity.txt\" }\n\
     secrets:\n  token: { store: local, key: token }\n";

/// No waiting for more changes.
const AT_ONCE: &str = "on_rotate: { do: signal, signal: HUP, settle: 0s }\n";

/// Starts a manifest of these stores and secrets, and what follows; the program is `{probe}` with
/// these commands, and ready. At SIGTERM it ends with 0, if they do not say otherwise.
fn start(hushpipe: Hushpipe, manifest: &str, probe: &[&str]) -> Running {
    let manifest = format!("version: 1\nservice: t\n{manifest}");
    let end = ["on", "TERM", "exit:0"];
    let end = end.iter().filter(|_| !probe.contains(&"TERM"));
    let running = hushpipe
        .manifest(&manifest)
        .args(["-v", "run", "--", "{probe}"])
        .args(end.chain(probe).copied())
        .spawn();
    running.wait_for_line("ready");
    running
}

/// `token` in a sealed store, which is `one`.
fn sealed(rest: &str, probe: &[&str]) -> Running {
    sealed_as(Hushpipe::new(), rest, probe)
}

fn sealed_as(hushpipe: Hushpipe, rest: &str, probe: &[&str]) -> Running {
    let manifest = format!("{STORE}{rest}");
    start(hushpipe.sealed(&[("token", "one")]), &manifest, probe)
}

/// `token` in a directory, which is `one`.
fn directory(rest: &str, probe: &[&str]) -> Running {
    directory_as(Hushpipe::new(), rest, probe)
}

fn directory_as(hushpipe: Hushpipe, rest: &str, probe: &[&str]) -> Running {
    let hushpipe = hushpipe.file("secrets/token", "one");
    let manifest = format!(
        "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n{rest}"
    );
    start(hushpipe, &manifest, probe)
}

/// It was said so often.
fn said_times(output: &Output, text: &str, times: usize) {
    let stderr = output.stderr();
    assert_eq!(stderr.matches(text).count(), times, "{text} in\n{stderr}");
}

/// Lines of this and a number, from 1 on.
fn numbered(text: &str, most: usize) -> String {
    (1..=most).fold(String::new(), |lines, number| {
        lines + text + &number.to_string() + "\n"
    })
}
