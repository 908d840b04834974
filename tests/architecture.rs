//! The table of rooms (who may import whom), where `unsafe`, processes and waits may stand, what a
//! type that holds a value may derive, and what lies at the top of the repository.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/dependencies.rs"]
mod dependencies;
#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/scan.rs"]
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use scan::Source;

/// Each room, and the rooms that it may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("model", &[]),
    ("secret", &["sys"]),
    ("formats", &["model"]),
    ("manifest", &["model"]),
    ("policy", &["model"]),
    ("approval", &["model"]),
    ("audit", &["model", "sys"]),
    ("telemetry", &["model", "sys"]),
    // A digest of a value, and places of it in a text.
    ("patterns", &["sys"]),
    ("redaction", &["model", "sys", "patterns"]),
    // It knows no store.
    ("http", &["model", "secret", "sys"]),
    // Records on their way to sinks; tokens pass through.
    ("monitor", &["model", "secret", "sys", "http", "audit"]),
    ("stores", &["model", "secret", "sys", "http"]),
    ("delivery", &["model", "secret", "sys"]),
    // It sees file descriptors, never a value.
    ("supervisor", &["model", "sys"]),
    (
        "rotation",
        &["model", "secret", "stores", "delivery", "supervisor"],
    ),
    // Bytes go in, places of secrets come out.
    ("scan", &["model", "secret", "sys", "formats", "patterns"]),
    // Records, manifests and findings go in, graphs and pages come out.
    ("report", &["model"]),
    // The composition root: everything but the command line.
    (
        "app",
        &[
            "sys",
            "model",
            "secret",
            "manifest",
            "policy",
            "approval",
            "audit",
            "monitor",
            "patterns",
            "redaction",
            "telemetry",
            "http",
            "stores",
            "delivery",
            "supervisor",
            "rotation",
            "formats",
            "scan",
            "report",
        ],
    ),
    ("cli", &["model", "manifest", "app"]),
    // Not in the program: what tests/fuzz calls.
    (
        "fuzzing",
        &[
            "model",
            "approval",
            "audit",
            "secret",
            "manifest",
            "policy",
            "stores",
            "delivery",
            "supervisor",
        ],
    ),
];

/// Files that may import more than their room, and why.
const WIDER: &[(&str, &[&str], &str)] = &[
    (
        "src/main.rs",
        &["cli", "secret"],
        "the process allocator is set where the program starts",
    ),
    (
        "src/cli/secret",
        &["stores"],
        "`hushpipe secret` is about one kind of store, and shows what is in it",
    ),
    (
        "src/cli/scan",
        &["scan"],
        "`hushpipe scan` shows findings as they are",
    ),
    (
        "src/report/tests.rs",
        &["manifest"],
        "a plan is what a manifest is read as",
    ),
    (
        "src/cli/report",
        &["report"],
        "`hushpipe report` shows the report as it is",
    ),
    (
        "src/cli/graph",
        &["report"],
        "`hushpipe graph` shows the graph as it is",
    ),
    (
        "src/cli/approval",
        &["approval"],
        "`hushpipe approval` shows requests as they are",
    ),
    (
        "src/cli/doctor",
        &["sys"],
        "`hushpipe doctor` asks the kernel what it supports, and launches nothing",
    ),
    (
        "src/cli/run",
        &["telemetry"],
        "--log-format chooses how events are written",
    ),
];

/// Types of `secret` that hold no value: what they are, they may show.
const SHOWN: &[&str] = &["Protection", "Digest", "FileError"];

/// What a type that holds a value must not have.
const LEAKY: &[&str] = &[
    "Debug",
    "Display",
    "Clone",
    "Copy",
    "Serialize",
    "Hash",
    "ToString",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `src` or `tests`, read and stripped: once for all tests.
fn sources(directory: &str) -> &'static [Source] {
    static SRC: LazyLock<Vec<Source>> = LazyLock::new(|| read("src"));
    static TESTS: LazyLock<Vec<Source>> = LazyLock::new(|| read("tests"));
    match directory {
        "src" => &SRC,
        "tests" => &TESTS,
        other => panic!("no sources in {other}"),
    }
}

