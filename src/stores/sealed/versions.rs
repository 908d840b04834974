//! One secret's directory: its versions, which of them is current, and what happened to them.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use super::age_file::MAX_SEALED;
use crate::sys::filesystem::{self, Kind};
use crate::sys::{beneath, durable};

/// The link to the current version.
pub const CURRENT: &str = "current.age";
const NEW_CURRENT: &str = ".new-current";
/// One line for each event: `TIME EVENT VERSION`. For people; nothing else depends on it.
const HISTORY: &str = ".history";
/// A history of so many bytes has a line for each of 300,000 events.
const MAX_HISTORY: u64 = 16 << 20;
/// Writers take turns, so that hardly one of them removes what another is about to lock.
const MAX_TRIES: usize = 100;

/// One secret's directory. It is reached from the store's `secrets`, which is open, name by name: nothing
/// is read or written through a link.
#[derive(Clone)]
pub struct Versions {
    secrets: Rc<OwnedFd>,
    name: PathBuf,
    path: PathBuf,
}

/// The directory, with the lock that writers hold. Ends with the value, or with the process.
pub struct Locked {
    versions: Versions,
    directory: OwnedFd,
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
    /// The directory of the secret with this name; it need not be there. `path` is where it is, for
    /// messages.
    pub const fn at(secrets: Rc<OwnedFd>, name: PathBuf, path: PathBuf) -> Self {
        Self {
            secrets,
            name,
            path,
        }
    }

    /// The directory's path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The age file of a version.
    pub fn file(&self, version: u64) -> PathBuf {
        self.path.join(file_of(version))
    }

    /// Where a version's file waits until the index has it.
    pub fn staged(&self, version: u64) -> PathBuf {
        self.path.join(staged_of(version))
    }

