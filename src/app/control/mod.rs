//! Running launchers: being one that can be asked, and asking one.

mod desk;
mod fault;
mod find;

use std::path::PathBuf;
use std::time::Duration;

use super::event_loop::runtime;
use crate::model::control::{Reply, Request, Status};
use crate::stores::join;
use crate::sys::filesystem;
use crate::sys::users::Database;
use crate::telemetry::control::{
    AskError, LONGEST_OF_OTHERS, LONGEST_REPLY, Launcher, Limits, ask,
};

pub(super) use desk::{first_status, open, serve};
pub use fault::ControlError;
pub use find::Target;

/// How long a launcher may take that is only asked on the way to the one that is meant.
const GLANCE: Duration = Duration::from_secs(2);
/// How many launchers are asked at once: each takes a descriptor and, while it answers, memory.
const AT_ONCE: usize = 256;
/// How many are asked at all.
const MOST: usize = 512;
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

/// All launchers that this user may ask.
#[derive(Debug)]
pub struct Listing {
    /// The user's own first. One that ended meanwhile is left out; one that does not answer in time is
    /// not.
    pub seen: Vec<Seen>,
    /// Users of whom not all sockets were asked, as they have too many.
    pub crowded: Vec<u32>,
}

/// Every launcher that this user may ask.
pub fn list(patience: Duration) -> Result<Listing, ControlError> {
    let mut found = find::of_everybody()?;
    let me = filesystem::effective_uid();
    let left_out = found.launchers.split_off(found.launchers.len().min(MOST));
    let left_out = left_out.iter().map(|launcher| launcher.owner);
    let mut crowded: Vec<u32> = found.crowded.into_iter().chain(left_out).collect();
    crowded.sort_unstable();
    crowded.dedup();
    let seen = in_loop(survey(found.launchers, patience))?;
    let mut seen: Vec<Seen> = seen.into_iter().map(|(_, seen)| seen).collect();
    seen.sort_by_key(|seen| (seen.uid != me, seen.uid, seen.pid));
    name_users(&mut seen);
    Ok(Listing { seen, crowded })
}

/// Adds the names of users; `seen` is sorted by them.
fn name_users(seen: &mut [Seen]) {
    let database = Database::host();
    for of_one in seen.chunk_by_mut(|one, next| one.uid == next.uid) {
        let name = of_one
            .first()
            .and_then(|seen| database.local_name(seen.uid));
        for seen in of_one {
            seen.user.clone_from(&name);
        }
    }
}

/// Asks the launcher that is meant. What it refuses is an error.
pub fn request(
    target: &Target,
    request: &Request,
    patience: Duration,
) -> Result<Reply, ControlError> {
    in_loop(async {
        let launcher = find::find(target, patience.min(GLANCE)).await?;
        let limits = Limits {
            patience,
            reply: LONGEST_REPLY,
        };
        match put(&launcher, request, limits).await {
            Err(ControlError::Asking {
                fault: AskError::Silent(patience),
                ..
            }) if *request != Request::Status => Err(ControlError::NotYet { patience }),
            other => other,
        }
    })?
}

fn in_loop<T>(work: impl Future<Output = T>) -> Result<T, ControlError> {
    let runtime = runtime().map_err(ControlError::System)?;
    Ok(runtime.block_on(work))
}

async fn put(
    launcher: &Launcher,
    request: &Request,
    limits: Limits,
) -> Result<Reply, ControlError> {
    match ask(launcher, request, limits).await {
        Ok(Reply::Refused { exit, message }) => Err(ControlError::Refused { exit, message }),
        Ok(reply) => Ok(reply),
        Err(fault) => Err(ControlError::Asking {
            socket: launcher.path.clone(),
            fault,
        }),
    }
}

/// `$XDG_RUNTIME_DIR`
fn runtime_directory() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
}

/// Asks them for their state, as many at once as there are descriptors and memory for.
async fn survey(mut launchers: Vec<Launcher>, patience: Duration) -> Vec<(Launcher, Seen)> {
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
        Err(ControlError::Refused { exit, message }) => Err(ControlError::Refused {
            exit,
            message: shortened(message),
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