fn read(directory: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut todo = vec![root().join(directory)];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).expect("the directory is there") {
            let path: PathBuf = entry.expect("an entry can be read").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") {
                let name = path.strip_prefix(root()).expect("it lies below the root");
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                found.push(Source::new(name.to_str().expect("names are UTF-8"), &text));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!found.is_empty(), "no sources in {directory}");
    found
}

fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

/// What a file may import, with its own room.
fn allowed(source: &Source) -> BTreeSet<&'static str> {
    let wider = WIDER
        .iter()
        .filter(|(file, _, _)| source.name.starts_with(file))
        .flat_map(|(_, rooms, _)| rooms.iter());
    let table = ROOMS
        .iter()
        .filter(|(room, _)| source.room() == Some(room))
        .flat_map(|(room, rooms)| std::iter::once(room).chain(rooms.iter()));
    wider.chain(table).copied().collect()
}

fn forbidden_imports(source: &Source) -> Vec<String> {
    let allowed = allowed(source);
    let is_room = |name: &str| ROOMS.iter().any(|(room, _)| *room == name);
    source
        .imports()
        .into_iter()
        .filter(|import| !allowed.contains(import.name.as_str()))
        .filter(|import| is_room(&import.name) || matches!(import.name.as_str(), "*" | "self"))
        .map(|import| format!("{}:{}: imports {}", source.name, import.line, import.name))
        .collect()
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let faults: Vec<String> = sources("src").iter().flat_map(forbidden_imports).collect();
    assert_none("forbidden imports", &faults);
}

#[test]
fn no_exception_outlives_its_reason() {
    let all = sources("src");
    for (file, rooms, why) in WIDER {
        for room in *rooms {
            let files = all.iter().filter(|source| source.name.starts_with(file));
            let mut imports = files.flat_map(Source::imports);
            assert!(
                imports.any(|import| import.name == *room),
                "nothing in {file} imports {room} any more: {why}"
            );
        }
    }
}

#[test]
fn no_room_hands_on_what_is_of_another() {
    let mut faults = Vec::new();
    for source in sources("src") {
        for line in source.lines_with(&["pub", "use", "crate", "::"]) {
            faults.push(format!("{}:{line}: re-exports another room", source.name));
        }
    }
    assert_none("the table could be walked around", &faults);
}

#[test]
fn every_room_is_in_the_table() {
    for entry in fs::read_dir(root().join("src")).expect("src is there") {
        let entry = entry.expect("an entry can be read");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let known = ROOMS.iter().any(|(room, _)| *room == name);
        assert!(
            known || matches!(name.as_str(), "main.rs" | "lib.rs"),
            "src/{name} is no room"
        );
    }
}

#[test]
fn the_table_has_no_cycle() {
    fn visit<'a>(room: &'a str, way: &mut Vec<&'a str>) {
        assert!(!way.contains(&room), "a cycle: {way:?} -> {room}");
        way.push(room);
        for (_, imports) in ROOMS.iter().filter(|(name, _)| *name == room) {
            for import in *imports {
                visit(import, way);
            }
        }
        way.pop();
    }
    for (room, _) in ROOMS {
        visit(room, &mut Vec::new());
    }
}

#[test]
fn unsafe_stands_in_sys_alone_and_says_why() {
    let mut faults = Vec::new();
    for source in sources("src") {
        let in_sys = source.room() == Some("sys");
        if !in_sys {
            for line in source.lines_with(&["unsafe"]) {
                faults.push(format!("{}:{line}: unsafe outside sys", source.name));
            }
        }
        let blocks = source.lines_with(&["unsafe", "{"]).into_iter();
        for line in blocks.chain(source.lines_with(&["unsafe", "impl"])) {
            if !source.is_explained(line, "SAFETY:") {
                faults.push(format!("{}:{line}: no SAFETY line", source.name));
            }
        }
        if source.name != "src/lib.rs" {
            for line in source.lines_with(&["unsafe_code"]) {
                faults.push(format!("{}:{line}: lets unsafe in", source.name));
            }
        }
    }
    assert_none("unsafe", &faults);
}

