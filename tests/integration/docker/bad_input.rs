//! Containers that lack what hushpipe would like to have.

use super::{Container, give};
use crate::harness::Place;

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

#[test]
fn without_proc_the_program_runs_with_its_secrets() {
    // Mounting is what takes /proc away here; the engine itself does not start one without.
    let script = "umount -l /proc && exec hushpipe run -m /given/second.yaml -- \
                  sh -c 'cat /dev/shm/second/token; cat <&3; cat <&4; echo; exit 9'";
    let options = ["--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined"];
    let place = place();
    let second = MANIFEST.replace("/shm/app", "/shm/second");
    give(&place, "second.yaml", second);
    let container = Container::start(place, &options, script);
    assert_eq!(container.wait(), 9, "{}", container.logs());
    let logs = container.logs();
    assert!(logs.contains(&"12345678".repeat(3)), "{logs}");
}

#[test]
fn without_a_process_to_spare_it_says_so() {
    let container = Container::start(place(), &["--pids-limit=1"], "true");
    let logs = || container.logs();
    assert_eq!(container.wait(), 71, "{}", logs());
    assert!(logs().contains("--pids-limit"), "{}", logs());
}
