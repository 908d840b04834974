//! Why there is no answer.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::model::printable::printable_path;
use crate::secret::FileError;

/// Why a request has no answer. Names the server's address and files of the settings; never what
/// was sent, and of an answer its status alone.
#[derive(Debug)]
pub enum HttpError {
    /// No address gave an answer, or one that makes sense.
    NoAnswer {
        /// The address that says most about it.
        address: String,
        /// How long it was tried.
        after: Duration,
        /// What went wrong there.
        cause: String,
    },
    /// A server took the connection and did not respond in time.
    Deadline {
        /// How long it was tried.
        after: Duration,
    },
    /// A file of the TLS settings.
    File(FileError),
    /// The kernel has no protected memory for the answer.
    NoMemory(io::Error),
    /// The settings or the answer cannot be used: why, and what to do.
    Unusable(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer { address, cause, .. } => write!(f, "{address}: {cause}"),
            Self::Deadline { after } => write!(f, "no response within {}s", after.as_secs()),
            Self::File(FileError::System { path, source }) => {
                write!(f, "{}: {source}", printable_path(path))
            }
            Self::File(FileError::Unfit(text) | FileError::Untrusted { reason: text, .. }) => {
                f.write_str(text)
            }
            Self::NoMemory(error) => write!(f, "no protected memory: {error}"),
            Self::Unusable(why) => f.write_str(why),
        }
    }
}

impl HttpError {
    /// The system's word on a file of the settings.
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::File(FileError::System {
            path: path.to_owned(),
            source,
        })
    }
}

impl From<FileError> for HttpError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}
