//! The rotation engine: it owns the candidate, the pins, what was asked for by name and the previous
//! generation, feeds the [`Machine`], and does what that says through its [`Effects`].
//!
//! It has no clock, no process and no I/O of its own. The composition root gives it real stores, files
//! and processes, the simulation a world, and both run the same code.

mod apply;
mod candidate;
mod conditions;
mod effects;
mod expiry;
mod generations;
mod known;
mod outages;
mod pins;
mod requests;
mod standing;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

pub use conditions::Conditions;
pub use effects::{Answers, Completed, Denied, Effects, Failed, First, Stage, StageError};
use generations::{Candidate, Previous};
pub use known::Fingerprints;
use known::Known;
use outages::Outages;
pub use pins::{Pin, Pins, pinned, source};
pub use waiting::ControlRequest;
use waiting::Waiting;

use super::Reach;
use super::state::{Action, Input, Machine, Rules};
use crate::model::{Backoff, Event, Generation, Observer, Plan, Receipt, SecretName, StoreName};
use crate::stores::StoreError;

/// Waits between retries while a store fails: full jitter under a ceiling that doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// A rotation, from the first generation to the end of the program.
pub struct Engine<'p, E: Effects> {
    plan: &'p Plan,
    reach: Reach,
    observer: Rc<dyn Observer>,
    effects: E,
    machine: Machine,
    backoff: Backoff,
    generation: Generation,
    timer: Option<Duration>,
    known: Known<E::Digest>,
    /// What the program has, and what it had before.
    kept: Option<E::Payloads>,
    receipt: Receipt,
    previous: Option<Previous<E>>,
    candidate: Option<Candidate<E>>,
    pins: Pins,
    /// Secrets that were asked for by name: they come to the program whatever their `refresh` says.
    wanted: BTreeSet<SecretName>,
    /// Secrets that may have changed: they are fetched next, and what is combined with them.
    due: BTreeSet<SecretName>,
    /// Those that were fetched last.
    asked: BTreeSet<SecretName>,
    /// When what is in flight was noticed first.
    since: Option<Duration>,
    /// When the verification began.
    verifying: Duration,
    /// Why the generation in flight is rolled back, or is not well where it is not; `None`: a rollback
    /// was asked for.
    reason: Option<String>,
    outages: Outages,
    conditions: Conditions,
    /// Values that have ended, and when that was noticed.
    expired: BTreeMap<SecretName, Duration>,
    /// An error of this system that keeps a generation from its place was reported.
    stuck: bool,
    /// What is to be started in the program's place.
    to_start: Option<Action>,
    /// Policy takes away what the program has, and why.
    expelled: Option<String>,
    /// Policy denies what was to be fetched last, as it was reported.
    denied: Option<String>,
    waiting: Waiting,
}

impl<'p, E: Effects> Engine<'p, E> {
    /// For a program that runs on its first generation.
    pub fn new(
        plan: &'p Plan,
        reach: Reach,
        observer: Rc<dyn Observer>,
        effects: E,
        first: First<E>,
    ) -> Self {
        let on_rotate = &plan.on_rotate;
        let rules = Rules {
            verify: on_rotate.verify.is_some(),
            rollback: on_rotate.rollback,
            restarts: on_rotate.restarts,
        };
        let now = effects.now();
        let mut engine = Self {
            plan,
            reach,
            outages: Outages::new(Rc::clone(&observer)),
            observer,
            effects,
            machine: Machine::new(rules),
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            generation: Generation::FIRST,
            timer: None,
            known: Known::new(&first.fingerprints, now),
            kept: first.payloads,
            receipt: first.receipt,
            previous: None,
            candidate: None,
            pins: Pins::new(),
            wanted: BTreeSet::new(),
            due: BTreeSet::new(),
            asked: BTreeSet::new(),
            since: None,
            verifying: now,
            reason: None,
            conditions: Conditions::default(),
            expired: BTreeMap::new(),
            stuck: false,
            to_start: None,
            expelled: None,
            denied: None,
            waiting: Waiting::default(),
        };
        engine.adopted_all();
        engine
    }

