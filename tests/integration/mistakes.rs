//! Mistakes of a first day, beside those in manifests (`manifest::tests::mistakes`): each message has the
//! cause and the cure, in two lines of 100 columns on a terminal, and no value.

use crate::harness::{Hushpipe, Output};

const VALUE: &str = "typed-value-123";

fn project() -> Output {
    let output = Hushpipe::new().arg("init").run().success();
    let set = ["secret", "set", "example/greeting"];
    let output = output.again().args(set).stdin("hello").run().success();
    let set = ["secret", "set", "db/password"];
    output.again().args(set).stdin("s3cret").run().success()
}

/// Words, exit code, cause, cure.
const COMMANDS: [(&[&str], u8, &str, &str); 22] = [
    (
        &["rnu"],
        64,
        "unrecognized subcommand 'rnu'",
        "did you mean `hushpipe run`?",
    ),
    (
        &["set", "x"],
        64,
        "unrecognized subcommand 'set'",
        "`hushpipe secret set`",
    ),
    (
        &["npm", "start"],
        64,
        "unrecognized subcommand 'npm'",
        "`hushpipe run npm`",
    ),
    (
        &["run", "--manfest", "x"],
        64,
        "unexpected argument '--manfest'",
        "'--manifest'",
    ),
    (
        &["-m", "x", "check"],
        64,
        "unexpected argument '-m'",
        "`hushpipe check -m FILE`",
    ),
    (
        &["check", "-m", "none.yaml"],
        66,
        "cannot read none.yaml",
        "hushpipe init",
    ),
    (
        &["run", "cat x"],
        127,
        "\"cat x\" was not found",
        "separate words: cat x",
    ),
    (
        &["run", "cd", "/"],
        127,
        "\"cd\" was not found",
        "`sh -c 'cd ...'`",
    ),
    (&["run", "A=1", "env"], 127, "was not found", "env A=1"),
    (
        &["run", "none"],
        127,
        "\"none\" was not found in PATH",
        "install it, or give its full path",
    ),
    (&["run", "./none"], 127, "no such file", "check the path"),
    (
        &["run", "--getenv", "A=typed-value-123", "env"],
        65,
        "--getenv A: ",
        "hushpipe secret list",
    ),
    (
        &["run", "--getenv", "A=db/pasword", "env"],
        65,
        "--getenv A: ",
        "did you mean db/password?",
    ),
    (
        &["run", "--getenv", "1A=db/password", "env"],
        64,
        "invalid variable name `1A`",
        "no digit first",
    ),
    (
        &["secret", "set", "a/b", "typed-value-123"],
        64,
        "a value cannot be an argument",
        "pipe it in",
    ),
    (
        &["secret", "set", "a/b=typed-value-123"],
        64,
        "a value cannot be an argument",
        "pipe it in",
    ),
    (
        &["secret", "generate", "a=typed-value-123"],
        64,
        "a value cannot be an argument",
        "pipe it in",
    ),
    (
        &["secret", "set", "../x"],
        64,
        "cannot be the name of a secret",
        "no . or .. in it",
    ),
    (
        &["secret", "get", "db/pas"],
        65,
        "db/pas: not found",
        "hushpipe secret list",
    ),
    (
        &["add", "x", "--getenv", "MY-X"],
        64,
        "invalid variable name `MY-X`",
        "as in DATABASE_URL",
    ),
    (&["status"], 69, "no running launcher found", ""),
    (
        &["help", "gtenv"],
        64,
        "no help on \"gtenv\"",
        "topics are getenv",
    ),
];

#[test]
fn each_mistake_on_the_command_line_gets_its_cause_and_its_cure() {
    let mut output = project();
    for (words, code, cause, cure) in COMMANDS {
        let run = output.again().args(words.iter().copied()).run();
        output = run.code(code.into()).stderr_has(cause).stderr_has(cure);
        let said = output.stderr();
        assert!(said.starts_with("hushpipe: "), "{words:?}: {said}");
        assert!(!said.contains(VALUE), "{words:?}: {said}");
    }
}

