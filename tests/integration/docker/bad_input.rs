//! Containers that lack what hushpipe would like to have.

use super::matrix::zombies;
use super::{Container, give};
use crate::harness::{Place, wait_until};

const MANIFEST: &str = "version: 1
service: lacking
stores:
  given: { type: directory, path: /given/secrets }
secrets:
  token: { store: given, key: token }
deliver:
  - { file: /dev/shm/app/token, secret: token }
  - { fd: 3, as: memfd, secret: token }
  - { fd: 4, as: pipe, secret: token }
";

fn place() -> Place {
    let place = Place::new();
    give(&place, "hushpipe.yaml", MANIFEST);
    give(&place, "secrets/token", "12345678");
    place
}

/// What the deliveries become: the file, the memfd and the pipe.
const READ: &str = "cat /dev/shm/app/token; cat <&3; cat <&4; echo";

#[test]
fn without_proc_the_first_process_hands_over_reaps_and_ends_as_ever() {
    // Mounting is what takes /proc away here; the engine itself does not start one without.
    let script = format!(
        "umount -l /proc && exec hushpipe run -m /given/hushpipe.yaml -- sh -c '
         trap \"exit 9\" TERM; {READ}
         i=0; while [ $i -lt 40 ]; do (true & true & true & true & true &); i=$((i+1)); done
         echo parent $PPID; echo ready; while :; do sleep 1000 & wait $!; done'"
    );
    let options = ["--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined"];
    let container = Container::raw(place(), &options, &["sh", "-c", &script]);
    container.wait_for("ready");
    let logs = container.logs();
    assert!(logs.contains(&"12345678".repeat(3)), "{logs}");
    assert!(logs.contains("parent 1\n"), "{logs}");
    let pid = container.pid();
    let reaped = wait_until(|| zombies(pid).is_empty().then_some(()));
    assert!(reaped.is_some(), "{:?}", zombies(pid));
    container.ends_in_time(9, "ready");
}

#[test]
fn without_proc_a_process_beside_the_first_one_hands_over_as_well() {
    let script = format!(
        "umount -l /proc && hushpipe run -m /given/hushpipe.yaml -- sh -c '{READ}; exit 9'; exit $?"
    );
    let options = ["--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined"];
    let container = Container::raw(place(), &options, &["sh", "-c", &script]);
    assert_eq!(container.wait(), 9, "{}", container.logs());
    let logs = container.logs();
    assert!(logs.contains(&"12345678".repeat(3)), "{logs}");
}

#[test]
fn without_a_process_to_spare_it_says_so() {
    // The engine's own first process has threads, which count: what is left is used up after it.
    let script = "(while :; do sleep 1000 & done) 2>/dev/null; sleep 1000 &
                  exec hushpipe run -m /given/hushpipe.yaml -- true";
    let command = ["sh", "-c", script];
    let container = Container::raw(place(), &["--pids-limit=16"], &command);
    let logs = || container.logs();
    assert_eq!(container.wait(), 71, "{}", logs());
    assert!(logs().contains("--pids-limit"), "{}", logs());
}
