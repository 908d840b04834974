//! Launchers of other users, and what looks like one.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::*;

/// A launcher of a user, in the user's directory in memory.
fn of_user(uid: u32, service: &str) -> Running {
    let manifest = MANIFEST.replace("service: payments", &format!("service: {service}"));
    let hushpipe = Hushpipe::new().user(uid).manifest(&manifest);
    let running = hushpipe.args(["-v", "run"]).spawn();
    running.wait_for_line("ready");
    running.wait_for_stderr("the control socket is /dev/shm/hushpipe-");
    running
}

#[test]
fn roots_commands_ask_the_launchers_of_root_alone() {
    let service = "payments-of-4717";
    let other = of_user(4717, service);
    let (place, pid) = (other.place(), other.pid().to_string());
    // Whoever goes by the service's name is no answer to root, though no other does.
    for words in [
        &["status", "--check", service][..],
        &["status", "--alive", "-t", service],
        &["rotate", "-t", service],
        &["rollback", "-t", service],
        &["revoke", "db", "-t", service],
    ] {
        beside(place, words).code(69).stdout_is("");
    }
    beside(place, &["status", "-t", &pid])
        .code(69)
        .stderr_has(&format!(
            "launcher {pid} belongs to uid 4717: add `--user 4717`"
        ));
    for words in [
        &["status", "--check", service, "--user", "4717"][..],
        &["status", "--check", "-t", &pid, "--user", "4717"],
        &["status", "--check", "--user", "4717"],
    ] {
        let healthy = format!("healthy: {service}, generation 1\n");
        beside(place, words).success().stdout_is(&healthy);
    }
    beside(place, &["rotate", "--user", "4717"])
        .success()
        .stdout_is("nothing has changed\n");
    // Root's own of the same name is found beside it.
    let manifest = MANIFEST.replace("service: payments", &format!("service: {service}"));
    let own = start_with(Hushpipe::new(), &manifest);
    let own_pid = own.pid().to_string();
    let found = json(&beside(own.place(), &["status", "--json", "-t", service]).success());
    assert_eq!(found["pid"].to_string(), own_pid);
    own.stop().success();
    other.stop().success();
}

#[test]
fn ps_of_root_shows_whose_each_launcher_is() {
    let other = of_user(4718, "payments");
    let row = row(other.place(), other.pid()).expect("it is listed");
    assert_eq!(row["uid"], 4718);
    assert_eq!(row["user"], Value::Null);
    let table = beside(other.place(), &["ps"]).success().stdout();
    let pid = other.pid().to_string();
    let mut lines = table.lines().map(str::split_whitespace);
    let line = lines.find_map(|mut words| (words.next() == Some(&pid)).then(|| words.next()));
    assert_eq!(line, Some(Some("4718")), "{table}");
    other.stop().success();
}

#[test]
fn only_root_asks_the_launchers_of_another_user() {
    let other = of_user(4719, "payments");
    as_user(other.place(), 4720, &["status", "--user", "4719"])
        .code(77)
        .stderr_has("only root can control");
    as_user(other.place(), 4720, &["status", "--user", "no-such-user"])
        .code(64)
        .stderr_has("no-such-user");
    as_user(
        other.place(),
        4719,
        &["status", "--check", "--user", "4719"],
    )
    .success();
    other.stop().success();
}

/// A user's directory for sockets; it goes with this.
struct Sockets(PathBuf);

impl Sockets {
    fn of(uid: u32) -> Self {
        let path = PathBuf::from(format!("/dev/shm/hushpipe-{uid}"));
        fs::create_dir(&path).expect("it is new");
        chown(&path, Some(uid), Some(uid)).expect("this is root");
        Self(path)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it is there");
    }
}

#[test]
fn what_listens_for_another_user_is_not_asked() {
    let sockets = Sockets::of(4721);
    let path = sockets.0.join("1234567.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let place = Place::new();
    for words in [
        &["status", "--check", "--user", "4721"][..],
        &["revoke", "db", "--user", "4721"],
        &["status", "--check", "--socket", path.to_str().unwrap()],
    ] {
        beside(&place, words)
            .code(77)
            .stderr_has("a process of uid 0 listens there, and the directory is that of uid 4721");
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = String::new();
        std::io::Read::read_to_string(&mut stream, &mut heard).unwrap();
        assert_eq!(heard, "");
    }
}

#[test]
fn a_user_with_too_many_sockets_costs_root_no_more_than_a_few() {
    let sockets = Sockets::of(4722);
    let at = |number: usize| sockets.0.join(format!("{number}.sock"));
    let _listeners: Vec<UnixListener> = (1_000_000..1_000_100)
        .map(|number| UnixListener::bind(at(number)).unwrap())
        .collect();
    // Those of dead launchers in directories of others are left to them.
    drop(UnixListener::bind(at(100)).unwrap());
    let own = start(Hushpipe::new());
    let listed = beside(own.place(), &["ps", "--json"])
        .success()
        .stderr_has("not all sockets of uid 4722 were asked");
    let listed = json(&listed);
    let rows = listed.as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["uid"] == 4722).count(), 63);
    assert!(rows.iter().any(|row| row["pid"] == own.pid()));
    assert!(at(100).exists());
    own.stop().success();
}
