//! The rotation as a pure machine: inputs in, actions out. No clock, no process, no I/O; the time is
//! given in.
//!
//! ```text
//! steady → settling → fetching → staging → swapping → notifying ─→ verifying → steady
//!                        │          └────→ stopping → starting ─┘      │
//!                        │ fault: retrying                             │ fault, with rollback
//!                        │ no room for a restart: exhausted            │
//!                        │ nothing new: steady                         ↓
//!                        │      swapping back → notifying back → steady
//!                        └ by   stopping back → starting back  → steady
//!                          hand
//! ```
//!
//! Where policy denies a new generation and wants the program stopped, fetching leads to expelling, and
//! that to the end.
//!
//! A program that ends by itself ends the rotation too, but for one that was started by it and is
//! still being verified: that is a fault of the new generation.

use std::time::Duration;

use super::budget::Budget;
use crate::model::RestartBudget;

/// Where a rotation stands. At most one is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The program has the newest generation.
    Steady,
    /// A change was seen; more may come.
    Settling,
    /// The stores are being asked.
    Fetching,
    /// A store, or the system, failed; the stores will be asked again.
    Retrying,
    /// What is new needs a restart, and the budget has no room for one.
    Exhausted,
    /// The new values are being checked, rendered and written beside the old ones.
    Staging,
    /// The new generation is being put in the old one's place.
    Swapping,
    /// The program is being told.
    Notifying,
    /// The program is being stopped, to be started with the new generation.
    Stopping,
    /// It is being started.
    Starting,
    /// The program is being asked whether it is well.
    Verifying,
    /// The old generation is being put back.
    SwappingBack,
    /// The program is being told of the old generation.
    NotifyingBack,
    /// The program is being stopped, to be started with the old generation.
    StoppingBack,
    /// It is being started.
    StartingBack,
    /// Policy took away what the program has: it is being stopped, and nothing follows.
    Expelling,
    /// The program is gone, and no other will be started.
    Over,
}

/// How the program comes to a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// It is swapped in, and the program is told.
    Told,
    /// The program is stopped and started anew.
    Restart,
}

/// What the stores gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How it comes to the program; `None`: there is nothing new that could.
    pub new: Option<Means>,
    /// A store did not answer: it is to be asked again.
    pub outage: bool,
    /// There is something that waits for a restart, and the budget has no room for one.
    pub short: bool,
}

impl State {
    /// Whether what the program has is being changed, or it is being told.
    pub const fn is_changing(self) -> bool {
        match self {
            Self::Steady
            | Self::Settling
            | Self::Fetching
            | Self::Retrying
            | Self::Exhausted
            | Self::Staging
            | Self::Expelling
            | Self::Over => false,
            Self::Swapping
            | Self::Notifying
            | Self::Stopping
            | Self::Starting
            | Self::Verifying
            | Self::SwappingBack
            | Self::NotifyingBack
            | Self::StoppingBack
            | Self::StartingBack => true,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A source may have a new version.
    Changed,
    /// Somebody asks for a rotation now.
    Rotate,
    /// Somebody asks for the generation before, which is kept. While a new one is on its way to the
    /// program, that is the one before it, and comes back the way that the new one went.
    RollBack(Means),
    /// The timer that was started last has run out.
    Elapsed,
    /// The stores were asked.
    Found(Found),
    /// The action in flight is done.
    Done,
    /// The new values failed a check or do not fit a template.
    Refused,
    /// The action in flight failed, which says nothing of the values; a verification, which does.
    Failed,
    /// Policy takes away what the program has.
    Expelled,
    /// The program has ended.
    Ended,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the settle timer.
    Settle,
    /// Ask the stores for everything that is not pinned.
    Fetch,
    /// Let go of the action in flight.
    Abandon,
    /// Start the backoff timer.
    RetryLater,
    /// Say that the budget has no room.
    Exhausted,
    /// Start a timer that ends when it has room; [`Duration::MAX`]: never.
    WaitForRoom(Duration),
    /// The stores answer again.
    Recovered,
    /// Check, render and write the new generation; before a restart only check and render.
    Stage,
    /// Put it in place.
    Swap,
    /// Tell the program.
    Notify,
    /// Stop the program, and nothing else of hushpipe; [`Input::Ended`] follows.
    Stop,
    /// Stop the program for good; [`Input::Ended`] follows.
    Expel,
    /// Start the program with the new generation.
    Start,
    /// Ask whether the program is well.
    Verify,
    /// Remove the old generation; the new one is the program's now.
    Retire,
    /// The program has the generation before. Forget the one that it is rolled back from; its
    /// versions are not tried again until newer ones come.
    Quarantine,
    /// Forget the new generation; its versions are tried again.
    Discard,
    /// Put the old generation in place.
    SwapBack,
    /// Start the program with the old generation.
    StartBack,
    /// The program is gone and cannot be started: that is the end.
    GiveUp,
}

/// What the manifest wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Whether the program is asked after the notification.
    pub verify: bool,
    /// Whether a fault after the swap puts the old generation back.
    pub rollback: bool,
    /// How often rotations may restart the program. A restart that is rolled back counts once: the way
    /// back, and one that a person asks for, is never refused and takes nothing, so that the values that
    /// mend it have room.
    pub restarts: RestartBudget,
}

/// What follows a rotation that is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Again {
    /// Another one, after the settle time.
    Settled,
    /// Another one, at once.
    Now,
}

