//! Cosigned checkpoints, a file each: those that a witness gave, and those that were got from witnesses.
//!
//! What is in a file is signed, so it does not matter who may write it; what is gone or old shows.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Checkpoint};
use super::error::LogError;
use super::note::{Note, VerifierKey};
use crate::model::hex;
use crate::sys::walk::{self, Rule};
use crate::sys::{beneath, durable, filesystem, held};

use ring::digest::{SHA256, digest};

/// A directory of cosigned checkpoints.
#[derive(Debug)]
pub struct Kept {
    directory: OwnedFd,
    path: PathBuf,
}

/// A checkpoint that a witness cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// What it says.
    pub head: Checkpoint,
    /// When: seconds since 1970.
    pub time: u64,
    /// The whole note.
    pub note: String,
}

impl Kept {
    /// Opens it, whoever owns its last component. `None`: there is none.
    pub fn open(path: &Path) -> Result<Option<Self>, LogError> {
        let status = filesystem::status_of_path(path);
        let status = status.map_err(LogError::system("look at", path))?;
        let Some(status) = status else {
            return Ok(None);
        };
        let rule = Rule {
            owners: &[status.uid],
            ..Rule::STRICT
        };
        let directory = walk::directory(path, &rule)?;
        let path = path.to_owned();
        Ok(Some(Self { directory, path }))
    }

    /// Opens it, and makes it where it is not there.
    pub fn make(path: &Path) -> Result<Self, LogError> {
        if let Some(kept) = Self::open(path)? {
            return Ok(kept);
        }
        let directory = held::make_directories(path, &Rule::STRICT)?;
        let path = path.to_owned();
        Ok(Self { directory, path })
    }

    /// Keeps it for one process, as long as what is returned is open. `None`: another has it.
    pub fn lock(&self) -> Result<Option<OwnedFd>, LogError> {
        filesystem::lock_at(&self.directory, "lock").map_err(LogError::system("lock", &self.path))
    }

    /// The file of a log's checkpoint that this witness cosigned.
    fn name(origin: &str, witness: &VerifierKey) -> OsString {
        let text = format!("{origin}\n{witness}");
        let name = digest(&SHA256, text.as_bytes());
        format!("cosigned-{}", hex(&name.as_ref()[..16])).into()
    }

    /// The last checkpoint of a log that this witness cosigned. `None`: there is none. An error: the file is
    /// there, and has none.
    pub fn read(&self, origin: &str, witness: &VerifierKey) -> Result<Option<Cosigned>, LogError> {
        let name = Self::name(origin, witness);
        let path = self.path.join(&name);
        let bytes = match beneath::read_file(&self.directory, &name, checkpoint::LONGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(LogError::system("read", &path))?,
        };
        let cosigned = Cosigned::parse(&bytes, witness);
        let cosigned = cosigned.map_err(|source| LogError::Checkpoint { path, source })?;
        Ok(Some(cosigned))
    }

    /// Keeps one; it is on the disk when this returns.
    pub fn write(&self, origin: &str, witness: &VerifierKey, note: &str) -> Result<(), LogError> {
        let name = Self::name(origin, witness);
        let written = durable::replace_at(&self.directory, &name, note.as_bytes(), 0o644);
        written.map_err(LogError::system("write", self.path.join(name)))
    }
}

impl Cosigned {
    /// Of a note that this witness cosigned.
    pub fn parse(bytes: &[u8], witness: &VerifierKey) -> Result<Self, super::NoteError> {
        let note = Note::parse(bytes)?;
        let time = note.cosigned_at(witness)?;
        let unsigned = super::NoteError("it is not cosigned by that witness");
        let time = time.ok_or(unsigned)?;
        let head = Checkpoint::parse(note.text())?;
        let note = String::from_utf8_lossy(bytes).into_owned();
        Ok(Self { head, time, note })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("w");
        let (one, other) = (Kept::make(&path).unwrap(), Kept::make(&path).unwrap());
        let lock = one.lock().unwrap();
        assert!(lock.is_some() && other.lock().unwrap().is_none());
        drop(lock);
        assert!(other.lock().unwrap().is_some());
    }
}