#[test]
fn processes_are_made_and_waited_for_in_sys_alone() {
    let banned: &[&[&str]] = &[
        &["process", "::", "Command"],
        &["tokio", "::", "process"],
        &["waitpid"],
        &["waitid"],
        &["wait3"],
        &["wait4"],
        &["sys", "::", "wait"],
        &["fork"],
        &["set_var"],
        &["remove_var"],
    ];
    let mut faults = Vec::new();
    for source in sources("src") {
        if source.room() == Some("sys") {
            continue;
        }
        let source = source.without_tests();
        for words in banned {
            for line in source.lines_with(words) {
                faults.push(format!("{}:{line}: {}", source.name, words.concat()));
            }
        }
        for line in source.lines_with(&["process", "::", "{"]) {
            if source.group_has(line, "Command") {
                faults.push(format!("{}:{line}: std::process::Command", source.name));
            }
        }
    }
    assert_none("only sys makes processes and waits", &faults);
}

#[test]
fn paths_are_walked_in_one_place_and_elsewhere_for_a_reason() {
    let mut faults = Vec::new();
    for source in sources("src") {
        let source = source.without_tests();
        if paths::reason(&source.name).is_none() {
            let lines = paths::walks(&source).into_iter();
            faults.extend(lines.map(|line| format!("{}:{line}", source.name)));
        }
    }
    assert_none(
        "use sys::walk and sys::held, or say why not in tests/architecture/paths.rs",
        &faults,
    );
}

/// What a launch must not skip: policy's word before the fetch, the receipt before the delivery.
#[test]
fn the_gate_is_passed_in_one_place() {
    let only: [(&[&str], &str); 5] = [
        (&["Authorised", "{"], "src/app/gate/mod.rs"),
        (&["Receipt", "("], "src/model/release.rs"),
        (&[".", "rule", "(", "&", "queries"], "src/app/gate/rules.rs"),
        (&["record", "(", "&", "*", "self"], "src/app/gate/mod.rs"),
        (&[".", "fetch_all", "(", "sources"], "src/app/fetch.rs"),
    ];
    let all: Vec<Source> = sources("src").iter().map(Source::without_tests).collect();
    for (words, place) in only {
        let mut files = all.iter().filter(|file| !file.lines_with(words).is_empty());
        let found: Vec<&str> = files.by_ref().map(|file| file.name.as_str()).collect();
        assert_eq!(found, [place], "{}", words.concat());
    }
}

#[test]
fn no_reason_to_walk_a_path_outlives_its_file() {
    let all = sources("src");
    for (file, why) in paths::EXPLAINED {
        let mut files = all.iter().filter(|source| source.name.starts_with(file));
        assert!(files.next().is_some(), "{file} is gone: {why}");
    }
}

#[test]
fn the_process_ends_in_main_or_cli() {
    let mut faults = Vec::new();
    for source in sources("src") {
        if !matches!(source.room(), Some("cli" | "sys") | None) {
            for line in source.lines_with(&["process", "::", "exit"]) {
                faults.push(format!("{}:{line}", source.name));
            }
        }
    }
    assert_none(
        "process::exit skips what must be wiped and removed",
        &faults,
    );
}

#[test]
fn no_test_is_ignored() {
    let mut faults = Vec::new();
    for source in sources("src").iter().chain(sources("tests")) {
        for line in source.lines_with(&["#", "[", "ignore"]) {
            faults.push(format!("{}:{line}", source.name));
        }
    }
    assert_none("ignored tests", &faults);
}

