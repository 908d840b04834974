//! What is asked of a rotation from outside, and what it answers.

use tokio::sync::oneshot;

use super::Rotation;
use crate::app::command::Asked;
use crate::model::control::{Reply, Request};
use crate::model::{Event, Exit, SecretName};
use crate::rotation::Input;

/// Those who wait for the end of a rotation.
#[derive(Default)]
pub struct Waiting {
    /// For the next one.
    next: Vec<oneshot::Sender<Reply>>,
    /// For the one in flight: they had asked before the stores were.
    now: Vec<oneshot::Sender<Reply>>,
}

impl Waiting {
    /// The stores are asked: what was asked before is answered when that has led to something.
    pub fn begins(&mut self) {
        self.now.append(&mut self.next);
    }

    fn answer(&mut self, reply: &Reply) {
        for sender in self.now.drain(..) {
            // Who asked may have gone.
            sender.send(reply.clone()).ok();
        }
    }
}

impl Rotation<'_> {
    /// Takes a request; gives what it means to the rotation.
    pub(super) fn asked(&mut self, asked: Asked) -> Option<Input> {
        let Asked {
            request,
            by,
            answer,
        } = asked;
        let started = match &request {
            Request::Status => Err(Reply::Status(Box::new(self.status()))),
            Request::Rotate { secret } => self.rotate(secret.as_deref()),
            Request::Rollback { .. } => Err(refused(
                Exit::Usage,
                "no values of a generation before are kept".to_owned(),
            )),
            Request::Revoke { secret } => Err(refused(
                Exit::Usage,
                format!("secret {secret} has no lease that could be revoked"),
            )),
        };
        if request != Request::Status {
            let what = words(&request);
            self.observer.observe(&Event::Asked { what, by });
        }
        match started {
            Ok(input) => {
                self.waiting.next.push(answer);
                Some(input)
            }
            Err(reply) => {
                answer.send(reply).ok();
                None
            }
        }
    }

    /// The next fetch gives the named secret a new value, where its store makes one on demand.
    fn rotate(&self, secret: Option<&str>) -> Result<Input, Reply> {
        if let Some(secret) = secret {
            let source = &self.plan.secrets[&self.named(secret)?].source;
            self.stores[&source.store].expire(source);
        }
        Ok(Input::Rotate)
    }

    fn named(&self, secret: &str) -> Result<SecretName, Reply> {
        let name = SecretName::new(secret).ok();
        name.filter(|name| self.plan.secrets.contains_key(name))
            .ok_or_else(|| {
                let names: Vec<&str> = self.plan.secrets.keys().map(SecretName::as_str).collect();
                let text = format!("there is no secret {secret:?}: {}", names.join(", "));
                refused(Exit::Usage, text)
            })
    }

    /// To all who wait for the rotation that has just ended.
    pub(super) fn answer_done(&mut self, message: &str) {
        let reply = Reply::Done {
            message: message.to_owned(),
            generation: self.generation.0,
        };
        self.waiting.answer(&reply);
    }

    /// To all who wait for the rotation that has just failed.
    pub(super) fn answer_refused(&mut self, exit: Exit, message: &str) {
        self.waiting.answer(&refused(exit, message.to_owned()));
    }
}

fn refused(exit: Exit, message: String) -> Reply {
    Reply::Refused {
        exit: exit.code(),
        message,
    }
}

/// As on the command line.
fn words(request: &Request) -> String {
    match request {
        Request::Status => "status".to_owned(),
        Request::Rotate { secret: None } => "rotate".to_owned(),
        Request::Rotate {
            secret: Some(secret),
        } => format!("rotate {secret}"),
        Request::Rollback { secret, to } => {
            let secret = secret.iter().map(|secret| format!(" {secret}"));
            let to = to.iter().map(|to| format!(" --to {to}"));
            std::iter::once("rollback".to_owned())
                .chain(secret)
                .chain(to)
                .collect()
        }
        Request::Revoke { secret } => format!("revoke {secret}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_as_it_was_typed() {
        let all = Request::Rollback {
            secret: Some("db".to_owned()),
            to: Some(3),
        };
        assert_eq!(words(&all), "rollback db --to 3");
        let none = Request::Rollback {
            secret: None,
            to: None,
        };
        assert_eq!(words(&none), "rollback");
        assert_eq!(words(&Request::Rotate { secret: None }), "rotate");
    }
}
