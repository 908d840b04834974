//! Several .env files at once: each sealed variable has a name of its own in the manifest.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use super::super::sealed::{self, SealedError};
use super::file::EnvFile;
use super::lines::Lines;
use super::named::{Named, Written};
use crate::model::{NameError, SecretName};
use crate::secret::SecretBytes;
use crate::stores::format::Entry;
use crate::stores::sealed::Key;

/// Files whose values are to be moved; nothing is done yet.
pub struct Takeover {
    files: Vec<Taken>,
}

/// One of them.
pub struct Taken {
    file: EnvFile,
    sealed: Vec<Option<Named>>,
    lines: Lines,
}

impl Takeover {
    /// Settles what becomes of each file: which variables are sealed, in the order of
    /// [`EnvFile::variables`]. Everything that would fail later fails here.
    pub fn plan(files: Vec<(EnvFile, Vec<bool>)>) -> Result<Self, SealedError> {
        let mut names = Names::default();
        let mut taken = Vec::new();
        for (file, chosen) in files {
            let entries = file.entries.iter().zip(chosen);
            // What is empty is no secret.
            let sealed = entries.map(|(entry, seal)| {
                (seal && !entry.value.is_empty())
                    .then(|| names.named(&file, entry))
                    .transpose()
            });
            let sealed = sealed.collect::<Result<Vec<_>, _>>()?;
            taken.push((file, sealed));
        }
        // These come after all others, which keep the names of their variables.
        let take = |(file, mut sealed): (EnvFile, Vec<Option<Named>>)| {
            for (index, named) in sealed.iter_mut().enumerate() {
                if let Some(named) = named {
                    let record = file.record(index)?;
                    let written = record.map(|record| names.written(&file, named, record));
                    named.written = written.transpose()?;
                }
            }
            let lines = file.lines(&sealed)?;
            Ok(Taken {
                file,
                sealed,
                lines,
            })
        };
        let files = taken.into_iter().map(take);
        let files = files.collect::<Result<_, SealedError>>()?;
        Ok(Self { files })
    }

    /// The files.
    pub fn files(&self) -> &[Taken] {
        &self.files
    }

    /// The files as they were read.
    pub fn into_files(self) -> Vec<EnvFile> {
        self.files.into_iter().map(|taken| taken.file).collect()
    }

    /// The name in the manifest and the name in the store of each sealed variable.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .flat_map(|taken| taken.secrets().flatten())
    }

    /// The same of what is delivered as it was written.
    pub fn written(&self) -> impl Iterator<Item = (&str, &str)> {
        let sealed = self
            .files
            .iter()
            .flat_map(|taken| taken.sealed.iter().flatten());
        let written = sealed.filter_map(|named| named.written.as_ref());
        written.map(|written| (written.name.as_str(), written.key.as_str()))
    }

    /// Seals the values in the store of a directory, which is there. Secrets that it has already are
    /// not overwritten: those with the same value stay, and with another one nothing is sealed.
    pub fn seal(&self, store: &Path, identity_file: &Path) -> Result<(), SealedError> {
        let (path, identity) = (store.to_owned(), identity_file.to_owned());
        let store = sealed::by_path(path, identity, false, Rc::new(()));
        let listed = store.list()?;
        let known = listed.into_iter().map(|listed| listed.key);
        let known: BTreeSet<_> = known.collect();
        for taken in &self.files {
            taken.file.check_known(&store, &taken.sealed, &known)?;
        }
        let mut files = self.files.iter();
        files.try_for_each(|taken| taken.file.seal(&store, &taken.sealed, &known))
    }
}

impl Taken {
    /// The file.
    pub const fn file(&self) -> &EnvFile {
        &self.file
    }

    /// The name in the manifest and in the store of each variable that is sealed, in the order of
    /// [`EnvFile::variables`].
    pub fn secrets(&self) -> impl Iterator<Item = Option<(&str, &str)>> {
        let sealed = self.sealed.iter().map(Option::as_ref);
        sealed.map(|named| named.map(|named| (named.name.as_str(), named.key.as_str())))
    }

    /// How many of its variables are sealed.
    pub fn count(&self) -> usize {
        self.sealed.iter().flatten().count()
    }

    /// Its lines, for the manifest.
    pub const fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Removes it: see [`EnvFile`]. To be called when its values are sealed.
    pub fn remove(&self) -> Result<(), SealedError> {
        self.file.remove()
    }
}

/// Names that are taken.
#[derive(Default)]
struct Names {
    keys: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Names {
    /// `.env` gives `NAME`, `.env.local` gives `local/NAME` and `local_NAME`.
    fn named(&mut self, file: &EnvFile, entry: &Entry) -> Result<Named, SealedError> {
        let name = file.name();
        let parts = name.split('.').filter(|part| !matches!(*part, "" | "env"));
        let place = parts.collect::<Vec<_>>().join(".");
        let key = [&*place, &*entry.name].map(str::to_owned);
        let key = key.iter().filter(|part| !part.is_empty());
        let key = key.map(String::as_str).collect::<Vec<_>>().join("/");
        let (key, name) = self.take(file, key)?;
        Ok(Named {
            key,
            name,
            written: None,
        })
    }

    fn written(
        &mut self,
        file: &EnvFile,
        named: &Named,
        record: SecretBytes,
    ) -> Result<Written, SealedError> {
        let (key, name) = self.take(file, format!("{}.written", named.key.as_str()))?;
        Ok(Written { key, name, record })
    }

    fn take(&mut self, file: &EnvFile, mut key: String) -> Result<(Key, SecretName), SealedError> {
        while !self.keys.insert(key.clone()) {
            key.push('_');
        }
        let bad = |why: &dyn std::fmt::Display| SealedError::Unusable {
            reason: format!("{}: {key}: {why}", file.path().display()),
        };
        let name = identifier(&key, &mut self.names);
        let name = SecretName::new(&name).map_err(|error| bad(&error))?;
        Ok((Key::parse(&key).map_err(|error| bad(&error))?, name))
    }
}

/// As a template can name it, and nothing else is named.
fn identifier(key: &str, taken: &mut BTreeSet<String>) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = key.chars().map(fits).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert(0, 'x');
    }
    // A word of templates is no name either.
    while SecretName::new(&name) == Err(NameError::Word) || !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}
