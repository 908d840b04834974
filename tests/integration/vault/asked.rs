//! What is asked of a launcher for secrets of a vault: other leases, the ones before, older versions.

use serde_json::{Value, json};

use super::{API, AT_ONCE, DB, READS, by_approle, file, manifest, start};
use crate::harness::{Bao, Postgres, Running};

/// The generation before is kept, and nothing is ever found to be unwell.
const KEEPS: &str = "on_rotate: { do: signal, signal: HUP, settle: 0s, rollback: true, \
                     verify: { alive: true, within: 100ms } }\n";

/// A server with a database engine whose leases live so long, and a launcher with one of them.
fn with_lease(secret: &str, ttl: &str, rest: &str) -> (Bao, Postgres, Running) {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, ttl, "2h");
    let (hushpipe, store) = by_approle(&bao);
    let text = manifest(&store, secret, rest);
    let running = start(hushpipe.controlled(), &text, &READS);
    (bao, postgres, running)
}

/// What is said to who asks, and with what exit code.
fn ask(running: &Running, words: &[&str]) -> (i32, String) {
    let output = running.ask(words);
    let said = [output.stdout, output.stderr].concat();
    let code = output.status.code().expect("it ends by itself");
    (code, String::from_utf8_lossy(&said).into_owned())
}

fn refused(running: &Running, words: &[&str], code: i32, why: &str) {
    let (exit, said) = ask(running, words);
    assert_eq!(exit, code, "{said}");
    assert!(said.contains(why), "{said}");
}

fn done(running: &Running, words: &[&str], what: &str) {
    let (exit, said) = ask(running, words);
    assert_eq!(exit, 0, "{said}");
    // What changed follows, where anything did.
    let (first, _) = said.split_once(": ").unwrap_or((said.trim_end(), ""));
    assert_eq!(first, what, "{said}");
}

/// The role that the program has.
fn only_role(postgres: &Postgres) -> String {
    let roles = postgres.leased_roles();
    assert_eq!(roles.len(), 1, "{roles:?}");
    roles[0].clone()
}

/// What owns something cannot be dropped.
fn gives_a_table(postgres: &Postgres, role: &str) {
    postgres.query(&format!(
        "CREATE TABLE t (); ALTER TABLE t OWNER TO \"{role}\""
    ));
}

#[test]
fn a_lease_that_the_engine_cannot_take_back_is_not_said_to_be_revoked() {
    let rest = file("{{ db.username }}") + AT_ONCE;
    let (bao, postgres, running) = with_lease(DB, "1h", &rest);
    let role = only_role(&postgres);
    gives_a_table(&postgres, &role);
    refused(&running, &["revoke", "db"], 65, "failed to revoke it (400)");
    assert_eq!(running.status()["generation"], 1);
    assert_eq!(bao.leases("database/creds/app").len(), 1);
    postgres.query("DROP TABLE t");
    done(&running, &["revoke", "db"], "generation 2 is in place");
    let new = running.wait_for_line("v-").trim().to_owned();
    assert_ne!(new, role);
    assert_eq!(postgres.leased_roles(), [new]);
    running.stop().success();
}

#[test]
fn what_could_be_revoked_is_replaced_also_where_an_older_lease_could_not() {
    let rest = file("{{ db.username }}") + AT_ONCE;
    let (_bao, postgres, running) = with_lease(DB, "1h", &rest);
    let first = only_role(&postgres);
    done(&running, &["rotate", "db"], "generation 2 is in place");
    let second = running.wait_for_line("v-").trim().to_owned();
    gives_a_table(&postgres, &first);
    refused(&running, &["revoke", "db"], 65, "failed to revoke it (400)");
    let third = running.wait_for_line("v-").trim().to_owned();
    let roles = postgres.leased_roles();
    assert!(
        roles.contains(&first) && roles.contains(&third),
        "{roles:?}"
    );
    assert!(!roles.contains(&second), "{roles:?}");
    running.stop().success();
}

#[test]
fn what_no_new_value_can_be_handed_over_for_is_neither_revoked_nor_rotated() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "1h", "2h");
    let (hushpipe, store) = by_approle(&bao);
    let rest = "deliver:\n  - { fd: 3, as: memfd, secret: db.username }\n";
    let text = manifest(&store, DB, rest);
    let running = start(hushpipe.controlled(), &text, &["serve"]);
    let role = only_role(&postgres);
    for words in [["revoke", "db"], ["rotate", "db"]] {
        refused(&running, &words, 64, "no new value of secret db can reach");
    }
    assert_eq!(only_role(&postgres), role);
    assert_eq!(bao.requests("database/creds/app"), 1);
    running.stop().success();
}

#[test]
fn what_is_never_looked_at_is_handed_over_when_it_is_asked_for() {
    let never = "  db: { store: bao, path: database/creds/app, refresh: never }\n";
    let rest = file("{{ db.username }}") + AT_ONCE;
    let (_bao, postgres, running) = with_lease(never, "1h", &rest);
    let first = only_role(&postgres);
    done(&running, &["rotate", "db"], "generation 2 is in place");
    let second = running.wait_for_line("v-").trim().to_owned();
    assert_ne!(first, second);
    done(&running, &["revoke", "db"], "generation 3 is in place");
    let third = running.wait_for_line("v-").trim().to_owned();
    assert_eq!(postgres.leased_roles(), [third]);
    done(&running, &["rotate"], "nothing has changed");
    running.stop().success();
}

