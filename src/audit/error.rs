//! Why the log cannot be used.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::note::NoteError;
use crate::model::format_duration;
use crate::sys::filesystem::effective_uid;
use crate::sys::walk::WalkError;

/// What failed, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("cannot {doing} {}{}", path.display(), advice(source, path))]
    System {
        /// `read`, `write`, ...
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// Its word.
        source: io::Error,
    },
    /// Others can change it.
    #[error("the audit log cannot be used: {error}{}", error.help(effective_uid()))]
    Untrusted {
        /// What the walk to it found.
        error: WalkError,
    },
    /// Another process holds the lock.
    #[error(
        "another process has held the lock {} for {}: see who has it open (fuser), and end it if it hangs",
        path.display(), format_duration(*waited)
    )]
    Locked {
        /// The lock.
        path: PathBuf,
        /// For how long it was waited.
        waited: Duration,
    },
    /// There is a log, and no key.
    #[error(
        "the audit key {} is missing, but the log {} has records: restore the key from a backup, or \
         move the log away to begin a new one",
        key.display(), log.display()
    )]
    KeyMissing {
        /// Where the key is to be.
        key: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// Its file is not as a key file is.
    #[error("{} cannot be used as the audit key: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It was changed, or is of another key.
    #[error(
        "the checkpoint {} cannot be used: {source}; `hushpipe audit verify` shows what is wrong with the log",
        path.display()
    )]
    Checkpoint {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: NoteError,
    },
    /// Its parts do not fit each other.
    #[error("{} is damaged: {why}; `hushpipe audit verify` shows more", path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// How that shows.
        why: String,
    },
}

impl LogError {
    /// A system's error about a path.
    pub fn system(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::System {
            doing,
            path,
            source,
        }
    }

    /// Something does not fit.
    pub fn damaged(path: impl AsRef<Path>, why: impl Into<String>) -> Self {
        let path = path.as_ref().to_owned();
        let why = why.into();
        Self::Damaged { path, why }
    }
}

impl From<WalkError> for LogError {
    fn from(error: WalkError) -> Self {
        Self::Untrusted { error }
    }
}

/// What to do about an error of the system.
fn advice(error: &io::Error, path: &Path) -> String {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => {
            ": the disk is full; make room, the audit log recovers by itself".to_owned()
        }
        ReadOnlyFilesystem => format!(
            ": the file system is read-only; a unit with ProtectSystem=strict needs ReadWritePaths={}",
            path.parent().unwrap_or(path).display()
        ),
        PermissionDenied => format!(
            ": uid {} may not write there; launchers that write the site's audit log run as root, or as \
             the owner of its directory",
            effective_uid()
        ),
        _ => String::new(),
    }
}
