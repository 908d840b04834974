//! The environment: what goes on, what never does.

use super::launch;
use crate::harness::Output;

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
fn not_even_a_list_inherits_credentials() {
    let list = format!("{{ inherit: [{}, LANG] }}", CREDENTIALS.join(", "));
    let variables = CREDENTIALS.map(|name| (name, "bootstrap"));
    assert_eq!(environment(&variables, &list), ["LANG=C.UTF-8"]);
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
