//! A program in the place of another: stopped and started by a rotation.

use super::Rotation;
use crate::app::failure::{Failures, chain};
use crate::app::kept::Kept;
use crate::app::live::Live;
use crate::app::{host, memory, supervise};
use crate::delivery::Feed;
use crate::model::{Event, Exited};
use crate::rotation::{Action, Input, State};
use crate::supervisor::{Ended, Supervisor};

impl Rotation<'_> {
    /// Has the program stopped; hushpipe stays.
    pub(super) fn stop(&mut self) {
        self.timer = None;
        self.observer.observe(&Event::Restarting);
        self.handle.replace();
    }

    /// The program and its leftovers are gone. `true`: another one is to be started in its place, by
    /// [`Rotation::start`].
    pub fn ended(&mut self, ended: &Ended) -> bool {
        let stopping = matches!(self.machine.state(), State::Stopping | State::StoppingBack);
        // It ended by itself, or by request, before or while it was to be stopped by us.
        if !ended.replaced && (stopping || self.handle.is_stopping()) {
            return false;
        }
        if self.machine.state() == State::Verifying {
            let Exited { code, signal } = ended.exited;
            let how = signal.map_or_else(|| format!("code {code}"), |signal| signal.to_string());
            self.is_not_well(format!(
                "the program ended with {how} while it was verified"
            ));
        }
        self.drive(Input::Ended);
        self.to_start.is_some()
    }

    /// Starts a program with the generation that is due: everything is placed anew. When that fails,
    /// one with the generation before; when that fails too, nothing runs any more.
    pub fn start(&mut self, supervisor: &mut Supervisor) -> Result<Vec<Feed>, Failures> {
        loop {
            let Some(kept) = self.next_to_start() else {
                return Err(Failures::new());
            };
            let payloads = kept.payloads();
            self.report_mistaken();
            let removed = std::mem::replace(&mut self.live, Live::empty()).remove();
            self.report(removed);
            let host = host::settle(self.plan, self.unit.activation(), self.users.as_ref());
            let launched = host.and_then(|host| {
                let (unit, observer) = (&self.unit, &self.observer);
                supervise::start_with(self.plan, host, &payloads, unit, supervisor, observer)
            });
            drop(payloads);
            memory::settle();
            match launched {
                Ok(launched) => {
                    self.live = launched.live;
                    self.started();
                    return Ok(launched.feeds);
                }
                Err(failures) => self.not_started(failures)?,
            }
        }
    }

    fn next_to_start(&self) -> Option<&Kept> {
        let candidate = self.candidate.as_ref();
        match self.to_start {
            Some(Action::StartBack) if candidate.is_none_or(|candidate| !candidate.by_hand) => {
                self.kept.as_ref()
            }
            Some(_) => candidate?.kept.as_ref(),
            None => None,
        }
    }

    fn started(&mut self) {
        self.generation = self.generation.next();
        if let (Some(Action::StartBack), Some(candidate)) =
            (self.to_start.take(), &mut self.candidate)
        {
            candidate.undone = true;
        }
        self.drive(Input::Done);
    }

    /// Gives the failures back when there is no other way.
    fn not_started(&mut self, failures: Failures) -> Result<(), Failures> {
        let why: Vec<String> = failures.iter().map(|each| chain(&*each.error)).collect();
        let why = format!("the program cannot be started with it: {}", why.join("; "));
        let message = format!("the new generation: {why}");
        self.reason = Some(why);
        self.to_start = None;
        self.drive(Input::Failed);
        if self.to_start.is_none() {
            return Err(failures);
        }
        self.failed(message);
        Ok(())
    }
}
