//! Running launchers: being one that can be asked, and asking one.

mod desk;
mod fault;

use std::path::PathBuf;
use std::time::Duration;

use super::runtime;
use crate::model::control::{Reply, Request, Status};
use crate::stores::join;
use crate::sys::filesystem;
use crate::telemetry::control::{AskError, Launcher, Unusable, ask, look, of_client};

pub(super) use desk::{first_status, serve};
pub use fault::ControlError;

/// How long a launcher may take that is only asked on the way to the one that is meant.
const GLANCE: Duration = Duration::from_secs(2);

/// Which launcher is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The only one that runs.
    Only,
    /// By its process id, that of its program, or its service.
    Named(String),
    /// By its socket.
    Socket(PathBuf),
}

/// A launcher, as it answered or did not.
#[derive(Debug)]
pub struct Seen {
    /// Its socket.
    pub socket: PathBuf,
    /// Its user; `None` for one that was named by its socket.
    pub uid: Option<u32>,
    /// The process id that the socket's name tells.
    pub pid: Option<u32>,
    /// Its state.
    pub status: Result<Status, ControlError>,
}

/// Every launcher that this user may ask, the user's own first. One that ended meanwhile is left out;
/// one that does not answer in time is not.
pub fn list(patience: Duration) -> Result<Vec<Seen>, ControlError> {
    let launchers = reachable()?;
    let mut seen = in_loop(survey(launchers, patience))?;
    let me = filesystem::effective_uid();
    seen.sort_by_key(|(_, seen)| (seen.uid != Some(me), seen.uid, seen.pid));
    Ok(seen.into_iter().map(|(_, seen)| seen).collect())
}

/// Asks the launcher that is meant. What it refuses is an error.
pub fn request(
    target: &Target,
    request: &Request,
    patience: Duration,
) -> Result<Reply, ControlError> {
    in_loop(async {
        let launcher = find(target, patience.min(GLANCE)).await?;
        match put(&launcher, request, patience).await {
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
    patience: Duration,
) -> Result<Reply, ControlError> {
    match ask(launcher, request, patience).await {
        Ok(Reply::Refused { exit, message }) => Err(ControlError::Refused { exit, message }),
        Ok(reply) => Ok(reply),
        Err(fault) => Err(ControlError::Asking {
            socket: launcher.path.clone(),
            fault,
        }),
    }
}

/// All sockets that there are for this user, whoever listens.
fn reachable() -> Result<Vec<Launcher>, ControlError> {
    let places = of_client(filesystem::effective_uid(), runtime_directory().as_deref());
    look(&places).map_err(|fault: Unusable| ControlError::Place(fault.to_string()))
}

/// `$XDG_RUNTIME_DIR`
fn runtime_directory() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
}

/// Asks all of them at once for their state.
async fn survey(launchers: Vec<Launcher>, patience: Duration) -> Vec<(Launcher, Seen)> {
    let asked = launchers.into_iter().map(|launcher| async move {
        let status = match put(&launcher, &Request::Status, patience).await {
            Ok(Reply::Status(status)) => Ok(*status),
            Ok(_) => Err(ControlError::Asking {
                socket: launcher.path.clone(),
                fault: AskError::NotUnderstood,
            }),
            Err(error) => Err(error),
        };
        let seen = Seen {
            socket: launcher.path.clone(),
            uid: launcher.owner,
            pid: launcher.pid,
            status,
        };
        (launcher, seen)
    });
    let mut all = join::all(asked).await;
    all.retain(|(_, seen)| !seen.status.as_ref().is_err_and(ControlError::has_ended));
    all
}

async fn find(target: &Target, patience: Duration) -> Result<Launcher, ControlError> {
    let name = match target {
        Target::Socket(path) => {
            return Launcher::at(path).map_err(|fault| ControlError::Asking {
                socket: path.clone(),
                fault,
            });
        }
        Target::Only => None,
        Target::Named(name) => Some(name.as_str()),
    };
    let launchers = reachable()?;
    let number: Option<u32> = name.and_then(|name| name.parse().ok());
    if let Some(launcher) = obvious(&launchers, name, number) {
        return Ok(launcher.clone());
    }
    let mut seen = survey(launchers, patience).await;
    let running = seen.iter().map(|(_, seen)| describe(seen)).collect();
    if let Some(name) = name {
        seen.retain(|(_, seen)| answers_to(seen, name, number));
    }
    match (seen.len(), name) {
        (1, _) => Ok(seen.remove(0).0),
        (0, Some(name)) => Err(ControlError::not_found(name, number, running)),
        (0, None) => Err(ControlError::NoLauncher),
        (_, _) => Err(ControlError::Several {
            running: seen.iter().map(|(_, seen)| describe(seen)).collect(),
        }),
    }
}

/// The one that is meant without doubt. It is not asked first who it is: it may be slow.
fn obvious<'a>(
    launchers: &'a [Launcher],
    name: Option<&str>,
    number: Option<u32>,
) -> Option<&'a Launcher> {
    let mut meant = launchers.iter().filter(|launcher| match name {
        None => true,
        Some(_) => number.is_some() && launcher.pid == number,
    });
    let first = meant.next()?;
    meant.next().is_none().then_some(first)
}

fn answers_to(seen: &Seen, name: &str, number: Option<u32>) -> bool {
    let by_number = number.is_some() && seen.pid == number;
    by_number
        || seen.status.as_ref().is_ok_and(|status| {
            let program = status.program_pid.and_then(|pid| u32::try_from(pid).ok());
            status.service == name
                || number.is_some_and(|number| status.pid == number || program == Some(number))
        })
}

/// `4711 (payments-api)`
fn describe(seen: &Seen) -> String {
    let pid = seen
        .pid
        .map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    match &seen.status {
        Ok(status) => format!("{} ({})", status.pid, status.service),
        Err(_) => format!("{pid} (no answer)"),
    }
}
