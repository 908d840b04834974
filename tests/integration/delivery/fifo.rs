//! FIFOs: each opening reads the current value once, whole, and then the end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::{Memory, SERVE, STOPPED, VALUE, launch, seen_by, shell};
use crate::harness::Running;

const SHARED: &str = "deliver:\n\
                      \x20 - { fifo: '{memory}/s/fifo', secret: token }\n\
                      isolation: shared\n";

fn serving(rest: &str) -> Running {
    let running = launch(rest).arg("-v").args(SERVE).spawn();
    running.wait_for_line("ready");
    running
}

fn shared(memory: &Memory) -> (Running, PathBuf) {
    (serving(&memory.fill(SHARED)), memory.join("s/fifo"))
}

#[test]
fn readers_one_after_the_other_have_a_value_each() {
    let memory = Memory::new();
    let (running, path) = shared(&memory);
    for round in 0..200 {
        let read = fs::read_to_string(&path);
        let whole = read.as_ref().is_ok_and(|value| value == VALUE);
        assert!(whole, "round {round}: {read:?}, {}", running.stderr());
    }
    running.wait_for_stderr("200");
    running.stop().code(STOPPED);
}

#[test]
fn the_program_reads_in_its_private_directory() {
    let private = "deliver:\n  - { fifo: '{place}/s/fifo', secret: token }\nisolation: private\n";
    for uid in [0, 1000] {
        launch(private)
            .user(uid)
            .args(shell("for i in 1 2 3 4 5; do cat {place}/s/fifo; done"))
            .run()
            .success()
            .stdout_is(&VALUE.repeat(5));
    }
    let running = serving(private);
    let path = running.place().join("s/fifo");
    assert!(fs::symlink_metadata(&path).is_err(), "it is seen outside");
    let inside = seen_by(running.program(), &path);
    assert_eq!(fs::read_to_string(inside).unwrap(), VALUE);
}

/// What so many cat(1) get that are started at once.
fn at_once(path: &Path, count: usize) -> Vec<String> {
    let readers: Vec<_> = (0..count)
        .map(|_| {
            let mut cat = Command::new("cat");
            cat.arg(path).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let read = readers.into_iter().map(|reader| {
        let output = reader.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    });
    read.collect()
}

#[test]
fn readers_at_once_have_a_value_each() {
    let memory = Memory::new();
    let (running, path) = shared(&memory);
    for round in 0..5 {
        let read = at_once(&path, 50);
        let odd: Vec<_> = read.iter().filter(|value| *value != VALUE).collect();
        assert!(odd.is_empty(), "round {round}: {odd:?}");
    }
    running.wait_for_stderr("250");
    running.stop().code(STOPPED);
}

/// Starts so many readers at once, so often, and tells how many times each value came.
const AT_ONCE: &str = "cd \"$1\"; while [ $2 -gt 0 ]; do \
                         i=$3; while [ $i -gt 0 ]; do \
                           i=$((i-1)); (v=$(cat fifo); echo \"<$v>\") & \
                         done; wait; set -- \"$1\" $(($2-1)) $3; \
                       done | sort | uniq -c | tr -s ' '";

#[test]
fn the_programs_own_readers_at_once_have_a_value_each() {
    let deliver = "deliver:\n  - { fifo: '{directory}/fifo', secret: token }\nisolation: ";
    let memory = Memory::given_to(1000);
    let below = memory.fill("{memory}/s");
    for (directory, isolation, uid, run) in [
        ("{place}/s", "private", 0, ""),
        ("{place}/s", "private", 0, "run: { user: '1000' }\n"),
        ("{place}/s", "private", 1000, ""),
        (&below, "shared", 1000, ""),
    ] {
        let deliver = deliver.replace("{directory}", directory);
        launch(&format!("{deliver}{isolation}\n{run}"))
            .user(uid)
            .args(shell(AT_ONCE))
            .args(["sh", directory, "5", "50"])
            .run()
            .success()
            .stdout_is(&format!(" 250 <{VALUE}>\n"));
    }
}

#[test]
fn readers_from_inside_and_outside_at_once_have_a_value_each() {
    let memory = Memory::new();
    let running = launch(&memory.fill(SHARED))
        .args(shell(AT_ONCE))
        .args(["sh", &memory.fill("{memory}/s"), "2", "25"])
        .spawn();
    let path = memory.join("s/fifo");
    running.until("the FIFO is there", || path.exists().then_some(()));
    let read = at_once(&path, 25);
    let odd: Vec<_> = read.iter().filter(|value| *value != VALUE).collect();
    assert!(odd.is_empty(), "{odd:?}");
    let output = running.wait().success();
    output.stdout_is(&format!(" 50 <{VALUE}>\n"));
}

#[test]
fn an_opening_counts_as_a_read() {
    let memory = Memory::new();
    let limited = SHARED.replace("secret: token", "secret: token, max_reads: 1");
    let running = serving(&memory.fill(&limited));
    let path = memory.join("s/fifo");
    drop(File::open(&path).unwrap());
    running.until("it is taken away", || (!path.exists()).then_some(()));
    running.stop().code(STOPPED);
}

#[test]
fn large_values_come_whole() {
    let memory = Memory::new();
    let value = "0123456789abcdef".repeat(1 << 14);
    let running = launch(&memory.fill(SHARED))
        .file("secrets/token", &value)
        .args(SERVE)
        .spawn();
    running.wait_for_line("ready");
    for _ in 0..3 {
        assert!(fs::read_to_string(memory.join("s/fifo")).unwrap() == value);
    }
}

#[test]
fn a_reader_that_goes_away_disturbs_nobody() {
    let memory = Memory::new();
    let (running, path) = shared(&memory);
    for _ in 0..20 {
        drop(File::open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), VALUE);
    }
    // One that stays and reads nothing keeps nobody waiting.
    let stays = File::open(&path).unwrap();
    assert_eq!(at_once(&path, 3), [VALUE; 3]);
    drop(stays);
    assert_eq!(fs::read_to_string(&path).unwrap(), VALUE);
    running.stop().code(STOPPED);
    assert!(memory.is_empty());
}

#[test]
fn it_is_taken_away_after_so_many_reads() {
    let memory = Memory::new();
    let limited = SHARED.replace("secret: token", "secret: token, max_reads: 2");
    let running = serving(&memory.fill(&limited));
    let path = memory.join("s/fifo");
    for _ in 0..2 {
        assert_eq!(fs::read_to_string(&path).unwrap(), VALUE);
    }
    assert!(!path.exists());
    running.stop().code(STOPPED);
    assert!(memory.is_empty());
}

#[test]
fn a_waiting_reader_does_not_keep_hushpipe() {
    let memory = Memory::new();
    let (running, path) = shared(&memory);
    let reader = File::open(path).unwrap();
    running.signal(Signal::SIGTERM);
    running.wait().code(STOPPED);
    drop(reader);
    assert!(memory.is_empty());
}

#[test]
fn fifos_and_files_stand_side_by_side() {
    let memory = Memory::new();
    let both = "deliver:\n\
                \x20 - { fifo: '{memory}/s/fifo', content: '<{{ token }}>' }\n\
                \x20 - { file: '{memory}/s/file', secret: token }\n";
    for isolation in ["private", "shared"] {
        launch(&memory.fill(&format!("{both}isolation: {isolation}\n")))
            .args(shell(&memory.fill("cd {memory}/s; ls; cat fifo file fifo")))
            .run()
            .success()
            .stdout_is(&format!("fifo\nfile\n<{VALUE}>{VALUE}<{VALUE}>"));
        assert!(memory.is_empty());
    }
}
