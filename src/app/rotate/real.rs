//! What a rotation acts on: real stores, deliveries and a process.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::beside::Beside;
use super::{pins, tell, verify};
use crate::app::exposed;
use crate::app::failure::{Failure, Failures, os};
use crate::app::fetch::{Round, Stores};
use crate::app::gate::{Authorised, Gate, Subject};
use crate::app::host::{Host, of_spawn};
use crate::app::kept::Kept;
use crate::app::live::Deliveries;
use crate::app::memory;
use crate::app::unit::Unit;
use crate::app::values::{self, Unusable};
use crate::delivery::{DeliveryError, Served};
use crate::model::{
    Denial, Event, Exit, Generation, IsolationUsed, Observer, Plan, Reason, Receipt, RotateAction,
    SecretName, Source, Topic, Verify, Version, chain, random,
};
use crate::rotation::Means;
use crate::rotation::engine::{
    Completed, Conditions, Denied, Effects, Failed, Pins, Stage, StageError,
};
use crate::secret::{Digest, DigestKey};
use crate::stores::{Leases, Local, Past, StoreError};
use crate::supervisor::Handle;
use crate::supervisor::spawn::Launch;
use crate::sys::child::UserNamespace;
use crate::sys::reaper::Reaper;

/// A store is revoking what it gave for a secret.
pub type Revocation<'a> = (SecretName, Local<'a, Result<(), StoreError>>);

/// The effects of a rotation.
pub struct Real<'a> {
    pub plan: &'a Plan,
    pub stores: &'a Stores,
    pub gate: &'a Gate,
    /// Who gets the secrets.
    pub subject: Subject,
    /// What the generation in flight was authorised as.
    pub authorised: Option<Rc<Authorised<'a>>>,
    pub observer: Rc<dyn Observer>,
    pub unit: Unit,
    pub users: Option<UserNamespace>,
    pub handle: Handle,
    pub reaper: Reaper,
    pub live: Deliveries,
    pub key: Rc<DigestKey>,
    /// The engine's clock starts here.
    pub began: Instant,
    /// What the watches do next, as far as that is known.
    pub upkeep: Option<(String, Instant)>,
    /// What was started and has not completed.
    pub pending: Option<Local<'a, Completed<Self>>>,
    pub revocations: Vec<Revocation<'a>>,
    /// Deliveries whose file is not as it was written.
    pub damaged: BTreeSet<usize>,
    pub conditions: Conditions,
}

