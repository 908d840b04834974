//! Logins and leases that end before their time.

use std::time::Instant;

use super::{Life, ONE_INTERVAL, goes_on, is_told, is_well};
use crate::harness::{Bao, Postgres, Wire};

/// The program's file holds a role of PostgreSQL that is leased for so long.
fn leased(bao: Bao, postgres: &Postgres, ttl: &str) -> (Life, String) {
    bao.database(postgres, ttl, "1h");
    let life = Life::with(bao, "path: database/creds/app", "{{ it.username }}");
    let role = postgres.leased_roles().pop().expect("it was made");
    life.has(&role);
    life.takes_note();
    (life, role)
}

#[test]
fn a_token_that_was_revoked_is_replaced_by_a_new_login() {
    let life = Life::start(Bao::start());
    let logins = life.bao.requests("auth/approle/login");
    life.bao.revoke_tokens();
    life.running.until("it logs in again", || {
        (life.bao.requests("auth/approle/login") > logins).then_some(())
    });
    life.bao
        .kv_put("app", &serde_json::json!({ "value": "two" }));
    life.running.wait_for_line("two");
    goes_on(&life.running, "two");
    life.is_silent();
}

#[test]
fn a_lease_that_was_revoked_is_replaced_when_its_renewal_fails() {
    let postgres = Postgres::start();
    let (life, first) = leased(Bao::start(), &postgres, "15s");
    life.bao.revoke_prefix("database/creds/app");
    assert_eq!(postgres.leased_roles(), [""; 0]);
    let second = life.running.wait_for_line("v-");
    assert_ne!(first, second);
    assert_eq!(postgres.leased_roles(), [second.as_str()]);
    goes_on(&life.running, &second);
    life.is_silent();
}

#[test]
fn leases_of_a_revoked_token_are_replaced() {
    let postgres = Postgres::start();
    let (life, first) = leased(Bao::start(), &postgres, "15s");
    life.bao.revoke_tokens();
    let second = life.running.wait_for_line("v-");
    assert_ne!(first, second);
    goes_on(&life.running, &second);
    life.is_silent();
}

#[test]
fn a_lease_is_renewed_after_an_outage_that_was_shorter_than_its_life() {
    let postgres = Postgres::start();
    let (life, role) = leased(Bao::start(), &postgres, "24s");
    // The first renewal, at 16 s, is met by it.
    life.proxy.set(Wire::Refuse);
    life.running.wait_for_stderr("refused");
    life.proxy.set(Wire::Good);
    life.running.until("the lease is renewed", || {
        (life.bao.requests("sys/leases/renew") == 1).then_some(())
    });
    life.running.wait_for_stderr("store bao answers again");
    assert_eq!(postgres.leased_roles(), [role.as_str()]);
    assert_eq!(life.bao.requests("database/creds/app"), 1);
    goes_on(&life.running, &role);
    is_well(&life.running);
    let said = life.running.stderr().split_off(life.said.get());
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_lease_that_ends_during_an_outage_is_replaced_after_it() {
    let postgres = Postgres::start();
    let (life, first) = leased(Bao::start(), &postgres, "12s");
    life.proxy.set(Wire::Refuse);
    life.running.wait_for_stderr("refused");
    goes_on(&life.running, &first);
    is_told(&life.running, "refused");
    // The server ends the lease meanwhile.
    life.running.until("the lease has ended", || {
        postgres.leased_roles().is_empty().then_some(())
    });
    life.running.until("another one was asked for in vain", || {
        (life.running.status()["state"] == "retrying").then_some(())
    });
    life.running
        .wait_for_stderr("secret it: what the program has of it has expired");
    goes_on(&life.running, &first);
    is_told(&life.running, "refused");
    let condition = life.running.status()["conditions"][0].clone();
    assert_eq!(condition["what"], "secret it");
    let since = condition["since"].as_str().unwrap();
    assert!(humantime::parse_rfc3339(since).is_ok(), "{since}");
    let check = life.running.ask(&["status", "--check"]);
    let check = String::from_utf8(check.stdout).unwrap();
    assert!(
        check.contains(&format!(
            "has expired, and store bao has not given another one (since {since})"
        )),
        "{check}"
    );
    // With the lease, its renewal ended, and not the outage.
    let said = life.running.stderr().split_off(life.said.get());
    assert_eq!(said.lines().count(), 2, "{said}");
    let since = Instant::now();
    life.proxy.set(Wire::Good);
    let second = life.running.wait_for_line("v-");
    assert!(since.elapsed() < ONE_INTERVAL, "{:?}", since.elapsed());
    assert_ne!(first, second);
    assert_eq!(postgres.leased_roles(), [second.as_str()]);
    life.running.wait_for_stderr("store bao answers again");
    goes_on(&life.running, &second);
    is_well(&life.running);
}
