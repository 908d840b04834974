//! The options that containers are run with: every delivery arrives, hushpipe is a good first
//! process, and nobody who asks the engine sees a value.

use std::fs;
use std::time::{Duration, Instant};

use super::{Container, give, unseen};
use crate::harness::{Place, deadline, descendants, wait_until};
use crate::leak::Canary;

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
  getenv: { store: given, key: getenv }
deliver:
  - { file: @/file, secret: file }
  - { fifo: @/fifo, secret: fifo }
  - { fd: 3, as: memfd, secret: memfd }
  - { fd: 4, as: pipe, secret: pipe }
  - { stdin: true, secret: stdin }
  - { credentials: [credential], directory: @-credentials }
  - { getenv: BY_GETENV, secret: getenv, children: same }
";

const KINDS: [&str; 7] = [
    "file",
    "memfd",
    "pipe",
    "stdin",
    "fifo",
    "credential",
    "getenv",
];

/// Shows digests of what it was given, makes orphans, leaves one who tells of its end, and waits for
/// SIGTERM; a stubborn one ignores it.
const SCRIPT: &str = "digests() {
    sha256sum <@/file; sha256sum </dev/fd/3; sha256sum <&4; sha256sum; sha256sum <@/fifo
    sha256sum <$CREDENTIALS_DIRECTORY/credential
    sh -c 'printf %s \"$BY_GETENV\"' | sha256sum
}
orphans() {
    i=0; while [ $i -lt ORPHANS ]; do (true & true & true & true & true &); i=$((i+1)); done
    echo made $((i*5)).
}
case $(cat /given/how) in
stubborn) trap 'echo asked' TERM ;;
*) trap 'exit 3' TERM; digests; cat /given/disk >/tmp/disk; orphans ;;
esac
trap 'echo hung up' HUP
setsid sh -c 'trap \"echo left over; exit\" TERM; echo left.; while :; do sleep 1000 & wait; done' &
echo ready; while :; do sleep 1000 & wait $!; done";

/// One row of the matrix.
struct Row {
    options: &'static [&'static str],
    /// Where files go.
    directory: &'static str,
    isolation: &'static str,
    /// How many times five orphans.
    orphans: usize,
}

impl Row {
    const fn shared(options: &'static [&'static str], directory: &'static str) -> Self {
        Self {
            options,
            directory,
            isolation: "shared",
            orphans: 20,
        }
    }

    const fn private(options: &'static [&'static str], directory: &'static str) -> Self {
        Self {
            isolation: "private",
            ..Self::shared(options, directory)
        }
    }

    fn run(&self) {
        let canaries: Vec<Canary> = KINDS.iter().map(|kind| Canary::new(kind)).collect();
        let controls = unseen::Controls::new();
        let container = self.start(&canaries, &controls);
        self.assert_delivered(&container, &canaries);
        let pid = container.pid();
        let reaped = wait_until(|| zombies(pid).is_empty().then_some(()));
        assert!(reaped.is_some(), "{:?}", zombies(pid));
        let on_disk = !self.options.contains(&"--read-only");
        unseen::assert_unseen(&container, &canaries, &controls, on_disk);
        assert_signals(&container);
    }

    fn start(&self, canaries: &[Canary], controls: &unseen::Controls) -> Container {
        let place = Place::new();
        let here = |text: &str| text.replace('@', self.directory);
        give(&place, "hushpipe.yaml", here(MANIFEST));
        give(&place, "how", "");
        give(&place, "disk", controls.disk.value());
        for canary in canaries {
            let path = format!("secrets/{}", canary.name);
            give(&place, &path, canary.value());
        }
        let variable = format!("--env=CONTROL={}", controls.variable.value());
        let mut options = vec![variable.as_str()];
        options.extend(self.options);
        let script = here(SCRIPT).replace("ORPHANS", &self.orphans.to_string());
        let container = Container::start(place, &options, &script);
        // Thousands of forks, beside other containers.
        let patience = if self.orphans > 1_000 { 6 } else { 1 };
        container.wait_for_times("ready", 1, deadline() * patience);
        container
    }

    fn assert_delivered(&self, container: &Container, canaries: &[Canary]) {
        let logs = container.logs();
        for canary in canaries {
            let arrived = logs.contains(&digest(&canary.value()));
            assert!(arrived, "{}:\n{logs}", canary.name);
        }
        let isolation = format!("isolation: {}", self.isolation);
        assert!(logs.contains(&isolation), "{logs}");
        let made = format!("made {}.", self.orphans * 5);
        assert!(logs.contains(&made), "{logs}");
        // Another process of the container's own user sees what is shared, and nothing else.
        let listed = container
            .engine
            .try_docker(["exec", &container.id, "ls", self.directory]);
        let listed = String::from_utf8_lossy(&listed.stdout).contains("fifo");
        assert_eq!(listed, self.isolation == "shared", "{:?}", self.options);
    }
}

