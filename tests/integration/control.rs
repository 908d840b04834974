//! The control socket: running launchers, seen and asked from outside.

mod asking;
mod doing;
mod leased;
mod places;
mod rolling;
mod strangers;

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{Hushpipe, Output, Place, Running};

/// A launcher whose sockets are in the place: others of this user do not mix with it.
const RUNTIME: &str = "{place}/runtime";

const MANIFEST: &str = "version: 1\nservice: payments\nrun: { command: [\"{probe}\", on, TERM, \
     \"exit:0\", serve] }\n";

/// One without secrets, whose program is ready and whose socket is there.
fn start(hushpipe: Hushpipe) -> Running {
    start_with(hushpipe, MANIFEST)
}

fn start_with(hushpipe: Hushpipe, manifest: &str) -> Running {
    let running = hushpipe.directory("runtime").manifest(manifest);
    let running = running
        .env("XDG_RUNTIME_DIR", RUNTIME)
        .args(["-v", "run"])
        .spawn();
    running.wait_for_line("ready");
    running.wait_for_stderr("the control socket is ");
    running
}

/// The socket's path, as `-v` tells it.
fn socket(running: &Running) -> PathBuf {
    let stderr = running.stderr();
    let line = stderr
        .lines()
        .find_map(|line| line.split_once("the control socket is "));
    PathBuf::from(line.expect("it was told").1)
}

/// Runs hushpipe beside one that runs, as the owner of the place.
fn beside(place: &Place, arguments: &[&str]) -> Output {
    as_user(place, 0, arguments)
}

fn as_user(place: &Place, uid: u32, arguments: &[&str]) -> Output {
    // A place of its own, so that the running one keeps its own.
    let hushpipe = Hushpipe::new().env("XDG_RUNTIME_DIR", place.join("runtime"));
    let hushpipe = if uid == 0 {
        hushpipe
    } else {
        hushpipe.user(uid)
    };
    hushpipe.args(arguments.iter().copied()).run()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout()).expect("it is JSON")
}

/// The launcher's own row of `ps --json`: as root, all launchers of this machine are in it.
fn row(place: &Place, pid: i32) -> Option<Value> {
    let listed = json(&beside(place, &["ps", "--json"]).success());
    let mut rows = listed.as_array().expect("it is a list").iter();
    rows.find(|row| row["pid"] == pid).cloned()
}

/// Runs a command on the launcher.
fn ask(running: &Running, command: &str, words: &[&str]) -> Output {
    let pid = running.pid().to_string();
    let mut all = vec![command];
    all.extend(words);
    all.extend(if command == "status" {
        &[][..]
    } else {
        &["-t"]
    });
    all.push(&pid);
    beside(running.place(), &all)
}

fn status(running: &Running) -> Value {
    json(&ask(running, "status", &["--json"]).success())
}

/// The sockets that a process has open.
fn sockets_of(pid: i32) -> Vec<PathBuf> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .collect()
}