impl Effects for Real<'_> {
    type Values = Round;
    type Digest = Digest;
    type Payloads = Kept;

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn random(&mut self) -> u64 {
        random()
    }

    fn fetch(&mut self, secrets: BTreeSet<SecretName>, pins: Pins) -> Result<(), Denied> {
        let authorised = Rc::new(self.authorise(&secrets)?);
        self.authorised = Some(Rc::clone(&authorised));
        let (stores, key) = (self.stores, Rc::clone(&self.key));
        self.pending = Some(Box::pin(async move {
            Completed::Fetched(pins::ask(&authorised, stores, &key, secrets, pins).await)
        }));
        Ok(())
    }

    fn allows(&mut self, secrets: &BTreeSet<SecretName>) -> Result<(), Denied> {
        self.authorise(secrets).map(drop)
    }

    fn record(&mut self, versions: BTreeMap<SecretName, Version>) {
        let (gate, authorised) = (self.gate, self.authorised.take());
        self.pending = Some(Box::pin(async move {
            Completed::Recorded(match authorised {
                Some(authorised) => gate.record(&authorised, &versions).await.map_err(one),
                None => Err(Failed {
                    exit: Exit::Internal,
                    why: "it was not authorised".to_owned(),
                }),
            })
        }));
    }

    fn notify(&mut self, actions: Vec<RotateAction>) {
        let telling = tell::tell(self.beside(), actions, Rc::clone(&self.observer));
        self.pending = Some(Box::pin(async { Completed::Notified(telling.await) }));
    }

    fn verify(&mut self, how: &Verify) {
        let (beside, how) = (self.beside(), how.clone());
        self.pending = Some(Box::pin(async move {
            Completed::Verified(verify::verify(beside, &how).await)
        }));
    }

    fn abandon(&mut self) {
        self.pending = None;
    }

    fn stage(&mut self, stage: Stage<'_, Self>) -> Result<Option<Kept>, StageError> {
        // What is damaged is delivered anew; what is found is reported.
        self.inspect().ok();
        let Stage {
            generation,
            draft,
            values: round,
            kept,
        } = stage;
        let observer = self.observer.as_ref();
        let payloads = values::renewed(self.plan, &round, draft, &self.damaged, observer)
            .map_err(bad_values)?;
        let restart = draft.found.new == Some(Means::Restart);
        if restart {
            self.could_start(&round)?;
        }
        if let Some(output) = self.unit.output() {
            output.know(self.plan, &round.values);
        }
        drop(round);
        let kept = kept.map(|kept| kept.with(&payloads)).transpose();
        let kept = kept.map_err(os("no memory to keep the values in"));
        let kept = kept.map_err(|failures| StageError::System(failed(failures)))?;
        if !restart {
            let staged = self.live.stage(generation, &payloads);
            drop(payloads);
            staged.map_err(|failures| StageError::System(failed(failures)))?;
        }
        Ok(kept)
    }

    fn swap(&mut self, receipt: &Receipt) -> Result<(), Vec<Failed>> {
        // What a program put at a delivered path is never said to be in place.
        let swapped = self.inspect().and_then(|()| self.live.swap(receipt));
        swapped.map_err(failed)?;
        // What was damaged is new now; what is found is reported.
        self.inspect().ok();
        Ok(())
    }

    fn swap_back(
        &mut self,
        receipt: &Receipt,
        payloads: Option<(&Kept, Generation)>,
    ) -> Result<(), Vec<Failed>> {
        let swapped = match payloads {
            Some((kept, generation)) => {
                let payloads: Vec<_> = kept.payloads().into_iter().map(Some).collect();
                let staged = self.live.stage(generation, &payloads);
                drop(payloads);
                staged.and_then(|()| self.live.swap(receipt))
            }
            None => self.live.swap_back(receipt),
        };
        swapped.map_err(failed)?;
        // What it finds is reported.
        self.inspect().ok();
        Ok(())
    }

    fn retire(&mut self) {
        let retired = self.live.retire();
        self.report(retired);
        memory::settle();
    }

    fn discard(&mut self) {
        let discarded = self.live.discard();
        self.report(discarded);
        memory::settle();
    }

    fn forget(&mut self, values: Round) {
        drop(values);
        // The values are gone, but not yet from where reading them left its traces.
        memory::settle();
    }

    fn stop(&mut self) {
        self.handle.replace();
    }

    /// systemd is told while what the program has changes.
    fn is_changing(&mut self, changing: bool) {
        self.unit.announcer().rotates(changing);
    }

    fn upkeep(&self) -> Option<(String, Duration)> {
        let (what, at) = self.upkeep.clone()?;
        Some((what, at.saturating_duration_since(self.began)))
    }

    fn past(&self, source: &Source, version: &Version) -> Option<Past> {
        self.stores[&source.store].past(source, version)
    }

    fn good_for(&self, source: &Source) -> Option<Duration> {
        self.leases(source)?.good_for(source)
    }

    fn is_good(&self, source: &Source, version: &Version) -> bool {
        let leases = self.leases(source);
        leases.is_none_or(|leases| leases.is_good(source, version))
    }

    fn expire(&mut self, source: &Source) {
        if let Some(leases) = self.leases(source) {
            leases.expire(source);
        }
    }

    fn adopted(&mut self, source: &Source, version: &Version) {
        if let Some(leases) = self.leases(source) {
            leases.adopted(source, version);
        }
    }

    fn rejected(&mut self, source: &Source, version: &Version) {
        if let Some(leases) = self.leases(source) {
            leases.rejected(source, version);
        }
    }

    fn revoke(&mut self, secret: &SecretName, _: &Source) {
        let source = &self.plan.secrets[secret].source;
        let revoking = match self.leases(source) {
            Some(leases) => leases.revoke(source),
            None => Box::pin(ready(Err(StoreError::no_leases(source)))),
        };
        self.revocations.push((secret.clone(), revoking));
    }
}

