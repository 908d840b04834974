//! What hushpipe reads secrets with is not the program's, though both are the same user's.

use std::fs;

use super::isolation::NO_NAMESPACES;
use super::{Memory, VALUE, launch, shell};
use crate::harness::Hushpipe;

/// Each way to hand over the one secret that is the program's.
const WAYS: [&str; 4] = [
    "deliver: [{ fd: 3, as: memfd, secret: mine }]\n",
    "deliver: [{ stdin: true, secret: mine }]\n",
    "deliver: [{ file: '{memory}/s/mine', secret: mine }]\nisolation: shared\n",
    "deliver: [{ file: '{place}/s/mine', secret: mine }]\nisolation: private\n",
];

/// A sealed store with one secret that is delivered and one that is not, and its identity.
fn sealed(rest: &str) -> Hushpipe {
    Hushpipe::new()
        .sealed(&[("mine", VALUE), ("other", "not-delivered")])
        .manifest(&format!(
            "version: 1\nservice: t\n\
             stores:\n  s: {{ type: sealed, path: \"{{place}}/store\", \
             identity_file: \"{{place}}/link.txt\" }}\n\
             secrets:\n  mine: {{ store: s, key: mine }}\n{rest}"
        ))
}

#[test]
fn an_unprivileged_users_program_reads_neither_the_identity_nor_the_store() {
    const LOOK: &str = "cat {place}/identity.txt {place}/link.txt {place}/store/secrets/*/*; \
                        ls -A {place}/store; \
                        unshare -Urm sh -c 'umount {place}/identity.txt {place}/store; \
                        cat {place}/identity.txt; ls -A {place}/store'; echo looked";
    for way in WAYS {
        for mode in [&["run"][..], &["run", "--exec"]] {
            if mode.len() == 2 && way.contains("shared") {
                continue; // not possible in exec mode
            }
            let memory = Memory::given_to(1000);
            let hushpipe = sealed(&memory.fill(way));
            let link = hushpipe.place().join("link.txt");
            std::os::unix::fs::symlink("identity.txt", link).unwrap();
            hushpipe
                .user(1000)
                .args(mode.iter().copied())
                .args(shell(LOOK))
                .run()
                .success()
                .stdout_is("looked\n");
        }
    }
}

/// git would commit that it is gone.
#[test]
fn a_sealed_store_in_a_git_work_tree_stays_in_sight_and_what_is_hidden_cannot_be_written() {
    const LOOK: &str = "ls {place}/store; cat {place}/identity.txt; \
                        touch $HOME/.config/hushpipe/x 2>/dev/null || echo refused";
    let hushpipe = sealed("");
    hushpipe
        .place()
        .write(".git/HEAD", "ref: refs/heads/main\n");
    hushpipe
        .place()
        .write("home/.config/hushpipe/identity.txt", "");
    let home = hushpipe.place().join("home");
    let link = hushpipe.place().join("link.txt");
    std::os::unix::fs::symlink("home/.config/hushpipe/identity.txt", link).unwrap();
    std::fs::copy(
        hushpipe.place().join("identity.txt"),
        home.join(".config/hushpipe/identity.txt"),
    )
    .unwrap();
    std::fs::remove_file(hushpipe.place().join("identity.txt")).unwrap();
    hushpipe
        .user(1000)
        .env("HOME", &home)
        .arg("run")
        .args(shell(LOOK))
        .run()
        .success()
        .stdout_is("index\nrecipients.txt\nsecrets\nrefused\n");
}

/// It could take the cover away: this keeps accidents out, such as a program that serves all that it
/// can read.
#[test]
fn roots_program_with_private_files_finds_an_empty_store() {
    let private = "deliver: [{ file: '{place}/s/token', secret: token }]\nisolation: private\n";
    for mode in [&[][..], &["--exec"]] {
        launch(private)
            .args(mode.iter().copied())
            .args(shell("cat {place}/s/token; ls -A {place}/secrets/."))
            .run()
            .success()
            .stdout_is(VALUE);
    }
}

/// From /proc, while the tool runs again.
#[test]
fn an_unprivileged_users_program_does_not_see_what_a_stores_tool_logs_in_with() {
    for way in &WAYS[2..] {
        let memory = Memory::given_to(1000);
        let hushpipe = Hushpipe::new().manifest(&format!(
            "version: 1\nservice: t\n\
             stores:\n  c: {{ type: command, env: [BWS_ACCESS_TOKEN], \
             run: [sh, -c, 'echo {VALUE}; test ! -e started || {{ touch again; sleep 5; }}'] }}\n\
             secrets:\n  mine: {{ store: c, refresh: 1s }}\n{}",
            memory.fill(way)
        ));
        let look = "touch started; until test -e again; do sleep 0.05; done; \
                    cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -a token-canary; echo looked";
        hushpipe
            .user(1000)
            .env("BWS_ACCESS_TOKEN", "token-canary")
            .arg("run")
            .args(shell(look))
            .run()
            .success()
            .stdout_is("looked\n");
    }
}

