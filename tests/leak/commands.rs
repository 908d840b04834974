//! What hushpipe starts beside the program, and what the program starts: their environment, arguments
//! and descriptors hold nothing of a value.

use super::canary::Canary;
use super::deliveries::{COMMAND, assert_clean, canaries};
use super::scan::Scan;
use super::stocked::{Kind, Stocked};
use crate::harness::{Hushpipe, descendants, walk};

/// Writes down all that a process is started with, then becomes the command.
const RECORDER: &str = r#"#!/bin/sh
PLACE=${0%/*} name=$1; shift
{
    tr '\0' '\n' </proc/$$/environ
    tr '\0' '\n' </proc/$$/cmdline
    cat /proc/$$/status
    for fd in /proc/$$/fd/*; do
        number=${fd##*/}
        readlink $fd
        # Files and memfds can be read again; pipes are the program's to read.
        [ $number -le 2 ] || [ ! -f $fd ] || cat <$fd
    done
} >$PLACE/seen/$name.$$ 2>&1
exec "$@"
"#;

const DELIVER: &str = r#"
deliver:
  - { file: "{place}/run/file", secret: file }
  - { fd: 3, as: memfd, secret: memfd }
  - { fd: 4, as: pipe, secret: pipe }
  - { stdin: true, secret: stdin }
  - { fifo: "{place}/run/fifo", secret: fifo }
isolation: private
run:
  command: ["{place}/recorder", program, "{probe}", digest, "4", digest, "0", digest-file, "{place}/run/fifo",
    leave, orphan, on, TERM, "exit:0", serve]
on_rotate:
  do: command
  command: ["{place}/recorder", on_rotate, "true"]
  settle: 0s
  verify: { command: ["{place}/recorder", verify, test, "!", -e, "{place}/bad"], within: 3s }
"#;

#[test]
fn no_process_is_started_with_anything_of_a_value() {
    let names = ["file", "memfd", "pipe", "stdin", "fifo"];
    let mut all = canaries(&names);
    let control = Canary::new("control");
    let hushpipe = Hushpipe::new()
        .directory("run")
        .directory("seen")
        .env("CONTROL", control.value());
    let hushpipe = hushpipe.env("PLACE", "{place}");
    let (stocked, hushpipe) = Stocked::new(Kind::Command, hushpipe, &all);
    let recorded = COMMAND
        .replace("[cat", "[\"{place}/recorder\", store, cat")
        .replace(" }", ", env: [PLACE] }");
    let text = stocked.manifest(hushpipe.place(), &names, DELIVER);
    let text = text.replace(COMMAND, &recorded);
    let hushpipe = hushpipe.file("recorder", RECORDER).mode("recorder", 0o755);
    let running = hushpipe.manifest(&text).args(["run", "-vvv"]).spawn();
    running.wait_for_line("ready");
    stocked.rotate_and_roll_back(&running, &mut all);
    let scan = Scan::new(&all);
    let mut names = vec!["program.", "store.", "verify.", "on_rotate."];
    let mut found = Vec::new();
    for path in walk(&running.place().join("seen")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let bytes = std::fs::read(&path).expect("nobody removes it");
        found.extend(scan.bytes(&name, &bytes));
        names.retain(|wanted| !name.starts_with(wanted));
    }
    assert_eq!(names, [""; 0], "not everything was started");
    // One of the program's own descriptors is its memfd: the scan sees it.
    assert!(
        !found.is_empty(),
        "the scan does not see what is in a memfd"
    );
    let is_memfd = |hit: &String| hit.starts_with("memfd, ") && hit.contains(" in program.");
    assert!(found.iter().all(is_memfd), "{found:?}");
    let tree = descendants(running.pid());
    // The program, who left it for a session of its own, and an orphan.
    assert!(tree.len() >= 3, "{tree:?}");
    assert_clean(&running, &control, &all.iter().collect::<Vec<_>>());
    running.signal(nix::sys::signal::Signal::SIGKILL);
}
