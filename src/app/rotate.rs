//! Rotation in effect: feeds [`Machine`] with what the stores tell and does what it says.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::failure::{Failures, chain};
use super::fetch::{self, Round, Stores};
use super::live::Live;
use super::values;
use super::watch::{Changes, random};
use crate::delivery::DeliveryError;
use crate::model::{Event, Generation, Observer, Plan, RotateAction, SecretName, StoreName};
use crate::rotation::{Action, Backoff, Input, Machine, Rules};
use crate::secret::{Digest, DigestKey, SecretBytes};
use crate::stores::StoreError;
use crate::supervisor::Handle;

/// Waits between tries while a store fails: full jitter under a ceiling that doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// What the program has, known by keyed digests: no value is kept.
pub struct Known {
    key: DigestKey,
    digests: Digests,
}

type Digests = BTreeMap<SecretName, Digest>;

impl Known {
    /// Takes note of the first generation.
    pub fn new(key: DigestKey, round: &Round) -> Self {
        let digests = digests(&key, round);
        Self { key, digests }
    }
}

fn digests(key: &DigestKey, round: &Round) -> Digests {
    round
        .values
        .iter()
        .map(|(name, value)| (name.clone(), key.digest(value)))
        .collect()
}

/// A generation that was fetched and is not in place yet.
struct Candidate {
    round: Option<Round>,
    digests: Digests,
}

/// Everything that a rotation needs.
pub struct Rotation<'a> {
    plan: &'a Plan,
    stores: &'a Stores,
    observer: Rc<dyn Observer>,
    handle: Handle,
    live: Live,
    known: Known,
    machine: Machine,
    backoff: Backoff,
    generation: Generation,
    timer: Option<Instant>,
    since: Instant,
    candidate: Option<Candidate>,
    /// The values that failed, so that they are not tried again until newer ones come.
    quarantined: Option<Digests>,
    /// Stores whose fault was said.
    down: Vec<StoreName>,
}

impl<'a> Rotation<'a> {
    /// Removes what was delivered, when the program has ended.
    pub fn remove(self) -> Result<(), Failures> {
        self.live.remove()
    }

    /// For a program that runs on its first generation.
    pub fn new(
        plan: &'a Plan,
        stores: &'a Stores,
        observer: Rc<dyn Observer>,
        handle: Handle,
        live: Live,
        known: Known,
    ) -> Self {
        Self {
            plan,
            stores,
            observer,
            handle,
            live,
            known,
            machine: Machine::new(Rules::default()),
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            generation: Generation::FIRST,
            timer: None,
            since: Instant::now(),
            candidate: None,
            quarantined: None,
            down: Vec::new(),
        }
    }

    /// Rotates, and serves FIFOs, for as long as it is polled.
    pub async fn run(&mut self, changes: &mut Changes) {
        loop {
            let timer = self.timer;
            let input = tokio::select! {
                () = changes.next(self.stores) => Input::Changed,
                () = elapsed(timer) => {
                    self.timer = None;
                    Input::Elapsed
                }
                served = self.live.serve() => {
                    self.served(served);
                    continue;
                }
            };
            self.drive(input).await;
        }
    }

    /// One input, and all that follows from it until a timer or a change is waited for.
    async fn drive(&mut self, input: Input) {
        let mut actions = VecDeque::from(self.machine.step(input));
        while let Some(action) = actions.pop_front() {
            if let Some(input) = self.perform(action).await {
                actions.extend(self.machine.step(input));
            }
        }
    }

