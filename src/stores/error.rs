//! Why a store did not give a secret.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::HttpError;
use crate::model::printable::printable_path;
use crate::model::{Exit, Outcome, Source, StoreName};
use crate::secret::FileError;

/// Why a store did not give a secret. The texts name paths and causes; never a value, never what a
/// store answered.
#[derive(Debug)]
pub struct StoreError {
    /// Which store.
    pub store: StoreName,
    /// What it was asked for: a key, a path.
    pub asked: Option<String>,
    /// What went wrong.
    pub fault: Fault,
}

/// The kinds of faults, each with its exit code.
#[derive(Debug)]
pub enum Fault {
    /// The store itself is not there or cannot be read.
    Unreachable {
        /// What was tried.
        tried: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A server does not answer, or not with sense.
    NoAnswer {
        /// The address that was tried last.
        address: String,
        /// How long it was tried.
        after: Duration,
        /// What went wrong last; never what the server said.
        cause: String,
    },
    /// The store could not be written.
    Unwritable {
        /// What was tried.
        tried: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// It has no such secret, version or field.
    Missing {
        /// What to do.
        hint: String,
    },
    /// Access is denied, or what guards the store is too open.
    Denied {
        /// Why, and what to do.
        reason: String,
    },
    /// People have to approve it first, and not enough of them have.
    Unapproved {
        /// What is waited for, and what to do.
        reason: String,
    },
    /// What the store holds is damaged or not of the stated format. Never quotes it.
    Malformed {
        /// Why, and what to do.
        reason: String,
    },
    /// A program failed.
    Program {
        /// Its `argv[0]`.
        program: String,
        /// How it ended: `exit code 3`, `signal SIGKILL`, or why it did not start.
        ended: String,
        /// What it wrote to stderr last.
        last_line: LastLine,
    },
    /// It took too long.
    Deadline {
        /// How long was waited.
        after: Duration,
    },
}

/// The last line of a program's standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastLine {
    /// It wrote nothing.
    None,
    /// It wrote something, and the manifest does not let it be shown.
    Hidden,
    /// Cut at 200 characters, control characters removed.
    Shown(String),
}

impl Fault {
    /// The kernel has no memory or no randomness for what must be kept.
    pub(crate) fn no_memory(source: std::io::Error) -> Self {
        Self::Unreachable {
            tried: "protected memory".into(),
            source,
        }
    }

    /// Its kind, for events.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Unreachable { .. } => Outcome::Unreachable,
            Self::NoAnswer { .. } => Outcome::NoAnswer,
            Self::Unwritable { .. } => Outcome::Unwritable,
            Self::Missing { .. } => Outcome::Missing,
            Self::Denied { .. } => Outcome::Denied,
            Self::Unapproved { .. } => Outcome::Unapproved,
            Self::Malformed { .. } => Outcome::Malformed,
            Self::Program { .. } => Outcome::Program,
            Self::Deadline { .. } => Outcome::Deadline,
        }
    }

    /// The same fault once more, for another source that it holds for.
    pub(crate) fn again(&self) -> Self {
        let same = |source: &std::io::Error| match source.raw_os_error() {
            Some(number) => std::io::Error::from_raw_os_error(number),
            None => std::io::Error::new(source.kind(), source.to_string()),
        };
        match self {
            Self::Unreachable { tried, source } => Self::Unreachable {
                tried: tried.clone(),
                source: same(source),
            },
            Self::Unwritable { tried, source } => Self::Unwritable {
                tried: tried.clone(),
                source: same(source),
            },
            Self::NoAnswer {
                address,
                after,
                cause,
            } => Self::NoAnswer {
                address: address.clone(),
                after: *after,
                cause: cause.clone(),
            },
            Self::Missing { hint } => Self::Missing { hint: hint.clone() },
            Self::Denied { reason } => Self::Denied {
                reason: reason.clone(),
            },
            Self::Unapproved { reason } => Self::Unapproved {
                reason: reason.clone(),
            },
            Self::Malformed { reason } => Self::Malformed {
                reason: reason.clone(),
            },
            Self::Program {
                program,
                ended,
                last_line,
            } => Self::Program {
                program: program.clone(),
                ended: ended.clone(),
                last_line: last_line.clone(),
            },
            Self::Deadline { after } => Self::Deadline { after: *after },
        }
    }
}

impl StoreError {
    /// The store gives nothing that could be revoked.
    pub fn no_leases(source: &Source) -> Self {
        Self {
            store: source.store.clone(),
            asked: source.key.clone(),
            fault: Fault::Denied {
                reason: "this store has no leases to revoke: change the secret in the store, and \
                         rotate"
                    .to_owned(),
            },
        }
    }

