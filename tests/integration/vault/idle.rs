//! While nothing is due, hushpipe holds no connection.

use std::fs;

use serde_json::json;

use super::{READS, by_approle, file_at_once, manifest, start};
use crate::harness::{Bao, Postgres, Running};

/// The sockets of hushpipe that are connected to a port of 127.0.0.1, by proc_pid_net(5).
fn connections(running: &Running, port: u16) -> usize {
    let process = format!("/proc/{}", running.pid());
    let fds = fs::read_dir(format!("{process}/fd")).expect("hushpipe runs");
    let targets = fds.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    let own: Vec<String> = targets.map(|path| path.display().to_string()).collect();
    let table = fs::read_to_string(format!("{process}/net/tcp")).expect("hushpipe runs");
    let remote = format!("0100007F:{port:04X}");
    let is_own = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode = format!("socket:[{}]", fields[9]);
        fields[2] == remote && own.contains(&inode)
    };
    table.lines().skip(1).filter(is_own).count()
}

fn comes_to_rest(running: &Running, bao: &Bao) {
    running.until("no connection is left", || {
        (connections(running, bao.port()) == 0).then_some(())
    });
}

#[test]
fn no_connection_is_left_after_a_launch_a_renewal_and_a_rotation() {
    let (bao, postgres) = (Bao::start(), Postgres::start());
    bao.database(&postgres, "12s", "1h");
    bao.kv_put("app", &json!({ "key": "one" }));
    let (hushpipe, store) = by_approle(&bao);
    let secrets = "  api: { store: bao, path: kv/data/app, refresh: 1h }\n  \
                   db: { store: bao, path: database/creds/app }\n";
    let rest = file_at_once("{{ api.key }} {{ db.username }}");
    let running = start(
        hushpipe.controlled(),
        &manifest(&store, secrets, &rest),
        &READS,
    );
    comes_to_rest(&running, &bao);
    running.wait_for_stderr("database/creds/app: the lease is good for 12s");
    comes_to_rest(&running, &bao);
    for value in ["two", "three"] {
        bao.kv_put("app", &json!({ "key": value }));
        running.rotate("api");
        running.wait_for_line(value);
        comes_to_rest(&running, &bao);
    }
    // While it asks, there is one: what is counted is what is meant.
    bao.freeze();
    running.ask(&["rotate", "api", "--timeout", "100ms"]);
    running.until("it asks", || {
        (connections(&running, bao.port()) > 0).then_some(())
    });
    bao.thaw();
    comes_to_rest(&running, &bao);
    running.stop().success();
}
