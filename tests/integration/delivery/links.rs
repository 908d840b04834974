//! `link:` where a program looks for a file that is delivered elsewhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use super::{SERVE, STOPPED, VALUE, shell};
use crate::harness::{Hushpipe, Running};

/// A manifest with a link at `~/.pgpass`.
fn of(service: &str, more: &str) -> Hushpipe {
    let manifest = format!(
        "version: 1\nservice: {service}\n\
         stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n\
         deliver:\n  - {{ file: pgpass, secret: token, link: ~/.pgpass }}\n{more}"
    );
    Hushpipe::new()
        .file("secrets/token", VALUE)
        .manifest(&manifest)
        .args(["run"])
}

fn serving(hushpipe: Hushpipe) -> Running {
    let running = hushpipe.args(SERVE).spawn();
    running.wait_for_line("ready");
    running
}

fn link(hushpipe: &crate::harness::Place) -> PathBuf {
    hushpipe.join(".pgpass")
}

#[test]
fn a_link_is_there_while_the_program_runs() {
    for (isolation, uid) in [
        ("private", 0),
        ("private", 4741),
        ("shared", 0),
        ("shared", 4741),
    ] {
        let hushpipe = of(
            &format!("linked-{isolation}"),
            &format!("isolation: {isolation}\n"),
        );
        let output = hushpipe.user(uid).args(shell("cat ~/.pgpass")).run();
        let output = output.success().stdout_is(VALUE);
        assert!(fs::symlink_metadata(link(output.place())).is_err());
    }
}

#[test]
fn a_link_can_be_beside_the_manifest() {
    let hushpipe = of("beside-manifest", "");
    let manifest = hushpipe.place().read("hushpipe.yaml");
    hushpipe
        .place()
        .write("hushpipe.yaml", manifest.replace("~/.pgpass", "sub/.env"));
    hushpipe.place().make_directory("sub");
    let output = hushpipe.args(shell("cat sub/.env")).run().success();
    let output = output.stdout_is(VALUE);
    assert!(fs::symlink_metadata(output.place().join("sub/.env")).is_err());
}

#[test]
fn nothing_that_is_there_is_replaced() {
    let there: [(&dyn Fn(PathBuf), &str); 3] = [
        (&|path| fs::write(path, "mine").unwrap(), "a file is there"),
        (
            &|path| fs::create_dir(path).unwrap(),
            "a directory is there",
        ),
        (
            &|path| symlink("/etc/passwd", path).unwrap(),
            "a link to /etc/passwd is there",
        ),
    ];
    for (make, said) in there {
        let hushpipe = of("kept", "");
        let path = link(hushpipe.place());
        make(path.clone());
        let before = fs::symlink_metadata(&path).unwrap().modified().unwrap();
        let output = hushpipe.args(shell("echo started")).run().code(71);
        let output = output
            .stderr_has(said)
            .stderr_has("and hushpipe does not replace it")
            .stdout_is("");
        let after = fs::symlink_metadata(link(output.place())).unwrap();
        assert_eq!(after.modified().unwrap(), before);
        output
            .again()
            .args(["check", "--", "true"])
            .run()
            .code(71)
            .stderr_has(said);
    }
}

#[test]
fn a_link_that_a_killed_hushpipe_left_is_taken_over() {
    for isolation in ["private", "shared"] {
        let running = serving(of("killed", &format!("isolation: {isolation}\n")));
        let path = link(running.place());
        running.signal(Signal::SIGKILL);
        let output = running.wait();
        assert!(fs::symlink_metadata(&path).is_ok());
        // Also where the files go to another place now.
        fs::remove_file(&path).unwrap();
        symlink("/dev/shm/hushpipe-no-more/files/pgpass", &path).unwrap();
        let hushpipe = output.again().args(["run"]).args(shell("cat ~/.pgpass"));
        let output = hushpipe.run().success().stdout_is(VALUE);
        assert!(fs::symlink_metadata(link(output.place())).is_err());
    }
}

#[test]
fn the_last_of_two_launchers_removes_the_link() {
    let first = serving(of("two", "isolation: private\n"));
    let path = link(first.place());
    let second = Command::new(first.place().join("bin/hushpipe"))
        .arg("run")
        .args(shell("cat ~/.pgpass"))
        .current_dir(first.place().path())
        .env("HOME", first.place().path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&second.stdout), VALUE, "{second:?}");
    assert!(fs::symlink_metadata(&path).is_ok());
    first.stop().code(STOPPED);
    assert!(fs::symlink_metadata(&path).is_err());
}

#[test]
fn what_a_program_puts_in_the_place_of_a_link_stays_and_is_reported() {
    let script = "rm ~/.pgpass; echo new >~/.pgpass";
    let output = of("replaced", "").args(shell(script)).run();
    let output = output.stderr_has(".pgpass: it is no longer the link that hushpipe made");
    assert_eq!(fs::read_to_string(link(output.place())).unwrap(), "new\n");
}

#[test]
fn a_link_is_refused_where_it_cannot_be() {
    for (more, path, why) in [
        (
            "mode: exec\n",
            "~/.pgpass",
            "a link does not work in mode exec",
        ),
        ("", "\"\"", "it is empty"),
        ("", "/", "this path cannot be that of a link"),
        (
            "  - { file: other, secret: token, link: ~/.pgpass }\n",
            "~/.pgpass",
            "two links at",
        ),
        (
            "  - { file: /run/x/other, secret: token }\n",
            "/run/x/link",
            "this link is within the directory of a delivery",
        ),
    ] {
        let hushpipe = of("refused", more);
        let manifest = hushpipe.place().read("hushpipe.yaml");
        let manifest = manifest.replacen("link: ~/.pgpass", &format!("link: {path}"), 1);
        hushpipe.place().write("hushpipe.yaml", manifest);
        hushpipe.args(shell("true")).run().code(78).stderr_has(why);
    }
    // A directory that others can write to.
    let hushpipe = of("writable", "").directory("open").mode("open", 0o777);
    let manifest = hushpipe.place().read("hushpipe.yaml");
    let manifest = manifest.replace("~/.pgpass", "{place}/open/link");
    let manifest = hushpipe.place().fill(&manifest);
    hushpipe.place().write("hushpipe.yaml", manifest);
    hushpipe
        .args(shell("true"))
        .run()
        .code(71)
        .stderr_has("open");
}
