//! The directory and the command store, by `hushpipe run`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret;
use nix::sys::signal::Signal;

use crate::harness::untold::MARK;
use crate::harness::{Hushpipe, Output, is_alive, wait_until};

/// hushpipe with one store `s`, and what else the manifest says.
fn with_store(store: &str, rest: &str) -> Hushpipe {
    Hushpipe::new()
        .manifest(&format!(
            "version: 1\nservice: t\nstores:\n  s: {store}\n{rest}"
        ))
        .arg("run")
}

const DIRECTORY: &str = "{ type: directory, path: \"{place}/secrets\" }";
const TOKEN: &str = "secrets:\n  token: { store: s, key: token }\n\
                     deliver:\n  - { fd: 3, as: memfd, secret: token }\n";
/// A command without `{key}` that prints one value.
const PRINTED: &str = "secrets:\n  token: { store: s }\n\
                       deliver:\n  - { fd: 3, as: memfd, secret: token }\n";

/// A store that runs a shell script; `more` are further settings.
fn shell(script: &str, more: &str) -> String {
    format!("{{ type: command, run: [sh, -c, {script:?}]{more} }}")
}

/// Runs it with a program that would say so if it were started.
fn refused(hushpipe: Hushpipe, code: i32) -> Output {
    hushpipe
        .args(["--", "{probe}", "say", "started"])
        .run()
        .code(code)
        .stdout_is("")
        .says_nothing_of("hunter2")
}

fn write_set(place: &Path, name: &str, value: &str) {
    let set = place.join("secrets").join(name);
    fs::create_dir_all(&set).unwrap();
    for key in ["user", "password"] {
        fs::write(set.join(key), value).unwrap();
    }
}

/// As kubelet does: a new directory, a new link, one rename; then the old one goes.
fn flip(place: &Path, to: &str) {
    let secrets = place.join("secrets");
    let old = fs::read_link(secrets.join("..data"));
    symlink(to, secrets.join("..data_tmp")).unwrap();
    fs::rename(secrets.join("..data_tmp"), secrets.join("..data")).unwrap();
    if let Ok(old) = old {
        fs::remove_dir_all(secrets.join(old)).unwrap();
    }
}

#[test]
fn a_kubernetes_flip_reaches_the_program_as_one_generation() {
    let hushpipe = with_store(
        DIRECTORY,
        "secrets:\n  user: { store: s, key: user }\n  password: { store: s, key: password }\n\
         deliver:\n  - file: \"{place}/private/login\"\n    content: \"{{ user }}:{{ password }};\\n\"\n\
         on_rotate: { do: signal, signal: HUP, settle: 0s }\n",
    )
    .directory("private");
    let place = hushpipe.place().path().to_owned();
    write_set(&place, "..1", "one");
    flip(&place, "..1");
    for key in ["user", "password"] {
        symlink(format!("..data/{key}"), place.join("secrets").join(key)).unwrap();
    }
    let file = "{place}/private/login";
    let running = hushpipe
        .args([
            "--",
            "{probe}",
            "cat",
            file,
            "on",
            "HUP",
            "cat:{place}/private/login",
            "on",
            "TERM",
            "exit:0",
            "serve",
        ])
        .spawn();
    running.wait_for_line("ready");
    assert!(running.stdout().contains("one:one;"));
    for (set, value) in [("..2", "two"), ("..3", "three"), ("..4", "four")] {
        write_set(&place, set, value);
        flip(&place, set);
        running.wait_for_line(&format!("{value}:{value};"));
    }
    running.stop().says_nothing_of("one:two");
}

#[test]
fn what_somebody_else_could_change_is_refused_with_its_cure() {
    let files = || with_store(DIRECTORY, TOKEN).file("secrets/token", MARK);
    refused(files().mode("secrets/token", 0o646), 77).stderr_has("chmod o-w {place}/secrets/token");
    refused(files().mode("secrets", 0o777), 77).stderr_has("chmod o-w {place}/secrets");
    let foreign = files();
    let file = foreign.place().join("secrets/token");
    nix::unistd::chown(&file, Some(4242.into()), None).unwrap();
    refused(foreign, 77).stderr_has("belongs to uid 4242");
}

