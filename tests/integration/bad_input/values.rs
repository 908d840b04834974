//! Values that are odd and must go through, and values that must not.

use sha2::{Digest, Sha256};

use super::{VALUE, alone, launch, refused};
use crate::harness::Hushpipe;

/// Every way in, each byte for byte.
fn goes_through(value: &[u8]) {
    let hushpipe = launch(
        "deliver:\n\
         - { stdin: true, secret: token }\n\
         - { fd: 3, as: memfd, secret: token }\n\
         - { fd: 4, as: pipe, secret: token }\n\
         - { file: '/run/test/file', secret: token }\n\
         - { fifo: '/run/test/fifo', secret: token }\n\
         run: { command: ['{probe}', digest, '0', digest, '3', digest, '4',\
         digest-file, /run/test/file, digest-file, /run/test/fifo] }",
    );
    alone("", hushpipe.file("s/token", value))
        .success()
        .stdout_is(&format!("digest {}\n", digest(value)).repeat(5));
}

fn digest(value: &[u8]) -> String {
    let hex = |byte: &u8| format!("{byte:02x}");
    let digest: Vec<String> = Sha256::digest(value).iter().map(hex).collect();
    digest.concat()
}

/// As [`goes_through`], when hushpipe becomes the program: what needs no parent.
fn goes_through_exec(value: &[u8]) {
    let hushpipe = launch(
        "deliver:\n\
         - { stdin: true, secret: token }\n\
         - { fd: 3, as: memfd, secret: token }\n\
         - { fd: 4, as: pipe, secret: token }\n\
         - { file: '/run/test/file', secret: token }\n\
         run: { command: ['{probe}', digest, '0', digest, '3', digest, '4',\
         digest-file, /run/test/file] }",
    );
    let hushpipe = hushpipe.file("s/token", value).arg("--exec");
    alone("mkdir /run/test", hushpipe)
        .success()
        .stdout_is(&format!("digest {}\n", digest(value)).repeat(4));
}

#[test]
fn a_value_of_no_bytes() {
    let deliver = "deliver: [{ fd: 3, as: memfd, secret: token }]";
    refused(launch(deliver).file("s/token", ""), 65).stderr_has(
        "secret token: is empty: give it a value, or allow it by `check: { min_length: 0 }`",
    );
}

#[test]
fn a_value_of_ten_megabytes() {
    let value: Vec<u8> = (0..10_u32 << 20)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    goes_through(&value);
}

#[test]
fn a_value_with_nul_and_newlines() {
    let value = b"\0a\n\n\0\r\nb\xff\n\0\n";
    goes_through(value);
    goes_through_exec(value);
}

#[test]
fn a_value_that_is_too_large() {
    let hushpipe = launch("").file("s/token", vec![b'x'; (16 << 20) + 1]);
    refused(hushpipe, 65)
        .stderr_is("hushpipe: error: store s, token: {place}/s/token is larger than 16 MiB\n");
}

#[test]
fn a_pipe_that_is_too_small_in_exec_mode() {
    let hushpipe = launch("deliver: [{ fd: 3, as: pipe, secret: token }]").arg("--exec");
    refused(hushpipe.file("s/token", vec![b'x'; 10 << 20]), 71)
        .stderr_has("fd 3: its 10485760 bytes do not fit into a pipe")
        .stderr_has("use `as: memfd`, which has no limit, or `mode: supervise`");
}

/// A launch whose secret has this `check`.
fn checked(check: &str, value: &str) -> crate::harness::Hushpipe {
    let secrets = format!("secrets: {{ token: {{ store: s, key: token, check: {check} }} }}");
    launch(&secrets).file("s/token", value)
}

#[test]
fn a_value_that_does_not_match_its_pattern() {
    refused(checked("{ pattern: '^sk_live_' }", VALUE), 65).stderr_is(
        "hushpipe: error: hushpipe.yaml:3:12: secret token: does not match the pattern \
         \"^sk_live_\"\n",
    );
}

