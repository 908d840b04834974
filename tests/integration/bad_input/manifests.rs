//! Manifests that are none.

use std::fmt::Write;
use std::fs::File;

use super::{AS_USER, given, launch, refused, refused_on};
use crate::harness::Hushpipe;

#[test]
fn one_that_is_missing() {
    refused(Hushpipe::new().arg("run"), 66).stderr_is(
        "hushpipe: error: no manifest: no hushpipe.yaml in this directory or above\n  help: name \
         one with -m FILE or $HUSHPIPE_MANIFEST, or make one with `hushpipe init`\n",
    );
    let named = Hushpipe::new().args(["run", "-m", "{place}/other.yaml"]);
    refused(named, 66)
        .stderr_has("cannot read {place}/other.yaml: No such file or directory")
        .stderr_has("help: name another one with -m FILE, or make one with `hushpipe init`");
}

#[test]
fn one_that_cannot_be_read() {
    let hushpipe = given(launch("")).mode("hushpipe.yaml", 0o000);
    refused_on(AS_USER, hushpipe, 66)
        .stderr_has("cannot read hushpipe.yaml: Permission denied")
        .stderr_has("help: the user that runs hushpipe must be able to read the manifest");
    let hushpipe = Hushpipe::new().directory("hushpipe.yaml").arg("run");
    refused(hushpipe, 66).stderr_has("cannot read hushpipe.yaml: it is a directory");
}

#[test]
fn one_with_a_variable_without_braces_or_a_mode_of_one_digit() {
    let faults = launch(
        "deliver:\n  - { file: $HOME/x, secret: token, mode: 7 }\n\
         stores:\n  s: { type: directory, path: $HOME/s }\n\
         secrets: { token: { store: s, key: k }, none: { store: s, key: k } }\n",
    );
    refused(faults, 78)
        .stderr_has("invalid value `$HOME/x`: a variable of the environment is written with braces")
        .stderr_has("invalid value `$HOME/s`: a variable of the environment is written with braces")
        .stderr_has("help: write a mode in quotes: \"0400\", \"0440\", \"0600\" or \"0640\"")
        .stderr_has("invalid value `none`: templates reserve this word");
}

#[test]
fn one_that_is_huge() {
    let hushpipe = launch("");
    let file = File::create(hushpipe.place().join("hushpipe.yaml")).unwrap();
    file.set_len(100 << 20).unwrap();
    refused(hushpipe, 78)
        .stderr_has("hushpipe.yaml is larger than 1 MiB")
        .stderr_has("help: a manifest names secrets and holds none: is this the right file?");
}

#[test]
fn one_that_is_deeply_nested() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        let nested = [open.repeat(50_000), close.repeat(50_000)].concat();
        let hushpipe = Hushpipe::new().file("hushpipe.yaml", nested).arg("run");
        refused(hushpipe, 78)
            .stderr_has("hushpipe.yaml:1:")
            .stderr_has("help: a manifest needs fewer levels");
    }
}

#[test]
fn one_whose_aliases_explode() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let hushpipe = Hushpipe::new().file("hushpipe.yaml", bomb).arg("run");
    refused(hushpipe, 78)
        .stderr_has("the aliases expand to more than 10000 values")
        .stderr_has("hushpipe.yaml:4:45")
        .stderr_has("help: write the values out");
}

#[test]
fn one_that_is_not_utf8() {
    let hushpipe = Hushpipe::new().file("hushpipe.yaml", b"version: 1\nservice: \xff\xfe\n");
    refused(hushpipe.arg("run"), 78)
        .stderr_has("the manifest is not UTF-8: byte 20 (counted from 0) is wrong")
        .stderr_has("hushpipe.yaml:2:10")
        .stderr_has("save the file as UTF-8");
}
