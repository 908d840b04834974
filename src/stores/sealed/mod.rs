//! The sealed store: a directory of plain age files, one a version.
//!
//! ```text
//! STORE/recipients.txt              one public key a line (age1…, ssh-ed25519 …), # comments
//! STORE/secrets/stripe/token/1.age  version 1 of the secret stripe/token: an age file
//! STORE/secrets/stripe/token/2.age  version 2; a version is never changed
//! STORE/secrets/stripe/token/current.age -> 2.age
//! STORE/secrets/stripe/token/.history        when versions were set and rolled back, for people
//! ```
//!
//! Any tool that follows the age specification (age-encryption.org/v1) can be used beside hushpipe:
//! `age -d -i IDENTITY STORE/secrets/stripe/token/current.age` opens what hushpipe sealed, and a
//! file written with `age -R STORE/recipients.txt -o STORE/secrets/NAME/1.age` is a version. Where
//! current.age is not there, the highest version is the current one.
//!
//! Writers of one secret take turns (flock(2) on its directory). A version is written under another
//! name, synced, and gets its number by a rename that replaces nothing; then the link moves, by a
//! rename as well. Whoever is killed in between leaves a store with complete versions alone.
//!
//! A version's file never changes, but for a rekey: the same value, sealed for other recipients.

mod age_file;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod identity;
mod key;
mod recipients;
mod rekey;
mod versions;
mod watch;

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use crate::model::{SealedStore as Spec, Source, StoreName, Version};
use crate::secret::SecretBytes;
use crate::stores::{Fault, Fetched, Local, Store, StoreError, Watch, Watched, format, looked_at};
use crate::sys::durable;

use identity::Identities;
use recipients::Recipients;
use versions::Versions;

pub use key::{Key, KeyError};
pub use rekey::Rekeyed;
pub use versions::{Happened, What};

/// A sealed store. It is looked at when it is used, not when it is opened.
pub struct SealedStore {
    name: StoreName,
    path: PathBuf,
    identity_file: PathBuf,
    identities: RefCell<Option<Rc<Identities>>>,
}

/// One line of a listing.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The secret's name.
    pub key: Key,
    /// Its current version.
    pub current: u64,
    /// How many versions there are.
    pub versions: usize,
    /// When the current version became it.
    pub changed: SystemTime,
}