#[test]
fn a_value_of_the_wrong_length() {
    refused(checked("{ min_length: 40 }", VALUE), 65)
        .stderr_has("hushpipe.yaml:3:12: secret token: is shorter than 40 bytes");
    refused(checked("{ max_length: 4 }", VALUE), 65)
        .stderr_has("hushpipe.yaml:3:12: secret token: is longer than 4 bytes");
    refused(checked("{ min_length: 1 }", ""), 65)
        .stderr_has("hushpipe.yaml:3:12: secret token: is empty");
}

/// Made for this test, 2020-01-01 to 2021-01-01; its key was thrown away.
const EXPIRED: &str = "\
-----BEGIN CERTIFICATE-----
MIHdMIGQAgEBMAUGAytlcDAbMRkwFwYDVQQDDBBodXNocGlwZS1leHBpcmVkMB4X
DTIwMDEwMTAwMDAwMFoXDTIxMDEwMTAwMDAwMFowGzEZMBcGA1UEAwwQaHVzaHBp
cGUtZXhwaXJlZDAqMAUGAytlcAMhAOrayVTcwhYTwA+yqYhC2slEfjZXL0Pnvgn8
kkgeSp17MAUGAytlcANBAAXFSl6RuZwlV+rGN0sx9X8oV5rMEpWRVrhZHeAY6rlq
OCMN+iXaathPH0Nwr7crAZN/DQxPGF5GeeYytBZ5HQI=
-----END CERTIFICATE-----
";

#[test]
fn a_certificate_that_has_expired() {
    refused(checked("{ certificate: true }", EXPIRED), 65).stderr_is(
        "hushpipe: error: hushpipe.yaml:3:12: secret token: its certificate expired on \
         2021-01-01T00:00:00Z\n",
    );
    refused(checked("{ certificate: true }", VALUE), 65)
        .stderr_has("holds no PEM certificate: -----BEGIN CERTIFICATE-----");
}

const JSON: &str = "secrets: { token: { store: s, key: token, format: json } }\n";

