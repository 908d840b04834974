//! Approvals end to end: keys and signatures are made by ssh-keygen(1).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::{PERMIT, decide_anew, files, site};
use crate::harness::{Hushpipe, Output, Place};

const TWO: &str = "@id(\"two-people\") @approval(\"2 of sre within 8h\") forbid (principal, action == \
                   Action::\"deliver\", resource) when { resource.classification == \"restricted\" };\n";

const ENTITIES: &str = r#"[
  { "uid": { "type": "Person", "id": "alice" }, "parents": [{ "type": "Group", "id": "sre" }] },
  { "uid": { "type": "Person", "id": "bob" }, "parents": [{ "type": "Group", "id": "sre" }] },
  { "uid": { "type": "Person", "id": "root" }, "parents": [{ "type": "Group", "id": "sre" }] },
  { "uid": { "type": "Group", "id": "sre" }, "parents": [] }
]"#;

fn keygen(place: &Place, words: &[&str]) {
    let output = Command::new("ssh-keygen")
        .args(words.iter().map(|word| place.fill(word)))
        .output()
        .expect("ssh-keygen is there");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A site that waits so long, with the keys of four people; mallory is in no group.
fn with_people(wait: &str) -> Hushpipe {
    let more = format!(
        "approvals: {{ signers: \"{{place}}/approvers\", directory: \"{{place}}/approvals\", wait: {wait} \
         }}\n"
    );
    let hushpipe = site(files("v"), &(PERMIT.to_owned() + TWO), &more)
        .file("policy.d/entities.json", ENTITIES)
        .directory("approvals");
    let mut signers = String::new();
    for person in ["alice", "bob", "root", "mallory"] {
        let file = format!("{{place}}/{person}");
        keygen(
            hushpipe.place(),
            &["-q", "-t", "ed25519", "-N", "", "-C", person, "-f", &file],
        );
        let key = std::fs::read_to_string(hushpipe.place().join(&format!("{person}.pub")));
        write!(signers, "{person} {}", key.expect("ssh-keygen made it")).unwrap();
    }
    hushpipe.file("approvers", signers)
}

fn launched(hushpipe: Hushpipe) -> Hushpipe {
    hushpipe
        .controlled()
        .args(["run", "--", "cat", "{place}/run/db"])
}

fn requests(place: &Place) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.join("approvals/requests"));
    let entries = entries.into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    found.sort();
    found
}

fn sign(place: &Place, person: &str) {
    for request in requests(place) {
        let (key, file) = (format!("{{place}}/{person}"), request.display().to_string());
        keygen(
            place,
            &["-Y", "sign", "-n", "approval@hushpipe", "-f", &key, &file],
        );
        let made = format!("{file}.sig");
        std::fs::rename(made, format!("{file}.{person}.sig")).expect("it was signed");
    }
}

fn again(output: Output) -> Hushpipe {
    launched(output.again().env("HUSHPIPE_SITE", "{place}/site.yaml"))
}

#[test]
fn two_of_three_people_approve_a_launch_once() {
    let output = launched(with_people("0s")).run().code(77);
    let said = output.stderr();
    assert!(
        said.contains("two-people wants 2 of sre to approve"),
        "{said}"
    );
    // Each of it once.
    for once in [
        "two-people wants 2 of sre",
        "policy denies",
        "hushpipe approve",
    ] {
        assert_eq!(said.matches(once).count(), 1, "{once}\n{said}");
    }
    let [request] = requests(output.place())
        .try_into()
        .expect("there is one request");
    let id = request.file_stem().unwrap().to_string_lossy().into_owned();
    assert!(said.contains(&id), "{said}");
    // Neither the requester's own approval nor that of somebody else of no group counts.
    for person in ["root", "mallory", "alice"] {
        sign(output.place(), person);
    }
    let output = again(output).run().code(77);
    assert_eq!(requests(output.place()), [request]);
    sign(output.place(), "bob");
    let output = again(output).run().success();
    assert_eq!(output.stdout(), "v\n");
    let said = output.stderr();
    assert!(
        said.contains(&format!("approval {id} is used, for policy two-people")),
        "{said}"
    );
    assert!(
        said.contains("policy now allows t to deliver db: two-people"),
        "{said}"
    );
    // It is used up.
    let output = again(output).run().code(77);
    assert_eq!(requests(output.place()).len(), 2);
}

