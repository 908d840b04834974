//! Several .env files at once: each sealed variable has a name of its own in the manifest.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::sealed::{self, SealedError};
use super::{EnvFile, Lines};
use crate::model::SecretName;
use crate::stores::format::Entry;
use crate::stores::sealed::Key;

/// A sealed variable.
pub(super) struct Named {
    /// Its name in the store.
    pub key: Key,
    /// Its name in the manifest.
    pub name: SecretName,
}

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
        let mut names = BTreeSet::new();
        let take = |(file, chosen): (EnvFile, Vec<bool>)| {
            let entries = file.entries.iter().zip(chosen);
            let sealed = entries
                .map(|(entry, seal)| seal.then(|| named(&file, entry, &mut names)).transpose());
            let sealed = sealed.collect::<Result<Vec<_>, _>>()?;
            let lines = file.lines(&sealed)?;
            Ok(Taken {
                file,
                sealed,
                lines,
            })
        };
        let files = files.into_iter().map(take);
        let files = files.collect::<Result<_, SealedError>>()?;
        Ok(Self { files })
    }

    /// The files.
    pub fn files(&self) -> &[Taken] {
        &self.files
    }

    /// The name in the manifest and the name in the store of each sealed variable.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        let sealed = self
            .files
            .iter()
            .flat_map(|taken| taken.sealed.iter().flatten());
        sealed.map(|named| (named.name.as_str(), named.key.as_str()))
    }

    /// Seals the values in the store of a directory, which is there. Secrets that it has already are
    /// not overwritten: those with the same value stay, and with another one nothing is sealed.
    pub fn seal(&self, store: &Path, identity_file: &Path) -> Result<(), SealedError> {
        let store = sealed::by_path(store.to_owned(), identity_file.to_owned());
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

    /// How many of its variables are sealed.
    pub fn count(&self) -> usize {
        self.sealed.iter().flatten().count()
    }

    /// Its lines, for the manifest.
    pub const fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Puts a link in its place: see [`EnvFile`]. To be called when its values are sealed.
    pub fn replace_by_link(&self, target: &Path) -> Result<(), SealedError> {
        self.file.replace_by_link(target)
    }
}

/// `.env` gives `NAME`, `.env.local` gives `local/NAME` and `local_NAME`.
fn named(
    file: &EnvFile,
    entry: &Entry,
    taken: &mut BTreeSet<String>,
) -> Result<Named, SealedError> {
    let name = file.name();
    let parts = name.split('.').filter(|part| !matches!(*part, "" | "env"));
    let place = parts.collect::<Vec<_>>().join(".");
    let key = [&*place, &*entry.name].map(str::to_owned);
    let key = key.iter().filter(|part| !part.is_empty());
    let key = key.map(String::as_str).collect::<Vec<_>>().join("/");
    let bad = |why: &dyn std::fmt::Display| SealedError::Unusable {
        reason: format!("{}: {}: {why}", file.path().display(), entry.name),
    };
    let name = identifier(&key, taken);
    Ok(Named {
        name: SecretName::new(&name).map_err(|error| bad(&error))?,
        key: Key::parse(&key).map_err(|error| bad(&error))?,
    })
}

/// As a template can name it, and nothing else is named.
fn identifier(key: &str, taken: &mut BTreeSet<String>) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = key.chars().map(fits).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert(0, 'x');
    }
    while !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}