impl SealedStore {
    /// The store of a manifest, or of `--store`.
    pub fn open(name: StoreName, spec: &Spec) -> Self {
        Self {
            name,
            path: spec.path.clone(),
            identity_file: spec.identity_file.clone(),
            identities: RefCell::new(None),
        }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether somebody made a store there.
    pub fn is_there(&self) -> bool {
        recipients::file(&self.path).exists()
    }

    /// Makes a new identity in its identity file, which must not be there.
    pub fn create_identity(&self) -> Result<(), StoreError> {
        let made = identity::create(&self.identity_file);
        made.map_err(|source| self.error(None, unwritable(&self.identity_file, source)))
    }

    /// Makes the store's directories and recipients.txt. A store that is there is refused.
    pub fn create(&self, recipients: &[String]) -> Result<(), StoreError> {
        let file = recipients::file(&self.path);
        let made = make_store(&self.path, &file, recipients);
        made.map_err(|source| self.error(None, unwritable(&file, source)))
    }

    /// Whether what is sealed from now on can be opened by its own identity.
    pub fn is_for_us(&self) -> Result<bool, StoreError> {
        let recipients = Recipients::read(&recipients::file(&self.path));
        let recipients = recipients.map_err(|fault| self.error(None, fault))?.texts();
        let own = self.own_recipients()?;
        Ok(own.iter().any(|own| recipients.contains(own)))
    }

    /// Seals a value as a new version, which becomes the current one; gives its number.
    pub fn set(&self, key: &Key, value: &SecretBytes) -> Result<u64, StoreError> {
        self.about(key, || {
            self.check_there()?;
            if value.len() > format::MAX_VALUE {
                return Err(too_large());
            }
            let recipients = Recipients::read(&recipients::file(&self.path))?;
            let sealed = age_file::seal(&recipients, value.expose())?;
            let versions = self.versions(key);
            let cannot = |source| unwritable(versions.path(), source);
            let root = self.secrets();
            let locked = versions.lock_or_make(&root).map_err(cannot)?;
            match locked.add(&sealed) {
                Ok(version) => Ok(version),
                Err(source) => {
                    locked.abandon(&root).map_err(cannot)?;
                    Err(cannot(source))
                }
            }
        })
    }

    /// The bytes of a version, or of the current one, and its number.
    pub fn get(&self, key: &Key, version: Option<u64>) -> Result<(SecretBytes, u64), StoreError> {
        self.about(key, || {
            let picked = self.pick(key, version)?;
            let versions = self.versions(key);
            if version.is_none() && !versions.file(picked).exists() {
                return Err(lost(key, &versions.file(picked)));
            }
            let bytes = self.read(&versions, picked)?;
            Ok((bytes, picked))
        })
    }

    /// All secrets, by name.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        self.check_there()
            .map_err(|fault| self.error(None, fault))?;
        let mut found = Vec::new();
        let walked = walk(&self.secrets(), "", &mut found);
        let walked = walked.map_err(|source| self.error(None, unreadable(&self.path, source)));
        walked?;
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    /// What happened to a secret, oldest first, and its current version.
    pub fn history(&self, key: &Key) -> Result<(Vec<Happened>, u64), StoreError> {
        self.about(key, || {
            let current = self.pick(key, None)?;
            let versions = self.versions(key);
            let history = versions.history();
            let history = history.map_err(|source| unreadable(versions.path(), source))?;
            Ok((history, current))
        })
    }

    /// Ends what a writer of the secret may have been stopped in: its current version stays.
    pub fn finish(&self, key: &Key) -> Result<(), StoreError> {
        self.about(key, || {
            let versions = self.versions(key);
            let cannot = |source| unwritable(versions.path(), source);
            let locked = versions.lock().map_err(cannot)?;
            let locked = locked.ok_or_else(|| self.missing())?;
            locked.finish(self.pick(key, None)?).map_err(cannot)
        })
    }

    /// Makes an older version the current one: `to`, or the one before the current. Gives which it
    /// was and which it is.
    pub fn rollback(&self, key: &Key, to: Option<u64>) -> Result<(u64, u64), StoreError> {
        self.about(key, || {
            let versions = self.versions(key);
            let cannot = |source| unwritable(versions.path(), source);
            let locked = versions.lock().map_err(cannot)?;
            let current = self.pick(key, None)?;
            let target = match to {
                Some(_) => self.pick(key, to)?,
                None => before(&versions, current)?,
            };
            let locked = locked.ok_or_else(|| self.missing())?;
            locked.roll_back(target).map_err(cannot)?;
            Ok((current, target))
        })
    }

    /// Removes all versions of a secret; gives how many there were: none, where a removal that was
    /// interrupted is ended.
    pub fn remove(&self, key: &Key) -> Result<usize, StoreError> {
        self.about(key, || {
            self.check_there()?;
            let versions = self.versions(key);
            let cannot = |source| unwritable(versions.path(), source);
            let Some(locked) = versions.lock().map_err(cannot)? else {
                versions.remove_empty(&self.secrets()).map_err(cannot)?;
                return Err(self.missing());
            };
            let count = versions.list().map_err(cannot)?.len();
            let was_there = versions.is_there().map_err(cannot)?;
            locked.remove(&self.secrets()).map_err(cannot)?;
            if was_there {
                Ok(count)
            } else {
                Err(self.missing())
            }
        })
    }

    /// The recipients that its identity file opens secrets for.
    pub fn own_recipients(&self) -> Result<Vec<String>, StoreError> {
        self.identities()
            .and_then(|identities| identities.recipients())
            .map_err(|fault| self.error(None, fault))
    }

    /// Opens one version.
    fn read(&self, versions: &Versions, version: u64) -> Result<SecretBytes, Fault> {
        let file = versions.file(version);
        let sealed = read_sealed(&file)?;
        let identities = self.identities()?;
        let open = |identities: &Identities| {
            identities.with(|parsed| age_file::open(&file, &sealed, parsed, identities.path()))
        };
        let opened = open(&identities);
        if matches!(opened, Err(Fault::Denied { .. })) && !identities.is_current() {
            // The identity file is another one by now.
            self.identities.replace(None);
            return open(&*self.identities()?);
        }
        opened
    }

    /// Read once, when it is needed first.
    fn identities(&self) -> Result<Rc<Identities>, Fault> {
        if let Some(identities) = &*self.identities.borrow() {
            return Ok(Rc::clone(identities));
        }
        let identities = Rc::new(Identities::read(&self.identity_file)?);
        self.identities.replace(Some(Rc::clone(&identities)));
        Ok(identities)
    }

    /// The version that is asked for, which is there, or the current one.
    fn pick(&self, key: &Key, version: Option<u64>) -> Result<u64, Fault> {
        let versions = self.versions(key);
        let found = match version {
            Some(version) => versions.file(version).is_file().then_some(version),
            None => versions
                .current()
                .map_err(|source| unreadable(versions.path(), source))?,
        };
        match (found, version) {
            (Some(found), _) => Ok(found),
            (None, None) => {
                self.check_there()?;
                Err(self.missing())
            }
            (None, Some(version)) => {
                self.check_there()?;
                Err(Fault::Missing {
                    hint: format!(
                        "version {version}: `hushpipe secret history {key}` shows which there are"
                    ),
                })
            }
        }
    }

    fn check_there(&self) -> Result<(), Fault> {
        let secrets = self.secrets();
        match fs::metadata(&secrets) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(unreadable(&secrets, io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let advice = "no sealed store is there: `hushpipe init` makes one";
                Err(unreadable(&secrets, io::Error::new(error.kind(), advice)))
            }
            Err(source) => Err(unreadable(&secrets, source)),
        }
    }

    fn missing(&self) -> Fault {
        Fault::Missing {
            hint: format!(
                "no such secret in {}: `hushpipe secret list` shows which there are, \
                 `hushpipe secret set` makes one",
                self.path.display()
            ),
        }
    }

    fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    fn versions(&self, key: &Key) -> Versions {
        Versions::at(self.secrets().join(key.to_path()))
    }

    fn error(&self, asked: Option<String>, fault: Fault) -> StoreError {
        StoreError {
            store: self.name.clone(),
            asked,
            fault,
        }
    }

    fn about<T>(&self, key: &Key, act: impl FnOnce() -> Result<T, Fault>) -> Result<T, StoreError> {
        act().map_err(|fault| self.error(Some(key.to_string()), fault))
    }

    fn key(&self, source: &Source) -> Result<Key, StoreError> {
        let text = source.key.as_deref().unwrap_or_default();
        Key::parse(text).map_err(|error| {
            let reason = format!("{text:?} cannot be the name of a secret: {error}");
            self.error(None, Fault::Missing { hint: reason })
        })
    }

    fn fetch_now(&self, source: &Source) -> Result<Fetched, StoreError> {
        let key = self.key(source)?;
        let (bytes, version) = self.get(&key, source.version)?;
        let value = self.about(&key, || Ok(format::read(bytes, source.format)?))?;
        let version = named(version);
        Ok(Fetched { value, version })
    }
}

impl Store for SealedStore {
    fn fetch<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Fetched, StoreError>> {
        Box::pin(async move { self.fetch_now(source) })
    }

