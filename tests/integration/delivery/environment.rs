//! The environment: what goes on, what never does.

use super::launch;
use crate::harness::{Hushpipe, Output};

const BY_FD: &str = "deliver:\n  - { fd: 3, as: memfd, secret: token }\n";

const CREDENTIALS: [&str; 10] = [
    "VAULT_TOKEN",
    "BAO_SECRET_ID",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HUSHPIPE_X",
    "SOPS_AGE_KEY",
    "SOPS_AGE_KEY_FILE",
    "OP_SERVICE_ACCOUNT_TOKEN",
];

/// What the program's environment is, with variables and a `run.env:`, in both modes.
fn environment(variables: &[(&str, &str)], env: &str) -> Vec<String> {
    let seen = |mode: &[&str]| {
        let hushpipe = launch(&format!("{BY_FD}run: {{ env: {env} }}\n"));
        let hushpipe = variables.iter().fold(hushpipe, |hushpipe, (name, value)| {
            hushpipe.env(name, *value)
        });
        let hushpipe = hushpipe.args(mode.iter().copied());
        let output: Output = hushpipe.args(["--", "{probe}", "environ"]).run().success();
        let place = output.place().path().display().to_string();
        let mut lines: Vec<String> = output
            .stdout()
            .lines()
            .map(|line| line.replace(&place, "PLACE"))
            .collect();
        lines.sort();
        lines
    };
    let supervised = seen(&[]);
    assert_eq!(supervised, seen(&["--exec"]));
    supervised
}

fn names(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line.split('=').next().unwrap())
        .collect()
}

#[test]
fn credentials_that_hushpipe_starts_with_end_with_it() {
    let variables = CREDENTIALS.map(|name| (name, "bootstrap"));
    let all = environment(&variables, "{ inherit: all }");
    assert_eq!(names(&all), ["HOME", "LANG", "PATH", "TEST_PLACE"]);
    assert_eq!(all, environment(&[], "{}"));
}

#[test]
fn where_hushpipes_vault_is_ends_with_it_and_can_be_set_anew() {
    let settings = [
        "ADDR",
        "NAMESPACE",
        "CACERT",
        "CAPATH",
        "TLS_SERVER_NAME",
        "CLIENT_CERT",
        "CLIENT_KEY",
        "SKIP_VERIFY",
        "TOKEN",
    ];
    let named: Vec<String> = ["VAULT", "BAO"]
        .iter()
        .flat_map(|vendor| settings.map(|setting| format!("{vendor}_{setting}")))
        .collect();
    let variables: Vec<(&str, &str)> = named.iter().map(|name| (name.as_str(), "x")).collect();
    let all = environment(&variables, "{ inherit: all }");
    assert_eq!(names(&all), ["HOME", "LANG", "PATH", "TEST_PLACE"]);
    let set = "{ inherit: none, set: { VAULT_ADDR: \"http://${VAULT_ADDR}\" } }";
    assert_eq!(environment(&variables, set), ["VAULT_ADDR=http://x"]);
}

#[test]
fn a_list_passes_the_programs_own_identity_and_no_credential_of_a_secret_manager() {
    let identity = [
        ("AWS_ROLE_ARN", "arn:aws:iam::000000000000:role/app"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/token"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/app/key.json"),
    ];
    let list = "AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE, GOOGLE_APPLICATION_CREDENTIALS";
    let passed = environment(&identity, &format!("{{ inherit: [{list}] }}"));
    assert_eq!(
        passed,
        identity.map(|(name, value)| format!("{name}={value}"))
    );
    let with_all = environment(&identity, &format!("{{ inherit: [all, {list}] }}"));
    assert_eq!(with_all.len(), passed.len() + 4, "{with_all:?}");
    for name in ["VAULT_TOKEN", "BAO_SECRET_ID", "HUSHPIPE_X", "SOPS_AGE_KEY"] {
        launch(&format!(
            "{BY_FD}run: {{ env: {{ inherit: [PATH, {name}] }} }}\n"
        ))
        .env(name, "bootstrap")
        .args(["--", "{probe}", "environ"])
        .run()
        .code(78)
        .stderr_has(&format!("the program cannot inherit {name}"));
    }
}

#[test]
fn a_programs_identity_that_is_not_passed_is_reported() {
    let start = |env: &str| {
        launch(&format!("{BY_FD}run: {{ env: {env} }}\n"))
            .env("AWS_ROLE_ARN", "arn:aws:iam::000000000000:role/app")
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/token")
            .args(["--", "{probe}", "say", "x"])
            .run()
            .success()
    };
    start("{ inherit: all }")
        .stderr_has("AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE")
        .stderr_has("run.env.inherit");
    start("{ unset: [AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE] }").says_nothing_of("AWS_ROLE_ARN");
    start("{ inherit: [AWS_ROLE_ARN] }")
        .stderr_has("AWS_ROLE_ARN without AWS_WEB_IDENTITY_TOKEN_FILE: half of an identity");
}

#[test]
fn what_a_store_logs_in_with_does_not_reach_the_program() {
    let manifest = |run: &str| {
        let store =
            "{ type: command, run: [sh, -c, 'echo value-of-$MY_LOGIN'], env: [MY_LOGIN, TZ] }";
        let manifest = format!(
            "version: 1\nservice: test\nstores: {{ tool: {store} }}\n\
             secrets: {{ token: {{ store: tool }} }}\n{BY_FD}run: {run}\n"
        );
        Hushpipe::new()
            .file("hushpipe.yaml", manifest)
            .env("MY_LOGIN", "bootstrap")
            .env("TZ", "UTC")
            .args(["run"])
    };
    let all = manifest("{ command: [env] }").run().success();
    assert!(!all.stdout().contains("bootstrap"), "{}", all.stdout());
    all.stdout_has("TZ=UTC");
    for refused in [
        "{ command: [env], env: { inherit: [MY_LOGIN] } }",
        "{ command: [env], env: { set: { OTHER: \"x${MY_LOGIN}\" } } }",
        "{ command: [echo, \"${MY_LOGIN:-x}\"] }",
        "{ command: [echo, \"${VAULT_TOKEN:-x}\"] }",
        "{ command: [env], env: { set: { AWS_SECRET_ACCESS_KEY: \"${AWS_SECRET_ACCESS_KEY}\" } } }",
    ] {
        manifest(refused).run().code(78).stdout_is("");
    }
}

#[test]
fn what_is_inherited_is_chosen() {
    let variables = [("ONE", "1"), ("TWO", "2 =x"), ("EMPTY", "")];
    let none = environment(&variables, "{ inherit: none }");
    assert!(none.is_empty(), "{none:?}");
    let some = environment(&variables, "{ inherit: [TWO, EMPTY, NOT_SET] }");
    assert_eq!(some, ["EMPTY=", "TWO=2 =x"]);
    let all = environment(&variables, "{ unset: [ONE, HOME, NOT_SET] }");
    assert_eq!(names(&all), ["EMPTY", "LANG", "PATH", "TEST_PLACE", "TWO"]);
}

#[test]
fn what_is_set_is_set_last() {
    let set = "{ inherit: [LANG, TZ], set: { LANG: C, TZ: UTC, EMPTY: '' } }";
    assert_eq!(
        environment(&[("TZ", "CET")], set),
        ["EMPTY=", "LANG=C", "TZ=UTC"]
    );
}
