//! Hosts that refuse.

use super::{AS_USER, alone, given, launch, refused_on};
use crate::harness::Hushpipe;

/// A launch that delivers a file there, with this isolation.
fn file(path: &str, isolation: &str) -> Hushpipe {
    launch(&format!(
        "deliver: [{{ file: '{path}', secret: token }}]\nisolation: {isolation}\n\
         run: {{ command: ['{{probe}}', digest-file, '{path}'] }}"
    ))
}

const DIGEST: &str = "digest ";

#[test]
fn a_read_only_root_with_nothing_to_mount_on() {
    let setup = "mount -o remount,ro,bind /";
    for isolation in ["auto", "private"] {
        refused_on(setup, file("/nowhere/a", isolation), 71).stderr_is(
            "hushpipe: error: hushpipe.yaml:3:13: /nowhere: it does not exist, and the filesystem \
             is read-only: create the directory in the image\n",
        );
    }
    refused_on(setup, file("/nowhere/a", "shared"), 71)
        .stderr_has("hushpipe.yaml:3:13: /nowhere: / is on ")
        .stderr_has("give the container one (--tmpfs /nowhere)");
}

#[test]
fn a_read_only_root_with_a_directory_to_mount_on() {
    let setup = "mkdir /tmp/d; mount -t tmpfs none /tmp/d; mkdir /tmp/d/e
                 mount -o remount,ro /tmp/d; mount -o remount,ro,bind /";
    for isolation in ["auto", "private"] {
        let output = alone(setup, file("/tmp/d/e/a", isolation)).success();
        output.stdout_has(DIGEST).stderr_is("");
    }
}

/// As a container without a tmpfs there: what is there is on the root's disk.
const NO_DEV_SHM: &str = "mount -o bind /etc /dev/shm && mount -o remount,bind,ro /dev/shm";

#[test]
fn no_tmpfs_on_dev_shm() {
    let output = alone(NO_DEV_SHM, file("/run/d/a", "auto")).success();
    output.stdout_has(DIGEST).stderr_is("");
    refused_on(NO_DEV_SHM, file("/dev/shm/d/a", "shared"), 71)
        .stderr_has("shared files go to memory alone (tmpfs or ramfs)");
}

#[test]
fn shared_files_on_a_disk() {
    refused_on("", file("{place}/d/a", "shared"), 71)
        .stderr_has("hushpipe.yaml:3:13: {place}/d: {place} is on ")
        .stderr_has("shared files go to memory alone (tmpfs or ramfs)")
        .stderr_has("choose a path below /dev/shm or /run")
        .stderr_has("(--tmpfs {place}/d)");
}

/// From too few for anything to enough: each number fails another step, and none leaves anything.
#[test]
fn no_file_descriptors_left() {
    for (mode, isolation) in [
        (None, "private"),
        (None, "shared"),
        (Some("--exec"), "private"),
    ] {
        let limited = |files: u32| {
            let hushpipe = file("/run/d/a", isolation).args(mode);
            // In exec mode nobody is left to remove a directory that was made.
            let made = mode.map_or("", |_| "mkdir /run/d");
            let setup = format!("{made}\nset -- prlimit --nofile={files} \"$@\"");
            alone(&setup, hushpipe)
        };
        let enough = (4..40).find(|files| {
            let output = limited(*files);
            let started = output.status.success();
            if !started {
                output
                    .code(71)
                    .stdout_is("")
                    .stderr_has("Too many open files")
                    .stderr_has("raise the limit of open files (ulimit -n");
            }
            started
        });
        assert!(enough.is_some_and(|files| files > 6), "{enough:?}");
    }
}

/// As in a container whose runtime denies user namespaces: who is in a chroot gets none.
const NO_NAMESPACES: &str = "mkdir /mnt/root 2>/dev/null; mount -t tmpfs none /mnt && mkdir /mnt/root
mount --rbind / /mnt/root
set -- chroot --userspec=1000:1000 --groups= /mnt/root /bin/sh -c 'cd \"$TEST_PLACE\"; exec \"$@\"' sh \"$@\"";

#[test]
fn no_user_namespaces_and_isolation_auto() {
    let output = alone(NO_NAMESPACES, given(file("/dev/shm/d/a", "auto"))).success();
    output
        .stdout_has(DIGEST)
        .stderr_has("hushpipe: warning: the program can read what hushpipe reads secrets with (")
        .stderr_has(
            "hushpipe: isolation: shared, because cannot make a mount namespace for the program: \
             Operation not permitted; user namespaces may be turned off here; `isolation: shared` \
             does without\n",
        );
}

#[test]
fn no_user_namespaces_and_isolation_private() {
    for mode in [None, Some("--exec")] {
        let hushpipe = given(file("/dev/shm/d/a", "private")).args(mode);
        refused_on(NO_NAMESPACES, hushpipe, 71)
            .stderr_has("isolation: private is not possible here: cannot make a mount namespace")
            .stderr_has("`isolation: auto` takes shared files where this happens")
            .stderr_has("`hushpipe doctor` tells what this host allows");
    }
}

#[test]
fn no_user_namespaces_and_no_memory_to_share() {
    let setup = format!("{NO_DEV_SHM}\n{NO_NAMESPACES}");
    refused_on(&setup, given(file("/dev/shm/d/a", "auto")), 71).stderr_has("/dev/shm/d: ");
}

/// What the tests above take away.
#[test]
fn user_namespaces_as_another_user() {
    for mode in [None, Some("--exec")] {
        let hushpipe = given(file("/dev/shm/d/a", "private")).args(mode);
        let setup = format!("mkdir -m 777 /dev/shm/d\n{AS_USER}");
        let output = alone(&setup, hushpipe).success();
        output.stdout_has(DIGEST).stderr_is("");
    }
}
