//! Launchers with a lease from the real OpenBao.

use super::*;
use crate::harness::{Bao, Postgres};

const READS: &str = "deliver:\n  - { file: \"{place}/run/token\", content: \"{{ db.username }}\\n\" }\n\
     run: { command: [\"{probe}\", on, TERM, \"exit:0\", on, HUP, \"cat:{place}/run/token\", \
     serve] }\non_rotate: { do: signal, signal: HUP, settle: 0s }\n";

/// A server with a database engine, and a launcher that has a login of it, for an hour.
fn with_login() -> (Bao, Postgres, Running) {
    let (bao, postgres) = (Bao::settings().durable().start(), Postgres::start());
    bao.database(&postgres, "1h", "2h");
    let hushpipe = Hushpipe::new();
    let store = bao.store_by_approle(hushpipe.place());
    let manifest = format!(
        "version: 1\nservice: payments\nstores:\n  bao: {store}\nsecrets:\n\
         \x20 db: {{ store: bao, path: database/creds/app }}\n{READS}"
    );
    let running = start_with(hushpipe, &manifest);
    (bao, postgres, running)
}

#[test]
fn a_lease_is_shown_and_revoked_by_request() {
    let (bao, postgres, running) = with_login();
    let before = bao.leases("database/creds/app");
    let old = postgres.leased_roles();
    let left = status(&running)["secrets"][0]["lease_seconds"].clone();
    let left = left.as_u64().expect("there is a lease");
    assert!((3_500..=3_600).contains(&left), "{left}");
    ask(&running, "revoke", &["db"])
        .success()
        .stdout_has("generation 2 is in place: ")
        .stdout_has(" → ");
    let new = running.wait_for_line("v-").trim().to_owned();
    assert!(!old.contains(&new));
    // OpenBao may answer before it has revoked it.
    running.until("the old role is gone", || {
        (postgres.leased_roles() == [new.as_str()]).then_some(())
    });
    running.until("the old lease is gone", || {
        (!bao.leases("database/creds/app").contains(&before[0])).then_some(())
    });
    // A new lease by request, without revoking the old one first.
    ask(&running, "rotate", &["db"]).success();
    running.wait_for_line("v-");
    assert_eq!(status(&running)["generation"], 3);
    running.stop().success();
}

#[test]
fn the_status_is_told_while_the_server_is_frozen_and_while_it_is_gone() {
    let (mut bao, _postgres, running) = with_login();
    bao.freeze();
    ask(&running, "rotate", &["db", "--timeout", "500ms"]).code(75);
    assert_eq!(status(&running)["state"], "fetching");
    bao.thaw();
    running.wait_for_line("v-");
    bao.kill();
    // It is tried again before it is given up.
    ask(&running, "rotate", &["db", "--timeout", "500ms"]).code(75);
    assert_eq!(status(&running)["generation"], 2);
    bao.restart();
    ask(&running, "rotate", &["db"]).success();
    ask(&running, "status", &["--check"]).success();
    running.stop().success();
}
