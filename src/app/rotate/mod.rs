//! Rotation in effect: feeds [`Machine`] with what the stores tell and does what it says.

mod asked;
mod status;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use asked::Waiting;
use status::Moments;

use super::command::{self, Commands};
use super::failure::{Failures, chain};
use super::fetch::{self, Round, Stores};
use super::live::Live;
use super::values;
use super::watch::{Changes, random};
use crate::delivery::DeliveryError;
use crate::model::{
    Backoff, Event, Exit, Generation, Observer, Plan, Refresh, RotateAction, SecretName, StoreName,
    Version,
};
use crate::rotation::{Action, Input, Machine, Rules};
use crate::secret::{Digest, DigestKey};
use crate::stores::{Fault, StoreError};
use crate::supervisor::Handle;

/// Waits between tries while a store fails: full jitter under a ceiling that doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// What the program has, known by keyed digests: no value is kept.
pub struct Known {
    key: DigestKey,
    secrets: BTreeMap<SecretName, KnownSecret>,
}

/// What the program has of a secret.
struct KnownSecret {
    digest: Digest,
    version: Version,
    /// When it was handed over.
    since: Instant,
}

type Digests = BTreeMap<SecretName, Digest>;

impl Known {
    /// Takes note of the first generation.
    pub fn new(key: DigestKey, round: &Round) -> Self {
        let mut known = Self {
            key,
            secrets: BTreeMap::new(),
        };
        known.adopt(&digests(&known.key, round), &round.versions);
        known
    }

