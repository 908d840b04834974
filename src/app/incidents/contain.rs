//! Runs a playbook on the launchers that have a secret.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::suspects::Holder;
use crate::app::control::{self, ControlError, Seen, Target};
use crate::model::control::{Asked, Reply, Request, Status};
use crate::model::printable::printable;
use crate::model::query::Justification;
use crate::model::{Compromised, Incident, Otherwise, Playbook, PlaybookStep, Step, Suspect};
use crate::sys::{pidfd, process};

/// How long a launcher may take for a step: a rotation notifies and verifies the program.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long for its state.
const GLANCE: Duration = Duration::from_secs(5);
/// How long a program may take to stop: longer than it has by default before it is killed.
const STOPPING: Duration = Duration::from_secs(30);

/// A launcher that has a secret of an incident.
pub struct Affected {
    /// The secret.
    pub suspect: Suspect,
    /// Its process id.
    pub pid: Option<u32>,
    /// Where it is asked; `None`: it cannot be.
    socket: Option<PathBuf>,
    /// Why not.
    why: String,
}

/// Finds the launchers that have a secret of an incident by the record, and still run: most answer, and some
/// cannot be asked.
pub fn affected(
    incident: &Incident,
    seen: &[Seen],
    holders: &[Holder],
    boot: &str,
) -> Vec<Affected> {
    let mut all = Vec::new();
    for suspect in &incident.suspects {
        let has = |holder: &&Holder| {
            holder.service == suspect.service && holder.secrets.contains(&suspect.secret)
        };
        for holder in holders.iter().filter(has) {
            if holder.boot != boot || process::is_gone(holder.pid) {
                continue;
            }
            let pid = u32::try_from(holder.pid).ok();
            let is_it = |seen: &&Seen| seen.pid == pid && seen.service() == Some(&*holder.service);
            let socket = seen.iter().find(is_it).map(|seen| seen.socket.clone());
            all.push(Affected {
                suspect: suspect.clone(),
                pid,
                socket,
                why: if holder.is_program {
                    "it became the program (mode: exec), and keeps what it has".to_owned()
                } else {
                    "it cannot be asked: it has no control socket here".to_owned()
                },
            });
        }
    }
    all
}

/// What a step came to.
struct Done {
    worked: Option<bool>,
    detail: String,
}

impl Done {
    fn of(worked: bool, detail: impl Into<String>) -> Self {
        let (worked, detail) = (Some(worked), detail.into());
        Self { worked, detail }
    }

    fn not_needed(detail: impl Into<String>) -> Self {
        let (worked, detail) = (None, detail.into());
        Self { worked, detail }
    }
}

/// What is done, and for which incident.
pub struct Setting<'a> {
    /// The playbook.
    pub playbook: Playbook,
    /// As it was when the playbook began.
    pub incident: &'a Incident,
}

/// Now, in RFC 3339.
pub fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// Runs a playbook on one launcher. `true`: it does not have any more what it had. Each step is given to `note`
/// as soon as it is done.
pub fn contain(setting: Setting<'_>, target: &Affected, note: &mut dyn FnMut(Step)) -> bool {
    let Setting { playbook, incident } = setting;
    let mut run = |step: PlaybookStep, work: &dyn Fn() -> Done| {
        let began = Instant::now();
        let done = work();
        note(Step {
            at: now(),
            service: target.suspect.service.clone(),
            secret: target.suspect.secret.clone(),
            pid: target.pid,
            step,
            worked: done.worked,
            detail: printable(&done.detail),
            took_ms: began.elapsed().as_millis() as u64,
        });
        done.worked
    };
    let Some(socket) = &target.socket else {
        let why = || Done::of(false, format!("{}: stop it by hand", target.why));
        run(PlaybookStep::Stop, &why);
        return false;
    };
    let there = Target::Socket(socket.clone());
    for step in &playbook.steps {
        let worked = run(*step, &|| one(*step, incident, target, &there));
        if *step == PlaybookStep::Stop && worked == Some(true) {
            return true;
        }
    }
    if is_rid(incident, target, &there) {
        return true;
    }
    match playbook.otherwise {
        Otherwise::Keep => false,
        Otherwise::Stop => run(PlaybookStep::Stop, &|| stop(target)) == Some(true),
    }
}

