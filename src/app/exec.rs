//! `mode: exec`: hushpipe becomes the program.

use std::rc::Rc;

use super::failure::Failures;
use super::host::{self, Host, of_spawn};
use super::place::{Placed, Placing};
use super::values::{self, Gathered};
use super::{open, supervise};
use crate::model::{Observer, Plan};
use crate::supervisor::spawn::SpawnError;
use crate::sys::child::{Group, StagedHere};
use crate::sys::reaper::Reaper;
use crate::sys::signals::Signals;

/// Fetches, hands over and becomes the program. Comes back with a code only when a signal ended it
/// before.
pub async fn run(
    plan: &Plan,
    signals: Signals,
    observer: &Rc<dyn Observer>,
) -> Result<u8, Failures> {
    let reaper = Reaper::new();
    let stores = open::stores(plan, &reaper)?;
    let mut supervisor = supervise::take_over(plan, signals, reaper, observer)?;
    let host = host::settle(plan)?;
    let gathering = values::gather(plan, &stores, &host, observer);
    match supervisor.during(gathering).await {
        Ok(gathered) => Err(become_program(plan, host, &gathered?, observer.as_ref())),
        Err(interrupted) => supervise::ended(interrupted),
    }
}

fn become_program(
    plan: &Plan,
    host: Host,
    gathered: &Gathered,
    observer: &dyn Observer,
) -> Failures {
    let placing = Placing {
        plan,
        payloads: &gathered.payloads,
        group: Group::Shared,
        observer,
    };
    match placing.place::<StagedHere>(host) {
        Ok(Placed { staged, live, .. }) => {
            let mut failures = vec![of_spawn(SpawnError::from(staged.exec()))];
            // It came back, so nobody will use what was made.
            failures.extend(live.give_up().err().into_iter().flatten());
            failures
        }
        Err(failures) => failures,
    }
}
