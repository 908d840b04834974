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
fn a_server_that_speaks_old_versions_of_tls_alone_is_told_nothing() {
    let bao = Bao::settings().tls("tls10", "tls11").start();
    refused(&bao, "it speaks neither TLS 1.2 nor 1.3");
}

#[test]
fn a_server_that_speaks_tls_1_2_alone_is_asked() {
    let bao = Bao::settings().tls("tls12", "tls12").start();
    let life = Life::start(bao);
    life.bao
        .kv_put("app", &serde_json::json!({ "value": "two" }));
    life.running.wait_for_line("two");
}

#[test]
fn a_server_of_an_unknown_authority_is_told_nothing() {
    let bao = Bao::start();
    let stranger = Authority::new(bao.directory(), "stranger");
    std::fs::copy(stranger.certificate(), bao.ca_file()).unwrap();
    refused(&bao, "certificate");
}

/// Another server is where the first was, with a certificate for these names; then the first again.
fn is_replaced_by_another(names: &str, trusted: bool, text: &str) {
    let life = Life::start(Bao::start());
    let other = Bao::settings().named(names).start();
    let good = std::fs::read(life.bao.ca_file()).unwrap();
    if trusted {
        let both = [good.clone(), std::fs::read(other.ca_file()).unwrap()].concat();
        life.running.place().replace("both.pem", both);
        std::fs::rename(life.running.place().join("both.pem"), life.bao.ca_file()).unwrap();
    }
    life.takes_note();
    life.proxy.lead_to(other.port());
    life.suffers(text);
    let told = ["auth/", "kv/"].map(|prefix| other.requests(prefix));
    assert_eq!(told, [0, 0], "{:?}", other.audited_paths());
    life.proxy.lead_to(life.bao.port());
    life.recovers();
}

#[test]
fn a_server_that_comes_back_as_another_is_told_nothing() {
    is_replaced_by_another("DNS:localhost,IP:127.0.0.1", false, "certificate");
}

#[test]
fn a_server_that_comes_back_with_another_name_is_told_nothing() {
    is_replaced_by_another("DNS:other.example", true, "name");
}

#[test]
fn an_authority_that_ends_while_the_program_runs_is_believed_no_more() {
    let life = Life::start(Bao::start());
    life.takes_note();
    let good = std::fs::read(life.bao.ca_file()).unwrap();
    let ended = Authority::expired(life.bao.directory(), "ended");
    std::fs::copy(ended.certificate(), life.bao.ca_file()).unwrap();
    // It asks nobody while it has no authority to judge them by.
    life.suffers_unseen("expired");
    std::fs::write(life.bao.ca_file(), good).unwrap();
    life.recovers();
}