fn one(step: PlaybookStep, incident: &Incident, target: &Affected, there: &Target) -> Done {
    let secret = target.suspect.secret.clone();
    match step {
        PlaybookStep::Revoke => revoke(incident, target, there),
        PlaybookStep::Rotate if is_rid(incident, target, there) => {
            Done::not_needed("it has another version already")
        }
        PlaybookStep::Rotate => {
            let secret = Some(secret);
            match ask(incident, there, Request::Rotate { secret }) {
                Ok(message) => Done::of(true, message),
                Err(error) => Done::of(false, error),
            }
        }
        PlaybookStep::Verify => verify(incident, target, there),
        PlaybookStep::Stop => stop(target),
    }
}

/// A secret without a lease has nothing to revoke.
fn revoke(incident: &Incident, target: &Affected, there: &Target) -> Done {
    let Ok(status) = status(there) else {
        return Done::of(false, "it does not answer");
    };
    let secret = target.suspect.secret.clone();
    let mine = status.secrets.iter().find(|one| one.name == secret);
    if mine.is_none_or(|one| one.lease_seconds.is_none()) {
        return Done::not_needed("it has no lease");
    }
    match ask(incident, there, Request::Revoke { secret }) {
        Ok(message) => Done::of(true, message),
        Err(error) => Done::of(false, error),
    }
}

fn verify(incident: &Incident, target: &Affected, there: &Target) -> Done {
    let status = match status(there) {
        Ok(status) => status,
        Err(error) => return Done::of(false, error.to_string()),
    };
    match (has_old(incident, target, &status), status.healthy) {
        (false, true) => Done::of(true, "the program is healthy with another version"),
        (false, false) => Done::of(false, "it has another version, and is not healthy"),
        (true, _) => Done::of(
            false,
            "it still has a version of before: write a new one to the store",
        ),
    }
}

/// Whether a launcher has another version, or has ended.
fn is_rid(incident: &Incident, target: &Affected, there: &Target) -> bool {
    match status(there) {
        Ok(status) => !has_old(incident, target, &status),
        Err(error) => error.has_ended(),
    }
}

fn has_old(incident: &Incident, target: &Affected, status: &Status) -> bool {
    let suspect = &target.suspect;
    let mine = status.secrets.iter().find(|one| one.name == suspect.secret);
    mine.is_some_and(|one| {
        incident.versions.contains(&Compromised {
            store: suspect.store.clone(),
            asked: suspect.asked.clone(),
            version: one.version.clone(),
        })
    })
}

fn status(there: &Target) -> Result<Status, ControlError> {
    match control::request(there, Asked::from(&Request::Status), GLANCE)? {
        Reply::Status(status) => Ok(*status),
        _ => Err(ControlError::NotYet { patience: GLANCE }),
    }
}

/// With the incident as its reason, which policy may want.
fn ask(incident: &Incident, there: &Target, request: Request) -> Result<String, String> {
    let said = Justification {
        reason: Some(format!("incident {}: {}", incident.id, incident.reason)),
        ..Justification::default()
    };
    match control::request(there, Asked { request, said }, PATIENCE) {
        Ok(Reply::Done { message, .. }) => Ok(message),
        Ok(_) => Err("it gave another answer: is it of another version?".to_owned()),
        Err(ControlError::Refused { message, .. }) => Err(message),
        Err(error) => Err(error.to_string()),
    }
}

/// A launcher stops its program as it does on SIGTERM, and ends.
fn stop(target: &Affected) -> Done {
    let Some(pid) = target.pid.and_then(|pid| i32::try_from(pid).ok()) else {
        return Done::of(false, "its process id is not known: stop it by hand");
    };
    let stopped = pidfd::open(pid).and_then(|fd| {
        pidfd::send(&fd, libc::SIGTERM)?;
        pidfd::wait_for_end(&fd, STOPPING)
    });
    match stopped {
        Ok(true) => Done::of(true, "stopped"),
        Ok(false) => Done::of(
            false,
            format!("it did not end within {}s", STOPPING.as_secs()),
        ),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Done::of(true, "it had ended"),
        Err(error) => Done::of(false, format!("it cannot be stopped: {error}")),
    }
}
