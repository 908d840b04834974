//! Who else may look into hushpipe: root alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use super::deliveries::canaries;
use super::scan::Scan;
use super::stocked::{Kind, Stocked};
use crate::harness::{Hushpipe, Place, Running, children};

const USER: u32 = 1000;

const DELIVER: &str = r#"
deliver:
  - { file: "{place}/run/file", secret: file@ }
  - { fifo: "{place}/run/fifo", secret: fifo@ }
isolation: private
run:
  command: ["{probe}", on, TERM, "exit:0", serve]
"#;

/// What `probe look-into` says, as another user or the same.
fn look(place: &Place, uid: u32, pid: i32) -> Vec<(String, String)> {
    let output = run_as(
        uid,
        Command::new(place.probe()).args(["look-into", &pid.to_string()]),
    );
    let text = String::from_utf8(output.stdout).expect("it is UTF-8");
    let word = |line: &str| {
        line.split_once(' ')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    text.lines().filter_map(word).collect()
}

fn run_as(uid: u32, command: &mut Command) -> Output {
    command
        .uid(uid)
        .gid(uid)
        .output()
        .expect("it can be started")
}

/// Neither its own user nor another one reads anything of it. ESRCH is a process that they cannot
/// find, ENOTSUP nothing that a kernel has.
fn assert_closed(running: &Running, pid: i32) {
    let owner = fs::metadata(format!("/proc/{pid}/mem")).expect("it runs");
    assert_eq!(
        (owner.uid(), owner.gid()),
        (0, 0),
        "its memory is its user's"
    );
    for uid in [USER, USER + 1] {
        let seen = look(running.place(), uid, pid);
        assert_eq!(seen.len(), 13, "{seen:?}");
        for (what, result) in seen {
            let refused = matches!(result.as_str(), "EACCES" | "EPERM");
            assert!(refused, "{uid} and {what}: {result}");
        }
    }
}

fn launch() -> (Running, Vec<super::Canary>) {
    let given = canaries(&["file", "fifo"]);
    let (stocked, hushpipe) =
        Stocked::new(Kind::Directory, Hushpipe::new().directory("run"), &given);
    let text = stocked.manifest(hushpipe.place(), &["file", "fifo"], DELIVER);
    let running = hushpipe
        .manifest(&text)
        .user(USER)
        .args(["run", "-v"])
        .spawn();
    running.wait_for_line("ready");
    (running, given)
}

#[test]
fn nobody_but_root_looks_into_hushpipe() {
    let (running, _) = launch();
    assert_closed(&running, running.pid());
    // The program is its user's, as ever: the same look succeeds there.
    let program = running.program();
    let seen = look(running.place(), USER, program);
    let well = |name: &str| seen.iter().any(|(what, how)| what == name && how == "well");
    assert!(well("environ") && well("maps") && well("fd"), "{seen:?}");
    running.stop().success();
}

#[test]
fn a_commands_store_looks_into_hushpipe_as_little() {
    // A program that hushpipe starts for a secret is of the same user, and runs while others come.
    let script = "#!/bin/sh\n{place}/bin/probe look-into $PPID >{place}/seen\necho value\n";
    let hushpipe = Hushpipe::new();
    hushpipe.place().probe();
    let script = hushpipe.place().fill(script);
    let hushpipe = hushpipe.file("look", script).mode("look", 0o755);
    let output = hushpipe
        .manifest(
            "version: 1\nservice: t\nstores:\n  it: { type: command, run: [\"{place}/look\"] }\n\
             secrets:\n  a: { store: it }\ndeliver:\n  - { fd: 3, as: memfd, secret: a }\n",
        )
        .user(USER)
        .args(["run", "--", "{probe}", "read", "3"])
        .run()
        .success();
    let seen = output.place().read("seen");
    assert_eq!(seen.lines().count(), 13, "{seen}");
    for line in seen.lines() {
        assert!(
            line.ends_with("EACCES") || line.ends_with("EPERM"),
            "{seen}"
        );
    }
}

/// gcore(1) comes with gdb, which tests/install leaves out: what it does is in `look-into` above.
#[test]
fn gcore_gets_nothing() {
    let (running, given) = launch();
    let there = Command::new("sh").args(["-c", "command -v gcore"]).output();
    if !there.expect("sh is there").status.success() {
        eprintln!("there is no gcore(1)");
        return;
    }
    let place = running.place();
    place.make_directory("cores");
    place.set_mode("cores", 0o777);
    let pid = running.pid();
    for uid in [USER, USER + 1] {
        let core = place.join("cores/core").display().to_string();
        let mut gcore = Command::new("gcore");
        let output = run_as(uid, gcore.args(["-a", "-o", &core, &pid.to_string()]));
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("not permitted"), "{said}");
    }
    assert_eq!(crate::harness::walk(&place.join("cores")).len(), 0);
    // What root's has is scanned as well: protected pages are not in it.
    let core = place.join("cores/core").display().to_string();
    let mut gcore = Command::new("gcore");
    let output = run_as(0, gcore.args(["-a", "-o", &core, &pid.to_string()]));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bytes = fs::read(format!("{core}.{pid}")).expect("it was written");
    assert!(bytes.len() > 500_000);
    assert_eq!(Scan::new(&given).bytes("root's core dump", &bytes), [""; 0]);
    assert_eq!(children(pid).len(), 1);
    running.stop().success();
}
