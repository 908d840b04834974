//! Programs that go into the background, as those of Type=forking do.

use nix::sys::signal::Signal;

use super::{FakeSystemd, start, unit};
use crate::harness::{Hushpipe, descendants};

/// Becomes a daemon: forks twice, writes its process id, and the first process ends.
const DAEMON: &str = "def daemon(pid_file=None, after=0):\n    \
    if os.fork():\n        os._exit(0)\n    \
    os.setsid()\n    \
    if os.fork():\n        os._exit(0)\n    \
    time.sleep(after)\n    \
    if pid_file:\n        open(pid_file, 'w').write('%d\\n' % os.getpid())\n";

fn program(rest: &str) -> String {
    format!("{DAEMON}{rest}")
}

#[test]
fn the_daemon_in_the_pid_file_is_followed_and_ready_is_said_for_it() {
    let program = program(
        "daemon('daemon.pid', 0.1)\n\
         tell('up', os.getpid(), os.getppid())\n\
         while True:\n    \
             got = wait_for(signal.SIGHUP, signal.SIGTERM)\n    \
             tell('got', got.name)\n    \
             if got == signal.SIGTERM:\n        sys.exit(6)",
    );
    let (running, systemd) = start(
        "forking: { pid_file: \"{place}/daemon.pid\" }",
        "",
        &program,
    );
    running.wait_for_line("up");
    running.wait_for_stderr("the program is process");
    let message = systemd.hears();
    assert_eq!(
        (message.text.as_str(), message.pid),
        ("READY=1", running.pid())
    );
    let daemon: i32 = running.place().read("daemon.pid").trim().parse().unwrap();
    assert_eq!(descendants(running.pid()), [daemon]);
    running.signal(Signal::SIGHUP);
    running.wait_for_line("got SIGHUP");
    running.stop().code(6).stdout_has("got SIGTERM");
}

#[test]
fn without_a_pid_file_the_one_process_that_is_left_is_the_daemon() {
    let program = program(
        "daemon()\ntell('up', os.getpid())\nwait_for(signal.SIGTERM)\nos.kill(os.getpid(), 9)",
    );
    let (running, systemd) = start("forking: true", "", &program);
    let daemon = running.wait_for_line("up").replace("up ", "");
    running.wait_for_stderr(&format!("the program is process {daemon}"));
    assert_eq!(systemd.hears_text(), "READY=1");
    running.stop().code(137);
}

/// On a slow machine, it is alone for long.
#[test]
fn one_on_the_way_to_the_daemon_is_not_the_daemon() {
    let program = "if os.fork(): os._exit(0)\nos.setsid()\n\
                   child = os.fork()\n\
                   if child:\n    \
                       tell('processes', os.getpid(), child)\n    \
                       wait_for(signal.SIGUSR1)\n    \
                       os._exit(0)\n\
                   got = wait_for(signal.SIGTERM, signal.SIGUSR1)\n\
                   os._exit(6 if got == signal.SIGTERM else 0)";
    for ends in [Signal::SIGTERM, Signal::SIGUSR1] {
        let (running, systemd) = start("forking: true", "", program);
        let line = running.wait_for_line("processes");
        let (middle, daemon) = line["processes ".len()..].split_once(' ').unwrap();
        running.wait_for_stderr(&format!("the program is process {middle}"));
        running.signal_to(middle.parse().unwrap(), Signal::SIGUSR1);
        running.wait_for_stderr(&format!("the program is process {daemon}"));
        running.signal_to(daemon.parse().unwrap(), ends);
        let code = if ends == Signal::SIGTERM { 6 } else { 0 };
        let output = running.wait().code(code);
        assert!(
            !output.stderr().contains("left no daemon"),
            "{}",
            output.stderr()
        );
        assert_eq!(systemd.rest(), ["READY=1"]);
    }
}

#[test]
fn a_first_process_that_fails_is_the_programs_failure() {
    let (running, systemd) = start("forking: true", "", "sys.exit(3)");
    running.wait().code(3);
    assert_eq!(systemd.rest(), [""; 0]);
}

