//! The directory that hushpipe is started in.

use std::fs;
use std::process::Command;

use crate::harness::{Hushpipe, Running};

/// Shows where it starts, and leaves as daemons do.
const PROGRAM: &str = "pwd; cd /; echo ready; trap 'exit 0' TERM; while :; do sleep 0.05; done";

fn start(start: &str, on_rotate: &str) -> Running {
    let text = format!(
        "version: 1\nservice: test\nstores: {{ dir: {{ type: directory, path: values }} }}\n\
         secrets: {{ token: {{ store: dir, key: token }} }}\n\
         deliver: [{{ file: \"{{place}}/run/token\", secret: token }}]\n\
         run: {{ command: [sh, -c, \"{PROGRAM}\"] }}\n{on_rotate}"
    );
    let hushpipe = Hushpipe::new().manifest(&text).file("values/token", "one");
    let hushpipe = hushpipe.directory("elsewhere");
    let hushpipe = hushpipe.through(&["unshare", "--mount", "sh", "-c", start, "sh"]);
    let running = hushpipe
        .args(["run", "-v", "-m", "{place}/hushpipe.yaml"])
        .spawn();
    running.wait_for_line("ready");
    running
}

#[test]
fn the_file_system_of_the_directory_that_it_was_started_in_can_be_unmounted() {
    let mount = "mount -t tmpfs none elsewhere && cd elsewhere && exec \"$@\"";
    let running = start(mount, "on_rotate: { do: nothing }\n");
    let pid = running.pid();
    running.until("it has left", || {
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        (cwd.to_str() == Some("/")).then_some(())
    });
    let unmounted = Command::new("nsenter")
        .args(["--mount", "--target", &pid.to_string(), "umount"])
        .arg(running.place().join("elsewhere"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&unmounted.stderr);
    assert!(unmounted.status.success(), "{said}");
    // The manifest's own relative paths still lead where they did.
    running.place().replace("values/token", "two");
    running.wait_for_stderr("generation 2 is in place");
    running.stop().success();
}

#[test]
fn what_is_started_later_starts_where_the_first_program_did() {
    let enter = "cd elsewhere && exec \"$@\"";
    let running = start(enter, "on_rotate: { do: restart, settle: 0s }\n");
    running.place().replace("values/token", "two");
    running.wait_for_stderr("generation 2 is in place");
    running.wait_for_line("ready");
    let output = running.stop().success();
    let directory = output.place().join("elsewhere");
    let directory = directory.display();
    assert_eq!(
        output.stdout(),
        format!("{directory}\nready\n{directory}\nready\n")
    );

    let command = "on_rotate: { do: command, command: [sh, -c, \"pwd >&2\"], settle: 0s }\n";
    let running = start(enter, command);
    let directory = running.place().join("elsewhere");
    running.place().replace("values/token", "two");
    running.wait_for_stderr(&directory.display().to_string());
    running.stop().success();
}
