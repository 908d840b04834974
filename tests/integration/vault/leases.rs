//! Secrets that are made on demand: their leases, and what becomes of them.

use super::{AT_ONCE, READS, file, manifest, plain, start};
use crate::harness::{Bao, Hushpipe, Postgres, wait_until};

/// OpenBao takes leases back one after the other.
fn until_no_lease(bao: &Bao) {
    let gone = wait_until(|| bao.leases("database/creds/app").is_empty().then_some(()));
    assert!(gone.is_some(), "{:?}", bao.leases("database/creds/app"));
}

#[test]
fn a_lease_is_kept_alive() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "3s", "1h");
    let hushpipe = Hushpipe::new();
    let store = plain(&bao, &hushpipe);
    let secrets = "  db: { store: bao, path: database/creds/app }\n";
    let rest = file("{{ db.username }}") + AT_ONCE;
    let running = start(hushpipe, &manifest(&store, secrets, &rest), &READS);
    for _ in 0..3 {
        running.wait_for_stderr("database/creds/app: the lease is good for 3s");
    }
    assert_eq!(bao.requests("database/creds/app"), 1);
    running.stop().success();
}

#[test]
fn leases_and_the_login_are_revoked_at_the_end() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "1h", "2h");
    let hushpipe = Hushpipe::new();
    let store = plain(&bao, &hushpipe);
    let secrets = "  db: { store: bao, path: database/creds/app }\n";
    let rest = file("{{ db.username }}") + AT_ONCE;
    let running = start(hushpipe, &manifest(&store, secrets, &rest), &READS);
    assert_eq!(bao.leases("database/creds/app").len(), 1);
    let said = "store bao: revoked 1 lease and the login";
    running.stop().success().stderr_has(said);
    assert!(bao.tokens().is_empty());
    until_no_lease(&bao);
}

#[test]
fn a_lease_is_replaced_before_its_longest_time_is_over() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "2s", "4s");
    let hushpipe = Hushpipe::new();
    let store = plain(&bao, &hushpipe);
    let secrets = "  db: { store: bao, path: database/creds/app }\n";
    let rest = file("{{ db.username }}") + AT_ONCE;
    let running = start(hushpipe, &manifest(&store, secrets, &rest), &READS);
    let first = running.wait_for_line("v-");
    let second = running.wait_for_line("v-");
    assert_ne!(first, second);
    running.stop().success();
}
