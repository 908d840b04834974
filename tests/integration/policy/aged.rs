//! Policies that go by the age of a secret: what the store says before it is read, and once more of what
//! was read.

use std::fs::{File, FileTimes};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{PERMIT, site};
use crate::harness::{Bao, FakeAnswers, Hushpipe};

const STALE: &str = "@id(\"stale\") forbid (principal, action == Action::\"deliver\", resource) when { \
                     resource.age > 86400 };\n";
const KNOWN: &str = "@id(\"known\") forbid (principal, action == Action::\"deliver\", resource) when { \
                     resource.age >= 1 };\n";

/// Makes a file of the place older.
fn age(hushpipe: &Hushpipe, name: &str, days: u64) {
    let file = File::options()
        .write(true)
        .open(hushpipe.place().join(name));
    let then = SystemTime::now() - Duration::from_secs(days * 86_400 + 60);
    let times = FileTimes::new().set_modified(then);
    file.expect("it is there")
        .set_times(times)
        .expect("it is its owner's");
}

fn with_directory(policies: &str, days: u64, more: &str) -> Hushpipe {
    let hushpipe = Hushpipe::new().file("secrets/db", "v").manifest(&format!(
        "version: 1\nservice: t\nstores: {{ d: {{ type: directory, path: \"{{place}}/secrets\" }} }}\n\
         secrets: {{ db: {{ store: d, key: db{more} }} }}\ndeliver: [{{ fd: 5, as: memfd, secret: db }}]\n\
         run: {{ command: [/bin/true] }}\n"
    ));
    age(&hushpipe, "secrets/db", days);
    site(hushpipe, &(PERMIT.to_owned() + policies), "")
}

#[test]
fn a_secret_that_is_too_old_is_not_delivered() {
    for mode in [
        &["run"][..],
        &["run", "--exec"],
        &["check"],
        &["check", "--values"],
    ] {
        let output = with_directory(STALE, 3, "")
            .args(mode.iter().copied())
            .run();
        let said = output.code(77).stderr();
        let start = said.find("policy stale forbids it (resource.age ");
        let rest = &said[start.expect("it says why") + 38..];
        let age: u64 = rest[..rest.find(')').expect("it ends")]
            .parse()
            .expect(rest);
        assert!((3 * 86_400..4 * 86_400).contains(&age), "{said}");
        with_directory(STALE, 0, "")
            .args(mode.iter().copied())
            .run()
            .success();
    }
}

#[test]
fn explain_knows_how_old_files_of_this_host_are() {
    let explain = |days| {
        with_directory(STALE, days, "")
            .args(["policy", "explain"])
            .run()
    };
    let output = explain(3).code(1).stderr_is("");
    assert!(
        output.stdout().contains("resource.age = 2592"),
        "{}",
        output.stdout()
    );
    explain(0).success();
}

#[test]
fn a_secret_that_is_older_than_the_manifest_wants_is_reported() {
    let output = with_directory("", 93, ", max_age: 90d").arg("run").run();
    let wanted = "secret db: its version is 93d old, more than `max_age: 90d`: rotate it";
    output.success().stderr_has(wanted);
    with_directory("", 3, ", max_age: 90d")
        .arg("run")
        .run()
        .success()
        .stderr_is("");
}

#[test]
fn a_sealed_version_is_as_old_as_its_file() {
    let hushpipe = Hushpipe::new().sealed(&[("db", "v")]).manifest(
        "version: 1\nservice: t\nstores: { s: { type: sealed, path: \"{place}/store\", \
         identity_file: \"{place}/identity.txt\" } }\nsecrets: { db: { store: s, key: db } }\n\
         deliver: [{ fd: 5, as: memfd, secret: db }]\nrun: { command: [/bin/true] }\n",
    );
    age(&hushpipe, "store/secrets/db/1.age", 3);
    let output = site(hushpipe, &(PERMIT.to_owned() + STALE), "")
        .arg("run")
        .run();
    output
        .code(77)
        .stderr_has("policy stale forbids it (resource.age ");
}

/// Of a vault whose requests are counted.
fn with_vault(bao: &Bao, fake: &FakeAnswers, policies: &str) -> Hushpipe {
    let hushpipe = Hushpipe::new();
    let store = bao.store_by_approle_at(hushpipe.place(), &fake.address(), "");
    let hushpipe = hushpipe.manifest(&format!(
        "version: 1\nservice: t\nstores: {{ bao: {store} }}\n\
         secrets: {{ api: {{ store: bao, path: kv/data/app }} }}\n\
         deliver: [{{ fd: 5, as: memfd, secret: api.key }}]\nrun: {{ command: [/bin/true] }}\n"
    ));
    site(hushpipe, &(PERMIT.to_owned() + policies), "")
}

#[test]
fn a_vault_is_asked_for_the_age_alone_before_policy_decides() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let fake = FakeAnswers::before(bao.plain_port());
    let counts = || (fake.count("/v1/kv/metadata/"), fake.count("/v1/kv/data/"));
    with_vault(&bao, &fake, "").arg("run").run().success();
    assert_eq!(counts(), (0, 1), "no policy goes by it");
    let output = with_vault(&bao, &fake, KNOWN).arg("run").run();
    output
        .code(77)
        .stderr_has("policy known forbids it (resource.age ");
    assert_eq!(counts(), (1, 1), "its value is not read");
    with_vault(&bao, &fake, STALE).arg("run").run().success();
    assert_eq!(counts(), (2, 2));
    // Where the metadata may not be read, what was read says how old it is.
    let hushpipe = with_vault(&bao, &fake, KNOWN);
    bao.policy("app", "path \"kv/data/*\" { capabilities = [\"read\"] }");
    let output = hushpipe.arg("run").run();
    output
        .code(77)
        .stderr_has("policy known forbids it (resource.age ");
    assert_eq!(counts(), (3, 3));
}
