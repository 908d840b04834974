//! `isolation: shared`: a 0700 directory in memory, gone at the end.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;

use super::{Memory, SERVE, STOPPED, VALUE, launch, read_as, shell};
use crate::harness::{Hushpipe, Running, is_alive};

const TWO: &str = "deliver:\n\
                   \x20 - { file: '{memory}/s/token', secret: token }\n\
                   \x20 - { fifo: '{memory}/deep/er/fifo', secret: token }\n\
                   isolation: shared\n";

fn shared(memory: &Memory) -> Hushpipe {
    launch(&memory.fill(TWO))
}

fn serving(hushpipe: Hushpipe) -> Running {
    let running = hushpipe.args(SERVE).spawn();
    running.wait_for_line("ready");
    running
}

#[test]
fn files_are_for_the_program_alone() {
    for uid in [0, 1000] {
        let memory = Memory::given_to(uid);
        let running = serving(shared(&memory).user(uid));
        let (directory, token) = (memory.join("s"), memory.join("s/token"));
        let status = fs::metadata(&directory).unwrap();
        assert_eq!((status.mode() & 0o7777, status.uid()), (0o700, uid));
        let status = fs::metadata(&token).unwrap();
        assert_eq!((status.mode() & 0o7777, status.uid()), (0o400, uid));
        assert_eq!(read_as(uid, &token).unwrap(), VALUE);
        assert!(read_as(1001, &token).unwrap_err().contains("denied"));
        assert_eq!(read_as(uid, &memory.join("deep/er/fifo")).unwrap(), VALUE);
        running.stop().code(STOPPED);
        assert!(memory.is_empty());
    }
}

#[test]
fn a_program_that_runs_as_another_user_reads_its_files() {
    let memory = Memory::new();
    launch(&format!("{}run: {{ user: '1000' }}\n", memory.fill(TWO)))
        .args(shell(&memory.fill(
            "id -u; stat -L -c '%a %u %g' {memory}/s {memory}/s/token {memory}/deep/er/fifo; \
             cat {memory}/s/token {memory}/deep/er/fifo",
        )))
        .run()
        .success()
        .stdout_is(&format!(
            "1000\n700 1000 1000\n400 1000 1000\n400 1000 1000\n{VALUE}{VALUE}"
        ));
    assert!(memory.is_empty());
}

#[test]
fn a_disk_is_refused() {
    // The places of tests are on a disk on most hosts: /var is on nearly all.
    let output = launch(
        "deliver:\n  - { file: '/var/lib/hushpipe-test/token', secret: token }\nisolation: shared\n",
    )
    .args(["--", "{probe}", "say", "started"])
    .run()
    .code(71)
    .stdout_is("")
    .stderr_has("memory alone (tmpfs or ramfs)")
    .stderr_has("/dev/shm");
    let kind = std::process::Command::new("stat")
        .args(["-f", "-c", "%T", "/var/lib"])
        .output()
        .unwrap();
    let kind = String::from_utf8(kind.stdout).unwrap();
    // stat(1) says ext2/ext3 for all of ext.
    let kind = &kind.trim()[..3];
    output.stderr_has(&format!("/var/lib is on {kind}"));
}

#[test]
fn everything_is_gone_at_the_end() {
    let memory = Memory::new();
    let cat = memory.fill("{memory}/s/token");
    let output = shared(&memory)
        .args(["--", "{probe}", "cat", &cat, "exit", "7"])
        .run();
    output.code(7).stdout_is(VALUE);
    assert!(memory.is_empty());

    let running = serving(shared(&memory));
    running.signal_to(running.program(), Signal::SIGKILL);
    running.wait().code(137);
    assert!(memory.is_empty());

    let broken = shared(&memory)
        .file("broken", "\x7fELF")
        .mode("broken", 0o755);
    broken.args(["--", "{place}/broken"]).run().code(126);
    assert!(memory.is_empty());
}

#[test]
fn an_existing_directory_stays() {
    let memory = Memory::new();
    fs::create_dir(memory.join("s")).unwrap();
    shared(&memory)
        .args(["--", "{probe}", "say", "x"])
        .run()
        .success();
    assert!(fs::read_dir(memory.join("s")).unwrap().next().is_none());
    assert!(!memory.join("deep").exists());
}

