//! PgBouncer, whose role in PostgreSQL is replaced many times while clients query through it.

use serde_json::json;

use super::{bring_login, read, rotations, with_example};
use crate::harness::ports::free_port;
use crate::harness::postgres::sql;
use crate::harness::server::Server;
use crate::harness::{Bao, Hushpipe, Place, Postgres, Running, wait_until};

const PASSWORD: &str = "the-applications-own-password";

/// pgbench, which queries without a pause. A client whose query fails says so and stops.
fn load(place: &Place, port: u16, name: &str, more: &[&str]) -> Server {
    let port = format!("--port={port}");
    let script = format!("--file={}", place.join("query.sql").display());
    let password = format!("PGPASSWORD={PASSWORD}");
    let mut words = vec!["env", &password, "pgbench", "--no-vacuum", "--progress=1"];
    words.extend([
        "--host=127.0.0.1",
        "--username=app",
        "--time=3600",
        &port,
        &script,
    ]);
    words.extend(more);
    words.push("app");
    Server::start(&words, &place.join(name), place.path())
}

fn start(bao: &Bao, postgres: &Postgres, port: u16) -> Running {
    bao.kv_put(
        "pgbouncer",
        &json!({ "host": "127.0.0.1", "port": postgres.port(), "password": PASSWORD }),
    );
    let hushpipe = Hushpipe::new().directory("sockets");
    let place = hushpipe.place();
    bao.application(place);
    bring_login(place, &bao.ca_file());
    let sockets = place.join("sockets").display().to_string();
    let ini = read("pgbouncer", "pgbouncer.ini")
        .replace("listen_port = 6432", &format!("listen_port = {port}"))
        .replace("/var/run/postgresql", &sockets);
    place.write("etc/pgbouncer.ini", ini);
    place.set_mode("etc/pgbouncer.ini", 0o644);
    let postgres_user = nix::unistd::User::from_name("postgres").unwrap().unwrap();
    std::os::unix::fs::chown(&sockets, Some(postgres_user.uid.as_raw()), None).unwrap();
    with_example(hushpipe, "pgbouncer", "settled")
        .env("VAULT_ADDR", bao.address())
        .env("PGBOUNCER_SOCKETS", sockets)
        .env("PGBOUNCER_PORT", port.to_string())
        .spawn()
}

#[test]
fn roles_come_and_go_and_no_query_fails() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "60s", "10m");
    postgres.query("CREATE TABLE numbers AS SELECT 1 AS number; GRANT SELECT ON numbers TO app");
    let port = free_port();
    let running = start(&bao, &postgres, port);
    let place = running.place();
    let ask = |query: &str| sql(port, "app", PASSWORD, "app", query).ok();
    let first = running.until("PgBouncer answers", || ask("SELECT current_user"));
    assert!(first.starts_with("v-"), "{first}");

    place.write("query.sql", "SELECT number FROM numbers;\n");
    let mut staying = load(place, port, "staying", &["--client=6", "--rate=200"]);
    let mut coming = load(
        place,
        port,
        "coming",
        &["--client=2", "--connect", "--rate=50"],
    );
    let works = |load: &Server| load.log().contains(" tps, ").then_some(());
    running.until("both query", || works(&staying).and(works(&coming)));
    for _ in 0..rotations() {
        let before = bao.leases("database/creds/app");
        running.rotate("role");
        // From now on nobody can use the old roles: also who is connected as one has its rights no more.
        for lease in before {
            bao.revoke_lease(&lease);
        }
    }
    assert_eq!(postgres.leased_roles().len(), 1);
    assert_eq!(running.status()["generation"], rotations() + 1);
    assert_ne!(ask("SELECT current_user"), Some(first));
    for load in [&mut staying, &mut coming] {
        let log = load.log();
        assert!(!load.has_ended(), "{log}");
        assert!(!log.contains("abort") && !log.contains("error"), "{log}");
        let failed = log.lines().filter(|line| !line.contains(", 0 failed"));
        assert!(
            failed.filter(|line| line.contains("failed")).count() == 0,
            "{log}"
        );
    }
    drop((staying, coming));

    running.stop().success();
    // The server ends the leases of a login that was revoked one after the other.
    let gone = wait_until(|| postgres.leased_roles().is_empty().then_some(()));
    assert!(gone.is_some(), "{:?}", postgres.leased_roles());
}
