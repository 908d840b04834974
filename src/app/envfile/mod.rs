//! .env files that `hushpipe init` takes over: their values go into the sealed store, and a template
//! of the same lines into the manifest. Values stay in this room; names leave it, and the lines of
//! those variables that are to stay readable.

mod advice;
mod file;
mod lines;
mod named;
mod settle;
mod takeover;

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

pub use advice::{Advice, Variable};
pub use file::EnvFile;
pub use lines::Lines;
pub use takeover::{Taken, Takeover};

/// Samples that are made to be shared.
const SAMPLES: [&str; 6] = [
    "example", "sample", "template", "dist", "defaults", "schema",
];

/// The .env files of a directory.
#[derive(Debug, Default)]
pub struct EnvFiles {
    /// `.env` first, then `.env.local` and the like by name; samples are left out.
    pub files: Vec<PathBuf>,
    /// What has such a name and is no file, with what it is.
    pub skipped: Vec<(PathBuf, &'static str)>,
}

/// Finds the .env files of a directory. A link to something that is there was dealt with already.
pub fn find(directory: &Path) -> io::Result<EnvFiles> {
    let mut found = EnvFiles::default();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        // What is not UTF-8 in a name decides nothing here.
        let text = name.to_string_lossy();
        let parts: Vec<&str> = text.split('.').skip(1).collect();
        let is_one = text.starts_with(".env") && parts.first() == Some(&"env");
        let is_sample = parts.iter().any(|part| SAMPLES.contains(part));
        if !is_one || is_sample {
            continue;
        }
        // Not `./.env`.
        let path = directory.join(&name);
        let path = path.components().skip_while(is_here).collect();
        match what_it_is(&entry)? {
            None => found.files.push(path),
            Some("") => {}
            Some(what) => found.skipped.push((path, what)),
        }
    }
    found.files.sort();
    found.skipped.sort();
    Ok(found)
}

/// `None` for a file; nothing to say of a link that leads somewhere, or of directories such as `.env.d`.
fn what_it_is(entry: &fs::DirEntry) -> io::Result<Option<&'static str>> {
    let kind = entry.file_type()?;
    Ok(match () {
        () if kind.is_file() => None,
        () if kind.is_symlink() && entry.path().exists() => Some(""),
        () if kind.is_symlink() => Some("a link to a file that is not there"),
        () if kind.is_dir() && entry.file_name() == ".env" => Some("a directory"),
        () if kind.is_dir() => Some(""),
        () if kind.is_fifo() => Some("a FIFO"),
        () => Some("no regular file"),
    })
}

fn is_here(component: &Component<'_>) -> bool {
    *component == Component::CurDir
}

#[cfg(test)]
mod tests;
