//! Why the log cannot be used.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::note::NoteError;
use crate::model::format_duration;
use crate::model::printable::printable_path;
use crate::sys::filesystem::effective_uid;
use crate::sys::walk::WalkError;

/// What failed, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("cannot {doing} {}", printable_path(path))]
    System {
        /// `read`, `write`, ...
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// Its word.
        source: io::Error,
    },
    /// Others can change it.
    #[error("the audit log cannot be trusted: {error}")]
    Untrusted {
        /// What the walk to it found.
        error: WalkError,
    },
    /// Another process holds the lock.
    #[error(
        "another process has held the lock {} for {}",
        printable_path(path), format_duration(*waited)
    )]
    Locked {
        /// The lock.
        path: PathBuf,
        /// For how long it was waited.
        waited: Duration,
    },
    /// There is a log, and no key.
    #[error(
        "the audit key {} is missing, but the log {} has records",
        printable_path(key),
        printable_path(log)
    )]
    KeyMissing {
        /// Where the key is to be.
        key: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// Its file is not as a key file is.
    #[error("{} cannot be used as the audit key: {why}", printable_path(path))]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It was changed, or is of another key.
    #[error("the checkpoint {} cannot be used", printable_path(path))]
    Checkpoint {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: NoteError,
    },
    /// There is no such record.
    #[error("there is no record {index}: the checkpoint covers {size}")]
    NoRecord {
        /// Which.
        index: u64,
        /// How many there are.
        size: u64,
    },
    /// Its parts do not fit each other.
    #[error("{} is damaged: {why}", printable_path(path))]
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

    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::System { path, source, .. } => return advice(source, path),
            Self::Untrusted { error } => {
                // A directory of somebody else may be a log's, which is hushpipe's own.
                let foreign = || {
                    let path = printable_path(&error.path);
                    let is_foreign = error.foreign_owner().is_some();
                    is_foreign.then(|| format!("chown {} {path}", effective_uid()))
                };
                let command = error.remedy(effective_uid()).or_else(foreign)?;
                format!("look at it, and then: {command}")
            }
            Self::Locked { path, .. } => {
                let path = printable_path(path);
                format!("`fuser -v {path}` names the process; end it if it hangs")
            }
            Self::KeyMissing { .. } => {
                "restore the key from a backup, or move the log away to begin a new one".to_owned()
            }
            Self::Key { .. } | Self::NoRecord { .. } => return None,
            Self::Checkpoint { .. } | Self::Damaged { .. } => {
                "`hushpipe audit verify` shows what is wrong with the log; to begin a new one, move the \
                 log's directory away and keep it"
                    .to_owned()
            }
        })
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
fn advice(error: &io::Error, path: &Path) -> Option<String> {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    Some(match error.kind() {
        StorageFull | QuotaExceeded => {
            "make room on that file system; hushpipe writes the log again by itself".to_owned()
        }
        ReadOnlyFilesystem => format!(
            "remount the file system read-write; a unit with ProtectSystem=strict needs ReadWritePaths={}",
            printable_path(path.parent().unwrap_or(path))
        ),
        PermissionDenied => format!(
            "uid {} may not write there; run launchers that write the site's audit log as root, or as the \
             owner of its directory",
            effective_uid()
        ),
        _ => return None,
    })
}