/// A CI's variable that has the key in place of its file's path; a manifest that is another file.
#[test]
fn no_message_has_a_key_or_a_value_of_a_file_that_is_taken_for_another() {
    let output = project();
    let home = output.place().join("home/.config/hushpipe/identity.txt");
    let home = if home.exists() {
        home
    } else {
        output.place().join(".config/hushpipe/identity.txt")
    };
    let identity = std::fs::read_to_string(&home).unwrap();
    let key = identity.lines().last().unwrap().to_owned();
    std::fs::write(output.place().join("id.txt"), &identity).unwrap();
    std::fs::write(output.place().join(".env"), format!("DB={VALUE}\n")).unwrap();
    let mut output = output;
    for command in [
        &["run", "true"][..],
        &["check"],
        &["secret", "get", "db/password"],
        &["init"],
    ] {
        for value in [&identity, &key] {
            let run = output
                .again()
                .env("HUSHPIPE_IDENTITY", value)
                .args(command.iter().copied());
            output = run
                .run()
                .code(64)
                .stderr_has("HUSHPIPE_IDENTITY has an identity");
            assert!(
                !output.stderr().contains("AGE-SECRET-KEY"),
                "{}",
                output.stderr()
            );
        }
    }
    for (file, cure) in [("id.txt", "--identity"), (".env", "init --from-env .env")] {
        output = output
            .again()
            .args(["check", "-m", file])
            .run()
            .code(78)
            .stderr_has(cure);
        let said = output.stderr();
        assert!(
            !said.contains("AGE-SECRET-KEY") && !said.contains(VALUE),
            "{said}"
        );
    }
    let value =
        format!("version: 1\nservice: a\nsecrets: {{ api: {VALUE} }}\nrun: {{ command: [a] }}\n");
    std::fs::write(output.place().join("value.yaml"), value).unwrap();
    output = output
        .again()
        .args(["check", "-m", "value.yaml"])
        .run()
        .code(78);
    assert!(!output.stderr().contains(VALUE), "{}", output.stderr());
}

/// An unset variable before the pipe.
#[test]
fn a_value_of_white_space_is_none() {
    let set = ["secret", "set", "db/password"];
    let output = project().again().args(set).stdin("\n").run().code(65);
    let output = output.stderr_has("--allow-empty");
    let get = output.again().args(["secret", "get", "db/password"]).run();
    get.success().stdout_is("s3cret");
}

/// README's manifest, saved by hand: init makes the store and the identity that it names.
#[test]
fn init_makes_what_a_manifest_names() {
    let manifest = "version: 1\nservice: hand\nstores:\n  local: { type: sealed, path: ./secrets, \
                    identity_file: ./id.txt }\nsecrets:\n  a: { store: local, key: a }\ndeliver:\n  - { fd: 3, \
                    secret: a }\nrun: { command: [sh, -c, 'cat <&3'] }\n";
    let output = Hushpipe::new()
        .file("hushpipe.yaml", manifest)
        .arg("init")
        .run();
    let output = output
        .success()
        .stdout_has("(kept)")
        .stdout_has("secrets (new)");
    let set = output
        .again()
        .args(["secret", "set", "a"])
        .stdin("value-a")
        .run();
    let run = set.success().again().arg("run").run();
    run.success().stdout_is("value-a");
}

/// git would take hidden files for removed ones.
#[test]
fn a_store_in_a_work_tree_stays_in_sight_and_covers_cannot_be_written() {
    let output = Hushpipe::new();
    std::fs::create_dir(output.place().join(".git")).unwrap();
    let output = output.user(4762).arg("init").run().success();
    let set = ["secret", "set", "example/greeting"];
    let output = output
        .again()
        .user(4762)
        .args(set)
        .stdin("hello")
        .run()
        .success();
    let look = "ls secrets/index && ! cat ~/.config/hushpipe/identity.txt 2>/dev/null && ! touch \
                ~/.config/hushpipe/new 2>/dev/null && echo safe";
    let run = output
        .again()
        .user(4762)
        .args(["run", "sh", "-c", look])
        .run();
    run.success().stdout_is("secrets/index\nsafe\n");
}

/// However the path of a store is spelled, an older copy of it is refused.
#[test]
fn a_store_is_remembered_by_where_it_is() {
    let output = project();
    let place = output.place();
    let copy = |from: &str, to: &str| {
        let status = std::process::Command::new("cp")
            .args(["-a", from, to])
            .current_dir(place.join("."))
            .status();
        assert!(status.unwrap().success());
    };
    copy("secrets", "old");
    std::fs::create_dir(place.join("sub")).unwrap();
    let set = ["secret", "set", "db/password"];
    let output = output.again().args(set).stdin("newer").run().success();
    let place = output.place().to_owned();
    std::fs::remove_dir_all(place.join("secrets")).unwrap();
    std::fs::rename(place.join("old"), place.join("secrets")).unwrap();
    let mut output = output;
    for manifest in ["hushpipe.yaml", "sub/../hushpipe.yaml"] {
        let get = ["secret", "get", "db/password", "-m", manifest];
        output = output
            .again()
            .args(get)
            .run()
            .code(77)
            .stderr_has("older than before");
    }
}
