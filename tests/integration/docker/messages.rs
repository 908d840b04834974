//! What hushpipe says where a container does not allow what the manifest asks for.

use super::{Container, give};
use crate::harness::Place;

/// Runs with these options until its end; gives the exit code and what was said.
fn run(options: &[&str], directory: &str, isolation: &str, script: &str) -> (i32, String) {
    let place = Place::new();
    give(&place, "secrets/token", "12345678");
    let manifest = format!(
        "version: 1\nservice: t\nstores:\n  given: {{ type: directory, path: /given/secrets }}\n\
         secrets:\n  token: {{ store: given, key: token }}\n\
         deliver:\n  - {{ file: {directory}/token, secret: token }}\n\
         isolation: {isolation}\n"
    );
    give(&place, "hushpipe.yaml", manifest);
    let container = Container::start(place, options, script);
    let code = container.wait();
    (code, container.logs())
}

#[test]
fn private_files_name_the_flag_that_allows_them() {
    const ROOT: &str = "--cap-add SYS_ADMIN";
    const OTHER: &str = "--security-opt seccomp=unconfined";
    for (options, flag) in [
        (&[][..], ROOT),
        (&["--cap-drop=ALL", "--read-only"], ROOT),
        (&["--security-opt=seccomp=unconfined"], ROOT),
        (&["--user=1000:1000"], OTHER),
        (
            &["--user=1000:1000", "--cap-drop=ALL", "--read-only"],
            OTHER,
        ),
    ] {
        let (code, said) = run(options, "/dev/shm/app", "private", "true");
        assert_eq!(code, 71, "{options:?}: {said}");
        assert!(said.contains(flag), "{options:?}: {said}");
    }
}

#[test]
fn the_flags_that_are_named_do_allow_them() {
    let (code, said) = run(&["--cap-add=SYS_ADMIN"], "/run/app", "private", "exit 5");
    assert_eq!(code, 5, "{said}");
    let options = ["--user=1000:1000", "--security-opt=seccomp=unconfined"];
    let (code, said) = run(&options, "/dev/shm/app", "private", "exit 5");
    assert_eq!(code, 5, "{said}");
}

#[test]
fn files_never_go_to_the_image_s_disk() {
    let (code, said) = run(&[], "/run/app", "auto", "true");
    assert_eq!(code, 71, "{said}");
    assert!(said.contains("--tmpfs /run"), "{said}");
}

#[test]
fn without_shared_memory_a_user_is_told_to_make_the_directory() {
    let options = ["--ipc=none", "--user=1000:1000"];
    let (code, said) = run(&options, "/dev/shm/app", "auto", "true");
    assert_eq!(code, 71, "{said}");
    assert!(said.contains("create the directory beforehand"), "{said}");
}
