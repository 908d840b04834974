//! Descriptors and standard input.

use sha2::Digest as _;

use super::{VALUE, launch};
use crate::harness::Hushpipe;

fn by(deliveries: &str) -> Hushpipe {
    launch(&format!("deliver:\n{deliveries}"))
}

const MODES: [&[&str]; 2] = [&[], &["--exec"]];

#[test]
fn a_memfd_is_read_again_and_never_written() {
    for mode in MODES {
        by("  - { fd: 3, as: memfd, secret: token }\n")
            .args(mode.iter().copied())
            .args(["--", "{probe}", "sealed", "3", "read", "3", "say", ""])
            .args(["cat", "/dev/fd/3", "cat", "/proc/self/fd/3"])
            .run()
            .success()
            .stdout_is(&format!(
                "3 at 0, read-only, sealed: seal shrink grow write\n\
                 {VALUE}\n{VALUE}{VALUE}"
            ));
    }
}

#[test]
fn another_user_opens_a_memfd_anew() {
    by("  - { fd: 3, secret: token }\nrun: { user: \"1000\" }\n")
        .args(["--", "{probe}", "status", "Uid", "cat", "/dev/fd/3"])
        .run()
        .success()
        .stdout_is(&format!("Uid:\t1000\t1000\t1000\t1000\n{VALUE}"));
}

#[test]
fn a_pipe_is_read_once() {
    for mode in MODES {
        by("  - { fd: 4, as: pipe, secret: token }\n")
            .args(mode.iter().copied())
            .args(["--", "{probe}", "read", "4", "say", "", "read", "4"])
            .args(["say", "end"])
            .run()
            .success()
            .stdout_is(&format!("{VALUE}\nend\n"));
    }
}

#[test]
fn standard_input_is_the_value() {
    for mode in MODES {
        by("  - { stdin: true, secret: token }\n")
            .stdin("not this")
            .args(mode.iter().copied())
            .args(["--", "{probe}", "read", "0", "say", "", "read", "0"])
            .run()
            .success()
            .stdout_is(&format!("{VALUE}\n"));
    }
}

#[test]
fn the_callers_standard_input_goes_on() {
    for mode in MODES {
        by("  - { fd: 3, secret: token }\n")
            .stdin("typed")
            .args(mode.iter().copied())
            .args(["--", "{probe}", "read", "0"])
            .run()
            .success()
            .stdout_is("typed");
    }
}

#[test]
fn templates_come_every_way() {
    by("  - { fd: 3, content: 'p={{ token }};' }\n\
        \x20 - { fd: 5, as: pipe, content: '{{ token | b64encode }};' }\n\
        \x20 - { stdin: true, content: '[{{ token }}]' }\n\
        \x20 - { file: '{place}/s/conf', content: '{{ token | json }};' }\n")
    .args(["--", "{probe}", "read", "3", "read", "5", "read", "0"])
    .args(["cat", "{place}/s/conf"])
    .run()
    .success()
    .stdout_is("p=correct-horse;Y29ycmVjdC1ob3JzZQ==;[correct-horse]\"correct-horse\";");
}

#[test]
fn nothing_undeclared_is_open() {
    for mode in MODES {
        let output = by("  - { fd: 7, secret: token }\n\
            \x20 - { fd: 5, as: pipe, secret: token }\n\
            \x20 - { file: '{place}/s/token', secret: token }\n")
        .through(&[
            "/bin/bash",
            "-c",
            "exec 3</etc/hostname 8</etc/hostname 200</etc/hostname; exec \"$@\"",
            "bash",
        ])
        .args(mode.iter().copied())
        .args(["--", "{probe}", "fds"])
        .run()
        .success();
        let stdout = output.stdout();
        let numbers: Vec<&str> = stdout
            .lines()
            .map(|l| l.split(' ').next().unwrap())
            .collect();
        assert_eq!(numbers, ["0", "1", "2", "5", "7"]);
    }
}

/// Bytes that differ from place to place.
fn large(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn digest(bytes: &[u8]) -> String {
    let digest = sha2::Sha256::digest(bytes);
    let hex = digest.iter().map(|byte| format!("{byte:02x}"));
    format!("digest {}\n", hex.collect::<String>())
}

#[test]
fn large_values_come_whole() {
    let value = large(1 << 20);
    let expected = digest(&value).repeat(4);
    by("  - { fd: 3, as: pipe, secret: token }\n\
        \x20 - { fd: 4, as: memfd, secret: token }\n\
        \x20 - { stdin: true, secret: token }\n\
        \x20 - { file: '{place}/s/token', secret: token }\n")
    .file("secrets/token", &value)
    .args(["--", "{probe}", "digest", "4", "digest", "0", "digest", "3"])
    .args(["digest-file", "{place}/s/token"])
    .run()
    .success()
    .stdout_is(&expected);
}

#[test]
fn a_program_that_does_not_read_its_pipe_ends_as_it_likes() {
    by("  - { fd: 3, as: pipe, secret: token }\n")
        .file("secrets/token", large(1 << 20))
        .args(["--", "{probe}", "exit", "3"])
        .run()
        .code(3)
        .stdout_is("");
}

#[test]
fn descriptors_belong_to_the_programs_user_and_are_opened_anew_by_it() {
    let deliveries = "  - { fd: 3, secret: token }\n  - { fd: 4, as: pipe, secret: token }\n  \
                      - { fd: 5, secret: token, mode: \"0440\", group: \"1001\" }\n  \
                      - { stdin: true, secret: token }\n\
                      run: { user: \"1000\", group: \"1002\" }\n";
    for mode in MODES {
        by(deliveries)
            .args(mode.iter().copied())
            .args(["--", "sh", "-c"])
            .arg(
                "stat -Lc '%a %u %g' /dev/fd/3 /dev/fd/4 /dev/fd/5 /dev/stdin; cat /dev/fd/3 \
                 /dev/fd/4 /dev/fd/5 /dev/stdin",
            )
            .run()
            .success()
            .stdout_is(&format!(
                "400 1000 1002\n400 1000 1002\n440 1000 1001\n400 1000 1002\n\
                 {VALUE}{VALUE}{VALUE}{VALUE}"
            ));
    }
}

#[test]
fn nobody_else_opens_a_descriptor_anew() {
    by("  - { fd: 3, secret: token }\n  - { fd: 4, as: pipe, secret: token }\n")
        .args(["--", "sh", "-c"])
        .arg("stat -Lc %a /dev/fd/3 /dev/fd/4; setpriv --reuid 1000 --clear-groups cat /dev/fd/3")
        .run()
        .code(1)
        .stdout_is("400\n400\n");
}
