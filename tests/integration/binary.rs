//! What the kernel and the C library do for a program that was attacked, as far as the linker must
//! ask for it: see checksec(1).
//!
//! `HUSHPIPE_STATIC` is a binary with the flags of packaging/flags: that of packaging/build, or of
//! tests/static. `tests/run` sets it; continuous integration never goes without.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What readelf(1) says of a program.
struct Elf {
    path: PathBuf,
    header: String,
    segments: Vec<Segment>,
    dynamic: String,
}

struct Segment {
    kind: String,
    /// Of `RWE`.
    flags: String,
}

impl Elf {
    fn of(path: &Path) -> Self {
        let lines = readelf("--program-headers", path);
        // Type, offset, two addresses, two sizes, flags, alignment.
        let segment = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_one = words.len() > 6 && words[1..6].iter().all(|word| word.starts_with("0x"));
            is_one.then(|| Segment {
                kind: words[0].to_owned(),
                flags: words[6..words.len() - 1].concat(),
            })
        };
        Self {
            path: path.to_owned(),
            header: readelf("--file-header", path),
            segments: lines.lines().filter_map(segment).collect(),
            dynamic: readelf("--dynamic", path),
        }
    }

    fn segments(&self, kind: &str) -> Vec<&str> {
        let of_kind = self.segments.iter().filter(|segment| segment.kind == kind);
        of_kind.map(|segment| &*segment.flags).collect()
    }

    /// Whether an entry of the dynamic section has a word.
    fn says(&self, entry: &str, word: &str) -> bool {
        let entry = format!("({entry})");
        let mut lines = self.dynamic.lines().filter(|line| line.contains(&entry));
        lines.any(|line| line.split_whitespace().any(|found| found == word))
    }

    fn has(&self, entry: &str) -> bool {
        self.dynamic.contains(&format!("({entry})"))
    }
}

fn readelf(what: &str, path: &Path) -> String {
    let output = Command::new("readelf")
        .args(["--wide", what])
        .arg(path)
        .env("LC_ALL", "C")
        .output()
        .expect("tests/install installs binutils");
    assert!(output.status.success(), "readelf {what} {}", path.display());
    String::from_utf8(output.stdout).expect("readelf writes text")
}

/// The ordinary binary and, where there is one, the static one.
fn binaries() -> Vec<Elf> {
    let ordinary = PathBuf::from(env!("CARGO_BIN_EXE_hushpipe"));
    let all = std::iter::once(ordinary).chain(static_binary());
    all.map(|path| Elf::of(&path)).collect()
}

fn static_binary() -> Option<PathBuf> {
    let path = std::env::var_os("HUSHPIPE_STATIC").map(PathBuf::from);
    if path.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "HUSHPIPE_STATIC is not set"
        );
        eprintln!("HUSHPIPE_STATIC is not set: only the ordinary binary is looked at");
    }
    path
}

#[test]
fn it_lies_at_another_address_at_each_start() {
    for elf in binaries() {
        assert!(
            elf.header.contains("DYN (Position-Independent Executable"),
            "{}: {}",
            elf.path.display(),
            elf.header
        );
        assert!(elf.says("FLAGS_1", "PIE"), "{}", elf.dynamic);
    }
}

#[test]
fn what_the_linker_fixed_up_is_read_only_before_the_first_line_runs() {
    for elf in binaries() {
        assert_eq!(elf.segments("GNU_RELRO"), ["R"], "{}", elf.path.display());
        assert!(elf.says("FLAGS", "BIND_NOW"), "{}", elf.dynamic);
        assert!(elf.says("FLAGS_1", "NOW"), "{}", elf.dynamic);
    }
}

#[test]
fn nothing_can_be_written_and_executed() {
    for elf in binaries() {
        assert_eq!(elf.segments("GNU_STACK"), ["RW"], "{}", elf.path.display());
        let loaded = elf.segments("LOAD");
        assert!(loaded.contains(&"RE"), "{loaded:?}");
        let both = |flags: &&&str| flags.contains('W') && flags.contains('E');
        assert_eq!(loaded.iter().find(both), None, "{}", elf.path.display());
        assert!(!elf.has("TEXTREL"), "{}", elf.dynamic);
        assert!(!elf.says("FLAGS", "TEXTREL"), "{}", elf.dynamic);
    }
}

