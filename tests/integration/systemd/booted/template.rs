//! hushpipe@.service, as it is shipped.

use super::{Machine, in_each};

/// A program that says what it has, and again at SIGHUP.
const SERVER: &str = "import os, signal, sys\n\
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])\n\
    while True:\n    \
        print('have', open(sys.argv[1]).read(), flush=True)\n    \
        signal.sigwait([signal.SIGHUP])\n";

const MANIFEST: &str = "version: 1\nservice: app\n\
    stores:\n  dir: { type: directory, path: /srv/secrets }\n\
    secrets:\n  token: { store: dir, key: token }\n\
    deliver:\n  - { file: \"${RUNTIME_DIRECTORY}/secrets/token\", secret: token }\n\
    run: { command: [python3, /srv/server.py, \"${RUNTIME_DIRECTORY}/secrets/token\"] }\n\
    on_rotate: { do: signal, signal: HUP }\n";

const UNIT: &str = "hushpipe@app.service";

fn install(machine: &Machine) {
    machine.write("/srv/server.py", SERVER, 0o644);
    machine.write("/srv/secrets/token", "one", 0o644);
    machine.write("/etc/hushpipe/app.yaml", MANIFEST, 0o644);
}

#[test]
fn a_program_starts_reloads_crashes_and_stops() {
    in_each(|machine| {
        install(machine);
        machine.systemctl("start hushpipe@app");
        machine.wait_for_journal(UNIT, "have one");
        // Only the program sees it, not even root outside.
        assert!(!machine.path("/run/hushpipe-app/secrets/token").exists());

        // `reload` asks the stores, and comes back when the program has been told.
        machine.write("/srv/secrets/token", "two", 0o644);
        machine.systemctl("reload hushpipe@app");
        machine.wait_for_journal(UNIT, "have two");
        assert_eq!(machine.property(UNIT, "SubState"), "running");

        // A program that dies by a signal is a service that does.
        machine.systemctl("kill --signal=SEGV --kill-whom=all hushpipe@app");
        machine.until("it is started anew", || {
            let again = machine.property(UNIT, "NRestarts") != "0";
            (again && machine.property(UNIT, "SubState") == "running").then_some(())
        });
        machine.systemctl("stop hushpipe@app");
        assert_eq!(machine.property(UNIT, "ActiveState"), "inactive");
        assert_eq!(machine.property(UNIT, "Result"), "success");
    });
}

#[test]
fn the_unit_is_as_closed_as_it_says() {
    in_each(|machine| {
        // Of no manifest: another test may be changing what its one delivers.
        let unit = "hushpipe@closed.service";
        let text = machine.ok(&["systemd-analyze", "security", "--no-pager", unit]);
        let level: f64 = text
            .rsplit_once("exposure level for hushpipe@closed.service: ")
            .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{text}"));
        assert!(level <= 2.0, "{text}");
        let unit = "/usr/lib/systemd/system/hushpipe@.service";
        let verified = machine.run(&["systemd-analyze", "verify", unit]);
        // man pages come with the package.
        let said = verified
            .stderr
            .lines()
            .filter(|line| !line.contains("man "));
        assert_eq!(said.collect::<Vec<_>>(), [""; 0]);
    });
}

#[test]
fn a_manifest_that_is_not_there_or_wrong_fails_the_start_once() {
    in_each(|machine| {
        let failed = machine.run(&["systemctl", "start", "hushpipe@none"]);
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        machine.write("/etc/hushpipe/bad.yaml", "version: 1\nservce: bad\n", 0o644);
        let failed = machine.run(&["systemctl", "start", "hushpipe@bad"]);
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        assert_eq!(machine.property("hushpipe@bad", "ExecMainStatus"), "78");
        assert_eq!(machine.property("hushpipe@bad", "NRestarts"), "0");
        assert!(
            machine
                .journal("hushpipe@bad")
                .contains("did you mean `service`?")
        );
    });
}
