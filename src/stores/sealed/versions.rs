//! One secret's directory: its versions, which of them is current, and what happened to them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use crate::sys::durable::{
    make_directories_below, remove_if_there, rename_without_replacing, sync_names, write_new,
};

/// The link to the current version.
pub const CURRENT: &str = "current.age";
/// Written and synced before it gets its number; only who holds the lock has one.
const NEW: &str = ".new";
const NEW_CURRENT: &str = ".new-current";
/// One line for each event: `TIME EVENT VERSION`. For people; nothing else depends on it.
const HISTORY: &str = ".history";

/// One secret's directory.
#[derive(Clone)]
pub struct Versions {
    path: PathBuf,
}

/// The directory, with the lock that writers hold. Ends with the value, or with the process.
pub struct Locked {
    versions: Versions,
    directory: File,
}

/// Something that happened to a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: What,
    /// To which version, or which it became.
    pub version: u64,
}

/// What happened to a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A version was written, and became the current one.
    Set,
    /// An older version became the current one.
    RolledBack,
    /// The file was put there by something else than hushpipe.
    Found,
}

impl What {
    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::RolledBack => "rolled-back",
            Self::Found => "found",
        }
    }
}

impl Versions {
    /// The directory of the secret with this path; it need not be there.
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The age file of a version.
    pub fn file(&self, version: u64) -> PathBuf {
        self.path.join(format!("{version}.age"))
    }

    /// All versions that are there, ascending. None where there is no directory.
    pub fn list(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut versions = Vec::new();
        for entry in entries {
            versions.extend(entry?.file_name().to_str().and_then(version_of));
        }
        versions.sort_unstable();
        Ok(versions)
    }

