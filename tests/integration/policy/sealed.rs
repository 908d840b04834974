//! Sealed secrets are revealed and changed where policy says so. No identity is opened before.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::{PERMIT, site};
use crate::harness::Hushpipe;

const FORBID: &str = "@id(\"sealed-here\") forbid (principal is Person, action in [Action::\"reveal\", \
                      Action::\"change\"], resource) when { resource.name == \"db\" };\n";

const MANIFEST: &str = "version: 1\nservice: t\nstores: { s: { type: sealed, path: \"{place}/store\", \
                        identity_file: \"{place}/identity.txt\" } }\nsecrets: { db: { store: s, key: db } }\n\
                        deliver: [{ fd: 5, as: memfd, secret: db }]\nrun: { command: [/bin/true] }\n";

fn hushpipe(policies: &str) -> Hushpipe {
    let hushpipe = Hushpipe::new().sealed(&[("db", "v"), ("other", "w")]);
    site(
        hushpipe.manifest(MANIFEST),
        &(PERMIT.to_owned() + policies),
        "",
    )
}

#[test]
fn a_denied_command_does_not_open_the_identity() {
    for words in [
        &["secret", "get", "db", "--reveal"][..],
        &["secret", "set", "db"],
        &["secret", "rm", "db", "--yes"],
        &["secret", "rollback", "db"],
        &["secret", "rekey"],
    ] {
        // Whoever reads it says that it is none.
        let output = hushpipe(FORBID)
            .file("identity.txt", "no identity")
            .args(words.iter().copied())
            .stdin("new")
            .run();
        let said = output.code(77).stderr();
        assert!(
            said.contains("policy sealed-here forbids it"),
            "{words:?}: {said}"
        );
        assert!(!said.contains("identity.txt"), "{words:?}: {said}");
    }
    let output = hushpipe(FORBID)
        .args(["secret", "get", "other", "--reveal"])
        .run();
    assert_eq!(output.success().stdout(), "w");
}

#[test]
fn a_denied_launch_does_not_open_the_identity() {
    let deliver =
        "@id(\"not-here\") forbid (principal, action == Action::\"deliver\", resource);\n";
    for words in [&["run"][..], &["run", "--exec"], &["check", "--values"]] {
        let output = hushpipe(deliver)
            .file("identity.txt", "no identity")
            .args(words.iter().copied())
            .run();
        let said = output.code(77).stderr();
        assert!(
            said.contains("policy not-here forbids it"),
            "{words:?}: {said}"
        );
        assert!(!said.contains("identity.txt"), "{words:?}: {said}");
    }
}

/// The kernel's word on who opens a file or reads it, inotify(7).
struct Watch(OwnedFd);

impl Watch {
    fn on(path: &Path) -> Self {
        let fd =
            inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("there is room");
        inotify::add_watch(&fd, path, WatchFlags::OPEN | WatchFlags::ACCESS).expect("it is there");
        Self(fd)
    }