#[test]
fn a_lease_that_is_handed_over_again_is_kept_alive() {
    let rest = file("{{ db.username }}") + KEEPS;
    let (_bao, postgres, running) = with_lease(DB, "12s", &rest);
    let first = only_role(&postgres);
    let version = running.status()["secrets"][0]["version"].clone();
    done(&running, &["rotate", "db"], "generation 2 is in place");
    let second = running.wait_for_line("v-").trim().to_owned();
    done(
        &running,
        &["rollback"],
        "rolled back, which is generation 3",
    );
    assert_eq!(running.wait_for_line("v-").trim(), first);
    let status = running.status();
    assert_eq!(status["secrets"][0]["version"], version, "{status}");
    // By then the time that it was given at first is over.
    for _ in 0..2 {
        running.wait_for_stderr("database/creds/app: the lease is good for 12s");
    }
    running.until("the other one is taken back", || {
        let roles = postgres.leased_roles();
        (!roles.contains(&second)).then_some(())
    });
    assert_eq!(postgres.leased_roles(), [first]);
    let status = running.status();
    assert_eq!(status["secrets"][0]["version"], version, "{status}");
    assert_eq!(status["healthy"], true, "{status}");
    running.stop().success();
}

#[test]
fn what_was_revoked_is_not_handed_over_again() {
    let rest = file("{{ db.username }}") + KEEPS;
    let (_bao, postgres, running) = with_lease(DB, "1h", &rest);
    done(&running, &["revoke", "db"], "generation 2 is in place");
    let second = running.wait_for_line("v-").trim().to_owned();
    refused(&running, &["rollback"], 65, "has ended, or was revoked");
    assert_eq!(postgres.leased_roles(), [second]);
    assert_eq!(running.status()["generation"], 2);
    // Of a lease there are no older versions.
    refused(&running, &["rollback", "db"], 64, "keeps no older versions");
    done(&running, &["rotate", "db"], "generation 3 is in place");
    running.stop().success();
}

/// The version that the program has of the one secret, and the one that it is held at.
fn versions(running: &Running) -> (Value, Value) {
    let secret = running.status()["secrets"][0].clone();
    (secret["version"].clone(), secret["pinned"].clone())
}

/// A launcher with version 2 of the KV secret `app`, which was version 1.
fn with_versions(rest: &str) -> (Bao, Running) {
    let bao = Bao::start();
    bao.kv_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    let text = manifest(&store, API, &(file("{{ api.key }}") + rest));
    let running = start(hushpipe.controlled(), &text, &READS);
    bao.kv_put("app", &json!({ "key": "two" }));
    running.wait_for_line("two");
    running.wait_for_stderr("generation 2 is in place");
    (bao, running)
}

#[test]
fn a_secret_is_held_at_an_older_version_until_there_is_a_newer_one() {
    let (bao, running) = with_versions(AT_ONCE);
    done(&running, &["rollback", "api"], "generation 3 is in place");
    running.wait_for_line("one");
    assert_eq!(versions(&running), (json!("v1"), json!("1")));
    // It is looked at, and stays.
    let looks = bao.requests("kv/metadata/app");
    running.until("it is looked at", || {
        (bao.requests("kv/metadata/app") > looks + 2).then_some(())
    });
    assert_eq!(versions(&running), (json!("v1"), json!("1")));
    bao.kv_put("app", &json!({ "key": "three" }));
    running.wait_for_line("three");
    running.wait_for_stderr("generation 4 is in place");
    assert_eq!(versions(&running), (json!("v3"), Value::Null));
    done(
        &running,
        &["rollback", "api", "--to", "1"],
        "generation 5 is in place",
    );
    running.wait_for_line("one");
    refused(&running, &["rollback", "api", "--to", "9"], 65, "not found");
    bao.delete("kv/data/app");
    assert_eq!(versions(&running), (json!("v1"), json!("1")));
    running
        .stop()
        .success()
        .stdout_is("ready\ntwo\none\nthree\none\n");
}

#[test]
fn a_version_that_was_destroyed_cannot_be_had_again() {
    let (bao, running) = with_versions(AT_ONCE);
    bao.post("kv/destroy/app", &json!({ "versions": [1] }));
    refused(
        &running,
        &["rollback", "api"],
        65,
        "version 1 was destroyed",
    );
    assert_eq!(versions(&running), (json!("v2"), Value::Null));
    bao.kv_put("app", &json!({ "key": "three" }));
    running.wait_for_line("three");
    running.stop().success();
}

#[test]
fn a_rollback_of_all_ends_what_one_secret_was_held_at() {
    let (bao, running) = with_versions(KEEPS);
    done(&running, &["rollback", "api"], "generation 3 is in place");
    running.wait_for_line("one");
    done(
        &running,
        &["rollback"],
        "rolled back, which is generation 4",
    );
    running.wait_for_line("two");
    assert_eq!(versions(&running), (json!("v2"), Value::Null));
    done(&running, &["rotate"], "nothing has changed");
    bao.kv_put("app", &json!({ "key": "three" }));
    running.wait_for_line("three");
    running.stop().success();
}
