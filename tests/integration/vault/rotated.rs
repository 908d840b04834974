//! What becomes of leases when generations come, fail and are asked for by hand.

use std::time::Duration;

use serde_json::json;

use super::{API, DB, READS, by_approle, file, file_at_once, manifest, start};
use crate::harness::{Bao, FaultProxy, Hushpipe, Output, Postgres, Running, Wire};

/// A server with a database engine whose leases live for an hour.
fn with_database() -> (Bao, Postgres) {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "1h", "2h");
    (bao, postgres)
}

/// `hushpipe COMMAND` about a running one.
fn ask(running: &Running, command: &str, name: &str) -> Output {
    asking(running, command, name).wait()
}

fn asking(running: &Running, command: &str, name: &str) -> Running {
    running.wait_for_stderr("the control socket is ");
    let target = running.pid().to_string();
    Hushpipe::new()
        .args([command, "--target", &target, name])
        .spawn()
}

fn until_roles(running: &Running, postgres: &Postgres, count: usize) {
    running.until("so many roles are left", || {
        (postgres.leased_roles().len() == count).then_some(())
    });
}

#[test]
fn a_rotation_by_hand_gets_another_lease_and_the_old_one_stays_until_the_end() {
    let (bao, postgres) = with_database();
    let (hushpipe, store) = by_approle(&bao);
    let rest = file_at_once("{{ db.username }}");
    let running = start(hushpipe, &manifest(&store, DB, &rest), &READS);
    let first = postgres.leased_roles();
    ask(&running, "rotate", "db").success();
    let second = running.wait_for_line("v-").trim().to_owned();
    assert!(!first.contains(&second));
    // Sessions of the program may still be of the first.
    assert_eq!(postgres.leased_roles().len(), 2);
    running
        .stop()
        .success()
        .stderr_has("revoked 2 leases and the login");
}

#[test]
fn a_lease_is_revoked_by_hand_and_replaced_at_once() {
    let (bao, postgres) = with_database();
    let (hushpipe, store) = by_approle(&bao);
    let rest = file_at_once("{{ db.username }}");
    let running = start(hushpipe, &manifest(&store, DB, &rest), &READS);
    let first = postgres.leased_roles();
    ask(&running, "revoke", "db").success();
    let second = running.wait_for_line("v-").trim().to_owned();
    assert!(!first.contains(&second));
    until_roles(&running, &postgres, 1);
    assert_eq!(postgres.leased_roles(), [second]);
    running.stop().success();
}

#[test]
fn what_cannot_be_revoked_says_so() {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    ask(&running, "revoke", "api")
        .code(77)
        .stderr_has("it has no lease to revoke");
    running.stop().success();
}

#[test]
fn a_certificate_is_revoked_by_its_serial_number() {
    let bao = Bao::start();
    bao.pki("1h");
    let (hushpipe, store) = by_approle(&bao);
    let more = "path \"pki/revoke\" { capabilities = [\"update\"] }";
    let policy = format!("{}\n{more}", crate::harness::bao::auth::APPLICATION);
    bao.policy("app", &policy);
    let secret = "  tls: { store: bao, path: pki/issue/web, \
                  parameters: { common_name: localhost } }\n";
    let rest = file_at_once("{{ tls.serial_number }}");
    let running = start(hushpipe, &manifest(&store, secret, &rest), &READS);
    ask(&running, "revoke", "tls").success();
    running.wait_for_line(":");
    let revoked = bao.list("pki/certs/revoked");
    assert_eq!(revoked["data"]["keys"].as_array().unwrap().len(), 1);
    running.stop().success();
}

