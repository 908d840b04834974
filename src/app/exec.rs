//! `mode: exec`: hushpipe becomes the program.

use std::rc::Rc;

use super::failure::Failures;
use super::fetch::Stores;
use super::host::{self, Prior, of_spawn};
use super::kept::Kept;
use super::place::{Placed, Placing};
use super::unit::Unit;
use super::values::{self, Gathered};
use super::{close, open, os, supervise};
use crate::http;
use crate::model::{Exited, Observer, Plan};
use crate::secret::SecretBytes;
use crate::supervisor::Supervisor;
use crate::supervisor::spawn::SpawnError;
use crate::sys::child::{Group, StagedHere};
use crate::sys::reaper::Reaper;
use crate::sys::signals::Signals;

/// Fetches, hands over and becomes the program. Comes back with a code only when a signal ended it
/// before.
pub async fn run(
    plan: &Plan,
    signals: Signals,
    prior: Prior,
    observer: &Rc<dyn Observer>,
) -> Result<Exited, Failures> {
    let reaper = Reaper::new();
    let stores = open::stores(plan, &reaper, observer)?;
    let mut supervisor = supervise::take_over(plan, signals, reaper, observer)?;
    let placed = match prepare(plan, &stores, &mut supervisor, prior, observer).await {
        Ok(placed) => placed,
        Err(ended) => {
            close::close(&stores, &mut supervisor, observer.as_ref()).await;
            return ended;
        }
    };
    Err(become_program(placed))
}

/// Everything up to the step that cannot be taken back. The error is how hushpipe ends instead.
async fn prepare(
    plan: &Plan,
    stores: &Stores,
    supervisor: &mut Supervisor,
    prior: Prior,
    observer: &Rc<dyn Observer>,
) -> Result<Placed<StagedHere>, Result<Exited, Failures>> {
    let host = host::settle(plan, prior.activation.as_ref(), prior.users.as_ref()).map_err(Err)?;
    host.warn(plan, observer.as_ref());
    let unit = Unit::exec(&host.launch, prior.activation, prior.inherited);
    let gathering = values::gather(plan, stores, &host, observer);
    let Gathered { payloads, .. } = match supervisor.during(gathering).await {
        Ok(gathered) => gathered.map_err(Err)?,
        Err(interrupted) => return Err(supervise::ended(interrupted)),
    };
    let payloads = Payloads::waiting(plan, payloads).map_err(Err)?;
    close::close_before_exec(plan, stores, supervisor, observer.as_ref()).await;
    // Private files need a user namespace, which no process of several threads may make.
    if let Err(interrupted) = supervisor.during(http::lookups_ended()).await {
        return Err(supervise::ended(interrupted));
    }
    let payloads = payloads.now();
    let placing = Placing {
        plan,
        payloads: &payloads,
        group: Group::Shared,
        mask: supervisor.callers_mask(),
        unit: &unit,
        observer: observer.as_ref(),
    };
    placing.place::<StagedHere>(host).map_err(Err)
}

/// What is to be delivered, while stores are closed.
enum Payloads {
    /// No store has anything to take back.
    Open(Vec<SecretBytes>),
    /// A server may take its time.
    Kept(Kept),
}

impl Payloads {
    fn waiting(plan: &Plan, payloads: Vec<SecretBytes>) -> Result<Self, Failures> {
        if !supervise::logs_in(plan) {
            return Ok(Self::Open(payloads));
        }
        let kept = Kept::new(&payloads);
        kept.map(Self::Kept)
            .map_err(os("no memory to keep the values in"))
    }

    fn now(self) -> Vec<SecretBytes> {
        match self {
            Self::Open(payloads) => payloads,
            Self::Kept(kept) => kept.payloads(),
        }
    }
}

/// Comes back only when it fails. Stores cannot be asked then: on the way to the program the
/// descriptors' numbers may have been given to others.
fn become_program(placed: Placed<StagedHere>) -> Failures {
    let Placed { staged, live, .. } = placed;
    let mut failures = vec![of_spawn(SpawnError::from(staged.exec()))];
    // Nobody will use what was made.
    failures.extend(live.give_up().err().into_iter().flatten());
    failures
}
