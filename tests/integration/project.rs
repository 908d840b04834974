//! A project on its second day: a colleague joins, secrets are added, changed and moved, from any directory.

use std::fs;

use crate::harness::{Hushpipe, Output};

/// A project of user 1000 with a sealed store, its identity in the user's home.
fn project() -> Output {
    let output = Hushpipe::new().user(1000).args(["init"]).run().success();
    set(output, "example/greeting", "hello")
}

fn set(output: Output, name: &str, value: &str) -> Output {
    let hushpipe = output.again().user(1000).args(["secret", "set", name]);
    hushpipe.stdin(value).run().success()
}

fn does(output: Output, words: &[&str]) -> Output {
    output.again().user(1000).args(words.to_vec()).run()
}

fn public_key(output: &Output) -> String {
    let text = output.stdout();
    let line = text.lines().find(|line| line.contains("age1"));
    let word = line.and_then(|line| {
        line.split_whitespace()
            .find(|word| word.starts_with("age1"))
    });
    word.unwrap_or_else(|| panic!("no key in {text}"))
        .to_owned()
}

#[test]
fn a_program_needs_no_dashes_before_it_and_has_its_own_options() {
    let output = does(project(), &["run", "echo", "-n", "--", "--quiet"]);
    let output = output.success().stdout_is("-- --quiet");
    let output = does(output, &["exec", "-q", "cat", "{{ files }}/greeting"]);
    let output = output.success().stdout_is("hello");
    let output = does(output, &["run", "--no-such", "echo"]).code(64);
    let output = output.stderr_has("hushpipe: error: unexpected argument '--no-such'");
    let output = does(output, &["run", "--", "cat x"]).code(127);
    output.stderr_has("help: write program and arguments as separate words: cat x");
}

#[test]
fn the_manifest_is_found_from_below_and_under_its_other_name() {
    let output = project();
    output.place().make_directory("deep/er");
    let below = ["sh", "-c", "cd deep/er && exec \"$@\"", "sh"];
    let run = |output: Output| {
        output
            .again()
            .user(1000)
            .through(&below)
            .args(["run"])
            .run()
    };
    let output = run(output).success().stdout_is("hello");
    let rename = |from: &str, to: &str| {
        fs::rename(output.place().join(from), output.place().join(to)).unwrap();
    };
    rename("hushpipe.yaml", "hushpipe.yml");
    let output = run(output).success().stdout_is("hello");
    let hushpipe = output.again().user(1000).through(&below);
    let output = hushpipe
        .args(["ls"])
        .run()
        .success()
        .stdout_has("example/greeting");
    // Another user's is not taken, also where it lies above.
    std::os::unix::fs::chown(output.place().join("hushpipe.yml"), Some(1), None).unwrap();
    let hushpipe = output.again().through(&below).args(["run"]);
    let output = hushpipe.run().code(78);
    output.stderr_has("hushpipe.yml belongs to another user");
}

#[test]
fn a_colleague_joins() {
    let output = project();
    let home = output.place().join("colleague");
    fs::create_dir(&home).unwrap();
    let colleague = |output: Output, words: &[&str]| {
        let hushpipe = output.again().user(1000).env("HOME", "{place}/colleague");
        hushpipe.env("USER", "bob").args(words.to_vec()).run()
    };
    let output = colleague(output, &["init"]).success();
    let output = output
        .stdout_has("hushpipe.yaml (kept)")
        .stdout_has("colleague/.config/hushpipe/identity.txt (new: keep it safe)")
        .stdout_has("hushpipe secret rekey --add-recipient 'age1");
    let line = output.stdout();
    let line = line
        .lines()
        .find(|line| line.contains("rekey"))
        .unwrap()
        .trim();
    assert!(line.ends_with(" # bob'"), "{line}");
    let key = public_key(&output);
    let output = colleague(output, &["run"]).code(77);
    // Run as it was printed, by who can open the store.
    let typed = format!("{key} # bob");
    let output = does(output, &["secret", "rekey", "--add-recipient", &typed]).success();
    let output = colleague(output, &["run"]).success().stdout_is("hello");
    let output = colleague(output, &["identity", "recipients"]).success();
    let output = output.stdout_has(&format!("bob   you  {key}"));
    // Once more there is nothing to do.
    let output = colleague(output, &["init"]).code(64);
    let output = does(output, &["secret", "rekey", "--remove-recipient", "bob"]).success();
    let recipients = output.place().read("secrets/recipients.txt");
    assert!(
        !recipients.contains("bob") && !recipients.contains(&key),
        "{recipients}"
    );
}

