//! A program in the place of another, which a rotation has stopped.

use super::Rotation;
use crate::app::failure::Failures;
use crate::app::live::Deliveries;
use crate::app::{host, memory, supervise};
use crate::delivery::Feed;
use crate::model::{Reason, chain};
use crate::supervisor::{Ended, Supervisor};

impl Rotation<'_> {
    /// The program and its leftovers are gone. `true`: another one is to be started in its place, by
    /// [`Rotation::start`].
    pub fn ended(&mut self, ended: &Ended) -> bool {
        let is_stopping = self.0.effects().handle.is_stopping();
        self.0.ended(ended, is_stopping)
    }

    /// Starts a program with the generation that is due: everything is placed anew. When that fails,
    /// one with the previous generation; when that fails too, nothing runs any more.
    pub fn start(&mut self, supervisor: &mut Supervisor) -> Result<Vec<Feed>, Failures> {
        loop {
            let Some((real, kept, receipt)) = self.0.next_to_start() else {
                return Err(Failures::new());
            };
            let payloads = kept.payloads();
            real.report_mistaken();
            let removed = std::mem::replace(&mut real.live, Deliveries::empty()).remove();
            real.report(removed);
            let host = host::settle(real.plan, real.unit.activation(), real.users.as_ref());
            let launched = host.and_then(|host| {
                real.authorise_restart(&host)?;
                let (unit, observer) = (&real.unit, &real.observer);
                let release = (&*payloads, receipt);
                let gate = (real.gate, Reason::Rotation);
                supervise::start_with(real.plan, host, release, gate, unit, supervisor, observer)
            });
            drop(payloads);
            memory::settle();
            match launched {
                Ok(launched) => {
                    real.live = launched.live;
                    self.0.started();
                    return Ok(launched.feeds);
                }
                Err(failures) => {
                    let why: Vec<String> =
                        failures.iter().map(|each| chain(&*each.error)).collect();
                    if !self.0.not_started(&why.join("; ")) {
                        return Err(failures);
                    }
                }
            }
        }
    }
}
