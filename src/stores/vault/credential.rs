//! Credential files, and what is sent of them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use super::error::{VaultError, denied};
use crate::secret::{Buffer, SecretBytes, Trusted};
use crate::stores::Fault;

/// Credentials are small; what is larger is another file.
const LARGEST: usize = 64 << 10;

/// What tells one content of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    size: u64,
}

impl Stamp {
    /// Of the file that is at a path now.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|found| Self {
            device: found.dev(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            size: found.size(),
        })
    }
}

/// A credential's file without the white space around its content.
pub(super) fn read(path: &Path, trusted: &Trusted) -> Result<SecretBytes, VaultError> {
    let bytes = read_all(path, trusted)?;
    let trimmed = bytes.expose().trim_ascii();
    if trimmed.is_empty() {
        return Err(VaultError::Store(denied(format!(
            "{} is empty",
            path.display()
        ))));
    }
    Ok(SecretBytes::new(trimmed.to_vec()))
}

/// A password's file: one line end at its end is not part of it.
pub(super) fn read_line(path: &Path, trusted: &Trusted) -> Result<SecretBytes, VaultError> {
    let bytes = read_all(path, trusted)?;
    let line = bytes.expose();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(SecretBytes::new(line.to_vec()))
}

fn read_all(path: &Path, trusted: &Trusted) -> Result<SecretBytes, VaultError> {
    let read = trusted.read(path, LARGEST);
    read.map_err(|error| VaultError::Store(error.into()))
}

pub(super) fn text<'a>(bytes: &'a SecretBytes, path: &Path) -> Result<&'a str, VaultError> {
    std::str::from_utf8(bytes.expose()).map_err(|_| {
        VaultError::Store(Fault::Malformed {
            reason: format!("{} is not UTF-8", path.display()),
        })
    })
}

pub(super) fn kept(bytes: &SecretBytes) -> Result<Buffer, VaultError> {
    Buffer::new(bytes.expose()).map_err(|error| VaultError::Store(Fault::no_memory(error)))
}

/// A body of JSON.
pub(super) fn json(body: &impl Serialize) -> Result<SecretBytes, VaultError> {
    serde_json::to_vec(body).map(SecretBytes::new).map_err(|_| {
        VaultError::Asked(Fault::Malformed {
            reason: "the request cannot be written as JSON".to_owned(),
        })
    })
}