#[test]
fn a_directory_with_entries_is_never_used() {
    let memory = Memory::new();
    fs::create_dir(memory.join("s")).unwrap();
    fs::write(memory.join("s/other"), "mine").unwrap();
    shared(&memory)
        .args(["--", "{probe}", "say", "started"])
        .run()
        .code(71)
        .stdout_is("")
        .stderr_has("\"other\"");
    assert_eq!(fs::read_to_string(memory.join("s/other")).unwrap(), "mine");
    assert!(!memory.join("deep").exists());
}

#[test]
fn what_a_killed_hushpipe_left_is_swept_by_the_next_shared_or_not() {
    for next in ["shared", "private"] {
        let memory = Memory::new();
        let running = serving(shared(&memory));
        let program = running.program();
        running.signal(Signal::SIGKILL);
        running.until("the program died too", || {
            (!is_alive(program)).then_some(())
        });
        let output = running.wait().killed_by(Signal::SIGKILL);
        assert!(memory.join("s/token").exists(), "the test tests nothing");

        // The value that the next one delivers is its own.
        let place = output.place();
        place.write("secrets/token", "battery-staple");
        let manifest = place.read("hushpipe.yaml");
        let isolation = format!("isolation: {next}");
        place.write(
            "hushpipe.yaml",
            manifest.replace("isolation: shared", &isolation),
        );
        let cat = memory.fill("{memory}/s/token");
        output
            .again()
            .args(["run", "-v", "--", "{probe}", "cat", &cat])
            .args(["cat", &memory.fill("{memory}/deep/er/fifo")])
            .run()
            .success()
            .stdout_is("battery-staplebattery-staple")
            .stderr_has(&isolation)
            .stderr_has(&memory.fill("removed {memory}/s, left by a hushpipe that died"))
            .stderr_has(&memory.fill("removed {memory}/deep/er, left by"));
        assert!(memory.is_empty(), "also what was made above a directory");
    }
}

#[test]
fn an_existing_directory_stays_also_after_a_death() {
    let memory = Memory::new();
    fs::create_dir(memory.join("s")).unwrap();
    let running = serving(shared(&memory));
    running.signal(Signal::SIGKILL);
    let output = running.wait().killed_by(Signal::SIGKILL);
    output
        .again()
        .args(["run", "--", "{probe}", "say", "x"])
        .run()
        .success();
    assert!(fs::read_dir(memory.join("s")).unwrap().next().is_none());
    assert!(!memory.join("deep").exists());
}

#[test]
fn a_second_one_is_refused_while_the_first_runs() {
    let memory = Memory::new();
    let running = serving(shared(&memory));
    shared(&memory)
        .args(["--", "{probe}", "say", "started"])
        .run()
        .code(71)
        .stdout_is("")
        .stderr_has("another running hushpipe delivers into it");
    let token = memory.join("s/token");
    assert_eq!(fs::read_to_string(token).unwrap(), VALUE);
    running.stop().code(STOPPED);
    assert!(memory.is_empty());
}

#[test]
fn anothers_directory_is_refused() {
    let memory = Memory::given_to(1000);
    fs::create_dir(memory.join("s")).unwrap();
    let owner = fs::metadata(memory.join("s")).unwrap().uid();
    assert_eq!(owner, 0);
    shared(&memory)
        .user(1000)
        .args(["--", "{probe}", "say", "started"])
        .run()
        .code(71)
        .stdout_is("")
        .stderr_has(&memory.fill("{memory}/s"));
}

#[test]
fn another_owner_and_another_group_reach_their_files_and_nothing_else() {
    let memory = Memory::new();
    let deliver = "isolation: shared\ndeliver:\n  \
                   - { file: '{memory}/s/owned', secret: token, owner: '1000' }\n  \
                   - { file: '{memory}/s/grouped', secret: token, group: '1001', mode: '0440' }\n  \
                   - { file: '{memory}/s/mine', secret: token }\n";
    let script = "as() { setpriv --reuid $1 --regid $2 --clear-groups $3 $4 2>&1; }; \
                  as 1000 1000 cat {memory}/s/owned; as 1002 1001 cat {memory}/s/grouped; \
                  as 1000 1000 cat {memory}/s/mine && exit 3; \
                  as 1000 1000 ls {memory}/s && exit 4; stat -c %a {memory}/s";
    let output = launch(&memory.fill(deliver))
        .args(shell(&memory.fill(script)))
        .run()
        .success();
    let output = output.stdout();
    assert!(output.starts_with(&VALUE.repeat(2)), "{output}");
    assert_eq!(output.matches("Permission denied").count(), 2, "{output}");
    assert!(output.ends_with("711\n"), "{output}");
}
