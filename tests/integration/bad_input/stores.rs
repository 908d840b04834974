//! Stores and identities that are not as they should be.

use std::fs;

use super::{AS_USER, VALUE, given, launch, refused, refused_on};
use crate::harness::Hushpipe;

const SEALED: &str = "\
stores: { s: { type: sealed, path: '{place}/store', identity_file: '{place}/identity.txt' } }";
const FILE: &str = "store/secrets/token/1.age";

/// A launch from a sealed store.
fn sealed() -> Hushpipe {
    launch(SEALED).sealed(&[("token", VALUE)])
}

#[test]
fn a_sealed_store_that_is_missing() {
    refused(launch(SEALED).file("identity.txt", ""), 69)
        .stderr_has("store s, token: cannot read {place}/store/secrets")
        .stderr_has("no sealed store")
        .stderr_has("`hushpipe init` makes one");
}

#[test]
fn a_sealed_store_without_the_secret() {
    let hushpipe = launch(SEALED).sealed(&[("other", VALUE)]);
    refused(hushpipe, 65)
        .stderr_has("store s, token: not found")
        .stderr_has("hushpipe secret");
}

#[test]
fn an_identity_that_is_missing() {
    let hushpipe = sealed();
    fs::remove_file(hushpipe.place().join("identity.txt")).unwrap();
    refused(hushpipe, 69)
        .stderr_has("store s, token: cannot read {place}/identity.txt")
        .stderr_has(
            "no identity file: make one with `hushpipe identity new`, or name yours: \
                     --identity, HUSHPIPE_IDENTITY",
        );
}

#[test]
fn an_identity_of_somebody_else() {
    let other = Hushpipe::new().sealed(&[("token", VALUE)]);
    let stranger = other.place().read("identity.txt");
    let hushpipe = sealed().file("identity.txt", &stranger);
    refused(hushpipe, 77)
        .stderr_has("store s, token: ")
        .stderr_has("identity file {place}/identity.txt does not open")
        .says_nothing_of(stranger.lines().last().unwrap());
    refused(
        sealed().file("identity.txt", "AGE-SECRET-KEY-1CANARY\n"),
        65,
    )
    .stderr_has("identity file {place}/identity.txt: line 1 is not")
    .says_nothing_of("CANARY");
}

#[test]
fn an_identity_that_others_can_read() {
    refused(sealed().mode("identity.txt", 0o644), 77)
        .stderr_has("store s, token: identity file {place}/identity.txt is open to others")
        .stderr_has("chmod 600 {place}/identity.txt");
}

#[test]
fn an_age_file_that_is_damaged_or_cut_short() {
    for damage in [
        (|bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1) as fn(&mut Vec<u8>),
        |bytes| bytes.truncate(bytes.len() - 7),
        |bytes| bytes.truncate(20),
        Vec::clear,
    ] {
        let hushpipe = sealed();
        let mut bytes = fs::read(hushpipe.place().join(FILE)).unwrap();
        damage(&mut bytes);
        refused(hushpipe.file(FILE, bytes), 65)
            .stderr_has("store s, token: ")
            .stderr_has("token/1.age is damaged or not an age file");
    }
}

#[test]
fn a_directory_that_is_missing() {
    let hushpipe = launch("stores: { s: { type: directory, path: '{place}/nowhere' } }");
    refused(hushpipe, 69)
        .stderr_has("store s: cannot read {place}/nowhere")
        .stderr_has("no such directory: make it, or correct `path`");
}

#[test]
fn a_directory_without_the_secret() {
    let hushpipe = launch("secrets: { token: { store: s, key: db/pass } }");
    refused(hushpipe, 65)
        .stderr_is("hushpipe: error: store s, db/pass: not found: no file {place}/s/db/pass: make it, or correct `key`\n");
}

#[test]
fn a_file_that_others_can_write() {
    refused(launch("").mode("s/token", 0o646), 77).stderr_is(
        "hushpipe: error: store s, token: others can write to {place}/s/token (mode 0646): \
         chmod o-w {place}/s/token\n",
    );
    refused(launch("").mode("s", 0o777), 77)
        .stderr_has("others can write to {place}/s (mode 0777): chmod o-w {place}/s\n");
}

#[test]
fn a_file_that_hushpipe_may_not_read() {
    let hushpipe = given(launch("")).mode("s/token", 0o000);
    refused_on(AS_USER, hushpipe, 77)
        .stderr_has("store s, token: {place}/s/token cannot be read by uid 1000");
}

#[test]
fn every_fault_is_said_at_once() {
    let hushpipe = launch(
        "secrets: { a: { store: s, key: a }, b: { store: s, key: b } }\n\
         deliver: [{ fd: 3, as: memfd, secret: a }, { fd: 4, as: memfd, secret: b }]",
    );
    refused(hushpipe, 65)
        .stderr_has("store s, a: not found")
        .stderr_has("store s, b: not found");
}
