//! What is asked of a rotation from outside, and what it answers.

use std::collections::BTreeSet;

use super::Engine;
use super::apply;
use super::effects::Effects;
use super::generations::{Candidate, Previous};
use super::known::Fingerprints;
use super::pins::{Pin, Pins};
use super::waiting::{Answer, ControlRequest};
use crate::model::control::{Reply, Request};
use crate::model::{Event, Exit, RotateAction, SecretName, Version, VersionRef, chain};
use crate::rotation::{Draft, Found, Input, Means, State};
use crate::stores::{Past, StoreError};

fn answer(waiting: &mut Vec<Answer>, reply: &Reply) {
    for sender in waiting.drain(..) {
        // The receiver may be gone.
        sender.send(reply.clone()).ok();
    }
}

impl<E: Effects> Engine<'_, E> {
    /// Takes a request over the control socket.
    pub fn requested(&mut self, request: ControlRequest) {
        if let Some(input) = self.asked(request) {
            self.drive(input);
        }
    }

    /// Takes a request; gives what it means to the machine.
    fn asked(&mut self, request: ControlRequest) -> Option<Input> {
        let ControlRequest {
            request,
            by,
            answer,
        } = request;
        let what = words(&request);
        self.observer.observe(&Event::Asked { what, by });
        let taken = match request {
            // Who serves the socket reads it.
            Request::Status => return None,
            Request::Rotate { secret } => self.rotate(secret.as_deref()),
            Request::Rollback { secret: None, to } => return self.roll_back(to, answer),
            Request::Rollback {
                secret: Some(secret),
                to,
            } => self.pin(&secret, to),
            Request::Revoke { secret } => match self.reached(&secret) {
                Ok(secret) => {
                    self.revoke(secret, answer);
                    return None;
                }
                Err(reply) => Err(reply),
            },
        };
        match taken {
            Ok(()) => {
                self.waiting.next.push(answer);
                Some(Input::Rotate)
            }
            Err(reply) => {
                answer.send(reply).ok();
                None
            }
        }
    }

    /// The next fetch gives the named secret a new value, where its store makes one on demand.
    fn rotate(&mut self, secret: Option<&str>) -> Result<(), Reply> {
        if let Some(secret) = secret {
            let secret = self.reached(secret)?;
            let source = &self.plan.secrets[&secret].source;
            self.effects.expire(source);
            self.pins.remove(&secret);
            self.want(secret);
        } else {
            self.all_are_due();
        }
        Ok(())
    }

    /// Puts the generation before back; that of one in flight, where it is on its way to the program.
    fn roll_back(&mut self, to: Option<VersionRef>, answer: Answer) -> Option<Input> {
        let means = match (to, self.machine.state()) {
            (Some(_), _) => Err(refused(
                Exit::Usage,
                "a version is one of a secret: name it, as in `rollback db --to 3`".to_owned(),
            )),
            (None, State::Notifying | State::Verifying | State::Stopping) => {
                self.reason = None;
                Ok(Some(Means::Told))
            }
            (
                None,
                State::SwappingBack
                | State::NotifyingBack
                | State::StoppingBack
                | State::StartingBack,
            ) => Ok(None),
            (
                None,
                State::Staging | State::Swapping | State::Starting | State::Expelling | State::Over,
            ) => {
                let text = "a rotation is being applied; try again in a moment".to_owned();
                Err(refused(Exit::Deadline, text))
            }
            (None, _) => self.take_back().map(Some),
        };
        match means {
            Ok(means) => {
                self.waiting.back.push(answer);
                means.map(Input::RollBack)
            }
            Err(reply) => {
                answer.send(reply).ok();
                None
            }
        }
    }

    /// Makes the generation before the candidate, if it is kept.
    fn take_back(&mut self) -> Result<Means, Reply> {
        let Some(previous) = self.previous.take() else {
            return Err(refused(Exit::Usage, self.nothing_kept()));
        };
        let names: BTreeSet<SecretName> = previous.fingerprints.digests.keys().cloned().collect();
        if let Err(denied) = self.effects.allows(&names) {
            self.previous = Some(previous);
            return Err(refused(denied.failed.exit, denied.failed.why));
        }
        let Previous {
            payloads,
            receipt,
            fingerprints,
        } = previous;
        if let Some(secret) = self.ended_meanwhile(&fingerprints) {
            let text = format!(
                "the generation before has a version of secret {secret} that has ended, or was \
                 revoked: nothing could be done with it. `rotate {secret}` gets another one"
            );
            return Err(refused(Exit::Value, text));
        }
        let restart = apply::actions(self.plan, &names).contains(&RotateAction::Restart);
        let means = if restart { Means::Restart } else { Means::Told };
        let seen = names.iter();
        let seen = seen.filter(|name| self.reach.sees(name, Some(means)));
        let seen: BTreeSet<SecretName> = seen.cloned().collect();
        let draft = Draft {
            cause: seen.clone(),
            seen,
            new: names,
            found: Found {
                new: Some(means),
                ..Found::default()
            },
            ..Draft::default()
        };
        self.reason = None;
        self.candidate = Some(Candidate {
            draft,
            fingerprints,
            pins: Pins::new(),
            values: None,
            payloads: Some(payloads),
            receipt: Some(receipt),
            blamed: None,
            by_hand: true,
            undone: false,
        });
        Ok(means)
    }

    /// A secret whose store says that its version before is of no more use.
    fn ended_meanwhile(&self, of: &Fingerprints<E::Digest>) -> Option<SecretName> {
        let ended = |(name, version): &(&SecretName, &Version)| {
            let source = &self.plan.secrets[*name].source;
            !self.effects.is_good(source, version)
        };
        let ended = of.versions.iter().find(ended);
        ended.map(|(name, _)| name.clone())
    }

    fn nothing_kept(&self) -> String {
        let what = if self.kept.is_some() {
            "there is no generation before that is kept: nothing was rotated since the start or the \
             last rollback"
        } else {
            "no values are kept after their hand-over: `on_rotate` with `verify`, `rollback: true` or \
             `do: restart` keeps those of the generation before"
        };
        format!(
            "{what}. `rollback NAME` asks the store of one secret for an older version, where it \
             keeps versions"
        )
    }

    /// Holds a secret at an older version.
    fn pin(&mut self, secret: &str, to: Option<VersionRef>) -> Result<(), Reply> {
        let name = self.reached(secret)?;
        let spec = &self.plan.secrets[&name];
        let no = |text: String| refused(Exit::Usage, text);
        if let Some(version) = &spec.source.version {
            let text = format!("the manifest holds secret {name} at version {version}");
            return Err(no(text));
        }
        let delivered = self.known.delivered(&name);
        let past = delivered.and_then(|delivered| self.past(&name, &delivered.version));
        let Some(Past { this, before }) = past else {
            let store = &spec.source.store;
            return Err(no(format!(
                "store {store} keeps no older versions of secret {name}: `rollback` without a name \
                 hands the generation before over, where that is kept"
            )));
        };
        let before = self.previous_version(&name).or(before);
        let Some(version) = to.or(before).filter(|version| *version != this) else {
            let text = format!("secret {name} has version {this}, and there is none before it");
            return Err(no(text));
        };
        let before = self.pins.remove(&name);
        let pin = Pin {
            version,
            from: None,
            otherwise: before.and_then(Pin::held),
        };
        self.want(name.clone());
        self.pins.insert(name, pin);
        Ok(())
    }

    fn previous_version(&self, name: &SecretName) -> Option<VersionRef> {
        let previous = self.previous.as_ref()?;
        let version = previous.fingerprints.versions.get(name)?;
        Some(self.past(name, version)?.this)
    }

    /// How a version of a secret and the one before it are asked for, where its store keeps versions.
    pub(super) fn past(&self, name: &SecretName, version: &Version) -> Option<Past> {
        self.effects.past(&self.plan.secrets[name].source, version)
    }

    fn revoke(&mut self, secret: SecretName, answer: Answer) {
        let source = &self.plan.secrets[&secret].source;
        self.effects.revoke(&secret, source);
        self.waiting.revoked.push((secret, answer));
    }

    /// A store has revoked what it gave for a secret: that is of no more use to the program.
    pub fn revoked(&mut self, secret: &SecretName, result: Result<(), StoreError>) {
        let mut waiting = self.waiting.revoked.iter();
        let Some(place) = waiting.position(|(name, _)| name == secret) else {
            return;
        };
        let (secret, answer) = self.waiting.revoked.remove(place);
        if let Err(error) = result {
            answer.send(refused(error.exit(), chain(&error))).ok();
            return;
        }
        self.effects.expire(&self.plan.secrets[&secret].source);
        self.pins.remove(&secret);
        self.want(secret);
        self.waiting.next.push(answer);
        self.drive(Input::Rotate);
    }

    fn want(&mut self, secret: SecretName) {
        self.due.insert(secret.clone());
        self.wanted.insert(secret);
    }

    /// A secret of the manifest of which a new value can reach the program while it runs.
    fn reached(&self, secret: &str) -> Result<SecretName, Reply> {
        let name = self.named(secret)?;
        if self.reach.reaches(&name) {
            return Ok(name);
        }
        let text = format!(
            "no new value of secret {name} can reach the program: it is delivered when the program \
             starts, and only `on_rotate: {{ do: restart }}` starts another one. Nothing was done: end \
             hushpipe, which revokes the leases of its vaults, and start it again"
        );
        Err(refused(Exit::Usage, text))
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
        let reply = self.done(message.to_owned());
        answer(&mut self.waiting.now, &reply);
    }

    /// As [`Self::answer_done`], where a store may have been missing.
    pub(super) fn answer_in_place(&mut self, message: &str) {
        let text = match self.outages.first() {
            Some(outage) => format!("{message}, without what is missing: {outage}"),
            None => message.to_owned(),
        };
        self.answer_done(&text);
        // Who asked for the generation before, which could not be put back, was told so.
        self.waiting.back.clear();
    }

    /// To all who wait for the rotation that has just failed.
    pub(super) fn answer_refused(&mut self, exit: Exit, message: &str) {
        answer(&mut self.waiting.now, &refused(exit, message.to_owned()));
    }

    /// To all who wait for the generation before.
    pub(super) fn answer_back_done(&mut self, message: &str) {
        let reply = self.done(message.to_owned());
        answer(&mut self.waiting.back, &reply);
    }

    /// To all who wait for the generation before in vain.
    pub(super) fn answer_back_refused(&mut self, exit: Exit, message: &str) {
        answer(&mut self.waiting.back, &refused(exit, message.to_owned()));
    }

    const fn done(&self, message: String) -> Reply {
        Reply::Done {
            message,
            generation: self.generation.0,
        }
    }
}

fn refused(exit: Exit, message: String) -> Reply {
    Reply::refused(exit, message)
}

/// As on the command line.
fn words(request: &Request) -> String {
    let optional = |text: &Option<String>| {
        text.iter()
            .fold(String::new(), |all, text| all + " " + text)
    };
    match request {
        Request::Status => "status".to_owned(),
        Request::Rotate { secret } => format!("rotate{}", optional(secret)),
        Request::Rollback { secret, to } => {
            let to = to.as_ref().map(|to| format!("--to {to}"));
            format!("rollback{}{}", optional(secret), optional(&to))
        }
        Request::Revoke { secret } => format!("revoke {secret}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_as_it_was_typed() {
        let rollback = |secret: Option<&str>, to| {
            words(&Request::Rollback {
                secret: secret.map(str::to_owned),
                to,
            })
        };
        assert_eq!(rollback(Some("db"), Some(3.into())), "rollback db --to 3");
        assert_eq!(rollback(None, None), "rollback");
        assert_eq!(words(&Request::Rotate { secret: None }), "rotate");
    }
}