#[test]
fn a_daemon_that_dies_at_once_gives_its_own_code() {
    let program = program("daemon()\nsys.exit(8)");
    let (running, systemd) = start("forking: { pid_file: \"{place}/none\" }", "", &program);
    running.wait().code(8).stderr_has("left no daemon");
    assert_eq!(systemd.rest(), [""; 0]);
}

#[test]
fn one_that_is_asked_to_stop_before_it_named_itself_is_ended() {
    let program = program("daemon()\ntell('up')\nwait_for(signal.SIGTERM)\ntell('ended')");
    let (running, systemd) = start("forking: { pid_file: \"{place}/none\" }", "", &program);
    running.wait_for_line("up");
    running.stop().code(0).stdout_has("ended");
    assert_eq!(systemd.rest(), [""; 0]);
}

#[test]
fn a_pid_file_that_names_a_stranger_is_not_believed() {
    let program =
        program("daemon('daemon.pid', 0.3)\ntell('up')\nwait_for(signal.SIGTERM)\nsys.exit(6)");
    let (hushpipe, systemd) = unit(
        "forking: { pid_file: \"{place}/daemon.pid\" }",
        "",
        &program,
    );
    // As a daemon of before left it.
    let running = hushpipe.file("daemon.pid", "1\n").spawn();
    running.wait_for_line("up");
    running.wait_for_stderr("the program is process");
    assert_eq!(systemd.hears_text(), "READY=1");
    running.stop().code(6);
}

#[test]
fn a_restart_follows_the_new_daemon() {
    let rest = "stores:\n  dir: { type: directory, path: \"{place}/secrets\" }\n\
                secrets:\n  token: { store: dir, key: token }\n\
                deliver:\n  - { file: \"{place}/run/token\", secret: token }\n\
                on_rotate: { do: restart, settle: 0s }\n";
    let program = program(
        "daemon('daemon.pid')\ntell('up', open('run/token').read())\nwait_for(signal.SIGTERM)",
    );
    let run = "forking: { pid_file: \"{place}/daemon.pid\" }";
    let (hushpipe, systemd) = unit(run, rest, &program);
    let running = hushpipe.file("secrets/token", "one").spawn();
    running.wait_for_line("up one");
    assert_eq!(systemd.hears_text(), "READY=1");
    running.place().replace("secrets/token", "two");
    assert!(systemd.hears_text().starts_with("RELOADING=1"));
    running.wait_for_line("up two");
    assert_eq!(systemd.hears_text(), "READY=1");
    running.stop().success();
}

/// A daemon that starts its successor at SIGUSR1, which writes the pid file after `after` seconds, and
/// ends with `code` at SIGHUP.
fn upgraded(after: f32, code: i32) -> String {
    program(&format!(
        "daemon('daemon.pid')\n\
         name = 'first'\n\
         while True:\n    \
             tell(name, os.getpid())\n    \
             got = wait_for(signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1)\n    \
             if got == signal.SIGTERM:\n        tell(name, 'stops')\n        sys.exit(6)\n    \
             if got == signal.SIGHUP:\n        os.unlink('daemon.pid') if {after} else None\n        \
                 os._exit({code})\n    \
             old = os.getpid()\n    \
             if os.fork() == 0:\n        \
                 name = 'second'\n        \
                 while {after} and os.getppid() == old: time.sleep(0.01)\n        \
                 time.sleep({after})\n        \
                 open('new.pid', 'w').write('%d\\n' % os.getpid())\n        \
                 os.rename('new.pid', 'daemon.pid')\n"
    ))
}

#[test]
fn a_successor_in_the_pid_file_takes_the_daemons_place() {
    // As nginx, which ends well; one that crashes; and as gunicorn, whose successor comes late.
    for (after, code) in [(0.0, 0), (0.0, 3), (0.5, 0)] {
        let (running, systemd) = start(
            "forking: { pid_file: \"{place}/daemon.pid\" }",
            "",
            &upgraded(after, code),
        );
        let first = running.wait_for_line("first ").replace("first ", "");
        running.wait_for_stderr(&format!("the program is process {first}"));
        let first = first.parse().unwrap();
        running.signal_to(first, Signal::SIGUSR1);
        let early = (after == 0.0).then(|| running.wait_for_line("second "));
        if early.is_none() {
            running.wait_for_line("first ");
        }
        running.signal_to(first, Signal::SIGHUP);
        let second = early.unwrap_or_else(|| running.wait_for_line("second "));
        let second = second.replace("second ", "");
        running.wait_for_stderr(&format!("the program is process {second}"));
        running.stop().code(6).stdout_has("second stops");
        assert_eq!(systemd.rest(), ["READY=1"]);
    }
}

