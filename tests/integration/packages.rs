//! The packages of `packaging/build all`: their contents, and what those who know packages say of
//! them. That they install is tested in `systemd::booted::package`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Place, walk};

const DEB_LIMIT: u64 = 4 * 1024 * 1024;

/// `tests/run` makes them and says where they are, in `HUSHPIPE_PACKAGES`; continuous integration
/// never goes without.
pub fn directory() -> Option<PathBuf> {
    let directory = std::env::var_os("HUSHPIPE_PACKAGES").map(PathBuf::from);
    if directory.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "HUSHPIPE_PACKAGES is not set"
        );
        eprintln!("HUSHPIPE_PACKAGES is not set: no package is looked at");
    }
    directory
}

/// The one file that ends so.
pub fn file(directory: &Path, ending: &str) -> PathBuf {
    let all = walk(directory);
    let mut found = all
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(ending));
    let first = found.next();
    assert!(found.next().is_none(), "several: {all:?}");
    first
        .unwrap_or_else(|| panic!("no {ending}: {all:?}"))
        .clone()
}

/// Runs a program that must end with 0; gives its output.
pub fn run(argv: &[&str], directory: &Path) -> String {
    let output = Command::new(argv[0])
        .args(&argv[1..])
        .current_dir(directory)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("{argv:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{argv:?}: {out}{error}");
    out
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What lies below a directory: by its path, its mode and its bytes.
fn files(below: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let files = walk(below).into_iter().filter(|path| path.is_file());
    files
        .map(|path| {
            let name = path.strip_prefix(below).expect("it is below");
            let mode = fs::metadata(&path).expect("it is there").permissions();
            let bytes = fs::read(&path).expect("it can be read");
            (utf8(name).to_owned(), (mode.mode() & 0o7777, bytes))
        })
        .collect()
}

/// The .deb's files.
fn unpacked(directory: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let place = Place::new();
    let deb = file(directory, ".deb");
    run(&["dpkg-deb", "--extract", utf8(&deb), "."], place.path());
    files(place.path())
}

#[test]
fn lintian_finds_nothing_in_the_deb() {
    let Some(directory) = directory() else {
        return;
    };
    let deb = file(&directory, ".deb");
    let lintian = ["lintian", "--allow-root", "--fail-on", "error,warning"];
    let said = run(&[&lintian[..], &[utf8(&deb)]].concat(), &directory);
    assert_eq!(said, "");
}

#[test]
fn the_deb_has_all_that_belongs_to_it_and_is_small() {
    let Some(directory) = directory() else {
        return;
    };
    let deb = file(&directory, ".deb");
    let size = fs::metadata(&deb).expect("it is there").len();
    assert!(size <= DEB_LIMIT, "{size} bytes");

    let files = unpacked(&directory);
    let is_one_of_many = |name: &&String| {
        name.starts_with("usr/share/man/") || name.starts_with("usr/share/doc/hushpipe/examples/")
    };
    let others: Vec<_> = files.keys().filter(|name| !is_one_of_many(name)).collect();
    assert_eq!(
        others,
        [
            "etc/hushpipe/README",
            "usr/bin/hushpipe",
            "usr/lib/systemd/system/hushpipe-monitor.service",
            "usr/lib/systemd/system/hushpipe@.service",
            "usr/share/bash-completion/completions/hushpipe",
            "usr/share/doc/hushpipe/README.md",
            "usr/share/doc/hushpipe/changelog.Debian.gz",
            "usr/share/doc/hushpipe/changelog.gz",
            "usr/share/doc/hushpipe/copyright",
            "usr/share/doc/hushpipe/grafana/hushpipe.json",
            "usr/share/doc/hushpipe/hushpipe.cdx.json.gz",
            "usr/share/doc/hushpipe/prometheus/hushpipe.rules.test.yml",
            "usr/share/doc/hushpipe/prometheus/hushpipe.rules.yml",
            "usr/share/fish/vendor_completions.d/hushpipe.fish",
            "usr/share/lintian/overrides/hushpipe",
            "usr/share/zsh/vendor-completions/_hushpipe",
        ]
    );
    let (mode, _) = files["usr/bin/hushpipe"];
    assert_eq!(
        mode, 0o711,
        "others of its user could open its memory as it starts"
    );
    for page in [
        "man1/hushpipe.1",
        "man1/hushpipe-run.1",
        "man5/hushpipe-site.yaml.5",
        "man5/hushpipe.yaml.5",
        "man7/hushpipe-approval.7",
        "man7/hushpipe-policy.7",
        "man7/hushpipe-templates.7",
        "man8/hushpipe-monitor.8",
    ] {
        assert!(files.contains_key(&format!("usr/share/man/{page}.gz")));
    }
}

#[test]
fn every_example_is_in_the_deb_and_its_scripts_can_be_run() {
    let Some(directory) = directory() else {
        return;
    };
    let at = "usr/share/doc/hushpipe/examples/";
    let packed: BTreeMap<_, _> = unpacked(&directory)
        .into_iter()
        .filter_map(|(name, file)| Some((name.strip_prefix(at)?.to_owned(), file)))
        .collect();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut expected = files(&sources);
    for (mode, _) in expected.values_mut() {
        *mode = if *mode & 0o111 == 0 { 0o644 } else { 0o755 };
    }
    let names: Vec<_> = packed.keys().collect();
    assert!(packed == expected, "{names:?}");
}

#[test]
fn the_changelog_of_the_deb_begins_with_this_version() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let changelog = fs::read_to_string(sources.join("packaging/deb/changelog")).expect("it is");
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!("hushpipe ({version}-1) ");
    assert!(changelog.starts_with(&expected), "{changelog}");
}

