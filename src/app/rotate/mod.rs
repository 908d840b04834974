//! Rotation in effect: feeds the [`Engine`] with what the stores, the program and people say, and gives
//! it real stores, deliveries and a process to act on. What takes time is a future that is driven
//! beside everything else, so that nothing holds up leases, FIFOs or requests.

mod beside;
mod pins;
mod real;
mod replace;
mod tell;
mod verify;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use tokio::time::Instant;

use super::command::{self, Commands};
use super::failure::{Failure, Failures};
use super::fetch::Stores;
use super::gate::{Gate, Subject};
use super::kept::Kept;
use super::live::Deliveries;
use super::output::Output;
use super::unit::Unit;
use super::watch::{Changes, Noticed};
use crate::delivery::{DeliveryError, Served};
use crate::model::{
    Denial, Event, Observer, Plan, Receipt, Refresh, RotationError, SecretName, Topic,
};
use crate::rotation::engine::{self, Completed, Conditions, ControlRequest, Fingerprints};
use crate::rotation::{Engine, Reach};
use crate::secret::{Digest, DigestKey};
use crate::stores::{Local, StoreError};
use crate::supervisor::Handle;
use crate::supervisor::notify::Announcer;
use crate::sys::child::UserNamespace;
use crate::sys::clock::until;
use crate::sys::reaper::Reaper;
use crate::telemetry::Standing;
pub use pins::fingerprints;
use real::{Real, Revocation};

/// What a plan's program sees of its secrets.
pub fn reach(plan: &Plan) -> Reach {
    let deliveries = plan.deliveries.iter();
    let uses = deliveries.map(|delivery| delivery.channel.secrets());
    Reach::new(plan, uses.collect())
}

/// How often a secret is looked at: never, where no new value of it could reach the program.
pub fn refresh(plan: &Plan, reach: &Reach, secret: &SecretName) -> Refresh {
    if reach.reaches(secret) {
        plan.secrets[secret].refresh
    } else {
        Refresh::Never
    }
}

/// Whether values are kept after the hand-over, to be handed over again.
pub fn keeps(plan: &Plan, reach: &Reach) -> bool {
    plan.on_rotate.rollback || reach.restarts()
}

/// What rotation works with.
pub struct Setting<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What its program sees of its secrets.
    pub reach: Reach,
    /// Where they come from.
    pub stores: &'a Stores,
    /// Who decides on new generations and records them.
    pub gate: &'a Gate,
    /// The program as it was decided on.
    pub subject: Subject,
    /// Where events go.
    pub observer: Rc<dyn Observer>,
    /// What systemd gave for the program.
    pub unit: Unit,
    /// Where its private files are mounted, if it takes one.
    pub users: Option<UserNamespace>,
    /// The program.
    pub handle: Handle,
    /// Who waits for processes.
    pub reaper: Reaper,
}

/// What a first generation left.
pub struct First {
    /// Its deliveries.
    pub live: Deliveries,
    /// The key of the digests.
    pub key: DigestKey,
    /// What tells its values from others.
    pub fingerprints: Fingerprints<Digest>,
    /// What was delivered, where that is kept.
    pub kept: Option<Kept>,
    /// It is on record.
    pub receipt: Receipt,
}

/// An engine, and what it acts on.
pub struct Rotation<'a>(Engine<'a, Real<'a>>);

/// Policy had the program stopped.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Expelled(String);

/// What ended a wait.
enum Woken<'a> {
    Noticed(Noticed),
    Elapsed,
    Completed(Completed<Real<'a>>),
    Revoked(SecretName, Result<(), StoreError>),
    Served(Result<Served, DeliveryError>),
    Expired,
    Read,
    Requested(ControlRequest),
    Signalled,
}

impl<'a> Rotation<'a> {
    /// For a program that runs on its first generation.
    pub fn new(setting: Setting<'a>, first: First) -> Self {
        let observer = Rc::clone(&setting.observer);
        let real = Real {
            plan: setting.plan,
            stores: setting.stores,
            gate: setting.gate,
            subject: setting.subject,
            authorised: None,
            observer: setting.observer,
            unit: setting.unit,
            users: setting.users,
            handle: setting.handle,
            reaper: setting.reaper,
            live: first.live,
            key: Rc::new(first.key),
            began: Instant::now(),
            upkeep: None,
            pending: None,
            revocations: Vec::new(),
            damaged: std::collections::BTreeSet::new(),
            conditions: Conditions::default(),
        };
        let first = engine::First {
            fingerprints: first.fingerprints,
            payloads: first.kept,
            receipt: first.receipt,
        };
        let engine = Engine::new(setting.plan, setting.reach, observer, real, first);
        Self(engine)
    }

