//! Rotation in effect: feeds [`Machine`] with what the stores, the program and people tell, and does
//! what it says. What takes time is a future that is driven beside everything else, so that nothing
//! holds up leases, FIFOs or commands.

mod ask;
mod asked;
mod beside;
mod conditions;
mod hand_over;
mod known;
mod outages;
mod pins;
mod replace;
mod status;
mod tell;
mod verify;

use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use ask::Candidate;
use asked::{Revocation, Waiting};
use conditions::Conditions;
use known::Former;
pub use known::Known;
use outages::Outages;
use pins::{Answers, Pins};

use super::command::{self, Commands};
use super::failure::Failures;
use super::fetch::Stores;
use super::kept::Kept;
use super::live::{Live, Served};
use super::unit::Unit;
use super::watch::{Changes, Noticed};
use crate::delivery::{self, DeliveryError};
use crate::model::{Backoff, Event, Generation, Observer, Plan, Refresh, SecretName};
use crate::rotation::{Action, Input, Machine, Reach, Rules};
use crate::stores::Local;
use crate::supervisor::Handle;
use crate::supervisor::notify::Announcer;
use crate::sys::child::UserNamespace;
use crate::sys::reaper::Reaper;

/// Waits between tries while a store fails: full jitter under a ceiling that doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// What a plan's program sees of its secrets.
pub fn reach(plan: &Plan) -> Reach {
    let deliveries = plan.deliveries.iter();
    let uses = deliveries.map(|delivery| delivery::uses(&delivery.channel));
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
    pub live: Live,
    /// What the program has.
    pub known: Known,
    /// What was delivered, where that is kept.
    pub kept: Option<Kept>,
}

/// What is being done, beside everything else.
type Flight<'a> = Local<'a, Landed>;

/// What came of it.
enum Landed {
    Asked(Answers),
    Told(Result<(), String>),
    Verified(Result<(), String>),
}

/// Everything that a rotation needs.
pub struct Rotation<'a> {
    plan: &'a Plan,
    reach: Reach,
    stores: &'a Stores,
    observer: Rc<dyn Observer>,
    unit: Unit,
    users: Option<UserNamespace>,
    handle: Handle,
    reaper: Reaper,
    live: Live,
    known: Known,
    /// What the program has, and what it had before.
    kept: Option<Kept>,
    former: Option<Former>,
    machine: Machine,
    backoff: Backoff,
    /// The machine's clock starts here.
    began: Instant,
    generation: Generation,
    timer: Option<Instant>,
    /// What is done next while all is steady, as far as that is known.
    due: Option<(String, Instant)>,
    /// Secrets that were asked for by name: they come to the program whatever their `refresh` says.
    wanted: BTreeSet<SecretName>,
    /// When what is in flight was noticed first.
    since: Option<Instant>,
    flight: Option<Flight<'a>>,
    /// When it began.
    took_off: Instant,
    candidate: Option<Candidate>,
    /// Why the generation in flight is rolled back; `None`: it was asked for.
    reason: Option<String>,
    pins: Pins,
    outages: Outages,
    conditions: Conditions,
    /// Deliveries whose file is not as it was written.
    damaged: BTreeSet<usize>,
    /// When the next value ends, as far as that is known.
    expiry: Option<Instant>,
    /// A fault of this system that keeps a generation from its place was said.
    stuck: bool,
    /// What is to be started in the program's place.
    to_start: Option<Action>,
    revocations: Vec<Revocation<'a>>,
    waiting: Waiting,
}

/// What ended a wait.
enum Woken {
    Noticed(Noticed),
    Elapsed,
    Landed(Landed),
    Revoked(usize, Result<(), crate::stores::StoreError>),
    Served(Result<Served, DeliveryError>),
    Ended,
    Asked(command::Asked),
    Signalled,
}

impl<'a> Rotation<'a> {
    /// For a program that runs on its first generation.
    pub fn new(setting: Setting<'a>, first: First) -> Self {
        let on_rotate = &setting.plan.on_rotate;
        let rules = Rules {
            verify: on_rotate.verify.is_some(),
            rollback: on_rotate.rollback,
            restarts: on_rotate.restarts,
        };
        let now = Instant::now();
        let rotation = Self {
            plan: setting.plan,
            reach: setting.reach,
            stores: setting.stores,
            outages: Outages::new(Rc::clone(&setting.observer)),
            observer: setting.observer,
            unit: setting.unit,
            users: setting.users,
            handle: setting.handle,
            reaper: setting.reaper,
            live: first.live,
            known: first.known,
            kept: first.kept,
            former: None,
            machine: Machine::new(rules),
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            began: now,
            generation: Generation::FIRST,
            timer: None,
            due: None,
            wanted: BTreeSet::new(),
            since: None,
            flight: None,
            took_off: now,
            candidate: None,
            reason: None,
            pins: Pins::new(),
            conditions: Conditions::default(),
            damaged: BTreeSet::new(),
            expiry: None,
            stuck: false,
            to_start: None,
            revocations: Vec::new(),
            waiting: Waiting::default(),
        };
        rotation.adopted_all();
        rotation
    }

