//! The harness itself: a word that checks nothing would let every test pass.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use nix::sys::signal::Signal;

use super::{Hushpipe, Place, is_alive, wait_until};

fn fails(test: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(test)).is_err()
}

/// Something that runs and has a child, without hushpipe's part in it.
fn shell(script: &str) -> Hushpipe {
    Hushpipe::new().through(&["/bin/sh", "-c", script])
}

#[test]
fn help_is_run() {
    let output = Hushpipe::new().args(["help", "exit-codes"]).run();
    output.success().stdout_has("78").stderr_is("");
}

#[test]
fn checks_fail() {
    let run = || Hushpipe::new().args(["help", "no-such-topic"]).run();
    run().code(64).stderr_has("no-such-topic");
    assert!(fails(|| drop(run().success())));
    assert!(fails(|| drop(run().stdout_has("x"))));
    assert!(fails(|| drop(run().stderr_is("x"))));
    assert!(fails(|| drop(run().says_nothing_of("no-such-topic"))));
}

#[test]
fn the_place_is_filled_in_and_removed() {
    let running = shell("echo {place}; cat").stdin("typed").spawn();
    let path = running.place().path().to_path_buf();
    let output = running.wait().success().stdout_is("{place}\ntyped");
    assert!(path.is_dir());
    drop(output);
    assert!(!path.exists());
}

#[test]
fn another_user_runs_what_was_brought() {
    let output = shell("id -u; exec \"$0\" help").user(1000).run();
    output.success().stdout_has("1000\n").stdout_has("Usage");
}

#[test]
fn lines_are_waited_for_in_order() {
    let running = shell("echo one; echo two").spawn();
    assert_eq!(running.wait_for_line("two"), "two");
    assert!(fails(|| drop(running.wait_for_line("one"))));
}

#[test]
fn what_was_left_running_is_ended() {
    let running = shell("setsid sleep 1000 & echo $!; wait").spawn();
    let pid: i32 = running.wait_for_line("").parse().unwrap();
    assert!(is_alive(pid));
    drop(running);
    wait_until(|| (!is_alive(pid)).then_some(())).expect("it is ended");
}

#[test]
fn the_probe_reports() {
    let place = Place::new();
    place.write("file", "content\n");
    let output = Command::new(place.probe())
        .args(["say", "hello", "cat", &place.fill("{place}/file"), "fds"])
        .args(["status", "SigIgn", "exit", "7"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("hello\ncontent\n0 "), "{text}");
    assert!(text.contains("\nSigIgn:\t"), "{text}");
}

#[test]
fn the_probe_serves() {
    let running = Hushpipe::new()
        .through(&["{probe}", "on", "TERM", "exit:3", "orphan", "serve", "--"])
        .spawn();
    let orphan = running.wait_for_line("orphan");
    let orphan: i32 = orphan.trim_start_matches("orphan ").parse().unwrap();
    assert!(is_alive(orphan));
    running.wait_for_line("ready");
    running.signal(Signal::SIGHUP);
    running.wait_for_line("got HUP");
    running.stop().code(3);
}

#[test]
fn a_sealed_store_is_made() {
    let sealed = Hushpipe::new().sealed(&[("db/password", "s3cret")]);
    let get = ["--store", "store", "--identity", "identity.txt", "get"];
    let output = sealed.arg("secret").args(get).arg("db/password").run();
    output.success().stdout_is("s3cret");
}