    /// What it acts on.
    pub const fn effects(&mut self) -> &mut E {
        &mut self.effects
    }

    /// Why policy had the program stopped, if it did.
    pub fn expelled(&self) -> Option<&str> {
        self.expelled.as_deref()
    }

    /// What it acted on.
    pub fn into_effects(self) -> E {
        self.effects
    }

    /// When [`Engine::elapsed`] is to be called, if at all, by [`Effects::now`].
    pub const fn timer(&self) -> Option<Duration> {
        self.timer
    }

    /// The timer has run out.
    pub fn elapsed(&mut self) {
        self.timer = None;
        self.drive(Input::Elapsed);
    }

    /// These secrets may have new versions.
    pub fn changed(&mut self, secrets: BTreeSet<SecretName>) {
        self.due.extend(secrets);
        self.drive(Input::Changed);
    }

    /// A signal asks for a rotation.
    pub fn signalled(&mut self) {
        let what = "rotate".to_owned();
        self.observer.observe(&Event::Asked { what, by: None });
        self.all_are_due();
        self.drive(Input::Rotate);
    }

    pub(super) fn all_are_due(&mut self) {
        self.due.extend(self.plan.secrets.keys().cloned());
    }

    /// The watch of a store meets these errors, and no others.
    pub fn watch_is_down(&mut self, errors: &[StoreError]) {
        self.outages.watch_is_down(errors);
    }

    /// The watch of a store works again.
    pub fn watch_is_up(&mut self, store: &StoreName) {
        self.outages.watch_is_up(store);
    }

    /// What takes time has ended.
    pub fn completed(&mut self, completed: Completed<E>) {
        let input = match completed {
            Completed::Fetched(answers) => self.found(answers),
            Completed::Recorded(recorded) => self.recorded(recorded),
            Completed::Notified(Ok(())) => Input::Done,
            Completed::Notified(Err(why)) => {
                self.is_not_well(format!("the program could not be told: {why}"));
                Input::Failed
            }
            Completed::Verified(Ok(())) => {
                let took = self.effects.now().saturating_sub(self.verifying);
                self.observer.observe(&Event::Verified { took });
                Input::Done
            }
            Completed::Verified(Err(why)) => {
                self.is_not_well(format!("the program is not well with it: {why}"));
                Input::Failed
            }
        };
        self.drive(input);
    }

    /// One input, and all that follows from it until something is waited for.
    fn drive(&mut self, input: Input) {
        let mut actions = VecDeque::from(self.step(input));
        while let Some(action) = actions.pop_front() {
            if let Some(input) = self.perform(action) {
                actions.extend(self.step(input));
            }
        }
    }

    fn step(&mut self, input: Input) -> Vec<Action> {
        let actions = self.machine.step(input, self.effects.now());
        let changing = self.machine.state().is_changing();
        self.effects.is_changing(changing);
        actions
    }

    /// Does it, or begins it; gives what came of it, where that is known at once.
    fn perform(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Settle => return self.settle(),
            Action::Fetch => return self.fetch(),
            Action::Abandon => self.abandon(),
            Action::RetryLater => self.retry_later(),
            Action::Exhausted => self.exhausted(),
            Action::WaitForRoom(wait) => self.wait(wait),
            Action::Recovered => self.backoff.reset(),
            Action::Stage => return self.stage(),
            Action::Swap => return Some(self.swap()),
            Action::Notify => return self.notify(),
            Action::Verify => return self.verify(),
            Action::Stop => self.stop(),
            Action::Expel => self.expel(),
            Action::Retire => self.retire(),
            Action::Quarantine => self.quarantine(),
            Action::Discard => self.discard(),
            Action::SwapBack => return Some(self.swap_back()),
            // Who supervises the program starts it.
            Action::Start | Action::StartBack => self.to_start = Some(action),
            Action::GiveUp => self.to_start = None,
        }
        None
    }
}
