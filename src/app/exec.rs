//! `mode: exec`: hushpipe becomes the program.

use std::rc::Rc;

use super::audit::By;
use super::failure::{Failures, os};
use super::fetch::delivered;
use super::gate::{Gate, Governance};
use super::host::{Prior, of_spawn};
use super::kept::Kept;
use super::pipeline::Pipeline;
use super::place::{Placed, Placing};
use super::unit::Unit;
use super::values::Gathered;
use super::{close, last_message, open, supervise};
use crate::http;
use crate::model::{Exited, Observer, Plan, Reason};
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
    governance: &Governance,
    signals: Signals,
    prior: Prior,
    observer: &Rc<dyn Observer>,
) -> Result<Exited, Failures> {
    let gate = &Gate::of(governance, By::Launcher(plan), observer)?;
    let observer = &gate.observer();
    let launched = Box::pin(launch(plan, gate, signals, prior, observer));
    let placed = match gate.audit().beside(launched).await? {
        Ok(placed) => placed,
        Err(ended) => return Ok(ended),
    };
    let failures = become_program(placed);
    gate.audit().stayed(&failures);
    Err(failures)
}

/// Everything up to the step that cannot be taken back; or how hushpipe ends in its place.
async fn launch(
    plan: &Plan,
    gate: &Gate,
    signals: Signals,
    prior: Prior,
    observer: &Rc<dyn Observer>,
) -> Result<Result<Placed<StagedHere>, Exited>, Failures> {
    let reaper = Reaper::new();
    let stores = open::stores(plan, &reaper, observer)?;
    let mut supervisor = supervise::take_over(plan, signals, reaper, observer)?;
    let pipeline = Pipeline {
        plan,
        stores: &stores,
        gate,
        observer,
    };
    match prepare(pipeline, &mut supervisor, prior).await {
        Ok(placed) => Ok(Ok(placed)),
        Err(ended) => {
            close::close(&stores, &mut supervisor, observer.as_ref()).await;
            ended.map(Err)
        }
    }
}

/// Everything up to the step that cannot be taken back. The error is how hushpipe ends instead.
async fn prepare(
    pipeline: Pipeline<'_>,
    supervisor: &mut Supervisor,
    prior: Prior,
) -> Result<Placed<StagedHere>, Result<Exited, Failures>> {
    let cleared = pipeline.clear(&prior).map_err(Err)?;
    let Pipeline {
        plan,
        stores,
        gate,
        observer,
    } = pipeline;
    let unit = Unit::exec(&cleared.host.launch, prior.activation, prior.inherited);
    let releasing = async {
        let authorised = pipeline.authorise(&cleared.subject).await?;
        pipeline.release(&cleared.host, &authorised).await
    };
    let (Gathered { payloads, round }, receipt) = match supervisor.during(releasing).await {
        Ok(released) => released.map_err(Err)?,
        Err(interrupted) => return Err(supervise::ended(interrupted)),
    };
    let versions = round.versions;
    drop(round.values);
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
        receipt: &receipt,
        gate: (gate, Reason::Launch),
        group: Group::Shared,
        mask: supervisor.callers_mask(),
        unit: &unit,
        observer: observer.as_ref(),
    };
    let placed = placing.place::<StagedHere>(cleared.host).map_err(Err)?;
    delivered(versions, observer.as_ref());
    // Files may have gone elsewhere than policy was asked about first: that is on record by now.
    let ended = match supervisor.during(gate.audit().leave()).await {
        Ok(Ok(())) => return Ok(placed),
        Ok(Err(failures)) => Err(failures),
        Err(interrupted) => supervise::ended(interrupted),
    };
    Err(match placed.live.give_up() {
        Ok(()) => ended,
        Err(left) => Err(ended.err().into_iter().flatten().chain(left).collect()),
    })
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
    last_message::written();
    let mut failures = vec![of_spawn(SpawnError::from(staged.exec()))];
    // Nobody will use what was made.
    failures.extend(live.give_up().err().into_iter().flatten());
    failures
}
