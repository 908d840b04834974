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
    for isolation in ["auto", "private", "shared"] {
        refused_on("mount -o remount,ro,bind /", file("/nowhere/a", isolation), 71)
            .stderr_has("/nowhere: it is not there, and the filesystem is read-only")
            .stderr_has("create the directory in the image");
    }
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

#[test]
fn no_dev_shm() {
    // On the disk below, without a tmpfs, or not at all.
    for setup in ["umount /dev/shm; umount /dev/shm || true", "mount -t tmpfs none /dev"] {
        let setup = format!("{setup}; mkdir -p /dev/shm; mknod /dev/null c 1 3 || true");
        let output = alone(&setup, file("/run/d/a", "auto")).success();
        output.stdout_has(DIGEST).stderr_is("");
    }
}

#[test]
fn shared_files_on_a_disk() {
    refused_on("", file("{place}/d/a", "shared"), 71)
        .stderr_has("file {place}/d/a: ")
        .stderr_has("shared files go to memory alone (tmpfs or ramfs)")
        .stderr_has("choose a path below /dev/shm or /run");
}

#[test]
fn no_file_descriptors_left() {
    for files in [4, 6, 8, 10, 12, 14, 16, 18] {
        let setup = format!("set -- prlimit --nofile={files} \"$@\"");
        let output = alone(&setup, launch(""));
        eprintln!("{files} {} {}", output.status, output.stderr());
    }
}

/// As in a container whose runtime denies user namespaces: who is in a chroot gets none.
const NO_NAMESPACES: &str = "mkdir /mnt/root 2>/dev/null; mount -t tmpfs none /mnt && mkdir /mnt/root
mount --rbind / /mnt/root
set -- chroot --userspec=1000:1000 --groups= /mnt/root /bin/sh -c 'cd \"$TEST_PLACE\"; exec \"$@\"' sh \"$@\"";

#[test]
fn no_user_namespaces_and_isolation_auto() {
    let output = alone(NO_NAMESPACES, given(file("/dev/shm/d/a", "auto"))).success();
    output.stdout_has(DIGEST).stderr_has("shared");
}

#[test]
fn no_user_namespaces_and_isolation_private() {
    refused_on(NO_NAMESPACES, given(file("/dev/shm/d/a", "private")), 71).stderr_has("private");
}

#[test]
fn no_user_namespaces_as_user() {
    let output = alone(AS_USER, given(file("/dev/shm/d/a", "private"))).success();
    output.stdout_has(DIGEST);
}
