//! Manifests, good and bad: `tests/vectors/manifests`. Each bad one has the exact stderr that
//! `hushpipe check` gives for it. `UPDATE_GOLDEN=1` writes those files anew: read them then.

mod page;
mod schema;
pub mod yaml;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Hushpipe, Output, Place};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn vectors(kind: &str) -> Vec<PathBuf> {
    let directory = repository().join("tests/vectors/manifests").join(kind);
    let mut found: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    found.sort();
    found
}

/// Every `hushpipe.yaml` below `examples`.
fn examples() -> Vec<PathBuf> {
    let mut open = vec![repository().join("examples")];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name == "hushpipe.yaml") {
                found.push(path);
            }
        }
    }
    found
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// `hushpipe check -m NAME`, where the file is in the current directory.
fn check(hushpipe: Hushpipe, path: &Path) -> Output {
    let hushpipe = hushpipe.file(name(path), fs::read(path).unwrap());
    hushpipe
        .args(["check", "--manifest-only", "-m", name(path)])
        .run()
}

#[test]
fn every_bad_manifest_gets_its_exact_message() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut hushpipe = Hushpipe::new();
    let mut wrong = Vec::new();
    for path in vectors("bad") {
        let output = check(hushpipe, &path).code(78);
        let stderr = output.stderr();
        assert_eq!(output.stdout(), "", "{}", path.display());
        let golden = path.with_extension("stderr");
        if update {
            fs::write(&golden, &stderr).unwrap();
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        if wanted != stderr {
            wrong.push(format!(
                "--- {}\nwanted:\n{wanted}\nis:\n{stderr}",
                path.display()
            ));
        }
        hushpipe = output.again();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_are_many_bad_manifests_and_no_message_without_one() {
    let manifests: BTreeSet<PathBuf> = vectors("bad").into_iter().collect();
    assert!(manifests.len() >= 165, "{}", manifests.len());
    for entry in fs::read_dir(repository().join("tests/vectors/manifests/bad")).unwrap() {
        assert!(manifests.contains(&entry.unwrap().path().with_extension("yaml")));
    }
}

#[test]
fn every_good_manifest_and_every_example_is_taken_without_a_word() {
    let good = vectors("good");
    assert!(good.len() >= 18, "{}", good.len());
    let mut hushpipe = Hushpipe::new();
    for path in good {
        let output = check(hushpipe, &path).success().stderr_is("");
        assert!(output.stdout().starts_with("service\n  name "));
        hushpipe = output.again();
    }
}

/// What stands between "```yaml" and "```".
fn yaml_blocks(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("```yaml\n").skip(1);
    after.map(|rest| rest.split("```").next().unwrap())
}

#[test]
fn every_manifest_of_the_readme_is_taken_and_so_is_every_part_of_one() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let mut blocks = 0;
    for block in yaml_blocks(&readme) {
        blocks += 1;
        let least = if block.contains("version: 1") {
            ""
        } else {
            LEAST
        };
        Hushpipe::new()
            .manifest(&format!("{least}{block}"))
            .args(["check", "--manifest-only"])
            .run()
            .success();
    }
    assert!(blocks >= 1, "{blocks}");
}

#[test]
fn a_manifest_that_cannot_be_read_says_why() {
    Hushpipe::new().args(["check", "--manifest-only"]).run().code(66).stderr_is(
        "hushpipe: error: no manifest: no hushpipe.yaml in this directory or above\n  help: name \
         one with -m FILE or $HUSHPIPE_MANIFEST, or make one with `hushpipe init`\n",
    );
    let missing = Hushpipe::new()
        .args(["check", "--manifest-only", "-m", "nope.yaml"])
        .run();
    missing
        .code(66)
        .stderr_has("cannot read nope.yaml: No such file");
    let directory = Hushpipe::new()
        .directory("d")
        .args(["check", "--manifest-only", "-m", "d"])
        .run();
    directory
        .code(66)
        .stderr_has("cannot read d: it is a directory");
    let denied = Hushpipe::new().user(1).file("m.yaml", "").mode("m.yaml", 0);
    denied
        .args(["check", "--manifest-only", "-m", "m.yaml"])
        .run()
        .code(66)
        .stderr_has("cannot read m.yaml: Permission denied")
        .stderr_has("help: the user that runs hushpipe must be able to read");
}

#[test]
fn a_fifo_is_no_manifest_and_no_hang() {
    let place = Place::new();
    nix::unistd::mkfifo(&place.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = Hushpipe::at(place)
        .args(["check", "--manifest-only", "-m", "fifo"])
        .run();
    output.code(66).stderr_has("cannot read fifo: it is a pipe");
}

#[test]
fn a_huge_file_is_not_read() {
    let place = Place::new();
    let file = fs::File::create(place.join("huge.yaml")).unwrap();
    file.set_len(100 * 1024 * 1024).unwrap();
    let output = Hushpipe::at(place)
        .args(["check", "--manifest-only", "-m", "huge.yaml"])
        .run();
    output.code(78).stderr_has("huge.yaml is larger than 1 MiB");
}

const LEAST: &str = "version: 1\nservice: app\nrun: { command: [app] }\n";

#[test]
fn a_manifest_is_found_by_option_variable_and_place() {
    let service = |output: Output, service: &str| {
        output
            .success()
            .stdout_has(&format!("  name      {service}\n"));
    };
    let named = |name: &str| LEAST.replace("app", name);
    let files = || {
        Hushpipe::new()
            .manifest(&named("here"))
            .file("a.yaml", named("variable"))
            .file("b.yaml", named("option"))
    };
    service(files().args(["check", "--manifest-only"]).run(), "here");
    service(
        files()
            .env("HUSHPIPE_MANIFEST", "a.yaml")
            .args(["check", "--manifest-only"])
            .run(),
        "variable",
    );
    let both = files().env("HUSHPIPE_MANIFEST", "a.yaml");
    service(
        both.args(["check", "--manifest-only", "-m", "b.yaml"])
            .run(),
        "option",
    );
    let stdin = Hushpipe::new().stdin(named("stdin"));
    service(
        stdin.args(["check", "--manifest-only", "-m", "-"]).run(),
        "stdin",
    );
}

#[test]
fn faults_on_standard_input_have_a_name() {
    let output = Hushpipe::new()
        .stdin("version: 1\n")
        .args(["check", "--manifest-only", "-m", "-"])
        .run();
    output.code(78).stderr_has("--> <stdin>:1:1");
}

#[test]
fn an_unused_secret_is_a_warning() {
    let text = "version: 1\nservice: app\nstores: { s: { type: directory, path: /s } }\n\
                secrets:\n  token: { store: s, key: token }\nrun: { command: [app] }\n";
    let output = Hushpipe::new()
        .manifest(text)
        .args(["check", "--manifest-only"])
        .run()
        .success();
    output.stderr_is(
        "hushpipe: warning: hushpipe.yaml:5:3: the secret token is declared but not used\n",
    );
    Hushpipe::new()
        .manifest(text)
        .args(["check", "--manifest-only", "-q"])
        .run()
        .success()
        .stderr_is("");
}

#[test]
fn faults_are_lines_of_json_where_that_is_asked_for() {
    let output = Hushpipe::new()
        .manifest("version: 1\n")
        .args(["check", "--manifest-only", "--log-format", "json"])
        .run()
        .code(78);
    let line: Value = serde_json::from_str(output.stderr().trim()).unwrap();
    assert_eq!(line["exit"], 78);
    assert_eq!(line["event"], "failed");
    assert!(line["time"].is_string(), "{line}");
    let message = line["message"].as_str().unwrap();
    assert!(
        message.contains("hushpipe.yaml:1:1: the key `service` is missing"),
        "{message}"
    );
}

#[test]
fn the_plan_as_json_holds_no_values_of_variables() {
    let text = format!("{LEAST}environment: x\n")
        .replace("[app] }", "[app], env: { set: { A: canary-value } } }");
    let output = Hushpipe::new()
        .manifest(&text)
        .args(["check", "--manifest-only", "--format", "json"])
        .run();
    let output = output.success().says_nothing_of("canary-value");
    let plan: Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(plan["run"]["env"]["set"][0], "A");
    assert_eq!(plan["run"]["stop"]["timeout"], "30s");
}

/// The plan of a good manifest, in both ways of writing it.
fn plans(name: &str) -> (String, Value) {
    let path = repository().join("tests/vectors/manifests/good").join(name);
    let text = check(Hushpipe::new(), &path).success().stdout();
    let hushpipe = Hushpipe::new().file(name, fs::read(&path).unwrap());
    let json = hushpipe.args(["check", "--manifest-only", "--format", "json", "-m", name]);
    (
        text,
        serde_json::from_str(&json.run().success().stdout()).unwrap(),
    )
}

#[test]
fn a_vault_is_shown_with_its_login_and_whom_it_trusts() {
    let (text, json) = plans("vault.yaml");
    for line in [
        "approle     vault  https://bao-1.internal:8200, else https://bao-2.internal:8200/bao\n",
        "                   namespace team/payments\n",
        "login at team/approle, role id /run/bootstrap/role-id, wrapped secret id \
         /run/bootstrap/secret-id (removed)\n",
        "trusts /etc/ssl/bao-ca.pem and ",
        ", for the name bao.internal\n",
        "requests within 10s; nothing is revoked at the end\n",
        "a start waits 30m for approvals in a control group\n",
        "a start waits 10m for approvals in a control group\n",
        "login at clusters/a, role app, token /run/jwt\n",
        "socket      vault  unix:///run/bao.sock\n",
        "requests within 1m; leases are revoked at the end\n",
        "secret/data/app/db (version 3) ",
        "pki/issue/web with alt_names, common_name, ",
        "sys/wrapping/unwrap of the token in /run/bootstrap/wrapped ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let store = &json["stores"]["approle"];
    assert_eq!(store["address"][1], "https://bao-2.internal:8200/bao");
    assert_eq!(store["auth"]["method"], "approle");
    assert_eq!(store["auth"]["remove_secret_id_file"], true);
    assert_eq!(store["retry"]["deadline"], "10s");
    let tls = &json["secrets"]["tls"]["request"];
    assert_eq!(tls["path"], "pki/issue/web");
    assert_eq!(tls["parameters"][1], "common_name");
    assert!(!format!("{text}{json}").contains("web.internal"));
}

#[test]
fn every_action_of_a_rotation_is_shown() {
    let (text, json) = plans("rotate.yaml");
    assert!(
        text.contains(
            "rotation
  do        restart
  do for b  signal SIGHUP
  do for c  signal SIGUSR1
  do for d  command app reload, within 5s
  do for e  PUT http://127.0.0.1:8080/-/reload, within 10s
  do for f  nothing
  settle    1s
  splay     up to 30s
  verify    GET https://app.internal/health?full=1, within 20s
  rollback  no
  restarts  at most 3 in 1h
"
        ),
        "{text}"
    );
    assert!(text.contains("  rewrite    SIGUSR1 rotates\n"), "{text}");
    let on_rotate = &json["on_rotate"];
    assert_eq!(on_rotate["do"], "restart");
    assert_eq!(on_rotate["verify"]["within"], "20s");
    assert_eq!(on_rotate["restarts"]["max"], 3);
    let own = &json["secrets"]["d"]["on_rotate"];
    assert_eq!(
        (&own["do"], &own["command"][1]),
        (&"command".into(), &"reload".into())
    );
    assert_eq!(json["secrets"]["a"]["on_rotate"], Value::Null);
}

#[test]
fn a_vaults_settings_are_taken_from_the_environment() {
    let text =
        "version: 1\nservice: app\nstores: { bao: { type: vault } }\nrun: { command: [app] }\n";
    let checked = |hushpipe: Hushpipe| {
        hushpipe
            .manifest(text)
            .args(["check", "--manifest-only"])
            .run()
    };
    checked(Hushpipe::new())
        .code(78)
        .stderr_has("the key `address` is missing, and VAULT_ADDR is not set");
    let named = || Hushpipe::new().env("VAULT_ADDR", "http://vault.internal:8200");
    checked(named().env("VAULT_TOKEN", "canary"))
        .success()
        .stdout_has("bao  vault  http://vault.internal:8200\n")
        .stdout_has("token in hushpipe's environment\n")
        .stderr_has("the address in VAULT_ADDR is plain http to another host")
        .says_nothing_of("canary");
    checked(
        named()
            .env("BAO_ADDR", "https://bao")
            .env("BAO_SKIP_VERIFY", "true"),
    )
    .code(78)
    .stderr_has("BAO_SKIP_VERIFY asks not to check the server's certificate")
    .stderr_has("`ca_file:` or VAULT_CACERT");
}

#[test]
fn the_command_line_gives_a_command_and_exec_mode() {
    let text = "version: 1\nservice: app\n";
    let output = Hushpipe::new()
        .manifest(text)
        .args(["check", "--manifest-only", "--", "redis", "a b"])
        .run();
    output.success().stdout_has("command      redis 'a b'\n");
    let fifo = "version: 1\nservice: app\nstores: { s: { type: directory, path: /s } }\n\
                secrets: { token: { store: s, key: token } }\n\
                deliver: [{ fifo: /run/a/f, secret: token }]\nrun: { command: [app] }\n";
    let output = Hushpipe::new()
        .manifest(fifo)
        .args(["check", "--manifest-only", "--exec"])
        .run();
    output
        .code(78)
        .stderr_has("a fifo does not work with --exec");
}
