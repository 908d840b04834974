//! Commands are polled.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{AT_ONCE, BY_FILE, READS, said_times, start};
use crate::harness::{Hushpipe, Running, children, is_alive};

/// Fails while `{place}/down` is there, never ends while `{place}/hang` is, else prints the value.
const TOOL: &str = "#!/bin/sh\ncd \"$1\" || exit 1\n\
     if test -e down; then echo \"vault is sealed $$\" >&2; exit 3; fi\n\
     if test -e hang; then echo $$ >hanging.new; mv hanging.new hanging; exec sleep 1000; fi\n\
     cat value\n";

fn polled(probe: &[&str]) -> Running {
    let manifest = format!(
        "stores:\n  tool: {{ type: command, run: [\"{{place}}/tool\", \"{{place}}\"], show_errors: true }}\n\
         secrets:\n  token: {{ store: tool, refresh: 1s }}\n{BY_FILE}{AT_ONCE}"
    );
    let hushpipe = Hushpipe::new().file("value", "one").file("tool", TOOL);
    start(hushpipe.mode("tool", 0o755), &manifest, probe)
}

#[test]
fn a_command_is_polled() {
    let running = polled(&READS);
    running.place().replace("value", "two");
    running.wait_for_line("two");
    running.place().replace("value", "three");
    running.wait_for_line("three");
    running.stop().stdout_is("ready\ntwo\nthree\n");
}

#[test]
fn a_failing_command_is_said_once_and_the_program_keeps_its_values() {
    let running = polled(&READS);
    let place = running.place();
    // It counts how often it is asked meanwhile.
    place.write("tool", TOOL.replace("exit 3", "echo >>asked; exit 3"));
    place.set_mode("tool", 0o755);
    place.write("down", "");
    let said = running.wait_for_stderr("error");
    assert!(
        said.contains("exit code 3") && said.contains("vault is sealed"),
        "{said}"
    );
    running.until("it is asked again and again", || {
        (std::fs::read(place.join("asked")).ok()?.len() >= 3).then_some(())
    });
    place.replace("value", "two");
    std::fs::remove_file(place.join("down")).unwrap();
    running.wait_for_stderr("store tool answers again");
    running.wait_for_line("two");
    let output = running.stop().stdout_is("ready\ntwo\n");
    said_times(&output, "hushpipe: error", 1);
    said_times(&output, "answers again", 1);
}

/// A hushpipe that asks a command that does not answer, and the command's process.
fn hanging(probe: &[&str]) -> (Running, i32) {
    let running = polled(probe);
    running.place().write("hang", "");
    let pid = running.until("the command hangs", || {
        let text = std::fs::read_to_string(running.place().join("hanging")).ok()?;
        text.trim().parse().ok()
    });
    (running, pid)
}

#[test]
fn signals_are_forwarded_and_orphans_reaped_while_a_command_hangs() {
    let (running, _) = hanging(&["orphan", "serve"]);
    let stdout = running.stdout();
    let orphan = stdout.lines().find_map(|line| line.strip_prefix("orphan "));
    let orphan: i32 = orphan.unwrap().parse().unwrap();
    // The fastest of a few: the machine may be busy with other tests.
    let took = (0..5).map(|_| {
        let since = Instant::now();
        running.signal(Signal::SIGUSR1);
        running.wait_for_line("got USR1");
        since.elapsed()
    });
    let took = took.min().unwrap();
    assert!(took < Duration::from_millis(500), "{took:?}");
    running.signal_to(orphan, Signal::SIGKILL);
    running.until("the orphan is reaped", || {
        (!children(running.pid()).contains(&orphan)).then_some(())
    });
}

#[test]
fn a_stop_does_not_wait_for_a_command_that_hangs() {
    let (running, command) = hanging(&["on", "TERM", "exit:5", "serve"]);
    let since = Instant::now();
    let output = running.stop().code(5);
    assert!(since.elapsed() < Duration::from_secs(5));
    assert!(!is_alive(command));
    assert!(!output.place().join("run").exists());
}