    fn saw_something(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        match inotify::Reader::new(&self.0, &mut buffer).next() {
            Ok(_) => true,
            Err(rustix::io::Errno::AGAIN) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn no_identity_is_opened_before_policy_allows_it() {
    let deliver =
        "@id(\"not-here\") forbid (principal, action == Action::\"deliver\", resource);\n";
    for (policies, words) in [
        (deliver, &["run"][..]),
        (deliver, &["run", "--exec"]),
        (deliver, &["check", "--values"]),
        (FORBID, &["secret", "get", "db", "--reveal"]),
        (FORBID, &["secret", "set", "db"]),
        (FORBID, &["secret", "rm", "db", "--yes"]),
        (FORBID, &["secret", "rollback", "db"]),
        (FORBID, &["secret", "rekey"]),
    ] {
        let hushpipe = hushpipe(policies);
        let watch = Watch::on(&hushpipe.place().join("identity.txt"));
        let output = hushpipe.args(words.iter().copied()).stdin("new").run();
        // With the output the place goes, and the watched file with it.
        let output = output.code(77);
        assert!(!watch.saw_something(), "{words:?}");
        drop(output);
    }
    // It is this file that is opened where policy allows it.
    let hushpipe = hushpipe("");
    let watch = Watch::on(&hushpipe.place().join("identity.txt"));
    let output = hushpipe.arg("run").run().success();
    assert!(watch.saw_something());
    drop(output);
}

#[test]
fn an_emergency_leaves_a_trace_whatever_is_asked_for() {
    for quiet in [&["-q"][..], &[]] {
        let output = hushpipe(FORBID)
            .args(quiet.iter().copied())
            // Where a person writes it: after the command.
            .args([
                "secret",
                "get",
                "other",
                "--reveal",
                "--break-glass",
                "INC-9",
            ])
            .run();
        let output = output.success().stdout_is("w");
        output.stderr_has("warning: break-glass to reveal: INC-9");
    }
}

#[test]
fn a_site_that_wants_signed_manifests_refuses_stores_without_one() {
    let signers = "manifests: { signers: \"{place}/signers\" }\n";
    for words in [
        &["secret", "get", "db", "--reveal"][..],
        &["secret", "set", "db"],
    ] {
        let hushpipe = Hushpipe::new().sealed(&[("db", "v")]);
        let output = site(hushpipe, PERMIT, signers)
            .args(words.iter().copied())
            .args([
                "--store",
                "{place}/store",
                "--identity",
                "{place}/identity.txt",
            ])
            .stdin("new")
            .run();
        let output = output.code(77).stdout_is("");
        output.stderr_has("a store's directory has no signature");
    }
}

#[test]
fn init_moves_no_value_into_a_store_that_policy_keeps() {
    let change =
        "@id(\"kept\") @reason forbid (principal, action == Action::\"change\", resource);\n";
    let words = [
        "init",
        "{place}/project",
        "--store",
        "{place}/store",
        "--identity",
        "{place}/identity.txt",
        "--from-env",
        "{place}/project/.env",
        "--move",
        "--yes",
    ];
    let start = |more: &'static [&'static str]| {
        hushpipe(change)
            .file("project/.env", "API_KEY=canary-0123456789\n")
            .args(words)
            .args(more.iter().copied())
            .run()
    };
    let output = start(&[]).code(77).stdout_is("");
    let output = output.stderr_has("policy kept forbids it");
    assert_eq!(
        output.place().read("project/.env"),
        "API_KEY=canary-0123456789\n"
    );
    assert!(!output.place().join("project/hushpipe.yaml").exists());
    start(&["--reason", "moved"]).success();
}

#[test]
fn what_the_site_says_of_a_store_counts_by_whatever_path_it_is_reached() {
    let restricted = "@id(\"restricted\") forbid (principal, action in [Action::\"deliver\", \
                      Action::\"reveal\"], resource) when { resource.classification == \"restricted\" };\n";
    let start = |words: &[&str]| {
        let hushpipe = Hushpipe::new().sealed(&[("db", "v"), ("other", "w")]);
        let manifest = MANIFEST.replace("key: db }", "key: db, classification: open }");
        std::os::unix::fs::symlink(hushpipe.place().path(), hushpipe.place().join("link"))
            .expect("it is new");
        let governed = "governed: [{ directory: \"{place}/store\", classification: restricted }]\n";
        site(
            hushpipe.manifest(&manifest),
            &(PERMIT.to_owned() + restricted),
            governed,
        )
        .args(words.iter().copied())
        .run()
    };
    let by_path = |path: &'static str| {
        let identity = ["--identity", "{place}/identity.txt"];
        [
            &["secret", "get", "db", "--reveal", "--store", path][..],
            &identity,
        ]
        .concat()
    };
    for words in [
        vec!["run"],
        vec!["secret", "get", "db", "--reveal"],
        vec!["secret", "get", "other", "--reveal"],
        by_path("{place}/store"),
        by_path("{place}/link/store"),
        by_path("{place}/store/secrets/.."),
    ] {
        let output = start(&words).code(77).stdout_is("");
        output.stderr_has("policy restricted forbids it (resource.classification \"restricted\")");
    }
}

#[test]
fn what_is_mounted_from_a_store_of_the_site_elsewhere_counts_as_in_it() {
    let restricted = "@id(\"restricted\") forbid (principal, action == Action::\"deliver\", resource) when { \
                      resource.classification == \"restricted\" };\n";
    for (mount, code) in [
        ("mount --bind kept/below other/below", 77),
        ("mount --bind kept/below/db other/below/db", 77),
        (
            "mount -t tmpfs none kept/below && echo v >kept/below/db && mount --bind kept/below other/below",
            77,
        ),
        ("mount --bind free/below other/below", 0),
    ] {
        let hushpipe = Hushpipe::new().manifest(
            "version: 1\nservice: t\nstores: { d: { type: directory, path: \"{place}/other\" } }\n\
             secrets: { db: { store: d, key: below/db } }\ndeliver: [{ fd: 5, as: memfd, secret: db }]\n\
             run: { command: [/bin/true] }\n",
        );
        let hushpipe = ["kept", "free", "other"]
            .iter()
            .fold(hushpipe, |hushpipe, name| {
                hushpipe.file(&format!("{name}/below/db"), "v")
            });
        let governed = "governed: [{ directory: \"{place}/kept\", classification: restricted }]\n";
        let script = format!("set -e; cd {{place}}; {mount}; exec \"$@\"");
        let output = site(hushpipe, &(PERMIT.to_owned() + restricted), governed)
            .through(&["unshare", "--mount", "sh", "-c", &script, "sh"])
            .arg("run")
            .run();
        let output = output.code(code);
        if code == 77 {
            output.stderr_has("policy restricted forbids it");
        }
    }
}

#[test]
fn a_key_that_leads_into_a_store_of_the_site_counts_as_in_it() {
    let restricted = "@id(\"restricted\") forbid (principal, action == Action::\"deliver\", resource) when { \
                      resource.classification == \"restricted\" };\n";
    for key in ["kept/db", "kept/below/db"] {
        let hushpipe = Hushpipe::new().file(&format!("all/{key}"), "v").manifest(&format!(
            "version: 1\nservice: t\nstores: {{ d: {{ type: directory, path: \"{{place}}/all\" }} }}\n\
             secrets: {{ db: {{ store: d, key: {key} }} }}\ndeliver: [{{ fd: 5, as: memfd, secret: db }}]\n\
             run: {{ command: [/bin/true] }}\n"
        ));
        let governed =
            "governed: [{ directory: \"{place}/all/kept\", classification: restricted }]\n";
        let output = site(hushpipe, &(PERMIT.to_owned() + restricted), governed)
            .arg("run")
            .run();
        output.code(77).stderr_has("policy restricted forbids it");
    }
}
