//! Credentials of systemd's: those that hushpipe logs in with, and those that it gives a program.

use super::machine::Machine;
use super::{in_each, leaks};

/// The program prints what `systemd-creds` finds, and whether it sees hushpipe's own.
const MANIFEST: &str = "version: 1\nservice: creds\n\
    stores:\n  own: { type: directory, path: \"${CREDENTIALS_DIRECTORY}\" }\n  \
    sealed:\n    type: sealed\n    path: /srv/creds/store\n    \
    identity_file: \"${CREDENTIALS_DIRECTORY}/identity\"\n\
    secrets:\n  plain: { store: own, key: plain }\n  token: { store: sealed, key: token }\n\
    deliver:\n  - { credentials: [plain, token] }\nisolation: private\n\
    run:\n  command:\n    - sh\n    - -c\n    - |\n      \
    trap 'systemd-creds cat token; echo' HUP\n      \
    for name in plain token; do systemd-creds cat $name; echo; done\n      \
    ls -A /run/credentials/hushpipe@creds.service | grep . && echo seen || echo empty\n      \
    while :; do sleep 0.1; done\n\
    on_rotate: { do: signal, signal: HUP, settle: 0s }\n";

/// Puts a value into the sealed store, which everybody may read.
fn seal(machine: &Machine, value: &str) {
    let script = format!(
        "printf %s {value} | hushpipe secret set token --quiet --store /srv/creds/store \
         --identity /srv/creds/identity.txt && \
         chmod -R a+rX /srv/creds/store"
    );
    machine.ok(&["sh", "-c", &script]);
}

/// systemd 252 gives the unit's user the files, on a ramfs; 257 leaves them to root, readable for a
/// group, on a tmpfs. A sealed store's identity must be its owner's alone: both will do.
#[test]
fn what_hushpipe_logs_in_with_comes_from_systemd_and_stays_hushpipes() {
    in_each(|machine| {
        let unit = "hushpipe@creds.service";
        let (identity, encrypted) = ("/srv/creds/identity.txt", "/srv/creds/identity.cred");
        machine.write("/srv/creds/plain", "creds-plain-value", 0o600);
        let store = ["--store", "/srv/creds/store", "--identity", identity];
        machine.ok(&[&["hushpipe", "init", "/srv/creds"][..], &store].concat());
        seal(machine, "creds-sealed-one");
        machine.write("/etc/hushpipe/creds.yaml", MANIFEST, 0o644);
        machine.ok(&["systemd-creds", "setup"]);
        let encrypt = [
            "systemd-creds",
            "encrypt",
            "--with-key=host",
            "--name=identity",
        ];
        machine.ok(&[&encrypt[..], &[identity, encrypted]].concat());
        machine.write_unit(
            "hushpipe@creds.service.d/own.conf",
            &format!(
                "[Service]\nLoadCredential=plain:/srv/creds/plain\n\
                 LoadCredentialEncrypted=identity:{encrypted}\n"
            ),
        );
        machine.systemctl("start hushpipe@creds");
        machine.wait_for_journal(unit, "empty");
        let said = machine.journal(unit);
        for text in ["creds-plain-value", "creds-sealed-one"] {
            assert!(said.contains(text), "{text}: {said}");
        }
        assert!(!said.contains("seen"), "{said}");
        seal(machine, "creds-sealed-two");
        machine.wait_for_journal(unit, "creds-sealed-two");
        leaks::assert_none_of(machine, unit, "AGE-SECRET-KEY", "none");
        leaks::assert_none_of(machine, unit, "creds-sealed-", "creds-sealed-");
        machine.systemctl("stop hushpipe@creds");
        assert_eq!(machine.property(unit, "Result"), "success");
    });
}
