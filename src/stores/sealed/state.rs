//! What a store holds by its index.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::index::{Index, digest};
use super::key::Key;
use super::memory::Remembered;

/// The index's file in a store.
pub const INDEX: &str = "index";

/// What a store holds.
pub struct State {
    /// By its index, or, where a person said so, by what lies there.
    pub index: Index,
    /// The index as it is on the disk; `None`: there is none.
    pub text: Option<String>,
}

impl State {
    /// Of an index that was just written.
    pub const fn written(index: Index, text: String) -> Self {
        let text = Some(text);
        Self { index, text }
    }

    /// Of an index that is not written.
    pub const fn of(index: Index) -> Self {
        let text = None;
        Self { index, text }
    }

    /// Whether both were read from the same index.
    pub fn same(&self, other: &Self) -> bool {
        self.text.is_some() && self.text == other.text
    }

    /// What a host remembers of it.
    pub fn to_remember(&self) -> Option<Remembered> {
        let text = self.text.as_ref()?;
        Some(Remembered {
            store: self.index.store,
            number: self.index.number,
            index: digest(text.as_bytes()),
            members: self.index.members.keys().cloned().collect(),
        })
    }
}

/// The directories in one of a store that can be secrets.
pub fn keys(directory: &Path, prefix: &str) -> io::Result<Vec<(Key, PathBuf)>> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        // What cannot be a name was put there by others.
        let key = name
            .to_str()
            .map(|name| Key::parse(&format!("{prefix}{name}")));
        if let Some(Ok(key)) = key
            && entry.file_type()?.is_dir()
        {
            keys.push((key, entry.path()));
        }
    }
    Ok(keys)
}