#[test]
fn a_launch_waits_and_ends_at_once_and_cleanly_when_it_is_asked_to() {
    let running = launched(with_people("10m")).spawn();
    running.wait_for_stderr("two-people wants 2 of sre to approve");
    let output = running.stop();
    assert_eq!(output.status.code(), Some(143));
    assert!(!output.place().join("run/db").exists());
    let running = again(output).spawn();
    running.wait_for_stderr("two-people wants 2 of sre to approve");
    sign(running.place(), "alice");
    running.wait_for_stderr("alice approved");
    assert_eq!(running.status()["state"], "waiting for approval 1 of 2");
    sign(running.place(), "bob");
    assert_eq!(running.wait().success().stdout(), "v\n");
}

/// `approval request` with these options, for the launch of [`launched`].
fn requested(hushpipe: Hushpipe, options: &[&str]) -> Output {
    let words = [
        &["approval", "request"],
        options,
        &["--", "cat", "{place}/run/db"],
    ];
    hushpipe
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
        .args(words.concat())
        .run()
}

#[test]
fn approvals_that_are_requested_ahead_are_good_for_so_many_launches() {
    let options = ["--uses", "2", "--expires", "1h", "--reason", "INC-7"];
    let output = requested(with_people("0s"), &options).success();
    let said = output.stdout();
    let [request] = requests(output.place())
        .try_into()
        .expect("there is one request");
    let id = request.file_stem().unwrap().to_string_lossy().into_owned();
    for part in [
        &*format!("Request {id}\n"),
        "  reason      INC-7\n",
        "  launches    2\n",
        "  needs       2 of sre within 8h, for policy two-people\n",
        &format!("hushpipe approve {id}\n"),
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    sign(output.place(), "alice");
    sign(output.place(), "bob");
    let output = again(output).run().success();
    let output = again(output).run().success();
    let show = ["approval", "show", &id];
    let output = output.again().env("HUSHPIPE_SITE", "{place}/site.yaml");
    let output = output.args(show).run().success();
    let output = output
        .stdout_has("used        2 times")
        .stdout_has("used up");
    let output = again(output).run().code(77);
    assert_eq!(requests(output.place()).len(), 2);
    // Those that have not expired stay.
    let prune = ["approval", "prune", "--older-than", "0s"];
    let output = output.again().env("HUSHPIPE_SITE", "{place}/site.yaml");
    let output = output.args(prune).run().success();
    let output = output.stdout_has("removed 0 requests");
    assert_eq!(requests(output.place()).len(), 2);
}

#[test]
fn an_emergency_and_another_reason_are_requested_and_approved_as_such() {
    let output = requested(with_people("0s"), &["--reason", "INC-7"]).success();
    for person in ["alice", "bob"] {
        sign(output.place(), person);
    }
    let start = |output: Output, words: &[&str]| {
        let hushpipe = output.again().env("HUSHPIPE_SITE", "{place}/site.yaml");
        let hushpipe = hushpipe.controlled().arg("run").args(words.iter().copied());
        hushpipe.args(["--", "cat", "{place}/run/db"]).run()
    };
    // Neither is what was approved.
    let output = start(output, &["--break-glass", "INC-7"]).code(77);
    let output = start(output, &["--reason", "INC-8"]).code(77);
    assert_eq!(requests(output.place()).len(), 3);
    // The reason may be left to the request.
    let output = start(output, &[]).success();
    let output = output.again().env("HUSHPIPE_SITE", "{place}/site.yaml");
    let request = ["approval", "request", "--break-glass", "down"];
    let output = output
        .args(request)
        .args(["--", "cat", "{place}/run/db"])
        .run();
    let output = output
        .success()
        .stdout_has("emergency   it breaks the glass");
    for person in ["alice", "bob"] {
        sign(output.place(), person);
    }
    start(output, &["--break-glass", "down"]).success();
}

#[test]
fn a_request_that_no_launch_would_take_is_not_written() {
    let output = requested(with_people("0s"), &["--expires", "9h"]).code(64);
    let output = output.stderr_has("policy two-people accepts approvals for 8h");
    let output = requested(output.again(), &["--expires", "0s"]).code(64);
    let output = requested(output.again(), &["--uses", "0"]).code(64);
    let output = requested(output.again(), &["--reason", " "]).code(64);
    // What is denied in any case.
    let forbid = format!(
        "{PERMIT}{TWO}@id(\"never\") forbid (principal, action, resource) when {{ resource.name == \
         \"db\" }};\n"
    );
    super::decide_anew(output.place(), &forbid);
    let output = requested(output.again(), &[])
        .code(77)
        .stderr_has("never forbid it");
    super::decide_anew(output.place(), PERMIT);
    let output = requested(output.again(), &[]).success();
    let output = output.stdout_has("no approval is needed");
    let output = requested(output.again(), &["--json"])
        .success()
        .stdout_is("null\n");
    assert_eq!(requests(output.place()), Vec::<PathBuf>::new());
}

#[test]
fn keys_in_an_agent_approve() {
    let output = requested(with_people("0s"), &["--json"]).success();
    let shown: serde_json::Value = serde_json::from_str(&output.stdout()).expect("it is JSON");
    assert_eq!(shown["request"]["policies"]["wanted"][0]["group"], "sre");
    let id = shown["id"].as_str().unwrap().to_owned();
    let place = output.place();
    let agent = Agent::start(place);
    for person in ["alice", "bob"] {
        agent.add(&place.join(person));
        // From here on the agent alone has it.
        std::fs::remove_file(place.join(person)).expect("it was there");
    }
    let mut output = output;
    for person in ["alice", "bob"] {
        let key = format!("{{place}}/{person}.pub");
        let approve = ["approve", &id, "--yes", "--key", &key];
        let hushpipe = output
            .again()
            .env("HUSHPIPE_SITE", "{place}/site.yaml")
            .env("SSH_AUTH_SOCK", "{place}/agent.sock");
        output = hushpipe.args(approve).run().success();
    }
    again(output).run().success().stdout_is("v\n");
}

/// A launch of an approved plan, but in one thing: it needs approvals of its own.
#[test]
fn nothing_that_the_caller_chooses_is_approved_unseen() {
    let output = requested(with_people("0s"), &["--uses", "100"]).success();
    for person in ["alice", "bob"] {
        sign(output.place(), person);
    }
    let output = again(output).run().success().stdout_is("v\n");
    let refused = |hushpipe: Hushpipe, words: &[&str], what: &str| {
        let words: Vec<&str> = words.to_vec();
        let output = hushpipe.controlled().args(words).run().code(77);
        let asked = requests(output.place());
        for request in &asked[..] {
            // What was asked for instead, so that the next round asks as well.
            let text = std::fs::read_to_string(request).expect("it is there");
            if text.contains("\"uses\":1,") {
                assert!(text.contains(what), "{what}: {text}");
                std::fs::remove_file(request).expect("it is there");
            }
        }
        assert_eq!(asked.len(), 2, "{what}");
        output
    };
    let under = |output: Output| output.again().env("HUSHPIPE_SITE", "{place}/site.yaml");
    let cat = ["--", "cat", "{place}/run/db"];
    let with = |options: &[&'static str]| [&["run"], options, &cat].concat();
    let output = refused(
        under(output),
        &with(&["--argv0", "-cat"]),
        "\"argv0\":\"-cat\"",
    );
    let output = refused(
        under(output),
        &["run", "--", "cat", "{place}/s/db"],
        "/s/db\"]",
    );
    let output = refused(
        under(output).through(&["env", "-C", "/"]),
        &with(&["-m", "{place}/hushpipe.yaml"]),
        "\"directory\":\"/\"",
    );
    // A manifest that is the same to the byte, elsewhere: its relative paths would lead elsewhere.
    output
        .place()
        .write("s/other.yaml", output.place().read("hushpipe.yaml"));
    let output = refused(
        under(output),
        &with(&["-m", "{place}/s/other.yaml"]),
        "/s/other.yaml",
    );
    again(output).run().success();
}

#[test]
fn a_variable_of_the_manifest_is_approved_with_its_value() {
    let hushpipe = with_people("0s");
    let manifest = hushpipe.place().read("hushpipe.yaml");
    let manifest = manifest.replace("{place}/s\"", "{place}/${STORE}\"");
    let manifest = manifest.replace(
        &hushpipe.place().fill("path: \"{place}/s\""),
        &hushpipe.place().fill("path: \"{place}/${STORE}\""),
    );
    assert!(manifest.contains("${STORE}"), "{manifest}");
    hushpipe.place().replace("hushpipe.yaml", manifest);
    hushpipe.place().make_directory("t");
    hushpipe.place().write("t/db", "of another store");
    let output = requested(hushpipe.env("STORE", "s"), &["--uses", "9"]).success();
    let output = output.stdout_has("variables   STORE\n");
    for person in ["alice", "bob"] {
        sign(output.place(), person);
    }
    let output = again(output)
        .env("STORE", "s")
        .run()
        .success()
        .stdout_is("v\n");
    again(output).env("STORE", "t").run().code(77).stdout_is("");
}

#[test]
fn what_would_have_a_judged_program_run_other_code_is_not_inherited() {
    let hushpipe = site(files("v"), PERMIT, "");
    let printenv = ["run", "--", "printenv", "BASH_ENV"];
    let output = hushpipe
        .controlled()
        .env("BASH_ENV", "/nonexistent")
        .args(printenv)
        .run()
        .code(1)
        .stdout_is("")
        .stderr_has("does not inherit BASH_ENV");
    // Named, it is, and policy sees it: these are not the program's bytes alone any more.
    let manifest = output.place().read("hushpipe.yaml");
    output.place().replace(
        "hushpipe.yaml",
        format!("{manifest}run: {{ env: {{ inherit: [all, BASH_ENV] }} }}\n"),
    );
    let output = output
        .again()
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
        .env("BASH_ENV", "/nonexistent");
    let output = output
        .args(printenv)
        .run()
        .success()
        .stdout_is("/nonexistent\n");
    let pinned =
        "@id(\"pinned\") permit (principal, action, resource) when { context.program.pinned };";
    super::decide_anew(output.place(), pinned);
    let output = output.again().env("HUSHPIPE_SITE", "{place}/site.yaml");
    let output = output.args(printenv).run().code(1).stdout_is("");
    let output = output
        .again()
        .env("HUSHPIPE_SITE", "{place}/site.yaml")
        .env("BASH_ENV", "/nonexistent");
    output.args(printenv).run().code(77);
}

/// Signatures that count are seen among any number of files of somebody else.
#[test]
fn files_of_another_user_hide_no_signature() {
    let output = requested(with_people("0s"), &[]).success();
    let [request] = requests(output.place())
        .try_into()
        .expect("there is one request");
    for number in 0..300 {
        let name = format!("{}.0{number:04}.sig", request.display());
        std::fs::write(&name, "no signature").expect("it can be written");
        std::os::unix::fs::chown(&name, Some(4242), None).expect("root may");
    }
    for person in ["alice", "bob"] {
        sign(output.place(), person);
    }
    again(output).run().success().stdout_is("v\n");
}

/// ssh-agent(1), until it is dropped.
struct Agent(std::process::Child, PathBuf);

impl Agent {
    fn start(place: &Place) -> Self {
        let socket = place.join("agent.sock");
        let agent = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("ssh-agent is there");
        let agent = Self(agent, socket);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(&agent.1).is_err() {
            assert!(
                std::time::Instant::now() < deadline,
                "ssh-agent does not listen"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        agent
    }

    fn add(&self, key: &std::path::Path) {
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.1)
            .status();
        assert!(added.expect("ssh-add is there").success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it was started here");
    }
}

#[test]
fn a_forbid_that_is_added_while_a_launch_waits_holds() {
    let running = launched(with_people("10m")).spawn();
    running.wait_for_stderr("two-people wants 2 of sre to approve");
    let stop = "@id(\"stop-all\") forbid (principal, action == Action::\"deliver\", resource);\n";
    decide_anew(running.place(), &format!("{PERMIT}{TWO}{stop}"));
    for person in ["alice", "bob"] {
        sign(running.place(), person);
    }
    let output = running.wait().code(77).stdout_is("");
    let said = output.stderr();
    assert!(said.contains("stop-all"), "{said}");
    assert!(!said.contains("is used"), "{said}");
}

#[test]
fn check_shows_approvals_that_a_launch_would_still_need() {
    let output = with_people("0s").args(["check", "--", "true"]).run();
    let output = output.code(77);
    let output = output.stderr_has("two-people wants 2 of sre to approve");
    assert_eq!(requests(output.place()).len(), 0);
}

#[test]
fn another_users_directory_among_the_records_of_uses_is_reported() {
    use std::os::unix::fs::{MetadataExt as _, chown};

    let output = launched(with_people("0s")).run().code(77);
    sign(output.place(), "alice");
    sign(output.place(), "bob");
    // A launch of root's makes the directory with its own in it, so that no other user can be first.
    let uses = output.place().join("approvals/uses");
    let own = uses.join("0");
    let status = own.metadata().expect("the launch made it");
    assert_eq!((status.uid(), status.mode() & 0o7777), (0, 0o700));
    let mode = uses.metadata().expect("it is there").mode();
    assert_eq!(mode & 0o7777, 0o1777);
    // Where somebody else made it, another user was.
    chown(&own, Some(65534), Some(65534)).expect("the tests run as root");
    let output = again(output).run().code(71).stdout_is("");
    output.stderr_has("uses/0 belongs to uid 65534");
}
