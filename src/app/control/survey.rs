//! Asking launchers: one, or many at once for their state.

use std::path::PathBuf;
use std::time::Duration;

use super::fault::ControlError;
use crate::model::control::{Asked, Reply, Request, Status};
use crate::stores::join;
use crate::sys::filesystem;
use crate::telemetry::control::{
    AskError, LONGEST_OF_OTHERS, LONGEST_REPLY, Launcher, Limits, ask,
};

/// How many launchers are asked at once: each takes a descriptor and, while it answers, memory.
const AT_ONCE: usize = 256;
/// How many are asked at all.
pub const MOST: usize = 512;
/// How many bytes of a text are kept of a launcher among many.
const LONGEST_TEXT: usize = 4096;

/// A launcher, as it answered or did not.
#[derive(Debug)]
pub struct Seen {
    /// Its socket.
    pub socket: PathBuf,
    /// Its user.
    pub uid: u32,
    /// The user's name, where this machine's list of users has it.
    pub user: Option<String>,
    /// The process id that the socket's name tells.
    pub pid: Option<u32>,
    /// Its state; no more of it than a line.
    pub status: Result<Status, ControlError>,
}

impl Seen {
    /// The service that it is of, where it said so: it does also if its state is not for whom asked.
    pub fn service(&self) -> Option<&str> {
        match &self.status {
            Ok(status) => Some(&status.service),
            Err(ControlError::Refused { service, .. }) => service.as_deref(),
            Err(_) => None,
        }
    }
}

/// Puts a request to a launcher. What it refuses is an error.
pub async fn put(
    launcher: &Launcher,
    asked: impl Into<Asked>,
    limits: Limits,
) -> Result<Reply, ControlError> {
    match ask(launcher, asked, limits).await {
        Ok(Reply::Refused {
            exit,
            message,
            service,
        }) => Err(ControlError::Refused {
            exit,
            message,
            service,
        }),
        Ok(reply) => Ok(reply),
        Err(fault) => Err(ControlError::Asking {
            socket: launcher.path.clone(),
            fault,
        }),
    }
}

/// Asks them for their state, as many at once as there are descriptors and memory for.
pub async fn survey(mut launchers: Vec<Launcher>, patience: Duration) -> Vec<(Launcher, Seen)> {
    launchers.truncate(MOST);
    let mut all = Vec::with_capacity(launchers.len());
    while !launchers.is_empty() {
        let later = launchers.split_off(launchers.len().min(AT_ONCE));
        let round = std::mem::replace(&mut launchers, later);
        let round = round.into_iter().map(|launcher| glance(launcher, patience));
        all.extend(join::all(round).await);
    }
    all.retain(|(_, seen)| !seen.status.as_ref().is_err_and(ControlError::has_ended));
    all
}

/// The whole state of each, with its socket.
#[cfg(feature = "monitor")]
pub async fn statuses(
    launchers: Vec<Launcher>,
    patience: Duration,
) -> Vec<(PathBuf, Result<Box<Status>, ControlError>)> {
    let limits = Limits {
        patience,
        reply: LONGEST_OF_OTHERS,
    };
    let mut all = Vec::with_capacity(launchers.len());
    for round in launchers.chunks(AT_ONCE) {
        let round = round.iter().map(|launcher| async move {
            let status = match put(launcher, &Request::Status, limits).await {
                Ok(Reply::Status(status)) => Ok(status),
                Ok(_) => Err(ControlError::Asking {
                    socket: launcher.path.clone(),
                    fault: AskError::NotUnderstood,
                }),
                Err(error) => Err(error),
            };
            (launcher.path.clone(), status)
        });
        all.extend(join::all(round).await);
    }
    all
}

async fn glance(launcher: Launcher, patience: Duration) -> (Launcher, Seen) {
    let own = launcher.owner == filesystem::effective_uid();
    let limits = Limits {
        patience,
        reply: if own {
            LONGEST_REPLY
        } else {
            LONGEST_OF_OTHERS
        },
    };
    let status = match put(&launcher, &Request::Status, limits).await {
        Ok(Reply::Status(status)) => Ok(line_of(*status)),
        Ok(_) => Err(ControlError::Asking {
            socket: launcher.path.clone(),
            fault: AskError::NotUnderstood,
        }),
        Err(ControlError::Refused {
            exit,
            message,
            service,
        }) => Err(ControlError::Refused {
            exit,
            message: shortened(message),
            service: service.map(shortened),
        }),
        Err(error) => Err(error),
    };
    let seen = Seen {
        socket: launcher.path.clone(),
        uid: launcher.owner,
        user: None,
        pid: launcher.pid,
        status,
    };
    (launcher, seen)
}

/// What is shown of a launcher in a line; the rest is not kept.
fn line_of(status: Status) -> Status {
    Status {
        service: shortened(status.service),
        pid: status.pid,
        program_pid: status.program_pid,
        program: shortened(status.program),
        started: status.started.map(shortened),
        generation: status.generation,
        state: shortened(status.state),
        healthy: status.healthy,
        ..Status::default()
    }
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    text.shrink_to_fit();
    text
}
