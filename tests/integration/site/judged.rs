//! On a host with a policy, what was judged is what runs.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Hushpipe, Output};

/// A site whose policy allows everything, and a program in a directory where others can write.
fn with_policy(content: &str) -> Hushpipe {
    let hushpipe = Hushpipe::new()
        .file(
            "site.yaml",
            "version: 1\npolicy: { directory: '{place}/policy.d' }\n",
        )
        .file(
            "policy.d/all.cedar",
            "@id(\"all\")\npermit (principal, action, resource);\n",
        )
        .directory("open")
        .file("open/program", content)
        .mode("open/program", 0o755)
        .mode("policy.d/all.cedar", 0o644)
        .mode("open", 0o777);
    let site = hushpipe
        .place()
        .fill("version: 1\npolicy: { directory: '{place}/policy.d' }\n");
    hushpipe
        .file("site.yaml", site)
        .mode("site.yaml", 0o644)
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
}

fn run(hushpipe: Hushpipe, mode: &str, command: &str) -> Output {
    let hushpipe = hushpipe.manifest(&format!(
        "version: 1\nservice: app\nmode: {mode}\nrun: {{ command: {command} }}\n"
    ));
    hushpipe.args(["run"]).run()
}

#[test]
fn scripts_run_with_their_arguments_in_either_mode() {
    let script = "#!/bin/sh -eu\necho \"$#:$1:$2\"\nexit 7\n";
    for mode in ["supervise", "exec"] {
        let output = run(
            with_policy(script),
            mode,
            "['{place}/open/program', 'a b', c]",
        );
        output.code(7).stdout_is("2:a b:c\n").stderr_is("");
    }
    let env = "#!/usr/bin/env sh\necho \"by env: $1\"\n";
    let output = run(with_policy(env), "supervise", "['{place}/open/program', x]");
    output.success().stdout_is("by env: x\n");
}

#[test]
fn programs_of_root_keep_their_names() {
    let name = "[sh, -c, 'cat /proc/$$/comm; readlink /proc/$$/exe; echo $0']";
    for mode in ["supervise", "exec"] {
        let plain = Hushpipe::new();
        let plain = run(plain, mode, name).success().stdout();
        run(with_policy(""), mode, name).success().stdout_is(&plain);
    }
    let text = "#!/bin/sh\necho $0\ncat /proc/$$/comm\n";
    let site = with_policy("");
    let site = site.file("root/script", text).mode("root/script", 0o755);
    let output = run(site, "supervise", "['{place}/root/script']").success();
    // Below /tmp only the sticky bit keeps others out, which is enough.
    let shown = output.stdout();
    assert!(
        shown.starts_with(&output.place().fill("{place}/root/script\n")),
        "{shown}"
    );
}

#[test]
fn another_users_program_runs_from_memory() {
    let hushpipe = with_policy("#!/bin/sh\necho \"$0\"\n");
    let program = hushpipe.place().join("open/program");
    std::os::unix::fs::chown(&program, Some(4242), Some(4242)).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = run(hushpipe, "supervise", "['{place}/open/program']").success();
    output.stdout_is("/dev/fd/200\n");
}
