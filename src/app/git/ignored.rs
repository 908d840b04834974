//! Which paths of a work tree its ignore files name.

use std::path::{Path, PathBuf};

use super::super::files::read;
use crate::formats::ignore::verdict;

/// The ignore files of a work tree.
pub(super) struct Rules<'a> {
    top: &'a Path,
    /// Patterns of `$GIT_DIR/info/exclude`, which come after those of all `.gitignore` files.
    exclude: Vec<u8>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(top: &'a Path, exclude: &Path) -> Self {
        let exclude = read(exclude).unwrap_or_default();
        Self { top, exclude }
    }

    /// Whether a path, relative to the top, or a directory above it is ignored.
    pub(super) fn ignore(&self, path: &Path) -> bool {
        let mut prefixes: Vec<&Path> = path.ancestors().collect();
        // The last one is the top itself, the first one the path.
        prefixes.pop();
        let mut directories = prefixes.iter().skip(1).rev();
        directories.any(|directory| self.names(directory, true))
            || self.names(path, self.top.join(path).is_dir())
    }

    /// Whether the last pattern that matches a path ignores it: that of the nearest file counts.
    fn names(&self, path: &Path, is_directory: bool) -> bool {
        for above in path.ancestors().skip(1) {
            let file = self.top.join(above).join(".gitignore");
            let patterns = read(&file).unwrap_or_default();
            let below: PathBuf = path
                .strip_prefix(above)
                .map(Path::to_owned)
                .unwrap_or_default();
            if let Some(ignored) = verdict(&patterns, &below, is_directory) {
                return ignored;
            }
        }
        verdict(&self.exclude, path, is_directory).unwrap_or(false)
    }
}
