//! The options that containers are run with: every delivery arrives, hushpipe is a good first
//! process, and nobody who asks the engine sees a value.

use std::fs;
use std::time::Duration;

use super::{Container, give};
use crate::harness::{Place, descendants, wait_until};
use crate::leak::{Canary, Scan};

/// Every kind of delivery; `@` is where files go.
const MANIFEST: &str = "version: 1
service: matrix
stores:
  given: { type: directory, path: /given/secrets }
secrets:
  file: { store: given, key: file }
  memfd: { store: given, key: memfd }
  pipe: { store: given, key: pipe }
  stdin: { store: given, key: stdin }
  fifo: { store: given, key: fifo }
  credential: { store: given, key: credential }
deliver:
  - { file: @/file, secret: file }
  - { fifo: @/fifo, secret: fifo }
  - { fd: 3, as: memfd, secret: memfd }
  - { fd: 4, as: pipe, secret: pipe }
  - { stdin: true, secret: stdin }
  - { credentials: [credential], directory: @-credentials }
";

const KINDS: [&str; 6] = ["file", "memfd", "pipe", "stdin", "fifo", "credential"];

/// Shows digests of what it was given, makes orphans, and waits for SIGTERM.
const SCRIPT: &str = "trap 'exit 3' TERM
sha256sum <@/file; sha256sum </dev/fd/3; sha256sum <&4; sha256sum; sha256sum <@/fifo
sha256sum <$CREDENTIALS_DIRECTORY/credential
i=0; while [ $i -lt ORPHANS ]; do (true & true & true & true & true &); i=$((i+1)); done
echo ready; while :; do sleep 0.05; done";

/// The state letter and name of every process below one.
fn zombies(pid: i32) -> Vec<String> {
    let stat = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let all = descendants(pid);
    let all = all.iter().filter_map(stat);
    all.filter(|text| text.contains(") Z ")).collect()
}

fn digest(value: &str) -> String {
    use sha2::Digest as _;
    format!("{:x}", sha2::Sha256::digest(value.as_bytes()))
}

