//! The directories of a sealed store.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::SystemTime;

use crate::sys::filesystem;

/// Where the secrets are, in the store.
pub const SECRETS: &str = "secrets";

/// A store's directories, open. All that is written is beneath them, and no link is followed there.
pub struct Root {
    /// The store's own.
    pub directory: OwnedFd,
    /// That of its secrets.
    pub secrets: Rc<OwnedFd>,
}

impl Root {
    /// When a file of the store was changed.
    pub fn modified(&self, name: &str) -> io::Result<SystemTime> {
        let found = filesystem::status_at(&self.directory, name)?;
        Ok(found.ok_or(io::ErrorKind::NotFound)?.modified_at())
    }
}
