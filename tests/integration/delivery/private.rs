//! `isolation: private`: files that the program's own processes see, and nobody else.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::{SERVE, STOPPED, VALUE, launch, read_as, seen_by, shell};
use crate::harness::{Hushpipe, Output, Running};

const TOKEN: &str = "deliver:\n  - { file: \"{place}/private/token\", secret: token }\n\
                     isolation: private\n";

fn serving(hushpipe: Hushpipe) -> Running {
    let running = hushpipe.args(SERVE).spawn();
    running.wait_for_line("ready");
    running
}

/// What a test may see of a private directory: that it is empty but for the mark of who made it.
fn is_seen_by_the_program_alone(running: &Running) {
    let path = running.place().join("private/token");
    assert!(fs::symlink_metadata(&path).is_err(), "it is seen outside");
    let directory = running.place().join("private");
    let names = fs::read_dir(directory).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| name == ".hushpipe"));
    let inside = seen_by(running.program(), &path);
    assert_eq!(fs::read_to_string(&inside).unwrap(), VALUE);
    assert!(read_as(1001, &inside).is_err());
    // Not even hushpipe is in there: it keeps a descriptor.
    assert!(fs::symlink_metadata(seen_by(running.pid(), &path)).is_err());
}

#[test]
fn files_are_seen_by_the_program_alone() {
    let running = serving(launch(TOKEN));
    is_seen_by_the_program_alone(&running);
    assert!(running.stderr().contains("isolation: private"));
    let output = running.stop().code(STOPPED);
    assert!(!output.place().join("private").exists());
}

#[test]
fn files_are_seen_by_an_unprivileged_users_program_alone() {
    let running = serving(launch(TOKEN).user(1000));
    is_seen_by_the_program_alone(&running);
    let ours = seen_by(running.program(), &running.place().join("private/token"));
    assert_eq!(fs::metadata(ours).unwrap().uid(), 1000);
    let output = running.stop().code(STOPPED);
    assert!(!output.place().join("private").exists());
}

/// Whoever maps a user namespace is open to others of its user for that time, and a child of hushpipe
/// has a copy of its memory.
#[test]
fn an_unprivileged_users_namespace_is_there_before_the_first_value_is() {
    let manifest = format!(
        "version: 1\nservice: t\n\
         stores:\n  slow: {{ type: command, run: [sh, -c, \"cat {{place}}/gate\"] }}\n\
         secrets:\n  token: {{ store: slow }}\n{TOKEN}"
    );
    let hushpipe = Hushpipe::new().manifest(&manifest).args(["run", "-v"]);
    let gate = hushpipe.place().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    let running = hushpipe.user(1000).args(SERVE).spawn();
    // Opened when the store's command has opened it too.
    let gate = fs::OpenOptions::new().write(true).open(gate).unwrap();
    let process = |file: &str| format!("/proc/{}/{file}", running.pid());
    let fds = fs::read_dir(process("fd")).unwrap();
    let links = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    let made: Vec<PathBuf> = links
        .filter(|link| link.to_string_lossy().starts_with("user:["))
        .collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(fs::metadata(process("environ")).unwrap().uid(), 0);
    (&gate).write_all(VALUE.as_bytes()).unwrap();
    drop(gate);
    running.wait_for_line("ready");
    let its = fs::read_link(format!("/proc/{}/ns/user", running.program())).unwrap();
    assert_eq!(its, made[0]);
    running.stop().code(STOPPED);
}

#[test]
fn two_programs_with_the_same_path_each_have_their_own_to_the_end() {
    let first = serving(launch(TOKEN));
    let place = first.place().path().to_owned();
    let second = Hushpipe::new();
    let path = place.join("private/token");
    let text = format!(
        "version: 1\nservice: other\n\
         stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n\
         deliver:\n  - {{ file: \"{}\", secret: token }}\nisolation: private\n",
        path.display()
    );
    let second = second.file("secrets/token", "another's").manifest(&text);
    let second = serving(second.arg("run"));
    let inside = seen_by(second.program(), &path);
    let output = first.stop().code(STOPPED);
    // With the directory the mount on it would be gone, in every namespace.
    assert_eq!(fs::read_to_string(&inside).unwrap(), "another's");
    second.stop().code(STOPPED);
    assert!(!output.place().join("private").exists());
}

#[test]
fn what_a_killed_hushpipe_made_to_mount_on_goes_with_the_next() {
    let running = serving(launch(TOKEN));
    running.signal(nix::sys::signal::Signal::SIGKILL);
    let output = running.wait().killed_by(nix::sys::signal::Signal::SIGKILL);
    assert!(
        output.place().join("private").exists(),
        "the test tests nothing"
    );
    let running = serving(output.again().arg("run"));
    let output = running.stop().code(STOPPED);
    assert!(!output.place().join("private").exists());
}

#[test]
fn nothing_is_left_mounted_outside() {
    let running = serving(launch(TOKEN));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = running.place().join("private");
    assert!(!mounts.contains(path.to_str().unwrap()), "{mounts}");
    let inside = fs::read_to_string(format!("/proc/{}/mountinfo", running.program())).unwrap();
    let mount = inside
        .lines()
        .find(|line| line.contains(path.to_str().unwrap()))
        .expect("it is a mount there");
    for option in ["nosuid", "nodev", "noexec", " tmpfs "] {
        assert!(mount.contains(option), "{mount}");
    }
}

