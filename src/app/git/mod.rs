//! What git would say of a directory, read from its files. git itself is not run, as it executes what
//! the work tree's own configuration names (`core.fsmonitor`, hooks, drivers, transports), and which
//! program is called git depends on a `PATH` that package managers extend with directories of the
//! project. Only a merge, which a person began with git, and a scan of
//! the history ask it for its objects.

mod blobs;
#[cfg(feature = "scan")]
mod history;
mod ignored;
mod index;

pub use blobs::blob;
#[cfg(feature = "scan")]
pub use history::history;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::files::read;
use ignored::Rules;

/// A directory within a work tree.
#[derive(Clone, Debug)]
pub struct WorkTree {
    /// The directory, without links.
    directory: PathBuf,
    /// Where `.git` is.
    top: PathBuf,
    /// The repository of this work tree.
    git: PathBuf,
    /// The repository that it shares with others, if it is a linked work tree.
    common: PathBuf,
}

impl WorkTree {
    /// Returns `None` if no `.git` is in the directory or above it. `GIT_DIR` and its like are ignored.
    pub fn of(directory: &Path) -> Option<Self> {
        let directory = directory.canonicalize().ok()?;
        let has_git = |path: &&Path| path.join(".git").symlink_metadata().is_ok();
        let top = directory.ancestors().find(has_git)?.to_owned();
        let git = repository(&top);
        let common = path_in(&git.join("commondir"), "").map(|path| git.join(path));
        Some(Self {
            common: common.unwrap_or_else(|| git.clone()),
            git,
            top,
            directory,
        })
    }

    /// Whether the project's ignore files keep git from adding a path, relative to the directory, if it
    /// were new. The user's own ignore file is not asked: others who clone the project do not have it.
    pub fn ignores(&self, path: &Path) -> bool {
        let Some(path) = self.below_top(path) else {
            return false;
        };
        Rules::new(&self.top, &self.common.join("info/exclude")).ignore(&path)
    }

    /// Whether git has a version of it: whether it is in the index.
    pub fn tracks(&self, path: &Path) -> bool {
        let Some(path) = self.below_top(path) else {
            return false;
        };
        let config = read(&self.common.join("config")).unwrap_or_default();
        let config = String::from_utf8_lossy(&config).to_ascii_lowercase();
        let is_sha256 = config
            .lines()
            .any(|line| line.contains("objectformat") && line.contains("sha256"));
        let digest = if is_sha256 { 32 } else { 20 };
        index::has(&self.git, digest, path.as_os_str().as_bytes())
    }

    fn below_top(&self, path: &Path) -> Option<PathBuf> {
        let path = self.directory.join(path);
        path.strip_prefix(&self.top).map(Path::to_owned).ok()
    }
}

/// `.git` is the repository, or a file that says where it is: gitrepository-layout(5).
fn repository(top: &Path) -> PathBuf {
    let git = top.join(".git");
    path_in(&git, "gitdir:").map_or(git, |path| top.join(path))
}

/// The path that a small file consists of, after a word.
fn path_in(file: &Path, word: &str) -> Option<PathBuf> {
    let bytes = read(file).ok()?;
    let path = bytes.strip_prefix(word.as_bytes())?.trim_ascii();
    (path.len() < 4096).then(|| PathBuf::from(std::ffi::OsStr::from_bytes(path)))
}

#[cfg(test)]
mod tests;
