//! The launch: what a program is given, and what keeps it from being started.

use crate::harness::Hushpipe;

/// A manifest whose one secret, `correct-horse`, comes from a directory; then `rest`.
fn launch(rest: &str) -> Hushpipe {
    Hushpipe::new()
        .file("secrets/token", "correct-horse")
        .manifest(&format!(
            "version: 1\nservice: t\n\
             stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
             secrets:\n  token: {{ store: dir, key: token }}\n{rest}"
        ))
        .arg("run")
}

const BY_FD: &str = "deliver:\n  - { fd: 3, as: memfd, secret: token }\n";

#[test]
fn the_program_gets_its_fd_and_no_other() {
    launch(BY_FD)
        .through(&["/bin/sh", "-c", "exec 9</etc/hostname; exec \"$@\"", "sh"])
        .args(["--", "{probe}", "read", "3", "fds"])
        .run()
        .success()
        .stdout_has("correct-horse")
        .stdout_has("3 /memfd:")
        .says_nothing_of("/etc/hostname");
}

#[test]
fn bootstrap_credentials_are_not_inherited() {
    launch(BY_FD)
        .env("VAULT_TOKEN", "bootstrap-one")
        .env("HUSHPIPE_ANY", "bootstrap-two")
        .args(["--", "{probe}", "environ"])
        .run()
        .success()
        .stdout_has("PATH=")
        .says_nothing_of("bootstrap-one")
        .says_nothing_of("bootstrap-two");
}

#[test]
fn a_value_in_the_environment_refuses_the_launch() {
    launch(BY_FD)
        .env("LEAKY", "x-correct-horse-x")
        .args(["--", "{probe}", "say", "started"])
        .run()
        .code(77)
        .stdout_is("")
        .stderr_has("LEAKY")
        .says_nothing_of("correct-horse");
}

#[test]
fn what_cannot_be_executed_is_126_or_127() {
    let start = |command: &str| {
        let hushpipe = launch(BY_FD)
            .file("plain", "x")
            .file("script", "echo started\n");
        hushpipe
            .mode("script", 0o755)
            .args(["--", command])
            .run()
            .stdout_is("")
    };
    start("/nonexistent/program").code(127);
    start("no-such-program").code(127).stderr_has("PATH");
    start("{place}/plain")
        .code(126)
        .stderr_has("not executable");
    start("{place}").code(126).stderr_has("is a directory");
    start("{place}/script").code(126).stderr_has("#!");
}

#[test]
fn a_user_that_does_not_exist_is_named() {
    launch(&format!("{BY_FD}run: {{ user: no-such-user }}\n"))
        .args(["--", "{probe}", "say", "started"])
        .run()
        .code(78)
        .stdout_is("")
        .stderr_has("no-such-user");
}

#[test]
fn an_fd_beyond_the_limit_starts_nothing() {
    launch("deliver:\n  - { fd: 500, as: memfd, secret: token }\n")
        .through(&["prlimit", "--nofile=100:100"])
        .args(["--", "{probe}", "say", "started"])
        .run()
        .stdout_is("")
        .stderr_has("500");
}

#[test]
fn an_unprivileged_user_has_private_files() {
    for mode in [&["--"][..], &["--exec", "--"]] {
        let private = "deliver:\n  - { file: \"{place}/private/token\", secret: token }\n\
                       isolation: private\n";
        launch(private)
            .directory("private")
            .user(65534)
            .args(mode.iter().copied())
            .args(["{probe}", "cat", "{place}/private/token"])
            .run()
            .success()
            .stdout_has("correct-horse");
    }
}

#[test]
fn values_that_are_kept_and_may_be_swapped_are_warned_of() {
    let manifest = "version: 1\nservice: app\n\
        stores: { s: { type: directory, path: '{place}/secrets' } }\n\
        secrets: { token: { store: s, key: token } }\n\
        deliver: [{ KIND }]\n\
        run: { command: ['true'] }\n";
    let run = |kind: &str, memlock: &str| {
        Hushpipe::new()
            .file("secrets/token", "canary-value")
            .mode("secrets/token", 0o600)
            .manifest(&manifest.replace("KIND", kind))
            .user(1000)
            .through(&["prlimit", memlock])
            .arg("run")
            .run()
            .success()
    };
    let fifo = "fifo: '{place}/pipes/token', secret: token";
    run(fifo, "--memlock=0:0").stderr_has("may be swapped out: RLIMIT_MEMLOCK is too low");
    run(fifo, "--memlock=1048576:1048576").stderr_is("");
    run("fd: 3, as: memfd, secret: token", "--memlock=0:0").stderr_is("");
}

#[test]
fn who_waits_for_a_store_is_told_what_is_wrong() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap();
    Hushpipe::new()
        .file("token", "t")
        .manifest(&format!(
            "version: 1\nservice: t\n\
             stores:\n  bao: {{ type: vault, address: \"http://{port}\", retry: {{ deadline: 4s }}, \
             auth: {{ method: token, file: \"{{place}}/token\" }} }}\n\
             secrets:\n  a: {{ store: bao, path: kv/a }}\n\
             deliver:\n  - {{ fd: 3, as: memfd, secret: a.b }}\n"
        ))
        .args(["run", "--", "{probe}", "say", "started"])
        .run()
        .code(69)
        .stdout_is("")
        .stderr_has(&format!(
            "store bao has not answered for 3s; tried again: http://{port}: connection refused"
        ))
        .stderr_has("connection refused (tried for 4s)");
}

#[test]
fn a_store_that_is_slow_is_named() {
    Hushpipe::new()
        .manifest(
            "version: 1\nservice: t\n\
             stores:\n  slow: { type: command, run: [sh, -c, \"sleep 3.5; echo correct-horse\"] }\n\
             secrets:\n  a: { store: slow }\n\
             deliver:\n  - { fd: 3, as: memfd, secret: a }\n",
        )
        .args(["run", "--", "{probe}", "say", "started"])
        .run()
        .success()
        .stdout_is("started\n")
        .stderr_is("hushpipe: store slow has not answered for 3s\n");
}

/// What it could open there it could read, or put something else into its place.
#[test]
fn the_program_cannot_reach_into_hushpipe() {
    let look = "for file in exe mem environ maps fd/1 root/etc/passwd; do \
        if (: <\"/proc/$PPID/$file\") 2>/dev/null; then echo \"it can read $file\"; fi; \
        if (: >>\"/proc/$PPID/$file\") 2>/dev/null; then echo \"it can write $file\"; fi; \
        done; grep -c . /proc/$PPID/status >/dev/null && echo looked";
    let as_another = launch("run: { user: '1000' }\n");
    let as_the_same = launch("").user(1000);
    for hushpipe in [as_another, as_the_same] {
        let output = hushpipe.args(["--", "sh", "-c", look]).run();
        output.success().stdout_is("looked\n");
    }
}

#[test]
fn a_program_of_another_user_has_no_capabilities() {
    let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"];
    let words = sets.iter().flat_map(|set| ["status", set]);
    let expected = sets.map(|set| format!("{set}:\t{:016x}\n", 0)).concat();
    launch("run: { user: '1000' }\n")
        .args(["--", "{probe}"])
        .args(words)
        .run()
        .success()
        .stdout_is(&expected);
}
