//! Measures hushpipe against tini, curl and `bao agent`, and in containers: see `tests/bench/run`.
//! Called as `handler` it is the program that hushpipe supervises: it says when a signal came; as `writer`,
//! the one whose output is searched.

#![allow(clippy::disallowed_methods, clippy::cast_precision_loss)]

mod docker;
#[path = "../integration/docker/engine.rs"]
#[allow(dead_code)]
mod engine;
#[path = "../integration/harness/mod.rs"]
mod harness;
#[path = "../integration/docker/images.rs"]
mod images;
mod launches;
mod policy;
mod redaction;
mod scan;
mod site;
mod supervised;
mod table;
mod vault;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use table::{Row, print};

/// How long it is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// As long as times need.
    Full,
    /// As long as counts need.
    Quick,
}

impl Effort {
    const fn rounds(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Quick => full.div_ceil(10),
        }
    }
}

/// hushpipe, and a directory with a store and manifests.
struct Bench {
    hushpipe: PathBuf,
    /// The one for images.
    slim: PathBuf,
    directory: tempfile::TempDir,
}

/// How many secrets a launch has.
const SECRETS: usize = 10;

impl Bench {
    fn new(hushpipe: &str, slim: &str) -> Self {
        let bench = Self {
            hushpipe: PathBuf::from(hushpipe),
            slim: PathBuf::from(slim),
            directory: tempfile::tempdir().expect("a temporary directory can be made"),
        };
        bench.hushpipe(
            &[
                "init",
                ".",
                "--store",
                "sealed",
                "--identity",
                "identity.txt",
            ],
            "",
        );
        bench.make_directory();
        for number in 0..SECRETS {
            let (name, value) = (format!("s{number}"), format!("value-{number:032}"));
            // Two versions, so that a change is one rename.
            bench.seal(&name, &value);
            bench.seal(&name, &format!("{value}b"));
            std::fs::write(bench.path(&format!("plain/{name}")), value).expect("it is writable");
        }
        bench
    }

    fn make_directory(&self) {
        std::fs::create_dir(self.path("plain")).expect("it is new");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn seal(&self, name: &str, value: &str) {
        let store = [
            "secret",
            "--store",
            "sealed",
            "--identity",
            "identity.txt",
            "set",
            name,
        ];
        self.hushpipe(&store, value);
    }

    /// Runs a command of hushpipe in the directory, with some input.
    fn hushpipe(&self, arguments: &[&str], input: &str) {
        std::fs::write(self.path("input"), input).expect("it is writable");
        let stdin = std::fs::File::open(self.path("input")).expect("it was written");
        let status = Command::new(&self.hushpipe)
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let succeeded = status.is_ok_and(|status| status.success());
        assert!(succeeded, "hushpipe {arguments:?} failed");
    }

    /// Writes a manifest with all secrets of a store, and gives its path. `run` ends the manifest.
    fn manifest(&self, store: &str, deliver: &str, run: &str) -> PathBuf {
        let secrets: Vec<String> = (0..SECRETS)
            .map(|n| format!("  s{n}: {{ store: {store}, key: s{n} }}\n"))
            .collect();
        let text = format!(
            "version: 1\nservice: bench\nstores:\n  {store}: {}\nsecrets:\n{}deliver:\n{deliver}\
             isolation: private\nrun:\n{run}",
            match store {
                "sealed" => "{ type: sealed, path: sealed, identity_file: identity.txt }",
                _ => "{ type: directory, path: plain }",
            },
            secrets.concat()
        );
        let name = format!("{store}-{}-{}.yaml", deliver.len(), run.len());
        std::fs::write(self.path(&name), text).expect("it is writable");
        self.path(&name)
    }
}

/// A sealed memfd for each secret.
fn by_fd() -> String {
    let one = |n| format!("  - {{ fd: {}, as: memfd, secret: s{n} }}\n", n + 3);
    (0..SECRETS).map(one).collect::<Vec<_>>().concat()
}

/// A file for each secret, in a directory of the program's own.
fn by_file(directory: &Path) -> String {
    let directory = directory.display();
    let one = |n| format!("  - {{ file: \"{directory}/files/s{n}\", secret: s{n} }}\n");
    (0..SECRETS).map(one).collect::<Vec<_>>().concat()
}

fn size(hushpipe: &Path, which: &str, limit: f64) -> Row {
    let bytes = std::fs::metadata(hushpipe)
        .expect("hushpipe is there")
        .len();
    let name = format!("size of the {which} binary, MiB");
    Row::counted(name, bytes as f64 / f64::from(1 << 20), limit)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (hushpipe, slim) = match words[..] {
        ["handler"] => supervised::handler(),
        ["writer", lines] => redaction::writer(lines),
        [hushpipe, slim, ..] if !hushpipe.starts_with('-') => (hushpipe, slim),
        _ => {
            println!("this measures hushpipe: start it by tests/bench/run");
            return ExitCode::SUCCESS;
        }
    };
    let (chosen, effort, check) = match options(&arguments[2..]) {
        Ok(options) => options,
        Err(fault) => {
            eprintln!("tests/bench/run: {fault}");
            return ExitCode::from(64);
        }
    };
    let bench = Bench::new(hushpipe, slim);
    let mut missed = false;
    for (name, measure) in chosen {
        let since = std::time::Instant::now();
        let rows = measure(&bench, effort);
        println!("== {name}, {} s", since.elapsed().as_secs());
        print(&rows);
        missed |= rows.iter().any(|row| row.is_missed_clearly(check));
    }
    ExitCode::from(u8::from(missed))
}

type Part = (&'static str, fn(&Bench, Effort) -> Vec<Row>);

/// What is measured, in this order.
const PARTS: [Part; 9] = [
    ("sizes", |bench, _| {
        vec![
            size(&bench.hushpipe, "default", 11.0),
            size(&bench.slim, "slim", 6.0),
        ]
    }),
    ("launches", launches::measure),
    ("site", site::measure),
    ("policy", |bench, _| policy::measure(bench)),
    ("scan", |bench, _| scan::measure(bench)),
    ("redaction", redaction::measure),
    ("supervised", supervised::measure),
    ("vault", |bench, effort| {
        vault::measure(&bench.hushpipe, effort)
    }),
    ("docker", docker::measure),
];

/// The parts that `--only` names, or all; how long each is measured; whether times count as well.
fn options(words: &[String]) -> Result<(Vec<Part>, Effort, bool), String> {
    let (mut only, mut effort, mut check) = (Vec::new(), Effort::Full, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => effort = Effort::Quick,
            "--check" => check = true,
            "--only" => {
                let name = words.next().map_or("", String::as_str);
                let part = PARTS.into_iter().find(|(part, _)| *part == name);
                only.push(part.ok_or_else(|| {
                    let known = PARTS.map(|(part, _)| part).join(", ");
                    format!("--only takes one of {known}, not {name:?}")
                })?);
            }
            other => {
                return Err(format!(
                    "no option {other}: --check, --quick and --only PART"
                ));
            }
        }
    }
    if only.is_empty() {
        only.extend(PARTS);
    }
    Ok((only, effort, check))
}
