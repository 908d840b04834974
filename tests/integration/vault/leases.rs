//! Secrets that are made on demand: their leases, and what becomes of them.

use super::{AT_ONCE, READS, file, manifest, plain, start};
use crate::harness::{Bao, Hushpipe, Postgres};

#[test]
fn a_lease_is_kept_alive_and_revoked_at_the_end() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "3s", "1h");
    let hushpipe = Hushpipe::new();
    let store = plain(&bao, &hushpipe);
    let secrets = "  db: { store: bao, path: database/creds/app }\n";
    let rest = file("{{ db.username }}") + AT_ONCE;
    let running = start(hushpipe, &manifest(&store, secrets, &rest), &READS);
    assert_eq!(bao.leases("database/creds/app").len(), 1);
    running.wait_for_stderr("the lease is good for");
    running.wait_for_stderr("the lease is good for");
    assert_eq!(bao.requests("database/creds/app"), 1);
    running.stop().success().stderr_has("revoked");
    assert_eq!(bao.leases("database/creds/app"), Vec::<String>::new());
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
