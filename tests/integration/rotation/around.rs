//! Where files go, what cannot rotate, and programs that end meanwhile.

use std::fs;

use nix::sys::signal::Signal;

use super::{AT_ONCE, BY_FILE, READS, directory, said_times, sealed, sealed_as};
use crate::harness::{Hushpipe, Running};

fn rotates(running: Running) {
    running.place().seal("token", "two");
    running.wait_for_line("two");
    running.stop().success().stdout_is("ready\ntwo\n");
}

#[test]
fn private_files_rotate() {
    rotates(sealed(
        &format!("{BY_FILE}isolation: private\n{AT_ONCE}"),
        &READS,
    ));
}

#[test]
fn private_files_in_a_user_namespace_rotate() {
    let rest = format!("{BY_FILE}isolation: private\n{AT_ONCE}");
    rotates(sealed_as(Hushpipe::new().user(1000), &rest, &READS));
}

#[test]
fn shared_files_rotate() {
    let hushpipe = Hushpipe::new();
    let name = hushpipe
        .place()
        .path()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap();
    let run = format!("/dev/shm/{name}");
    let here = |text: &str| text.replace("{place}/run", &run);
    let rest = here(&format!("{BY_FILE}isolation: shared\n{AT_ONCE}"));
    let probe = READS.map(here);
    let probe: Vec<&str> = probe.iter().map(String::as_str).collect();
    rotates(sealed_as(hushpipe, &rest, &probe));
    assert!(!fs::exists(run).unwrap());
}

#[test]
fn what_is_read_once_is_not_watched() {
    let rest = format!("deliver:\n  - {{ fd: 3, as: memfd, secret: token }}\n{AT_ONCE}");
    let running = directory(&rest, &["serve"]);
    let fds = fs::read_dir(format!("/proc/{}/fd", running.pid())).unwrap();
    let targets = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    let targets: Vec<String> = targets.map(|path| path.display().to_string()).collect();
    assert!(
        !targets.iter().any(|target| target.contains("inotify")),
        "{targets:?}"
    );
    running.place().replace("secrets/token", "two");
    running.signal(Signal::SIGUSR1);
    running.wait_for_line("got USR1");
    running.stop().stdout_is("ready\ngot USR1\n");
}

#[test]
fn a_program_that_ends_by_the_signal_gives_its_code() {
    let running = directory(
        &format!("{BY_FILE}{AT_ONCE}"),
        &["on", "HUP", "exit:7", "serve"],
    );
    running.place().replace("secrets/token", "two");
    let output = running.wait().code(7);
    assert!(!output.place().join("run").exists());
}

#[test]
fn a_program_that_is_asked_to_end_is_not_told_of_new_values() {
    let probe = [
        "on",
        "TERM",
        "say:stopping",
        "on",
        "USR1",
        "exit:4",
        "serve",
    ];
    let running = directory(&format!("{BY_FILE}{AT_ONCE}"), &probe);
    running.signal(Signal::SIGTERM);
    running.wait_for_line("stopping");
    running.place().replace("secrets/token", "two");
    running.wait_for_stderr("generation 2 is in place");
    running.signal_to(running.program(), Signal::SIGUSR1);
    let output = running.wait().code(4).stdout_is("ready\nstopping\n");
    said_times(&output, "told the program", 0);
}

#[test]
fn a_stop_amid_rotations_ends_cleanly() {
    let probe = ["on", "HUP", "say:told", "on", "TERM", "exit:3", "serve"];
    for stop_at in 0..10 {
        let running = directory(&format!("{BY_FILE}{AT_ONCE}"), &probe);
        running
            .place()
            .replace("secrets/token", format!("value-{stop_at}"));
        // At another moment of the rotation each time.
        std::thread::sleep(std::time::Duration::from_micros(stop_at * 300));
        let output = running.stop().code(3);
        said_times(&output, "hushpipe: error", 0);
        assert!(!output.place().join("run").exists());
    }
}
