//! Variables of `getenv` after many execs of the tree: nothing of them is left in hushpipe.

use super::canary::Canary;
use super::deliveries::{DIRECTORY, assert_clean, canaries, manifest, stock};
use super::stocked::binaries;
use crate::harness::Hushpipe;

const DELIVER: &str = r#"
deliver:
  - { getenv: CANARY, secret: getenv, children: same }
  - { getenv: ALONE, secret: alone }
run: { command: [/bin/sh, -c, "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do X=\"$CANARY $ALONE\" /bin/sh -c : & done; wait; Y=$CANARY /bin/sh -c 'echo ready $${#CANARY} $${#ALONE} $${#Y}; sleep 1000'"] }
"#;

#[test]
fn nothing_of_a_variable_is_left_after_many_execs() {
    for binary in binaries() {
        let first = canaries(&["getenv", "alone"]);
        let control = Canary::new("control");
        let hushpipe = stock(Hushpipe::new(), DIRECTORY, &first);
        let hushpipe = hushpipe.env("CONTROL", control.value());
        let text = manifest(DIRECTORY, &["getenv", "alone"], DELIVER);
        let hushpipe = hushpipe.manifest(&text).binary(binary.as_deref());
        let running = hushpipe.args(["run", "-vvv"]).spawn();
        let length = first[0].value().len();
        running.wait_for_line(&format!("ready {length} 0 {length}"));
        let all: Vec<&Canary> = first.iter().collect();
        assert_clean(&running, &control, &all);
        running.signal(nix::sys::signal::Signal::SIGKILL);
    }
}