/// A signal is passed on, the end is the program's own and in time, and whom it left is ended; the
/// second request ends what ignores the first.
fn assert_signals(container: &Container) {
    container.wait_for("left.");
    container.signal("HUP");
    container.wait_for("hung up");
    container.ends_in_time(3, "ready");
    let logs = container.logs();
    assert!(logs.contains("left over"), "{logs}");

    give(&container.place, "how", "stubborn");
    container.start_again("ready");
    let since = Instant::now();
    container.signal("TERM");
    container.wait_for("asked");
    container.signal("TERM");
    assert_eq!(container.wait(), 137, "{}", container.logs());
    // By itself it would have been after 30 seconds.
    let took = since.elapsed();
    assert!(took < Duration::from_secs(25), "{took:?}");
}

/// The state letter and name of every process below one.
pub fn zombies(pid: i32) -> Vec<String> {
    let stat = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let all = descendants(pid);
    let all = all.iter().filter_map(stat);
    all.filter(|text| text.contains(") Z ")).collect()
}

fn digest(value: &str) -> String {
    use sha2::Digest as _;
    format!("{:x}", sha2::Sha256::digest(value.as_bytes()))
}

const NO_APPARMOR: &str = "--security-opt=apparmor=unconfined";

#[test]
fn by_default() {
    let row = Row {
        orphans: 2_000,
        ..Row::shared(&[], "/dev/shm/app")
    };
    row.run();
}

#[test]
fn as_a_user() {
    Row::shared(&["--user=1000:1000"], "/dev/shm/app").run();
}

#[test]
fn read_only() {
    Row::shared(&["--read-only"], "/dev/shm/app").run();
}

#[test]
fn without_capabilities() {
    Row::shared(&["--cap-drop=ALL"], "/dev/shm/app").run();
}

#[test]
fn as_a_user_read_only_and_without_capabilities() {
    let options = &["--user=1000:1000", "--read-only", "--cap-drop=ALL"];
    Row::shared(options, "/dev/shm/app").run();
}

#[test]
fn without_a_seccomp_filter() {
    let options = &["--security-opt=seccomp=unconfined"];
    Row::shared(options, "/dev/shm/app").run();
}

#[test]
fn as_a_user_without_a_seccomp_filter() {
    let options = &[
        "--security-opt=seccomp=unconfined",
        NO_APPARMOR,
        "--user=1000:1000",
        "--read-only",
    ];
    Row::private(options, "/dev/shm/app").run();
}

#[test]
fn with_the_right_to_mount() {
    Row::private(&["--cap-add=SYS_ADMIN", NO_APPARMOR], "/run/app").run();
}

#[test]
fn with_a_tmpfs() {
    Row::shared(&["--tmpfs=/run", "--read-only"], "/run/app").run();
}

#[test]
fn as_a_user_with_a_tmpfs() {
    let options = &[
        "--user=1000:1000",
        "--read-only",
        "--cap-drop=ALL",
        "--tmpfs=/run:uid=1000",
    ];
    Row::shared(options, "/run/app").run();
}

#[test]
fn without_shared_memory() {
    Row::shared(&["--ipc=none"], "/dev/shm/app").run();
    Row::shared(&["--ipc=none", "--tmpfs=/run"], "/run/app").run();
}

#[test]
fn with_few_processes() {
    let row = Row {
        orphans: 1,
        ..Row::shared(&["--pids-limit=24"], "/dev/shm/app")
    };
    row.run();
}

#[test]
fn on_a_terminal() {
    Row::shared(&["--tty"], "/dev/shm/app").run();
}
