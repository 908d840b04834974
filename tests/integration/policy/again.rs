//! What policy denies after the launch: no store is asked, nothing that was not judged runs, and what
//! becomes of the policies themselves counts from the next generation on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{PERMIT, decide_anew, files, site};
use crate::harness::{Bao, FakeAnswers, Hushpipe, Running, canary};

const FROZEN: &str = "@id(\"frozen\") forbid (principal, action == Action::\"deliver\", resource) when \
                      { context.occasion == \"rotation\" };\n";
const BY_COMMAND: &str =
    "@id(\"by-hand\") forbid (principal is Person, action == Action::\"rotate\", resource);\n";

/// A program with a secret of a vault whose requests are counted.
fn counted(fake: &FakeAnswers, bao: &Bao, path: &str) -> Running {
    let hushpipe = Hushpipe::new();
    let store = bao.store_by_approle_at(hushpipe.place(), &fake.address(), "");
    let manifest = format!(
        "version: 1\nservice: t\nstores: {{ bao: {store} }}\n\
         secrets: {{ api: {{ store: bao, path: {path}, refresh: 1s }} }}\n\
         deliver: [{{ file: \"{{place}}/run/api\", content: \"{{{{ api.key }}}}\\n\" }}]\n\
         on_rotate: {{ do: signal, signal: HUP, settle: 0s }}\n"
    );
    site(hushpipe.manifest(&manifest), PERMIT, "")
        .controlled()
        .rereads("api")
}

#[test]
fn a_denied_rotation_reads_no_secret_whoever_asks_for_it() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let fake = FakeAnswers::before(bao.plain_port());
    let running = counted(&fake, &bao, "kv/data/app");
    let read = || fake.count("/v1/kv/data/");
    let launched = read();
    assert!(launched > 0);
    // By itself: that there is a new version is seen in the metadata, and that is all.
    decide_anew(running.place(), &(PERMIT.to_owned() + FROZEN));
    bao.kv_put("app", &json!({ "key": "two" }));
    running.wait_for_stderr("policy frozen forbids it");
    assert_eq!(read(), launched);
    // By command, where the release is denied: nothing at all is asked because of it.
    let output = running.ask(&["rotate", "api"]);
    assert_eq!(output.status.code(), Some(77));
    assert_eq!(read(), launched);
    // And where the command is denied.
    decide_anew(running.place(), &(PERMIT.to_owned() + BY_COMMAND));
    let output = running.ask(&["rotate", "api"]);
    assert_eq!(output.status.code(), Some(77));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("by-hand"), "{said}");
    // Policy allows the release itself again: now it is read.
    running.wait_for_line("two");
    assert!(read() > launched);
    running.stop().success();
}

#[test]
fn a_value_that_tells_its_changes_itself_is_not_read_while_policy_denies_it() {
    let bao = Bao::start();
    bao.kv1_put("app", &json!({ "key": "one" }));
    let fake = FakeAnswers::before(bao.plain_port());
    let running = counted(&fake, &bao, "kv1/app");
    let read = || fake.count("/v1/kv1/");
    decide_anew(running.place(), &(PERMIT.to_owned() + FROZEN));
    bao.kv1_put("app", &json!({ "key": "two" }));
    running.wait_for_stderr("policy frozen forbids it");
    let denied = read();
    // Two periods later.
    std::thread::sleep(std::time::Duration::from_millis(2_300));
    assert_eq!(read(), denied);
    decide_anew(running.place(), PERMIT);
    running.wait_for_line("two");
    assert!(read() > denied);
    let ended = running.stop().success();
    // However often it was denied.
    let said = ended.stderr();
    assert_eq!(
        said.matches("policy frozen forbids it").count(),
        1,
        "{said}"
    );
}

/// Contents of the program: the one that policy knows, and one that leaves a trace.
fn programs(place: &crate::harness::Place) -> [String; 2] {
    let probe = place.fill("{probe}");
    let ran = place.join("ran");
    [
        format!("#!/bin/sh\nexec {probe} on TERM exit:0 serve\n"),
        format!(
            "#!/bin/sh\n: >{}\nexec {probe} on TERM exit:0 serve\n",
            ran.display()
        ),
    ]
}

fn hex(text: &str) -> String {
    canary::hex(&Sha256::digest(text))
}

