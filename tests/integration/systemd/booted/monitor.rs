//! hushpipe-monitor.service as it is shipped, with the journal as its receiver. It takes a system of its own, with
//! a site, and so is for nightly runs; each day, its sinks are tested without systemd.

use super::machine::{Machine, Suite};
use crate::harness::is_long;

const SITE: &str = "version: 1\naudit:\n  directory: /var/log/hushpipe\n  key_file: /var/lib/hushpipe/audit.key\n  \
                    sinks: [{ journald: {} }]\nalerts:\n  rules: [{ on: rate, more_than: 0 }]\n  notify: [{ \
                    journald: {} }]\n";

const MANIFEST: &str = "version: 1\nservice: audited\nstores: { s: { type: directory, path: /srv/secrets } }\n\
                        secrets: { db: { store: s, key: db } }\ndeliver: [{ file: /run/audited/db, secret: db }]\n\
                        run: { command: [sha256sum, /run/audited/db] }\n";

#[test]
fn the_service_starts_reads_the_log_and_feeds_the_journal() {
    if !is_long() {
        return;
    }
    for suite in Suite::all() {
        let machine = Machine::apart(*suite);
        // As hushpipe-monitor(8) says.
        machine.ok(&[
            "install",
            "-d",
            "-m",
            "0750",
            "-g",
            "adm",
            "/var/log/hushpipe",
        ]);
        machine.write("/etc/hushpipe/site.yaml", SITE, 0o644);
        machine.write("/srv/secrets/db", "correct-horse-battery", 0o400);
        machine.write("/srv/audited.yaml", MANIFEST, 0o644);
        machine.ok(&["hushpipe", "run", "-m", "/srv/audited.yaml"]);
        machine.systemctl("start hushpipe-monitor");
        assert_eq!(
            machine.property("hushpipe-monitor", "ActiveState"),
            "active"
        );
        machine.until("the journal has the release", || {
            let found = machine.run(&["journalctl", "--output=json", "HUSHPIPE_KIND=release"]);
            found
                .stdout
                .contains("\"HUSHPIPE_SERVICE\":\"audited\"")
                .then_some(())
        });
        // What comes later is seen, and an alert.
        machine.ok(&["hushpipe", "run", "-m", "/srv/audited.yaml"]);
        machine.until("the journal has the alert", || {
            let found = machine.run(&["journalctl", "--output=cat", "HUSHPIPE_ALERT=rate"]);
            found.stdout.contains("alert rate firing").then_some(())
        });
        let all = machine.ok(&["journalctl", "--output=export"]);
        assert!(!all.contains("correct-horse-battery"));
        machine.systemctl("stop hushpipe-monitor");
        assert_eq!(machine.property("hushpipe-monitor", "Result"), "success");
    }
}
