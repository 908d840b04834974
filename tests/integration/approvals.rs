//! Approvals and signed manifests, by the commands and by ssh-keygen: what one signs, the other accepts.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Hushpipe, Output, Place};

const MANIFEST: &str = "
version: 1
service: payments
stores: { s: { type: directory, path: '{place}/secrets' } }
secrets: { token: { store: s, key: token } }
deliver: [{ fd: 3, as: memfd, secret: token }]
run: { command: ['{probe}', read, '3'] }
";

const SITE: &str = "
version: 1
manifests: { signers: '{place}/manifest-signers' }
approvals: { signers: '{place}/approvers', directory: '{place}/approvals' }
";

/// A request, with an id of this digit.
fn request(id: char, expires: u32) -> String {
    let digest = "a".repeat(64);
    let id = String::from(id).repeat(32);
    format!(
        "{{\"action\":\"deliver\",\"arguments\":[\"-c\",\"select 1\"],\"arguments_sha256\":\"{digest}\",\
         \"break_glass\":false,\"by\":\"carol\\u001b[2J\",\"created\":\"2020-01-01T00:00:00Z\",\"directory\":\"/\",\
         \"environment\":\"production\",\"expires\":\"{expires}-01-01T00:00:00Z\",\"host\":\"db1\",\
         \"id\":\"{id}\",\"isolation\":\"private\",\
         \"manifest\":{{\"path\":\"/srv/m.yaml\",\"sha256\":\"{digest}\",\"signed_by\":\"\"}},\
         \"mode\":\"supervise\",\"policies\":{{\"sha256\":\"{digest}\",\"wanted\":[{{\"group\":\"sre\",\
         \"needed\":1,\"policy\":\"two\",\"within\":3155760000}}]}},\
         \"program\":{{\"argv0\":\"psql\",\"interpreter\":\"\",\"interpreter_sha256\":\"\",\
         \"path\":\"/usr/bin/psql\",\"sha256\":\"{digest}\"}},\"reason\":\"INC-7\",\
         \"secrets\":[{{\"asked\":\"db/password\",\"deliveries\":[\"file\"],\"store\":\"bao\"}}],\
         \"service\":\"payments\",\"uid\":1000,\"uses\":1,\
         \"variables\":{{\"names\":[\"DB\"],\"sha256\":\"{digest}\"}},\"version\":1}}\n"
    )
}

fn keygen(place: &Place, arguments: &[&str]) {
    let output = Command::new("ssh-keygen")
        .args(arguments.iter().map(|word| place.fill(word)))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

/// A place with a site, a manifest, a secret, and keys of alice (who counts) and mallory (who does not).
fn place() -> Place {
    let place = Place::new();
    for name in ["alice", "mallory"] {
        let file = format!("{{place}}/{name}");
        keygen(
            &place,
            &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &file],
        );
    }
    place.copy_probe();
    let public = place.read("alice.pub");
    place.write(
        "approvers",
        format!("alice@example.com namespaces=\"approval@*\" {public}"),
    );
    place.write("manifest-signers", format!("alice@example.com {public}"));
    place.write("site.yaml", place.fill(SITE));
    place.write("hushpipe.yaml", place.fill(MANIFEST));
    place.write("secrets/token", "s3cret");
    place
}

/// Says that alice@example.com is of sre.
fn with_groups(place: Place) -> Place {
    let policy = place.fill("policy: { directory: '{place}/policy.d' }\n");
    let site = place.read("site.yaml");
    place.replace("site.yaml", format!("{site}{policy}"));
    place.make_directory("policy.d");
    place.write(
        "policy.d/p.cedar",
        "permit (principal, action, resource);\n",
    );
    place.write(
        "policy.d/entities.json",
        r#"[{ "uid": { "type": "Person", "id": "alice@example.com" },
              "parents": [{ "type": "Group", "id": "sre" }] }]"#,
    );
    place
}

fn hushpipe(place: Place) -> Hushpipe {
    let site = place.join("site.yaml");
    Hushpipe::at(place).env("HUSHPIPE_SITE", site)
}

