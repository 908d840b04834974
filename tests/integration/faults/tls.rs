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

/// The server ends and comes back with the certificate of another authority for these names.
fn comes_back_as_another(life: &mut Life, names: &str, trusted: bool, text: &str) {
    let at = |name: &str| life.bao.directory().join(name);
    let (file, key, ca) = (at("server.pem"), at("server.key"), life.bao.ca_file());
    let good = [&file, &key, &ca].map(|path| std::fs::read(path).unwrap());
    life.takes_note();
    life.bao.kill();
    let stranger = Authority::new(life.bao.directory(), "stranger");
    let other = stranger.server("other", names);
    std::fs::copy(other.certificate, &file).unwrap();
    std::fs::copy(other.key, &key).unwrap();
    if trusted {
        std::fs::copy(stranger.certificate(), &ca).unwrap();
    }
    life.bao.restart();
    life.suffers(text);
    life.bao.kill();
    for (path, content) in [file, key, ca].into_iter().zip(good) {
        std::fs::write(path, content).unwrap();
    }
    life.bao.restart();
    life.recovers();
}

#[test]
fn a_server_that_comes_back_as_another_is_told_nothing() {
    let mut life = Life::start(Bao::settings().durable().start());
    let names = "DNS:localhost,IP:127.0.0.1";
    comes_back_as_another(&mut life, names, false, "certificate");
}

#[test]
fn a_server_that_comes_back_with_another_name_is_told_nothing() {
    let mut life = Life::start(Bao::settings().durable().start());
    comes_back_as_another(&mut life, "DNS:other.example", true, "name");
}

#[test]
fn an_authority_that_ends_while_the_program_runs_is_believed_no_more() {
    let life = Life::start(Bao::start());
    life.takes_note();
    let good = std::fs::read(life.bao.ca_file()).unwrap();
    let ended = Authority::expired(life.bao.directory(), "ended");
    std::fs::copy(ended.certificate(), life.bao.ca_file()).unwrap();
    life.running.wait_for_stderr("expired");
    life.bears("expired");
    std::fs::write(life.bao.ca_file(), good).unwrap();
    life.recovers();
}
