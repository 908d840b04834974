//! Where the log cannot be written: nothing is delivered if it is required, and a warning if not.

use std::fs::File;

use nix::sys::signal::Signal;

use super::{again, audited, files, kinds, records, site, verifies};
use crate::harness::{Hushpipe, Output, Running};

/// With a secret that rotates.
const ROTATED: &str = "version: 1\nservice: shop\nstores: { s: { type: directory, path: \"{place}/s\" } }\n\
                       secrets: { db: { store: s, key: db } }\n\
                       deliver: [{ file: \"{place}/run/db\", secret: db }]\n\
                       on_rotate: { do: signal, signal: HUP, settle: 0s }\n";

/// What is done to a log that is there, the code, and what the error says.
const BROKEN: &[(&str, i32, &str, &str)] = &[
    ("chmod 777 log", 75, "others can write to", "chmod o-w"),
    ("chown 4711 log", 75, "belongs to", "chown"),
    (
        "chown 4711 log/records.jsonl",
        75,
        "log/records.jsonl",
        "chown",
    ),
    (
        "chmod 666 log/records.jsonl",
        75,
        "log/records.jsonl",
        "chmod o-w",
    ),
    ("chown 4711 log/lock", 75, "log/lock", "chown"),
    ("ln log/records.jsonl more", 75, "log/records.jsonl", ""),
    (
        "rm audit.key",
        75,
        "audit.key is missing",
        "restore the key",
    ),
    ("chmod 644 audit.key", 75, "others may read it", "chmod 600"),
    (
        "echo none > audit.key",
        75,
        "cannot be used as the audit key",
        "",
    ),
    (
        "mv log/records.jsonl log/x; ln -s x log/records.jsonl",
        75,
        "cannot write",
        "",
    ),
    (
        "mv log/records.jsonl log/x; mkfifo log/records.jsonl",
        75,
        "records.jsonl",
        "",
    ),
    ("rm log/lock; ln -s x log/lock", 75, "cannot open", ""),
    ("mv log real; ln -s nowhere log", 75, "log", ""),
    (
        "sed -i 's/^[0-9]*$/9/' log/checkpoint",
        75,
        "the checkpoint",
        "audit verify",
    ),
    (
        "sed -i 2,9d log/records.jsonl",
        75,
        "not all of them are there",
        "audit verify",
    ),
    (
        "chmod 644 fingerprint.key",
        78,
        "every user may use",
        "chmod 600",
    ),
    (
        "echo short > fingerprint.key",
        78,
        "fewer than 16 bytes",
        "",
    ),
    (
        "rm fingerprint.key",
        78,
        "the fingerprint key cannot be read",
        "head -c 32 /dev/urandom",
    ),
];

fn with_a_log(required: bool) -> Output {
    let hushpipe = site(files(), required, "");
    hushpipe.args(["run", "--", "true"]).run().success()
}

fn breaking(output: &Output, how: &str) {
    let mut shell = std::process::Command::new("sh");
    let shell = shell.args(["-ec", how]).current_dir(output.place().path());
    assert!(shell.status().expect("sh is there").success(), "{how}");
}

#[test]
fn nothing_is_delivered_that_cannot_be_recorded() {
    for (how, code, what, help) in BROKEN {
        let output = with_a_log(true);
        breaking(&output, how);
        let output = again(output).args(["run", "--", "echo", "started"]).run();
        let said = output.stderr();
        assert!(said.contains(what) && said.contains(help), "{how}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{how}: {said}");
        let output = output.code(*code).stdout_is("");
        assert!(!output.place().join("run").exists(), "{how}");
    }
}

#[test]
fn a_log_that_is_not_required_is_written_again_once_it_can_be() {
    let output = with_a_log(false);
    breaking(&output, "chmod 777 log");
    let mend = [
        "run",
        "--",
        "sh",
        "-c",
        "chmod 700 {place}/log; echo started",
    ];
    let output = again(output).args(mend).run().success();
    assert_eq!(output.stdout(), "started\n");
    let said = output.stderr();
    assert!(
        said.contains("warning: cannot write the audit log"),
        "{said}"
    );
    let records = records(output.place());
    let wanted = ["start", "release", "delivered", "end"];
    assert_eq!(kinds(&records), [wanted, wanted].concat());
    verifies(again(output));
}

