//! .env files that `hushpipe init` takes over: their values go into the sealed store, and a template
//! of the same lines into the manifest. Values stay in this room; names leave it, and the lines of
//! those variables that are to stay readable.

mod advice;
mod place;
mod takeover;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use super::sealed::SealedError;
use crate::delivery::dotenv;
use crate::model::SecretName;
use crate::secret::SecretBytes;
use crate::stores::format::{self, Entry};
use crate::stores::sealed::{Key, SealedStore};
use crate::sys::durable;
use takeover::Named;

pub use advice::Advice;
pub use place::DeliveryPlace;
pub use takeover::{Taken, Takeover};

/// Samples that are made to be shared.
const SAMPLES: [&str; 6] = [
    "example", "sample", "template", "dist", "defaults", "schema",
];

/// The .env files of a directory: `.env` first, then `.env.local` and the like by name, samples
/// left out. Only regular files count: what is a link was dealt with already.
pub fn find(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let parts: Vec<&str> = name.split('.').skip(1).collect();
        let is_one = name.starts_with(".env") && parts.first() == Some(&"env");
        let is_sample = parts.iter().any(|part| SAMPLES.contains(part));
        if is_one && !is_sample && entry.file_type()?.is_file() {
            // Not `./.env`.
            found.push(
                directory
                    .join(name)
                    .components()
                    .skip_while(is_here)
                    .collect(),
            );
        }
    }
    found.sort();
    Ok(found)
}

fn is_here(component: &Component<'_>) -> bool {
    *component == Component::CurDir
}

/// A .env file that was read.
pub struct EnvFile {
    path: PathBuf,
    bytes: SecretBytes,
    entries: Vec<Entry>,
}

/// What may be known of a variable.
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether to seal it.
    pub advice: Advice,
    /// Variables of hushpipe's own environment that have its value too. No program starts while they
    /// do: they have to be taken out.
    pub exported: Vec<String>,
}

/// The lines of a file as a template.
#[derive(Debug, Default)]
pub struct Lines {
    /// The template, for a `content:` of the manifest.
    pub template: String,
    /// Variables whose values only a shell reads as they are meant.
    pub for_shells: Vec<String>,
}

impl EnvFile {
    /// Reads a file. A line that cannot be read is told by its number.
    pub fn read(path: &Path) -> Result<Self, SealedError> {
        let bytes = read(path)?;
        let entries = format::dotenv_entries(&bytes).map_err(|error| SealedError::Unusable {
            reason: format!("{}: {error}", path.display()),
        })?;
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

    /// Its lines, in their order, with a template's expression for each sealed value. Fails for what
    /// no template can write.
    fn lines(&self, sealed: &[Option<Named>]) -> Result<Lines, SealedError> {
        let mut lines = Lines::default();
        for (entry, named) in self.entries.iter().zip(sealed) {
            let line = match named {
                Some(named) => self.sealed_line(entry, &named.name, &mut lines.for_shells)?,
                None => self.readable_line(entry)?,
            };
            lines.template.push_str(&line);
            lines.template.push('\n');
        }
        Ok(lines)
    }

    fn unusable(&self, entry: &Entry, why: &str) -> SealedError {
        SealedError::Unusable {
            reason: format!("{}: {} {why}", self.path.display(), entry.name),
        }
    }

    fn sealed_line(
        &self,
        entry: &Entry,
        name: &SecretName,
        for_shells: &mut Vec<String>,
    ) -> Result<String, SealedError> {
        let value = str::from_utf8(entry.value.expose())
            .map_err(|_| self.unusable(entry, "is not UTF-8 text, and cannot be in a .env file"))?;
        if value.contains('\0') {
            return Err(self.unusable(entry, "has a NUL, and cannot be in a .env file"));
        }
        let filter = if entry.expands && dotenv::write(value, true).is_ok() {
            "dotenv(expand=true)"
        } else if dotenv::write(value, false).is_ok() {
            "dotenv"
        } else {
            for_shells.push(entry.name.clone());
            "shell"
        };
        Ok(format!("{}={{{{ {name} | {filter} }}}}", entry.name))
    }

    /// As it stands in the file, with what is special to templates and manifests escaped.
    fn readable_line(&self, entry: &Entry) -> Result<String, SealedError> {
        let written = &self.bytes.expose()[entry.range.clone()];
        let text = str::from_utf8(written)
            .unwrap_or("\0")
            .replace("\r\n", "\n");
        if text
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t')
        {
            return Err(self.unusable(entry, "cannot stand in a manifest: let it be sealed"));
        }
        let text = text.replace("${", "$${");
        let special = ["{{", "{%", "{#"].iter().any(|open| text.contains(open));
        if !special {
            return Ok(text);
        }
        if text.contains("endraw") {
            return Err(self.unusable(entry, "cannot stand in a template: let it be sealed"));
        }
        Ok(format!("{{% raw %}}{text}{{% endraw %}}"))
    }

    /// What is to be sealed, and as what.
    fn to_seal<'a>(
        &'a self,
        sealed: &'a [Option<Named>],
    ) -> impl Iterator<Item = (&'a Entry, &'a Key)> {
        let named = self.entries.iter().zip(sealed);
        named.filter_map(|(entry, named)| Some((entry, &named.as_ref()?.key)))
    }

