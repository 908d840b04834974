//! Witnesses: what one cosigned cannot be rewritten unseen, not even by whoever has the log's key.

use std::process::Command;

use nix::sys::signal::Signal;

use super::{again, audited, of_kind, records, site};
use crate::harness::{Hushpipe, Output, Running};

/// A witness of a log, and the lines that make it one of a site.
struct Witness {
    running: Running,
    key: String,
    site: String,
}

fn log_key(output: Output) -> (Output, String) {
    let key = again(output).args(["audit", "key"]).run().success();
    let text = key.stdout();
    (key, text)
}

impl Witness {
    fn of(log: &str) -> Self {
        let witness = || Hushpipe::new().file("logs", format!("# of web1\n{log}"));
        let made = witness()
            .args([
                "audit",
                "witness",
                "--directory",
                "{place}/w",
                "--name",
                "w.example/w1",
            ])
            .arg("--print-key")
            .run()
            .success();
        let key = made.stdout().trim().to_owned();
        let running = made
            .again()
            .args([
                "audit",
                "witness",
                "--directory",
                "{place}/w",
                "--logs",
                "{place}/logs",
            ])
            .args(["--listen", "127.0.0.1:0"])
            .file("logs", format!("# of web1\n{log}"))
            .spawn();
        let line = running.wait_for_stderr("listening at");
        let address = line.rsplit(' ').next().unwrap().trim().to_owned();
        let site = format!(
            "  witnesses: [{{ url: \"http://{address}\", key: \"{key}\" }}]\nmonitor: {{ directory: \
             \"{{place}}/monitor\" }}\n"
        );
        Self { running, key, site }
    }
}

/// The same place, whose site has the witness now.
fn witnessed(output: Output, witness: &Witness) -> Hushpipe {
    let hushpipe = again(output).env("PATH", "/usr/bin:/bin");
    site(hushpipe, true, &witness.site)
}

/// With a log of its own key that begins anew.
fn rewritten(output: Output, witness: &Witness) -> Output {
    let hushpipe = witnessed(output, witness);
    let removed = Command::new("rm")
        .args(["-r", "log"])
        .current_dir(hushpipe.place().path())
        .status();
    assert!(removed.unwrap().success());
    let mut output = hushpipe.args(["run", "--", "true"]).run().success();
    for _ in 0..2 {
        output = witnessed(output, witness)
            .args(["run", "--", "true"])
            .run()
            .success();
    }
    output
}

#[test]
fn what_a_witness_cosigned_cannot_be_rewritten_unseen() {
    let output = audited().args(["run", "--", "true"]).run().success();
    let (output, log) = log_key(output);
    let witness = Witness::of(&log);
    // What was never cosigned is not proved.
    let verify = ["audit", "verify"];
    let output = witnessed(output, &witness).args(verify).run().code(1);
    let output = output.stdout_has("checkpoint of witness w.example/w1: there is none");
    let output = witnessed(output, &witness)
        .args(["audit", "cosign"])
        .run()
        .success();
    let output = output.stdout_is("w.example/w1 cosigned 4 records\n");
    let output = witnessed(output, &witness)
        .args(["run", "--", "true"])
        .run()
        .success();
    // It is asked again, and continues.
    let output = witnessed(output, &witness)
        .args(verify)
        .arg("--ask")
        .run()
        .success();
    let output = output.stdout_has("w.example/w1 cosigned 4 records at 20");
    let output = witnessed(output, &witness).args(verify).run().success();
    let output = output.stdout_has("w.example/w1 cosigned 8 records at 20");
    assert_eq!(
        of_kind(&records(output.place())[9..], "read")["message"],
        "verify"
    );
    let (output, said) = independent(output, &log, &witness);
    assert!(said.starts_with("whole: "), "{said}");
    // Whoever has the key writes another log.
    let output = rewritten(output, &witness);
    let output = witnessed(output, &witness).args(verify).run().code(1);
    let output = output.stdout_has("the first 8 records are not those that it covers");
    let (output, said) = independent(output, &log, &witness);
    assert!(said.contains("NOT WHOLE"), "{said}");
    let output = witnessed(output, &witness)
        .args(["audit", "cosign"])
        .run()
        .code(1);
    let output = output.stderr_has("does not continue the checkpoint of 8 records");
    // And removes what was kept of the one before.
    std::fs::remove_dir_all(output.place().join("monitor")).unwrap();
    let output = witnessed(output, &witness).args(verify).run().code(1);
    let output = output.stdout_has("there is none");
    let output = witnessed(output, &witness)
        .args(verify)
        .arg("--ask")
        .run()
        .code(1);
    output.stdout_has("does not continue the checkpoint of 8 records");
    witness.running.signal(Signal::SIGTERM);
    witness.running.wait().success();
}

/// What a verifier with none of hushpipe's code says.
fn independent(output: Output, log: &str, witness: &Witness) -> (Output, String) {
    let kept = output.place().join("monitor").read_dir().unwrap().next();
    let note = kept.unwrap().unwrap().path();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stores/tlog.py");
    let said = Command::new("python3")
        .args([script, "log", log.trim(), "--cosigned"])
        .arg(note)
        .arg(&witness.key)
        .current_dir(output.place().path())
        .output()
        .expect("tests/install installs Python");
    let text = [said.stdout, said.stderr].concat();
    (output, String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_witness_that_is_gone_or_does_not_know_the_log_says_nothing_against_it() {
    let output = audited().args(["run", "--", "true"]).run().success();
    let other = audited().args(["run", "--", "true"]).run().success();
    let (_, other) = log_key(other);
    let witness = Witness::of(&other);
    let output = witnessed(output, &witness)
        .args(["audit", "cosign"])
        .run()
        .code(77);
    let output = output.stderr_has("under another key (403)");
    witness.running.signal(Signal::SIGKILL);
    let Witness { running, key, site } = witness;
    drop(running.wait());
    let witness = site;
    let hushpipe = super::site(again(output), true, &witness);
    let output = hushpipe.args(["audit", "cosign"]).run().code(69);
    output
        .stderr_has("connection refused")
        .stderr_has(key.split('+').next().unwrap());
}

#[test]
fn keys_that_are_none_are_refused() {
    let output = audited().args(["run", "--", "true"]).run().success();
    let (output, log) = log_key(output);
    let serve = [
        "audit",
        "witness",
        "--listen",
        "127.0.0.1:0",
        "--directory",
        "{place}/w",
        "--logs",
    ];
    for (text, wanted) in [
        ("", "no key of a log in it"),
        ("x\n", "logs:1: it is no verifier key"),
    ] {
        let hushpipe = Hushpipe::new().file("logs", text);
        let output = hushpipe.args(serve).arg("{place}/logs").run().code(64);
        output.stderr_has(wanted);
    }
    // A log's key is none to cosign with.
    let hushpipe = Hushpipe::new().file("logs", log);
    let key = std::fs::read(output.place().join("audit.key")).unwrap();
    let hushpipe = hushpipe.file("w/witness.key", key).mode("w", 0o700);
    let output = hushpipe.args(serve).arg("{place}/logs").run().code(75);
    output.stderr_has("the key of a log, not of a witness");
}