#[test]
fn what_is_no_file_of_the_directory_is_refused() {
    let store = || with_store(DIRECTORY, TOKEN);
    refused(store(), 69).stderr_has("cannot read {place}/secrets");
    refused(store().directory("secrets"), 65).stderr_has("no file {place}/secrets/token");
    refused(store().directory("secrets/token"), 65).stderr_has("is a directory");
    let fifo = store().directory("secrets");
    let path = fifo.place().join("secrets/token");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused(fifo, 65).stderr_has("is a FIFO");
    let link = store().directory("secrets").file("outside", MARK);
    symlink("../outside", link.place().join("secrets/token")).unwrap();
    refused(link, 77).stderr_has("leads out of the directory");
    let huge = store().file("secrets/token", "");
    let file = fs::File::options()
        .write(true)
        .open(huge.place().join("secrets/token"))
        .unwrap();
    file.set_len(17 << 20).unwrap();
    refused(huge, 65).stderr_has("larger than 16 MiB");
}

#[test]
fn a_value_of_any_bytes_arrives_as_it_is() {
    let large = "0123456789".repeat(1 << 20);
    for value in ["\n", "a\0b\r\nc\n", &large] {
        let output = with_store(DIRECTORY, TOKEN)
            .file("secrets/token", value)
            .args(["--", "{probe}", "read", "3"])
            .run()
            .success();
        assert!(output.stdout == value.as_bytes());
    }
}

#[test]
fn faults_of_all_secrets_come_in_one_go() {
    let rest = "secrets:\n  a: { store: s, key: a }\n  b: { store: s, key: b, format: json }\n\
                deliver:\n  - { fd: 3, as: memfd, secret: a }\n  - { fd: 4, as: memfd, secret: b.x }\n";
    let hushpipe = with_store(DIRECTORY, rest).file("secrets/b", format!("{{\"x\": {MARK}}}"));
    refused(hushpipe, 65)
        .stderr_has("store s, a: not found")
        .stderr_has("store s, b: not usable as JSON: line 1, column 7");
}

#[test]
fn a_fault_of_a_whole_store_is_said_once() {
    let rest = "secrets:\n  a: { store: s, key: a }\n  b: { store: s, key: b }\n\
                deliver:\n  - { fd: 3, as: memfd, secret: a }\n  - { fd: 4, as: memfd, secret: b }\n";
    let once = |store: &str, text: &str| {
        let output = refused(with_store(store, rest), 69);
        assert_eq!(
            output.stderr().matches(text).count(),
            1,
            "{}",
            output.stderr()
        );
    };
    once(DIRECTORY, "cannot read");
    once(
        "{ type: command, format: json, run: [\"false\"] }",
        "exit code 1",
    );
}

#[test]
fn values_that_fail_their_checks_are_refused_together() {
    let rest = "secrets:\n  \
                a: { store: s, key: a, check: { pattern: \"^sk_\", min_length: 20 } }\n  \
                b: { store: s, key: b, format: json }\n  \
                c: { store: s, key: c, check: { certificate: true } }\n\
                deliver:\n  - { fd: 3, as: memfd, secret: a }\n  - { fd: 4, as: memfd, secret: b.x }\n  \
                - { fd: 5, as: memfd, secret: c }\n";
    let hushpipe = with_store(DIRECTORY, rest)
        .file("secrets/a", "hunter2")
        .file(
            "secrets/b",
            format!("{{\"user\": \"{MARK}\", \"port\": 1}}"),
        )
        .file("secrets/c", MARK);
    refused(hushpipe, 65)
        .stderr_has("secret a: does not match the pattern \"^sk_\"")
        .stderr_has("secret a: is shorter than 20 bytes")
        .stderr_has(
            "secret b.x: there is no such field: it has 2 fields, whose names are not shown",
        )
        .stderr_has("secret c: holds no PEM certificate");
}

#[test]
fn a_command_is_run_once_for_all_its_secrets() {
    let rest = "secrets:\n  a: { store: s, key: A }\n  b: { store: s, key: B }\n\
                deliver:\n  - { fd: 3, as: memfd, secret: a }\n  - { fd: 4, as: pipe, secret: b }\n";
    let script = "echo run >> {place}/log; echo A=one; echo B=two";
    for mode in [&["--"][..], &["--exec", "--"]] {
        let output = with_store(&shell(script, ", format: dotenv"), rest)
            .args(mode.iter().copied())
            .args(["{probe}", "read", "3", "read", "4"])
            .run()
            .success()
            .stdout_has("one")
            .stdout_has("two");
        assert_eq!(output.place().read("log"), "run\n");
    }
}

