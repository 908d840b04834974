//! A store in the hands of others, as `run` and `check` see it.

use super::*;

const MANIFEST: &str = "\
version: 1
service: trust
stores: { s: { type: sealed, path: ./store, identity_file: ./identity.txt } }
secrets: { token: { store: s, key: token } }
deliver: [ { fd: 3, as: memfd, secret: token } ]
run: { command: [sh, -c, \"cat /dev/fd/3\"] }
";

fn stocked() -> Output {
    let hushpipe = Hushpipe::new()
        .sealed(&[("token", "first"), ("token", "second")])
        .file("hushpipe.yaml", MANIFEST);
    hushpipe.arg("run").run().success().stdout_is("second")
}

#[test]
fn a_store_that_was_put_back_is_started_with_once_a_person_accepts_it() {
    let output = stocked();
    tool(output.place(), "cp", &["-a", "store", "kept"]);
    output.place().seal("token", "third");
    let output = output.again().arg("run").run().success().stdout_is("third");
    tool(output.place(), "rm", &["-r", "store"]);
    tool(output.place(), "mv", &["kept", "store"]);
    let mut hushpipe = output.again();
    for words in [&["run"][..], &["check", "--online"], &["run", "--exec"]] {
        let output = hushpipe.args(words.iter().copied()).run().code(77);
        let output = output.stderr_has("it is older than before");
        hushpipe = output.stderr_has("--accept-store").again();
    }
    let output = hushpipe.args(["run", "--accept-store"]).run();
    let output = output.success().stdout_is("second");
    output
        .again()
        .arg("run")
        .run()
        .success()
        .stdout_is("second");
}

#[test]
fn check_and_set_name_a_recipient_who_is_new_in_the_file() {
    let output = stocked();
    let place = output.place();
    tool(place, "age-keygen", &["-o", "mallory"]);
    let public = place.read("mallory");
    let public = public
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    let public = public.unwrap().to_owned();
    let recipients = place.read("store/recipients.txt");
    place.write("store/recipients.txt", format!("{recipients}{public}\n"));
    place.set_mode("store/recipients.txt", 0o600);
    let output = output.again().args(["check", "--online"]).run().success();
    let output = output.stderr_has(&public);
    let set = ["secret", "set", "token"];
    let output = output.again().args(set).stdin("third").run().success();
    let output = output.stderr_has(&public);
    let output = output.again().args(["secret", "rekey"]).run().success();
    output.stderr_has(&format!(
        "new recipient, who can open all of them now: {public}"
    ));
}

#[test]
fn a_host_with_no_place_to_remember_says_so_and_checks_the_signature() {
    let output = stocked();
    output.place().write("nowhere", "a file");
    let hushpipe = output
        .again()
        .env("HUSHPIPE_STATE_DIRECTORY", "{place}/nowhere");
    let output = hushpipe.arg("run").run().success().stdout_is("second");
    let output = output.stderr_has("this host cannot remember");
    let index = output.place().read("store/index");
    let edited = index.replace("current 2 token", "current 1 token");
    output.place().write("store/index", edited);
    output.place().set_mode("store/index", 0o600);
    let hushpipe = output
        .again()
        .env("HUSHPIPE_STATE_DIRECTORY", "{place}/nowhere");
    let output = hushpipe.arg("run").run().code(77);
    output.stderr_has("the signature of its index is wrong");
}

#[test]
fn an_empty_value_and_names_that_mislead_are_refused() {
    let output = stocked();
    let mut hushpipe = output.again();
    let options = ["--store", "store", "--identity", "identity.txt"];
    for value in ["", "\n", "\r\n\n"] {
        let set = ["secret", "set", "token", "--trim"];
        let output = hushpipe.args(set).args(options).stdin(value).run().code(65);
        hushpipe = output.stderr_has("--allow-empty").again();
    }
    let set = ["secret", "set", "token", "--allow-empty"];
    let output = hushpipe.args(set).args(options).stdin("").run().success();
    let mut hushpipe = output.again();
    for name in [" token", "token ", "a/ token", "token\u{a0}", "to\tken"] {
        let output = hushpipe.args(["secret", "set", name]).args(options);
        let output = output.stdin("x").run().code(64);
        hushpipe = output.stderr_has("cannot be the name of a secret").again();
    }
}