/// Held by the test.
fn held(output: &Output) -> File {
    let lock = File::options()
        .write(true)
        .open(output.place().join("log/lock"));
    let lock = lock.expect("the log has a lock");
    lock.lock().expect("it is free");
    lock
}

/// A launch that has its values, and not put them on record yet.
fn fetching(output: Output) -> Running {
    let running = again(output)
        .args(["-v", "run", "--", "echo", "started"])
        .spawn();
    running.wait_for_stderr("fetched 1 secret");
    running
}

#[test]
fn a_rotation_that_cannot_be_recorded_delivers_nothing_until_it_can() {
    let hushpipe = site(files(), true, "").manifest(ROTATED);
    hushpipe.place().copy_probe();
    let running = hushpipe.rereads("db");
    let place = running.place();
    // The log breaks once the program runs.
    let (log, away) = (place.join("log/records.jsonl"), place.join("away"));
    std::fs::rename(&log, &away).unwrap();
    place.replace("s/db", "second-battery\n");
    let said = running.wait_for_stderr("cannot write the audit log");
    assert!(said.contains("it has 0 records, and had "), "{said}");
    assert_eq!(running.stdout(), "ready\n");
    std::fs::rename(&away, &log).unwrap();
    let before = records(place).len();
    running.wait_for_line("second-battery");
    // It was on record before it was in place.
    let added = records(place).split_off(before);
    let kinds = kinds(&added);
    assert!(kinds.contains(&"release"), "{kinds:?}");
    let output = running.stop().stdout_is("ready\nsecond-battery\n");
    verifies(again(output));
}

#[test]
fn a_launch_that_waits_for_the_lock_hears_signals() {
    let output = with_a_log(true);
    let lock = held(&output);
    let running = fetching(output);
    running.signal(Signal::SIGTERM);
    let output = running.wait().code(143).stdout_is("");
    drop(lock);
    verifies(again(output));
}

#[test]
fn a_lock_that_is_held_for_a_moment_is_waited_for() {
    let output = with_a_log(true);
    let lock = held(&output);
    let running = fetching(output);
    drop(lock);
    let output = running.wait().success().stdout_is("started\n");
    verifies(again(output));
}

#[test]
fn a_full_disk_delivers_nothing_and_what_runs_goes_on() {
    let disk = |hushpipe: Hushpipe| {
        hushpipe.through(&[
            "unshare",
            "--mount",
            "sh",
            "-c",
            "mount -t tmpfs -o size=64k,mode=0700 none {place}/log && \
             head -c 70000 /dev/zero > {place}/log/ballast; \"$@\"; code=$?; \
             rm {place}/log/ballast; \"$@\" && HUSHPIPE_SITE={place}/site.yaml \"$1\" audit verify; \
             exit $code",
            "sh",
        ])
    };
    let hushpipe = audited().directory("log").mode("log", 0o700);
    let output = disk(hushpipe)
        .args(["run", "--", "echo", "started"])
        .run()
        .code(75);
    let said = output.stderr();
    assert!(said.contains("No space left on device"), "{said}");
    assert!(
        said.contains("help: make room on that file system"),
        "{said}"
    );
    // The second one had room.
    let out = output.stdout();
    assert!(out.starts_with("started\nwhole: "), "{out}");
}

#[test]
fn a_log_on_a_read_only_file_system_says_so() {
    let hushpipe = again(with_a_log(true));
    let output = hushpipe
        .through(&[
            "unshare",
            "--mount",
            "sh",
            "-c",
            "mount --bind {place}/log {place}/log && mount -o remount,bind,ro {place}/log; exec \"$@\"",
            "sh",
        ])
        .args(["run", "--", "echo", "started"])
        .run()
        .code(75)
        .stdout_is("");
    let said = output.stderr();
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.contains("ReadWritePaths="), "{said}");
}

#[test]
fn doctor_says_what_is_wrong_with_a_log() {
    let output = again(with_a_log(true)).args(["doctor"]).run().success();
    assert!(!output.stdout().contains("audit."), "{}", output.stdout());
    breaking(&output, "chmod 777 log; chmod 666 audit.key");
    let output = again(output).args(["doctor"]).run();
    let output = output.stdout_has("audit.directory: others can write to");
    output.stdout_has("audit.key_file: others can write to");
}
