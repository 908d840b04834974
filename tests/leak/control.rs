//! What a launcher tells of itself holds nothing of any value: not its log, not its replies.

use super::canary::Canary;
use super::scan::Scan;
use crate::harness::{Hushpipe, Running};

const MANIFEST: &str = r#"
version: 1
service: leak
stores:
  it: { type: sealed, path: "{place}/store", identity_file: "{place}/identity.txt" }
secrets:
  file: { store: it, key: file, check: { max_length: 100 } }
  fifo: { store: it, key: fifo }
deliver:
  - { file: "{place}/run/file", secret: file }
  - { fifo: "{place}/run/fifo", secret: fifo }
run:
  command: ["{probe}", on, HUP, "digest:{place}/run/file", on, TERM, "exit:0", serve]
on_rotate: { do: signal, signal: HUP, settle: 0s }
"#;

/// Everything that can be asked of a launcher, and all that is answered.
fn answers(running: &Running) -> Vec<u8> {
    let pid = running.pid().to_string();
    let mut all = Vec::new();
    for words in [
        &["status", &pid][..],
        &["status", &pid, "--json"],
        &["status", &pid, "--check"],
        &["ps"],
        &["ps", "--json"],
        &["rotate", "-t", &pid],
        &["rotate", "file", "-t", &pid],
        &["rollback", "-t", &pid],
        &["rollback", "file", "--to", "1", "-t", &pid],
        &["revoke", "fifo", "-t", &pid],
    ] {
        let runtime = running.place().join("runtime");
        let hushpipe = Hushpipe::new().env("XDG_RUNTIME_DIR", runtime);
        let output = hushpipe.args(words.iter().copied()).run();
        all.extend(output.stdout);
        all.extend(output.stderr);
    }
    all
}

#[test]
fn nothing_of_a_value_is_in_an_answer() {
    let mut canaries = vec![Canary::new("file"), Canary::new("fifo")];
    let hushpipe = Hushpipe::new().sealed(&[]).directory("runtime");
    for canary in &canaries {
        hushpipe.place().seal(&canary.name, &canary.value());
    }
    let hushpipe = hushpipe
        .manifest(MANIFEST)
        .env("XDG_RUNTIME_DIR", "{place}/runtime");
    let running = hushpipe.args(["run", "-vv"]).spawn();
    running.wait_for_line("ready");
    running.wait_for_stderr("the control socket is ");
    let mut told = answers(&running);
    // A good value, then one that is refused.
    canaries.push(Canary::new("file"));
    running.place().seal("file", &canaries[2].value());
    running.wait_for_line("digest");
    canaries.push(Canary::new("file"));
    let long = canaries[3].value().repeat(10);
    running.place().seal("file", &long);
    running.wait_for_stderr("the new generation is refused");
    told.extend(answers(&running));
    let scan = Scan::new(&canaries);
    let text = String::from_utf8_lossy(&told);
    for word in [
        "\"service\": \"leak\"",
        "healthy",
        "generation 2",
        "is refused",
    ] {
        assert!(
            text.contains(word),
            "{word} is not in what was told:\n{text}"
        );
    }
    assert_eq!(scan.bytes("the answers", &told), [""; 0]);
    assert_eq!(scan.bytes("stderr", running.stderr().as_bytes()), [""; 0]);
    running.stop().success();
}