#[test]
fn an_identity_is_made_shown_and_named_by_the_environment() {
    let output = does(project(), &["identity", "new", "--identity", "ci.txt"]).success();
    let key = public_key(&output);
    let output = does(output, &["identity", "new", "--identity", "ci.txt"]).code(64);
    let output = output.stderr_has("ci.txt is there already: it stays as it is");
    let output = does(output, &["secret", "rekey", "--add-recipient", &key]).success();
    let identity = output.place().join(".config/hushpipe/identity.txt");
    fs::remove_file(identity).unwrap();
    let output = does(output, &["run"]).code(69);
    let output = does(output, &["run", "--identity", "ci.txt"])
        .success()
        .stdout_is("hello");
    let output = does(output, &["check", "--identity", "ci.txt"]).success();
    let output = output.stdout_has("\nA run would start.\n");
    let named = |output: Output, words: &[&str]| {
        let hushpipe = output.again().user(1000).env("HUSHPIPE_IDENTITY", "ci.txt");
        hushpipe.args(words.to_vec()).run().success()
    };
    let output = named(output, &["run"]).stdout_is("hello");
    let output = named(output, &["identity"]).stdout_has(&key);
    named(output, &["show", "example/greeting"]).stdout_is("hello");
}

#[test]
fn a_secret_is_added_in_one_step_and_the_manifest_keeps_its_comments() {
    let output = project();
    let before = output.place().read("hushpipe.yaml");
    let hushpipe = output
        .again()
        .user(1000)
        .args(["add", "stripe/token", "--getenv", "TOKEN"]);
    let output = hushpipe
        .stdin("canary-token")
        .run()
        .success()
        .says_nothing_of("canary");
    let manifest = output.place().read("hushpipe.yaml");
    let kept: Vec<&str> = manifest
        .lines()
        .filter(|line| !line.contains("stripe_token"))
        .collect();
    assert_eq!(kept, before.lines().collect::<Vec<_>>());
    let output = does(
        output,
        &[
            "run",
            "sh",
            "-c",
            "echo $TOKEN; cat \"$0\"/greeting",
            "{{ files }}",
        ],
    );
    let output = output.success().stdout_is("canary-token\nhello");
    let output = does(output, &["add", "stripe/token"]).code(64);
    let output = output.stderr_has("has the secret stripe_token already");
    // One that the store has keeps its value.
    let output = set(output, "db/password", "pw")
        .stderr_has("does not deliver db/password yet: `hushpipe add");
    let output = does(output, &["add", "db/password", "--file", "db"]).success();
    let output = does(output, &["run", "cat", "{{ files }}/db"])
        .success()
        .stdout_is("pw");
    // Nothing is stored where the manifest cannot take it.
    let flow = output
        .place()
        .read("hushpipe.yaml")
        .replace("deliver:\n", "deliver: [] # ");
    output.place().write("hushpipe.yaml", flow);
    let hushpipe = output.again().user(1000).args(["add", "late"]).stdin("x");
    let output = hushpipe.run().code(78);
    does(output, &["ls", "--store", "secrets"]).success();
}

