//! The wall clock jumps, as it does when it is set, or when a machine wakes up.

use std::path::PathBuf;

use serde_json::json;

use super::{KV, PATIENCE, PROGRAM, goes_on, manifest};
use crate::harness::certificates::ALONE;
use crate::harness::{Bao, Hushpipe, Postgres, Running};

/// What gives a program another wall clock: an offset that stands in a file, read at every look.
/// The clocks that only go forward stay true. See faketime(1).
fn library() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib")
        .expect("it is there")
        .flatten();
    let found = found.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    found
        .into_iter()
        .find(|path| path.exists())
        .expect("faketime is installed")
}

fn start(bao: &Bao, secret: &str, content: &str) -> Running {
    let hushpipe = Hushpipe::new().file("offset", "+0\n");
    let store = bao.store_by_approle_at(hushpipe.place(), &bao.address(), PATIENCE);
    let preload = format!("LD_PRELOAD={}", library().display());
    let mut through = ALONE.to_vec();
    through.extend([
        "env",
        &preload,
        "FAKETIME_TIMESTAMP_FILE={place}/offset",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    ]);
    let running = hushpipe
        .manifest(&manifest(&store, secret, content))
        .through(&through)
        .args(["run", "--"])
        .args(PROGRAM)
        .spawn();
    running.wait_for_line("ready");
    running
}

/// From now on the wall clock is off by so much: `+1h`, `-1h`.
fn jump(running: &Running, offset: &str) {
    running.place().replace("offset", format!("{offset}\n"));
}

#[test]
fn looks_go_on_when_the_clock_is_set_forward_and_back() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "value": "zero" }));
    let running = start(&bao, KV, "{{ it.value }}");
    for (offset, value) in [("+1h", "one"), ("-1h", "two"), ("+0", "three")] {
        jump(&running, offset);
        bao.kv_put("app", &json!({ "value": value }));
        running.wait_for_line(value);
    }
    goes_on(&running, "three");
    assert_eq!(
        running
            .stderr()
            .lines()
            .filter(|line| line.contains("store"))
            .count(),
        0
    );
}

#[test]
fn leases_are_kept_alive_when_the_clock_is_set_forward_and_back() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "12s", "1h");
    let running = start(&bao, "path: database/creds/app", "{{ it.username }}");
    let role = postgres.leased_roles().pop().expect("it was made");
    for offset in ["+30m", "-30m"] {
        jump(&running, offset);
        let before = bao.requests("sys/leases/renew");
        running.until("the lease is renewed", || {
            (bao.requests("sys/leases/renew") > before).then_some(())
        });
    }
    assert_eq!(postgres.leased_roles(), [role.as_str()]);
    goes_on(&running, &role);
}

/// It is judged by the wall clock, so a clock that is wrong costs certificates, but not many.
#[test]
fn a_certificate_is_replaced_when_the_clock_is_set_past_its_time_and_not_again_and_again() {
    let bao = Bao::start();
    bao.pki("1h");
    bao.kv_put("app", &json!({ "value": "one" }));
    let secret = "path: pki/issue/web, parameters: { common_name: localhost } }\n  \
                  often: { store: bao, path: kv/data/app, refresh: 1s";
    let running = start(&bao, secret, "{{ it.serial_number }} {{ often.value }}");
    let issued = || bao.requests("pki/issue/web");
    assert_eq!(issued(), 1);
    jump(&running, "+50m");
    let serial = |line: String| line.split(' ').next().map(str::to_owned);
    let first = serial(running.wait_for_line(":"));
    // It has looked at its secrets since, so it knows that this one need not be replaced yet.
    bao.kv_put("app", &json!({ "value": "again" }));
    assert_eq!(serial(running.wait_for_line("again")), first);
    // The server's clock is right: the new one has ended for hushpipe when it comes.
    jump(&running, "+3h");
    let second = serial(running.wait_for_line(":"));
    assert_ne!(first, second);
    for value in ["two", "three"] {
        bao.kv_put("app", &json!({ "value": value }));
        running.wait_for_line(value);
    }
    // One for each time that the stores were asked, at most.
    assert!(issued() <= 6, "{} were issued", issued());
    jump(&running, "+0");
    bao.kv_put("app", &json!({ "value": "four" }));
    let last = running.wait_for_line("four");
    goes_on(&running, &last);
}