impl<'a> Real<'a> {
    fn authorise(&self, secrets: &BTreeSet<SecretName>) -> Result<Authorised<'a>, Denied> {
        let used = if self.live.is_private() {
            IsolationUsed::Private
        } else {
            IsolationUsed::Shared
        };
        let mut subject = self.subject.clone().placed(used);
        if self.gate.reads_age() {
            subject = subject.aged(self.stores.made(self.plan, secrets));
        }
        let authorised =
            self.gate
                .authorise_now(self.plan, subject, Reason::Rotation, Some(secrets));
        authorised.map_err(|denial| Denied {
            stop: denial.stops(),
            failed: Failed {
                exit: Denial::EXIT,
                why: denial.in_a_line(),
            },
        })
    }

    /// Has policy decide on a program that is to be started in place of another: it may be another file
    /// by now, or another place for its files.
    pub fn authorise_restart(&mut self, host: &Host) -> Result<(), Failures> {
        if !self.gate.decides() {
            return Ok(());
        }
        let subject = self.gate.subject(self.plan, host).aged_as(&self.subject);
        if subject != self.subject {
            self.gate
                .decide_again(self.plan, &subject, Reason::Rotation)?;
            self.subject = subject;
        }
        Ok(())
    }

    /// Whether policy would let this program start in place of the one that runs, which is not stopped for
    /// one that may not. Nothing is spent.
    fn may_restart(&self, launch: &Launch) -> Result<(), Denial> {
        if !self.gate.decides() {
            return Ok(());
        }
        let subject = self.gate.subject_again(self.plan, launch, &self.subject);
        if subject == self.subject {
            return Ok(());
        }
        let authorised = self
            .gate
            .authorise_now(self.plan, subject, Reason::Rotation, None);
        authorised.map(drop)
    }

    fn leases(&self, source: &Source) -> Option<&'a dyn Leases> {
        self.stores[&source.store].leases()
    }

    fn beside(&self) -> Beside<'a> {
        Beside {
            plan: self.plan,
            handle: self.handle.clone(),
            reaper: self.reaper.clone(),
            private: self.live.is_private(),
            apart: self.live.is_apart(),
        }
    }

    /// Whether a program could be started with these values: found out while the other one runs.
    fn could_start(&self, round: &Round) -> Result<(), StageError> {
        let launch = Launch::settle(&self.plan.run, std::env::vars_os()).map_err(|faults| {
            StageError::System(failed(faults.into_iter().map(of_spawn).collect()))
        })?;
        self.may_restart(&launch).map_err(|denial| {
            StageError::System(vec![Failed {
                exit: Denial::EXIT,
                why: denial.in_a_line(),
            }])
        })?;
        exposed::refuse(self.plan, &launch, &round.values).map_err(|failures| {
            let secrets = BTreeSet::new();
            bad_values(Unusable { failures, secrets })
        })
    }

    /// When that is, by the engine's clock. What is too far away never comes.
    pub fn at(&self, time: Option<Duration>) -> Option<Instant> {
        self.began.checked_add(time?)
    }

    pub fn served(&mut self, served: Result<Served, DeliveryError>) {
        match served {
            Ok(Served::Event(event)) => self.observer.observe(&event),
            Ok(Served::Disturbed) => {
                // What it finds is reported.
                self.inspect().ok();
            }
            Err(fault) => {
                let message = chain(&fault);
                self.observer.observe(&Event::Fault {
                    about: Topic::Delivery,
                    message,
                });
            }
        }
    }

    /// Looks whether what is delivered is at its path, and puts it back. An error says that nothing can
    /// be delivered at some path.
    fn inspect(&mut self) -> Result<(), Failures> {
        let found = self.live.inspect();
        for put_back in found.put_back {
            self.observer.observe(&Event::PutBack {
                path: put_back.path,
                removed: put_back.removed,
            });
        }
        self.damaged = found.damaged.iter().filter_map(|each| each.file).collect();
        let displaced = found.damaged.iter().filter(|each| each.file.is_none());
        let failures: Failures = displaced
            .map(|each| Failure::new(Exit::Os, each.why.clone()))
            .collect();
        let met = found.damaged.into_iter();
        let met = met.map(|each| (each.path.display().to_string(), each.why));
        let met: BTreeMap<String, String> = met.collect();
        self.conditions.are(met, self.observer.as_ref());
        if failures.is_empty() {
            Ok(())
        } else {
            Err(failures)
        }
    }

    pub fn report(&self, result: Result<(), Failures>) {
        for failure in result.err().into_iter().flatten() {
            let message = chain(&*failure.error);
            self.observer.observe(&Event::Fault {
                about: Topic::Delivery,
                message,
            });
        }
    }

    /// Docker makes a directory where it does not see the file that it is to mount.
    pub fn report_mistaken(&self) {
        for path in self.live.mistaken() {
            let message = format!(
                "another program looked for {path} and did not see it, as private files are for the \
                 program alone, and made an empty directory there (the Docker daemon does for `-v`): \
                 hushpipe removed it. Deliver what others read with `isolation: shared`",
                path = path.display()
            );
            self.observer.observe(&Event::Weaker {
                about: Topic::Isolation,
                message,
            });
        }
    }
}

/// The gate gives one reason.
fn one(failures: Failures) -> Failed {
    let mut failed = failed(failures);
    failed.swap_remove(0)
}

/// As the engine reports them.
pub fn failed(failures: Failures) -> Vec<Failed> {
    let one = |failure: Failure| Failed {
        exit: failure.exit,
        why: chain(&*failure.error),
    };
    failures.into_iter().map(one).collect()
}

fn bad_values(unusable: Unusable) -> StageError {
    StageError::Values {
        failed: failed(unusable.failures),
        blamed: unusable.secrets,
    }
}
