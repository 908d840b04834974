//! What the program says to systemd, by way of hushpipe.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{FakeSystemd, start, unit};
use crate::harness::Hushpipe;

const WAIT: &str = "wait_for(signal.SIGTERM)";

#[test]
fn what_the_program_says_reaches_systemd_in_hushpipes_name() {
    let messages = [
        "READY=1",
        "STATUS=all is well",
        "WATCHDOG=1",
        "WATCHDOG=trigger",
        "WATCHDOG_USEC=5000000",
        "EXTEND_TIMEOUT_USEC=1000000",
        "ERRNO=2\nBUSERROR=org.example.Fault",
        "RELOADING=1\nMONOTONIC_USEC=17",
        "STOPPING=1",
    ];
    let says: Vec<String> = messages
        .iter()
        .map(|text| format!("say({text:?})"))
        .collect();
    let (running, systemd) = start("", "", &says.join("\n"));
    for text in messages {
        let message = systemd.hears();
        assert_eq!(message.text, text);
        assert_eq!(message.pid, running.pid());
    }
    running.wait().success();
}

#[test]
fn the_tool_of_systemd_works_unchanged() {
    let script = "systemd-notify --ready --status='from a script' && echo told";
    let manifest = format!("version: 1\nservice: unit\nrun: {{ command: [sh, -c, {script:?}] }}\n");
    let hushpipe = Hushpipe::new().manifest(&manifest);
    let systemd = FakeSystemd::listen(hushpipe.place().join("notify"));
    let running = hushpipe
        .env("NOTIFY_SOCKET", systemd.name())
        .arg("run")
        .spawn();
    assert_eq!(systemd.hears_text(), "READY=1\nSTATUS=from a script");
    // It waits until systemd has closed what comes with this.
    let barrier = systemd.hears();
    assert_eq!((barrier.text.as_str(), barrier.fds.len()), ("BARRIER=1", 1));
    drop(barrier);
    running.wait_for_line("told");
    running.wait().success();
}

#[test]
fn a_barrier_holds_until_systemd_lets_go_of_it() {
    let (running, systemd) = start(
        "",
        "",
        "import select\n\
         read, write = os.pipe()\n\
         say('READY=1')\nsay('BARRIER=1', [write])\nos.close(write)\n\
         poll = select.poll()\npoll.register(read, 0)\n\
         tell('held', poll.poll(100))\n\
         poll.poll()\ntell('released')\n",
    );
    assert_eq!(systemd.hears_text(), "READY=1");
    let barrier = systemd.hears();
    running.wait_for_line("held []");
    drop(barrier);
    running.wait_for_line("released");
    running.wait().success();
}

#[test]
fn descriptors_are_stored_with_systemd() {
    let (running, systemd) = start(
        "",
        "",
        "fd = os.memfd_create('kept')\nos.write(fd, b'state')\nos.lseek(fd, 0, 0)\n\
         say('FDSTORE=1\\nFDNAME=kept', [fd, fd])\n\
         say('READY=1', [fd])\nsay('STATUS=again', [fd])\n\
         say('FDSTOREREMOVE=1\\nFDNAME=kept')",
    );
    let mut stored = systemd.hears();
    assert_eq!(stored.text, "FDSTORE=1\nFDNAME=kept");
    assert_eq!(stored.fds.len(), 2);
    let mut text = String::new();
    stored.fds[0].read_to_string(&mut text).unwrap();
    assert_eq!(text, "state");
    for (text, fds) in [("READY=1", 0), ("STATUS=again", 0)] {
        let message = systemd.hears();
        assert_eq!((message.text.as_str(), message.fds.len()), (text, fds));
    }
    assert_eq!(systemd.hears_text(), "FDSTOREREMOVE=1\nFDNAME=kept");
    let output = running.wait().success();
    let said = output
        .stderr()
        .matches("descriptors without FDSTORE=1")
        .count();
    assert_eq!(said, 1, "{}", output.stderr());
}