/// As [`Output::again`], with the site.
fn again(output: Output) -> Hushpipe {
    let site = output.place().join("site.yaml");
    output.again().env("HUSHPIPE_SITE", site)
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story")]
fn a_manifest_is_refused_until_somebody_who_may_signed_it_as_it_is() {
    let run = |hushpipe: Hushpipe| hushpipe.args(["run", "-m", "{place}/hushpipe.yaml"]).run();
    let exec = ["run", "--exec", "-m", "{place}/hushpipe.yaml"];
    let output = hushpipe(place()).args(exec).run().code(77).stdout_is("");
    let output = output.stderr_has("not signed");
    let output = run(again(output)).code(77).stdout_is("");
    let output = output
        .stderr_has("not signed")
        .stderr_has("hushpipe manifest sign -m");
    let sign = |hushpipe: Hushpipe, key: &str| {
        let key = format!("{{place}}/{key}");
        hushpipe
            .args([
                "manifest",
                "sign",
                "-m",
                "{place}/hushpipe.yaml",
                "--key",
                &key,
            ])
            .run()
    };
    let output = sign(again(output), "mallory").success();
    let output = run(again(output))
        .code(77)
        .stdout_is("")
        .stderr_has("unknown signer");
    let output = sign(again(output), "alice")
        .success()
        .stdout_has("signed by ssh-ed25519 SHA256:");
    let mut output = run(again(output)).success().stdout_is("s3cret");
    // What was signed is what runs.
    for (more, replaced) in [
        (["--", "{probe}"], "program"),
        (["--argv0", "-x"], "program's name"),
    ] {
        let words = ["run", "-m", "{place}/hushpipe.yaml"];
        output = again(output).args([&words[..], &more].concat()).run();
        output = output.code(78).stdout_is("");
        output = output.stderr_has(&format!("replaces the signed {replaced}"));
    }
    let check = ["check", "--manifest-only", "-m", "{place}/hushpipe.yaml"];
    let output = again(output).args(check).run().success();
    let output = output.stdout_has("signed by one of ");
    let verify = ["manifest", "verify", "-m", "{place}/hushpipe.yaml"];
    let output = again(output).args(verify).run().success();
    let output = output.stdout_has("signed by alice@example.com");
    let command = format!(
        "ssh-keygen -Y verify -f {0}/manifest-signers -I alice@example.com -n manifest@hushpipe \
         -s {0}/hushpipe.yaml.sig < {0}/hushpipe.yaml",
        output.place().path().display()
    );
    let verified = Command::new("sh")
        .args(["-c", &command])
        .stdout(Stdio::null())
        .status();
    assert!(verified.unwrap().success());
    let manifest = output.place().read("hushpipe.yaml");
    output
        .place()
        .replace("hushpipe.yaml", format!("{manifest}\n# changed\n"));
    let output = run(again(output))
        .code(77)
        .stdout_is("")
        .stderr_has("sign the manifest again");
    // By hand.
    fs::remove_file(output.place().join("hushpipe.yaml.sig")).unwrap();
    let words = [
        "-q",
        "-Y",
        "sign",
        "-n",
        "manifest@hushpipe",
        "-f",
        "{place}/alice",
    ];
    keygen(
        output.place(),
        &[&words[..], &["{place}/hushpipe.yaml"]].concat(),
    );
    let output = run(again(output)).success().stdout_is("s3cret");
    // Of another purpose, and from a pipe.
    fs::remove_file(output.place().join("hushpipe.yaml.sig")).unwrap();
    let words = ["-q", "-Y", "sign", "-n", "file", "-f", "{place}/alice"];
    keygen(
        output.place(),
        &[&words[..], &["{place}/hushpipe.yaml"]].concat(),
    );
    let output = run(again(output)).code(77).stderr_has("in namespace file");
    let text = output.place().read("hushpipe.yaml");
    let output = again(output).args(["run", "-m", "-"]).stdin(text).run();
    let output = output
        .code(77)
        .stderr_has("standard input has no signature");
    // Policy sees who signed.
    let output = again(output).args([
        "manifest",
        "sign",
        "-m",
        "{place}/hushpipe.yaml",
        "--key",
        "{place}/alice",
    ]);
    let mut output = output.run().success();
    let site = output.place().read("site.yaml");
    let policy = output
        .place()
        .fill("policy: { directory: '{place}/policy.d' }\n");
    output
        .place()
        .replace("site.yaml", format!("{site}{policy}"));
    output.place().make_directory("policy.d");
    for (signer, exit) in [("alice@example.com", 0), ("bob@example.com", 77)] {
        let permit = format!(
            "permit (principal, action, resource) when {{ context.manifest.signed_by == \"{signer}\" }};"
        );
        output.place().replace("policy.d/p.cedar", permit);
        output = run(again(output)).code(exit);
    }
    // A wrong file of signers is the site's fault.
    let signers = output.place().read("manifest-signers");
    output.place().replace(
        "manifest-signers",
        format!("alice no-such-option {signers}"),
    );
    run(again(output))
        .code(78)
        .stderr_has("line 1: unknown option");
}

#[test]
fn who_counts_approves_by_the_command_and_ssh_keygen_accepts_it() {
    let place = with_groups(place());
    let id = "7".repeat(32);
    place.make_directory("approvals/requests");
    place.set_mode("approvals/requests", 0o1777);
    place.write(&format!("approvals/requests/{id}.json"), request('7', 2099));
    let list = |hushpipe: Hushpipe| hushpipe.args(["approval", "list"]).run().success();
    let output = list(hushpipe(place)).stdout_has("777777777777  waiting");
    let output = again(output).args(["approve", "7777"]).stdin("").run();
    let output = output
        .code(64)
        .stderr_has("--yes")
        .stderr_has("/usr/bin/psql");
    let approve = |hushpipe: Hushpipe, key: &str| {
        let key = format!("{{place}}/{key}");
        hushpipe
            .args(["approve", "7777", "--yes", "--key", &key])
            .run()
    };
    let output = approve(again(output), "mallory")
        .code(77)
        .stderr_has("unknown signer");
    let output = list(again(output)).stdout_has("waiting");
    // Nobody has approved: verify says so, whatever number is asked for.
    let output = again(output)
        .args(["approval", "verify", "7777", "--people", "0"])
        .run()
        .code(1)
        .stdout_has("policy two needs 1 of sre, and has 0");
    let output = approve(again(output), "alice")
        .success()
        .stdout_has(".json.root-");
    let signature = signatures(output.place(), "approvals/requests");
    let output = list(again(output))
        .stdout_has("approved")
        .stdout_has("alice@example.com");
    let command = format!(
        "ssh-keygen -Y verify -f {0}/approvers -I alice@example.com -n approval@hushpipe \
         -s {0}/approvals/requests/{1} < {0}/approvals/requests/{id}.json",
        output.place().path().display(),
        signature[0]
    );
    let verified = Command::new("sh")
        .args(["-c", &command])
        .stdout(Stdio::null())
        .status();
    assert!(verified.unwrap().success());
    let output = again(output)
        .args(["approval", "verify", "7777"])
        .run()
        .success();
    let verify = ["approval", "verify", "7777", "--people", "2"];
    let output = again(output).args(verify).run().code(1);
    // Names of others are shown as text.
    let output = again(output)
        .args(["approval", "show", "7777"])
        .run()
        .success();
    let output = output
        .stdout_has(r"carol\u{1b}[2J")
        .stdout_has("argument    'select 1'\n")
        .stdout_has("variables   DB\n")
        .stdout_has("secret      db/password of store bao, as file\n")
        .stdout_has("needs       1 of sre within 36525d, for policy two\n");
    let output = again(output)
        .args(["approval", "show", "7777", "--json"])
        .run()
        .success();
    let shown: serde_json::Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(shown["approved_by"][0]["names"][0], "alice@example.com");
    assert_eq!(shown["state"], "approved");
    again(output)
        .args(["approval", "show", "1234"])
        .run()
        .code(66)
        .stderr_has("no request 1234");
}

/// The names of signature files in a directory of the place.
fn signatures(place: &Place, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(place.join(directory)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.rsplit('.').next() == Some("sig"))
        .collect()
}

#[test]
fn a_request_in_a_file_is_signed_beside_it() {
    let place = place();
    place.write("copied.json", request('8', 2099));
    place.write("wrong.json", request('8', 2099).replace("1000", "1001 "));
    place.write("long.json", vec![b'x'; 10_000_000]);
    let approve = |hushpipe: Hushpipe, file: &str| {
        let file = format!("{{place}}/{file}");
        hushpipe
            .args(["approve", &file, "--yes", "--key", "{place}/alice"])
            .run()
    };
    let output = approve(Hushpipe::at(place), "copied.json").success();
    let output = output.stdout_has("copied.json.root-");
    assert_eq!(signatures(output.place(), "").len(), 1);
    // Another key of the same user is another file; the same key takes its own place.
    let again_by = |output: Output, key: &str| {
        let key = format!("{{place}}/{key}");
        again(output)
            .args(["approve", "{place}/copied.json", "--yes", "--key", &key])
            .run()
            .success()
    };
    let output = again_by(again_by(output, "mallory"), "alice");
    assert_eq!(signatures(output.place(), "").len(), 2);
    let output = approve(again(output), "wrong.json")
        .code(65)
        .stderr_has("canonical form");
    let output = approve(again(output), "long.json")
        .code(71)
        .stderr_has("cannot read");
    assert_eq!(signatures(output.place(), "").len(), 2);
}

#[test]
fn what_has_ended_or_is_broken_is_shown_as_such() {
    let place = place();
    place.make_directory("approvals/requests");
    place.set_mode("approvals/requests", 0o1777);
    for (digit, text) in [('1', request('1', 2021)), ('2', "\u{1b}[2J{}".to_owned())] {
        let id = String::from(digit).repeat(32);
        place.write(&format!("approvals/requests/{id}.json"), text);
    }
    let output = hushpipe(place).args(["approval", "list"]).run().success();
    let output = output
        .stdout_has("222222222222  broken")
        .stdout_has("111111111111  ended");
    assert!(!output.stdout().contains('\u{1b}'));
    again(output)
        .args(["approval", "verify", "1111"])
        .run()
        .code(1);
}

#[test]
fn root_signs_in_directories_of_others_and_follows_none_of_their_links() {
    let signs = |link: bool| {
        let place = place();
        let text = place.read("hushpipe.yaml");
        for name in ["home/app", "roots"] {
            place.make_directory(name);
            place.write(&format!("{name}/hushpipe.yaml"), &text);
        }
        if link {
            std::fs::rename(place.join("home/app"), place.join("home/old")).expect("it is there");
            std::os::unix::fs::symlink(place.join("roots"), place.join("home/app"))
                .expect("it is new");
        }
        for path in ["home", if link { "home/old" } else { "home/app" }] {
            std::os::unix::fs::chown(place.join(path), Some(4242), Some(4242))
                .expect("this is root");
        }
        if link {
            let link = place.join("home/app");
            std::os::unix::fs::lchown(link, Some(4242), Some(4242)).expect("this is root");
        }
        let words = ["manifest", "sign", "-m", "{place}/home/app/hushpipe.yaml"];
        hushpipe(place)
            .args(words)
            .args(["--key", "{place}/alice"])
            .run()
    };
    let output = signs(false).success();
    assert!(output.place().join("home/app/hushpipe.yaml.sig").exists());
    let output = signs(true)
        .code(77)
        .stderr_has("could lead root to files of somebody else");
    assert!(!output.place().join("roots/hushpipe.yaml.sig").exists());
}

#[test]
fn a_signed_manifest_that_depends_on_the_caller_is_refused_where_the_site_says_so() {
    let start = |variables: &str, owner: &str| {
        let place = place();
        let site = place.fill(SITE).replace(
            "manifest-signers' }",
            &format!("manifest-signers', variables: {variables} }}"),
        );
        place.replace("site.yaml", site);
        let manifest = place.read("hushpipe.yaml");
        place.replace("hushpipe.yaml", format!("{manifest}owner: {owner}\n"));
        let sign = ["manifest", "sign", "-m", "{place}/hushpipe.yaml"];
        let signed = hushpipe(place).args(sign).args(["--key", "{place}/alice"]);
        let run = again(signed.run().success());
        run.args(["run", "--exec", "-m", "{place}/hushpipe.yaml"])
            .run()
    };
    start("allow", "'${OWNER:-web}'").success();
    start("refuse", "web").success();
    let output = start("refuse", "'${OWNER:-web}'").code(77).stdout_is("");
    output.stderr_has("depends on variables of whoever starts it, and this site refuses that in a signed one: OWNER");
}