#[test]
fn a_field_that_is_missing() {
    let hushpipe = launch(&format!(
        "{JSON}deliver: [{{ fd: 3, as: memfd, secret: token.password }}]"
    ));
    let json = format!(r#"{{"user":"{VALUE}","pass":"{VALUE}"}}"#);
    refused(hushpipe.file("s/token", json), 65).stderr_is(
        "hushpipe: error: hushpipe.yaml:4:13: secret token.password: there is no such field: \
         it has 2 fields, whose names are not shown\n",
    );
}

#[test]
fn a_field_that_is_missing_for_a_template() {
    let hushpipe = launch(&format!(
        "{JSON}deliver: [{{ fd: 3, as: memfd, content: '{{{{ token.password }}}}' }}]"
    ));
    refused(hushpipe.file("s/token", r#"{"user":"x"}"#), 65).stderr_is(
        "hushpipe: error: hushpipe.yaml:4:13: secret token.password: there is no such field: \
         it has 1 field, whose name is not shown\n",
    );
}

#[test]
fn a_field_of_a_value_without_fields() {
    let hushpipe = launch("deliver: [{ fd: 3, as: memfd, content: '{{ token.password }}' }]");
    refused(hushpipe, 78)
        .stderr_has("the secret `token` has no fields, so it has no `password`")
        .stderr_has("hushpipe.yaml:3:44")
        .stderr_has("help: a value has fields if its secret has `format: json`");
}

#[test]
fn a_value_that_is_not_json() {
    let hushpipe = launch(&format!(
        "{JSON}deliver: [{{ fd: 3, as: memfd, secret: token.a }}]"
    ));
    refused(hushpipe.file("s/token", format!("{{\"a\": {VALUE}}}")), 65)
        .stderr_has("store s, token: not usable as JSON: line 1, column 7: a syntax error");
}

#[test]
fn a_template_with_an_unknown_name() {
    let hushpipe = launch("deliver: [{ fd: 3, as: memfd, content: 'x {{ tokn }}' }]");
    refused(hushpipe, 78)
        .stderr_has("unknown secret `tokn`")
        .stderr_has("hushpipe.yaml:3:46")
        .stderr_has("did you mean `token`?");
}

#[test]
fn a_template_that_is_none() {
    let hushpipe = launch("deliver: [{ fd: 3, as: memfd, content: 'x {{ token' }]");
    refused(hushpipe, 78)
        .stderr_has("invalid template: unexpected end of input")
        .stderr_has("hushpipe.yaml:3:41")
        .stderr_has("help: a value is {{ secret }}");
}

#[test]
fn a_value_that_is_no_text_in_a_template() {
    let hushpipe = launch("deliver: [{ fd: 3, as: memfd, content: 'x {{ token }}' }]");
    refused(hushpipe.file("s/token", b"\xff\xfe\0"), 65).stderr_has(
        "hushpipe.yaml:3:13: fd 3: the value of token is not UTF-8 text: use the filter b64encode",
    );
}

#[test]
fn a_value_that_stands_in_the_environment() {
    for mode in [&[][..], &["--exec"]] {
        let hushpipe = launch("").args(mode.iter().copied());
        let hushpipe = hushpipe.env("DATABASE_URL", format!("postgres://me:{VALUE}@db"));
        refused(hushpipe, 77).stderr_is(
            "hushpipe: error: the value of secret token is in the environment variable \
             \"DATABASE_URL\", where other processes can read it; remove it there (run.env.unset) \
             and let the program read it from a delivery\n",
        );
    }
}

#[test]
fn a_value_that_stands_in_the_arguments() {
    for mode in [&["--"][..], &["--exec", "--"]] {
        let hushpipe = launch("").args(mode.iter().copied());
        let hushpipe = hushpipe.args(["touch", "{place}/started", &format!("--p={VALUE}")]);
        refused(hushpipe, 77)
            .stderr_has("the value of secret token is in argument 2 of the program")
            .stderr_has("remove it from the command");
    }
}

#[test]
fn a_short_value_may_stand_anywhere() {
    let short = |value: &str| {
        launch("")
            .file("s/token", value)
            .env("WORD", value)
            .args(["--", "{probe}", "say", value])
    };
    alone("", short("1234567")).success().stdout_is("1234567\n");
    refused(short("12345678"), 77).stderr_has("secret token");
}

#[test]
fn fields_that_are_not_delivered_or_public_may_be_anywhere() {
    let record =
        r#"{"host":"db.internal.example","username":"postgres","password":"hunter2-hunter2"}"#;
    let with = |secret: &str, deliver: &str| {
        let rest = format!(
            "secrets: {{ token: {{ store: s, key: token, format: json{secret} }} }}\n\
             deliver: [{{ fd: 3, {deliver} }}]"
        );
        launch(&rest)
            .file("s/token", record)
            .env("PGHOST", "db.internal.example")
    };
    let all = "content: \"{{ token | json }}\"";
    let start = |hushpipe: Hushpipe, word: &str| hushpipe.args(["--", "{probe}", "say", word]);
    let password = "secret: token.password";
    start(with("", password), "postgres").run().success();
    refused(start(with("", password), "--p=hunter2-hunter2"), 77)
        .stderr_has("field \"password\" of secret token is in argument 2")
        .stderr_has("public: [password]");
    refused(start(with("", all), "x"), 77)
        .stderr_has("field \"host\" of secret token is in the environment variable \"PGHOST\"");
    start(with(", public: [host, username]", all), "postgres")
        .run()
        .success();
    refused(start(with(", public: [host]", all), "postgres"), 77).stderr_has("\"username\"");
}

#[test]
fn check_tells_of_values_what_run_would() {
    let check = |host: &str| {
        Hushpipe::new()
            .file("s/token", "db.internal.example\n")
            .manifest(&format!(
                "version: 1\nservice: test\n\
                 stores: {{ s: {{ type: directory, path: '{{place}}/s' }} }}\n\
                 secrets: {{ token: {{ store: s, key: token }} }}\n\
                 deliver: [{{ fd: 3, secret: token }}]\n\
                 run: {{ command: ['true'], env: {{ set: {{ PGHOST: {host} }} }} }}\n"
            ))
            .args(["check", "--values"])
            .run()
    };
    check("db.internal.example")
        .code(77)
        .stderr_has("secret token is in the environment variable \"PGHOST\"")
        .stderr_has("run.env.set");
    check("other").success().stdout_has("token has version");
}
