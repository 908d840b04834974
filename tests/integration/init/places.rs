//! `hushpipe init` in projects of others, and at places with unusual names.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::{git, in_git, project, run};

/// What a work tree can have git execute, by its configuration, its hooks and its attributes.
const RAN: &str = "env >{place}/ran; true";

#[test]
fn nothing_that_a_work_tree_configures_is_executed() {
    let hushpipe = in_git(project("KEY=canary-0123456789\n"));
    let place = hushpipe.place();
    let ran = place.fill(RAN);
    for key in [
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "core.editor",
        "core.askPass",
        "credential.helper",
        "filter.x.clean",
        "filter.x.process",
        "diff.x.textconv",
        "alias.ls-files",
        "alias.rev-parse",
        "alias.check-ignore",
    ] {
        git(place, &["config", key, &format!("!{ran}")]);
        git(place, &["config", key, &ran]);
    }
    place.write("project/.gitattributes", "* filter=x diff=x\n");
    for name in ["post-index-change", "pre-commit", "fsmonitor-watchman"] {
        let hook = format!("project/.git/hooks/{name}");
        place.write(&hook, format!("#!/bin/sh\n{ran}\n"));
        place.set_mode(&hook, 0o755);
    }
    // A directory of the project's in PATH, as package managers have it.
    place.write("project/bin/git", format!("#!/bin/sh\n{ran}\n"));
    place.set_mode("project/bin/git", 0o755);
    let output = hushpipe
        .env("PATH", "{place}/project/bin:/usr/local/bin:/usr/bin:/bin")
        .env("VAULT_TOKEN", "hvs.canary")
        .env("GIT_DIR", "/nonexistent")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "core.fsmonitor")
        .env("GIT_CONFIG_VALUE_0", ran)
        .args(["init", "project", "--from-env", "project/.env", "--move"])
        .run()
        .success()
        .stdout_has("added /.env");
    assert!(!output.place().join("ran").exists());
}

