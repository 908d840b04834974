//! The sealed store: `hushpipe init` and `hushpipe secret`, beside Debian's `age`.

// Tests start programs as they like; the product has one place for it.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use crate::harness::{Hushpipe, Output, Place, deadline};

mod bad_input;
mod merges;
mod terminal;
mod trust;
mod writers;

/// Where the store of [`initialised`] keeps a secret's versions.
const SECRETS: &str = "secrets/secrets";

/// A place after `hushpipe init`, with the identity file `id`.
fn initialised() -> Hushpipe {
    let init = ["init", "--identity", "{place}/id"];
    Hushpipe::new().args(init).run().success().again()
}

/// Sets a secret of the manifest's store.
fn set(hushpipe: Hushpipe, key: &str, value: impl Into<Vec<u8>>) -> Hushpipe {
    let hushpipe = hushpipe.args(["secret", "set", key]).stdin(value);
    hushpipe.run().success().again()
}

fn get(hushpipe: Hushpipe, arguments: &[&str]) -> Output {
    hushpipe.args(["secret", "get"]).args(arguments).run()
}

/// Runs another program in the place and gives its standard output.
fn tool(place: &Place, program: &str, arguments: &[&str]) -> Vec<u8> {
    let arguments: Vec<String> = arguments.iter().map(|text| place.fill(text)).collect();
    let output = Command::new(program)
        .args(&arguments)
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output.stdout
}

