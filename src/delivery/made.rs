//! Directories of hushpipe's own making: what tells them from those of others, also to the next
//! hushpipe after one that was killed.
//!
//! Each has a marker, `.hushpipe`, that is locked by flock(2) for as long as somebody uses it, and
//! says how many of the directories above were made with it. To be whole at any moment, a directory
//! is made, and taken away, under another name beside its place: `.hushpipe-` and a number that
//! follows from its path. What lies there unlocked is of a dead one, and goes at the next start.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::DeliveryFault;
use super::error::system;
use crate::sys::filesystem::{self, Kind};

/// Held with a flock(2) by each hushpipe that uses the directory.
pub(super) const MARKER: &str = ".hushpipe";

/// How long what a kill took along may take to die.
const DYING: Duration = Duration::from_secs(1);

/// How often a start that meets another's tries again.
const TRIES: usize = 100;

/// How a directory is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// By one hushpipe alone: its files are in it.
    Exclusive,
    /// By each that mounts on it in a mount namespace of its own.
    Shared,
}

impl Lock {
    pub(super) fn take(self, marker: &OwnedFd) -> io::Result<bool> {
        match self {
            Self::Exclusive => filesystem::try_lock(marker),
            Self::Shared => filesystem::try_lock_shared(marker),
        }
    }

