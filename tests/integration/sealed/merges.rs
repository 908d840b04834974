//! Two writers of one store, and git between them.

use super::*;

/// A repository with a store that has one secret, on two branches. Both have the same identity.
fn branches() -> Hushpipe {
    let output = set(initialised(), "shared", "before")
        .args(["secret", "list"])
        .run();
    let place = output.place();
    git(place, &["init", "-q", "-b", "main"]);
    commit(place, "the store");
    git(place, &["branch", "theirs"]);
    output.again()
}

fn git(place: &Place, arguments: &[&str]) -> bool {
    let author = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    let output = Command::new("git")
        .args(author)
        .args(arguments)
        .current_dir(place.path())
        .env("HOME", place.path())
        .env("HUSHPIPE_STATE_DIRECTORY", place.join(".state"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    output.status.success()
}

fn commit(place: &Place, message: &str) {
    assert!(git(place, &["add", "secrets"]));
    assert!(git(place, &["commit", "-q", "-m", message]));
}

/// What one branch sets, in a state of the host that knows that branch alone.
fn on_branch(hushpipe: Hushpipe, branch: &str, secrets: &[(&str, &str)]) -> Hushpipe {
    let output = hushpipe.args(["secret", "verify", "--accept-store"]).run();
    let place = output.place();
    assert!(git(place, &["checkout", "-q", branch]), "{branch}");
    fs::remove_dir_all(place.join(".state")).unwrap();
    let mut hushpipe = output.again();
    for (name, value) in secrets {
        hushpipe = set(hushpipe, name, *value);
    }
    let output = hushpipe.args(["secret", "verify"]).run().success();
    commit(output.place(), branch);
    output.again()
}

#[test]
fn git_merges_what_two_writers_set() {
    let hushpipe = on_branch(branches(), "theirs", &[("shared", "of theirs"), ("b", "2")]);
    let hushpipe = on_branch(hushpipe, "main", &[("shared", "of ours"), ("a", "1")]);
    let output = hushpipe.args(["secret", "list"]).run().success();
    assert!(
        !git(output.place(), &["merge", "-q", "theirs"]),
        "a conflict"
    );
    let output = output.again().args(["secret", "merge"]).run().success();
    let output = output
        .stderr_has("shared: both sides set it; version 2 is current, and version 3")
        .stderr_has("now `git add");
    commit(output.place(), "merged");
    let output = output.again().args(["secret", "verify"]).run().success();
    let mut hushpipe = output.again();
    for (name, value) in [("shared", "of ours"), ("a", "1"), ("b", "2")] {
        let output = get(hushpipe, &[name]).success().stdout_is(value);
        hushpipe = output.again();
    }
    let output = get(hushpipe, &["shared", "--version", "3"]).success();
    let output = output.stdout_is("of theirs");
    let current = format!("{SECRETS}/shared/current.age");
    let opened = tool(output.place(), "age", &["-d", "-i", "id", &current]);
    assert_eq!(opened, b"of ours");
}

#[test]
fn as_gits_driver_it_merges_different_secrets_without_a_conflict() {
    let hushpipe = on_branch(branches(), "theirs", &[("b", "2")]);
    let hushpipe = on_branch(hushpipe, "main", &[("a", "1")]);
    let output = hushpipe.args(["secret", "list"]).run().success();
    let place = output.place();
    let binary = env!("CARGO_BIN_EXE_hushpipe");
    let driver = format!("{binary} secret --store secrets --identity id merge %O %A %B");
    assert!(git(place, &["config", "merge.hushpipe.driver", &driver]));
    assert!(git(place, &["merge", "-q", "-m", "merged", "theirs"]));
    let output = output.again().args(["secret", "verify"]).run().success();
    let output = get(output.again(), &["a"]).success().stdout_is("1");
    get(output.again(), &["b"]).success().stdout_is("2");
}

#[test]
fn an_index_with_conflicts_says_what_ends_them() {
    let hushpipe = on_branch(branches(), "theirs", &[("shared", "of theirs")]);
    let hushpipe = on_branch(hushpipe, "main", &[("shared", "of ours")]);
    let output = hushpipe.args(["secret", "list"]).run().success();
    assert!(
        !git(output.place(), &["merge", "-q", "theirs"]),
        "a conflict"
    );
    let output = get(output.again(), &["shared"]).code(77);
    let output = output.stderr_has("hushpipe secret merge");
    let output = output.again().args(["secret", "merge"]).run().success();
    let output = output.again().args(["secret", "merge"]).run().success();
    assert!(git(output.place(), &["merge", "--abort"]));
    output
        .again()
        .args(["secret", "merge"])
        .run()
        .code(65)
        .stderr_has("git has no conflict in");
}
