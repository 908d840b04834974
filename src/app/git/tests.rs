use std::fs;
use std::process::Command;

use super::*;

/// Runs git as the oracle, without the configuration of whoever runs the tests.
#[allow(clippy::disallowed_methods)]
fn git(directory: &Path, arguments: &[&str]) -> bool {
    let status = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    status.success()
}

fn repository_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    assert!(git(directory.path(), &["init", "--quiet"]));
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

const IGNORE: &str = "# a comment\n\\#odd\n*.txt\n!keep.txt\nbuild/\n/only-here\nsub/deep\n**/any/where\n\
    a/**/z\nall/**\n[a-c]x[!0-9]\n[[:digit:]]*\\?\nspace\\ \ntrail   \ncr\r\nq?e\n**.log\n[unclosed\n\
    b\\*c\n/.env*\n";

#[test]
fn ignore_files_mean_what_they_mean_to_git() {
    let files = [
        (".gitignore", IGNORE),
        ("sub/.gitignore", "!note.txt\n/local\n"),
        (".git/info/exclude", "excluded\n!a.txt\n"),
        ("build/x", ""),
        ("secrets/x", ""),
    ];
    let directory = repository_with(&files);
    let tree = WorkTree::of(directory.path()).unwrap();
    let paths = [
        "#odd",
        "# a comment",
        "a.txt",
        "keep.txt",
        "sub/keep.txt",
        "sub/note.txt",
        "note.txt",
        "build",
        "build/x",
        "sub/build",
        "only-here",
        "sub/only-here",
        "sub/deep",
        "x/sub/deep",
        "any/where",
        "x/y/any/where",
        "a/z",
        "a/b/c/z",
        "a/b/zz",
        "all/x/y",
        "all",
        "axx",
        "ax0",
        "dxx",
        "1a?",
        "1a",
        "space ",
        "space",
        "trail",
        "trail   ",
        "cr",
        "que",
        "q/e",
        "x.log",
        "x/y.log",
        "[unclosed",
        "b*c",
        "bxc",
        ".env",
        ".env.local",
        "sub/.env",
        "sub/local",
        "local",
        "excluded",
        "sub/excluded",
        "secrets",
        "secrets/x",
        "build/deep/er",
    ];
    for path in paths {
        let expected = git(
            directory.path(),
            &["check-ignore", "--quiet", "--no-index", "--", path],
        );
        assert_eq!(tree.ignores(Path::new(path)), expected, "{path}");
    }
}

#[test]
fn what_is_in_the_index_is_tracked_in_every_version_of_its_format() {
    let files = [
        (".env", "A=1\n"),
        (".env.local", "B=1\n"),
        ("sub/.env", "C=1\n"),
        ("new", "D=1\n"),
    ];
    for version in ["2", "3", "4", "split", "sha256"] {
        let directory = repository_with(&files);
        let path = directory.path();
        if version == "sha256" {
            fs::remove_dir_all(path.join(".git")).unwrap();
            assert!(git(path, &["init", "--quiet", "--object-format=sha256"]));
        }
        assert!(git(path, &["add", ".env", ".env.local", "sub/.env"]));
        match version {
            // An entry that is to be added has the extended flags of version 3.
            "3" => assert!(git(path, &["add", "--intent-to-add", "new"])),
            "split" => assert!(git(path, &["update-index", "--split-index"])),
            "sha256" => {}
            _ => assert!(git(path, &["update-index", "--index-version", version])),
        }
        let tree = WorkTree::of(path).unwrap();
        for (name, expected) in [
            (".env", true),
            (".env.local", true),
            ("sub/.env", true),
            ("new", version == "3"),
            ("sub", false),
            (".en", false),
        ] {
            assert_eq!(tree.tracks(Path::new(name)), expected, "{version}: {name}");
        }
        let below = WorkTree::of(&path.join("sub")).unwrap();
        assert!(below.tracks(Path::new(".env")));
    }
}

#[test]
fn a_linked_work_tree_has_an_index_of_its_own() {
    let directory = repository_with(&[(".env", "A=1\n"), (".git/info/exclude", "out\n")]);
    let path = directory.path();
    assert!(git(path, &["add", ".env"]));
    assert!(git(path, &["commit", "--quiet", "--message", "x"]));
    assert!(git(path, &["worktree", "add", "--quiet", "linked"]));
    let tree = WorkTree::of(&path.join("linked")).unwrap();
    assert!(tree.tracks(Path::new(".env")));
    assert!(tree.ignores(Path::new("out")));
    fs::write(
        path.join(".git/index"),
        b"DIRC\0\0\0\x02\xff\xff\xff\xffgarbage",
    )
    .unwrap();
    assert!(tree.tracks(Path::new(".env")));
    let tree = WorkTree::of(path).unwrap();
    assert!(!tree.tracks(Path::new(".env")));
}

#[test]
fn hostile_patterns_and_files_that_never_end_take_no_time() {
    let pattern = format!("{}b\n", "*a".repeat(60));
    let directory = repository_with(&[(".gitignore", &pattern)]);
    let tree = WorkTree::of(directory.path()).unwrap();
    assert!(!tree.ignores(Path::new(&"a".repeat(200))));
    fs::remove_file(directory.path().join(".gitignore")).unwrap();
    let fifo = directory.path().join(".gitignore");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(!tree.ignores(Path::new("x")));
}
