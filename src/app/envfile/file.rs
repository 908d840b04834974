//! A .env file: what it has, and how it is put into a store.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::iter;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::advice::{self, Variable};
use super::named::Named;
use super::settle::settled;
use crate::app::sealed::{SealedError, read_all};
use crate::secret::SecretBytes;
use crate::stores::format::{self, Entry};
use crate::stores::sealed::{Key, SealedStore};
use crate::sys::{durable, filesystem};

/// A .env file that was read.
pub struct EnvFile {
    path: PathBuf,
    pub(super) bytes: SecretBytes,
    pub(super) entries: Vec<Entry>,
}

impl EnvFile {
    /// Reads a file. A line that cannot be read is told by its number.
    pub fn read(path: &Path) -> Result<Self, SealedError> {
        if path.file_name().and_then(OsStr::to_str).is_none() {
            return Err(SealedError::Unusable {
                reason: format!(
                    "{}: the file's name is not UTF-8 text, and a manifest cannot name it: rename it",
                    path.to_string_lossy().escape_debug()
                ),
            });
        }
        let bytes = read(path)?;
        let unusable = |why: &dyn std::fmt::Display| SealedError::Unusable {
            reason: format!("{}: {why}", path.display()),
        };
        let entries = format::dotenv_entries(&bytes).map_err(|error| {
            let Some(line) = error.duplicate_name() else {
                return unusable(&error);
            };
            let name = name_on_line(bytes.expose(), line);
            let what = "loaders differ on which of the two counts: remove one of them";
            unusable(&format!("{error} ({name}): {what}"))
        })?;
        let entries = settled(&bytes, entries).map_err(|why| unusable(&why))?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            entries,
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name without what comes before, such as `.env.local`.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Its variables, in their order.
    pub fn variables(&self) -> Vec<Variable<'_>> {
        let look = |entry| advice::of(entry, std::env::vars_os());
        self.entries.iter().map(look).collect()
    }

    pub(super) fn unusable(&self, entry: &Entry, why: &str) -> SealedError {
        SealedError::Unusable {
            reason: format!("{}: {} {why}", self.path.display(), entry.name),
        }
    }

    /// What is to be sealed, and as what.
    pub(super) fn to_seal<'a>(
        &'a self,
        sealed: &'a [Option<Named>],
    ) -> impl Iterator<Item = (&'a Entry, &'a Key, &'a SecretBytes)> {
        let named = self.entries.iter().zip(sealed);
        let named = named.filter_map(|(entry, named)| Some((entry, named.as_ref()?)));
        named.flat_map(|(entry, named)| {
            let written = named.written.as_ref();
            let written = written.map(|written| (entry, &written.key, &written.record));
            iter::once((entry, &named.key, &entry.value)).chain(written)
        })
    }

    /// What the store has of it must be the same.
    pub(super) fn check_known(
        &self,
        store: &SealedStore,
        sealed: &[Option<Named>],
        known: &BTreeSet<Key>,
    ) -> Result<(), SealedError> {
        let sealed = self.to_seal(sealed);
        for (entry, key, value) in sealed.filter(|(_, key, _)| known.contains(key)) {
            let (stored, _) = store.get(key, None)?;
            if !stored.same(value) {
                let reason = format!(
                    "is in the store already, as {key}, with another value: it stays as it is. \
                     Where it is old: hushpipe secret --store {} rm {key}",
                    store.path().display()
                );
                return Err(self.unusable(entry, &reason));
            }
        }
        Ok(())
    }

    /// Seals what is not known, and reads it back: the file may be the only copy. What is known is
    /// what an init sealed that was interrupted.
    pub(super) fn seal(
        &self,
        store: &SealedStore,
        sealed: &[Option<Named>],
        known: &BTreeSet<Key>,
    ) -> Result<(), SealedError> {
        for (entry, key, value) in self.to_seal(sealed) {
            if known.contains(key) {
                store.finish(key)?;
                continue;
            }
            let version = store.set(key, value)?;
            let (stored, _) = store.get(key, Some(version))?;
            if !stored.same(value) {
                return Err(self.unusable(entry, "was not read back from the store as it is"));
            }
        }
        Ok(())
    }

    /// Removes the file, and overwrites its blocks: as far as that goes, as the disk may keep copies. A
    /// file that has changed since it was read stays.
    pub(super) fn remove(&self) -> Result<(), SealedError> {
        let failed = |source| SealedError::Input {
            from: format!("{}, to remove it", self.path.display()),
            source,
        };
        if self.overwrite_and_unlink().map_err(failed)? {
            return Ok(());
        }
        Err(SealedError::Unusable {
            reason: format!(
                "{} has changed meanwhile: it stays as it is",
                self.path.display()
            ),
        })
    }

    /// Returns false if the file has changed. Its directory and the file are opened once: what is put
    /// in their place meanwhile is not touched.
    fn overwrite_and_unlink(&self) -> io::Result<bool> {
        let directory = durable::parent(&self.path).canonicalize()?;
        let directory = filesystem::open_directory(&directory)?;
        let name = self.path.file_name().unwrap_or_default();
        let mut file = filesystem::open_for_change_at(&directory, name)?;
        if !read_all(&file)?.same(&self.bytes) {
            return Ok(false);
        }
        // Under another name as well, it is not ours to destroy.
        let is_ours = file.metadata()?.nlink() == 1;
        // The name goes first: a power cut leaves the file or nothing, never a file of zeros.
        filesystem::unlink_at(&directory, name)?;
        durable::sync_names(directory)?;
        if is_ours {
            let length = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(0))?;
            io::copy(&mut io::repeat(0).take(length), &mut file)?;
            file.sync_all()?;
        }
        Ok(true)
    }
}

/// The name of a variable, by the number of its line.
fn name_on_line(bytes: &[u8], line: usize) -> String {
    let text = bytes.split(|byte| *byte == b'\n').nth(line - 1);
    let name = text.unwrap_or_default().split(|byte| *byte == b'=').next();
    let name = String::from_utf8_lossy(name.unwrap_or_default());
    let name = name.trim();
    let name = name.strip_prefix("export").map_or(name, str::trim_start);
    name.to_owned()
}

fn read(path: &Path) -> Result<SecretBytes, SealedError> {
    let read = File::open(path).and_then(read_all);
    let bytes = read.map_err(|source| SealedError::Input {
        from: path.display().to_string(),
        source,
    })?;
    if bytes.len() > format::MAX_VALUE {
        let reason = format!("{} is too large for a .env file", path.display());
        return Err(SealedError::Unusable { reason });
    }
    Ok(bytes)
}
