//! Under a site: neither deciding, nor asking for approvals, nor spending them leaves anything of a value
//! in what hushpipe says, in its files or in its memory.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use super::canary::Canary;
use super::deliveries::assert_clean;
use super::scan::Scan;
use crate::harness::{Hushpipe, Place};

const SITE: &str = "version: 1\nenvironment: production\n\
     policy: { directory: \"{place}/policy.d\" }\n\
     approvals: { signers: \"{place}/approvers\", directory: \"{place}/approvals\" }\n\
     audit: { directory: \"{place}/log\", key_file: \"{place}/audit.key\", \
     fingerprint_key_file: \"{place}/fingerprint.key\" }\n";

const POLICY: &str = r#"
@id("all")
permit (principal, action, resource);

@id("two")
@approval("2 of sre within 8h")
forbid (principal, action == Action::"deliver", resource)
when { resource.classification == "restricted" };
"#;

const ENTITIES: &str = r#"[
  {"uid": {"type": "Person", "id": "ann"}, "parents": [{"type": "Group", "id": "sre"}]},
  {"uid": {"type": "Person", "id": "eve"}, "parents": [{"type": "Group", "id": "sre"}]}
]"#;

const MANIFEST: &str = r#"
version: 1
service: leak
stores: { it: { type: directory, path: "{place}/secrets" } }
secrets: { value: { store: it, key: value, classification: restricted } }
deliver: [{ file: "{place}/run/file", secret: value }]
isolation: private
run:
  command: ["{probe}", on, HUP, "digest:{place}/run/file", on, TERM, "exit:0", serve]
on_rotate: { do: signal, signal: HUP, settle: 0s }
"#;

fn ssh_keygen(place: &Place, arguments: &[&str], stdin: Stdio) -> Vec<u8> {
    let output = Command::new("ssh-keygen")
        .args(arguments)
        .current_dir(place.path())
        .stdin(stdin)
        .output()
        .expect("tests/install installs OpenSSH");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The site's files, and a key of each person.
fn site(place: &Place) {
    place.write("site.yaml", place.fill(SITE));
    place.write("fingerprint.key", "0123456789abcdef0123456789abcdef\n");
    place.write("policy.d/all.cedar", POLICY);
    place.write("policy.d/entities.json", ENTITIES);
    let mut signers = String::new();
    for name in ["ann", "eve"] {
        let made = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name];
        ssh_keygen(place, &made, Stdio::null());
        let key = place.read(&format!("{name}.pub"));
        write!(signers, "{name} namespaces=\"approval@hushpipe\" {key}").unwrap();
    }
    place.write("approvers", signers);
}

/// Both approve the one request that there is.
fn approve(place: &Place) {
    let requests = place.join("approvals/requests");
    let requests = std::fs::read_dir(requests).expect("a request was written");
    let names = requests.map(|entry| entry.expect("it can be read").path());
    let request = names
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "json"))
        .expect("it is one");
    for name in ["ann", "eve"] {
        let stdin = std::fs::File::open(&request).expect("it can be read");
        let sign = ["-q", "-Y", "sign", "-n", "approval@hushpipe", "-f", name];
        let signature = ssh_keygen(place, &sign, stdin.into());
        let path = format!("{}.{name}.sig", request.display());
        std::fs::write(path, signature).expect("it can be written");
    }
}

/// Of all files but the store's own.
fn no_file_has(place: &Place, canaries: &[&Canary]) {
    let mut hits = Scan::new(canaries.iter().copied()).files(place.path());
    hits.retain(|hit| !hit.contains("/secrets/"));
    assert_eq!(hits, [""; 0]);
}

#[test]
fn nothing_is_left_where_policy_decides_and_people_approve() {
    let (first, second) = (Canary::new("value"), Canary::new("value"));
    let control = Canary::new("control");
    let hushpipe = Hushpipe::new();
    site(hushpipe.place());
    let site = hushpipe.place().join("site.yaml");
    let output = hushpipe
        .file("secrets/value", first.value())
        .mode("secrets/value", 0o400)
        .env("HUSHPIPE_SITE", site)
        .env("CONTROL", control.value())
        .manifest(MANIFEST)
        .controlled()
        .args(["run", "-vvv"])
        .run()
        .code(77)
        .stderr_has("2 of sre");
    assert_eq!(
        Scan::new([&first]).bytes("stderr", output.stderr().as_bytes()),
        [""; 0]
    );
    let hushpipe = output.again();
    no_file_has(hushpipe.place(), &[&first]);
    approve(hushpipe.place());
    let site = hushpipe.place().join("site.yaml");
    let running = hushpipe
        .env("HUSHPIPE_SITE", site)
        .env("CONTROL", control.value())
        .controlled()
        .args(["run", "-vvv"])
        .spawn();
    running.wait_for_line("ready");
    // The site holds: a use of the approval was spent.
    let uses = std::fs::read_dir(running.place().join("approvals/uses"));
    assert_eq!(uses.expect("it was made").count(), 1);
    assert_clean(&running, &control, &[&first]);
    no_file_has(running.place(), &[&first]);
    running.place().replace("secrets/value", second.value());
    running.wait_for_line("digest");
    assert_clean(&running, &control, &[&first, &second]);
    no_file_has(running.place(), &[&first, &second]);
    let status = running.ask(&["status", "--json"]);
    let told = [status.stdout, status.stderr].concat();
    assert_eq!(Scan::new([&first, &second]).bytes("status", &told), [""; 0]);
    let output = running.stop().success();
    no_file_has(output.place(), &[&first, &second]);
    // Whoever looks for a value finds who has it, and does not see it.
    let site = output.place().join("site.yaml");
    let find = output.again().env("HUSHPIPE_SITE", site);
    let find = find.args(["audit", "find", "--value", "--json"]);
    let found = find.stdin(second.value()).run().success();
    assert!(found.stdout().contains("\"kind\":\"release\""));
    let told = [found.stdout(), found.stderr()].concat();
    assert_eq!(
        Scan::new([&first, &second]).bytes("find", told.as_bytes()),
        [""; 0]
    );
    no_file_has(found.place(), &[&first, &second]);
}