#[test]
fn main_is_short() {
    let text = fs::read_to_string(root().join("src/main.rs")).expect("main.rs is there");
    assert!(text.lines().count() < 40, "src/main.rs grew");
}

/// Leaks of values' types: derives on them, or implementations for them.
fn leaks(holders: &BTreeSet<String>, source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for item in source.types() {
        for name in item
            .derives
            .iter()
            .filter(|name| LEAKY.contains(&name.as_str()))
        {
            if holders.contains(&item.name) {
                faults.push(format!("{}: {} derives {name}", source.name, item.name));
            }
        }
    }
    for (what, name) in source.implementations() {
        if holders.contains(&name) && LEAKY.contains(&what.as_str()) {
            faults.push(format!("{}: {what} for {name}", source.name));
        }
    }
    faults
}

#[test]
fn a_type_that_holds_a_value_shows_nothing_of_it() {
    let all = sources("src");
    let holders: BTreeSet<String> = all
        .iter()
        .filter(|source| source.room() == Some("secret"))
        .flat_map(Source::types)
        .map(|item| item.name)
        .filter(|name| !SHOWN.contains(&name.as_str()))
        .collect();
    for name in ["SecretBytes", "Value", "Buffer", "DigestKey"] {
        assert!(holders.contains(name), "{name} is not in src/secret");
    }
    let faults: Vec<String> = all.iter().flat_map(|s| leaks(&holders, s)).collect();
    assert_none("a value could be shown or copied", &faults);
}

#[test]
fn the_ledger_names_tests_that_are_there() {
    let text = fs::read_to_string(root().join("tests/LEDGER.md")).expect("the ledger is there");
    let rows = text.lines().filter_map(|line| line.strip_suffix("` |"));
    let named: Vec<&str> = rows
        .filter_map(|row| Some(row.rsplit_once('`')?.1))
        .collect();
    assert!(named.len() >= 40, "{} rows", named.len());
    let mut tests: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources("src").iter().chain(sources("tests")) {
        for name in source.tests() {
            *tests.entry(name).or_default() += 1;
        }
    }
    let count = |name: &str| tests.get(name).copied().unwrap_or(0);
    // Of a name that two tests have, nobody knows which is meant.
    let missing: Vec<String> = named
        .iter()
        .filter(|name| count(name) != 1)
        .map(|name| format!("{name}: {} tests", count(name)))
        .collect();
    assert_none("tests/LEDGER.md names what is not one test", &missing);
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn the_top_of_the_repository_stays_small() {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "examples",
        "packaging",
        "src",
        "target",
        "tests",
    ];
    let mut faults = Vec::new();
    for entry in fs::read_dir(root()).expect("the repository can be read") {
        let name = entry.expect("an entry can be read").file_name();
        let name = name.to_string_lossy().into_owned();
        if !(name.starts_with('.') || name.starts_with("LICENSE") || known.contains(&&*name)) {
            faults.push(name);
        }
    }
    assert_none("these belong in a folder, or get a dot", &faults);
}

/// The checks themselves: each must see what it is there to see.
mod sees {
    use super::*;

    fn names(source: &Source) -> Vec<String> {
        source.imports().into_iter().map(|i| i.name).collect()
    }

    fn faults(file: &str, text: &str) -> usize {
        forbidden_imports(&Source::new(file, text)).len()
    }

    #[test]
    fn a_plain_import() {
        assert_eq!(faults("src/model/a.rs", "use crate::secret::Value;"), 1);
        assert_eq!(faults("src/model/a.rs", "fn a(_: crate::sys::Fd) {}"), 1);
        assert_eq!(faults("src/secret/a.rs", "use crate::sys::memory;"), 0);
    }

    #[test]
    fn a_group() {
        let text = "use crate::{model::{self, Exit}, sys, stores::Store as S};";
        assert_eq!(faults("src/supervisor/mod.rs", text), 1);
        let names = names(&Source::new("src/supervisor/mod.rs", text));
        assert_eq!(names, ["model", "sys", "stores"]);
    }

