//! The launcher's side: its state is told, requests are handed to the rotation.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};

use super::runtime_directory;
use crate::app::failure::Failure;
use crate::app::gate::{Command, Gate, Subject};
use crate::model::control::{Asked, Reply, Request, SecretStatus, Status};
use crate::model::nearest::nearest;
use crate::model::query::{Action, Person};
use crate::model::{Denial, Event, Exit, Generation, Observer, Plan, SecretName, Topic, chain};
use crate::rotation::engine::ControlRequest;
use crate::sys::users::Database;
use crate::sys::{filesystem, process};
use crate::telemetry::Standing;
use crate::telemetry::control::{Desk, Peer, Server, of_launcher};

/// Listens. A launcher without a socket works all the same.
pub async fn open(observer: &dyn Observer) -> Option<Server> {
    let runtime: Option<PathBuf> = runtime_directory();
    let places = of_launcher(filesystem::effective_uid(), runtime.as_deref());
    match Server::open(&places).await {
        Ok(server) => {
            observer.observe(&Event::ControlSocket {
                path: server.path(),
            });
            Some(server)
        }
        Err(reason) => {
            let message = reason.to_string();
            observer.observe(&Event::Weaker {
                about: Topic::ControlSocket,
                message,
            });
            None
        }
    }
}

/// Answers who asks, for as long as it is polled.
pub async fn serve(
    server: Option<Server>,
    standing: Rc<Standing>,
    judge: Judge<'_>,
    rotation: mpsc::Sender<ControlRequest>,
) {
    if let Some(server) = server {
        let launch = Launch {
            standing,
            judge,
            rotation,
        };
        server.serve(&launch).await;
    }
}

/// What is known of a launch before its program is started.
pub fn first_status(plan: &Plan) -> Status {
    let secrets = plan.secrets.iter().map(|(name, secret)| SecretStatus {
        name: name.to_string(),
        store: secret.source.store.to_string(),
        ..SecretStatus::default()
    });
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        service: plan.service.clone(),
        manifest: manifest_of(plan).display().to_string(),
        pid: process::id() as u32,
        program: plan.run.shown().into_iter().next().unwrap_or_default(),
        generation: Generation::FIRST.0,
        state: "starting".to_owned(),
        secrets: secrets.collect(),
        ..Status::default()
    }
}

/// From the root, as those who ask are elsewhere. Standard input has no path.
fn manifest_of(plan: &Plan) -> PathBuf {
    let absolute = std::path::absolute(&plan.manifest).ok();
    absolute
        .filter(|path| path.exists())
        .unwrap_or_else(|| plan.manifest.clone())
}

/// One launch, as those who ask see it.
struct Launch<'a> {
    standing: Rc<Standing>,
    judge: Judge<'a>,
    rotation: mpsc::Sender<ControlRequest>,
}

impl Desk for Launch<'_> {
    async fn answer(&self, asked: Asked, by: Peer) -> Reply {
        if let Err(refusal) = self.judge.allows(&asked, &by) {
            return refusal;
        }
        match asked.request {
            Request::Status => {
                self.judge.gate.audit().status_read((by.pid, by.uid));
                Reply::Status(Box::new(self.standing.read().await))
            }
            other => match self.unknown(&other) {
                Some(message) => refused(Exit::Usage, message),
                None => self.pass(other, &by).await,
            },
        }
    }
}

impl Launch<'_> {
    /// What is wrong with the secret that a request names; `None`: it is one of the launch.
    fn unknown(&self, request: &Request) -> Option<String> {
        let name = match request {
            Request::Rotate { secret } | Request::Rollback { secret, .. } => secret.as_ref()?,
            Request::Revoke { secret } => secret,
            Request::Status => return None,
        };
        let status = self.standing.now();
        let known: Vec<&str> = status.secrets.iter().map(|known| &*known.name).collect();
        if known.contains(&name.as_str()) {
            return None;
        }
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None if known.is_empty() => "it has none".to_owned(),
            None => format!("it has {}", known.join(", ")),
        };
        Some(format!("{} has no secret {name:?}: {help}", status.service))
    }

    /// Asks the rotation, and waits as long as it takes.
    async fn pass(&self, request: Request, by: &Peer) -> Reply {
        let (answer, answered) = oneshot::channel();
        let asked = ControlRequest {
            request,
            by: Some((by.pid, by.uid)),
            answer,
        };
        let ended = || refused(Exit::Unreachable, "the launcher is about to end".to_owned());
        match self.rotation.send(asked).await {
            Ok(()) => answered.await.unwrap_or_else(|_| ended()),
            Err(_) => ended(),
        }
    }
}

fn refused(exit: Exit, message: String) -> Reply {
    Reply::refused(exit, message)
}

/// Who decides on commands: the launcher's own gate, on whom the kernel names.
pub struct Judge<'a> {
    pub gate: &'a Gate,
    pub plan: &'a Plan,
    pub subject: Subject,
}

impl Judge<'_> {
    /// The error is the reply. That the launcher is there, its process id and its service stay visible.
    fn allows(&self, asked: &Asked, by: &Peer) -> Result<(), Reply> {
        if !self.gate.decides() {
            return Ok(());
        }
        let person = person(by)?;
        let (action, secrets) = self.meant(&asked.request);
        let command = Command {
            person: &person,
            action,
            secrets: &secrets,
            said: &asked.said,
            by: Some((by.pid, by.uid)),
        };
        let decided = self.gate.command(&command, &self.subject, self.plan);
        decided.map_err(|failures| {
            let failure = failures.first();
            Reply::Refused {
                exit: failure.map_or(Exit::Denied, |failure| failure.exit).code(),
                message: failure.map(in_a_line).unwrap_or_default(),
                service: Some(self.plan.service.clone()),
            }
        })
    }

    /// What a request does, and with which secrets: without a name, with all. A name that is none of
    /// them is refused later, and has nothing that could be decided on.
    fn meant(&self, request: &Request) -> (Action, BTreeSet<SecretName>) {
        let (action, name) = match request {
            Request::Status => return (Action::Status, BTreeSet::new()),
            Request::Rotate { secret } => (Action::Rotate, secret.as_ref()),
            Request::Rollback { secret, .. } => (Action::Rollback, secret.as_ref()),
            Request::Revoke { secret } => (Action::Revoke, Some(secret)),
        };
        let known = self.plan.secrets.keys();
        let meant = known.filter(|known| name.is_none_or(|name| known.as_str() == name));
        (action, meant.cloned().collect())
    }
}

/// By the kernel's word: SO_PEERCRED and SO_PEERGROUPS (unix(7), socket(7)). Its groups are those that it
/// had when it connected, and those of /etc/group: who dropped some is still a member for a policy that
/// forbids. A launcher that has confined itself starts no getent(1). Whether it has a terminal is not known.
fn person(by: &Peer) -> Result<Person, Reply> {
    let database = Database::host();
    let system = |error| refused(Exit::Os, chain(&error));
    let (name, mut groups) = database.local_person(by.uid).map_err(system)?;
    groups.extend(database.local_groups(&by.gids).map_err(system)?);
    groups.sort_unstable();
    groups.dedup();
    Ok(Person {
        name: name.unwrap_or_else(|| by.uid.to_string()),
        uid: by.uid,
        groups,
        interactive: false,
    })
}

fn in_a_line(failure: &Failure) -> String {
    failure
        .error
        .downcast_ref::<Denial>()
        .map_or_else(|| chain(&*failure.error), Denial::in_a_line)
}
