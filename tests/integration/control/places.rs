//! Where sockets are, and when.

use nix::sys::signal::Signal;

use super::*;

#[test]
fn a_socket_is_gone_at_the_end() {
    let running = start(Hushpipe::new());
    let socket = socket(&running);
    assert!(socket.starts_with(running.place().join("runtime/hushpipe")));
    assert!(socket.exists());
    let output = running.stop().success();
    assert!(!socket.exists());
    assert_eq!(output.place().entries(), ["hushpipe.yaml", "runtime"]);
}

#[test]
fn what_a_killed_launcher_left_is_swept_by_ps_and_by_the_next_one() {
    let running = start(Hushpipe::new());
    let old = socket(&running);
    running.signal(Signal::SIGKILL);
    let output = running.wait().killed_by(Signal::SIGKILL);
    assert!(old.exists());
    let next = start(output.again());
    assert!(!old.exists());
    let old = socket(&next);
    next.signal(Signal::SIGKILL);
    let output = next.wait().killed_by(Signal::SIGKILL);
    assert!(old.exists());
    beside(output.place(), &["ps"]).success();
    assert!(!old.exists());
}

#[test]
fn a_user_sees_the_own_launchers_alone() {
    let one = start(Hushpipe::new().user(4713));
    let two = start(Hushpipe::new().user(4714));
    let listed = json(&as_user(one.place(), 4713, &["ps", "--json"]).success());
    let pids: Vec<i64> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["pid"].as_i64().unwrap())
        .collect();
    assert_eq!(pids, [i64::from(one.pid())]);
    assert!(socket(&two).exists());
}

#[test]
fn which_of_two_is_meant_must_be_said() {
    // No XDG_RUNTIME_DIR: both are in the user's directory in memory.
    let launch = || {
        let hushpipe = Hushpipe::new().user(4715).manifest(MANIFEST);
        let running = hushpipe.args(["-v", "run"]).spawn();
        running.wait_for_stderr("the control socket is /dev/shm/hushpipe-4715/");
        running
    };
    let ask = |words: &[&str]| Hushpipe::new().user(4715).args(words.iter().copied()).run();
    ask(&["status"])
        .code(69)
        .stderr_has("no running launcher found");
    ask(&["ps"])
        .success()
        .stdout_is("PID  USER  PROGRAM  SERVICE  GENERATION  STATE  HEALTH  AGE\n");
    let one = launch();
    ask(&["status", "--check"]).success();
    let two = launch();
    for words in [&["status"][..], &["status", "payments"]] {
        ask(words)
            .code(64)
            .stderr_has("name one by its process id")
            .stderr_has(&format!("{} (payments)", one.pid()))
            .stderr_has(&format!("{} (payments)", two.pid()));
    }
    ask(&["status", "--check", &two.pid().to_string()]).success();
    one.stop().success();
    ask(&["status", "--check", "payments"]).success();
    two.stop().success();
    assert!(!std::path::Path::new("/dev/shm/hushpipe-4715").exists());
}

#[test]
fn memory_is_the_place_where_nothing_else_can_be_written() {
    let script = "mount --bind / / && mount -o remount,bind,ro / && mount -t tmpfs tmpfs /dev/shm \
                  && mount -t tmpfs -o ro tmpfs /run && exec \"$@\"";
    let hushpipe = Hushpipe::new().manifest(MANIFEST);
    let words = ["unshare", "--mount", "--", "sh", "-c", script, "sh"];
    let running = hushpipe.through(&words).args(["-v", "run"]).spawn();
    running.wait_for_line("ready");
    running.wait_for_stderr("the control socket is /dev/shm/hushpipe-0/");
    running.stop().success();
}

#[test]
fn who_takes_the_place_in_memory_first_keeps_nobody_from_being_found() {
    let taken = std::path::Path::new("/dev/shm/hushpipe-4720");
    // A run that failed left it.
    drop(std::fs::remove_dir(taken));
    std::fs::create_dir(taken).unwrap();
    let hushpipe = Hushpipe::new().user(4720).manifest(MANIFEST);
    let running = hushpipe.args(["-v", "run"]).spawn();
    running.wait_for_line("ready");
    let line = running.wait_for_stderr("the control socket is /dev/shm/hushpipe-4720-");
    let socket = line.split("the control socket is ").nth(1).unwrap().trim();
    let place = std::path::Path::new(socket).parent().unwrap().to_owned();
    let ask = |words: &[&str]| Hushpipe::new().user(4720).args(words.iter().copied()).run();
    ask(&["status", "--check"]).success();
    let pid = running.pid().to_string();
    ask(&["ps"]).success().stdout_has(&pid);
    // Root finds it as well, and another user does not.
    Hushpipe::new()
        .args(["ps"])
        .run()
        .success()
        .stdout_has(&pid);
    let other = Hushpipe::new().user(4721).args(["status", &pid]).run();
    other.code(77);
    running.stop().success();
    std::fs::remove_dir(taken).unwrap();
    assert!(!place.exists(), "{}", place.display());
}

#[test]
fn a_user_namespace_where_root_has_no_number_has_a_place() {
    let hushpipe = Hushpipe::new().user(4716).manifest(MANIFEST);
    let words = ["unshare", "--user", "--map-user=77", "--"];
    let running = hushpipe.through(&words).args(["-v", "run"]).spawn();
    running.wait_for_line("ready");
    running.wait_for_stderr("the control socket is /dev/shm/hushpipe-77/");
    running.stop().success();
}

#[test]
fn a_launcher_without_a_place_for_its_socket_says_so_and_runs() {
    let script = "mount -t tmpfs -o ro tmpfs /dev/shm && mount -t tmpfs -o ro tmpfs /run \
                  && exec \"$@\"";
    let hushpipe = Hushpipe::new().manifest(MANIFEST);
    let words = ["unshare", "--mount", "--", "sh", "-c", script, "sh"];
    let running = hushpipe.through(&words).args(["run"]).spawn();
    running.wait_for_line("ready");
    let line = running.wait_for_stderr("hushpipe: warning: there is no place for a control socket");
    for reason in ["/run/hushpipe: ", "/run/user/0: ", "/dev/shm/hushpipe-0: "] {
        assert!(line.contains(reason), "{line}");
    }
    running.stop().success();
}

#[test]
fn a_program_has_nothing_of_the_socket() {
    let running = start(Hushpipe::new());
    assert_eq!(sockets_of(running.program()), [""; 0].map(PathBuf::from));
}

#[test]
fn exec_mode_has_no_socket() {
    let hushpipe = Hushpipe::new().directory("runtime").manifest(MANIFEST);
    let hushpipe = hushpipe.env("XDG_RUNTIME_DIR", RUNTIME);
    let running = hushpipe.args(["-v", "run", "--exec"]).spawn();
    running.wait_for_line("ready");
    assert_eq!(row(running.place(), running.pid()), None);
    let output = running.stop().success();
    assert!(!output.stderr().contains("control socket"));
    assert!(!output.place().join("runtime/hushpipe").exists());
}
