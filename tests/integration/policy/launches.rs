//! A launch that is denied makes no request, in whichever way it is made.

use super::{PERMIT, files, site, site_in_mode};
use crate::delivery::Memory;
use crate::harness::{FakeAnswers, Hushpipe};

const FORBID: &str =
    "@id(\"nobody\") forbid (principal, action == Action::\"deliver\", resource);\n";

/// Two secrets of a vault that counts its requests.
fn with_vault(fake: &FakeAnswers) -> Hushpipe {
    let manifest = format!(
        "version: 1\nservice: t\nstores: {{ v: {{ type: vault, address: \"{}\", auth: {{ method: token, file: \
         \"{{place}}/token\" }} }} }}\nsecrets:\n  db: {{ store: v, path: kv/data/db }}\n  \
         api: {{ store: v, path: kv/data/api }}\n\
         deliver:\n  - {{ fd: 5, as: memfd, secret: db.x }}\n  - {{ fd: 6, as: memfd, secret: api.x }}\n\
         run: {{ command: [/bin/true] }}\n",
        fake.address()
    );
    Hushpipe::new().manifest(&manifest).file("token", "t")
}

#[test]
fn a_denied_launch_makes_no_request() {
    let fake = FakeAnswers::alone();
    for words in [
        &["run"][..],
        &["run", "--exec"],
        &["check", "--values"],
        &["check", "--online"],
    ] {
        let output = site(with_vault(&fake), &(PERMIT.to_owned() + FORBID), "")
            .args(words.iter().copied())
            .run();
        let said = output.code(77).stderr();
        for part in [
            "policy denies 2 of 2 secrets to service t:",
            "secret api: policy nobody forbids it",
            "secret db: policy nobody forbids it",
            "environment \"production\"",
            "hushpipe policy explain",
        ] {
            assert!(said.contains(part), "{words:?}: {part}\n{said}");
        }
    }
    let seen = fake.seen();
    assert!(seen.is_empty(), "{seen:?}");
    // It is the vault that is asked where policy allows it.
    site(with_vault(&fake), PERMIT, "").arg("run").run();
    assert!(!fake.seen().is_empty());
}

#[test]
fn what_no_policy_permits_is_denied_and_each_secret_is_named() {
    let only = "@id(\"db\") permit (principal, action, resource) when { resource.name == \"db\" };";
    let fake = FakeAnswers::alone();
    let said = site(with_vault(&fake), only, "")
        .arg("run")
        .run()
        .code(77)
        .stderr();
    assert!(said.contains("policy denies 1 of 2 secrets"), "{said}");
    assert!(said.contains("secret api: no policy permits it"), "{said}");
    assert!(!said.contains("secret db:"), "{said}");
    assert!(fake.seen().is_empty());
}

#[test]
fn a_site_that_observes_refuses_nothing_and_says_what_it_would_deny() {
    let output = site_in_mode(files("v"), "observe", FORBID, "")
        .args(["run", "--", "cat", "{place}/run/db"])
        .run()
        .success();
    assert_eq!(output.stdout(), "v\n");
    let said = output.stderr();
    assert!(
        said.contains("policy would deny t to deliver db: nobody"),
        "{said}"
    );
}

#[test]
fn a_manifest_cannot_weaken_what_the_site_says() {
    let by_environment = "@id(\"prod\") forbid (principal, action, resource) when { \
                          context.environment == \"production\" };";
    let run = |manifest: &str| {
        let hushpipe = files("v").manifest(manifest);
        site(hushpipe, &(PERMIT.to_owned() + by_environment), "")
            .args(["run", "--", "true"])
            .run()
    };
    run(super::FILES)
        .code(77)
        .stderr_has("policy prod forbids it");
    let another = super::FILES.replace("service: t", "service: t\nenvironment: test");
    run(&another).code(78);
}

