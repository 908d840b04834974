//! The examples, as the README tells to run them, with this build's hushpipe.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::harness::Place;

/// Runs an example, as root or as somebody. It ends with 0 only if all was as it promises.
fn example(name: &str, uid: u32) {
    let place = Place::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name);
    for entry in std::fs::read_dir(folder).expect("the example is there") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().and_then(|name| name.to_str());
        place.bring(&path, name.expect("names are UTF-8"));
    }
    place.give_to(uid);
    let output = Command::new(place.join("bin/run"))
        .env(
            "HUSHPIPE",
            place.bring(env!("CARGO_BIN_EXE_hushpipe"), "hushpipe"),
        )
        .env("BAO", crate::harness::bao::start::program())
        .env("TMPDIR", place.path())
        .uid(uid)
        .gid(uid)
        .output()
        .expect("the example can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n--- stderr\n{errors}");
    assert!(said.ends_with("All as promised.\n"), "{said}");
    assert_eq!(place.entries(), [""; 0], "something was left behind");
}

#[test]
fn the_quickstart_keeps_its_promises() {
    example("quickstart", 0);
}

#[test]
fn the_quickstart_needs_no_root() {
    example("quickstart", 1000);
}

#[test]
fn the_hook_of_the_scan_refuses_a_secret() {
    example("scan", 1000);
}

#[test]
fn three_hosts_and_a_leak_make_a_report() {
    example("inventory", 0);
}

#[test]
fn pgbouncer_keeps_its_promises() {
    example("pgbouncer", 0);
}

#[test]
fn nginx_keeps_its_promises() {
    example("nginx", 0);
}

#[test]
fn redis_is_served_from_memory() {
    example("redis", 0);
}

#[test]
fn policies_keep_their_promises() {
    in_place("policy");
}

/// With Prometheus, where that is installed.
#[test]
fn an_audited_host_contains_a_leak() {
    in_place("audit");
}

/// Runs an example where it is.
fn in_place(name: &str) {
    let place = Place::new();
    let run = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = run.join("examples").join(name).join("run");
    let output = Command::new(run)
        .env(
            "HUSHPIPE",
            place.bring(env!("CARGO_BIN_EXE_hushpipe"), "hushpipe"),
        )
        .env("TMPDIR", place.path())
        .output()
        .expect("the example can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n--- stderr\n{errors}");
    assert!(said.ends_with("All as promised.\n"), "{said}");
    assert_eq!(place.entries(), [""; 0], "something was left behind");
}
