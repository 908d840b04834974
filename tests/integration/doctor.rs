//! `hushpipe doctor` and `hushpipe completions`.

use std::fs;

use crate::harness::Hushpipe;

#[test]
fn doctor_says_what_the_host_supports_and_leaves_nothing_behind() {
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let hushpipe = Hushpipe::new();
    let entries = hushpipe.place().entries();
    let output = hushpipe.args(["doctor"]).run().success().stderr_is("");
    let text = output.stdout();
    for name in [
        "mount namespace",
        "user namespace",
        "mount API",
        "noswap tmpfs",
        "/dev/shm",
        "memfd_secret",
        "RLIMIT_MEMLOCK",
        "swap",
        "core dumps",
        "pidfd signals",
        "close_range",
        "RLIMIT_NOFILE",
        "/proc",
        "ptrace",
        "Landlock",
        "seccomp",
        "isolation: auto",
    ] {
        assert!(text.contains(name), "{name}:\n{text}");
    }
    assert_eq!(mounts(), before);
    let mut left = output.place().entries();
    left.retain(|entry| entry != "hushpipe" && !entries.contains(entry));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn doctor_sees_what_was_taken_away() {
    let json = |words: &[&str]| {
        let output = Hushpipe::new()
            .through(words)
            .args(["doctor", "--json"])
            .run();
        let code = output.status.code();
        let object: serde_json::Value = serde_json::from_str(&output.stdout()).unwrap();
        (code, object)
    };
    let state = |object: &serde_json::Value, name: &str| {
        let findings = object["findings"].as_array().unwrap();
        let finding = findings.iter().find(|finding| finding["name"] == name);
        finding.unwrap()["state"].as_str().unwrap().to_owned()
    };
    let (code, full) = json(&["env"]);
    assert_eq!(code, Some(0));
    assert_eq!(full["isolation"]["auto"], "private");
    assert_eq!(full["launch"], true);

    // Without CAP_SYS_ADMIN a user namespace is taken.
    let (code, less) = json(&["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"]);
    assert_eq!(code, Some(0));
    assert_eq!(state(&less, "mount namespace"), "weaker");
    assert_eq!(less["isolation"]["auto"], "private");
    assert!(
        less["isolation"]["reason"]
            .as_str()
            .unwrap()
            .contains("user")
    );

    let (_, few) = json(&["prlimit", "--nofile=64:64", "--memlock=4096:4096"]);
    assert_eq!(state(&few, "RLIMIT_NOFILE"), "weaker");
    assert_eq!(state(&few, "RLIMIT_MEMLOCK"), "weaker");
}

#[test]
fn doctor_works_for_anybody() {
    Hushpipe::new()
        .user(65534)
        .args(["doctor"])
        .run()
        .success()
        .stdout_has("isolation: auto");
}

#[test]
fn completions_name_the_commands() {
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef hushpipe"),
        ("fish", "complete -c hushpipe"),
    ] {
        Hushpipe::new()
            .args(["completions", shell])
            .run()
            .success()
            .stdout_has(sign)
            .stdout_has("doctor");
    }
    Hushpipe::new().args(["completions", "tcsh"]).run().code(64);
    Hushpipe::new()
        .args(["completions", "--help"])
        .run()
        .success()
        .stdout_has("bash-completion/completions/hushpipe");
}