#[test]
fn files_that_cannot_be_private_are_judged_as_what_they_become() {
    let private = "@id(\"private\") forbid (principal, action, resource) when { context.isolation != \
                   \"private\" };";
    // Root without CAP_SYS_ADMIN: in a container.
    let host = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"];
    let run = |policies: &str, host: &[&str]| {
        let memory = Memory::new();
        let manifest = super::FILES.replace("{place}/run/db", &memory.fill("{memory}/run/db"));
        let hushpipe = site(files("v").manifest(&manifest), policies, "");
        let output = match host {
            [] => hushpipe,
            host => hushpipe.through(host),
        };
        let output = output.args(["run", "--", "echo", "started"]).run();
        assert!(memory.is_empty());
        output
    };
    let only = PERMIT.to_owned() + private;
    run(&only, &[]).success().stdout_is("started\n");
    run(PERMIT, &host).success().stdout_is("started\n");
    let output = run(&only, &host).code(77).stdout_is("");
    output.stderr_has("policy private forbids it");
}

#[test]
fn an_emergency_lifts_what_a_policy_says_it_lifts_and_is_always_said() {
    let policies = "@id(\"emergency\") permit (principal, action, resource) when { \
                    context.break_glass };";
    let run = |words: &[&str]| {
        let hushpipe = site(files("v"), policies, "").arg("run");
        hushpipe
            .args(words.iter().copied())
            .args(["--", "true"])
            .run()
    };
    run(&[]).code(77);
    let said = run(&["--reason", "INC-7"]).code(77).stderr();
    assert!(!said.contains("break-glass"), "{said}");
    let said = run(&["--break-glass", "INC-7"]).success().stderr();
    assert!(
        said.contains("warning: break-glass to deliver: INC-7"),
        "{said}"
    );
    let said = run(&["-q", "--break-glass", "INC-7"]).success().stderr();
    assert!(
        said.contains("warning: break-glass to deliver: INC-7"),
        "{said}"
    );
    // It is said also where it was of no use.
    let hushpipe = site(files("v"), FORBID, "").arg("run");
    let output = hushpipe
        .args(["--break-glass", "INC-8", "--", "true"])
        .run();
    let said = output.code(77).stderr();
    assert!(
        said.contains("warning: break-glass to deliver: INC-8"),
        "{said}"
    );
}

#[test]
fn a_reason_is_given_where_a_policy_wants_one() {
    let reason =
        "@id(\"why\") @reason forbid (principal, action == Action::\"deliver\", resource);";
    let run = |words: &[&str]| {
        let hushpipe = site(files("v"), &(PERMIT.to_owned() + reason), "").arg("run");
        hushpipe
            .args(words.iter().copied())
            .args(["--", "true"])
            .run()
    };
    let said = run(&[]).code(77).stderr();
    assert!(
        said.contains("why wants a reason: give --reason TEXT"),
        "{said}"
    );
    run(&["--reason", "INC-7"]).success();
    run(&["--reason", " "]).code(64);
}

#[test]
fn check_ends_with_77_if_policy_denies_the_launch() {
    let check = |policies: &str| {
        let hushpipe = site(files("v"), policies, "");
        hushpipe.args(["check", "--", "true"]).run()
    };
    check(PERMIT).success();
    check(FORBID).code(77).stderr_has("forbids it");
    check("").code(77).stderr_has("no policy permits it");
}

#[test]
fn the_hour_is_the_hosts_whatever_tz_says() {
    let time = |zone: &str| {
        let hushpipe = site(files("v"), PERMIT, "").env("TZ", zone);
        let words = ["policy", "explain", "--json", "--", "true"];
        let output = hushpipe.args(words).run().success();
        let all: serde_json::Value = serde_json::from_str(&output.stdout()).expect("it is JSON");
        let time = &all[0]["query"]["context"]["time"];
        let number = |name: &str| time[name].as_i64().expect("it is a number");
        (number("unix") / 3_600, number("hour"), number("weekday"))
    };
    let (west, east) = (time("XXX+11"), time("XXX-11"));
    // Unless an hour has just begun.
    if west.0 == east.0 {
        assert_eq!(west, east);
    }
}