#[test]
fn a_directory_store_that_the_manifest_names_to_the_program_stays_in_sight() {
    let deliver = "deliver: [{ fd: 3, as: memfd, secret: token }]\n\
                   run: { env: { set: { SECRETS: '{place}/secrets' } } }\n";
    let seen = |rest: &str| {
        let look = shell("cat {place}/secrets/token");
        launch(rest).user(1000).args(look).run()
    };
    seen(deliver)
        .success()
        .stdout_is(VALUE)
        .stderr_has("warning: the program can read the store ")
        .stderr_has("`run.env.set` names it");
    seen("deliver: [{ fd: 3, as: memfd, secret: token }]\n")
        .code(1)
        .stdout_is("");
}

#[test]
fn where_user_namespaces_are_refused_the_program_runs_and_a_warning_says_what_it_can_read() {
    for way in &WAYS[..3] {
        let memory = Memory::new();
        let hushpipe = launch(&memory.fill(way).replace("secret: mine", "secret: token"));
        let output = hushpipe
            .through(&NO_NAMESPACES)
            .args(shell("cat {place}/secrets/token"))
            .run()
            .success()
            .stdout_is(VALUE);
        let said = output.stderr();
        let warnings = said.matches("warning: the program can read what hushpipe reads secrets");
        assert_eq!(warnings.count(), 1, "{said}");
        assert!(said.contains("/secrets)"), "{said}");
        output
            .again()
            .through(&NO_NAMESPACES)
            .args(["check", "--", "/bin/true"])
            .run()
            .success()
            .stderr_has("warning: the program can read what hushpipe reads secrets with");
    }
}

#[test]
fn check_names_each_file_that_a_vault_store_logs_in_with() {
    let auths = [
        "method: token, file: '{place}/f'",
        "method: approle, role_id_file: '{place}/r', secret_id_file: '{place}/f'",
        "method: jwt, role: r, jwt_file: '{place}/f'",
        "method: userpass, username: u, password_file: '{place}/f'",
    ];
    for auth in auths {
        let output = Hushpipe::new()
            .file("f", "x")
            .file("r", "x")
            .manifest(&format!(
                "version: 1\nservice: t\n\
                 stores:\n  v: {{ type: vault, address: 'https://127.0.0.1:1', \
                 auth: {{ {auth} }} }}\n\
                 secrets:\n  mine: {{ store: v, path: kv/data/x }}\n\
                 deliver: [{{ fd: 3, as: memfd, secret: mine.x }}]\n\
                 run: {{ no_new_privs: false, command: [/bin/true] }}\n"
            ))
            .user(1000)
            .arg("check")
            .run()
            .success();
        let path = output.place().join("f").display().to_string();
        let said = output.stderr();
        assert!(said.contains(&path), "{auth}: {said}");
    }
}

/// A program with a setuid bit, in place of sudo.
fn with_setuid(hushpipe: Hushpipe) -> Hushpipe {
    let place = hushpipe.place();
    place.probe();
    fs::copy("/usr/bin/id", place.join("bin/id")).unwrap();
    place.set_mode("bin/id", 0o4755);
    hushpipe
}

#[test]
fn a_program_that_may_gain_privileges_is_not_put_where_it_cannot() {
    let memory = Memory::given_to(1000);
    let ways = [
        "deliver: [{ fd: 3, as: memfd, secret: token }]\n",
        "deliver: [{ file: '{memory}/s/mine', secret: token }]\n",
    ];
    for way in ways {
        let rest = format!("{}run: {{ no_new_privs: false }}\n", memory.fill(way));
        with_setuid(launch(&rest))
            .user(1000)
            .args(["--", "{place}/bin/id", "-u"])
            .run()
            .success()
            .stdout_is("0\n")
            .stderr_has("it has no user namespace of its own");
    }
    let private = "deliver: [{ file: '{place}/s/mine', secret: token }]\nisolation: private\n\
                   run: { no_new_privs: false }\n";
    with_setuid(launch(private))
        .user(1000)
        .args(["--", "{place}/bin/id", "-u"])
        .run()
        .success()
        .stdout_is("1000\n")
        .stderr_has("setuid programs do not work");
}

#[test]
fn a_setuid_bit_that_no_new_privs_makes_idle_is_warned_of() {
    let deliver = "deliver: [{ fd: 3, as: memfd, secret: token }]\n";
    for user in [1000, 0] {
        let output = with_setuid(launch(deliver))
            .user(user)
            .args(["--", "{place}/bin/id", "-u"])
            .run()
            .success()
            .stdout_is(&format!("{user}\n"));
        let said = output.stderr();
        assert_eq!(said.contains("has a setuid bit"), user != 0, "{said}");
    }
}
