//! `type: directory`: one file a secret, as Docker, Kubernetes and systemd mount them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Stat, fstat, readlinkat};
use rustix::io::Errno;

use super::path_watch::{PathWatch, Wanted};
use super::{
    Family, Fault, Fetched, Local, Store, StoreError, Watch, Watched, format, looked_at, polled,
};
use crate::model::{DirectoryStore, Source, StoreKind, StoreName, Version};
use crate::secret::{FileError, Trusted, read_to_end};
use crate::sys::filesystem::{Kind, effective_uid};
use crate::sys::walk::{self, WalkError, WalkFault};

/// The link that Kubernetes flips: every file is reached through it.
const DATA: &str = "..data";

/// How often a set is read again because the directory flipped meanwhile.
const ROUNDS: usize = 16;

/// Its entry of the registry.
pub(super) const FAMILY: Family = Family {
    open: |setting| match &setting.spec.kind {
        StoreKind::Directory(spec) => {
            let store = Directory::new(setting.name.clone(), spec, &setting.spec.trust);
            Some(Ok(Box::new(store)))
        }
        _ => None,
    },
    variables: &[],
};

/// A directory whose files are the secrets.
pub struct Directory {
    name: StoreName,
    path: PathBuf,
    trusted: Trusted,
}

impl Directory {
    /// Opens nothing yet: the directory may come and go. `owners` are trusted beside root and hushpipe's
    /// own user.
    pub fn new(name: StoreName, spec: &DirectoryStore, owners: &[u32]) -> Self {
        Self {
            name,
            path: spec.path.clone(),
            trusted: Trusted::new(owners),
        }
    }

    fn error(&self, source: Option<&Source>, fault: Fault) -> StoreError {
        StoreError {
            store: self.name.clone(),
            asked: source.and_then(|source| source.key.clone()),
            fault,
        }
    }

    /// The directory itself, which nobody else may be able to change, nor lead elsewhere.
    fn open(&self) -> Result<OwnedFd, Fault> {
        walk::directory(&self.path, &self.trusted.rule()).map_err(|error| match error.fault {
            WalkFault::System(source) if source.kind() == io::ErrorKind::NotFound => {
                Fault::Unreachable {
                    tried: self.path.clone(),
                    source: io::Error::new(
                        io::ErrorKind::NotFound,
                        "no such directory: make it, or correct `path` of the store",
                    ),
                }
            }
            WalkFault::System(source) => Fault::Unreachable {
                tried: self.path.clone(),
                source,
            },
            WalkFault::NotDirectory => Fault::Unreachable {
                tried: self.path.clone(),
                source: Errno::NOTDIR.into(),
            },
            _ => FileError::from(error).into(),
        })
    }

    /// Reads all from one state of the directory.
    fn read_all(&self, sources: &[&Source]) -> Vec<Result<Fetched, StoreError>> {
        for _ in 0..ROUNDS {
            // One that cannot be opened is a fault of the store, whatever was asked for.
            let Ok(directory) = self.open() else { break };
            let before = flip(&directory);
            let answers = sources
                .iter()
                .map(|source| {
                    self.read(&directory, source)
                        .map_err(|fault| self.error(Some(source), fault))
                })
                .collect();
            if flip(&directory) == before {
                return answers;
            }
        }
        let fault = self.open().err().unwrap_or_else(|| self.restless());
        sources
            .iter()
            .map(|_| Err(self.error(None, fault.again())))
            .collect()
    }

    fn restless(&self) -> Fault {
        Fault::Unreachable {
            tried: self.path.join(DATA),
            source: io::Error::other("it changes faster than it can be read"),
        }
    }

    fn read(&self, directory: &OwnedFd, source: &Source) -> Result<Fetched, Fault> {
        let (file, stat, path) = self.open_file(directory, source)?;
        let bytes = read_to_end(&file, format::MAX_VALUE).map_err(|error| match error {
            Errno::FBIG => too_large(&path),
            error => Fault::Unreachable {
                tried: path.clone(),
                source: error.into(),
            },
        })?;
        Ok(Fetched {
            value: format::read(bytes, source.format)?,
            version: version(&stat),
        })
    }

    fn open_file(
        &self,
        directory: &OwnedFd,
        source: &Source,
    ) -> Result<(OwnedFd, Stat, PathBuf), Fault> {
        let key = checked_key(source.key.as_deref().unwrap_or_default())?;
        let path = self.path.join(key);
        let unreachable = |source| Fault::Unreachable {
            tried: path.clone(),
            source,
        };
        let opened = walk::file_beneath(directory.as_fd(), &self.path, key, &self.trusted.rule());
        let file = opened.map_err(|error| open_fault(error, &path))?;
        let stat = fstat(&file).map_err(|error| unreachable(error.into()))?;
        if usize::try_from(stat.st_size).unwrap_or(usize::MAX) > format::MAX_VALUE {
            return Err(too_large(&path));
        }
        Ok((file, stat, path))
    }
}

