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

const ROOT: &str = "--cap-add SYS_ADMIN";
const OTHER: &str = "--security-opt seccomp=unconfined";

/// What a container has, and the flag that it lacks for private files.
const LACKING: [(&[&str], &str); 5] = [
    (&[], ROOT),
    (&["--cap-drop=ALL", "--read-only"], ROOT),
    (&["--security-opt=seccomp=unconfined"], ROOT),
    (&["--user=1000:1000"], OTHER),
    (
        &["--user=1000:1000", "--cap-drop=ALL", "--read-only"],
        OTHER,
    ),
];

#[test]
fn private_files_name_the_flag_that_allows_them() {
    for (options, flag) in LACKING {
        let (code, said) = run(options, "/dev/shm/app", "private", "true");
        assert_eq!(code, 71, "{options:?}: {said}");
        assert!(said.contains(flag), "{options:?}: {said}");
    }
}

#[test]
fn the_flags_that_are_named_do_allow_them() {
    for (options, flag) in LACKING {
        // Where the engine has AppArmor, the message names this one too.
        let apparmor = "--security-opt=apparmor=unconfined";
        let mut all: Vec<&str> = flag.split(' ').chain([apparmor]).collect();
        all.extend(options);
        let (code, said) = run(&all, "/dev/shm/app", "private", "exit 5");
        assert_eq!(code, 5, "{all:?}: {said}");
    }
}

#[test]
fn root_is_told_why_it_gets_shared_files_without_a_seccomp_filter() {
    let options = ["--security-opt=seccomp=unconfined", "--cap-drop=ALL"];
    for options in [&options[..1], &options] {
        let (code, said) = run(options, "/dev/shm/app", "auto", "exit 5");
        assert_eq!(code, 5, "{said}");
        assert!(said.contains("isolation: shared"), "{said}");
        assert!(said.contains("private files need CAP_SYS_ADMIN"), "{said}");
    }
}

/// Fails, names a flag, and works with it.
fn flag_that_helps(options: &[&str], directory: &str, flag: &str) {
    let (code, said) = run(options, directory, "auto", "exit 5");
    assert_eq!(code, 71, "{options:?}: {said}");
    assert!(said.contains(flag), "{options:?}: {said}");
    let words: Vec<&str> = flag.split(' ').chain(options.iter().copied()).collect();
    let (code, said) = run(&words, directory, "auto", "exit 5");
    assert_eq!(code, 5, "{words:?}: {said}");
}

#[test]
fn files_never_go_to_the_image_s_disk() {
    flag_that_helps(&[], "/run/app", "--tmpfs /run/app");
}

#[test]
fn a_user_is_told_of_a_tmpfs_that_it_may_deliver_into() {
    let user = "--user=1000:1000";
    let app = "--tmpfs /run/app:uid=1000,mode=0700";
    flag_that_helps(&[user, "--cap-drop=ALL"], "/run/app", app);
    // /run is a tmpfs then, with the mode that it has in the image; of another user, in the last case.
    flag_that_helps(&[user, "--read-only", "--tmpfs=/run"], "/run/app", app);
    let others = "--tmpfs=/run/app:uid=7,mode=0777";
    let (code, said) = run(&[user, others], "/run/app", "auto", "true");
    assert_eq!(code, 71, "{said}");
    assert!(said.contains(app), "{said}");
    // /dev is the engine's, so that no image has anything there.
    let shm = "--tmpfs /dev/shm/app:uid=1000,mode=0700";
    flag_that_helps(&[user, "--ipc=none"], "/dev/shm/app", shm);
}
