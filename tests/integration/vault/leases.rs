//! Secrets that are made on demand: their leases, and what becomes of them.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{DB, READS, by_approle, file_at_once, manifest, start};
use crate::harness::{Bao, Hushpipe, Postgres, Running};

/// A server with a database engine whose leases live so long, and hushpipe that has one.
fn with_lease(secret: &str, ttl: &str, max_ttl: &str) -> (Bao, Postgres, Running) {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, ttl, max_ttl);
    let (hushpipe, store): (Hushpipe, String) = by_approle(&bao);
    let rest = file_at_once("{{ db.username }}");
    let running = start(hushpipe, &manifest(&store, secret, &rest), &READS);
    (bao, postgres, running)
}

/// When such a path was asked for, by the server's own clock.
fn asked_at(bao: &Bao, path: &str) -> Vec<SystemTime> {
    let entries = bao.audit().into_iter();
    let entries = entries.filter(|entry| entry["request"]["path"] == path);
    let time = |entry: Value| humantime::parse_rfc3339(entry["time"].as_str()?).ok();
    entries.filter_map(time).collect()
}

#[test]
fn a_lease_is_kept_alive() {
    let (bao, _postgres, running) = with_lease(DB, "12s", "1h");
    for _ in 0..2 {
        running.wait_for_stderr("database/creds/app: the lease is good for 12s");
    }
    assert_eq!(bao.requests("database/creds/app"), 1);
    // After two thirds, or up to a twentieth of that before, so that a fleet does not come at once.
    let given = asked_at(&bao, "database/creds/app");
    let renewed = asked_at(&bao, "sys/leases/renew");
    let waits = [given[0], renewed[0], renewed[1]];
    for pair in waits.windows(2) {
        let wait = pair[1].duration_since(pair[0]).unwrap();
        assert!(wait >= Duration::from_millis(7_500), "{wait:?}");
        assert!(wait < Duration::from_secs(12), "{wait:?}");
    }
    running.stop().success();
}

#[test]
fn a_lease_is_kept_alive_that_is_never_looked_at() {
    let secret = "  db: { store: bao, path: database/creds/app, refresh: never }\n";
    let (bao, _postgres, running) = with_lease(secret, "12s", "1h");
    for _ in 0..2 {
        running.wait_for_stderr("database/creds/app: the lease is good for 12s");
    }
    assert_eq!(bao.requests("database/creds/app"), 1);
    running.stop().success();
}

#[test]
fn a_lease_is_replaced_before_its_longest_time_is_over() {
    // Renewed at 10 s, for less than before; replaced at 18 s, and over at 22 s.
    let (bao, postgres, running) = with_lease(DB, "15s", "22s");
    let first = postgres.leased_roles().pop().expect("it was made");
    let second = running.wait_for_line("v-");
    // The program has the new one before the old one is gone.
    let alive = postgres.leased_roles();
    assert_ne!(first, second);
    assert!(alive.contains(&first), "{first}: {alive:?}");
    assert!(alive.contains(&second), "{second}: {alive:?}");
    running.stop().success();
    assert_eq!(bao.requests("database/creds/app"), 2);
    assert_eq!(bao.requests("sys/leases/renew"), 1);
}

#[test]
fn a_lease_that_is_revoked_behind_our_back_is_replaced() {
    let secret = "  db: { store: bao, path: database/creds/app, refresh: 1s }\n";
    let (bao, postgres, running) = with_lease(secret, "1h", "2h");
    for lease in bao.leases("database/creds/app") {
        bao.revoke_lease(&lease);
    }
    let role = running.wait_for_line("v-");
    assert!(postgres.leased_roles().contains(&role.trim().to_owned()));
    running.stop().success();
    assert_eq!(bao.requests("database/creds/app"), 2);
}

#[test]
fn a_lease_that_cannot_be_renewed_is_replaced() {
    let (bao, _postgres, running) = with_lease(DB, "4s", "1h");
    for lease in bao.leases("database/creds/app") {
        bao.revoke_lease(&lease);
    }
    // Nobody looks at it before it is renewed.
    running.wait_for_line("v-");
    running.stop().success();
}
