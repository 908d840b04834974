//! What is read as trusted: files on paths that only root, hushpipe's own user and the owners that the
//! manifest names can change, within a bound, never waiting for a FIFO.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::process::{getegid, getgroups};

use super::SecretBytes;
use crate::sys::filesystem::{self, Kind, effective_uid};
use crate::sys::walk::{self, Links, Rule, WalkError, WalkFault};

/// Who may change files that are trusted.
pub struct Trusted {
    owners: Vec<u32>,
    /// hushpipe's own: where a group shares a directory (`fsGroup` of Kubernetes), its members do.
    groups: Vec<u32>,
}

impl Trusted {
    /// Root, hushpipe's own user and groups, and these owners.
    pub fn new(owners: &[u32]) -> Self {
        let mut groups: Vec<u32> = getgroups()
            .unwrap_or_default()
            .into_iter()
            .map(rustix::fs::Gid::as_raw)
            .collect();
        groups.push(getegid().as_raw());
        Self {
            owners: owners.to_vec(),
            groups,
        }
    }

    /// The same, for a walk.
    pub fn rule(&self) -> Rule<'_> {
        Rule {
            root_alone: false,
            owners: &self.owners,
            groups: &self.groups,
            ends_with: &[],
            links: Links::Follow,
            descriptors: true,
            mounts: true,
        }
    }

    /// Opens a regular file.
    pub fn open(&self, path: &Path) -> Result<OwnedFd, FileError> {
        let file = walk::file(path, &self.rule()).map_err(|error| match error.fault {
            WalkFault::System(source) => unreadable(path, source),
            _ => FileError::from(error),
        })?;
        let stat = fstat(&file).map_err(|errno| unreadable(path, errno.into()))?;
        // A descriptor of hushpipe's caller may be anything.
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(FileError::Unfit(format!(
                "{} is no regular file",
                path.display()
            )));
        }
        Ok(file)
    }

    /// The directory and name of a unix socket that a trusted user has there; `None`: it is no socket.
    pub fn socket(&self, path: &Path) -> Result<Option<(OwnedFd, OsString)>, FileError> {
        let Ok((directory, name)) = walk::parent(path, &self.rule()) else {
            // Reading it as a file says why.
            return Ok(None);
        };
        let found = filesystem::status_at(&directory, &name)
            .map_err(|error| unreadable(path, error))?
            .filter(|found| found.kind == Kind::Socket);
        let Some(found) = found else { return Ok(None) };
        let known = [0, effective_uid()].contains(&found.uid) || self.owners.contains(&found.uid);
        if known {
            return Ok(Some((directory, name)));
        }
        Err(FileError::from(WalkError {
            path: path.to_owned(),
            fault: WalkFault::Owner {
                uid: found.uid,
                unmapped: false,
            },
        }))
    }

    /// All of a file that has no more than `most` bytes.
    pub fn read(&self, path: &Path, most: usize) -> Result<SecretBytes, FileError> {
        let file = self.open(path)?;
        read_to_end(&file, most).map_err(|errno| match errno {
            Errno::FBIG => FileError::Unfit(format!(
                "{} is larger than {} KiB",
                path.display(),
                most >> 10
            )),
            errno => unreadable(path, errno.into()),
        })
    }
}

fn unreadable(path: &Path, source: io::Error) -> FileError {
    FileError::System {
        path: path.to_owned(),
        source,
    }
}

/// Reads a file into a buffer of the right size, so that no copy is left by growing; EFBIG past the
/// limit.
pub fn read_to_end(file: impl AsFd, most: usize) -> Result<SecretBytes, Errno> {
    let size = usize::try_from(fstat(&file)?.st_size).unwrap_or(usize::MAX);
    if size > most {
        return Err(Errno::FBIG);
    }
    // One more, so that the end is seen without growing.
    let mut bytes = Vec::with_capacity(size + 1);
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.len().max(4096));
        }
        match rustix::io::read(&file, spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(SecretBytes::new(bytes)),
            Ok(_) if bytes.len() > most => {
                drop(SecretBytes::new(bytes));
                return Err(Errno::FBIG);
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Why a file was not read, and what to do. Names its path; never what it holds.
#[derive(Debug)]
pub enum FileError {
    /// The system's word.
    System {
        /// What was tried.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// It is no regular file, or too large.
    Unfit(String),
    /// Others can change it.
    Untrusted {
        /// Why, and what to do.
        reason: String,
        /// Whom it belongs to, where trusting that user would do.
        owner: Option<u32>,
    },
}

impl From<WalkError> for FileError {
    fn from(error: WalkError) -> Self {
        let reason = format!("{error}{}", error.help(effective_uid()));
        let owner = error.foreign_owner();
        match error.fault {
            WalkFault::System(source) => {
                let path = error.path;
                Self::System { path, source }
            }
            WalkFault::NotFile(_) | WalkFault::NotDirectory => Self::Unfit(reason),
            _ => Self::Untrusted { reason, owner },
        }
    }
}
