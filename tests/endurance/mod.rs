//! Thousands of rotations: the program gets each generation once and in order, and hushpipe is no
//! larger at the end than it was soon after its start. `HUSHPIPE_ENDURANCE=1` makes it thousands;
//! without it, there are few.

mod figures;

use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{Bao, Hushpipe, Running};
use figures::Figures;

/// After so many, everything that is made once has been made; then there is a look each time.
const SETTLED: usize = 100;
/// The same, where there are few in all.
const SETTLED_OF_FEW: usize = 10;

fn rotations(few: usize, many: usize) -> usize {
    if std::env::var_os("HUSHPIPE_ENDURANCE").is_some() {
        many
    } else {
        few
    }
}

/// `value` in a file, which the program writes to standard output when it is told of a new one.
fn start(hushpipe: Hushpipe, stores_and_secrets: &str, reference: &str) -> Running {
    let running = hushpipe
        .manifest(&format!(
            "version: 1\nservice: t\n{stores_and_secrets}\
             deliver:\n  - {{ file: \"{{place}}/run/value\", content: \"{{{{ {reference} }}}}\\n\" }}\n\
             \x20 - {{ fifo: \"{{place}}/run/fifo\", secret: {reference} }}\n\
             isolation: private\n\
             run: {{ signals: {{ rewrite: {{ USR1: rotate }} }} }}\n\
             on_rotate: {{ do: signal, signal: HUP, settle: 0s }}\n"
        ))
        .args(["run", "--", "{probe}"])
        .args(["on", "TERM", "exit:0", "on", "HUP", "cat:{place}/run/value"])
        .arg("serve")
        .spawn();
    running.wait_for_line("ready");
    running
}

/// Changes the value again and again, each time as soon as the program has the one before; it sees
/// every one, once and in order.
fn endures(running: Running, rotations: usize, change: impl Fn(&Running, &str)) {
    let every = if rotations > SETTLED {
        SETTLED
    } else {
        SETTLED_OF_FEW
    };
    let mut figures = Figures::default();
    let mut seen = "ready\n".to_owned();
    let started = Instant::now();
    for number in 1..=rotations {
        let value = format!("value-{number:06}");
        change(&running, &value);
        running.wait_for_line(&value);
        seen = seen + &value + "\n";
        if number % every == 0 {
            figures.take(&running);
        }
    }
    println!(
        "{rotations} rotations in {:.0?}: {}",
        started.elapsed(),
        figures.summary()
    );
    figures.assert_flat();
    running.stop().success().stdout_is(&seen);
}

#[test]
fn a_directory_is_followed_through_thousands_of_rotations() {
    let store = "stores:\n  dir: { type: directory, path: \"{place}/secrets\" }\n\
                 secrets:\n  token: { store: dir, key: token }\n";
    let hushpipe = Hushpipe::new().file("secrets/token", "value-000000");
    let running = start(hushpipe, store, "token");
    endures(running, rotations(200, 10_000), |running, value| {
        running.place().replace("secrets/token", value);
    });
}

#[test]
fn openbao_is_followed_through_thousands_of_rotations() {
    let bao = Bao::start();
    let put = |value: &str| bao.kv_put("app", &json!({ "key": value }));
    put("value-000000");
    let hushpipe = Hushpipe::new();
    let store = bao.store_by_approle(hushpipe.place());
    let store = format!(
        "stores:\n  bao: {store}\n\
         secrets:\n  app: {{ store: bao, path: kv/data/app, refresh: 1h }}\n"
    );
    let running = start(hushpipe, &store, "app.key");
    endures(running, rotations(30, 2_000), |running, value| {
        put(value);
        running.signal(Signal::SIGUSR1);
    });
}
