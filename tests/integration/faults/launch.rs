//! The server is not there when the program is to be started.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{KV, PATIENCE, manifest};
use crate::harness::{Bao, Fake, FakeAnswers, FaultProxy, Hushpipe, Output, Wire};

/// A launch from an address; nothing of the program is seen.
fn launch(bao: &Bao, address: &str) -> Output {
    let since = Instant::now();
    let output = start(bao, address, PATIENCE).run().stdout_is("");
    assert!(
        since.elapsed() < Duration::from_secs(15),
        "the deadline is two seconds, and not a minute"
    );
    output
}

fn start(bao: &Bao, address: &str, more: &str) -> Hushpipe {
    bao.kv_put("app", &serde_json::json!({ "value": "hunter2" }));
    let hushpipe = Hushpipe::new();
    let store = bao.store_by_approle_at(hushpipe.place(), address, more);
    hushpipe
        .manifest(&manifest(&store, KV, "{{ it.value }}"))
        .args(["run", "--", "{probe}", "say", "started"])
}

#[test]
fn a_server_that_is_down_ends_the_launch_after_the_deadline() {
    let bao = Bao::start();
    let proxy = FaultProxy::start(bao.port());
    proxy.set(Wire::Refuse);
    launch(&bao, &proxy.address())
        .code(69)
        .stderr_has(&proxy.address())
        .stderr_has("refused");
}

#[test]
fn a_server_that_is_silent_ends_the_launch_after_the_deadline() {
    let bao = Bao::start();
    let proxy = FaultProxy::start(bao.port());
    proxy.set(Wire::BlackHole);
    launch(&bao, &proxy.address())
        .code(75)
        .stderr_has("store bao")
        .stderr_has("no answer within 2s");
}

#[test]
fn a_server_that_is_busy_ends_the_launch_after_the_deadline() {
    let bao = Bao::start();
    let fake = FakeAnswers::before(bao.plain_port());
    fake.answer("/v1/kv/", Fake::status(429, "hunter2"));
    launch(&bao, &fake.address())
        .code(69)
        .stderr_has("429")
        .says_nothing_of("hunter2");
}

#[test]
fn a_sealed_server_ends_the_launch_after_the_deadline() {
    let bao = Bao::settings().manual().start();
    let hushpipe = start(&bao, &bao.address(), PATIENCE);
    bao.seal();
    hushpipe.run().code(69).stdout_is("").stderr_has("sealed");
}

#[test]
fn a_server_that_comes_up_within_the_deadline_is_waited_for() {
    let bao = Bao::start();
    let proxy = FaultProxy::start(bao.port());
    proxy.set(Wire::Refuse);
    let running = start(&bao, &proxy.address(), ", retry: { deadline: 60s }").spawn();
    // It has asked in vain by then.
    running.wait_for_stderr("refused");
    proxy.set(Wire::Good);
    running.wait_for_line("started");
    running.wait().success();
}

#[test]
fn a_term_signal_ends_a_launch_that_waits_for_the_server() {
    let bao = Bao::start();
    let proxy = FaultProxy::start(bao.port());
    proxy.set(Wire::BlackHole);
    let running = start(&bao, &proxy.address(), "").spawn();
    running.until("it connects", || (proxy.connections() > 0).then_some(()));
    let since = Instant::now();
    running.signal(Signal::SIGTERM);
    running.wait().code(143).stdout_is("");
    // The store's deadline is a minute.
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
}
