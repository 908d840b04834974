//! Sealed secrets are revealed and changed where policy says so. No identity is opened before.

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
