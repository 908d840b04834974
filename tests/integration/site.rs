//! The host's site: who may have written it, what it adds, and what no manifest can take back.

mod bad;
mod judged;

use std::fs;

use serde_json::Value;

use super::manifest::yaml;
use crate::harness::schema::Validator;
use crate::harness::{Hushpipe, Output};

const MANIFEST: &str = "version: 1\nservice: app\nrun: { command: [/bin/echo, started] }\n";

/// As an ordinary user.
const ORDINARY: [&str; 4] = ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"];

/// In a mount namespace whose /etc/hushpipe has this site alone.
fn host(site: &str) -> Hushpipe {
    let hushpipe = Hushpipe::new()
        .manifest(MANIFEST)
        .mode("hushpipe.yaml", 0o644);
    hushpipe.file("site.yaml", site).through(&[
        "unshare",
        "-m",
        "sh",
        "-c",
        "mkdir -p /etc/hushpipe && mount -t tmpfs -o mode=0755 none /etc/hushpipe && \
             cp {place}/site.yaml /etc/hushpipe/site.yaml && chmod 644 /etc/hushpipe/site.yaml && \
             exec \"$@\"",
        "sh",
    ])
}

/// By the variable.
fn named(site: &str) -> Hushpipe {
    let hushpipe = Hushpipe::new().manifest(MANIFEST).file("site.yaml", site);
    hushpipe
        .mode("site.yaml", 0o644)
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
}

fn check(hushpipe: Hushpipe) -> Output {
    hushpipe.args(["check", "--manifest-only"]).run()
}

#[test]
fn check_shows_what_the_site_adds() {
    // What is not signed is refused by a site that wants that.
    let full = include_str!("../vectors/sites/good/full.yaml");
    check(named(full)).code(77).stderr_has("not signed");
    let full = &full.replace(
        "manifests:\n  signers: /srv/signers\n  variables: refuse\n",
        "",
    );
    let output = check(named(full)).success().stderr_is("");
    for wanted in [
        "\n  environment  production\n",
        "\nsite\n  file         {place}/site.yaml\n",
        "region=eu-1",
        "/srv/policy.d, observed",
        "by /srv/approvers, in /srv/approvals, waited for up to 10m",
        "/srv/log, not required",
    ] {
        let wanted = output.place().fill(wanted);
        assert!(
            output.stdout().contains(&wanted),
            "{wanted}: {}",
            output.stdout()
        );
    }
    let output = named(full).args(["check", "--manifest-only", "--format", "json"]);
    let plan: Value = serde_json::from_str(&output.run().success().stdout()).unwrap();
    assert_eq!(plan["environment"], "production");
    assert_eq!(plan["site"]["policy"]["mode"], "observe");
    assert_eq!(plan["site"]["approvals"]["wait"], "10m");
    assert_eq!(plan["site"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(plan["manifest_sha256"].as_str().unwrap().len(), 64);
    let none = Hushpipe::new().manifest(MANIFEST);
    let none = none.args(["check", "--manifest-only", "--format", "json"]);
    let plan: Value = serde_json::from_str(&none.run().success().stdout()).unwrap();
    assert!(plan["site"].is_null() && plan["manifest_sha256"].is_null());
}

#[test]
fn the_environment_of_the_site_counts_and_no_manifest_has_another() {
    let site = "version: 1\nenvironment: production\n";
    for good in ["environment: production\n", ""] {
        let hushpipe = named(site).manifest(&format!("{MANIFEST}{good}"));
        check(hushpipe)
            .success()
            .stdout_has("environment  production");
    }
    let other = named(site).manifest(&format!("{MANIFEST}environment: staging\n"));
    check(other)
        .code(78)
        .stderr_has("--> hushpipe.yaml:4:14")
        .stderr_has(
            "this manifest is for the environment `staging`, and this host's site ({place}/site.yaml:2:1) is for `production`",
        )
        .stderr_has("^^^^^^^");
    let elsewhere = named("version: 1\n").manifest(&format!("{MANIFEST}environment: staging\n"));
    check(elsewhere)
        .success()
        .stdout_has("environment  staging");
}

#[test]
fn the_hosts_own_site_is_read_by_every_user_and_the_variable_is_ignored() {
    let site = "version: 1\nenvironment: of-the-host\n";
    check(host(site))
        .success()
        .stdout_has("of-the-host")
        .stderr_is("");
    let ordinary = || host(site).through(&ORDINARY);
    check(ordinary())
        .success()
        .stdout_has("of-the-host")
        .stderr_is("");
    let other = ordinary()
        .file("other.yaml", "version: 1\nenvironment: other\n")
        .env("HUSHPIPE_SITE", "{place}/other.yaml");
    check(other).success().stdout_has("of-the-host").stderr_is(
        "hushpipe: warning: HUSHPIPE_SITE={place}/other.yaml is ignored: this host has a site, \
             /etc/hushpipe/site.yaml\n",
    );
    let root = host(site)
        .file("other.yaml", "version: 1\nenvironment: other\n")
        .env("HUSHPIPE_SITE", "{place}/other.yaml");
    check(root)
        .success()
        .stdout_has("environment  other")
        .stderr_is(
            "hushpipe: warning: HUSHPIPE_SITE={place}/other.yaml counts in place of this host's \
             site, /etc/hushpipe/site.yaml\n",
        );
}

#[test]
fn doctor_says_whether_there_is_a_site_and_what_is_wrong_with_it() {
    let none = Hushpipe::new().args(["doctor"]).run().success();
    none.stdout_has("everything is delivered that a manifest names");
    let site =
        "version: 1\nenvironment: production\npolicy: { directory: /nonexistent/policy.d }\n";
    let output = named(site).args(["doctor"]).run().success();
    output
        .stdout_has("environment production; policy /nonexistent/policy.d, enforced")
        .stdout_has("policy.directory: cannot open /nonexistent");
    let bad = named("version: 2\n").args(["doctor"]).run().code(1);
    bad.stdout_has("unknown version `2` of the site")
        .stdout_has("nothing can be launched");
}

#[test]
fn the_schema_of_sites_takes_what_hushpipe_takes() {
    let output = Hushpipe::new().args(["schema", "--site"]).run().success();
    let schema: Value = serde_json::from_str(&output.stdout()).unwrap();
    let validator = Validator::new(&schema);
    let sites = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/sites/good");
    let mut count = 0;
    for entry in fs::read_dir(sites).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let exit = if text.contains("\nmanifests:") { 77 } else { 0 };
        check(named(&text)).code(exit);
        let document = yaml::read(&text).unwrap();
        validator.takes(&text, &document);
        count += 1;
    }
    assert!(count >= 3, "{count}");
    for (text, _) in bad::BROKEN {
        if let Some(document) = yaml::read(text) {
            assert!(!validator.is_valid(&document), "{text}");
        }
    }
}
