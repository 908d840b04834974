//! That packaging/DEPENDENCIES.md explains every crate, and that what is fuzzed is what is shipped.

use std::collections::BTreeSet;
use std::process::Command;

use super::{assert_none, root, text};

/// The names in a table of Cargo.toml.
fn asked_for(manifest: &str, table: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| *line != table).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0.to_owned()))
        .collect()
}

/// The crates in the first column of the table below a heading, each row of which has so many cells.
fn explained_crates(text: &str, heading: &str, cells: usize) -> BTreeSet<String> {
    let lines = text.lines().skip_while(|line| *line != heading);
    let rows = lines.skip(1).take_while(|line| !line.starts_with("## "));
    let mut named = BTreeSet::new();
    for row in rows.filter(|line| line.starts_with("| `")) {
        let all: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let filled = all.iter().filter(|cell| !cell.trim().is_empty());
        assert_eq!(filled.count(), cells, "a cell is empty: {row}");
        for name in all[0].split(',').map(|name| name.trim().trim_matches('`')) {
            assert!(named.insert(name.to_owned()), "{name} is there twice");
        }
    }
    named
}

/// All crates that the program is built from on Linux, procedural macros among them.
#[allow(
    clippy::disallowed_methods,
    reason = "cargo knows, and no supervisor runs here"
)]
fn built_in() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges=normal",
            "--prefix=none",
        ])
        .args(["--target=x86_64-unknown-linux-gnu", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs this test");
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {fault}");
    let tree = String::from_utf8_lossy(&output.stdout);
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names
        .filter(|name| !name.is_empty() && *name != "hushpipe")
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_dependencies_bring_along_is_explained_and_nothing_that_is_gone() {
    let explained = text("packaging/DEPENDENCIES.md");
    let direct = asked_for(&text("Cargo.toml"), "[dependencies]");
    let brought = explained_crates(&explained, "## With these, in the program", 5);
    let others: BTreeSet<String> = built_in().difference(&direct).cloned().collect();
    assert_eq!(brought, others);
}

#[test]
fn every_dependency_is_explained_and_none_that_is_gone() {
    let manifest = text("Cargo.toml");
    let explained = text("packaging/DEPENDENCIES.md");
    for (table, heading, cells) in [
        ("[dependencies]", "## In the program", 4),
        ("[dev-dependencies]", "## In tests alone", 3),
    ] {
        let named = explained_crates(&explained, heading, cells);
        assert_eq!(named, asked_for(&manifest, table), "{heading}");
    }
    assert!(
        !manifest.contains("[build-dependencies]"),
        "not in the list"
    );
}

/// What a lockfile has, as `name version`; and what its package hushpipe needs, as it is written there.
fn locked(file: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut all, mut ours) = (BTreeSet::new(), BTreeSet::new());
    for package in text(file).split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        let name = value("name = ");
        if name == "hushpipe" {
            let needs = package.lines().filter_map(|line| line.strip_prefix(" \""));
            ours = needs
                .map(|need| need.trim_end_matches("\",").to_owned())
                .collect();
        }
        all.insert(format!("{name} {}", value("version = ")));
    }
    (all, ours)
}

#[test]
fn the_fuzzers_are_built_from_what_hushpipe_is_built_from() {
    let (all, _) = locked("Cargo.lock");
    let (fuzzed, needs) = locked("tests/fuzz/Cargo.lock");
    let own = ["arbitrary", "hushpipe-fuzz", "jobserver", "libfuzzer-sys"];
    let others: Vec<String> = fuzzed
        .difference(&all)
        .filter(|one| !own.iter().any(|name| one.starts_with(&format!("{name} "))))
        .cloned()
        .collect();
    assert_none("tests/fuzz/Cargo.lock has other versions", &others);
    let asked = asked_for(&text("Cargo.toml"), "[dependencies]");
    // A name that is there in two versions has its version behind it.
    let needed = needs.iter().filter_map(|need| need.split(' ').next());
    let needed: BTreeSet<String> = needed.map(str::to_owned).collect();
    assert_eq!(
        needed, asked,
        "tests/fuzz/Cargo.lock is of another hushpipe"
    );
}
