//! What is wrong with a store, an identity or an argument is said, and changes nothing.

use super::*;

#[test]
fn a_value_in_the_arguments_is_refused_with_the_reason() {
    let hushpipe = set(initialised(), "token", "old");
    let output = hushpipe
        .args(["secret", "set", "token", "hunter2-canary"])
        .run();
    let output = output.code(64).stderr_has("others can read it there");
    let output = output.says_nothing_of("hunter2-canary");
    get(output.again(), &["token"]).stdout_is("old");
}

#[test]
fn names_that_leave_the_store_are_refused() {
    let mut hushpipe = initialised();
    for name in [
        "../x",
        "/etc/x",
        "a//b",
        "a/../../b",
        ".x",
        "a\nb",
        "1.age",
        "",
    ] {
        let output = hushpipe.args(["secret", "set", name]).stdin("x").run();
        let output = output.code(64).stderr_has("cannot be the name of a secret");
        assert!(!output.place().join("x").exists());
        let left = output.place().entries();
        assert_eq!(
            left.iter().filter(|path| path.starts_with(SECRETS)).count(),
            1
        );
        hushpipe = output.again();
    }
}

#[test]
fn a_store_that_is_not_there_is_said_with_its_path() {
    for arguments in [
        &["get", "x"][..],
        &["list"],
        &["set", "x"],
        &["rm", "x", "--yes"],
    ] {
        let output = Hushpipe::new()
            .arg("secret")
            .args(arguments.iter().copied())
            .args(["--store", "{place}/nowhere", "--identity", "id"])
            .stdin("x")
            .run()
            .code(69)
            .stderr_has("cannot read {place}/nowhere/secrets")
            .stderr_has("`hushpipe init` makes one");
        assert!(output.place().entries().is_empty());
    }
}

#[test]
fn identity_files_that_do_not_do_are_told_apart() {
    let hushpipe = set(initialised(), "token", "value-canary");
    let key = "# no identity here\n";
    let hushpipe = hushpipe
        .file("none", key)
        .file("bad", "AGE-SECRET-KEY-1CANARY\n");
    let output = hushpipe.args(["secret", "list"]).run();
    tool(output.place(), "age-keygen", &["-o", "stranger"]);
    output.place().set_mode("stranger", 0o600);
    let mut hushpipe = output.again();
    for (identity, code, said) in [
        ("missing", 69, "/missing\n  cause: no identity file"),
        ("none", 65, "/none: it has no identity"),
        ("bad", 65, "/bad: line 1 is not an AGE-SECRET-KEY-1"),
        ("secrets", 65, "secrets is a directory, not a regular file"),
        ("stranger", 77, "/stranger does not open"),
    ] {
        let output = get(hushpipe, &["token", "--identity", identity]).code(code);
        let output = output.stderr_has(said).says_nothing_of("CANARY");
        hushpipe = output.says_nothing_of("value-canary").again();
    }
}

#[test]
fn an_identity_file_that_others_can_read_is_refused() {
    let mut hushpipe = set(initialised(), "token", "x");
    let open_to_all = get(hushpipe.mode("id", 0o777), &["token"]).code(77);
    hushpipe = open_to_all.stderr_has("chmod o-w {place}/id").again();
    for mode in [0o640, 0o604, 0o620] {
        let output = get(hushpipe.mode("id", mode), &["token"]).code(77);
        hushpipe = output.stderr_has("chmod 600 {place}/id").again();
    }
    get(hushpipe.mode("id", 0o400), &["token"]).success();
}

#[test]
fn a_credential_of_systemd_may_be_readable_by_its_group() {
    let hushpipe = set(initialised(), "token", "x").mode("id", 0o440);
    let output = get(hushpipe.env("CREDENTIALS_DIRECTORY", "{place}"), &["token"]);
    let output = output.success().again().mode("id", 0o444);
    let output = get(output.env("CREDENTIALS_DIRECTORY", "{place}"), &["token"]);
    let output = output.code(77).again().mode("id", 0o440);
    get(
        output.env("CREDENTIALS_DIRECTORY", "/elsewhere"),
        &["token"],
    )
    .code(77);
}

#[test]
fn a_file_of_somebody_else_is_no_identity() {
    let output = set(initialised(), "token", "x")
        .args(["secret", "list"])
        .run();
    std::os::unix::fs::chown(output.place().join("id"), Some(12345), None).unwrap();
    get(output.again(), &["token"])
        .code(77)
        .stderr_has("belongs to uid 12345");
}

#[test]
fn damaged_files_are_named_and_give_nothing() {
    let mut hushpipe = set(initialised(), "token", "value-canary");
    let file = format!("{SECRETS}/token/1.age");
    let output = hushpipe.args(["secret", "list"]).run();
    let whole = fs::read(output.place().join(&file)).unwrap();
    hushpipe = output.again();
    let mut changed = whole.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let cut = whole[..whole.len() - 7].to_vec();
    for damaged in [changed, cut, Vec::new(), b"not an age file".to_vec()] {
        let output = get(hushpipe.file(&file, damaged), &["token"]).code(65);
        let output = output.stderr_has("token/1.age is damaged or not an age file");
        assert!(output.stdout.is_empty());
        hushpipe = output.says_nothing_of("canary").again();
    }
}

#[test]
fn a_value_that_is_too_large_is_not_stored() {
    let hushpipe = initialised().args(["secret", "set", "huge"]);
    let output = hushpipe.stdin(vec![b'x'; (16 << 20) + 1]).run();
    let output = output.code(65).stderr_has("a value has at most 16 MiB");
    assert!(!output.place().join(&format!("{SECRETS}/huge")).exists());
}

#[test]
fn a_store_that_cannot_be_written_keeps_what_it_has() {
    // A file where the secret's directory would be.
    let hushpipe = initialised().file(&format!("{SECRETS}/a"), "in the way");
    let output = hushpipe.args(["secret", "set", "a/b"]).stdin("x").run();
    let output = output.code(71).stderr_has("cannot write {place}");
    assert_eq!(output.place().read(&format!("{SECRETS}/a")), "in the way");
}

#[test]
fn removing_asks_or_wants_yes() {
    let hushpipe = set(initialised(), "token", "x");
    let output = hushpipe.args(["secret", "rm", "token"]).run();
    let output = output.code(64).stderr_has("give --yes");
    let output = get(output.again(), &["token"]).success();
    let output = output.again().args(["secret", "rm", "token", "-y"]).run();
    let output = output
        .success()
        .again()
        .args(["secret", "rm", "token", "-y"]);
    output.run().code(65).stderr_has("no such secret");
}
