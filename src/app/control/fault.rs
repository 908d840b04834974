//! Why a launcher could not be asked, or would not do it.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::app::Failures;
use crate::model::{Exit, format_duration};
use crate::sys::filesystem;
use crate::sys::users::UsersError;
use crate::telemetry::control::AskError;

/// Why there is no answer, or no good one.
#[derive(Debug)]
pub enum ControlError {
    /// None of the user runs who is meant.
    NoLauncher {
        /// Users who have a place for launchers, and have to be named to be asked.
        others: Vec<u32>,
    },
    /// None of those that run is meant.
    NotFound {
        /// What was given.
        name: String,
        /// Those that run.
        running: Vec<String>,
        /// As for [`ControlError::NoLauncher`].
        others: Vec<u32>,
    },
    /// It is another user's.
    NotYours {
        /// Its process id.
        pid: u32,
        /// Its user.
        uid: u32,
    },
    /// It is another user's, and root may ask it by naming the user.
    OfUser {
        /// Its process id.
        pid: u32,
        /// Its user.
        uid: u32,
    },
    /// Another user was named, by who is not root.
    RootAlone,
    /// There is no such user.
    User(UsersError),
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
        /// The service that it is of, where its state is not for whom asked.
        service: Option<String>,
    },
    /// A place of sockets cannot be looked into.
    Place(String),
    /// The system refused.
    System(Failures),
}

impl ControlError {
    /// For a name that none of those that run has, of the user `asked`.
    pub(super) fn not_found(
        name: &str,
        number: Option<u32>,
        running: Vec<String>,
        asked: u32,
        others_than: impl FnOnce(u32) -> Vec<u32>,
    ) -> Self {
        let foreign = number.and_then(|pid| Some((pid, owner_of_launcher(pid)?)));
        match foreign {
            Some((pid, uid)) if uid != asked && filesystem::effective_uid() == 0 => {
                Self::OfUser { pid, uid }
            }
            Some((pid, uid)) if uid != asked => Self::NotYours { pid, uid },
            _ if running.is_empty() => Self::NoLauncher {
                others: others_than(asked),
            },
            _ => Self::NotFound {
                name: name.to_owned(),
                running,
                others: others_than(asked),
            },
        }
    }

    /// Whether it was there a moment ago and is no more.
    pub const fn has_ended(&self) -> bool {
        let Self::Asking { fault, .. } = self else {
            return false;
        };
        matches!(fault, AskError::Gone | AskError::Closed)
    }

    /// The exit code for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoLauncher { .. } | Self::NotFound { .. } | Self::OfUser { .. } => {
                Exit::Unreachable
            }
            Self::NotYours { .. } | Self::RootAlone => Exit::Denied,
            Self::Several { .. } | Self::User(_) => Exit::Usage,
            Self::Asking { fault, .. } => match fault {
                AskError::Gone
                | AskError::Closed
                | AskError::NotUnderstood
                | AskError::TooLong(_) => Exit::Unreachable,
                AskError::Denied | AskError::Impostor(_) => Exit::Denied,
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

/// How those of other users are asked.
fn by_user(f: &mut fmt::Formatter<'_>, others: &[u32]) -> fmt::Result {
    let [first, ..] = others else { return Ok(()) };
    let uids: Vec<String> = others.iter().map(u32::to_string).collect();
    write!(
        f,
        "\n  help: launchers of other users (uid {}) are asked by `--user`, such as `--user {first}`",
        uids.join(", ")
    )
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLauncher { others } => {
                f.write_str(
                    "no running launcher found (`hushpipe run --exec` leaves none behind)",
                )?;
                by_user(f, others)
            }
            Self::NotFound {
                name,
                running,
                others,
            } => {
                let running = running.join(", ");
                write!(f, "no launcher {name:?}; running are {running}")?;
                by_user(f, others)
            }
            Self::OfUser { pid, uid } => {
                write!(f, "launcher {pid} belongs to uid {uid}: add `--user {uid}`")
            }
            Self::RootAlone => f.write_str("only root can control launchers of another user"),
            Self::User(error) => error.fmt(f),
            Self::NotYours { pid, uid } => write!(
                f,
                "launcher {pid} belongs to uid {uid}: only that user and root can control it"
            ),
            Self::Several { running } => write!(
                f,
                "several launchers match, name one by its process id: {}",
                running.join(", ")
            ),
            Self::Asking { socket, fault } => write!(f, "{}: {fault}", socket.display()),
            Self::NotYet { patience } => write!(
                f,
                "timed out after {}; the request is still running: see `hushpipe status`",
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
            Self::User(error) => error.source(),
            Self::System(failures) => failures.first()?.error.source(),
            _ => None,
        }
    }
}
