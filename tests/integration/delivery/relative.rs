//! Deliveries with relative paths: one manifest, wherever it runs.

use std::fs;
use std::path::Path;

use super::{Memory, VALUE, shell};
use crate::harness::Hushpipe;

/// The program shows where its files are, and what is in them.
const SHOW: &str = "echo \"$1\" \"$AT\"; cat \"$1/token\" \"$AT/deep\"; cat \"$1/once\"";

/// A manifest of a service of its own: files of services are apart.
fn of(service: &str, more: &str) -> Hushpipe {
    let manifest = format!(
        "version: 1\nservice: {service}\n\
         stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
         secrets:\n  token: {{ store: dir, key: token }}\n\
         deliver:\n  - {{ file: token, secret: token }}\n  - {{ file: deep, content: \"{{{{ token }}}}\" }}\n  \
         - {{ fifo: once, secret: token }}\n\
         run:\n  command: [sh, -c, '{SHOW}', sh, \"{{{{ files }}}}\"]\n  \
         env: {{ set: {{ AT: \"{{{{files}}}}\" }} }}\n{more}"
    );
    Hushpipe::new()
        .file("secrets/token", VALUE)
        .manifest(&manifest)
        .args(["run"])
}

/// Where the files were, which are gone.
fn files_of(hushpipe: Hushpipe) -> String {
    let output = hushpipe.run().success();
    let stdout = output.stdout();
    let (places, values) = stdout.split_once('\n').unwrap();
    assert_eq!(values, [VALUE; 3].concat());
    let (argument, variable) = places.split_once(' ').unwrap();
    assert_eq!(argument, variable);
    assert!(!Path::new(argument).exists(), "{argument} is left");
    argument.to_owned()
}

#[test]
fn one_manifest_is_for_root_and_for_users_with_and_without_a_runtime_directory() {
    for isolation in ["private", "shared"] {
        let service = format!("everywhere-{isolation}");
        let here = || of(&service, &format!("isolation: {isolation}\n"));
        let usual = format!("hushpipe-{service}/files");
        let roots = files_of(here());
        let known = [format!("/run/{usual}"), format!("/dev/shm/{usual}")];
        assert!(known.contains(&roots), "{roots}");
        assert_eq!(files_of(here().user(4731)), format!("/dev/shm/{usual}"));
        let memory = Memory::given_to(4732);
        let session = memory.join("").display().to_string();
        let hushpipe = here().user(4732).env("XDG_RUNTIME_DIR", &session);
        assert_eq!(files_of(hushpipe), format!("{session}{usual}"));
        let hushpipe = here()
            .user(4732)
            .env("RUNTIME_DIRECTORY", format!("{session}:/x"));
        assert_eq!(files_of(hushpipe), format!("{session}files"));
        assert!(memory.is_empty());
        // Another user's directory is passed over.
        let hushpipe = here().user(4731).env("XDG_RUNTIME_DIR", &session);
        assert_eq!(files_of(hushpipe), format!("/dev/shm/{usual}"));
    }
}

#[test]
fn a_program_of_another_user_can_enter_the_directory_that_was_chosen() {
    let memory = Memory::new();
    let hushpipe = of("anothers", "isolation: shared\n").env("XDG_RUNTIME_DIR", memory.join(""));
    let manifest = hushpipe.place().read("hushpipe.yaml");
    let manifest = manifest.replace("\nrun:\n", "\nrun:\n  user: '1000'\n");
    hushpipe.place().write("hushpipe.yaml", manifest);
    let directory = files_of(hushpipe);
    assert!(
        !directory.starts_with(memory.join("").to_str().unwrap()),
        "{directory}"
    );
}

#[test]
fn the_command_line_can_name_the_directory_too() {
    let output = of("named", "")
        .args(["--", "cat", "{{ files }}/token"])
        .run();
    output.success().stdout_is(VALUE);
}

#[test]
fn credentials_and_files_lie_side_by_side() {
    let hushpipe = of("beside", "");
    let manifest = hushpipe.place().read("hushpipe.yaml");
    let manifest = manifest.replace("deliver:\n", "deliver:\n  - credentials: [token]\n");
    hushpipe.place().write("hushpipe.yaml", manifest);
    let look = "cat $CREDENTIALS_DIRECTORY/token $AT/token";
    let output = hushpipe.args(shell(look)).run().success();
    output.stdout_is(&[VALUE; 2].concat());
    assert!(fs::metadata("/dev/shm/hushpipe-beside").is_err());
}

#[test]
fn the_name_of_the_directory_needs_a_file_in_it() {
    let hushpipe = of("none", "");
    let manifest = hushpipe.place().read("hushpipe.yaml");
    let manifest = manifest
        .replace("file: token", "file: /run/none/token")
        .replace("file: deep", "file: /run/none/deep")
        .replace("fifo: once", "fifo: /run/none/once");
    hushpipe.place().write("hushpipe.yaml", manifest);
    let output = hushpipe.run().code(78);
    output
        .stderr_has("`{{ files }}` needs a delivery with a relative path")
        .stderr_has("add one, such as `deliver: [{ file: token, secret: token }]`");
}

#[test]
fn paths_that_lead_out_of_the_directory_are_refused() {
    for (path, why) in [
        ("../token", "it has an empty part, `.` or `..`"),
        ("./token", "it has an empty part, `.` or `..`"),
        ("~/.pgpass", "`link: ~/NAME` beside it"),
        (
            "..data",
            "names that start with `..` are reserved for hushpipe",
        ),
    ] {
        let hushpipe = of("out", "");
        let manifest = hushpipe.place().read("hushpipe.yaml");
        let manifest = manifest.replace("file: token", &format!("file: {path}"));
        hushpipe.place().write("hushpipe.yaml", manifest);
        hushpipe.run().code(78).stderr_has(why);
    }
}
