//! Symbolic links on the way to a path: a deployment flips one, and the path leads elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As the kernel's own limit, path_resolution(7).
const MAX_LINKS: usize = 40;

/// The links that resolving a path goes through, as far as it can be resolved now: the directories
/// that they stand in, and their names.
pub(super) fn links(path: &Path) -> BTreeMap<PathBuf, BTreeSet<OsString>> {
    let mut found: BTreeMap<PathBuf, BTreeSet<OsString>> = BTreeMap::new();
    let Ok(path) = std::path::absolute(path) else {
        return found;
    };
    let mut here = PathBuf::from("/");
    let mut todo = parts(&path);
    let mut count = 0;
    while let Some(name) = todo.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        let Ok(target) = fs::read_link(&next) else {
            here = next;
            continue;
        };
        count += 1;
        if count > MAX_LINKS {
            break;
        }
        found.entry(here.clone()).or_default().insert(name);
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        todo.extend(parts(&target));
    }
    found
}

/// The parts of a path, the first one last.
pub(super) fn parts(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_of_links_are_found_where_they_stand() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("releases/1/secrets")).unwrap();
        symlink("releases/1", top.join("current")).unwrap();
        symlink(top.join("current/secrets"), top.join("releases/link")).unwrap();

        let found = links(&top.join("releases/link/a"));
        let names = |name: &str| BTreeSet::from([OsString::from(name)]);
        let expected = [
            (top.clone(), names("current")),
            (top.join("releases"), names("link")),
        ];
        assert_eq!(found, BTreeMap::from(expected));
        assert_eq!(links(&top.join("releases/1/secrets")), BTreeMap::new());
    }

    #[test]
    fn a_link_to_itself_ends() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        symlink("loop", top.join("loop")).unwrap();
        assert_eq!(links(&top.join("loop/a")).len(), 1);
    }
}
