//! Which launcher is meant. Those of this user are asked alone: anybody may have a launcher, or what
//! looks like one, of the same service or process id. Another user's is found when the user is named.

use std::path::PathBuf;
use std::time::Duration;

use super::fault::ControlError;
use super::survey::{Seen, survey};
use crate::sys::filesystem;
use crate::sys::users::Database;
use crate::telemetry::control::{Found, Launcher, Unusable, look, of_all, of_user, others};

/// How many users are named in a message.
const NAMED: usize = 5;

/// Which launcher is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The only one that runs, of a user; `None`: of who asks.
    Only(Option<String>),
    /// By its process id, that of its program, or its service; of a user, as above.
    Named(String, Option<String>),
    /// By its socket.
    Socket(PathBuf),
}

impl Target {
    fn user(&self) -> Option<&str> {
        match self {
            Self::Only(user) | Self::Named(_, user) => user.as_deref(),
            Self::Socket(_) => None,
        }
    }
}

/// `$XDG_RUNTIME_DIR`
pub fn runtime_directory() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
}

/// The sockets of everybody whom this user may ask.
pub(super) fn of_everybody() -> Result<Found, ControlError> {
    let places = of_all(filesystem::effective_uid(), runtime_directory().as_deref());
    look(&places).map_err(|fault| unusable(&fault))
}

fn unusable(fault: &Unusable) -> ControlError {
    ControlError::Place(fault.to_string())
}

/// The one user's whose launchers are asked: who asks, or who is named.
fn uid_of(user: Option<&str>) -> Result<u32, ControlError> {
    let me = filesystem::effective_uid();
    let Some(user) = user else { return Ok(me) };
    let uid = Database::host().user(user).map_err(ControlError::User)?.uid;
    if uid == me || me == 0 {
        Ok(uid)
    } else {
        Err(ControlError::RootAlone)
    }
}

/// Finds it; a launcher that is not meant is given no request but for its state.
pub(super) async fn find(target: &Target, patience: Duration) -> Result<Launcher, ControlError> {
    let name = match target {
        Target::Socket(path) => {
            return Launcher::at(path).map_err(|fault| ControlError::Asking {
                socket: path.clone(),
                fault,
            });
        }
        Target::Only(_) => None,
        Target::Named(name, _) => Some(name.as_str()),
    };
    let uid = uid_of(target.user())?;
    // Only one's own $XDG_RUNTIME_DIR is known.
    let runtime = runtime_directory().filter(|_| uid == filesystem::effective_uid());
    let launchers = look(&of_user(uid, runtime.as_deref()))
        .map_err(|fault| unusable(&fault))?
        .launchers;
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
        (0, Some(name)) => Err(ControlError::not_found(
            name,
            number,
            running,
            uid,
            others_than,
        )),
        (0, None) => Err(ControlError::NoLauncher {
            others: others_than(uid),
        }),
        (_, _) => Err(ControlError::Several {
            running: seen.iter().map(|(_, seen)| describe(seen)).collect(),
        }),
    }
}

fn others_than(uid: u32) -> Vec<u32> {
    let me = filesystem::effective_uid();
    let mut others = others(me);
    others.retain(|other| *other != uid);
    others.truncate(NAMED);
    others
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
        || seen.service() == Some(name)
        || seen.status.as_ref().is_ok_and(|status| {
            let program = status.program_pid.and_then(|pid| u32::try_from(pid).ok());
            number.is_some_and(|number| program == Some(number))
        })
}

/// `4711 (payments-api)`
fn describe(seen: &Seen) -> String {
    let pid = seen
        .pid
        .map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    format!("{pid} ({})", seen.service().unwrap_or("no answer"))
}