#[test]
fn a_stop_amid_an_upgrade_asks_both_main_processes() {
    let (running, _systemd) = start(
        "forking: { pid_file: \"{place}/daemon.pid\" }",
        "",
        &upgraded(0.0, 0),
    );
    let first = running.wait_for_line("first ").replace("first ", "");
    running.wait_for_stderr(&format!("the program is process {first}"));
    running.signal_to(first.parse().unwrap(), Signal::SIGUSR1);
    running.wait_for_line("second ");
    running
        .stop()
        .code(6)
        .stdout_has("first stops")
        .stdout_has("second stops");
}

#[test]
fn a_pid_file_that_is_no_file_names_nobody() {
    // A link to a file that the program does not own, and what nobody ever writes to.
    for (how, why) in [
        (
            "os.symlink('real.pid', 'daemon.pid')",
            "it is a symbolic link",
        ),
        ("os.mkfifo('daemon.pid')", "it is not a regular file"),
    ] {
        let program = program(&format!(
            "{how}\ndaemon('real.pid')\ntell('up')\nwait_for(signal.SIGTERM)\nsys.exit(6)"
        ));
        let (hushpipe, systemd) = unit(
            "forking: { pid_file: \"{place}/daemon.pid\" }",
            "",
            &program,
        );
        let running = hushpipe.spawn();
        running.wait_for_line("up");
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(systemd.rest(), [""; 0], "{why}");
        let place = running.place();
        std::fs::remove_file(place.join("daemon.pid")).unwrap();
        std::fs::rename(place.join("real.pid"), place.join("daemon.pid")).unwrap();
        running.wait_for_stderr("the program is process");
        running.stop().code(6);
    }
}

#[test]
fn nginx_as_debian_starts_it_reloads_and_stops() {
    let conf = "daemon on;\npid {place}/nginx.pid;\nerror_log stderr notice;\nuser root;\n\
                events {}\nhttp {\n  access_log off;\n  server { listen unix:{place}/socket; }\n}\n";
    let hushpipe = Hushpipe::new();
    let conf = hushpipe.place().fill(conf);
    let systemd = FakeSystemd::listen(hushpipe.place().join("notify"));
    let running = hushpipe
        .file("nginx.conf", conf)
        .manifest("version: 1\nservice: nginx\n")
        .env("NOTIFY_SOCKET", systemd.name())
        .args([
            "-v",
            "run",
            "--forking",
            "--pid-file",
            "{place}/nginx.pid",
            "--",
        ])
        .args(["/usr/sbin/nginx", "-c", "{place}/nginx.conf"])
        .spawn();
    assert_eq!(systemd.hears_text(), "READY=1");
    std::os::unix::net::UnixStream::connect(running.place().join("socket")).unwrap();
    running.signal(Signal::SIGHUP);
    running.wait_for_stderr("reconfiguring");
    running.signal(Signal::SIGQUIT);
    running
        .wait()
        .success()
        .stderr_has("gracefully shutting down");
}

#[test]
fn nginx_is_upgraded_without_an_end() {
    let conf = "daemon on;\npid {place}/nginx.pid;\nerror_log stderr notice;\nuser root;\n\
                events {}\nhttp {\n  access_log off;\n  server { listen unix:{place}/socket; }\n}\n";
    let hushpipe = Hushpipe::new();
    let conf = hushpipe.place().fill(conf);
    let running = hushpipe
        .file("nginx.conf", conf)
        .manifest("version: 1\nservice: nginx\n")
        .args([
            "-v",
            "run",
            "--forking",
            "--pid-file",
            "{place}/nginx.pid",
            "--",
        ])
        .args(["/usr/sbin/nginx", "-c", "{place}/nginx.conf"])
        .spawn();
    running.wait_for_stderr("the program is process");
    let pid = || running.place().read("nginx.pid").trim().parse::<i32>().ok();
    let old = running.until("nginx names itself", pid);
    running.signal_to(old, Signal::SIGUSR2);
    let new = running.until("the new nginx names itself", || {
        let named = std::fs::read_to_string(running.place().join("nginx.pid")).ok()?;
        named.trim().parse::<i32>().ok().filter(|pid| *pid != old)
    });
    running.signal_to(old, Signal::SIGQUIT);
    running.wait_for_stderr(&format!("the program is process {new}"));
    std::os::unix::net::UnixStream::connect(running.place().join("socket")).unwrap();
    running.signal(Signal::SIGQUIT);
    running.wait().success();
}