    /// Removes what was delivered, when the program has ended.
    pub fn remove(self) -> Result<(), Failures> {
        self.report_mistaken();
        self.live.remove()
    }

    /// Docker makes a directory where it does not see the file that it is to mount.
    pub(super) fn report_mistaken(&self) {
        for path in self.live.mistaken() {
            let message = format!(
                "another program looked for {path} and did not see it, as private files are for the \
                 program alone, and made an empty directory there (the Docker daemon does for `-v`): \
                 hushpipe removed it. Deliver what others read with `isolation: shared`",
                path = path.display()
            );
            self.observer.observe(&Event::Weaker { message });
        }
    }

    /// Where events go.
    pub fn observer(&self) -> Rc<dyn Observer> {
        Rc::clone(&self.observer)
    }

    /// hushpipe's voice to systemd.
    pub const fn announcer(&self) -> &Announcer {
        self.unit.announcer()
    }

    /// A program was started: the stores need not keep anything alive but what it has.
    fn adopted_all(&self) {
        let names = self.plan.secrets.keys().cloned().collect();
        self.adopted(&names, &self.known.of(&names), &self.pins);
    }

    /// Rotates, serves FIFOs and does what it is asked, for as long as it is polled.
    pub async fn run(&mut self, changes: &mut Changes, commands: &mut Commands) {
        loop {
            self.look_for_ends();
            let woken = tokio::select! {
                noticed = changes.next(self.stores) => Woken::Noticed(noticed),
                () = elapsed(self.timer) => Woken::Elapsed,
                landed = landed(&mut self.flight) => Woken::Landed(landed),
                (index, result) = asked::revoked(&mut self.revocations) => {
                    Woken::Revoked(index, result)
                }
                served = self.live.serve() => Woken::Served(served),
                asked = command::next(commands) => Woken::Asked(asked),
                () = self.handle.rotation_asked() => Woken::Signalled,
                () = elapsed(self.expiry) => Woken::Ended,
            };
            self.due = changes.due();
            if let Some(input) = self.woken(woken) {
                self.drive(input);
            }
        }
    }

    fn woken(&mut self, woken: Woken) -> Option<Input> {
        match woken {
            Woken::Noticed(noticed) => self.noticed(noticed),
            Woken::Elapsed => {
                self.timer = None;
                Some(Input::Elapsed)
            }
            Woken::Landed(landed) => Some(self.landed(landed)),
            Woken::Revoked(index, result) => self.revoked(index, result),
            Woken::Served(served) => {
                self.served(served);
                None
            }
            Woken::Asked(asked) => self.asked(asked),
            Woken::Ended => None,
            Woken::Signalled => {
                let what = "rotate".to_owned();
                self.observer.observe(&Event::Asked { what, by: None });
                Some(Input::Rotate)
            }
        }
    }

    fn noticed(&mut self, noticed: Noticed) -> Option<Input> {
        match noticed {
            Noticed::Changed => return Some(Input::Changed),
            Noticed::Down(faults) => self.outages.watch_is_down(&faults),
            Noticed::Up(store) => self.outages.watch_is_up(&store),
            Noticed::Unwatched(message) => self.observer.observe(&Event::Weaker { message }),
        }
        None
    }

    /// What takes time has ended.
    fn landed(&mut self, landed: Landed) -> Input {
        match landed {
            Landed::Asked(answers) => self.found(answers),
            Landed::Told(Ok(())) => Input::Done,
            Landed::Told(Err(why)) => {
                self.is_not_well(format!("the program could not be told: {why}"));
                Input::Failed
            }
            Landed::Verified(Ok(())) => {
                let took = self.took_off.elapsed();
                self.observer.observe(&Event::Verified { took });
                Input::Done
            }
            Landed::Verified(Err(why)) => {
                self.is_not_well(format!("the program is not well with it: {why}"));
                Input::Failed
            }
        }
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
        let actions = self.machine.step(input, self.began.elapsed());
        // systemd is told while what the program has changes.
        let announcer = self.unit.announcer();
        announcer.rotates(self.machine.state().is_changing());
        actions
    }

    /// Does it, or begins it; gives what came of it, where that is known at once.
    fn perform(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Settle => return self.settle(),
            Action::Fetch => self.fetch(),
            Action::Abandon => self.flight = None,
            Action::RetryLater => self.retry_later(),
            Action::Exhausted => self.exhausted(),
            Action::WaitForRoom(wait) => self.wait(wait),
            Action::Recovered => self.backoff.reset(),
            Action::Stage => return Some(self.stage()),
            Action::Swap => return Some(self.swap()),
            Action::Notify => return self.notify(),
            Action::Verify => return self.verify(),
            Action::Stop => self.stop(),
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

/// Ends when the timer does; never, when there is none.
async fn elapsed(timer: Option<Instant>) {
    match timer {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Ends when what is in flight does.
async fn landed(flight: &mut Option<Flight<'_>>) -> Landed {
    poll_fn(|context| match flight {
        Some(future) => match future.as_mut().poll(context) {
            Poll::Ready(landed) => {
                *flight = None;
                Poll::Ready(landed)
            }
            Poll::Pending => Poll::Pending,
        },
        None => Poll::Pending,
    })
    .await
}