/// One row: the options, where files go, the isolation that is found, how many times five orphans.
fn row(options: &[&str], directory: &str, isolation: &str, orphans: usize) {
    let canaries: Vec<Canary> = KINDS.iter().map(|kind| Canary::new(kind)).collect();
    let place = Place::new();
    give(&place, "hushpipe.yaml", MANIFEST.replace('@', directory));
    for canary in &canaries {
        let path = format!("secrets/{}", canary.name);
        give(&place, &path, canary.value());
    }
    let script = SCRIPT.replace('@', directory);
    let script = script.replace("ORPHANS", &orphans.to_string());
    let container = Container::start(place, options, &script);
    container.wait_for("ready");
    let logs = container.logs();
    for canary in &canaries {
        assert!(
            logs.contains(&digest(&canary.value())),
            "{}:\n{logs}",
            canary.name
        );
    }
    assert!(logs.contains(&format!("isolation: {isolation}")), "{logs}");
    let pid = container.pid();
    let reaped = wait_until(|| zombies(pid).is_empty().then_some(()));
    assert!(reaped.is_some(), "{:?}", zombies(pid));
    assert_unseen(&container, &canaries);
    let (code, took) = container.stop();
    assert_eq!(code, 3, "{}", container.logs());
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// Neither hushpipe's memory nor anything that the engine tells has a value.
fn assert_unseen(container: &Container, canaries: &[Canary]) {
    let scan = Scan::new(canaries);
    let mut hits = Vec::new();
    let clean = wait_until(|| {
        hits = scan.memory(container.pid()).hits;
        hits.is_empty().then_some(())
    });
    assert!(clean.is_some(), "{hits:?}");
    let mut tree = descendants(container.pid());
    tree.push(container.pid());
    assert_eq!(scan.shown(&tree), [""; 0]);
    let id = container.id.as_str();
    for words in [
        &["inspect", id][..],
        &["logs", id],
        &["top", id, "-eo", "pid,args"],
        &["export", id],
        &["history", "--no-trunc", super::engine::IMAGE],
    ] {
        let told = container.engine.try_docker(words);
        assert!(told.status.success(), "{words:?}");
        assert!(!told.stdout.is_empty() || words[0] == "logs", "{words:?}");
        for stream in [told.stdout, told.stderr] {
            assert_eq!(scan.bytes(words[0], &stream), [""; 0]);
        }
    }
}

#[test]
fn by_default() {
    row(&[], "/dev/shm/app", "shared", 2_000);
}

#[test]
fn as_a_user() {
    row(&["--user=1000:1000"], "/dev/shm/app", "shared", 20);
}

#[test]
fn read_only() {
    row(&["--read-only"], "/dev/shm/app", "shared", 20);
}

#[test]
fn without_capabilities() {
    row(&["--cap-drop=ALL"], "/dev/shm/app", "shared", 20);
}

#[test]
fn as_a_user_read_only_and_without_capabilities() {
    let options = ["--user=1000:1000", "--read-only", "--cap-drop=ALL"];
    row(&options, "/dev/shm/app", "shared", 20);
}

#[test]
fn without_a_seccomp_filter() {
    let options = ["--security-opt=seccomp=unconfined"];
    row(&options, "/dev/shm/app", "shared", 20);
}

#[test]
fn as_a_user_without_a_seccomp_filter() {
    let options = [
        "--security-opt=seccomp=unconfined",
        "--user=1000:1000",
        "--read-only",
    ];
    row(&options, "/dev/shm/app", "private", 20);
}

#[test]
fn with_the_right_to_mount() {
    row(&["--cap-add=SYS_ADMIN"], "/run/app", "private", 20);
}

#[test]
fn with_a_tmpfs() {
    let options = ["--tmpfs=/run", "--read-only"];
    row(&options, "/run/app", "shared", 20);
}

#[test]
fn without_shared_memory() {
    let options = ["--ipc=none", "--tmpfs=/run"];
    row(&options, "/run/app", "shared", 20);
}

#[test]
fn with_few_processes() {
    row(&["--pids-limit=16"], "/dev/shm/app", "shared", 1);
}

#[test]
fn on_a_terminal() {
    row(&["--tty"], "/dev/shm/app", "shared", 20);
}

/// An image made of a running container that has a file in this directory.
fn commit(options: &[&str], directory: &str) {
    let canary = Canary::new("file");
    let place = Place::new();
    give(&place, "secrets/file", canary.value());
    let manifest = format!(
        "version: 1\nservice: commit\nstores:\n  given: {{ type: directory, path: /given/secrets }}\n\
         secrets:\n  file: {{ store: given, key: file }}\n\
         deliver:\n  - {{ file: {directory}/file, secret: file }}\n"
    );
    give(&place, "hushpipe.yaml", manifest);
    let script = "sha256sum <DIR/file; trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let container = Container::start(place, options, &script.replace("DIR", directory));
    container.wait_for(&digest(&canary.value()));
    let image = container.engine.ask(["commit", &container.id]);
    let saved = container.engine.try_docker(["save", &image]);
    let history = container
        .engine
        .try_docker(["history", "--no-trunc", &image]);
    container.engine.ask(["image", "rm", &image]);
    assert!(saved.stdout.len() > 1_000_000);
    let scan = Scan::new([&canary]);
    assert_eq!(scan.bytes("the image", &saved.stdout), [""; 0]);
    assert!(history.status.success());
    assert_eq!(scan.bytes("its history", &history.stdout), [""; 0]);
}

#[test]
fn a_commit_of_a_running_container_has_no_value() {
    commit(&[], "/dev/shm/app");
    commit(&["--tmpfs=/run"], "/run/app");
    commit(&["--cap-add=SYS_ADMIN"], "/run/app");
}