/// At the next start, what systemd has kept comes at 3 and on: a secret there would have it refused.
#[test]
fn descriptors_that_would_come_back_where_a_secret_is_delivered_are_not_stored() {
    for (number, stored) in [(3, [0, 0]), (4, [1, 0]), (5, [1, 1])] {
        let rest = format!(
            "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
             secrets:\n  token: {{ store: dir, key: token }}\n\
             deliver:\n  - {{ fd: {number}, secret: token }}\n  - {{ fd: 9, secret: token }}\n"
        );
        let program = "fd = os.memfd_create('kept')\n\
                       say('FDSTORE=1\\nFDNAME=a', [fd])\nsay('FDSTORE=1\\nSTATUS=b', [fd])";
        let (hushpipe, systemd) = unit("", &rest, program);
        let output = hushpipe.file("secrets/token", "t0k3n").run().success();
        let heard = [systemd.hears(), systemd.hears()];
        assert_eq!(heard[1].text, "FDSTORE=1\nSTATUS=b");
        assert_eq!(
            heard.map(|message| message.fds.len()),
            stored,
            "fd {number}"
        );
        let told = output
            .stderr()
            .matches("it is closed; deliver at a higher")
            .count();
        assert_eq!(told, usize::from(number < 5), "{}", output.stderr());
    }
}

#[test]
fn the_last_words_before_the_end_arrive() {
    for _ in 0..10 {
        let program = "fd = os.memfd_create('x')\nsay('FDSTORE=1', [fd])\nos.kill(os.getpid(), 9)";
        let (running, systemd) = start("", "", program);
        let message = systemd.hears();
        assert_eq!((message.text.as_str(), message.fds.len()), ("FDSTORE=1", 1));
        running.wait().code(137);
    }
}

#[test]
fn a_reload_that_has_no_time_gets_the_kernels() {
    let before = monotonic_micros();
    let (running, systemd) = start("", "", "say('RELOADING=1')\nsay('READY=1')");
    let text = systemd.hears_text();
    let time: u64 = text
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("{text}"));
    assert!((before..=monotonic_micros()).contains(&time));
    running.wait().success();
}

fn monotonic_micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

#[test]
fn strangers_are_not_listened_to() {
    let program = format!("tell(os.environ['NOTIFY_SOCKET'])\n{WAIT}\nsay('STATUS=mine')");
    let (running, systemd) = start("", "", &program);
    let name = running.wait_for_line("/");
    let stranger = UnixDatagram::unbound().unwrap();
    for text in ["READY=1", "MAINPID=1", "NOTIFYACCESS=none"] {
        stranger.send_to(text.as_bytes(), &name).unwrap();
    }
    running.signal_to(running.program(), Signal::SIGTERM);
    assert_eq!(systemd.hears_text(), "STATUS=mine");
    running.wait().success();
    assert!(!Path::new(&name).exists());
    assert!(!Path::new(&name).parent().unwrap().exists());
}

/// CPU time that a process has used, in clock ticks.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next().unwrap().parse::<u64>().unwrap();
    next() + next()
}

#[test]
fn a_stranger_that_writes_without_end_holds_nothing_up() {
    let program = "tell(os.environ['NOTIFY_SOCKET'])\n\
                   for i in range(20):\n    \
                       wait_for(signal.SIGUSR1)\n    \
                       say('STATUS=%d' % i)\n    \
                       tell('got', i)";
    let (running, systemd) = start("", "", program);
    let name = running.wait_for_line("/");
    let (pid, floods) = (running.pid(), AtomicBool::new(true));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let stranger = UnixDatagram::unbound().unwrap();
                while floods.load(Relaxed) && stranger.send_to(b"STATUS=x", &name).is_ok() {
                    std::hint::spin_loop();
                }
            });
        }
        let (began, used) = (Instant::now(), ticks(pid));
        for round in 0..20 {
            running.signal(Signal::SIGUSR1);
            running.wait_for_line(&format!("got {round}"));
            assert_eq!(systemd.hears_text(), format!("STATUS={round}"));
            if round < 19 {
                std::thread::sleep(Duration::from_millis(30));
            }
        }
        let used = Duration::from_millis(10) * (ticks(pid) - used) as u32;
        floods.store(false, Relaxed);
        assert!(
            used < began.elapsed() / 3,
            "{used:?} of {:?}",
            began.elapsed()
        );
    });
    running.wait().success();
}