    /// The program has these now.
    fn adopt(&mut self, digests: &Digests, versions: &BTreeMap<SecretName, Version>) {
        let now = Instant::now();
        for (name, digest) in digests {
            let before = self.secrets.get(name);
            let same = before.filter(|known| known.digest == *digest);
            let known = KnownSecret {
                digest: *digest,
                version: versions[name].clone(),
                since: same.map_or(now, |known| known.since),
            };
            self.secrets.insert(name.clone(), known);
        }
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
    versions: BTreeMap<SecretName, Version>,
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
    /// Faults of stores that were said: since when, and how.
    down: BTreeMap<Outage, (SystemTime, String)>,
    /// A fault of this system that keeps a generation from its place was said.
    stuck: bool,
    waiting: Waiting,
    moments: Moments,
}

/// What a store did not give, and why: said once while it lasts. The text is no part of it, as a
/// command's last words can differ at each try.
type Outage = (StoreName, Option<String>, u8);

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
            down: BTreeMap::new(),
            stuck: false,
            waiting: Waiting::default(),
            moments: Moments {
                well: true,
                ..Moments::default()
            },
        }
    }

    /// Rotates, serves FIFOs and does what it is asked, for as long as it is polled.
    pub async fn run(&mut self, changes: &mut Changes, commands: &mut Commands) {
        loop {
            let timer = self.timer;
            let input = tokio::select! {
                () = changes.next(self.stores) => Input::Changed,
                asked = command::next(commands) => match self.asked(asked) {
                    Some(input) => input,
                    None => continue,
                },
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
                self.backoff.reset();
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
                self.quarantined = self.candidate.take().map(|candidate| candidate.digests);
                self.discard();
                None
            }
            Action::Discard => {
                self.candidate = None;
                self.discard();
                None
            }
            // The rules ask for neither: `verify` and `rollback` are not in this manifest version.
            Action::Verify | Action::SwapBack => Some(Input::Done),
        }
    }

    async fn fetch(&mut self) -> Input {
        self.timer = None;
        self.waiting.begins();
        let input = match self.ask().await {
            Ok(round) => {
                self.over(&BTreeSet::new());
                self.compare(round)
            }
            Err(faults) => {
                self.outage(&faults);
                Input::Failed
            }
        };
        if input != Input::Fetched {
            // The values are gone, but not yet from where reading them left its traces.
            super::memory::settle();
        }
        input
    }

    /// Whether the stores gave something new. A value that was written again as it was is not, nor
    /// is one that failed already.
    fn compare(&mut self, round: Round) -> Input {
        let digests = digests(&self.known.key, &round);
        let bad = self.quarantined.as_ref() == Some(&digests);
        if !bad {
            self.quarantined = None;
        }
        let changed = self.changed(&digests);
        if bad || changed.is_empty() {
            self.observer.observe(&Event::Unchanged { bad });
            if bad {
                let text = "the stores still have what was refused: give them newer values";
                self.answer_refused(Exit::Value, text);
            } else {
                self.answer_done("nothing has changed");
            }
            return Input::Unchanged;
        }
        for secret in changed {
            let version = round.versions[secret].clone();
            self.observer.observe(&Event::Changed {
                secret: secret.clone(),
                version,
            });
        }
        self.candidate = Some(Candidate {
            digests,
            versions: round.versions.clone(),
            round: Some(round),
        });
        Input::Fetched
    }

    /// Secrets with a new value. One that is never looked at again makes no generation by itself,
    /// but its value comes with the next one.
    fn changed<'d>(&self, digests: &'d Digests) -> Vec<&'d SecretName> {
        digests
            .iter()
            .filter(|(secret, digest)| {
                let known = self.known.secrets.get(*secret);
                known.is_none_or(|known| known.digest != **digest)
            })
            .map(|(secret, _)| secret)
            .filter(|secret| self.plan.secrets[*secret].refresh != Refresh::Never)
            .collect()
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

    /// Each fault of a store is said once, not at every retry.
    fn outage(&mut self, faults: &[StoreError]) {
        for fault in faults {
            let message = chain(fault);
            let new = || (SystemTime::now(), message.clone());
            if let Entry::Vacant(entry) = self.down.entry(outage_of(fault)) {
                self.observer.observe(&Event::StoreFault {
                    store: fault.store.clone(),
                    message: message.clone(),
                });
                self.moments.failed(message.clone());
                entry.insert(new());
            }
        }
        self.over(&faults.iter().map(outage_of).collect());
        if let Some(first) = faults.first() {
            let text = format!("{}; it is tried again", chain(first));
            self.answer_refused(first.exit(), &text);
        }
    }

    /// Forgets faults that do not last, and says which stores have none any more.
    fn over(&mut self, lasting: &BTreeSet<Outage>) {
        type Down = BTreeMap<Outage, (SystemTime, String)>;
        let stores = |down: &Down| -> BTreeSet<StoreName> {
            down.keys().map(|(store, ..)| store.clone()).collect()
        };
        let before = stores(&self.down);
        self.down.retain(|outage, _| lasting.contains(outage));
        for store in before.difference(&stores(&self.down)) {
            self.observer.observe(&Event::StoreRecovered {
                store: store.clone(),
            });
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
        let payloads = match values::payloads(self.plan, &round) {
            Ok(payloads) => payloads,
            Err(failures) => return self.refused(failures),
        };
        drop(round);
        let staged = self.live.stage(self.generation.next(), payloads);
        self.outcome(staged)
    }

    fn swap(&mut self) -> Input {
        let swapped = self.live.swap();
        self.outcome(swapped)
    }

    /// The values are bad.
    fn refused(&mut self, failures: Failures) -> Input {
        for failure in failures {
            let message = format!(
                "the new generation is refused: {}; the program keeps what it has until there is \
                 a newer one",
                chain(&*failure.error)
            );
            self.failed(message.clone());
            self.answer_refused(failure.exit, &message);
        }
        Input::Refused
    }

    fn failed(&mut self, message: String) {
        self.moments.failed(message.clone());
        self.observer.observe(&Event::RotationFailed { message });
    }

    /// The system may refuse what it allows later: said once, and tried again.
    fn outcome(&mut self, result: Result<(), Failures>) -> Input {
        let Err(failures) = result else {
            return Input::Done;
        };
        for failure in failures {
            let message = format!(
                "the new generation cannot be put in place: {}; the program keeps what it has, and \
                 it is tried again",
                chain(&*failure.error)
            );
            self.answer_refused(failure.exit, &message);
            if !self.stuck {
                self.failed(message);
            }
        }
        self.stuck = true;
        Input::Failed
    }

    fn notify(&mut self) -> Input {
        let RotateAction::Signal(signal) = self.plan.on_rotate.action else {
            return Input::Done;
        };
        // A program on its way out may have its handlers gone already: the signal would kill it, and
        // change its exit code.
        if self.handle.is_stopping() {
            return Input::Done;
        }
        match self.handle.send(signal) {
            Ok(true) => {
                self.observer.observe(&Event::Notified { signal });
                Input::Done
            }
            // The program has just ended: nobody is left to be told.
            Ok(false) => Input::Done,
            Err(error) => {
                self.failed(format!(
                    "the program could not be told by {signal}: {error}"
                ));
                Input::Failed
            }
        }
    }

    /// The candidate is the program's generation now.
    fn retire(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            self.known.adopt(&candidate.digests, &candidate.versions);
        }
        self.quarantined = None;
        self.stuck = false;
        self.backoff.reset();
        self.generation = self.generation.next();
        let retired = self.live.retire();
        self.report(retired);
        let message = format!("generation {} is in place", self.generation);
        self.answer_done(&message);
        self.moments.worked(message);
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

    fn discard(&mut self) {
        let discarded = self.live.discard();
        self.report(discarded);
        super::memory::settle();
    }
}

fn outage_of(fault: &StoreError) -> Outage {
    let asked = match fault.fault {
        // All of the store: which secret it was asked for first says nothing.
        Fault::Unreachable { .. } | Fault::Program { .. } | Fault::Deadline { .. } => None,
        _ => fault.asked.clone(),
    };
    (fault.store.clone(), asked, fault.exit().code())
}

/// Ends when the timer does; never, when there is none.
async fn elapsed(timer: Option<Instant>) {
    match timer {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
