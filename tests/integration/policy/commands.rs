//! Who may do what with a running launcher is the launcher's own policy's to decide, by whom the kernel
//! names.

use super::{PERMIT, files, site};
use crate::harness::{Hushpipe, Running};

/// A user of the tests.
const USER: u32 = 4711;

/// Rotating is for the launcher's own user, the state for nobody, and the rest for everybody.
const POLICIES: &str = "@id(\"own\") forbid (principal is Person, action == Action::\"rotate\", \
                        resource) unless { principal.uid == 4711 };\n\
                        @id(\"unseen\") forbid (principal, action == Action::\"status\", resource);\n\
                        @id(\"careful\") @reason forbid (principal, action == Action::\"rollback\", \
                        resource);\n";

fn start(hushpipe: Hushpipe) -> Running {
    let running = hushpipe
        .controlled()
        .args([
            "-v", "run", "--", "{probe}", "on", "TERM", "exit:0", "serve",
        ])
        .spawn();
    running.wait_for_line("ready");
    running
}

/// hushpipe, where other users can start it.
fn binary(running: &Running) -> String {
    let path = running
        .place()
        .bring(env!("CARGO_BIN_EXE_hushpipe"), "hushpipe");
    path.display().to_string()
}

fn socket(running: &Running) -> String {
    let socket = format!("{{place}}/runtime/hushpipe/{}.sock", running.pid());
    running.place().fill(&socket)
}

fn said(running: &Running, words: &[&str]) -> (Option<i32>, String) {
    let output = running.ask(words);
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn a_command_by_another_user_is_denied_by_policy_also_to_root() {
    let hushpipe = site(files("v"), &(PERMIT.to_owned() + POLICIES), "").user(USER);
    let running = start(hushpipe);
    let (code, text) = said(&running, &["rotate"]);
    assert_eq!(code, Some(77), "{text}");
    assert!(
        text.contains("policy denies root (uid 0) to rotate: secret db: policy own"),
        "{text}"
    );
    // Its own user may.
    let words = [
        "/usr/bin/setpriv".to_owned(),
        format!("--reuid={USER}"),
        "--clear-groups".to_owned(),
        binary(&running),
        "rotate".to_owned(),
        "--socket".to_owned(),
        socket(&running),
    ];
    let output = std::process::Command::new(&words[0])
        .args(&words[1..])
        .output()
        .expect("setpriv is there");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{}", running.stderr());
    running.stop().success();
}

#[test]
fn what_may_not_be_seen_leaves_the_name_and_the_process_id() {
    let running = start(site(files("v"), &(PERMIT.to_owned() + POLICIES), ""));
    let (code, text) = said(&running, &["status"]);
    assert_eq!(code, Some(77), "{text}");
    assert!(text.contains("policy unseen forbids it"), "{text}");
    let hushpipe = binary(&running);
    let output = std::process::Command::new(hushpipe)
        .args(["ps", "--json"])
        .env("XDG_RUNTIME_DIR", running.place().join("runtime"))
        .output()
        .expect("hushpipe can be started");
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let pid = running.pid();
    let own = list
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["pid"] == pid);
    let own = own.unwrap_or_else(|| panic!("{list:#}"));
    assert_eq!(own["service"], "t");
    assert!(
        own["generation"].is_null() && own["program_pid"].is_null(),
        "{own:#}"
    );
    running.stop().success();
}

#[test]
fn a_reason_goes_with_a_command() {
    let running = start(site(files("v"), &(PERMIT.to_owned() + POLICIES), ""));
    let (code, text) = said(&running, &["rollback"]);
    assert_eq!(code, Some(77), "{text}");
    assert!(
        text.contains("careful wants a reason: give --reason TEXT"),
        "{text}"
    );
    // It is decided, and there is nothing to roll back to.
    let (code, text) = said(&running, &["rollback", "--reason", "INC-7"]);
    assert_eq!(code, Some(64), "{text}");
    let (code, text) = said(&running, &["rotate", "--break-glass", "INC-8"]);
    assert_eq!(code, Some(77), "{text}");
    running.wait_for_stderr("break-glass to rotate by process");
    running.stop().success();
}

#[test]
fn the_groups_of_who_asks_are_those_of_the_process() {
    let only = "@id(\"group\") forbid (principal, action == Action::\"status\", resource) unless { \
                principal in Group::\"4242\" };\n";
    let running = start(site(files("v"), &(PERMIT.to_owned() + only), ""));
    let (_, text) = said(&running, &["status"]);
    assert!(text.contains("policy group forbids it"), "{text}");
    let output = std::process::Command::new("/usr/bin/setpriv")
        .args(["--groups", "4242", env!("CARGO_BIN_EXE_hushpipe"), "status"])
        .args(["--socket".to_owned(), socket(&running)])
        .output()
        .expect("setpriv is there");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{text}");
    running.stop().success();
}