#[test]
fn a_commands_failure_is_told_by_code_and_its_last_line_if_that_is_wanted() {
    let script = format!("echo {MARK}; echo first >&2; echo access denied >&2; exit 3");
    refused(
        with_store(&shell(&script, ", show_errors: true"), PRINTED),
        69,
    )
    .stderr_has("store s: sh failed: exit code 3; it said: access denied");
    let script = format!("echo bad password: {MARK} >&2; exit 3");
    refused(with_store(&shell(&script, ""), PRINTED), 69)
        .stderr_has("store s: sh failed: exit code 3; its error output may have a secret")
        .stderr_has("set `show_errors: true`");
    refused(with_store(&shell("kill -9 $$", ""), PRINTED), 69).stderr_has("killed by SIGKILL");
    let missing = "{ type: command, run: [no-such-tool] }";
    refused(with_store(missing, PRINTED), 69).stderr_has("no-such-tool failed: not found");
    let json = shell(&format!("echo {MARK}"), ", format: json");
    refused(with_store(&json, PRINTED), 65).stderr_has("line 1, column 1: a syntax error");
    let endless = shell("exec cat /dev/zero", "");
    refused(with_store(&endless, PRINTED), 65).stderr_has("more than 16 MiB");
}

#[test]
fn a_command_that_hangs_is_ended_at_its_deadline() {
    let script = "sleep 600 & echo $! > {place}/pid; wait";
    let start = Instant::now();
    let output = refused(with_store(&shell(script, ", timeout: 300ms"), PRINTED), 75)
        .stderr_has("store s: no answer within 300ms");
    assert!(start.elapsed() < Duration::from_secs(9));
    let pid: i32 = output.place().read("pid").trim().parse().unwrap();
    assert!(wait_until(|| (!is_alive(pid)).then_some(())).is_some());
}

#[test]
fn a_term_signal_during_a_slow_fetch_ends_all_at_once() {
    let script = "echo $$ > {place}/new; mv {place}/new {place}/pid; exec sleep 600";
    let running = with_store(&shell(script, ""), PRINTED)
        .args(["--", "{probe}", "say", "started"])
        .spawn();
    let file = running.place().join("pid");
    running.until("the command runs", || file.exists().then_some(()));
    let start = Instant::now();
    running.signal(Signal::SIGTERM);
    let output = running.wait().stdout_is("");
    // The command's own deadline is a minute.
    assert!(start.elapsed() < Duration::from_secs(10));
    let pid: i32 = output.place().read("pid").trim().parse().unwrap();
    assert!(wait_until(|| (!is_alive(pid)).then_some(())).is_some());
}

/// The sops of `HUSHPIPE_TEST_SOPS`, or the first on PATH, where `tests/run` puts it.
fn sops() -> PathBuf {
    if let Some(path) = std::env::var_os("HUSHPIPE_TEST_SOPS") {
        return PathBuf::from(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("sops"))
        .find(|file| file.is_file())
        .expect("sops is not on PATH: start this test by tests/run, which installs it")
}

#[test]
fn sops_is_a_store() {
    let sops = sops();
    let rest = "secrets:\n  password: { store: s, key: password }\n\
                deliver:\n  - { fd: 3, as: memfd, secret: password }\n";
    let store = |env: &str| {
        format!(
            "{{ type: command, format: json, env: [{env}], \
             run: [{sops:?}, decrypt, \"{{place}}/secrets.json\"] }}"
        )
    };
    let identity = age::x25519::Identity::generate();
    let encrypted = {
        let plain = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
        fs::write(
            plain.path(),
            r#"{"user": "app", "password": "correct horse"}"#,
        )
        .unwrap();
        let output = Command::new(&sops)
            .args(["encrypt", "--age", &identity.to_public().to_string()])
            .arg(plain.path())
            .output()
            .unwrap_or_else(|error| {
                panic!(
                    "{}: {error}: start this test by tests/run, which installs sops",
                    sops.display()
                )
            });
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let hushpipe = |env: &str| {
        with_store(&store(env), rest)
            .file("secrets.json", &encrypted)
            .file("key.txt", identity.to_string().expose_secret())
            .env("SOPS_AGE_KEY_FILE", "{place}/key.txt")
    };
    hushpipe("SOPS_AGE_KEY_FILE")
        .args(["--", "{probe}", "read", "3"])
        .run()
        .success()
        .stdout_is("correct horse");
    // Without its name in `env`, the variable does not reach it.
    refused(hushpipe(""), 69).stderr_has("failed: exit code");
}
