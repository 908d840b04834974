//! A value that a person edits: a file in memory, in a directory that its user alone may enter, for as long as
//! an editor has it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::files_directory::in_memory_of_user;
use crate::secret::SecretBytes;
use crate::stores::format::MAX_VALUE;
use crate::sys::{beneath, filesystem, held};

/// The file's name: an editor sees no more of the secret.
const NAME: &str = "value";

/// The directory and its file: removed when dropped, with what the editor put beside it.
pub struct ValueFile {
    parent: OwnedFd,
    name: OsString,
    directory: OwnedFd,
    path: PathBuf,
}

impl ValueFile {
    /// Puts a value there.
    pub fn make(value: &[u8]) -> io::Result<Self> {
        let (parent, path) = in_memory_of_user()?;
        let name = held::unguessable("hushpipe-edit-");
        let directory = held::fresh_at(&parent, &name, 0o700)?;
        let made = Self {
            path: path.join(&name).join(NAME),
            parent,
            name,
            directory,
        };
        let file = filesystem::make_file_at(&made.directory, OsStr::new(NAME))?;
        filesystem::change_mode(&file, 0o600)?;
        File::from(file).write_all(value)?;
        Ok(made)
    }

    /// Its path.
    pub fn file(&self) -> &Path {
        &self.path
    }

    /// What it has now: editors replace the file.
    pub fn read(&self) -> io::Result<SecretBytes> {
        let file = filesystem::open_for_change_at(&self.directory, OsStr::new(NAME))?;
        beneath::read_whole(file, MAX_VALUE as u64 + 1).map(SecretBytes::new)
    }

    fn clear(&self) -> io::Result<()> {
        for entry in filesystem::entries(&self.directory)? {
            filesystem::unlink_at(&self.directory, &entry)?;
        }
        held::remove_at(&self.parent, &self.name, &self.directory)
    }
}

impl Drop for ValueFile {
    fn drop(&mut self) {
        if self.clear().is_err() {
            // It is in memory, and for its user alone.
        }
    }
}
