//! `mode: exec`: hushpipe becomes the program.

use std::fs;

use super::{Memory, VALUE, launch, seen_by};
use crate::harness::{Hushpipe, children};

fn exec(rest: &str) -> Hushpipe {
    launch(&format!("{rest}mode: exec\n"))
}

const ALL: &str = "deliver:\n\
                   \x20 - { file: '{place}/s/token', secret: token }\n\
                   \x20 - { fd: 3, as: memfd, secret: token }\n\
                   \x20 - { fd: 4, as: pipe, secret: token }\n\
                   \x20 - { stdin: true, secret: token }\n";

#[test]
fn the_program_has_hushpipes_place_and_every_delivery() {
    for uid in [0, 1000] {
        let running = exec(ALL)
            .user(uid)
            .args(["--", "{probe}", "read", "3", "read", "4", "read", "0"])
            .args(["cat", "{place}/s/token", "say", "", "serve"])
            .spawn();
        assert_eq!(running.wait_for_line(""), VALUE.repeat(4));
        running.wait_for_line("ready");
        let pid = running.pid();
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        assert!(program.ends_with("bin/probe"), "{program:?}");
        assert_eq!(children(pid), [0; 0]);
        let token = running.place().join("s/token");
        assert!(fs::symlink_metadata(&token).is_err(), "it is seen outside");
        assert_eq!(fs::read_to_string(seen_by(pid, &token)).unwrap(), VALUE);
        running.signal(nix::sys::signal::Signal::SIGKILL);
        running.wait().killed_by(nix::sys::signal::Signal::SIGKILL);
    }
}

#[test]
fn the_programs_end_is_its_own() {
    exec(ALL).args(["--", "{probe}", "exit", "9"]).run().code(9);
}

/// Refused before anything is fetched or started.
fn refused(hushpipe: Hushpipe, code: i32, why: &str) {
    hushpipe
        .args(["--", "{probe}", "say", "started"])
        .run()
        .code(code)
        .stdout_is("")
        .stderr_has(why);
}

#[test]
fn what_needs_a_parent_is_refused() {
    let fifo = "deliver:\n  - { fifo: '{place}/s/fifo', secret: token }\n";
    refused(exec(fifo), 78, "a fifo does not work");
    refused(launch(fifo).arg("--exec"), 78, "a fifo does not work");
    let memory = Memory::new();
    let shared = memory
        .fill("deliver:\n  - { file: '{memory}/s/token', secret: token }\nisolation: shared\n");
    refused(exec(&shared), 78, "isolation: shared");
    refused(launch(&shared).arg("--exec"), 78, "isolation: shared");
    assert!(memory.is_empty());
}

#[test]
fn a_pipe_that_does_not_hold_its_value_is_refused() {
    let larger = vec![b'x'; 3 << 20];
    for delivery in ["fd: 3, as: pipe", "stdin: true"] {
        let hushpipe = exec(&format!("deliver:\n  - {{ {delivery}, secret: token }}\n"));
        // Root's pipes may be larger than /proc/sys/fs/pipe-max-size.
        let hushpipe = hushpipe.file("secrets/token", &larger).user(1000);
        refused(hushpipe, 71, "`as: memfd`");
    }
}
