//! What hushpipe itself tells systemd.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{start, unit};

const TOKEN: &str = "stores:\n  dir: { type: directory, path: \"{place}/secrets\" }\n\
     secrets:\n  token: { store: dir, key: token }\n\
     deliver:\n  - { file: \"{place}/run/token\", secret: token }\n\
     on_rotate: { do: signal, signal: HUP, settle: 0s }\n";

#[test]
fn a_rotation_of_a_program_that_is_ready_is_told() {
    let program = "tell('started')\n\
        wait_for(signal.SIGHUP)\ntell('early')\n\
        wait_for(signal.SIGUSR1)\nsay('READY=1')\n\
        wait_for(signal.SIGHUP)\ntell('told')\n\
        wait_for(signal.SIGUSR1)\nsay('STATUS=done')";
    let (hushpipe, systemd) = unit("", TOKEN, program);
    let running = hushpipe.file("secrets/token", "one").spawn();
    running.wait_for_line("started");
    running.place().replace("secrets/token", "two");
    running.wait_for_line("early");
    running.wait_for_stderr("generation 2 is in place");
    running.signal(Signal::SIGUSR1);
    assert_eq!(systemd.hears_text(), "READY=1");
    running.place().replace("secrets/token", "three");
    running.wait_for_line("told");
    let text = systemd.hears_text();
    assert!(text.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{text}");
    assert_eq!(systemd.hears_text(), "READY=1");
    running.signal(Signal::SIGUSR1);
    assert_eq!(systemd.hears_text(), "STATUS=done");
    running.wait().success();
}

/// `systemctl reload` of a Type=notify-reload unit: SIGHUP goes to hushpipe.
#[test]
fn a_reload_goes_to_the_program_and_its_answer_back() {
    let program = "say('READY=1')\n\
        while wait_for(signal.SIGHUP, signal.SIGTERM) == signal.SIGHUP:\n    \
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000\n    \
            say('RELOADING=1\\nMONOTONIC_USEC=%d' % now)\n    \
            say('READY=1')";
    let (running, systemd) = start("", "", program);
    assert_eq!(systemd.hears_text(), "READY=1");
    for _ in 0..3 {
        running.signal(Signal::SIGHUP);
        assert!(
            systemd
                .hears_text()
                .starts_with("RELOADING=1\nMONOTONIC_USEC=")
        );
        assert_eq!(systemd.hears_text(), "READY=1");
    }
    running.stop().success();
}

#[test]
fn a_slow_fetch_is_told_and_gets_more_time_and_keeps_the_watchdog() {
    let rest = "stores:\n  slow: { type: command, \
                run: [sh, -c, 'until [ -e {place}/go ]; do sleep 0.05; done; echo x'] }\n\
                secrets:\n  token: { store: slow }\n\
                deliver:\n  - { fd: 9, secret: token }\n";
    let (hushpipe, systemd) = unit(
        "",
        rest,
        "tell(os.environ['WATCHDOG_USEC'])\nsay('READY=1')",
    );
    let running = hushpipe.env("WATCHDOG_USEC", "1000000").spawn();
    let mut heard: Vec<String> = Vec::new();
    let longer = "EXTEND_TIMEOUT_USEC=15000000";
    // Which comes first is for a slow machine to say; until both came, the store does not answer.
    while !["WATCHDOG=1", longer]
        .iter()
        .all(|text| heard.iter().any(|each| each == text))
    {
        heard.push(systemd.hears_text());
    }
    running.place().write("go", "");
    while heard.last().is_none_or(|last| last != "READY=1") {
        heard.push(systemd.hears_text());
    }
    heard.retain(|text| text != "WATCHDOG=1");
    heard.dedup();
    let status = "STATUS=fetching 1 secret from slow";
    assert_eq!(heard, [status, longer, "STATUS=", "READY=1"]);
    running.wait().success().stdout_is("1000000\n");
}

#[test]
fn a_quick_fetch_is_not_told() {
    // A machine that stands still for a second makes every fetch a slow one.
    let quick = (0..10).any(|_| {
        let (hushpipe, systemd) = unit("", TOKEN, "say('READY=1')");
        let began = Instant::now();
        hushpipe.file("secrets/token", "one").run().success();
        let quick = began.elapsed() < Duration::from_secs(1);
        assert!(!quick || systemd.rest() == ["READY=1"]);
        quick
    });
    assert!(quick, "no launch of ten took less than a second");
}

#[test]
fn the_watchdog_is_the_programs() {
    let program = "tell(os.environ.get('WATCHDOG_PID') == str(os.getpid()))";
    let (hushpipe, _systemd) = unit("", "", program);
    // The shell becomes hushpipe, with its process id.
    let set = "export WATCHDOG_PID=$$; exec \"$@\"";
    hushpipe
        .through(&["sh", "-c", set, "sh"])
        .run()
        .success()
        .stdout_is("True\n");

    let (hushpipe, _systemd) = unit("", "", "tell(os.environ.get('WATCHDOG_PID'))");
    hushpipe
        .env("WATCHDOG_PID", "7")
        .run()
        .success()
        .stdout_is("7\n");
}

#[test]
fn a_restart_is_a_reload_until_the_new_program_is_ready() {
    let rest = TOKEN.replace("do: signal, signal: HUP", "do: restart");
    // The old one takes its time to end: until it is told to.
    let program = "has = open(sys.argv[1]).read()\n\
                   say('READY=1\\nSTATUS=%d' % os.getpid())\n\
                   tell('up', has)\n\
                   wait_for(signal.SIGTERM)\n\
                   if has == 'one': wait_for(signal.SIGUSR1)";
    let (hushpipe, systemd) = unit("", &rest, program);
    let running = hushpipe
        .arg("{place}/run/token")
        .file("secrets/token", "one")
        .env("WATCHDOG_USEC", "600000")
        .spawn();
    running.wait_for_line("up one");
    let old = running.program();
    assert_eq!(systemd.hears_text(), format!("READY=1\nSTATUS={old}"));
    running.place().replace("secrets/token", "two");
    let text = systemd.hears_text();
    assert!(text.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{text}");
    // Nobody but hushpipe can answer it now.
    assert_eq!(systemd.hears_text(), "WATCHDOG=1");
    running.signal_to(old, Signal::SIGUSR1);
    running.wait_for_line("up two");
    let mut heard = vec![systemd.hears_text()];
    while heard.last().is_some_and(|last| last == "WATCHDOG=1") {
        heard.push(systemd.hears_text());
    }
    assert_eq!(
        heard.pop().unwrap(),
        format!("READY=1\nSTATUS={}", running.program())
    );
    running.stop().success();
}