#[test]
fn another_user_with_private_files_reaches_it_too() {
    for isolation in ["private", "shared"] {
        let rest = format!(
            "stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
             secrets:\n  token: {{ store: dir, key: token }}\n\
             deliver:\n  - {{ file: \"/dev/shm/hushpipe-notify-test/token\", secret: token }}\n\
             isolation: {isolation}\n"
        );
        let program = "say('STATUS=%d %s' % \
                       (os.getuid(), open('/dev/shm/hushpipe-notify-test/token').read()))";
        let (hushpipe, systemd) = unit("user: daemon", &rest, program);
        let output = hushpipe.file("secrets/token", "t0k3n").run();
        output.success();
        assert_eq!(systemd.hears_text(), "STATUS=1 t0k3n", "{isolation}");
    }
}

#[test]
fn a_user_without_privileges_reaches_it_too() {
    let (hushpipe, systemd) = unit("", "", "say('READY=1')");
    hushpipe.user(12345).run().success();
    assert_eq!(systemd.hears_text(), "READY=1");
}

#[test]
fn where_no_directory_will_do_the_name_is_abstract() {
    // /run and /tmp let root alone pass; the place is beside them as well as in its own.
    let hide = "set -e; place=$1; shift; mount -t tmpfs none /mnt; mkdir /mnt/place; \
                mount --bind $place /mnt/place; mount -t tmpfs -o mode=0700 none /run; \
                mount -t tmpfs -o mode=0700 none /tmp; mkdir $place; \
                mount --bind /mnt/place $place; exec \"$@\"";
    let program = "tell(os.environ['NOTIFY_SOCKET'])\nsay('READY=1')";
    let (hushpipe, systemd) = unit("user: daemon", "", program);
    let output = hushpipe
        .env("PYTHONPATH", "/mnt/place")
        .through(&["unshare", "-m", "sh", "-c", hide, "sh", "{place}"])
        .run();
    output.success().stdout_has("@hushpipe-notify.");
    assert_eq!(systemd.hears_text(), "READY=1");
}

#[test]
fn the_units_own_directory_is_taken_unless_private_files_cover_it() {
    let program = "tell(os.environ['NOTIFY_SOCKET'])\nsay('READY=1')";
    let (hushpipe, systemd) = unit("", "", program);
    let output = hushpipe
        .directory("of-unit")
        .env("RUNTIME_DIRECTORY", "{place}/of-unit")
        .run();
    let place = output.place().path().display().to_string();
    let output = output.success();
    output.stdout_has(&format!("{place}/of-unit/hushpipe-notify."));
    assert_eq!(systemd.hears_text(), "READY=1");

    let rest = "stores:\n  dir: { type: directory, path: \"{place}/secrets\" }\n\
                secrets:\n  token: { store: dir, key: token }\n\
                deliver:\n  - { file: \"{place}/of-unit/token\", secret: token }\n\
                isolation: private\n";
    let (hushpipe, systemd) = unit("", rest, program);
    let output = hushpipe
        .file("secrets/token", "x")
        .env("RUNTIME_DIRECTORY", "{place}/of-unit")
        .run();
    output.success().stdout_has("/run/hushpipe-notify.");
    assert_eq!(systemd.hears_text(), "READY=1");
}

#[test]
fn without_proc_the_program_itself_is_heard() {
    let (hushpipe, systemd) = unit("", "", "say('READY=1')");
    hushpipe
        .through(&[
            "unshare",
            "-m",
            "sh",
            "-c",
            "umount -l /proc && exec \"$@\"",
            "sh",
        ])
        .run()
        .success();
    assert_eq!(systemd.hears_text(), "READY=1");
}

#[test]
fn a_socket_that_vanishes_is_told_once_and_the_program_goes_on() {
    let program =
        format!("say('READY=1')\n{WAIT}\nfor n in range(3): say('STATUS=%d' % n)\nsys.exit(4)");
    let (running, systemd) = start("", "", &program);
    assert_eq!(systemd.hears_text(), "READY=1");
    systemd.vanish();
    running.signal_to(running.program(), Signal::SIGTERM);
    let output = running.wait().code(4).stderr_has("notify is gone: ");
    assert_eq!(
        output.stderr().matches("is gone").count(),
        1,
        "{}",
        output.stderr()
    );
}

#[test]
fn a_socket_that_comes_back_is_spoken_to_again() {
    let program = format!("say('READY=1')\n{WAIT}\nsay('STATUS=lost')\n{WAIT}\nsay('STATUS=back')");
    let (running, systemd) = start("", "", &program);
    assert_eq!(systemd.hears_text(), "READY=1");
    let path = systemd.name().to_owned();
    systemd.vanish();
    running.signal_to(running.program(), Signal::SIGTERM);
    running.wait_for_stderr("is gone");
    let systemd = FakeSystemd::listen(path);
    running.signal_to(running.program(), Signal::SIGTERM);
    assert_eq!(systemd.hears_text(), "STATUS=back");
    running.wait().success();
}

#[test]
fn a_name_that_is_none_is_a_warning() {
    for name in ["vsock:2:1234", "relative", "{place}/nobody", "@"] {
        let program = "tell(os.environ.get('NOTIFY_SOCKET'))";
        let (hushpipe, _systemd) = unit("", "", program);
        let output = hushpipe.env("NOTIFY_SOCKET", name).run().success();
        let said = output
            .stderr()
            .matches("systemd hears nothing from")
            .count();
        assert_eq!(said, 1, "{}", output.stderr());
        output.stdout_is("None\n");
    }
}

#[test]
fn without_systemd_the_program_has_no_socket() {
    let (hushpipe, _systemd) = unit("", "", "tell(os.environ.get('NOTIFY_SOCKET'))");
    let output = hushpipe.env("NOTIFY_SOCKET", "").run();
    let output = output.success().stdout_is("None\n");
    assert!(!output.stderr().contains("systemd"), "{}", output.stderr());
}

#[test]
fn run_env_keeps_it_from_the_program_as_any_variable() {
    for env in ["inherit: none", "unset: [NOTIFY_SOCKET]"] {
        let run = format!("env: {{ {env}, set: {{ PYTHONPATH: \"{{place}}\" }} }}");
        let program = "tell(os.environ.get('NOTIFY_SOCKET'))";
        let (hushpipe, _systemd) = unit(&run, "", program);
        hushpipe.run().success().stdout_is("None\n");
    }
    let run = "env: { set: { NOTIFY_SOCKET: mine } }";
    let (hushpipe, _systemd) = unit(run, "", "tell(os.environ['NOTIFY_SOCKET'])");
    hushpipe.run().success().stdout_is("mine\n");
}

#[test]
fn in_exec_mode_systemd_is_spoken_to_directly() {
    let program = "tell(os.environ['NOTIFY_SOCKET'], os.environ['WATCHDOG_PID'])\nsay('READY=1')";
    let (hushpipe, systemd) = unit("", "mode: exec\n", program);
    let running = hushpipe.env("WATCHDOG_PID", "7").spawn();
    let message = systemd.hears();
    assert_eq!(
        (message.text.as_str(), message.pid),
        ("READY=1", running.pid())
    );
    running.wait().success().stdout_is("{place}/notify 7\n");
}

#[test]
fn a_message_that_is_too_long_is_told_and_the_next_one_arrives() {
    let program = "say('STATUS=' + 'x' * 5000)\nsay('STATUS=' + 'x' * 5000)\nsay('READY=1')";
    let (running, systemd) = start("", "", program);
    assert_eq!(systemd.hears_text(), "READY=1");
    let output = running.wait().success();
    assert_eq!(
        output.stderr().matches("longer than 4096").count(),
        1,
        "{}",
        output.stderr()
    );
}

#[test]
fn a_systemd_that_does_not_read_holds_up_nobody_but_the_speaker() {
    let program = "import threading\n\
        threading.Thread(target=lambda: [say('STATUS=%d' % n) for n in range(3000)], daemon=True).start()\n\
        tell('speaking')\nwait_for(signal.SIGTERM)\ntell('stopped')\nos._exit(3)";
    let (running, systemd) = start("", "", program);
    assert_eq!(systemd.hears_text(), "STATUS=0");
    running.wait_for_line("speaking");
    running.stop().code(3).stdout_has("stopped");
}

#[test]
fn all_of_a_thousand_messages_arrive_in_order() {
    let program = "for n in range(1000): say('STATUS=%d' % n)";
    let (running, systemd) = start("", "", program);
    for number in 0..1000 {
        assert_eq!(systemd.hears_text(), format!("STATUS={number}"));
    }
    running.wait().success();
}

/// Orphans end all the while, and what was said is looked at before each is reaped.
#[test]
fn nothing_is_lost_while_systemd_does_not_read() {
    let program = "import threading\n\
        def orphans():\n    \
            for n in range(40): os.system('(true &)')\n    \
            tell('orphans')\n\
        threading.Thread(target=orphans).start()\n\
        for n in range(2000): say('STATUS=%d' % n)";
    let (running, systemd) = start("", "", program);
    running.wait_for_line("orphans");
    for number in 0..2000 {
        assert_eq!(systemd.hears_text(), format!("STATUS={number}"));
    }
    running.wait().success();
}