impl Store for Directory {
    fn fetch<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Fetched, StoreError>> {
        Box::pin(async move {
            let mut answers = self.read_all(&[source]);
            answers.pop().expect("one answer a source")
        })
    }

    fn fetch_all<'a>(
        &'a self,
        sources: &'a [&'a Source],
    ) -> Local<'a, Vec<Result<Fetched, StoreError>>> {
        Box::pin(async move { self.read_all(sources) })
    }

    fn version<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Version, StoreError>> {
        Box::pin(async move {
            self.open()
                .and_then(|directory| self.open_file(&directory, source))
                .map(|(_, stat, _)| version(&stat))
                .map_err(|fault| self.error(Some(source), fault))
        })
    }

    /// By the time of its file.
    fn made(&self, source: &Source) -> Option<SystemTime> {
        let directory = self.open().ok()?;
        let (_, stat, _) = self.open_file(&directory, source).ok()?;
        let seconds = u64::try_from(stat.st_mtime).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    fn watch(&self, sources: &[Watched]) -> Result<Option<Box<dyn Watch>>, StoreError> {
        let mut keys: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, source) in looked_at(sources) {
            let key = source.key.as_deref().unwrap_or_default();
            keys.entry(key).or_default().push(place);
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let wanted = keys.iter();
        let wanted = wanted.map(|(key, places)| (Wanted::File(key.into()), places.clone()));
        let watch = PathWatch::start(
            self.name.clone(),
            &self.path,
            wanted,
            Box::new(|_, _| false),
        );
        polled::or_polled(&self.name, watch, || {
            let paths = keys.into_iter();
            paths
                .map(|(key, places)| (self.path.join(key), places))
                .collect()
        })
    }
}

/// Where `..data` points to, if it is there.
fn flip(directory: &OwnedFd) -> Option<OsString> {
    let target = readlinkat(directory, DATA, Vec::new()).ok()?;
    Some(OsString::from_vec(target.into_bytes()))
}

/// The time of the last change of the inode, and which inode: a write, a rename into place and a
/// flip change it, and nobody can set it.
fn version(stat: &Stat) -> Version {
    Version(format!(
        "{}.{:09}-{}",
        stat.st_ctime, stat.st_ctime_nsec, stat.st_ino
    ))
}

/// A key is a relative path that goes down only.
fn checked_key(key: &str) -> Result<&Path, Fault> {
    let wrong = |why: &str| Fault::Malformed {
        reason: format!("{why}: a key is a relative path of a file, such as db/password"),
    };
    if key.is_empty() {
        return Err(wrong("the key is empty"));
    }
    if key.chars().any(char::is_control) {
        return Err(wrong("the key has a control character"));
    }
    if key.starts_with('/') {
        return Err(wrong("the key is an absolute path"));
    }
    // By text as well: components() passes over `.`, `//` and a `/` at the end.
    let plain = key.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let path = Path::new(key);
    if !plain
        || !path
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
    {
        return Err(wrong("the key has an empty part, `.` or `..` in it"));
    }
    Ok(path)
}

fn open_fault(error: WalkError, path: &Path) -> Fault {
    let file = path.display();
    let errno = match &error.fault {
        WalkFault::System(source) => source.raw_os_error(),
        WalkFault::NotDirectory => Some(libc::ENOTDIR),
        _ => None,
    };
    match errno {
        Some(libc::ENOENT | libc::ENOTDIR) => Fault::Missing {
            hint: format!("no file {file}: make it, or correct `key`"),
        },
        Some(libc::EXDEV) => Fault::Denied {
            reason: format!(
                "{file} is a link that leads out of the directory: replace it by the file"
            ),
        },
        Some(libc::EACCES) => Fault::Denied {
            reason: format!("{file} cannot be read by uid {}", effective_uid()),
        },
        Some(_) => FileError::from(error).into(),
        None => match error.fault {
            WalkFault::NotFile(kind) => not_a_file(path, kind),
            _ => FileError::from(error).into(),
        },
    }
}

/// What stands where a file is expected.
fn not_a_file(path: &Path, kind: Kind) -> Fault {
    let (path, kind) = (path.display(), named(kind));
    Fault::Malformed {
        reason: format!("{path} is {kind}: a regular file is expected"),
    }
}

/// What stands where a file is expected.
const fn named(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "a directory",
        Kind::Fifo => "a FIFO",
        Kind::Socket => "a socket",
        Kind::Other => "a device",
        Kind::Link => "a link",
        Kind::File => "a file",
    }
}

fn too_large(path: &Path) -> Fault {
    Fault::Malformed {
        reason: format!(
            "{} is larger than {} MiB",
            path.display(),
            format::MAX_VALUE >> 20
        ),
    }
}

#[cfg(test)]
mod tests;
