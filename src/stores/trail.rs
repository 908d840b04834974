//! Where a path leads through: the directories on the way, and the names in them that can lead it
//! elsewhere. A deployment flips a link, renames a directory or puts another one into its place.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};

/// As the kernel's own limit, path_resolution(7).
const MAX_LINKS: usize = 40;

/// What is looked up in a directory, each with the places of the sources that it leads to.
pub(super) type Names = BTreeMap<OsString, BTreeSet<usize>>;

/// What matters in a directory on the way. One without names matters as a whole: if it is moved or
/// removed, the path leads elsewhere.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OnTheWay {
    /// These names lead further.
    pub names: Names,
    /// It is these of the directories that are wanted: any entry may matter.
    pub wanted: BTreeSet<usize>,
}

impl OnTheWay {
    /// Whether any entry may matter, or only the directory itself.
    pub fn matters(&self) -> bool {
        !self.names.is_empty() || !self.wanted.is_empty()
    }

    /// What matters for another path to the same directory matters as well.
    pub fn extend(&mut self, other: &Self) {
        for (name, places) in &other.names {
            self.names.entry(name.clone()).or_default().extend(places);
        }
        self.wanted.extend(&other.wanted);
    }
}

/// All directories on the way to some paths.
pub(super) type Trail = BTreeMap<PathBuf, OnTheWay>;

/// Follows a path through all links, as far as it can be resolved now. Names are noted from the directory
/// above `base` on; above that, those of links alone: a directory that many others use, such as /tmp, is
/// not to wake anybody with each of its entries. Gives the directory that the path leads to, if it is one.
pub(super) fn follow(
    base: &Path,
    path: &Path,
    places: &[usize],
    trail: &mut Trail,
) -> Option<PathBuf> {
    let above = base.parent().map_or(0, |above| parts(above).len());
    let mut todo: Vec<(OsString, bool)> =
        parts(path).into_iter().map(|name| (name, true)).collect();
    let from = todo.len().saturating_sub(above);
    for (_, noted) in todo.iter_mut().skip(from) {
        *noted = false;
    }
    let mut here = PathBuf::from("/");
    let mut links = 0;
    while let Some((name, noted)) = todo.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        let found = fs::symlink_metadata(&next).ok();
        if noted || !found.as_ref().is_some_and(Metadata::is_dir) {
            note(&here, &name, places, trail);
        } else {
            trail.entry(here.clone()).or_default();
        }
        let Some(found) = found else {
            // The directory that it would come in may go as well.
            if let (Some(above), Some(name)) = (here.parent(), here.file_name()) {
                note(above, name, places, trail);
            }
            return None;
        };
        if found.is_dir() {
            here = next;
            continue;
        }
        let target = fs::read_link(&next).ok()?;
        links += 1;
        if links > MAX_LINKS {
            return None;
        }
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        let last = todo.len();
        todo.extend(parts(&target).into_iter().map(|name| (name, false)));
        if let Some((_, last)) = todo.get_mut(last) {
            *last = noted;
        }
    }
    trail.entry(here.clone()).or_default();
    Some(here)
}

fn note(directory: &Path, name: &OsStr, places: &[usize], trail: &mut Trail) {
    let names = &mut trail.entry(directory.to_owned()).or_default().names;
    names.entry(name.to_owned()).or_default().extend(places);
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
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

    fn names(trail: &Trail, directory: &Path) -> Vec<String> {
        let names = trail[directory].names.keys();
        names
            .map(|name| name.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn links_of_links_are_found_where_they_stand() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("releases/1/secrets")).unwrap();
        symlink("releases/1", top.join("current")).unwrap();
        symlink(top.join("current/secrets"), top.join("releases/link")).unwrap();

        let (mut trail, base) = (Trail::new(), top.join("releases/link/a"));
        assert_eq!(follow(&base, &base, &[0], &mut trail), None);
        assert_eq!(names(&trail, &top), ["current"]);
        assert_eq!(names(&trail, &top.join("releases")), ["link"]);
        assert_eq!(names(&trail, &top.join("releases/1")), ["secrets"]);
        assert_eq!(names(&trail, &top.join("releases/1/secrets")), ["a"]);
        assert!(names(&trail, Path::new("/")).is_empty());
    }

    #[test]
    fn a_directory_that_many_use_is_on_the_way_without_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        let base = top.join("app/secrets");
        fs::create_dir_all(base.join("db")).unwrap();
        let mut trail = Trail::new();
        let end = follow(&base, &base.join("db"), &[0], &mut trail);
        assert_eq!(end, Some(base.join("db")));
        assert!(names(&trail, &top).is_empty());
        assert_eq!(names(&trail, &top.join("app")), ["secrets"]);
        assert_eq!(names(&trail, &base), ["db"]);
        assert!(names(&trail, &base.join("db")).is_empty());
    }

    #[test]
    fn a_link_to_itself_ends() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        symlink("loop", top.join("loop")).unwrap();
        let mut trail = Trail::new();
        let path = top.join("loop/a");
        assert_eq!(follow(&path, &path, &[0], &mut trail), None);
        assert_eq!(names(&trail, &top), ["loop"]);
    }
}