    /// What the store has of it must be the same.
    fn check_known(
        &self,
        store: &SealedStore,
        sealed: &[Option<Named>],
        known: &BTreeSet<Key>,
    ) -> Result<(), SealedError> {
        for (entry, key) in self.to_seal(sealed).filter(|(_, key)| known.contains(key)) {
            let (stored, _) = store.get(key, None)?;
            if !stored.same(&entry.value) {
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
    fn seal(
        &self,
        store: &SealedStore,
        sealed: &[Option<Named>],
        known: &BTreeSet<Key>,
    ) -> Result<(), SealedError> {
        for (entry, key) in self.to_seal(sealed) {
            if known.contains(key) {
                store.finish(key)?;
                continue;
            }
            let version = store.set(key, &entry.value)?;
            let (stored, _) = store.get(key, Some(version))?;
            if !stored.same(&entry.value) {
                return Err(self.unusable(entry, "was not read back from the store as it is"));
            }
        }
        Ok(())
    }

    /// Puts a link in the place of the file, and overwrites its blocks: as far as that goes, as the
    /// disk may keep copies. A file that has changed since it was read stays.
    fn replace_by_link(&self, target: &Path) -> Result<(), SealedError> {
        let changed = || SealedError::Unusable {
            reason: format!(
                "{} has changed meanwhile: it stays as it is",
                self.path.display()
            ),
        };
        if !read(&self.path)?.same(&self.bytes) {
            return Err(changed());
        }
        self.overwrite_and_link(target)
            .map_err(|source| SealedError::Input {
                from: format!("{}, to replace it by a link", self.path.display()),
                source,
            })
    }

    fn overwrite_and_link(&self, target: &Path) -> io::Result<()> {
        let flags = libc::O_NOFOLLOW;
        let mut file = File::options()
            .write(true)
            .custom_flags(flags)
            .open(&self.path)?;
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".hushpipe");
        durable::remove_if_there(Path::new(&temporary))?;
        std::os::unix::fs::symlink(target, &temporary)?;
        // Under another name as well, it is not ours to destroy.
        let is_ours = file.metadata()?.nlink() == 1;
        // The link comes first: a power cut leaves the file or the link, never a file of zeros.
        fs::rename(&temporary, &self.path)?;
        durable::sync_directory(durable::parent(&self.path))?;
        if is_ours {
            let length = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(0))?;
            io::copy(&mut io::repeat(0).take(length), &mut file)?;
            file.sync_all()?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<SecretBytes, SealedError> {
    let read = File::open(path).and_then(super::sealed::read_all);
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

#[cfg(test)]
mod tests;
