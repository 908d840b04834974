//! What is asked, and the answers.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::signal::Signal;

use super::*;

#[test]
fn a_launcher_is_listed_and_told_of() {
    let running = start(Hushpipe::new());
    let (place, pid) = (running.place(), running.pid());
    let row = row(place, pid).expect("it is listed");
    assert_eq!(row["service"], "payments");
    assert_eq!(row["program_pid"], running.program());
    assert_eq!(row["generation"], 1);
    assert_eq!(row["state"], "steady");
    assert_eq!(row["healthy"], true);
    assert_eq!(row["uid"], 0);
    assert_eq!(row["socket"], socket(&running).display().to_string());
    let mut keys: Vec<&String> = row.as_object().unwrap().keys().collect();
    keys.sort();
    let expected =
        "error generation healthy pid program program_pid service socket started state uid user";
    assert_eq!(keys, expected.split(' ').collect::<Vec<_>>());
    let table = beside(place, &["ps"]).success().stdout();
    let own = table
        .lines()
        .find(|line| line.starts_with(&format!("{pid} ")));
    let own: Vec<&str> = own
        .expect("it is in the table")
        .split_whitespace()
        .collect();
    let program = running.program().to_string();
    assert_eq!(
        own[1..7],
        ["root", &program, "payments", "1", "steady", "ok"]
    );
    assert!(table.starts_with("PID "), "{table}");
    let page = beside(place, &["status", &pid.to_string()]).success();
    page.stdout_has("payments  healthy\n")
        .stdout_has(&format!("process {program}\n"));
    running.stop().success();
}

#[test]
fn a_status_has_the_same_keys_always() {
    let running = start(Hushpipe::new());
    let pid = running.pid().to_string();
    let status = json(&beside(running.place(), &["status", &pid, "--json"]).success());
    let keys: Vec<&String> = status.as_object().unwrap().keys().collect();
    let expected = "conditions control_groups counts generation healthy last_fault last_rotation manifest next \
                    outages pid program program_pid protections restarts restarts_left secrets service started state version";
    let mut keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let manifest = running.place().join("hushpipe.yaml");
    assert_eq!(status["manifest"], manifest.display().to_string());
}

#[test]
fn a_launcher_is_found_by_what_names_it() {
    let running = start(Hushpipe::new());
    let place = running.place();
    let socket = socket(&running).display().to_string();
    let (pid, program) = (running.pid().to_string(), running.program().to_string());
    for words in [
        &["status", "--check", &pid][..],
        &["status", "--check", &program],
        &["status", "--check", "--socket", &socket],
    ] {
        beside(place, words)
            .success()
            .stdout_is("healthy: payments, generation 1\n");
    }
    // Higher than process ids can be: those of other tests' namespaces have low ones twice.
    let none = beside(place, &["status", "4194305"]).code(69);
    none.stderr_has("no launcher \"4194305\"").stderr_has(&pid);
    beside(place, &["status", "--socket", "/nowhere/x.sock"])
        .code(69)
        .stderr_is("hushpipe: error: /nowhere/x.sock: no launcher listens there\n");
}

#[test]
fn what_is_no_request_is_refused() {
    let running = start(Hushpipe::new());
    for line in ["{}\n", "\n", "\0\n", "status\n", "[[[[\n"] {
        let mut stream = UnixStream::connect(socket(&running)).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(
            reply.starts_with("{\"reply\":\"refused\",\"exit\":64,"),
            "{reply}"
        );
        assert!(reply.ends_with("}\n"), "{reply}");
    }
    running.stop().success();
}

#[test]
fn many_connections_keep_nobody_out() {
    let running = start(Hushpipe::new());
    let socket = socket(&running);
    let flood: Vec<UnixStream> = (0..100)
        .map(|_| {
            running.until("it takes a connection", || {
                UnixStream::connect(&socket).ok()
            })
        })
        .collect();
    let pid = running.pid().to_string();
    beside(running.place(), &["status", "--check", &pid]).success();
    drop(flood);
    running.stop().success();
}

#[test]
fn a_stopped_launcher_makes_nobody_wait_for_ever() {
    let running = start(Hushpipe::new());
    let (place, pid) = (running.place(), running.pid());
    running.signal(Signal::SIGSTOP);
    let words = ["status", &pid.to_string(), "--timeout", "200ms"];
    beside(place, &words)
        .code(75)
        .stderr_has("no answer within 200ms");
    let listed = json(&beside(place, &["ps", "--json", "--timeout", "200ms"]).success());
    let rows = listed.as_array().unwrap();
    let own = rows.iter().find(|row| row["pid"] == pid).unwrap();
    assert_eq!(own["state"], "no answer");
    assert_eq!(own["healthy"], false);
    running.signal(Signal::SIGCONT);
    beside(place, &["status", &pid.to_string(), "--check"]).success();
    running.stop().success();
}

#[test]
fn the_status_is_told_while_the_program_is_being_stopped() {
    let manifest = "version: 1\nservice: payments\nrun: { command: [\"{probe}\", on, USR1, \
         \"exit:0\", serve], stop: { signal: TERM, timeout: 60s } }\n";
    let hushpipe = Hushpipe::new().directory("runtime").manifest(manifest);
    let running = hushpipe
        .env("XDG_RUNTIME_DIR", RUNTIME)
        .args(["-v", "run"])
        .spawn();
    running.wait_for_line("ready");
    running.wait_for_stderr("the control socket is ");
    running.signal(Signal::SIGTERM);
    running.wait_for_line("got TERM");
    let status = json(&beside(
        running.place(),
        &["status", &running.pid().to_string(), "--json"],
    ));
    assert_eq!(status["state"], "stopping");
    running.signal_to(running.program(), Signal::SIGUSR1);
    running.wait().success();
}

#[test]
fn another_user_is_refused_and_root_is_not() {
    let running = start(Hushpipe::new().user(4711));
    let pid = running.pid().to_string();
    let socket = socket(&running);
    beside(
        running.place(),
        &["status", "--check", "--socket", socket.to_str().unwrap()],
    )
    .success();
    as_user(running.place(), 4711, &["status", "--check"]).success();
    let other = as_user(running.place(), 4712, &["status", &pid]);
    other
        .code(77)
        .stderr_has(&format!("launcher {pid} belongs to uid 4711"));
    let path = socket.to_str().unwrap();
    as_user(running.place(), 4712, &["status", "--socket", path])
        .code(77)
        .stderr_has("it belongs to another user");
    // Whoever opens the directory to others does not let them ask.
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    open(&socket, 0o666).unwrap();
    open(socket.parent().unwrap(), 0o755).unwrap();
    as_user(running.place(), 4712, &["status", "--socket", path])
        .code(77)
        .stderr_is(
            "hushpipe: error: this launcher is that of uid 4711: only it and root may ask, and \
             you are uid 4712\n",
        );
    running.stop().success();
}
