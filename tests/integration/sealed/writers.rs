//! Many writers, and writers that are killed.

use std::io::Write;
use std::process::Child;

use super::*;
use crate::harness::is_long;

/// hushpipe itself, without a thread for each stream.
fn writer(place: &Place, key: &str, value: &[u8]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hushpipe"))
        .args(["secret", "set", key, "--quiet"])
        .current_dir(place.path())
        .env("HOME", place.path())
        .env("HUSHPIPE_STATE_DIRECTORY", place.join(".state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(value).unwrap();
    child
}

#[test]
fn two_hundred_writers_lose_nothing() {
    let output = initialised().args(["secret", "list"]).run();
    let writers: Vec<Child> = (0..200)
        .map(|number| {
            writer(
                output.place(),
                "a/token",
                format!("value {number}").as_bytes(),
            )
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let list = output.again().args(["secret", "list", "--json"]).run();
    let json: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(
        (&json[0]["current"], &json[0]["versions"]),
        (&200.into(), &200.into())
    );
    let directory = format!("{SECRETS}/a/token");
    let mut values: Vec<Vec<u8>> = (1..=200)
        .map(|version| {
            let file = format!("{directory}/{version}.age");
            tool(list.place(), "age", &["-d", "-i", "id", &file])
        })
        .collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), 200);
    let left = list.place().entries();
    assert!(!left.iter().any(|path| path.contains(".new")), "{left:?}");
}

#[test]
fn a_killed_writer_leaves_complete_versions_alone() {
    let value = |number: usize| vec![b'a' + (number % 26) as u8; 300_000];
    let mut hushpipe = set(initialised(), "token", value(0));
    // From before it starts until after it ends, as long as it takes on this machine.
    let started = std::time::Instant::now();
    hushpipe = set(hushpipe, "token", value(0));
    let whole = started.elapsed();
    let (mut killed, rounds) = (0, if is_long() { 40 } else { 15 });
    for round in 1..=rounds {
        let output = hushpipe
            .args(["secret", "history", "token"])
            .run()
            .success();
        let mut child = writer(output.place(), "token", &value(round));
        std::thread::sleep(whole * round as u32 / rounds as u32);
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());

        let output = get(output.again(), &["token"]).success();
        let first = output.stdout[0];
        assert_eq!(output.stdout.len(), 300_000);
        assert!(output.stdout.iter().all(|byte| *byte == first));
        hushpipe = output.again();
    }
    assert!(killed > 0, "every writer was faster than its killer");
    // Whatever a killed one left is gone after the next that is not.
    let output = set(hushpipe, "token", "last")
        .args(["secret", "rekey"])
        .run();
    let output = output.success();
    let left = output.place().entries();
    assert!(!left.iter().any(|path| path.contains(".new")), "{left:?}");
    get(output.again(), &["token"]).stdout_is("last");
}