    /// The directory, if it is there.
    pub fn open(&self) -> io::Result<Option<OwnedFd>> {
        use io::ErrorKind::{NotADirectory, NotFound};
        match beneath::enter(&self.secrets, &self.name) {
            Ok(directory) => Ok(Some(directory)),
            Err(error) if [NotFound, NotADirectory].contains(&error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
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
        let Some(directory) = self.open()? else {
            return Ok(Vec::new());
        };
        Ok(numbers(&filesystem::entries_of(directory)?, number))
    }

    /// What the link to the current version names; `None`: there is none.
    pub fn link(&self) -> io::Result<Option<PathBuf>> {
        let Some(directory) = self.open()? else {
            return Ok(None);
        };
        match filesystem::read_link_at(directory, CURRENT) {
            Ok(target) => Ok(Some(target)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the link to the current version names, or without a link the highest version: for a store
    /// without an index.
    pub fn linked(&self) -> io::Result<Option<u64>> {
        let link = self.link().ok().flatten();
        let named = link.and_then(|link| link.to_str().and_then(version_of));
        Ok(named.or(self.list()?.pop()))
    }

    /// What happened, oldest first. Versions that the history does not know are told by their file.
    pub fn history(&self) -> io::Result<Vec<Happened>> {
        let Some(directory) = self.open()? else {
            return Ok(Vec::new());
        };
        let text = match beneath::read_file(&directory, HISTORY, MAX_HISTORY) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(named(HISTORY, &error)),
        };
        let text = String::from_utf8_lossy(&text);
        let mut events: Vec<Happened> = text.lines().filter_map(read_event).collect();
        for version in numbered(&directory, version_of)? {
            let known = |event: &Happened| event.version == version && event.what == What::Set;
            if !events.iter().any(known) {
                let later = events.iter().position(|event| event.version > version);
                let found = Happened {
                    at: modified(&directory, &file_of(version))?,
                    what: What::Found,
                    version,
                };
                events.insert(later.unwrap_or(events.len()), found);
            }
        }
        // Lines have milliseconds, and the times of files have more: what is of one millisecond stays in
        // its order.
        let millis = |event: &Happened| {
            let since = event.at.duration_since(SystemTime::UNIX_EPOCH);
            since.unwrap_or_default().as_millis()
        };
        events.sort_by_key(millis);
        Ok(events)
    }

    /// When the current version became it.
    pub fn changed(&self, current: u64) -> io::Result<SystemTime> {
        let directory = self.open()?.ok_or(io::ErrorKind::NotFound)?;
        modified(&directory, CURRENT.as_ref()).or_else(|_| modified(&directory, &file_of(current)))
    }

    /// When the file of a version was written.
    pub fn made(&self, version: u64) -> io::Result<SystemTime> {
        let directory = self.open()?.ok_or(io::ErrorKind::NotFound)?;
        modified(&directory, &file_of(version))
    }

    /// Locks the directory against other writers, where it is there.
    pub fn lock(&self) -> io::Result<Option<Locked>> {
        for _ in 0..MAX_TRIES {
            let Some(directory) = self.open()? else {
                return Ok(None);
            };
            flock(&directory, FlockOperation::LockExclusive)?;
            // Whoever had the lock may have removed the directory.
            if filesystem::status(&directory)?.links > 0 {
                return Ok(Some(Locked {
                    versions: self.clone(),
                    directory,
                }));
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Takes directories away that are empty, from the secret's up to the store's: what a removal that was
    /// interrupted may have left.
    pub fn remove_empty(&self) -> io::Result<()> {
        for path in self.name.ancestors() {
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
                break;
            };
            match beneath::enter(&self.secrets, above)
                .and_then(|above| filesystem::remove_directory_at(above, name))
            {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Locks the directory against other writers, and makes it (0700) where it is not there.
    pub fn lock_or_make(&self) -> io::Result<Locked> {
        for _ in 0..MAX_TRIES {
            beneath::make_directories(&self.secrets, &self.name)?;
            if let Some(locked) = self.lock()? {
                return Ok(locked);
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
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
        self.check_history()?;
        let file = durable::write_new_at(&self.directory, &staged_of(version), sealed, 0o600)?;
        if let Some(modified) = modified {
            std::fs::File::from(file).set_modified(modified)?;
        }
        durable::sync_names(&self.directory)
    }

    /// That a line can be added to the history, before anything is written.
    pub fn check_history(&self) -> io::Result<()> {
        match filesystem::status_at(&self.directory, HISTORY)? {
            Some(found) if found.kind != Kind::File => Err(io::Error::other(format!(
                "{HISTORY} is no regular file: something else than hushpipe put it there; remove it"
            ))),
            _ => Ok(()),
        }
    }

    /// Gives a file that was staged its name, in the place of one that may be there.
    pub fn promote(&self, version: u64) -> io::Result<()> {
        filesystem::rename_at(&self.directory, staged_of(version), file_of(version))?;
        durable::sync_names(&self.directory)
    }

    /// Ends what a killed writer began: staged files that `is_indexed` gets their names, others go.
    pub fn finish(&self, is_indexed: impl Fn(u64, &[u8]) -> bool) -> io::Result<()> {
        for version in numbered(&self.directory, staged_version_of)? {
            let staged = staged_of(version);
            let found = filesystem::status_at(&self.directory, &staged)?;
            let is_file =
                found.is_some_and(|found| found.kind == Kind::File && found.size <= MAX_SEALED);
            if is_file
                && is_indexed(
                    version,
                    &beneath::read_file(&self.directory, &staged, MAX_SEALED)?,
                )
            {
                self.promote(version)?;
            } else {
                filesystem::unlink_at(&self.directory, &staged)?;
            }
        }
        filesystem::unlink_at(&self.directory, NEW_CURRENT)
    }

    /// Removes all versions, and the directories that are empty after it.
    pub fn remove(self) -> io::Result<()> {
        self.clear()?;
        self.versions.remove_empty()
    }

    /// Removes all versions.
    pub fn clear(&self) -> io::Result<()> {
        self.keep_only(|_| false)?;
        for version in numbered(&self.directory, staged_version_of)? {
            filesystem::unlink_at(&self.directory, staged_of(version))?;
        }
        durable::sync_names(&self.directory)?;
        for name in [HISTORY, NEW_CURRENT, CURRENT] {
            filesystem::unlink_at(&self.directory, name)?;
        }
        durable::sync_names(&self.directory)
    }

    /// Ends the lock; takes the directories away that were made for a write that failed.
    pub fn abandon(self) -> io::Result<()> {
        self.versions.remove_empty()
    }

    /// Removes the files of other versions.
    pub fn keep_only(&self, is_kept: impl Fn(u64) -> bool) -> io::Result<()> {
        for version in numbered(&self.directory, version_of)? {
            if !is_kept(version) {
                filesystem::unlink_at(&self.directory, file_of(version))?;
            }
        }
        durable::sync_names(&self.directory)
    }

    /// When a version was made.
    pub fn modified(&self, version: u64) -> io::Result<SystemTime> {
        modified(&self.directory, &file_of(version))
    }

    /// Makes the link to the current version, where it is another one.
    pub fn point_to(&self, version: u64) -> io::Result<()> {
        let target = file_of(version);
        if filesystem::read_link_at(&self.directory, CURRENT).is_ok_and(|now| now == *target) {
            return Ok(());
        }
        filesystem::unlink_at(&self.directory, NEW_CURRENT)?;
        filesystem::make_link_at(target, &self.directory, NEW_CURRENT)?;
        filesystem::rename_at(&self.directory, NEW_CURRENT, CURRENT)?;
        durable::sync_names(&self.directory)
    }

    /// Adds a line to the history.
    pub fn note(&self, what: What, version: u64) -> io::Result<()> {
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        let mut history = beneath::open_to_append(&self.directory, HISTORY)?;
        // A power cut may have taken the end of the last line: this one starts at its own.
        let end = if is_cut_off(&history)? { "\n" } else { "" };
        let line = format!("{end}{now} {} {version}\n", what.word());
        history.write_all(line.as_bytes())
    }
}

fn is_cut_off(history: &std::fs::File) -> io::Result<bool> {
    let Some(last) = history.metadata()?.len().checked_sub(1) else {
        return Ok(false);
    };
    let mut byte = [0];
    history.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

fn numbered(directory: &OwnedFd, number: impl Fn(&str) -> Option<u64>) -> io::Result<Vec<u64>> {
    Ok(numbers(&filesystem::entries(directory)?, number))
}

fn numbers(names: &[OsString], number: impl Fn(&str) -> Option<u64>) -> Vec<u64> {
    let numbers = names
        .iter()
        .filter_map(|name| name.to_str().and_then(&number));
    let mut versions: Vec<u64> = numbers.collect();
    versions.sort_unstable();
    versions
}

/// When what has a name was changed; no link is followed.
fn modified(directory: &OwnedFd, name: &OsStr) -> io::Result<SystemTime> {
    let found = filesystem::status_at(directory, name)?;
    Ok(found.ok_or(io::ErrorKind::NotFound)?.modified_at())
}

fn named(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

fn file_of(version: u64) -> OsString {
    format!("{version}.age").into()
}

fn staged_of(version: u64) -> OsString {
    format!(".{version}.age.new").into()
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn secret() -> (tempfile::TempDir, Versions) {
        let root = tempfile::tempdir().unwrap();
        let secrets = Rc::new(filesystem::open_directory(root.path()).unwrap());
        let versions = Versions::at(secrets, PathBuf::from("a/b"), root.path().join("a/b"));
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
        let (_root, versions) = secret();
        let locked = versions.lock_or_make().unwrap();
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
        let (_root, versions) = secret();
        let locked = versions.lock_or_make().unwrap();
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
        let (_root, versions) = secret();
        let locked = versions.lock_or_make().unwrap();
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
    fn a_file_of_the_same_millisecond_comes_before_a_later_versions_line() {
        let (_root, versions) = secret();
        let locked = versions.lock_or_make().unwrap();
        add(&locked, 1, b"one");
        fs::write(versions.path().join(HISTORY), b"").unwrap();
        add(&locked, 2, b"two");
        let second = versions.history().unwrap().pop().unwrap();
        let file = fs::File::options().write(true).open(versions.file(1));
        let within = std::time::Duration::from_micros(900);
        file.unwrap().set_modified(second.at + within).unwrap();
        let known = versions.history().unwrap();
        let known: Vec<_> = known.iter().map(|event| event.version).collect();
        assert_eq!(known, [1, 2]);
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
        let inner = Versions::at(
            Rc::clone(&versions.secrets),
            PathBuf::from("a/b/inner"),
            versions.path().join("inner"),
        );
        for secret in [&versions, &inner] {
            let locked = secret.lock_or_make().unwrap();
            add(&locked, 1, b"x");
        }
        versions.lock().unwrap().unwrap().remove().unwrap();
        assert_eq!(versions.linked().unwrap(), None);
        assert_eq!(inner.linked().unwrap(), Some(1));
        inner.lock().unwrap().unwrap().remove().unwrap();
        assert!(root.path().exists() && !root.path().join("a").exists());
        assert!(versions.lock().unwrap().is_none());
    }
}