#[test]
fn ready_is_said_for_a_program_that_does_not_speak() {
    for (run, flag) in [("ready: started", "--quiet"), ("", "--ready=started")] {
        let manifest = format!("version: 1\nservice: t\nrun: {{ {run} }}\n");
        let hushpipe = Hushpipe::new().manifest(&manifest);
        let systemd = FakeSystemd::listen(hushpipe.place().join("notify"));
        hushpipe
            .env("NOTIFY_SOCKET", systemd.name())
            .args(["run", flag, "--", "true"])
            .run()
            .success();
        assert_eq!(systemd.rest(), ["READY=1"]);
    }
    // The manifest knows the program better than the unit's template does.
    let hushpipe = Hushpipe::new().manifest("version: 1\nservice: t\nrun: { ready: program }\n");
    let systemd = FakeSystemd::listen(hushpipe.place().join("notify"));
    let output = hushpipe
        .env("NOTIFY_SOCKET", systemd.name())
        .args(["run", "--ready=started", "--", "true"])
        .run();
    output.success();
    assert_eq!(systemd.rest(), [""; 0]);
}

#[test]
fn a_program_that_cannot_be_executed_is_not_ready() {
    let hushpipe = Hushpipe::new()
        .manifest("version: 1\nservice: t\nrun: { ready: started }\n")
        .file("program", "no program\n")
        .mode("program", 0o755);
    let systemd = FakeSystemd::listen(hushpipe.place().join("notify"));
    hushpipe
        .env("NOTIFY_SOCKET", systemd.name())
        .args(["run", "--", "{place}/program"])
        .run()
        .code(126);
    assert_eq!(systemd.rest(), [""; 0]);
}

#[test]
fn what_needs_a_parent_is_refused_in_exec_mode() {
    Hushpipe::new()
        .manifest("version: 1\nservice: t\nmode: exec\nrun:\n  command: [x]\n  forking: true\n  ready: started\n")
        .arg("check")
        .run()
        .code(78)
        .stderr_has("`forking`")
        .stderr_has("`ready: started`");
}

#[test]
fn argv_0_can_be_another_than_the_programs_name() {
    Hushpipe::new()
        .manifest("version: 1\nservice: t\n")
        .args([
            "run",
            "--argv0",
            "-login/probe",
            "--",
            "{probe}",
            "arguments",
        ])
        .run()
        .success()
        .stdout_is("-login/probe\narguments\n");
}

#[test]
fn hushpipe_can_end_by_the_programs_signal() {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGKILL,
        Signal::SIGSEGV,
        Signal::SIGABRT,
    ] {
        let kill = format!("kill -{} $$", signal as i32);
        Hushpipe::new()
            .manifest("version: 1\nservice: t\n")
            .args(["run", "--end-by-signal", "--", "sh", "-c", &kill])
            .run()
            .killed_by(signal);
    }
    Hushpipe::new()
        .manifest("version: 1\nservice: t\n")
        .args(["run", "--end-by-signal", "--", "sh", "-c", "exit 143"])
        .run()
        .code(143);
    // Asked to end while the stores are asked, as by `systemctl stop`.
    let running = Hushpipe::new()
        .manifest(
            "version: 1\nservice: t\nstores:\n  slow: { type: command, run: [sh, -c, 'touch {place}/asked; sleep 60'] }\n\
             secrets:\n  token: { store: slow }\ndeliver:\n  - { fd: 9, secret: token }\n",
        )
        .args(["run", "--end-by-signal", "--", "true"])
        .spawn();
    running.until("the store is asked", || {
        running.place().join("asked").exists().then_some(())
    });
    running.stop().killed_by(Signal::SIGTERM);
}