#[test]
fn several_secrets_are_one_change() {
    let output = project();
    output.place().write("key.pem", "the key");
    output.place().write("cert.pem", "the certificate");
    let number = |output: &Output| {
        let index = output.place().read("secrets/index");
        let line = index
            .lines()
            .find_map(|line| line.strip_prefix("number ").map(str::to_owned));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = number(&output);
    let words = [
        "secret", "set", "tls/key", "tls/cert", "--file", "key.pem", "--file", "cert.pem",
    ];
    let output = does(output, &words).success();
    assert_eq!(number(&output), before + 1);
    let output = does(output, &["show", "tls/cert"])
        .success()
        .stdout_is("the certificate");
    let output = does(output, &["secret", "verify"]).success();
    // All or nothing: no version of the first one stays.
    let words = [
        "secret", "set", "tls/key", "tls/key", "--file", "key.pem", "--file", "cert.pem",
    ];
    let output = does(output, &words)
        .code(65)
        .stderr_has("tls/key is named twice");
    let output = does(output, &["secret", "history", "tls/key"]).success();
    assert_eq!(output.stdout().lines().count(), 2, "{}", output.stdout());
    let output = does(output, &["secret", "verify"]).success();
    let words = ["secret", "set", "a", "b", "--file", "key.pem"];
    does(output, &words)
        .code(64)
        .stderr_has("a value cannot be an argument");
}

#[test]
fn secrets_are_generated_moved_copied_and_edited() {
    let output = does(
        project(),
        &["secret", "generate", "s/key", "--length", "48"],
    )
    .success();
    let output = does(output, &["secret", "get", "s/key"]).success();
    let value = output.stdout();
    assert!(value.len() == 48 && value.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let output = does(output, &["secret", "cp", "s/key", "s/copy"]).success();
    let output = does(output, &["secret", "mv", "s/key", "s/new"]).success();
    let output = does(output, &["show", "s/new"]).success().stdout_is(&value);
    let output = does(output, &["show", "s/copy"])
        .success()
        .stdout_is(&value);
    let output = does(output, &["show", "s/key"]).code(65);
    let output = does(output, &["secret", "mv", "s/new", "s/copy"]).code(65);
    let output = output.stderr_has("s/copy is there already: nothing was changed");
    let edit = |output: Output, editor: &str| {
        let hushpipe = output.again().user(1000).env("EDITOR", editor);
        hushpipe.args(["secret", "edit", "s/new"]).run()
    };
    let output = edit(output, "true")
        .success()
        .stderr_has("nothing was changed");
    let output = edit(output, "false")
        .code(65)
        .stderr_has("the editor failed: nothing was stored");
    let script = "f() { stat -c %a $(dirname $1) $1 >{place}/modes; echo $1 >{place}/path; printf new >$1; }; f";
    let script = output.place().fill(script);
    let output = edit(output, &script)
        .success()
        .stderr_has("s/new: version 2 is current");
    assert_eq!(output.place().read("modes"), "700\n600\n");
    let path = output.place().read("path");
    assert!(path.starts_with("/dev/shm/hushpipe-edit-"), "{path}");
    assert!(!std::path::Path::new(path.trim()).parent().unwrap().exists());
    does(output, &["show", "s/new"]).success().stdout_is("new");
}

#[test]
fn values_come_from_other_tools_and_go_back() {
    for (text, expected) in [
        ("A=one\nB='two words'\n", "one"),
        ("{\"A\": \"one\", \"B\": 2}", "one"),
        (
            "{\"A\": {\"raw\": \"x\", \"computed\": \"one\"}, \"B\": {\"computed\": \"2\"}}",
            "one",
        ),
        (
            "{\"ARN\": \"arn\", \"SecretString\": \"{\\\"A\\\":\\\"one\\\",\\\"B\\\":\\\"2\\\"}\"}",
            "one",
        ),
    ] {
        let hushpipe = project().again().user(1000).args(["secret", "import", "-"]);
        let output = hushpipe.stdin(text).run().success();
        let output = does(output, &["show", "A"]).success().stdout_is(expected);
        let output = does(output, &["secret", "export", "--format", "json"]).success();
        let exported: serde_json::Value = serde_json::from_str(&output.stdout()).unwrap();
        assert_eq!(
            (&exported["A"], &exported["example/greeting"]),
            (&"one".into(), &"hello".into())
        );
        let output = does(output, &["secret", "export"]).success();
        output
            .stdout_has("A=one\n")
            .stdout_has("example_greeting=hello\n");
    }
}

#[test]
fn an_export_leaves_companions_out_and_refuses_names_that_hide_each_other() {
    let output = set(project(), "KEY", "of\nlines");
    let output = set(output, "KEY.written", "'of\nlines'");
    let output = does(output, &["secret", "export", "--format", "json"]).success();
    let exported: serde_json::Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(exported["KEY"], "of\nlines");
    assert!(exported.get("KEY.written").is_none(), "{exported}");
    let output = set(set(output, "a/b", "x"), "a_b", "y");
    let output = does(output, &["secret", "export"]).code(65).stdout_is("");
    output.stderr_has("as a variable it has the name of a/b: use --format json");
}

#[test]
fn a_program_runs_without_a_manifest() {
    let output = set(project(), "db", "pw");
    fs::remove_file(output.place().join("hushpipe.yaml")).unwrap();
    let script = "echo $DB; cat \"$0\"";
    let words = [
        "run",
        "--getenv",
        "DB=db",
        "--file",
        "x=example/greeting",
        "--",
        "sh",
        "-c",
        script,
    ];
    let output = does(output, &[&words[..], &["{{ files }}/x"]].concat());
    let output = output.success().stdout_is("pw\nhello");
    let output = does(output, &["run", "--getenv", "DB", "--", "true"]).code(64);
    let output = output.stderr_has("--getenv takes NAME=KEY");
    let output = does(output, &["run", "--getenv", "DB=none", "--", "true"]).code(65);
    output.stderr_has("is not the name of a secret in");
}