#[test]
fn grandchildren_see_the_files() {
    launch(TOKEN)
        .args(shell(
            "/bin/sh -c 'cat \"$0/private/token\"; :' \"$HOME\"; :",
        ))
        .run()
        .success()
        .stdout_is(VALUE);
}

/// Each file's mode, owner and group, as the program sees them through the links.
fn described(output: &Output) -> Vec<String> {
    output.stdout().lines().map(str::to_owned).collect()
}

#[test]
fn modes_and_owners_are_the_manifests() {
    let output = launch(
        "deliver:\n\
         \x20 - { file: '{place}/s/plain', secret: token }\n\
         \x20 - { file: '{place}/s/owned', secret: token, mode: '0640', owner: '1000', group: '1001' }\n\
         \x20 - { file: '{place}/s/daemon', secret: token, mode: '0440', group: daemon }\n\
         \x20 - { fifo: '{place}/s/fifo', secret: token, mode: '0620', owner: '1000' }\n\
         isolation: private\n",
    )
    .args(shell(
        "cd {place}/s; stat -L -c '%n %a %u:%G %F' daemon fifo owned plain | sed s/:UNKNOWN/:-/",
    ))
    .run()
    .success();
    let described = described(&output);
    assert_eq!(described[0], "daemon 440 0:daemon regular file");
    assert_eq!(described[1], "fifo 620 1000:root fifo");
    assert!(described[2].starts_with("owned 640 1000:"), "{described:?}");
    assert_eq!(described[3], "plain 400 0:root regular file");
}

#[test]
fn another_user_reads_what_is_its_own_alone() {
    let output = launch(
        "deliver:\n\
         \x20 - { file: '{place}/s/token', secret: token, owner: '1000' }\n\
         isolation: private\n",
    )
    .args(shell(
        "for uid in 1000 1001; do \
           setpriv --reuid=$uid --regid=$uid --clear-groups cat {place}/s/token; echo \" $uid $?\"; \
         done",
    ))
    .run()
    .success();
    let output = output.stdout_is(&format!("{VALUE} 1000 0\n 1001 1\n"));
    output.stderr_has("Permission denied");
}

#[test]
fn a_program_that_runs_as_another_user_reads_its_files() {
    let run = "run: { user: '1000', group: '1001' }\n";
    launch(&format!("{TOKEN}{run}"))
        .args(shell(
            "id -u; id -g; stat -L -c '%a %u %g' {place}/private/token; cat {place}/private/token",
        ))
        .run()
        .success()
        .stdout_is(&format!("1000\n1001\n400 1000 1001\n{VALUE}"));
}

#[test]
fn a_directory_with_entries_is_never_covered() {
    for mode in [&["--"][..], &["--exec", "--"]] {
        let output = launch(TOKEN)
            .file("private/other", "mine")
            .args(mode.iter().copied())
            .args(["{probe}", "say", "started"])
            .run()
            .code(71)
            .stdout_is("")
            .stderr_has("{place}/private")
            .stderr_has("\"other\"");
        assert_eq!(output.place().read("private/other"), "mine");
        assert_eq!(
            fs::read_dir(output.place().join("private"))
                .unwrap()
                .count(),
            1
        );
    }
}

#[test]
fn mount_points_that_were_made_are_removed_and_others_stay() {
    let several = "deliver:\n\
                   \x20 - { file: '{place}/there/one', secret: token }\n\
                   \x20 - { file: '{place}/new/two', secret: token }\n\
                   \x20 - { file: '{place}/deep/er/three', secret: token }\n\
                   \x20 - { file: '{place}/deep/er/four', secret: token }\n\
                   isolation: private\n";
    let launch = || launch(several).directory("there").mode("there", 0o711);
    let same = |output: Output| {
        let mut entries = output.place().entries();
        entries.retain(|entry| entry != "broken");
        assert_eq!(
            entries,
            ["hushpipe.yaml", "secrets", "secrets/token", "there"]
        );
        let mode = fs::metadata(output.place().join("there")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o711);
    };
    let ends = "cat {place}/there/one {place}/new/two {place}/deep/er/three {place}/deep/er/four";
    let output = launch().args(shell(ends)).run().success();
    same(output.stdout_is(&VALUE.repeat(4)));
    let running = serving(launch());
    assert!(running.place().join("deep/er").is_dir());
    same(running.stop().code(STOPPED));
    // A file that only the kernel refuses, in the end.
    let broken = || launch().file("broken", "\x7fELF").mode("broken", 0o755);
    same(broken().args(["--", "{place}/broken"]).run().code(126));
    same(
        broken()
            .args(["--exec", "--", "{place}/broken"])
            .run()
            .code(126),
    );
}

#[test]
fn what_others_put_into_a_mount_point_stays() {
    let running = serving(launch(TOKEN));
    running.place().write("private/guest", "here");
    let output = running.stop().code(STOPPED);
    assert_eq!(output.place().read("private/guest"), "here");
}