    /// The same once more, for another source that it holds for.
    pub(crate) fn again(&self) -> Self {
        Self {
            store: self.store.clone(),
            asked: self.asked.clone(),
            fault: self.fault.again(),
        }
    }

    /// The same, whenever it was met: for comparing.
    pub(crate) fn at_any_time(&self) -> Self {
        let mut same = self.again();
        if let Fault::NoAnswer { after, .. } | Fault::Deadline { after } = &mut same.fault {
            *after = Duration::ZERO;
        }
        same
    }

    /// Whether it is one of all of the store: which secret it was asked for first says nothing.
    pub const fn is_of_the_store(&self) -> bool {
        matches!(
            self.fault,
            Fault::Unreachable { .. }
                | Fault::NoAnswer { .. }
                | Fault::Program { .. }
                | Fault::Deadline { .. }
        )
    }

    /// Its kind, for events.
    pub const fn outcome(&self) -> Outcome {
        self.fault.outcome()
    }

    /// hushpipe's exit code for it.
    pub fn exit(&self) -> Exit {
        match &self.fault {
            Fault::Unreachable { source, .. } if is_of_this_process(source) => Exit::Os,
            Fault::Unreachable { .. } | Fault::NoAnswer { .. } | Fault::Program { .. } => {
                Exit::Unreachable
            }
            Fault::Unwritable { .. } => Exit::Os,
            Fault::Missing { .. } | Fault::Malformed { .. } => Exit::Value,
            Fault::Denied { .. } => Exit::Denied,
            Fault::Deadline { .. } | Fault::Unapproved { .. } => Exit::Deadline,
        }
    }
}

/// Faults that say nothing of the store: no more open files, no memory.
fn is_of_this_process(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)
    )
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {}", self.store)?;
        if let Some(asked) = &self.asked {
            write!(f, ", {asked}")?;
        }
        f.write_str(": ")?;
        match &self.fault {
            Fault::Unreachable { tried, .. } => write!(f, "cannot read {}", printable_path(tried)),
            Fault::NoAnswer {
                address,
                after,
                cause,
            } => {
                let after = rough(*after);
                write!(f, "no answer from {address}: {cause} (tried for {after})")
            }
            Fault::Unwritable { tried, .. } => write!(f, "cannot write {}", printable_path(tried)),
            Fault::Missing { hint } => write!(f, "not found: {hint}"),
            Fault::Denied { reason }
            | Fault::Unapproved { reason }
            | Fault::Malformed { reason } => f.write_str(reason),
            Fault::Program {
                program,
                ended,
                last_line,
            } => {
                write!(f, "{program} failed: {ended}")?;
                match last_line {
                    LastLine::None => Ok(()),
                    LastLine::Shown(line) => write!(f, "; it said: {line}"),
                    LastLine::Hidden => f.write_str(
                        "; its error output may have a secret and is not shown: run it by hand, \
                         or set `show_errors: true`",
                    ),
                }
            }
            Fault::Deadline { after } => {
                write!(f, "no answer within {}", rough(*after))
            }
        }
    }
}

/// For people: whole seconds, where there are some.
fn rough(time: Duration) -> String {
    let millis = time.as_millis() as u64;
    let whole = (millis + 500) / 1_000 * 1_000;
    let shown = if millis < 1_000 { millis } else { whole };
    crate::model::format_duration(Duration::from_millis(shown))
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Unreachable { source, .. } | Fault::Unwritable { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        match error {
            FileError::System { path, source } => Self::Unreachable {
                tried: path,
                source,
            },
            FileError::Unfit(reason) => Self::Malformed { reason },
            FileError::Untrusted { reason, owner } => {
                let trust = owner.map(|uid| {
                    format!(", or trust that user: `trust: {{ owners: [{uid}] }}` on the store")
                });
                let reason = format!("{reason}{}", trust.unwrap_or_default());
                Self::Denied { reason }
            }
        }
    }
}

impl From<HttpError> for Fault {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::NoAnswer {
                address,
                after,
                cause,
            } => Self::NoAnswer {
                address,
                after,
                cause,
            },
            HttpError::Deadline { after } => Self::Deadline { after },
            HttpError::File(error) => error.into(),
            HttpError::NoMemory(source) => Self::no_memory(source),
            HttpError::Unusable(reason) => Self::Malformed { reason },
        }
    }
}
