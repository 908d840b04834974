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
