//! A server that is not who it should be.

use super::Life;
use crate::harness::certificates::Authority;
use crate::harness::{Bao, Hushpipe};

/// A launch from this server; it fails with what is wrong about its certificate.
fn refused(bao: &Bao, text: &str) {
    bao.kv_put("app", &serde_json::json!({ "value": "one" }));
    let hushpipe = Hushpipe::new();
    let store = bao.store_by_approle_at(hushpipe.place(), &bao.address(), super::PATIENCE);
    hushpipe
        .manifest(&super::manifest(&store, super::KV, "{{ it.value }}"))
        .args(["run", "--", "{probe}", "say", "started"])
        .run()
        .code(69)
        .stdout_is("")
        .stderr_has(text);
    assert_eq!(bao.requests("auth/approle"), 0, "a login was sent to it");
}

#[test]
fn a_server_with_another_name_is_told_nothing() {
    refused(&Bao::settings().named("DNS:other.example").start(), "name");
}

#[test]
fn a_server_whose_authority_has_ended_is_told_nothing() {
    refused(&Bao::settings().expired().start(), "expired");
}

#[test]
fn a_server_of_an_unknown_authority_is_told_nothing() {
    let bao = Bao::start();
    let stranger = Authority::new(bao.directory(), "stranger");
    std::fs::copy(stranger.certificate(), bao.ca_file()).unwrap();
    refused(&bao, "certificate");
}

#[test]
fn a_server_that_comes_back_as_another_is_told_nothing() {
    let mut life = Life::start(Bao::settings().durable().start());
    life.takes_note();
    let file = life.bao.directory().join("server.pem");
    let key = life.bao.directory().join("server.key");
    let good = (std::fs::read(&file).unwrap(), std::fs::read(&key).unwrap());
    life.bao.kill();
    let other = Authority::new(life.bao.directory(), "stranger");
    let other = other.server("other", "DNS:localhost,IP:127.0.0.1");
    std::fs::copy(other.certificate, &file).unwrap();
    std::fs::copy(other.key, &key).unwrap();
    life.bao.restart();
    life.suffers("certificate");
    life.bao.kill();
    std::fs::write(file, good.0).unwrap();
    std::fs::write(key, good.1).unwrap();
    life.bao.restart();
    life.recovers();
}