    async fn perform(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Settle => {
                self.since = Instant::now();
                if self.plan.on_rotate.settle.is_zero() {
                    return Some(Input::Elapsed);
                }
                self.timer = Some(self.since + self.plan.on_rotate.settle);
                None
            }
            Action::Fetch => Some(self.fetch().await),
            Action::RetryLater => {
                self.timer = Some(Instant::now() + self.backoff.next(random()));
                None
            }
            Action::Recovered => {
                self.recovered();
                None
            }
            Action::Stage => Some(self.stage()),
            Action::Swap => Some(self.swap()),
            Action::Notify => Some(self.notify()),
            Action::Retire => {
                self.retire();
                None
            }
            Action::Quarantine => {
                self.quarantine();
                None
            }
            // The rules ask for neither: `verify` and `rollback` are not in this manifest version.
            Action::Verify | Action::SwapBack => Some(Input::Done),
        }
    }

    async fn fetch(&mut self) -> Input {
        self.timer = None;
        let round = match self.ask().await {
            Ok(round) => round,
            Err(faults) => {
                self.outage(&faults);
                return Input::Failed;
            }
        };
        let digests = digests(&self.known.key, &round);
        if digests == self.known.digests || self.quarantined.as_ref() == Some(&digests) {
            return Input::Unchanged;
        }
        for (secret, digest) in &digests {
            if self.known.digests.get(secret) != Some(digest) {
                let version = round.versions[secret].clone();
                self.observer.observe(&Event::Changed {
                    secret: secret.clone(),
                    version,
                });
            }
        }
        self.candidate = Some(Candidate {
            round: Some(round),
            digests,
        });
        Input::Fetched
    }

    /// Asks the stores; FIFOs are served meanwhile, however long a store takes.
    async fn ask(&mut self) -> Result<Round, Vec<StoreError>> {
        let mut asking = pin!(fetch::fetch(self.plan, self.stores));
        loop {
            tokio::select! {
                round = &mut asking => return round,
                served = self.live.serve() => self.served(served),
            }
        }
    }

    fn served(&self, served: Result<Event, DeliveryError>) {
        match served {
            Ok(event) => self.observer.observe(&event),
            Err(fault) => self.observer.observe(&Event::Fault {
                message: chain(&fault),
            }),
        }
    }

    /// Each store's outage is said once, not at every retry.
    fn outage(&mut self, faults: &[StoreError]) {
        for fault in faults {
            if !self.down.contains(&fault.store) {
                self.down.push(fault.store.clone());
                let message = chain(fault);
                self.observer.observe(&Event::StoreFault {
                    store: fault.store.clone(),
                    message,
                });
            }
        }
    }

    fn recovered(&mut self) {
        self.backoff.reset();
        for store in self.down.drain(..) {
            self.observer.observe(&Event::StoreRecovered { store });
        }
    }

    /// Checks, renders and writes the candidate beside what is in place.
    fn stage(&mut self) -> Input {
        let round = self
            .candidate
            .as_mut()
            .and_then(|candidate| candidate.round.take());
        let Some(round) = round else {
            return Input::Failed;
        };
        let staged = values::payloads(self.plan, &round).and_then(|payloads: Vec<SecretBytes>| {
            self.live.stage(self.generation.next(), payloads)
        });
        self.outcome(staged)
    }

    fn swap(&mut self) -> Input {
        let swapped = self.live.swap();
        self.outcome(swapped)
    }

    fn outcome(&self, result: Result<(), Failures>) -> Input {
        match result {
            Ok(()) => Input::Done,
            Err(failures) => {
                for failure in failures {
                    let message = format!(
                        "the new generation is not used: {}; the program keeps what it has",
                        chain(&*failure.error)
                    );
                    self.observer.observe(&Event::RotationFailed { message });
                }
                Input::Failed
            }
        }
    }

    fn notify(&mut self) -> Input {
        let RotateAction::Signal(signal) = self.plan.on_rotate.action else {
            return Input::Done;
        };
        match self.handle.send(signal) {
            Ok(true) => {
                self.observer.observe(&Event::Notified { signal });
                Input::Done
            }
            // The program has just ended: nobody is left to be told.
            Ok(false) => Input::Done,
            Err(error) => {
                let message = format!("the program could not be told by {signal}: {error}");
                self.observer.observe(&Event::RotationFailed { message });
                Input::Failed
            }
        }
    }

    /// The candidate is the program's generation now.
    fn retire(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            self.known.digests = candidate.digests;
        }
        self.quarantined = None;
        self.generation = self.generation.next();
        let retired = self.live.retire();
        self.report(retired);
        let took = self.since.elapsed();
        self.observer.observe(&Event::Rotated {
            generation: self.generation,
            took,
        });
        super::memory::settle();
    }

    fn report(&self, result: Result<(), Failures>) {
        for failure in result.err().into_iter().flatten() {
            self.observer.observe(&Event::Fault {
                message: chain(&*failure.error),
            });
        }
    }

    fn quarantine(&mut self) {
        self.quarantined = self.candidate.take().map(|candidate| candidate.digests);
        let discarded = self.live.discard();
        self.report(discarded);
        super::memory::settle();
    }
}

/// Ends when the timer does; never, when there is none.
async fn elapsed(timer: Option<Instant>) {
    match timer {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