#[test]
fn a_lease_that_the_program_is_not_well_with_is_given_back_and_the_old_one_lives_on() {
    let (bao, postgres) = with_database();
    let (hushpipe, store) = by_approle(&bao);
    let rest = file("{{ db.username }}")
        + "on_rotate: { do: signal, signal: HUP, settle: 0s, rollback: true, \
           verify: { command: [test, \"!\", -e, \"{place}/sick\"], within: 2s } }\n";
    let running = start(hushpipe, &manifest(&store, DB, &rest), &READS);
    let first = postgres.leased_roles();
    running.place().write("sick", "");
    let asking = asking(&running, "rotate", "db");
    let second = running.wait_for_line("v-").trim().to_owned();
    let third = running.wait_for_line("v-").trim().to_owned();
    assert!(second != third && first == [third]);
    std::fs::remove_file(running.place().join("sick")).unwrap();
    assert!(!asking.wait().status.success());
    running.until("what it was not well with is given back", || {
        (!postgres.leased_roles().contains(&second)).then_some(())
    });
    assert!(postgres.leased_roles().contains(&first[0]));
    // Another one is tried by itself, after ten seconds at most.
    let other = running.wait_for_line("v-").trim().to_owned();
    assert!(other != second && !first.contains(&other));
    running.wait_for_stderr("verification succeeded");
    assert!(postgres.leased_roles().contains(&other));
    running.stop().success();
}

#[test]
fn a_lease_is_kept_alive_where_no_other_could_reach_the_program() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "12s", "1h");
    let (hushpipe, store) = by_approle(&bao);
    let fd = "deliver:\n  - { fd: 3, as: memfd, secret: db.username }\n";
    let running = start(hushpipe, &manifest(&store, DB, fd), &["serve"]);
    for _ in 0..2 {
        running.wait_for_stderr("database/creds/app: the lease is good for 12s");
    }
    assert_eq!(bao.requests("database/creds/app"), 1);
    running.stop().success();
}

#[test]
fn the_end_of_a_lease_that_is_not_replaced_is_said_before() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "3s", "5s");
    let (hushpipe, store) = by_approle(&bao);
    let fd = "deliver:\n  - { fd: 3, as: memfd, secret: db.username }\n";
    let running = start(hushpipe, &manifest(&store, DB, fd), &["serve"]);
    running.wait_for_stderr("database/creds/app: the program's value expires soon");
    let output = running.stop().success();
    assert_eq!(bao.requests("database/creds/app"), 1);
    assert_eq!(output.stderr().matches("expires soon").count(), 1);
}

#[test]
fn an_outage_is_told_once_and_so_is_its_end_and_nothing_is_lost() {
    const DEADLINE: Duration = Duration::from_secs(2);
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let proxy = FaultProxy::start(bao.port());
    let hushpipe = Hushpipe::new();
    let more = ", retry: { deadline: 2s }";
    let store = bao.store_by_approle_at(hushpipe.place(), &proxy.address(), more);
    let rest = file_at_once("{{ api.key }}");
    let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
    proxy.set(Wire::CutAfter(0));
    running.wait_for_stderr("no answer from");
    bao.kv_put("app", &json!({ "key": "two" }));
    let before = proxy.tries(DEADLINE);
    running.until("it was tried several times", || {
        (proxy.tries(DEADLINE) >= before + 3).then_some(())
    });
    proxy.set(Wire::Good);
    running.wait_for_line("two");
    running.wait_for_stderr("store bao answers again");
    let output = running.stop().success();
    assert_eq!(
        output.stderr().matches("no answer").count(),
        1,
        "{}",
        output.stderr()
    );
}

#[test]
fn a_secret_id_that_was_removed_or_wrapped_is_good_for_the_next_login() {
    for wrapped in [false, true] {
        let bao = Bao::start();
        bao.kv_put("app", &json!({ "key": "one" }));
        let hushpipe = Hushpipe::new();
        bao.application(hushpipe.place());
        let auth = if wrapped {
            bao.new_wrapped_secret_id(hushpipe.place());
            "{ method: approle, role_id_file: \"{place}/role_id\", \
             secret_id_file: \"{place}/secret_id\", wrapped: true }"
        } else {
            "{ method: approle, role_id_file: \"{place}/role_id\", \
             secret_id_file: \"{place}/secret_id\", remove_secret_id_file: true }"
        };
        let store = bao.store(&hushpipe.place().fill(auth));
        let rest = file_at_once("{{ api.key }}");
        let running = start(hushpipe, &manifest(&store, API, &rest), &READS);
        bao.revoke_tokens();
        bao.kv_put("app", &json!({ "key": "two" }));
        running.wait_for_line("two");
        running.stop().success();
        assert_eq!(bao.requests("auth/approle/login"), 2);
    }
}