    /// Removes what was delivered, when the program has ended.
    pub fn remove(self) -> Result<(), Failures> {
        let real = self.0.into_effects();
        real.report_mistaken();
        real.live.remove()
    }

    /// Why policy had the program stopped, if it did.
    pub fn expelled(&self) -> Option<Failure> {
        let why = self.0.expelled()?;
        let error = RotationError::Expelled {
            why: why.to_owned(),
        };
        Some(Failure::new(Denial::EXIT, Expelled(error.to_string())))
    }

    /// Where events go.
    pub fn observer(&mut self) -> Rc<dyn Observer> {
        Rc::clone(&self.0.effects().observer)
    }

    /// The program's output, where it is searched for values.
    pub fn output(&mut self) -> Option<Rc<Output>> {
        self.0.effects().unit.output().map(Rc::clone)
    }

    /// hushpipe's voice to systemd.
    pub const fn announcer(&mut self) -> &Announcer {
        self.0.effects().unit.announcer()
    }

    /// Rotates, serves FIFOs and does what it is asked, for as long as it is polled; keeps its part of
    /// the state up to date.
    pub async fn run(
        &mut self,
        changes: &mut Changes,
        commands: &mut Commands,
        standing: &Standing,
    ) {
        loop {
            let (timer, expiry) = (self.0.timer(), self.0.look_for_ends());
            standing.rotates(self.0.standing());
            let real = self.0.effects();
            let (timer, expiry) = (real.at(timer), real.at(expiry));
            let woken = tokio::select! {
                noticed = changes.next(real.stores) => Woken::Noticed(noticed),
                () = until(timer) => Woken::Elapsed,
                completed = completed(&mut real.pending) => Woken::Completed(completed),
                (secret, result) = revoked(&mut real.revocations) => Woken::Revoked(secret, result),
                served = real.live.serve() => Woken::Served(served),
                request = command::next(commands) => Woken::Requested(request),
                () = real.handle.rotation_asked() => Woken::Signalled,
                () = until(expiry) => Woken::Expired,
                () = standing.wanted() => Woken::Read,
            };
            self.0.effects().upkeep = changes.due();
            self.woken(woken);
        }
    }

    fn woken(&mut self, woken: Woken<'a>) {
        let engine = &mut self.0;
        match woken {
            Woken::Noticed(Noticed::Changed(secrets)) => engine.changed(secrets),
            Woken::Noticed(Noticed::Down(errors)) => engine.watch_is_down(&errors),
            Woken::Noticed(Noticed::Up(store)) => engine.watch_is_up(&store),
            Woken::Noticed(Noticed::Unwatched(message)) => {
                engine.effects().observer.observe(&Event::Weaker {
                    about: Topic::Watch,
                    message,
                });
            }
            Woken::Elapsed => engine.elapsed(),
            Woken::Completed(completed) => engine.completed(completed),
            Woken::Revoked(secret, result) => engine.revoked(&secret, result),
            Woken::Served(served) => engine.effects().served(served),
            Woken::Requested(request) => engine.requested(request),
            Woken::Expired | Woken::Read => {}
            Woken::Signalled => engine.signalled(),
        }
    }
}

/// Ends when what is pending does.
async fn completed<'a>(
    pending: &mut Option<Local<'a, Completed<Real<'a>>>>,
) -> Completed<Real<'a>> {
    match pending {
        Some(future) => {
            let completed = future.as_mut().await;
            *pending = None;
            completed
        }
        None => std::future::pending().await,
    }
}

/// Ends with the first revocation that does.
async fn revoked(all: &mut Vec<Revocation<'_>>) -> (SecretName, Result<(), StoreError>) {
    let (index, result) = poll_fn(|context| {
        for (index, (_, revoking)) in all.iter_mut().enumerate() {
            if let Poll::Ready(result) = revoking.as_mut().poll(context) {
                return Poll::Ready((index, result));
            }
        }
        Poll::Pending
    })
    .await;
    (all.swap_remove(index).0, result)
}
