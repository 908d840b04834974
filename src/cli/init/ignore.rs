//! `.gitignore`: what opens the store and what has values in plain text stays out of repositories.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::super::Failure;
use super::report::Report;
use crate::app::git::WorkTree;
use crate::model::Exit;

/// Sees to it that git ignores these paths, relative to a directory: lines are added to its
/// `.gitignore`, but for what is ignored already. Tells of it, and where git ignores the store too.
pub fn see_to(
    tree: WorkTree<'_>,
    directory: &Path,
    paths: &[String],
    store: &str,
    report: &mut Report,
) -> Result<(), Failure> {
    let added = add_missing(tree, directory, paths)?;
    if !added.is_empty() {
        report.line("gitignore", &format!("added {}", added.join(", ")));
    }
    if !store.is_empty() && tree.ignores(store) {
        let text = format!("git ignores {store}: it has ciphertext alone, and may be committed");
        report.line("git", &text);
    }
    Ok(())
}

fn add_missing(
    tree: WorkTree<'_>,
    directory: &Path,
    paths: &[String],
) -> Result<Vec<String>, Failure> {
    let file = directory.join(".gitignore");
    let written = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failure(&file, "read", &error)),
    };
    let mut missing = Vec::new();
    for path in paths {
        let line = format!("/{path}");
        if !tree.ignores(path) && !written.lines().any(|known| known == line) {
            missing.push(line);
        }
    }
    if !missing.is_empty() {
        let text = addition(&written, &missing);
        append(&file, &text).map_err(|error| failure(&file, "write", &error))?;
    }
    Ok(missing)
}

fn addition(written: &str, lines: &[String]) -> String {
    let newline = if written.is_empty() || written.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!(
        "{newline}# hushpipe: what opens the sealed store, and what may have values in plain text.\n{}\n",
        lines.join("\n")
    )
}

fn append(file: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().append(true).create(true).open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn failure(file: &Path, doing: &str, error: &io::Error) -> Failure {
    let text = format!("cannot {doing} {}\n  cause: {error}", file.display());
    Failure::text(Exit::Os, text)
}