/// The generation that is in flight.
#[derive(Clone, Copy, Debug)]
struct Trip {
    means: Means,
    /// It is the one before, and nothing new went before it.
    by_hand: bool,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    rules: Rules,
    state: State,
    budget: Budget,
    trip: Trip,
    /// A change came while a rotation was in flight.
    again: Option<Again>,
    /// The last time that the stores were asked, one did not answer.
    outage: bool,
    /// The last time that the stores were asked, something had to wait for room in the budget.
    short: bool,
    /// The new generation could not be started.
    stuck: bool,
}

impl Machine {
    /// Starts steady.
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::Steady,
            budget: Budget::new(rules.restarts),
            trip: Trip {
                means: Means::Told,
                by_hand: false,
            },
            again: None,
            outage: false,
            short: false,
            stuck: false,
        }
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// So many restarts are left.
    pub fn restarts_left(&self, now: Duration) -> u32 {
        self.budget.left(now)
    }

    /// Takes an input, and the time on any steady clock; gives what to do, in order. Inputs that do
    /// not fit the state (a timer that was overtaken) change nothing.
    #[must_use]
    pub fn step(&mut self, input: Input, now: Duration) -> Vec<Action> {
        match input {
            Input::Changed => self.changed(),
            Input::Rotate => self.rotate(),
            Input::RollBack(means) => self.roll_back(means),
            Input::Elapsed => self.elapsed(),
            Input::Found(found) => self.found(found, now),
            Input::Done => self.done(now),
            Input::Refused => self.refused(),
            Input::Failed => self.failed(now),
            Input::Expelled => self.expelled(),
            Input::Ended => self.ended(),
        }
    }

    fn expelled(&mut self) -> Vec<Action> {
        match self.state {
            State::Fetching => self.go(State::Expelling, &[Action::Expel]),
            _ => Vec::new(),
        }
    }

    fn changed(&mut self) -> Vec<Action> {
        match self.state {
            State::Steady | State::Exhausted => self.go(State::Settling, &[Action::Settle]),
            // While retrying, the store has just shown that it lives, so it is asked at once; or it is
            // polled, and a poll is as often as the manifest asks for, outage or not.
            State::Retrying => self.go(State::Fetching, &[Action::Fetch]),
            // The window is not extended: a store that never rests must not starve the program.
            State::Settling | State::Expelling | State::Over => Vec::new(),
            _ => {
                self.again = self.again.max(Some(Again::Settled));
                Vec::new()
            }
        }
    }

    fn rotate(&mut self) -> Vec<Action> {
        match self.state {
            State::Steady | State::Settling | State::Retrying | State::Exhausted => {
                self.go(State::Fetching, &[Action::Fetch])
            }
            State::Expelling | State::Over => Vec::new(),
            _ => {
                self.again = Some(Again::Now);
                Vec::new()
            }
        }
    }

    fn roll_back(&mut self, means: Means) -> Vec<Action> {
        match self.state {
            State::Notifying | State::Verifying => {
                let mut actions = vec![Action::Abandon];
                actions.extend(self.back());
                actions
            }
            State::Stopping => self.go(State::StoppingBack, &[]),
            State::Steady
            | State::Settling
            | State::Fetching
            | State::Retrying
            | State::Exhausted => self.by_hand(means),
            _ => Vec::new(),
        }
    }

    fn by_hand(&mut self, means: Means) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.state == State::Fetching {
            actions.push(Action::Abandon);
        }
        if self.state != State::Steady {
            // What was to be asked for then still is.
            self.again = self.again.max(Some(Again::Settled));
        }
        self.trip = Trip {
            means,
            by_hand: true,
        };
        actions.extend(self.back());
        actions
    }

    fn elapsed(&mut self) -> Vec<Action> {
        match self.state {
            State::Settling | State::Retrying | State::Exhausted => {
                self.go(State::Fetching, &[Action::Fetch])
            }
            _ => Vec::new(),
        }
    }

    fn found(&mut self, found: Found, now: Duration) -> Vec<Action> {
        if self.state != State::Fetching {
            return Vec::new();
        }
        let mut actions = Vec::new();
        if self.outage && !found.outage {
            actions.push(Action::Recovered);
        }
        self.outage = found.outage;
        let no_room = found.new == Some(Means::Restart) && self.budget.left(now) == 0;
        let short = found.short || no_room;
        if short && !self.short {
            actions.push(Action::Exhausted);
        }
        self.short = short;
        actions.extend(match found.new {
            Some(means) if !no_room => {
                self.trip = Trip {
                    means,
                    by_hand: false,
                };
                self.go(State::Staging, &[Action::Stage])
            }
            _ if self.outage => self.retry(&[]),
            _ => self.rest(&[], now),
        });
        actions
    }

    fn done(&mut self, now: Duration) -> Vec<Action> {
        match (self.state, self.trip.means) {
            (State::Staging, Means::Restart) => {
                self.budget.take(now);
                self.go(State::Stopping, &[Action::Stop])
            }
            (State::Staging, Means::Told) => self.go(State::Swapping, &[Action::Swap]),
            (State::Swapping, _) => self.go(State::Notifying, &[Action::Notify]),
            (State::Notifying | State::Starting, _) if self.rules.verify => {
                self.go(State::Verifying, &[Action::Verify])
            }
            (State::Notifying | State::Starting | State::Verifying, _) => {
                self.rest(&[Action::Retire], now)
            }
            (State::SwappingBack, _) => self.go(State::NotifyingBack, &[Action::Notify]),
            (State::StartingBack, _) if std::mem::take(&mut self.stuck) => {
                self.retry(&[Action::Discard])
            }
            (State::NotifyingBack | State::StartingBack, _) => {
                self.rest(&[Action::Quarantine], now)
            }
            _ => Vec::new(),
        }
    }

    fn refused(&mut self) -> Vec<Action> {
        match self.state {
            // Asked again at once: without the values that are bad there may be others that are not.
            State::Staging => {
                self.again = None;
                self.go(State::Fetching, &[Action::Quarantine, Action::Fetch])
            }
            _ => Vec::new(),
        }
    }

    fn failed(&mut self, now: Duration) -> Vec<Action> {
        match self.state {
            State::Staging | State::Swapping => self.retry(&[Action::Discard]),
            State::Notifying | State::Verifying if self.rules.rollback => self.back(),
            // Nothing runs now: whatever the rules are, the old generation did.
            State::Starting => {
                self.stuck = true;
                self.go(State::StartingBack, &[Action::StartBack])
            }
            State::SwappingBack if self.trip.by_hand => self.rest(&[Action::Discard], now),
            // The new generation stays with the program, well or not; so it does when the old one
            // cannot be put back.
            State::Notifying | State::Verifying | State::SwappingBack => {
                self.rest(&[Action::Retire], now)
            }
            State::NotifyingBack => self.rest(&[Action::Quarantine], now),
            State::StartingBack => self.go(State::Over, &[Action::GiveUp]),
            _ => Vec::new(),
        }
    }

    fn ended(&mut self) -> Vec<Action> {
        let restarted = self.trip.means == Means::Restart;
        match self.state {
            State::Stopping => self.go(State::Starting, &[Action::Start]),
            State::StoppingBack => self.go(State::StartingBack, &[Action::StartBack]),
            State::Verifying if restarted && self.rules.rollback => {
                self.go(State::StartingBack, &[Action::Abandon, Action::StartBack])
            }
            _ => self.go(State::Over, &[]),
        }
    }

    /// On the way back.
    fn back(&mut self) -> Vec<Action> {
        match self.trip.means {
            Means::Told => self.go(State::SwappingBack, &[Action::SwapBack]),
            Means::Restart => self.go(State::StoppingBack, &[Action::Stop]),
        }
    }

    /// All is fetched anew: a change that came meanwhile will be in it.
    fn retry(&mut self, actions: &[Action]) -> Vec<Action> {
        let now = self.again.take() == Some(Again::Now);
        let mut actions = self.go(State::Retrying, actions);
        if now {
            actions.extend(self.rotate());
        } else {
            actions.push(Action::RetryLater);
        }
        actions
    }

    /// Back to steady, or to what is still to be done.
    fn rest(&mut self, actions: &[Action], now: Duration) -> Vec<Action> {
        let mut actions = self.go(State::Steady, actions);
        actions.extend(match self.again.take() {
            Some(Again::Now) => self.rotate(),
            Some(Again::Settled) => self.changed(),
            None if self.outage => self.go(State::Retrying, &[Action::RetryLater]),
            None if self.short => {
                let wait = Action::WaitForRoom(self.budget.room_in(now));
                self.go(State::Exhausted, &[wait])
            }
            None => Vec::new(),
        });
        actions
    }

    fn go(&mut self, state: State, actions: &[Action]) -> Vec<Action> {
        self.state = state;
        actions.to_vec()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "restart_tests.rs"]
mod restart_tests;

#[cfg(test)]
#[path = "table_tests.rs"]
mod table_tests;
