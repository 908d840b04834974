//! Every seed of tests/fuzz, in every run of the tests.

use std::fs;
use std::path::Path;

use crate::stores::sealed::fuzzing::sealed;
use crate::stores::vault::fuzzing::vault;
use crate::supervisor::notify::fuzzing::notify;

fn run(seeds: &str, target: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(seeds);
    let mut count = 0;
    for entry in fs::read_dir(&seeds).expect("the seeds are there") {
        let path = entry.expect("an entry can be read").path();
        let data = fs::read(&path).expect("a seed can be read");
        // The test's output names the one that fails.
        println!("{}", path.display());
        target(&data);
        target(&data[..data.len() / 2]);
        count += 1;
    }
    assert!(count > 0, "no seeds in {}", seeds.display());
    target(b"");
}

#[test]
fn manifests_of_the_seeds_are_read() {
    run("fuzz/seeds/manifest", super::manifest);
    run("vectors/manifests/good", super::manifest);
}

#[test]
fn sites_of_the_seeds_are_read() {
    run("fuzz/seeds/site", super::site);
    run("vectors/sites/good", super::site);
}

#[test]
fn templates_of_the_seeds_are_rendered() {
    run("fuzz/seeds/template", super::template);
}

#[test]
fn sealed_files_of_the_seeds_are_opened() {
    run("fuzz/seeds/sealed", sealed);
}

#[test]
fn env_files_of_the_seeds_are_read() {
    run("fuzz/seeds/dotenv", super::dotenv);
}

#[test]
fn vault_answers_of_the_seeds_are_read() {
    run("fuzz/seeds/vault", vault);
}

#[test]
fn notify_messages_of_the_seeds_are_heard() {
    run("fuzz/seeds/notify", notify);
}

#[test]
fn control_requests_of_the_seeds_are_read() {
    run("fuzz/seeds/control", super::control);
}

#[test]
fn requests_for_approval_of_the_seeds_are_read() {
    run("fuzz/seeds/request", super::request);
}

#[test]
fn signatures_of_the_seeds_are_read() {
    run("fuzz/seeds/signature", super::signature);
    run("vectors/sshsig", super::signature);
}

#[test]
fn notes_and_submissions_of_the_seeds_are_read() {
    run("fuzz/seeds/audit", super::audit);
}

#[cfg(feature = "policy")]
#[test]
fn policies_of_the_seeds_are_read() {
    run("fuzz/seeds/policy", super::policy);
}