/// Puts the contents in each other's place, again and again, until it is ended.
fn exchange(place: &crate::harness::Place, ended: &AtomicBool) {
    let (program, other) = (place.join("bin/program"), place.join("bin/other"));
    while !ended.load(Ordering::Relaxed) {
        renameat_with(CWD, &program, CWD, &other, RenameFlags::EXCHANGE).expect("both are there");
    }
}

/// A program that restarts with each value, of which policy knows one content, where others can write.
fn restarts() -> Running {
    let hushpipe = files("0").directory("bin");
    let manifest = super::FILES.replace("do: signal, signal: HUP", "do: restart");
    hushpipe.place().copy_probe();
    let [known, other] = programs(hushpipe.place());
    let policies = format!(
        "{PERMIT}@id(\"known\") forbid (principal, action == Action::\"deliver\", resource) unless {{ \
         context.program.sha256 == \"{}\" }};\n",
        hex(&known)
    );
    let hushpipe = site(hushpipe.manifest(&manifest), &policies, "")
        .file("bin/program", &known)
        .file("bin/other", &other)
        .mode("bin/program", 0o755)
        .mode("bin/other", 0o755)
        // Where root alone can write, a script is read by its name.
        .mode("bin", 0o777);
    let hushpipe = hushpipe.controlled();
    let running = hushpipe
        .args(["-v", "run", "--", "{place}/bin/program"])
        .spawn();
    running.wait_for_line("ready");
    running
}

#[test]
fn a_restart_that_policy_denies_leaves_the_program_that_runs() {
    let running = restarts();
    let place = running.place();
    let exchange = || {
        let (program, other) = (place.join("bin/program"), place.join("bin/other"));
        renameat_with(CWD, &program, CWD, &other, RenameFlags::EXCHANGE).expect("both are there");
    };
    exchange();
    place.replace("s/db", "1");
    let output = running.ask(&["rotate", "db"]);
    assert_eq!(output.status.code(), Some(77));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("policy known forbids it"), "{said}");
    let status = running.status();
    assert_eq!(
        (&status["generation"], &status["healthy"]),
        (&json!(1), &json!(false))
    );
    // The program that policy knows is there again: it gets the value.
    exchange();
    running.rotate("db");
    assert_eq!(running.status()["generation"], 2);
    assert!(!place.join("ran").exists());
    running.stop();
}

#[test]
fn a_program_that_is_exchanged_before_a_restart_does_not_run() {
    let running = restarts();
    let ended = AtomicBool::new(false);
    let place = running.place();
    let restarts = std::thread::scope(|scope| {
        scope.spawn(|| exchange(place, &ended));
        let mut restarts = 0;
        // It ends where the other program was found, and both before it.
        for value in 1..=12 {
            place.replace("s/db", value.to_string());
            let output = running.ask(&["rotate", "db"]);
            if output.status.code() != Some(0) {
                break;
            }
            restarts += 1;
        }
        ended.store(true, Ordering::Relaxed);
        restarts
    });
    assert!(!place.join("ran").exists(), "after {restarts} restarts");
    // A restart that was denied puts the generation before back, if the known program is there by then.
    let output = running.stop();
    let said = output.stderr();
    assert!(
        restarts == 12 || said.contains("policy known forbids it"),
        "{said}"
    );
    assert!(!output.place().join("ran").exists());
}

#[test]
fn policies_that_become_unreadable_stay_in_force_and_status_says_so() {
    let running = super::rotations::start();
    let place = running.place();
    // Edited so that it would deny, and then out of reach for all: it was never read.
    decide_anew(place, &(PERMIT.to_owned() + FROZEN));
    let set = |mode| {
        let file = place.join("policy.d/site.cedar");
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("it is root's");
    };
    // Root reads what has no permission at all; what others can write, it refuses.
    set(0o666);
    place.write("s/db", "two");
    running.wait_for_stderr("the last good policies stay in force");
    running.wait_for_line("two");
    let status = running.status();
    assert_eq!(status["healthy"], false, "{status}");
    assert!(
        status.to_string().contains("last good policies"),
        "{status}"
    );
    // Once they can be trusted again, they count.
    set(0o644);
    place.write("s/db", "three");
    running.wait_for_stderr("policy frozen forbids it");
    running.stop().success();
}