#[test]
fn init_makes_what_a_first_secret_needs_and_overwrites_nothing() {
    let output = Hushpipe::new()
        .args(["init", "--identity", "{place}/keys/id"])
        .run()
        .success()
        .stdout_has("hushpipe secret set example/greeting");
    let place = output.place();
    for (path, mode) in [
        ("keys/id", 0o600),
        ("secrets", 0o700),
        (SECRETS, 0o700),
        ("secrets/recipients.txt", 0o600),
    ] {
        let found = fs::metadata(place.join(path)).unwrap().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
    let identity = place.read("keys/id");
    output
        .again()
        .args(["init", "--identity", "{place}/keys/id"])
        .run()
        .code(64)
        .stderr_has("hushpipe.yaml is there already");

    // Another directory, the same identity: it is kept. So is a store that is sealed for it.
    let again = ["init", "two", "--identity", "{place}/keys/id"];
    let output = Hushpipe::new().directory("two").file("keys/id", &identity);
    let output = output.args(again).run().success().stdout_has("(kept)");
    assert_eq!(output.place().read("keys/id"), identity);
    let output = output.again().directory("three");
    let arguments = [
        "init",
        "three",
        "--store",
        "two/secrets",
        "--identity",
        "{place}/keys/id",
    ];
    let output = output.args(arguments).run().success();
    let output = output.stdout_has("secrets (kept)");
    tool(output.place(), "age-keygen", &["-o", "keys/other"]);
    output.place().set_mode("keys/other", 0o600);
    let arguments = ["init", "four", "--store", "two/secrets", "--identity"];
    let mut hushpipe = output.again().directory("four");
    for identity in ["{place}/keys/none", "{place}/keys/other"] {
        let refused = hushpipe.args(arguments).args([identity]).run().code(65);
        let refused = refused.stderr_has("is a sealed store already, and not for the identity of");
        assert!(!refused.place().join("four/hushpipe.yaml").exists());
        assert!(!refused.place().join("keys/none").exists());
        hushpipe = refused.again();
    }
}

#[test]
fn age_opens_what_hushpipe_sealed_and_the_reverse() {
    let hushpipe = set(initialised(), "stripe/token", "from hushpipe");
    let hushpipe = set(hushpipe, "stripe/token", &b"second\n\0\xff"[..]);
    let output = hushpipe.args(["secret", "list"]).run().success();
    let place = output.place();
    let file = |name| format!("{SECRETS}/stripe/token/{name}.age");
    let opened = tool(place, "age", &["-d", "-i", "id", &file("1")]);
    assert_eq!(opened, b"from hushpipe");
    let opened = tool(place, "age", &["-d", "-i", "id", &file("current")]);
    assert_eq!(opened, b"second\n\0\xff");

    place.write("plain", "from age");
    place.make_directory(&format!("{SECRETS}/by/age"));
    let recipients = ["-e", "-R", "secrets/recipients.txt", "-o"];
    for (name, armor) in [("1", None), ("2", Some("-a"))] {
        let to = format!("{SECRETS}/by/age/{name}.age");
        let arguments: Vec<&str> = armor.into_iter().chain(recipients).collect();
        tool(place, "age", &[&arguments[..], &[&to, "plain"]].concat());
    }
    let output = get(output.again(), &["by/age"]).code(77);
    let output = output
        .stderr_has("by/age/1.age is not in the index")
        .again();
    let output = output.args(["secret", "rekey"]).run().code(77).again();
    let accept = ["secret", "rekey", "--accept-store"];
    let output = output.args(accept).run().success();
    let output = get(output.again(), &["by/age", "--version", "1"]).success();
    let output = output.stdout_is("from age").again();
    let output = get(output, &["by/age"]).success().stdout_is("from age");
    let history = output.again().args(["secret", "history", "by/age"]).run();
    history.success().stdout_has("found");
}

#[test]
fn ssh_keys_open_and_seal_as_well() {
    let output = initialised().args(["secret", "list"]).run();
    let place = output.place();
    let generate = ["-q", "-t", "ed25519", "-N", "", "-C", "alice@host", "-f"];
    tool(place, "ssh-keygen", &[&generate[..], &["ssh"]].concat());
    let public = place.read("ssh.pub");
    let add = ["secret", "rekey", "--add-recipient", public.trim()];
    let output = output.again().args(add).run().success();
    let hushpipe = set(output.again(), "token", "for both");
    let output = get(hushpipe, &["token", "--identity", "ssh"]).success();
    let output = output.stdout_is("for both");
    let file = format!("{SECRETS}/token/1.age");
    for identity in ["ssh", "id"] {
        let opened = tool(output.place(), "age", &["-d", "-i", identity, &file]);
        assert_eq!(opened, b"for both", "{identity}");
    }
    // Sealed by age for the SSH key alone.
    let place = output.place();
    place.write("plain", "ssh alone");
    let to = format!("{SECRETS}/token/2.age");
    tool(place, "age", &["-e", "-R", "ssh.pub", "-o", &to, "plain"]);
    let output = get(
        output.again(),
        &["token", "--version", "2", "--identity", "ssh"],
    );
    let output = output.code(77).stderr_has("2.age is not in the index");
    let accept = ["secret", "rekey", "--accept-store"];
    let output = output.again().args(accept);
    output
        .run()
        .code(77)
        .stderr_has("sealed for 1 ssh-ed25519 recipient:");
}

#[test]
fn an_ssh_key_with_a_passphrase_is_refused() {
    let output = set(initialised(), "token", "x")
        .args(["secret", "list"])
        .run();
    let generate = ["-q", "-t", "ed25519", "-N", "passphrase", "-f", "ssh"];
    tool(output.place(), "ssh-keygen", &generate);
    get(output.again(), &["token", "--identity", "ssh"])
        .code(65)
        .stderr_has("it is protected by a passphrase");
}

#[test]
fn values_are_kept_byte_for_byte() {
    let large: Vec<u8> = (0..10_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut hushpipe = initialised();
    for value in [&b" x\n"[..], b"\0", b"two\nlines\n", &large] {
        hushpipe = set(hushpipe, "token", value);
        let output = get(hushpipe, &["token"]).success();
        assert!(output.stdout == value, "{} bytes", value.len());
        hushpipe = output.again();
    }
    hushpipe
        .args(["secret", "set", "token", "--trim"])
        .stdin("trimmed\n\n")
        .run()
        .success()
        .again()
        .args(["secret", "get", "token"])
        .run()
        .stdout_is("trimmed");
}

#[test]
fn a_rollback_is_seen_in_the_list_and_in_the_history() {
    let hushpipe = set(set(initialised(), "a/b", "one"), "a/b", "two");
    let output = hushpipe.args(["secret", "rollback", "a/b"]).run().success();
    let output = output.stderr_is("a/b: version 1 is current (was 2)\n");
    let output = get(output.again(), &["a/b"]).success().stdout_is("one");
    let list = output.again().args(["secret", "list", "--json"]).run();
    let json: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(json[0]["name"], "a/b");
    assert_eq!(
        (&json[0]["current"], &json[0]["versions"]),
        (&1.into(), &2.into())
    );
    let history = ["secret", "history", "a/b", "--json"];
    let history = list.again().args(history).run().success();
    let json: serde_json::Value = serde_json::from_slice(&history.stdout).unwrap();
    let events: Vec<_> = json.as_array().unwrap().iter().collect();
    let events: Vec<_> = events
        .iter()
        .map(|event| (&event["event"], &event["version"]))
        .collect();
    let expected = [("set", 1), ("set", 2), ("rolled-back", 1)];
    let expected = expected.map(|(event, version)| (event.into(), version.into()));
    assert_eq!(
        events,
        expected.each_ref().map(|(event, version)| (event, version))
    );
    let output = history
        .again()
        .args(["secret", "rm", "a/b", "--yes"])
        .run()
        .success();
    let left = output.place().entries();
    assert!(
        !left
            .iter()
            .any(|path| path.starts_with("secrets/secrets/a")),
        "{left:?}"
    );
}

#[test]
fn a_dotenv_file_becomes_secrets() {
    let env = "# comment\nexport DB_USER=app\nDB_PASSWORD='p#w \"x\"'\n";
    let output = initialised()
        .file("app.env", env)
        .args(["secret", "import", "app.env", "--prefix", "app/"])
        .run()
        .success()
        .stderr_has("app/DB_PASSWORD: version 1 is current");
    let output = get(output.again(), &["app/DB_PASSWORD"]).success();
    let output = output.stdout_is("p#w \"x\"");
    let before = output.place().entries();
    let bad = output.again().file("bad.env", "GOOD=1\nno equals here\n");
    let output = bad.args(["secret", "import", "bad.env"]).run().code(65);
    let output = output
        .stderr_has("bad.env")
        .says_nothing_of("no equals here");
    let mut after = output.place().entries();
    after.retain(|path| path != "bad.env");
    assert_eq!(before, after);
}

#[test]
fn a_field_is_read_out_of_a_value() {
    let hushpipe = set(initialised(), "db", r#"{"user":"app","port":5432}"#);
    let output = get(hushpipe, &["db", "--field", "port"]).success();
    let output = output.stdout_is("5432");
    let output = get(output.again(), &["db", "--field", "nope"]).code(65);
    output.stderr_has("it has no field \"nope\"");
}

#[test]
fn a_removed_recipient_is_locked_out_and_a_new_one_let_in() {
    let output = set(initialised(), "token", "x")
        .args(["secret", "list"])
        .run();
    let place = output.place();
    tool(place, "age-keygen", &["-o", "other"]);
    place.set_mode("other", 0o600);
    let other = place.read("other");
    let public = other
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    let own = place.read("secrets/recipients.txt");
    let own = own
        .lines()
        .find(|line| line.starts_with("age1"))
        .unwrap()
        .to_owned();
    let arguments = ["secret", "rekey", "--add-recipient", public.unwrap()];
    let output = output.again().args(arguments).run().success();
    let output = output.stderr_has("sealed anew: 1 version of 1 secret, for 2 recipients");
    let arguments = ["secret", "rekey", "--remove-recipient", &own];
    let output = output.again().args(arguments).run().code(77);
    let output = output.stderr_has("would lock you out").again();
    let output = output
        .args(arguments)
        .args(["--identity", "other"])
        .run()
        .success();
    let output = get(output.again(), &["token"]).code(77);
    let output = output.stderr_has("sealed for 1 age (X25519) recipient");
    get(output.again(), &["token", "--identity", "other"]).stdout_is("x");
}

#[test]
fn a_user_who_may_not_lock_memory_can_use_the_store() {
    let hushpipe = initialised()
        .user(12345)
        .through(&["prlimit", "--memlock=0"]);
    let output = hushpipe.args(["secret", "set", "token"]).stdin("x").run();
    let hushpipe = output.success().again().user(12345);
    let output = get(hushpipe.through(&["prlimit", "--memlock=0"]), &["token"]);
    output.success().stdout_is("x");
}