#[test]
fn no_directory_of_its_own_has_its_libraries() {
    for elf in binaries() {
        for entry in ["RPATH", "RUNPATH"] {
            assert!(!elf.has(entry), "{}", elf.dynamic);
        }
    }
}

#[test]
fn the_static_one_needs_no_library() {
    let Some(path) = static_binary() else {
        return;
    };
    let elf = Elf::of(&path);
    assert!(!elf.has("NEEDED"), "{}", elf.dynamic);
    assert_eq!(elf.segments("INTERP"), [""; 0]);
}

/// What reads the guard of the stack on x86-64, `mov %fs:0x28,%rax`.
const GUARD: &[u8] = &[0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0];

/// Where functions of an archive read the guard, with what stands before and after it.
fn guarded(archive: &[u8]) -> Vec<&[u8]> {
    memchr::memmem::find_iter(archive, GUARD)
        .filter_map(|at| archive.get(at.checked_sub(8)?..at + GUARD.len() + 24))
        .collect()
}

/// Whether no compiler of C has left its mark: assembly has no arrays on the stack that it could guard.
fn is_assembled(archive: &[u8]) -> bool {
    memchr::memmem::find(archive, b".comment").is_none()
}

/// The binary has no symbols; the archives of C that were linked into it lie beside it. The code that
/// reads the guard is theirs, and stands in the binary as it does there.
#[test]
fn c_in_the_static_one_sees_when_its_stack_was_written_over() {
    let Some(path) = static_binary() else {
        return;
    };
    let archives = archives(&path.with_file_name("build"));
    let ring = |path: &&PathBuf| path.display().to_string().contains("/ring-");
    assert!(archives.iter().any(|path| ring(&path)), "{archives:?}");
    let binary = fs::read(&path).expect("it was built");
    let is_linked = |code: &&[u8]| memchr::memmem::find(&binary, code).is_some();
    for archive in archives {
        let bytes = fs::read(&archive).expect("it was just found");
        if is_assembled(&bytes) {
            assert!(archive.ends_with("libpsm_s.a"), "{}", archive.display());
            continue;
        }
        if cfg!(target_arch = "x86_64") {
            let linked = guarded(&bytes).into_iter().filter(is_linked).count();
            assert!(
                linked > 0,
                "nothing guarded of {} is in it",
                archive.display()
            );
        }
        let symbol = b"__stack_chk_fail";
        let protected = bytes.windows(symbol.len()).any(|found| found == symbol);
        assert!(protected, "{} has no stack protector", archive.display());
    }
}

/// What build scripts compiled, the newest of each name; ring's own tests are not linked.
fn archives(builds: &Path) -> Vec<PathBuf> {
    let entries = |directory: PathBuf| {
        let entries = fs::read_dir(directory).into_iter().flatten();
        entries.map(|entry| entry.expect("it can be read").path())
    };
    let outputs = entries(builds.to_owned()).map(|build| build.join("out"));
    let mut all: Vec<PathBuf> = outputs
        .flat_map(entries)
        .filter(|path| path.extension().is_some_and(|ending| ending == "a"))
        .filter(|path| !path.display().to_string().ends_with("_test.a"))
        .collect();
    all.sort_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok());
    let named = |path: PathBuf| Some((path.file_name()?.to_owned(), path));
    let newest: BTreeMap<_, _> = all.into_iter().filter_map(named).collect();
    newest.into_values().collect()
}

#[test]
fn the_static_one_names_no_directory_of_who_built_it() {
    let Some(path) = static_binary() else {
        return;
    };
    let bytes = fs::read(&path).expect("it was built");
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src/").as_bytes();
    let found = bytes.windows(sources.len()).any(|found| found == sources);
    assert!(!found, "{} is in it", env!("CARGO_MANIFEST_DIR"));
}