    #[test]
    fn a_walk_by_path_however_it_is_called() {
        for walk in [
            "fn a() { std::fs::remove_file(p) }",
            "fn a() { fs::set_permissions(p, m) }",
            "use std::os::unix::fs::{PermissionsExt, chown};",
            "fn a() { nix::unistd::mkdir(p, m) }",
            "fn a() { rustix::fs::openat(CWD, p, f, m) }",
            "fn a() { File::open(p) }",
            "fn a() { p.canonicalize() }",
            "fn a() { rustix::mount::mount(a, b, c, d, e) }",
        ] {
            assert!(
                !paths::walks(&Source::new("src/a.rs", walk)).is_empty(),
                "{walk}"
            );
        }
        let held = "fn a() { fs::openat(&d, n, f, m); fs::renameat(a, b, c, d); f.metadata() }";
        assert!(paths::walks(&Source::new("src/a.rs", held)).is_empty());
    }

    #[test]
    fn a_chain_of_supers() {
        assert_eq!(faults("src/model/mod.rs", "use super::secret::Value;"), 1);
        let deep = "use super::super::secret::Value;";
        assert_eq!(faults("src/model/a.rs", deep), 1);
        assert_eq!(faults("src/model/a/b.rs", deep), 0);
        let inner = "mod tests { use super::super::super::secret::Value; }";
        assert_eq!(faults("src/model/a.rs", inner), 1);
        assert_eq!(faults("src/model/a.rs", "use super::super::{secret};"), 1);
    }

    #[test]
    fn everything_at_once_and_a_new_name() {
        assert_eq!(faults("src/app/mod.rs", "use crate::*;"), 1);
        assert_eq!(faults("src/app/mod.rs", "use crate::{self as all};"), 1);
        assert_eq!(faults("src/main.rs", "use hushpipe::app;"), 1);
    }

    #[test]
    fn not_what_is_written_in_text_and_comments() {
        let text = "// crate::secret\n/* crate::app /* */ crate::cli */\nconst A: &str = \"crate::secret\";\nconst B: &str = r#\"\"crate::secret\"#;\nconst C: char = '\"'; fn a<'a>(_: &'a str) {} // \"";
        assert_eq!(faults("src/model/a.rs", text), 0);
        let after = format!("{text}\nuse crate::secret;");
        assert_eq!(faults("src/model/a.rs", &after), 1);
    }

    #[test]
    fn unsafe_that_is_not_explained() {
        let bad = Source::new("src/sys/a.rs", "fn a() {\n    unsafe { b() }\n}\n");
        assert_eq!(bad.lines_with(&["unsafe"]), [2]);
        assert!(!bad.is_explained(2, "SAFETY:"));
        let good = Source::new(
            "src/sys/a.rs",
            "fn a() {\n    // SAFETY: b has no\n    // conditions.\n    let a =\n        unsafe { b() };\n}\n",
        );
        assert!(good.is_explained(5, "SAFETY:"));
    }

    #[test]
    fn the_code_but_not_its_tests() {
        let text = "fn a() { fork() }\n#[cfg(test)]\nmod tests { fn b() { fork() } }";
        let source = Source::new("src/app/a.rs", text);
        assert_eq!(source.without_tests().lines_with(&["fork"]), [1]);
        let tests = Source::new("src/app/tests.rs", text);
        assert!(tests.without_tests().lines_with(&["fork"]).is_empty());
    }

    #[test]
    fn derives_and_implementations() {
        let text = "#[derive(Clone, Debug)]\npub struct Key([u8; 32]);\nimpl std::fmt::Display for Key {}\nimpl<T> fmt::Debug for Other<T> {}";
        let holders = BTreeSet::from(["Key".to_owned()]);
        assert_eq!(
            leaks(&holders, &Source::new("src/secret/a.rs", text)).len(),
            3
        );
    }
}
