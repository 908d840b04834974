//! Why a launcher could not be asked, or would not do it.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::app::Failures;
use crate::model::{Exit, format_duration};
use crate::sys::filesystem;
use crate::telemetry::control::AskError;

/// Why there is no answer, or no good one.
#[derive(Debug)]
pub enum ControlError {
    /// None runs that this user could ask.
    NoLauncher,
    /// None of those that run is meant.
    NotFound {
        /// What was given.
        name: String,
        /// Those that run.
        running: Vec<String>,
    },
    /// It is another user's.
    NotYours {
        /// Its process id.
        pid: u32,
        /// Its user.
        uid: u32,
    },
    /// More than one could be meant.
    Several {
        /// These.
        running: Vec<String>,
    },
    /// It did not answer.
    Asking {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        fault: AskError,
    },
    /// It has not done it in time, and may still do it.
    NotYet {
        /// How long was waited.
        patience: Duration,
    },
    /// It answered that it would not.
    Refused {
        /// With this exit code.
        exit: u8,
        /// And these words.
        message: String,
    },
    /// A place of sockets cannot be looked into.
    Place(String),
    /// The system refused.
    System(Failures),
}

impl ControlError {
    /// For a name that none of those that run has.
    pub(super) fn not_found(name: &str, number: Option<u32>, running: Vec<String>) -> Self {
        let foreign = number.and_then(|pid| Some((pid, owner_of_launcher(pid)?)));
        match foreign {
            Some((pid, uid)) if uid != filesystem::effective_uid() => Self::NotYours { pid, uid },
            _ if running.is_empty() => Self::NoLauncher,
            _ => Self::NotFound {
                name: name.to_owned(),
                running,
            },
        }
    }

    /// Whether it was there a moment ago and is no more.
    pub(super) const fn has_ended(&self) -> bool {
        let Self::Asking { fault, .. } = self else {
            return false;
        };
        matches!(fault, AskError::Gone | AskError::Closed)
    }

    /// The exit code for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoLauncher | Self::NotFound { .. } => Exit::Unreachable,
            Self::NotYours { .. } => Exit::Denied,
            Self::Several { .. } => Exit::Usage,
            Self::Asking { fault, .. } => match fault {
                AskError::Gone | AskError::Closed | AskError::NotUnderstood => Exit::Unreachable,
                AskError::Denied | AskError::Impostor => Exit::Denied,
                AskError::Silent(_) => Exit::Deadline,
                AskError::System(_) => Exit::Os,
            },
            Self::NotYet { .. } => Exit::Deadline,
            Self::Refused { exit, .. } => {
                let known = Exit::ALL.into_iter().find(|known| known.code() == *exit);
                known.unwrap_or(Exit::Internal)
            }
            Self::Place(_) => Exit::Os,
            Self::System(failures) => failures.first().map_or(Exit::Os, |failure| failure.exit),
        }
    }
}

/// The user of a process that is a hushpipe; its files in /proc are root's, as it is not dumpable.
fn owner_of_launcher(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    if value("Name:")?.trim() != "hushpipe" {
        return None;
    }
    value("Uid:")?.split_whitespace().nth(1)?.parse().ok()
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLauncher => f.write_str(
                "no launcher runs that you may ask (`hushpipe run --exec` leaves none behind)",
            ),
            Self::NotFound { name, running } => write!(
                f,
                "no launcher is {name:?}; those that you may ask are {}",
                running.join(", ")
            ),
            Self::NotYours { pid, uid } => write!(
                f,
                "launcher {pid} is that of uid {uid}: only it and root may ask"
            ),
            Self::Several { running } => write!(
                f,
                "more than one launcher could be meant, name it by its process id: {}",
                running.join(", ")
            ),
            Self::Asking { socket, fault } => write!(f, "{}: {fault}", socket.display()),
            Self::NotYet { patience } => write!(
                f,
                "not done within {}, and not taken back: see `hushpipe status`",
                format_duration(*patience)
            ),
            Self::Refused { message, .. } | Self::Place(message) => f.write_str(message),
            Self::System(failures) => match failures.first() {
                Some(failure) => failure.error.fmt(f),
                None => f.write_str("the operating system refused"),
            },
        }
    }
}

impl Error for ControlError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Asking { fault, .. } => fault.source(),
            Self::System(failures) => failures.first()?.error.source(),
            _ => None,
        }
    }
}
