//! `.gitignore`: what opens the store and what has values in plain text stays out of repositories.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::Failure;
use super::report::{Report, shown};
use crate::app::files;
use crate::app::git::WorkTree;
use crate::model::Exit;

/// Sees to it that git ignores these paths, relative to a directory: lines are added to its
/// `.gitignore`, but for what is ignored already. Tells of it, and where git ignores the store too.
pub fn see_to(
    tree: &WorkTree,
    directory: &Path,
    paths: &[PathBuf],
    store: Option<&Path>,
    report: &mut Report,
) -> Result<(), Failure> {
    let added = add_missing(tree, directory, paths)?;
    if !added.is_empty() {
        let lines: Vec<_> = added
            .iter()
            .map(|line| String::from_utf8_lossy(line))
            .collect();
        report.line("gitignore", &format!("added {}", lines.join(", ")));
    }
    if let Some(store) = store.filter(|store| tree.ignores(store)) {
        let text = format!(
            "git ignores {}: it has ciphertext alone, and may be committed",
            shown(store)
        );
        report.line("git", &text);
    }
    Ok(())
}

/// Fails if [`see_to`] would fail, and changes nothing.
pub fn check(directory: &Path) -> Result<(), Failure> {
    written(directory).map(drop)
}

fn add_missing(
    tree: &WorkTree,
    directory: &Path,
    paths: &[PathBuf],
) -> Result<Vec<Vec<u8>>, Failure> {
    let (file, written) = written(directory)?;
    let mut missing = Vec::new();
    for path in paths {
        let line = pattern(path);
        let is_there = || {
            written
                .split(|byte| *byte == b'\n')
                .any(|known| known == line)
        };
        if !tree.ignores(path) && !is_there() {
            missing.push(line);
        }
    }
    if !missing.is_empty() {
        let bytes = addition(&written, &missing);
        files::append(&file, &bytes).map_err(|error| failure(&file, "write", &error))?;
    }
    Ok(missing)
}

/// The ignore file of a directory, and what is in it.
fn written(directory: &Path) -> Result<(PathBuf, Vec<u8>), Failure> {
    let file = directory.join(".gitignore");
    match files::read(&file) {
        Ok(bytes) => Ok((file, bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((file, Vec::new())),
        Err(error) => Err(failure(&file, "read", &error)),
    }
}

/// The pattern of this path and of hardly any other: gitignore(5).
fn pattern(path: &Path) -> Vec<u8> {
    let mut pattern = vec![b'/'];
    for byte in path.as_os_str().as_bytes() {
        match byte {
            // A line cannot have them.
            b'\n' | b'\r' => pattern.push(b'?'),
            b'\\' | b'*' | b'?' | b'[' | b' ' => pattern.extend([b'\\', *byte]),
            _ => pattern.push(*byte),
        }
    }
    pattern
}

fn addition(written: &[u8], lines: &[Vec<u8>]) -> Vec<u8> {
    let newline: &[u8] = if written.is_empty() || written.ends_with(b"\n") {
        b""
    } else {
        b"\n"
    };
    let comment =
        b"# hushpipe: what opens the sealed store, and what may have values in plain text.\n";
    [newline, comment, &lines.join(&b'\n'), b"\n"].concat()
}

fn failure(file: &Path, doing: &str, error: &io::Error) -> Failure {
    let text = format!("cannot {doing} {}\n  cause: {error}", shown(file));
    Failure::text(Exit::Os, text)
}
