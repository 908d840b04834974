//! One secret's directory: its versions, which of them is current, and what happened to them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use crate::sys::durable::{make_directories_below, remove_if_there, sync_names, write_new};

/// The link to the current version.
pub const CURRENT: &str = "current.age";
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

    /// Where a version's file waits until the index has it.
    pub fn staged(&self, version: u64) -> PathBuf {
        self.path.join(format!(".{version}.age.new"))
    }

    /// All versions that are there, ascending. None where there is no directory.
    pub fn list(&self) -> io::Result<Vec<u64>> {
        self.numbered(version_of)
    }

    /// Whether a killed writer left something to end.
    pub fn is_unfinished(&self) -> io::Result<bool> {
        Ok(!self.numbered(staged_version_of)?.is_empty())
    }

    fn numbered(&self, number: impl Fn(&str) -> Option<u64>) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut versions = Vec::new();
        for entry in entries {
            versions.extend(entry?.file_name().to_str().and_then(&number));
        }
        versions.sort_unstable();
        Ok(versions)
    }

    /// What the link to the current version names, or without a link the highest version: for a store
    /// without an index.
    pub fn linked(&self) -> io::Result<Option<u64>> {
        let link = fs::read_link(self.path.join(CURRENT));
        let named = link
            .ok()
            .and_then(|link| link.to_str().and_then(version_of));
        Ok(named.or(self.list()?.pop()))
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
    /// Puts a version's file down under another name, on the disk: it becomes the version once the index
    /// has it. `modified`: its time, where it takes the place of one.
    pub fn stage(
        &self,
        version: u64,
        sealed: &[u8],
        modified: Option<SystemTime>,
    ) -> io::Result<()> {
        let file = write_new(&self.versions.staged(version), sealed, 0o600)?;
        if let Some(modified) = modified {
            file.set_modified(modified)?;
        }
        sync_names(&self.directory)
    }

    /// Gives a file that was staged its name, in the place of one that may be there.
    pub fn promote(&self, version: u64) -> io::Result<()> {
        fs::rename(self.versions.staged(version), self.versions.file(version))?;
        sync_names(&self.directory)
    }

    /// Ends what a killed writer began: staged files that `is_indexed` gets their names, others go.
    pub fn finish(&self, is_indexed: impl Fn(u64, &[u8]) -> bool) -> io::Result<()> {
        for version in self.versions.numbered(staged_version_of)? {
            let staged = self.versions.staged(version);
            if is_indexed(version, &fs::read(&staged)?) {
                self.promote(version)?;
            } else {
                remove_if_there(&staged)?;
            }
        }
        remove_if_there(&self.versions.path.join(NEW_CURRENT))
    }

    /// Removes all versions, and the directories that are empty after it, up to `root`.
    pub fn remove(self, root: &Path) -> io::Result<()> {
        self.clear()?;
        remove_empty(&self.versions.path, root)
    }

    /// Removes all versions.
    pub fn clear(&self) -> io::Result<()> {
        let path = &self.versions.path;
        for version in self.versions.list()? {
            remove_if_there(&self.versions.file(version))?;
        }
        for version in self.versions.numbered(staged_version_of)? {
            remove_if_there(&self.versions.staged(version))?;
        }
        sync_names(&self.directory)?;
        for name in [HISTORY, NEW_CURRENT, CURRENT] {
            remove_if_there(&path.join(name))?;
        }
        sync_names(&self.directory)
    }

    /// Ends the lock; takes the directories away that were made for a write that failed.
    pub fn abandon(self, root: &Path) -> io::Result<()> {
        remove_empty(&self.versions.path, root)
    }

    /// Removes the files of other versions.
    pub fn keep_only(&self, is_kept: impl Fn(u64) -> bool) -> io::Result<()> {
        for version in self.versions.list()? {
            if !is_kept(version) {
                remove_if_there(&self.versions.file(version))?;
            }
        }
        sync_names(&self.directory)
    }

    /// Makes the link to the current version, where it is another one.
    pub fn point_to(&self, version: u64) -> io::Result<()> {
        let path = &self.versions.path;
        let new = path.join(NEW_CURRENT);
        let target = PathBuf::from(format!("{version}.age"));
        if fs::read_link(path.join(CURRENT)).is_ok_and(|now| now == target) {
            return Ok(());
        }
        remove_if_there(&new)?;
        symlink(target, &new)?;
        fs::rename(&new, path.join(CURRENT))?;
        sync_names(&self.directory)
    }

    /// Adds a line to the history.
    pub fn note(&self, what: What, version: u64) -> io::Result<()> {
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

/// `.12.age.new` is version 12, not yet in its place.
fn staged_version_of(name: &str) -> Option<u64> {
    version_of(name.strip_prefix('.')?.strip_suffix(".new")?)
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

    fn add(locked: &Locked, version: u64, sealed: &[u8]) {
        locked.stage(version, sealed, None).unwrap();
        locked.promote(version).unwrap();
        locked.point_to(version).unwrap();
        locked.note(What::Set, version).unwrap();
    }

    #[test]
    fn versions_are_listed_by_number_and_are_for_their_owner_alone() {
        let (root, versions) = secret();
        let locked = versions.lock_or_make(root.path()).unwrap();
        for version in 1..=12 {
            add(&locked, version, b"sealed");
        }
        assert_eq!(versions.linked().unwrap(), Some(12));
        assert_eq!(versions.list().unwrap(), (1..=12).collect::<Vec<_>>());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(versions.path()), 0o700);
        assert_eq!(mode(&versions.file(3)), 0o600);
    }

    #[test]
    fn what_a_killed_writer_left_gets_its_name_or_goes() {
        let (root, versions) = secret();
        let locked = versions.lock_or_make(root.path()).unwrap();
        add(&locked, 1, b"one");
        locked.stage(2, b"two", None).unwrap();
        locked.stage(3, b"half", None).unwrap();
        symlink("9.age", versions.path().join(NEW_CURRENT)).unwrap();
        assert!(versions.is_unfinished().unwrap());
        locked
            .finish(|version, bytes| (version, bytes) == (2, b"two"))
            .unwrap();
        assert!(!versions.is_unfinished().unwrap());
        assert_eq!(versions.list().unwrap(), [1, 2]);
        assert_eq!(fs::read(versions.file(2)).unwrap(), b"two");
    }

    #[test]
    fn a_history_whose_end_is_lost_takes_the_next_line() {
        let (root, versions) = secret();
        let locked = versions.lock_or_make(root.path()).unwrap();
        add(&locked, 1, b"one");
        let history = versions.path().join(HISTORY);
        let whole = fs::read(&history).unwrap();
        fs::write(&history, &whole[..whole.len() - 3]).unwrap();
        add(&locked, 2, b"two");
        let events = versions.history().unwrap();
        let known: Vec<_> = events.iter().map(|event| event.version).collect();
        assert_eq!(known, [1, 2]);
        assert_eq!(events[1].what, What::Set);
    }

    #[test]
    fn other_names_are_no_versions() {
        let (_root, versions) = secret();
        fs::create_dir_all(versions.path()).unwrap();
        for name in ["1.age", "10.age", "9.age", "011.age", "x.age", "12.age~"] {
            fs::write(versions.path().join(name), b"").unwrap();
        }
        assert_eq!(versions.linked().unwrap(), Some(10));
        assert_eq!(versions.history().unwrap().len(), 3);
    }

    #[test]
    fn removing_takes_empty_directories_but_no_other_secret() {
        let (root, versions) = secret();
        let inner = Versions::at(versions.path().join("inner"));
        for secret in [&versions, &inner] {
            let locked = secret.lock_or_make(root.path()).unwrap();
            add(&locked, 1, b"x");
        }
        versions
            .lock()
            .unwrap()
            .unwrap()
            .remove(root.path())
            .unwrap();
        assert_eq!(versions.linked().unwrap(), None);
        assert_eq!(inner.linked().unwrap(), Some(1));
        inner.lock().unwrap().unwrap().remove(root.path()).unwrap();
        assert!(root.path().exists() && !root.path().join("a").exists());
        assert!(versions.lock().unwrap().is_none());
    }
}