/// Installed below a directory, as on a system that uses rpm.
#[test]
fn the_rpm_has_what_the_deb_has_where_such_systems_look_for_it() {
    let Some(directory) = directory() else {
        return;
    };
    let place = Place::new();
    let root = place.path().join("root");
    fs::create_dir(&root).expect("it is not there");
    let package = file(&directory, ".rpm");
    let rpm = |words: &[&str]| {
        let argv = [
            &["rpm", "--root", utf8(&root), "--dbpath", "/var/lib/rpm"][..],
            words,
        ]
        .concat();
        run(&argv, &directory)
    };
    let alone = ["--nodeps", "--noscripts"];
    rpm(&[&["--install"][..], &alone, &[utf8(&package)]].concat());
    rpm(&[&["--verify"][..], &alone, &["hushpipe"]].concat());
    let mut there = files(&root);
    there.retain(|name, _| !name.starts_with("var/"));

    let mut expected = unpacked(&directory);
    for debian in [
        "usr/share/doc/hushpipe/changelog.Debian.gz",
        "usr/share/doc/hushpipe/copyright",
        "usr/share/lintian/overrides/hushpipe",
    ] {
        expected.remove(debian).expect("the .deb has it");
    }
    let zsh = expected.remove("usr/share/zsh/vendor-completions/_hushpipe");
    let zsh_here = "usr/share/zsh/site-functions/_hushpipe";
    expected.insert(zsh_here.to_owned(), zsh.expect("the .deb has it"));
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(licence);
        let text = fs::read(text).expect("it is there");
        expected.insert(
            format!("usr/share/licenses/hushpipe/{licence}"),
            (0o644, text),
        );
    }
    let names = (there.keys(), expected.keys());
    assert!(there == expected, "{names:?}");

    assert_eq!(
        rpm(&["--query", "--configfiles", "hushpipe"]),
        "/etc/hushpipe/README\n"
    );
    let version = rpm(&["--query", "hushpipe"]);
    let expected = concat!("hushpipe-", env!("CARGO_PKG_VERSION"), "-1.");
    assert!(version.starts_with(expected), "{version}");
    rpm(&[&["--erase"][..], &alone, &["hushpipe"]].concat());
    let mut left = files(&root);
    left.retain(|name, _| !name.starts_with("var/"));
    assert!(left.is_empty(), "{:?}", left.keys());
}

#[test]
fn the_bill_of_materials_names_every_crate_of_the_binary_and_none_of_the_tests() {
    let Some(directory) = directory() else {
        return;
    };
    let text = fs::read_to_string(file(&directory, ".cdx.json")).expect("it can be read");
    assert!(!text.contains(env!("CARGO_MANIFEST_DIR")));
    let bill: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(
        bill["metadata"]["component"]["version"],
        env!("CARGO_PKG_VERSION")
    );
    let components = bill["components"].as_array().expect("a list");
    let mut named = BTreeSet::new();
    for component in components {
        let word = |key: &str| component[key].as_str().unwrap_or_default().to_owned();
        let (name, version) = (word("name"), word("version"));
        assert_eq!(word("purl"), format!("pkg:cargo/{name}@{version}"));
        let licences = component["licenses"].as_array();
        assert!(licences.is_some_and(|all| !all.is_empty()), "{name}");
        named.insert(format!("{name} v{version}"));
    }
    let built = crates("normal");
    let missing: Vec<_> = built.difference(&named).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let tests = crates("normal,dev");
    let of_tests: Vec<_> = tests.difference(&built).collect();
    assert!(of_tests.len() > 10, "{of_tests:?}");
    let foreign: Vec<_> = of_tests
        .iter()
        .filter(|name| named.contains(**name))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    // cargo metadata counts some that only other platforms and features would take.
    let more: Vec<_> = named.difference(&built).collect();
    assert!(more.len() < 10, "{more:?}");
}

/// What cargo builds the binary of; with `normal,dev`, its tests too.
fn crates(edges: &str) -> BTreeSet<String> {
    let tree =
        format!("cargo tree --locked --offline --edges {edges} --prefix none --format {{p}}");
    let argv: Vec<_> = tree.split(' ').collect();
    let tree = run(&argv, Path::new(env!("CARGO_MANIFEST_DIR")));
    let name = |line: &str| {
        let words: Vec<_> = line.split(' ').take(2).collect();
        words.join(" ")
    };
    let all = tree.lines().filter(|line| !line.is_empty()).map(name);
    all.filter(|name| !name.starts_with("hushpipe ")).collect()
}

#[test]
fn the_checksums_are_those_of_the_files() {
    let Some(directory) = directory() else {
        return;
    };
    let said = run(
        &["sha256sum", "--strict", "--check", "SHA256SUMS"],
        &directory,
    );
    assert_eq!(said.lines().count(), 4, "{said}");
}
