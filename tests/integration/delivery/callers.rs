//! What comes of the caller: its descriptors, its words, and the directories on the way.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use sha2::Digest as _;

use super::{VALUE, launch};
use crate::harness::Hushpipe;

const MODES: [&[&str]; 2] = [&[], &["--exec"]];

/// Started with fd 7 open on a file that says `of the caller`.
fn with_seven(run: &str) -> Hushpipe {
    launch(&format!(
        "deliver: [{{ fd: 3, secret: token }}]\nrun: {run}\n"
    ))
    .file("said", "of the caller\n")
    .through(&["sh", "-c", "exec 7<{place}/said; exec \"$0\" \"$@\""])
}

#[test]
fn a_descriptor_of_the_caller_that_is_declared_arrives_at_its_number() {
    for mode in MODES {
        for (inherit, variable) in [("7", "NONE"), ("SAID_FD", "SAID_FD")] {
            with_seven(&format!("{{ fds: {{ inherit: [{inherit}, NOT_SET] }} }}"))
                .env(variable, "7")
                .args(mode.iter().copied())
                .args(["--", "{probe}", "read", "7", "read", "3"])
                .run()
                .success()
                .stdout_is(&format!("of the caller\n{VALUE}"))
                .says_nothing_of("descriptor");
        }
    }
}

#[test]
fn a_descriptor_of_the_caller_that_is_named_and_closed_is_reported() {
    with_seven("{ cwd: / }")
        .args(["--", "{probe}", "say", "/dev/fd/7"])
        .run()
        .success()
        .stderr_has("file descriptor 7 of hushpipe's caller, which argument 2 names")
        .stderr_has("inherit: [7]");
    with_seven("{ cwd: / }")
        .env("NODE_CHANNEL_FD", "7")
        .args(["--", "{probe}", "fds"])
        .run()
        .success()
        .stderr_has("the variable NODE_CHANNEL_FD names")
        .stderr_has("inherit: [NODE_CHANNEL_FD]")
        .says_nothing_of("{place}/said");
    with_seven("{ cwd: / }")
        .args(["--", "{probe}", "say", "/dev/fd/8", "say", "/dev/fd/3"])
        .run()
        .success()
        .says_nothing_of("descriptor");
}

#[test]
fn a_descriptor_that_is_declared_and_not_open_ends_the_launch() {
    for (inherit, why) in [
        ("8", "file descriptor 8 is not open"),
        ("[GONE_FD]", "file descriptor 9 in GONE_FD is not open"),
        (
            "[THREE_FD]",
            "file descriptor 3 in THREE_FD is a delivery already",
        ),
        ("[WORD]", "there is no file descriptor in WORD"),
    ] {
        let inherit = inherit.trim_matches(['[', ']']);
        with_seven(&format!("{{ fds: {{ inherit: [{inherit}] }} }}"))
            .env("GONE_FD", "9")
            .env("THREE_FD", "3")
            .env("WORD", "word")
            .args(["--", "{probe}", "say", "started"])
            .run()
            .code(71)
            .stderr_has(why)
            .stdout_is("");
    }
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let odd = OsString::from_vec(b"caf\xe9 \xff\x01".to_vec());
    for mode in MODES {
        let output = launch("deliver: [{ fd: 3, secret: token }]\n")
            .args(mode.iter().copied())
            .args(["--", "sh", "-c", "printf %s \"$1\" | od -An -tx1", "sh"])
            .arg(odd.clone())
            .run()
            .success();
        assert_eq!(output.stdout().trim(), "63 61 66 e9 20 ff 01");
    }
}

#[test]
fn a_directory_that_the_programs_user_may_not_enter_is_reported() {
    let closed = || {
        launch("deliver: [{ fd: 3, secret: token }]\nrun: { user: '1000', cwd: '{place}/in/it' }\n")
            .file("in/it/x", "")
            .through(&["sh", "-c", "chmod 700 {place}/in; exec \"$0\" \"$@\""])
    };
    closed()
        .args(["--", "true"])
        .run()
        .code(71)
        .stderr_has("uid 1000 may not enter {place}/in, which is on the way to run.cwd");
}

/// Who can write to the program does so while the store is asked.
#[test]
fn what_is_executed_has_the_digest_that_was_checked() {
    let script = "#!/bin/sh\necho \"$@\"\n";
    let echo = std::fs::read("/bin/echo").expect("it is there");
    for (make, digest) in [
        (
            "printf '#!/bin/sh\\necho \"$@\"\\n' >{place}/program",
            digest(script.as_bytes()),
        ),
        ("cp /bin/echo {place}/program", digest(&echo)),
    ] {
        let make = format!(
            "{make}; chmod 755 {{place}}/program; exec 8>>{{place}}/program; exec \"$0\" \"$@\""
        );
        let change = "printf '#!/bin/sh\\necho changed\\n' >{place}/program; echo x";
        for mode in MODES {
            Hushpipe::new()
                .manifest(&format!(
                    "version: 1\nservice: t\n\
                     stores: {{ s: {{ type: command, run: [sh, -c, \"{}\"] }} }}\n\
                     secrets: {{ token: {{ store: s }} }}\n\
                     deliver: [{{ fd: 3, secret: token }}]\n\
                     run: {{ command: ['{{place}}/program', a, b], sha256: '{digest}' }}\n",
                    change.replace('\\', "\\\\")
                ))
                .through(&["sh", "-c", &make])
                .args(["run"])
                .args(mode.iter().copied())
                .run()
                .success()
                .stdout_is("a b\n");
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    let digest = sha2::Sha256::digest(bytes);
    digest
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