    fn version<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Version, StoreError>> {
        Box::pin(async move {
            let key = self.key(source)?;
            self.about(&key, || self.pick(&key, source.version).map(named))
        })
    }

    fn watch(&self, sources: &[Watched]) -> Result<Option<Box<dyn Watch>>, StoreError> {
        let mut wanted = Vec::new();
        // A pinned version never changes.
        for source in looked_at(sources).filter(|source| source.version.is_none()) {
            let key = self.key(source)?;
            wanted.push(self.versions(&key).path().to_owned());
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        wanted.sort_unstable();
        wanted.dedup();
        let watch = watch::SealedWatch::start(self.name.clone(), wanted)?;
        Ok(Some(Box::new(watch)))
    }
}

fn named(version: u64) -> Version {
    Version(format!("v{version}"))
}

fn lost(key: &Key, current: &Path) -> Fault {
    let current = current.display();
    Fault::Missing {
        hint: format!(
            "the file of its current version, {current}. `hushpipe secret rm {key}` ends a removal \
             that was interrupted, `hushpipe secret rollback {key} --to VERSION` takes a version \
             that is there, `hushpipe secret set {key}` makes a new one"
        ),
    }
}

/// The version before the current one.
fn before(versions: &Versions, current: u64) -> Result<u64, Fault> {
    let all = versions.list();
    let all = all.map_err(|source| unreadable(versions.path(), source))?;
    let earlier = all.into_iter().rev().find(|version| *version < current);
    earlier.ok_or_else(|| Fault::Missing {
        hint: format!("version {current} is the oldest one"),
    })
}

fn read_sealed(file: &Path) -> Result<Vec<u8>, Fault> {
    let cannot = |source| unreadable(file, source);
    let metadata = fs::metadata(file).map_err(cannot)?;
    if !metadata.is_file() {
        return Err(Fault::Malformed {
            reason: format!("{} is not a regular file", file.display()),
        });
    }
    // Sealing adds less than this.
    if metadata.len() > (format::MAX_VALUE + format::MAX_VALUE / 8) as u64 {
        return Err(too_large());
    }
    fs::read(file).map_err(cannot)
}

/// Adds the secrets below a directory.
fn walk(directory: &Path, prefix: &str, found: &mut Vec<Listed>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        // What cannot be a name was put there by others.
        let Some(key) = name
            .to_str()
            .and_then(|name| Key::parse(&format!("{prefix}{name}")).ok())
        else {
            continue;
        };
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let versions = Versions::at(entry.path());
        let count = versions.list()?.len();
        if count > 0
            && let Some(current) = versions.current()?
        {
            found.push(Listed {
                key: key.clone(),
                current,
                versions: count,
                changed: versions.changed(current)?,
            });
        }
        walk(&entry.path(), &format!("{key}/"), found)?;
    }
    Ok(())
}

fn make_store(path: &Path, file: &Path, recipients: &[String]) -> io::Result<()> {
    durable::make_directories(&path.join("secrets"), 0o700)?;
    let mut text =
        String::from("# Who can open what is sealed from now on, one public key a line.\n");
    text.extend(recipients.iter().map(|one| format!("{one}\n")));
    durable::create(file, text.as_bytes(), 0o600)
}

fn too_large() -> Fault {
    Fault::Malformed {
        reason: format!("the value is larger than {} MiB", format::MAX_VALUE >> 20),
    }
}

fn unreadable(tried: &Path, source: io::Error) -> Fault {
    Fault::Unreachable {
        tried: tried.to_owned(),
        source,
    }
}

fn unwritable(tried: &Path, source: io::Error) -> Fault {
    Fault::Unwritable {
        tried: tried.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