#[test]
fn an_ignore_file_that_never_ends_or_leads_elsewhere_holds_nothing_up() {
    let hushpipe = in_git(project("KEY=canary-0123456789\n"));
    let exclude = hushpipe.place().join("project/.git/info/exclude");
    fs::remove_file(&exclude).unwrap();
    nix::unistd::mkfifo(&exclude, nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/dev/zero", hushpipe.place().join("project/.git/index.x")).unwrap();
    fs::rename(
        hushpipe.place().join("project/.git/index.x"),
        hushpipe.place().join("project/.git/index"),
    )
    .unwrap();
    let init = ["init", "project", "--yes", "--move"];
    hushpipe
        .args(init)
        .run()
        .success()
        .stdout_has("added /.env");
}

#[test]
fn a_link_in_the_place_of_an_ignore_file_leads_nowhere() {
    let hushpipe = in_git(project("KEY=canary-0123456789\n"));
    let place = hushpipe.place();
    place.write("elsewhere", "as it was\n");
    std::os::unix::fs::symlink(place.join("elsewhere"), place.join("project/.gitignore")).unwrap();
    // It is no file that says how the program is started either.
    let package = place.join("project/package.json");
    nix::unistd::mkfifo(&package, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let init = ["init", "project", "--yes", "--move"];
    let output = hushpipe.args(init).run().code(71);
    let output = output.stderr_has(".gitignore").stderr_has("it is a link");
    assert_eq!(output.place().read("elsewhere"), "as it was\n");
    assert!(!output.place().join("project/hushpipe.yaml").exists());
    assert_eq!(
        output.place().read("project/.env"),
        "KEY=canary-0123456789\n"
    );
}

#[test]
fn any_text_in_the_paths_of_a_project_is_taken_as_it_is() {
    for name in [
        "x${HOME}y",
        "x$HOME {{ x }} {% y %}",
        "it's \"quoted\" # & ;",
        "two\nlines\t\u{1b}[2J",
        "~",
        "ä\u{85}\u{7f}\u{feff}",
    ] {
        let hushpipe = project("").env("RUNTIME_DIRECTORY", "{place}/run");
        let directory = hushpipe.place().join("project").join(name);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(".env"), "API_TOKEN=canary-of-paths\n").unwrap();
        let moved = "cd project && cd -- \"$0\" && exec \"$@\"";
        let init = [
            "init",
            "--yes",
            "--move",
            "--identity",
            "./id",
            "--store",
            "./s",
        ];
        let output = hushpipe
            .through(&["sh", "-c", moved, name])
            .args(init)
            .run();
        let output = output.success().says_nothing_of("canary");
        assert!(!output.stdout().contains('\u{1b}'), "{}", output.stdout());
        let hushpipe = output.again().env("RUNTIME_DIRECTORY", "{place}/run");
        let hushpipe = hushpipe.through(&["sh", "-c", moved, name]);
        let output = hushpipe.args(["run", "--", "cat", ".env"]).run();
        output.success().stdout_is("API_TOKEN=canary-of-paths\n");
    }
}

#[test]
fn any_text_in_the_name_of_an_env_file_is_taken_as_it_is() {
    let name = ".env.x ${HOME} {{ z }} 'q' #*[a]";
    let hushpipe = in_git(project("A=canary-one\n"));
    fs::write(
        hushpipe.place().join("project").join(name),
        "A=canary-two\n",
    )
    .unwrap();
    let init = ["init", "project", "--yes", "--move"];
    let output = hushpipe.args(init).run().success();
    // One pattern, of this name alone.
    let status = git(
        output.place(),
        &["status", "--porcelain", "--untracked-files=all"],
    );
    assert!(!status.contains(".env"), "{status}");
    let show = format!("cat .env \"{}\"", name.replace('$', "\\$"));
    let output = run(output.again(), &show).run().success();
    output.stdout_is("A=canary-one\nA=canary-two\n");
}

#[test]
fn a_path_that_a_manifest_cannot_name_is_refused_before_anything_is_made() {
    let bytes = OsStr::from_bytes(b"odd\xff");
    let place = |hushpipe: &crate::harness::Hushpipe| hushpipe.place().join("project").join(bytes);
    let hushpipe = project("A=canary-one\n");
    fs::create_dir(place(&hushpipe)).unwrap();
    let store = place(&hushpipe);
    let init = ["init", "project", "--yes", "--move", "--store"];
    let output = hushpipe.args(init).arg(store).run();
    let output = output
        .code(64)
        .stderr_has("is not UTF-8 text, and a manifest cannot name it");
    assert!(!output.place().join("project/hushpipe.yaml").exists());
    assert_eq!(output.place().read("project/.env"), "A=canary-one\n");

    let hushpipe = project("A=canary-one\n");
    let odd = OsStr::from_bytes(b".env.odd\xff");
    fs::write(hushpipe.place().join("project").join(odd), "B=canary-two\n").unwrap();
    let output = hushpipe.args(["init", "project", "--yes", "--move"]).run();
    let output = output.code(65).stderr_has("rename it");
    assert!(!output.place().join("project/hushpipe.yaml").exists());
    assert_eq!(output.place().read("project/.env"), "A=canary-one\n");
}

#[test]
fn an_empty_value_is_no_secret_and_stays_in_the_manifest() {
    let init = ["init", "project", "--from-env", "project/.env", "--move"];
    let env = "A=\nB=''\nC=canary-c\nD=\"\" # none\n";
    let output = project(env).args(init).run().success();
    let output = output.stdout_has("1 value of project/.env");
    let manifest = output.place().read("project/hushpipe.yaml");
    assert!(manifest.contains("      A=\n      B=''\n"), "{manifest}");
    run(output.again(), "cat .env")
        .run()
        .success()
        .stdout_is("A=\nB=''\nC=canary-c\nD=\"\"\n");
}
