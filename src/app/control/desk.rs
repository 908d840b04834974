//! The launcher's side: its state is told, requests are handed to the rotation.

use std::path::PathBuf;
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};

use super::runtime_directory;
use crate::model::control::{Reply, Request, SecretStatus, Status};
use crate::model::nearest::nearest;
use crate::model::{Event, Exit, Generation, Observer, Plan, Topic};
use crate::rotation::engine::ControlRequest;
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
    rotation: mpsc::Sender<ControlRequest>,
) {
    if let Some(server) = server {
        server.serve(&Launch { standing, rotation }).await;
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
struct Launch {
    standing: Rc<Standing>,
    rotation: mpsc::Sender<ControlRequest>,
}

impl Desk for Launch {
    async fn answer(&self, request: Request, by: Peer) -> Reply {
        match request {
            Request::Status => Reply::Status(Box::new(self.standing.read().await)),
            other => match self.unknown(&other) {
                Some(message) => refused(Exit::Usage, message),
                None => self.pass(other, by).await,
            },
        }
    }
}

impl Launch {
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
    async fn pass(&self, request: Request, by: Peer) -> Reply {
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
    Reply::Refused {
        exit: exit.code(),
        message,
    }
}