    /// The current version: what the link names; without a link (files of another tool) the highest.
    pub fn current(&self) -> io::Result<Option<u64>> {
        match fs::read_link(self.path.join(CURRENT)) {
            Ok(target) => target
                .to_str()
                .and_then(version_of)
                .map(Some)
                .ok_or_else(|| io::Error::other("current.age does not link to a version")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.list()?.pop()),
            // Not a link: a checkout on a file system without links.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Err(io::Error::other("current.age is not a link"))
            }
            Err(error) => Err(error),
        }
    }

    /// What happened, oldest first. Versions that the history does not know are told by their file.
    pub fn history(&self) -> io::Result<Vec<Happened>> {
        let text = match fs::read_to_string(self.path.join(HISTORY)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut events: Vec<Happened> = text.lines().filter_map(read_event).collect();
        for version in self.list()? {
            let known = |event: &Happened| event.version == version && event.what == What::Set;
            if !events.iter().any(known) {
                events.push(Happened {
                    at: fs::metadata(self.file(version))?.modified()?,
                    what: What::Found,
                    version,
                });
            }
        }
        events.sort_by_key(|event| event.at);
        Ok(events)
    }

    /// Whether there is something of it: a version, or what a removal that was interrupted left.
    pub fn is_there(&self) -> io::Result<bool> {
        Ok(!self.list()?.is_empty() || fs::symlink_metadata(self.path.join(CURRENT)).is_ok())
    }

    /// When the current version became it.
    pub fn changed(&self, current: u64) -> io::Result<SystemTime> {
        let link = fs::symlink_metadata(self.path.join(CURRENT));
        link.or_else(|_| fs::metadata(self.file(current)))?
            .modified()
    }

    /// Locks the directory against other writers, where it is there.
    pub fn lock(&self) -> io::Result<Option<Locked>> {
        loop {
            let directory = match File::open(&self.path) {
                Ok(directory) => directory,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            flock(&directory, FlockOperation::LockExclusive)?;
            // Whoever had the lock may have removed the directory.
            let locked = directory.metadata()?;
            match fs::metadata(&self.path) {
                Ok(named) if named.ino() == locked.ino() && named.dev() == locked.dev() => {
                    return Ok(Some(Locked {
                        versions: self.clone(),
                        directory,
                    }));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }

    /// Takes directories away that are empty, from the secret's up to `root`: what a removal that was
    /// interrupted may have left.
    pub fn remove_empty(&self, root: &Path) -> io::Result<()> {
        remove_empty(&self.path, root)
    }

    /// Locks the directory against other writers, and makes it (0700) where it is not there.
    /// `root` is where the store ends; it must be there.
    pub fn lock_or_make(&self, root: &Path) -> io::Result<Locked> {
        loop {
            make_directories_below(root, &self.path, 0o700)?;
            if let Some(locked) = self.lock()? {
                return Ok(locked);
            }
        }
    }
}

impl Locked {
    /// Writes a new version and makes it the current one; gives its number. When this returns, it is
    /// on the disk. Another version is never overwritten.
    pub fn add(&self, sealed: &[u8]) -> io::Result<u64> {
        let path = &self.versions.path;
        let new = path.join(NEW);
        write_new(&new, sealed, 0o600)?;
        let mut version = self.versions.list()?.pop().unwrap_or(0) + 1;
        loop {
            match rename_without_replacing(&new, &self.versions.file(version)) {
                Ok(()) => break,
                // Put there by another tool, which knows nothing of the lock.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => version += 1,
                Err(error) => {
                    fs::remove_file(&new)?;
                    return Err(error);
                }
            }
        }
        // It is on the disk before anything leads to it: file systems order names as they like.
        sync_names(&self.directory)?;
        self.point_to(version)?;
        self.note(What::Set, version)?;
        Ok(version)
    }

    /// Leaves the current version as it is, and nothing of what a killed writer began.
    pub fn finish(&self, current: u64) -> io::Result<()> {
        remove_if_there(&self.versions.path.join(NEW))?;
        self.point_to(current)
    }

    /// Makes an older version the current one.
    pub fn roll_back(&self, version: u64) -> io::Result<()> {
        self.point_to(version)?;
        self.note(What::RolledBack, version)
    }

    /// Puts other bytes in the place of a version's file (the same value, sealed anew) and keeps its
    /// time.
    pub fn reseal(&self, version: u64, sealed: &[u8]) -> io::Result<()> {
        let (new, file) = (self.versions.path.join(NEW), self.versions.file(version));
        let time = fs::metadata(&file)?.modified()?;
        write_new(&new, sealed, 0o600)?.set_modified(time)?;
        fs::rename(&new, &file)?;
        sync_names(&self.directory)
    }

    /// Removes all versions, and the directories that are empty after it, up to `root`.
    pub fn remove(self, root: &Path) -> io::Result<()> {
        let path = &self.versions.path;
        // The current one goes first: without it there is no value any more. The link goes last, when
        // they are gone from the disk: when this is interrupted, no older version becomes current.
        let current = self.versions.current().ok().flatten();
        for version in current.into_iter().chain(self.versions.list()?) {
            remove_if_there(&self.versions.file(version))?;
        }
        sync_names(&self.directory)?;
        for name in [HISTORY, NEW, NEW_CURRENT, CURRENT] {
            remove_if_there(&path.join(name))?;
        }
        sync_names(&self.directory)?;
        remove_empty(path, root)
    }

    /// Ends the lock; takes the directories away that were made for a write that failed.
    pub fn abandon(self, root: &Path) -> io::Result<()> {
        remove_empty(&self.versions.path, root)
    }

    fn point_to(&self, version: u64) -> io::Result<()> {
        let path = &self.versions.path;
        let new = path.join(NEW_CURRENT);
        remove_if_there(&new)?;
        symlink(format!("{version}.age"), &new)?;
        fs::rename(&new, path.join(CURRENT))?;
        sync_names(&self.directory)
    }

    fn note(&self, what: What, version: u64) -> io::Result<()> {
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        let mut history = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.versions.path.join(HISTORY))?;
        // A power cut may have taken the end of the last line: this one starts at its own.
        let end = if is_cut_off(&history)? { "\n" } else { "" };
        let line = format!("{end}{now} {} {version}\n", what.word());
        history.write_all(line.as_bytes())
    }
}

fn is_cut_off(history: &File) -> io::Result<bool> {
    let Some(last) = history.metadata()?.len().checked_sub(1) else {
        return Ok(false);
    };
    let mut byte = [0];
    history.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

/// `12.age` is version 12. `012.age`, `0.age` and the rest are no versions.
pub fn version_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".age")?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    number.parse().ok().filter(|_| plain)
}

/// A line of `.history`; `None`: it is none.
pub fn read_event(line: &str) -> Option<Happened> {
    let mut words = line.split(' ');
    let at = humantime::parse_rfc3339(words.next()?).ok()?;
    let word = words.next()?;
    let what = [What::Set, What::RolledBack]
        .into_iter()
        .find(|what| what.word() == word)?;
    let version = words.next()?.parse().ok()?;
    Some(Happened { at, what, version })
}

fn remove_empty(path: &Path, root: &Path) -> io::Result<()> {
    let mut path = path;
    while path != root {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        path = parent;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> (tempfile::TempDir, Versions) {
        let root = tempfile::tempdir().unwrap();
        let versions = Versions::at(root.path().join("a/b"));
        (root, versions)
    }

    #[test]
    fn versions_count_up_and_current_follows() {
        let (root, versions) = secret();
        assert_eq!(versions.current().unwrap(), None);
        for expected in 1..=12 {
            let locked = versions.lock_or_make(root.path()).unwrap();
            assert_eq!(locked.add(b"sealed").unwrap(), expected);
        }
        assert_eq!(versions.current().unwrap(), Some(12));
        assert_eq!(versions.list().unwrap(), (1..=12).collect::<Vec<_>>());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(versions.path()), 0o700);
        assert_eq!(mode(&versions.file(3)), 0o600);
    }

    #[test]
    fn a_rollback_moves_current_and_the_next_version_is_a_new_one() {
        let (root, versions) = secret();
        let locked = versions.lock_or_make(root.path()).unwrap();
        locked.add(b"one").unwrap();
        locked.add(b"two").unwrap();
        locked.roll_back(1).unwrap();
        assert_eq!(versions.current().unwrap(), Some(1));
        assert_eq!(locked.add(b"three").unwrap(), 3);
        assert_eq!(versions.current().unwrap(), Some(3));
        let events: Vec<_> = versions.history().unwrap();
        let events: Vec<_> = events
            .iter()
            .map(|event| (event.what.word(), event.version))
            .collect();
        assert_eq!(
            events,
            [("set", 1), ("set", 2), ("rolled-back", 1), ("set", 3)]
        );
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_and_never_seen() {
        let (root, versions) = secret();
        let locked = versions.lock_or_make(root.path()).unwrap();
        locked.add(b"one").unwrap();
        fs::write(versions.path().join(NEW), b"half").unwrap();
        symlink("9.age", versions.path().join(NEW_CURRENT)).unwrap();
        assert_eq!(versions.current().unwrap(), Some(1));
        assert_eq!(locked.add(b"two").unwrap(), 2);
        assert!(!versions.path().join(NEW).exists());
        assert_eq!(fs::read(versions.file(2)).unwrap(), b"two");
    }

    #[test]
    fn a_history_whose_end_is_lost_takes_the_next_line() {
        let (root, versions) = secret();
        let locked = versions.lock_or_make(root.path()).unwrap();
        locked.add(b"one").unwrap();
        let history = versions.path().join(HISTORY);
        let whole = fs::read(&history).unwrap();
        fs::write(&history, &whole[..whole.len() - 3]).unwrap();
        locked.add(b"two").unwrap();
        let events = versions.history().unwrap();
        let known: Vec<_> = events.iter().map(|event| event.version).collect();
        assert_eq!(known, [1, 2]);
        assert_eq!(events[1].what, What::Set);
    }

    #[test]
    fn what_an_interrupted_removal_left_is_no_value_and_can_be_removed() {
        let (root, versions) = secret();
        let locked = versions.lock_or_make(root.path()).unwrap();
        locked.add(b"one").unwrap();
        locked.add(b"two").unwrap();
        for version in [2, 1] {
            fs::remove_file(versions.file(version)).unwrap();
            assert_eq!(versions.current().unwrap(), Some(2));
            assert!(versions.is_there().unwrap());
        }
        locked.remove(root.path()).unwrap();
        assert!(!versions.is_there().unwrap());
        assert!(!root.path().join("a").exists());
    }

    #[test]
    fn files_of_another_tool_need_no_link() {
        let (root, versions) = secret();
        fs::create_dir_all(versions.path()).unwrap();
        for name in ["1.age", "10.age", "9.age", "011.age", "x.age", "12.age~"] {
            fs::write(versions.path().join(name), b"").unwrap();
        }
        assert_eq!(versions.current().unwrap(), Some(10));
        assert_eq!(versions.history().unwrap().len(), 3);
        let locked = versions.lock_or_make(root.path()).unwrap();
        assert_eq!(locked.add(b"new").unwrap(), 11);
    }

    #[test]
    fn removing_takes_empty_directories_but_no_other_secret() {
        let (root, versions) = secret();
        let inner = Versions::at(versions.path().join("inner"));
        for secret in [&versions, &inner] {
            let locked = secret.lock_or_make(root.path()).unwrap();
            locked.add(b"x").unwrap();
        }
        versions
            .lock()
            .unwrap()
            .unwrap()
            .remove(root.path())
            .unwrap();
        assert_eq!(versions.current().unwrap(), None);
        assert_eq!(inner.current().unwrap(), Some(1));
        inner.lock().unwrap().unwrap().remove(root.path()).unwrap();
        assert!(root.path().exists() && !root.path().join("a").exists());
        assert!(versions.lock().unwrap().is_none());
    }
}