    /// As [`Lock::take`], with patience: the child of a hushpipe that was just killed has its locks for
    /// as long as it takes to die.
    pub(super) fn take_in_time(self, marker: &OwnedFd) -> io::Result<bool> {
        let patience = Instant::now() + DYING;
        loop {
            let taken = self.take(marker)?;
            if taken || Instant::now() > patience {
                return Ok(taken);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A directory that was just made.
pub(super) struct Made {
    pub(super) directory: OwnedFd,
    /// Its lock goes with it.
    pub(super) marker: OwnedFd,
    /// How many directories above it were made as well.
    pub(super) above: usize,
}

/// Makes a directory with these permission bits, and what is missing above it with 0755, in one step.
/// `None`: it is there already. What a dead hushpipe left of it on its way goes.
pub(super) fn make(path: &Path, mode: u32, lock: Lock) -> Result<Option<Made>, DeliveryFault> {
    for _ in 0..TRIES {
        remove_unfinished(path).map_err(system("cannot remove what a dead hushpipe left of it"))?;
        let missing = missing(path).map_err(system("cannot look at it"))?;
        let Some(top) = missing.last() else {
            return Ok(None);
        };
        let unfinished = unfinished(path, top);
        if let Some(made) = build(path, &unfinished, &missing, mode, lock)? {
            match filesystem::rename_new(&unfinished, top) {
                Ok(()) => return Ok(Some(made)),
                // Somebody made it meanwhile.
                Err(error) if is_taken(&error) => drop(made),
                Err(source) => {
                    drop(made);
                    remove_unfinished(path).ok();
                    return Err(super::mount_points::cannot_make(path, source));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(DeliveryFault::Host(
        "another hushpipe makes or removes it at this moment: start again".to_owned(),
    ))
}

fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty)
}

/// All of it under another name. `None`: another hushpipe is at it.
fn build(
    path: &Path,
    unfinished: &Path,
    missing: &[&Path],
    mode: u32,
    lock: Lock,
) -> Result<Option<Made>, DeliveryFault> {
    let above = missing.len() - 1;
    let mode_of = |left: usize| if left == 0 { mode } else { 0o755 };
    let mut directory = match filesystem::make_directory(unfinished, mode_of(above)) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(source) => return Err(super::mount_points::cannot_make(path, source)),
    };
    let mut finish = || -> io::Result<Option<Made>> {
        if !is_held(&directory)? {
            return Ok(None);
        }
        // Until the marker is locked.
        let _held = directory.try_clone()?;
        for (left, below) in missing.iter().enumerate().take(above).rev() {
            let name = below.file_name().unwrap_or_default();
            directory = filesystem::make_directory_at(&directory, name, mode_of(left))?;
        }
        let marker = filesystem::open_marker_at(&directory, MARKER)?;
        if !lock.take(&marker)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        std::fs::File::from(marker.try_clone()?).write_all(format!("made {above}\n").as_bytes())?;
        Ok(Some(Made {
            directory: directory.try_clone()?,
            marker,
            above,
        }))
    };
    finish().map_err(|source| {
        take_apart(path, unfinished).ok();
        system("cannot make it")(source)
    })
}

/// Locks a directory that is being made: whoever sweeps looks at this lock first.
fn is_held(directory: &OwnedFd) -> io::Result<bool> {
    Ok(filesystem::try_lock(directory)? && filesystem::status(directory)?.links > 0)
}

/// What a marker says of how many directories above its own were made with it; `None` where its
/// directory was there before hushpipe.
pub(super) fn recorded(marker: &OwnedFd) -> io::Result<Option<usize>> {
    let mut file = std::fs::File::from(marker.try_clone()?);
    file.rewind()?;
    let mut text = String::new();
    // Whatever else it may hold is not hushpipe's.
    file.take(64).read_to_string(&mut text).ok();
    let number = text
        .strip_prefix("made ")
        .and_then(|rest| rest.strip_suffix('\n'));
    Ok(number.and_then(|number| number.parse().ok()))
}

/// Removes a directory that is empty but for its marker, and those above it that were made with it and
/// are empty.
pub(super) fn remove(path: &Path, above: usize) -> io::Result<()> {
    let top = path.ancestors().nth(above).unwrap_or(path);
    let unfinished = unfinished(path, top);
    match filesystem::rename_new(path, &unfinished) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Another's mount, or what is left of one that was killed: as good as it can be done.
        Err(_) => return remove_in_place(path, above),
    }
    // Those above first: while it is there, its marker tells the next start of them.
    let mut result = remove_above(path, above);
    let removed = empty_and_remove(&unfinished);
    if removed.is_err() {
        // What others put there is not lost from sight.
        put_back(path, &unfinished).ok();
        result = removed;
    }
    result
}

/// Makes what was above it anew.
fn put_back(path: &Path, unfinished: &Path) -> io::Result<()> {
    for directory in missing(path)?.into_iter().skip(1).rev() {
        filesystem::make_directory(directory, 0o755)?;
    }
    filesystem::rename_new(unfinished, path)
}

fn remove_in_place(path: &Path, above: usize) -> io::Result<()> {
    empty_and_remove(path)?;
    remove_above(path, above)
}

fn empty_and_remove(directory: &Path) -> io::Result<()> {
    filesystem::unlink(&directory.join(MARKER))?;
    filesystem::remove_directory(directory)
}

/// Those that hold something of others stay.
fn remove_above(path: &Path, above: usize) -> io::Result<()> {
    for directory in path.ancestors().skip(1).take(above) {
        match filesystem::remove_directory(directory) {
            Err(error) if is_taken(&error) => break,
            // Whoever was killed here had come so far.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Removes what a dead hushpipe was making, or taking away.
pub(super) fn remove_unfinished(path: &Path) -> io::Result<()> {
    // Its parent: whichever directory was the last that stood.
    for top in path.ancestors() {
        let unfinished = unfinished(path, top);
        let is_there = filesystem::status_of_path(&unfinished);
        if !is_there.is_ok_and(|status| status.is_some_and(|is| is.kind == Kind::Directory)) {
            continue;
        }
        let directory = filesystem::open_directory(&unfinished)?;
        if !filesystem::try_lock(&directory)? {
            continue;
        }
        let marker = filesystem::status_at(&directory, MARKER)?;
        if marker.is_some() {
            let marker = filesystem::open_marker_at(&directory, MARKER)?;
            if !filesystem::try_lock(&marker)? {
                continue;
            }
            if let Some(above) = recorded(&marker)? {
                remove_above(path, above)?;
                empty_and_remove(&unfinished)?;
                continue;
            }
        }
        take_apart(path, &unfinished)?;
    }
    Ok(())
}

/// A chain of directories that was not finished, from its deepest one on.
fn take_apart(path: &Path, unfinished: &Path) -> io::Result<()> {
    let parent = unfinished.parent().unwrap_or_else(|| Path::new("/"));
    let below: Vec<_> = path
        .strip_prefix(parent)
        .into_iter()
        .flat_map(Path::components)
        .skip(1)
        .collect();
    for depth in (0..=below.len()).rev() {
        let directory = below[..depth]
            .iter()
            .fold(unfinished.to_owned(), |at, name| at.join(name));
        filesystem::unlink(&directory.join(MARKER))?;
        filesystem::remove_directory(&directory)?;
    }
    Ok(())
}

/// The directories that are not there, the deepest first.
fn missing(path: &Path) -> io::Result<Vec<&Path>> {
    let mut missing = Vec::new();
    for ancestor in path.ancestors() {
        if filesystem::status_of_path(ancestor)?.is_some() {
            break;
        }
        missing.push(ancestor);
    }
    Ok(missing)
}

/// The name under which `path` is made and taken away, beside `top`.
pub(super) fn unfinished(path: &Path, top: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let name = format!("{MARKER}-{:016x}", hasher.finish());
    top.parent().unwrap_or_else(|| Path::new("/")).join(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_being_taken_away_is_gone_after_the_next_start() {
        for above_is_gone in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let (top, path) = (root.path().join("deep"), root.path().join("deep/er"));
            let first = make(&path, 0o755, Lock::Exclusive).unwrap().unwrap();
            assert_eq!(first.above, 1);
            // Killed on its way.
            drop(first);
            fs::rename(&path, unfinished(&path, &top)).unwrap();
            if above_is_gone {
                fs::remove_dir(&top).unwrap();
            }
            let next = make(&path, 0o755, Lock::Exclusive).unwrap().unwrap();
            assert_eq!(next.above, 1);
            remove(&path, next.above).unwrap();
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_lock_that_one_who_dies_still_has_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("one");
        let dying = make(&path, 0o755, Lock::Exclusive).unwrap().unwrap();
        let next = filesystem::open_marker_at(&dying.directory, MARKER).unwrap();
        assert!(!Lock::Exclusive.take(&next).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                drop(dying);
            });
            assert!(Lock::Exclusive.take_in_time(&next).unwrap());
        });
    }

    #[test]
    fn what_others_put_there_stays_in_its_place() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/er");
        let made = make(&path, 0o755, Lock::Exclusive).unwrap().unwrap();
        fs::write(path.join("theirs"), "x").unwrap();
        let refused = remove(&path, made.above).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::DirectoryNotEmpty);
        assert_eq!(fs::read_to_string(path.join("theirs")).unwrap(), "x");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
