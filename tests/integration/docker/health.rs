//! `HEALTHCHECK CMD ["hushpipe", "status", "--check"]`, as the engine sees it.

use super::{Container, give, look};
use crate::harness::{Place, deadline};

const MANIFEST: &str = "version: 1
service: health
stores:
  given: { type: directory, path: /given/secrets }
secrets:
  token: { store: given, key: token, check: { min_length: 8 } }
deliver:
  - { fifo: /dev/shm/app/token, secret: token }
";

/// Waits for what the engine says of the container's health, and the last answer with it.
fn wait_for(container: &Container, health: &str) -> String {
    let seen = look(deadline() * 2, || {
        let told = container.inspect("{{.State.Health.Status}}");
        (told == health).then_some(())
    });
    let log = "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}";
    let answers = container.inspect(log);
    assert!(seen.is_some(), "not {health}: {answers}");
    let mut answers = answers.lines().filter(|line| !line.is_empty());
    answers.next_back().unwrap_or_default().to_owned()
}

/// Healthy, then a value that fails its check, then a good one.
fn in_a_container(options: &[&str]) {
    let place = Place::new();
    give(&place, "hushpipe.yaml", MANIFEST);
    give(&place, "secrets/token", "12345678");
    let check = "--health-cmd=hushpipe status --check";
    let mut all = vec![check, "--health-interval=1s", "--health-retries=1"];
    all.extend(options);
    let script = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done";
    let container = Container::start(place, &all, script);
    let answer = wait_for(&container, "healthy");
    assert_eq!(answer, "0 healthy: health, generation 1");
    give(&container.place, "secrets/token", "wrong1");
    let answer = wait_for(&container, "unhealthy");
    assert!(answer.starts_with("1 not healthy: health: "), "{answer}");
    assert!(answer.contains("token"), "{answer}");
    assert!(!answer.contains("wrong1"), "{answer}");
    give(&container.place, "secrets/token", "abcdefgh");
    let answer = wait_for(&container, "healthy");
    assert_eq!(answer, "0 healthy: health, generation 2");
}

#[test]
fn the_engine_sees_it_come_and_go() {
    in_a_container(&[]);
}

#[test]
fn it_is_seen_as_a_user_without_capabilities_on_a_read_only_root() {
    in_a_container(&["--user=1000:1000", "--read-only", "--cap-drop=ALL"]);
}
