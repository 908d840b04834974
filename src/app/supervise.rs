//! `mode: supervise`: hushpipe stays as the parent.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;

use tokio::sync::mpsc;

use super::audit::By;
use super::confine::Confined;
use super::control::Judge;
use super::failure::{Failure, Failures, os};
use super::fetch::delivered;
use super::gate::{Authorised, Gate, Governance, Subject};
use super::host::{Host, Prior, of_spawn};
use super::kept::Kept;
use super::live::Deliveries;
use super::output::Output;
use super::pipeline::{Cleared, Pipeline};
use super::place::Placing;
use super::rotate::{self, First, Rotation, Setting};
use super::unit::{self, Unit};
use super::values::Gathered;
use super::watch::Changes;
use super::{close, control, memory, open};
use crate::delivery::Feed;
use crate::model::{
    Delivery, DeliveryKind, Event, Exited, Mode, Observer, Plan, Reason, Receipt, StoreKind,
    StoreSpec, Topic, chain,
};
use crate::rotation::engine::ControlRequest;
use crate::secret::{DigestKey, SecretBytes};
use crate::stores::{StoreError, join};
use crate::supervisor::notify::Announcer;
use crate::supervisor::spawn::SpawnError;
use crate::supervisor::{self, Interrupted, Settings, Supervisor};
use crate::sys::child::Staged;
use crate::sys::origin;
use crate::sys::reaper::Reaper;
use crate::sys::signals::Signals;
use crate::sys::stderr;
use crate::telemetry::Standing;

/// So many requests may wait for their turn.
const WAITING: usize = 16;

/// Fetches, hands over, starts the program, and stays until it has ended. Gives its exit code.
pub async fn run(
    plan: &Plan,
    governance: &Governance,
    signals: Signals,
    prior: Prior,
    observer: &Rc<dyn Observer>,
) -> Result<Exited, Failures> {
    let standing = Rc::new(Standing::new(control::first_status(plan), observer));
    let observer: &Rc<dyn Observer> = &(Rc::<Standing>::clone(&standing) as _);
    let gate = &Gate::of(governance, By::Launcher(plan), observer)?;
    let observer = &gate.observer();
    let launched = Box::pin(async {
        let reaper = Reaper::new();
        let stores = open::stores(plan, &reaper, observer)?;
        let mut supervisor = take_over(plan, signals, reaper, observer)?;
        let pipeline = Pipeline {
            plan,
            stores: &stores,
            gate,
            observer,
        };
        let ended = Box::pin(launch(pipeline, &mut supervisor, prior, standing)).await;
        close::close(&stores, &mut supervisor, observer.as_ref()).await;
        ended
    });
    gate.audit().beside(launched).await
}

async fn launch(
    pipeline: Pipeline<'_>,
    supervisor: &mut Supervisor,
    prior: Prior,
    standing: Rc<Standing>,
) -> Result<Exited, Failures> {
    let Cleared { host, subject } = pipeline.clear(&prior)?;
    let Pipeline {
        plan,
        stores,
        gate,
        observer,
    } = pipeline;
    let unit = Unit::supervised(
        plan,
        &host,
        prior.activation,
        prior.inherited,
        supervisor,
        observer,
    )
    .with_output(
        Output::of(plan, host.owner, prior.pty, observer).map_err(os("no pipe for the output"))?,
    );
    // Whoever has to approve something finds it, and whoever the program tells that it is there.
    let socket = control::open(observer.as_ref()).await;
    let judge = Judge {
        gate,
        plan,
        subject: subject.clone(),
    };
    let (asking, commands) = mpsc::channel(WAITING);
    let mut serving = pin!(forever(control::serve(
        socket,
        Rc::clone(&standing),
        judge,
        asking
    )));
    let authorised = authorise(&pipeline, &subject, unit.announcer(), &standing);
    let authorised = Box::pin(beside(serving.as_mut(), authorised));
    let authorised = match supervisor.during(authorised).await {
        Ok(authorised) => authorised?,
        Err(interrupted) => return ended(interrupted),
    };
    let reach = rotate::reach(plan);
    // Looking starts before the first fetch, so that no change falls between the two.
    let refresh = |name: &_| rotate::refresh(plan, &reach, name);
    let mut changes = Changes::start(plan, stores, refresh, !gate.decides()).map_err(of_store)?;
    let released = release(&pipeline, (&host, &authorised), unit.announcer(), &standing);
    let released = beside(serving.as_mut(), released);
    let (gathered, receipt) = match supervisor.during(released).await {
        Ok(released) => released?,
        Err(interrupted) => return ended(interrupted),
    };
    let keeps = rotate::keeps(plan, &reach);
    let confined = Confined::new(plan, gate.site(), &host, reach.restarts());
    let kept = keep(&gathered, keeps)?;
    let first = Released {
        host,
        gathered,
        receipt,
        kept,
    };
    let (first, feeds) = start(plan, first, gate, &unit, supervisor, observer)?;
    memory::settle();
    if let Err(error) = origin::leave() {
        let message = format!("cannot leave the directory that hushpipe was started in: {error}");
        observer.observe(&Event::Fault {
            about: Topic::Program,
            message,
        });
    }
    let setting = Setting {
        plan,
        stores,
        gate,
        subject,
        observer: Rc::clone(observer),
        unit: unit.after_start(reach.restarts()),
        users: prior.users.filter(|_| reach.restarts()),
        reach,
        handle: supervisor.handle(),
        reaper: supervisor.reaper(),
    };
    let mut rotation = Rotation::new(setting, first);
    let desk = Desk {
        standing: &standing,
        commands,
        serving,
    };
    let with = (desk, confined);
    let exited = attend(supervisor, &mut rotation, &mut changes, feeds, with).await;
    rotation.announcer().flush().await;
    if let Some(output) = rotation.output() {
        output.finish().await;
    }
    // The exit code stays the program's: whoever restarts it goes by that.
    for failure in rotation.remove().err().into_iter().flatten() {
        observer.observe(&Event::Fault {
            about: Topic::Delivery,
            message: chain(&*failure.error),
        });
    }
    exited
}

/// Has policy decide; while approvals are waited for, systemd hears of it.
async fn authorise<'p>(
    pipeline: &Pipeline<'p>,
    subject: &Subject,
    announcer: &Announcer,
    standing: &Standing,
) -> Result<Authorised<'p>, Failures> {
    let authorising = pipeline.authorise(subject);
    if !pipeline.gate.decides() {
        return authorising.await;
    }
    let asking = || "asking policy".to_owned();
    let status = || standing.waits_for_people().unwrap_or_else(asking);
    announcer.patiently(status, authorising).await
}

/// Fetches, checks and records; while that takes long, systemd hears of it.
async fn release(
    pipeline: &Pipeline<'_>,
    (host, authorised): (&Host, &Authorised<'_>),
    announcer: &Announcer,
    standing: &Standing,
) -> Result<(Gathered, Receipt), Failures> {
    let fetching = || unit::fetching(pipeline.plan);
    let status = || standing.waits_for_people().unwrap_or_else(fetching);
    let releasing = pipeline.release(host, authorised);
    announcer.patiently(status, releasing).await
}

/// Does work while who asks is answered.
async fn beside<T>(
    serving: Pin<&mut impl Future<Output = Infallible>>,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        biased;
        done = work => done,
        never = serving => match never {},
    }
}

/// Stays with the program, and with those that rotations start in its place.
async fn attend(
    supervisor: &mut Supervisor,
    rotation: &mut Rotation<'_>,
    changes: &mut Changes,
    mut feeds: Vec<Feed>,
    (desk, confined): (Desk<'_, impl Future<Output = Infallible>>, Confined<'_>),
) -> Result<Exited, Failures> {
    let Desk {
        standing,
        mut commands,
        serving,
    } = desk;
    let (observer, announcer) = (rotation.observer(), rotation.announcer().clone());
    let output = rotation.output();
    let mut serving = pin!(async {
        let confining = confined.give_up(observer.as_ref());
        let relaying = async {
            if let Some(output) = &output {
                output.relay().await;
            }
        };
        let standing_in = announcer.stand_in();
        tokio::join!(stderr::drain(), serving, standing_in, confining, relaying).0
    });
    loop {
        let beside = async {
            tokio::join!(
                rotation.run(changes, &mut commands, standing),
                feed(feeds, observer.as_ref())
            );
        };
        // Who asks is answered to the end of the last leftover.
        let ended = tokio::select! {
            biased;
            ended = supervisor.run(beside) => ended.map_err(of_supervisor)?,
            never = serving.as_mut() => match never {},
        };
        if !rotation.ended(&ended) {
            return rotation
                .expelled()
                .map_or(Ok(ended.exited), |denial| Err(vec![denial]));
        }
        match supervisor.during(std::future::ready(())).await {
            Ok(()) => {}
            // It came too late for the program, and in time to have no other after it.
            Err(Interrupted::Signal(_)) => return Ok(ended.exited),
            Err(Interrupted::Fault(fault)) => return Err(of_supervisor(fault)),
        }
        let started = origin::within(|| rotation.start(supervisor));
        feeds = started.map_err(os("cannot go back to /"))??;
    }
}

/// Who asks over the control socket, and what is answered.
struct Desk<'a, S> {
    standing: &'a Standing,
    /// What is asked of the rotation.
    commands: mpsc::Receiver<ControlRequest>,
    serving: Pin<&'a mut S>,
}

/// A launcher without a socket has nobody to serve.
async fn forever(serving: impl Future<Output = ()>) -> Infallible {
    serving.await;
    std::future::pending().await
}

/// What a program that was started left to be done.
pub struct Launched {
    /// Its deliveries.
    pub live: Deliveries,
    /// What is still to be written into its pipes.
    pub feeds: Vec<Feed>,
}

/// A first generation that is on record.
struct Released {
    host: Host,
    gathered: Gathered,
    receipt: Receipt,
    /// What is delivered, where that is kept.
    kept: Option<Kept>,
}

fn keep(gathered: &Gathered, keeps: bool) -> Result<Option<Kept>, Failures> {
    let kept = keeps.then(|| Kept::new(&gathered.payloads)).transpose();
    kept.map_err(os("no memory to keep the values in"))
}

/// Puts the first generation in place and starts the program. Of the values nothing stays but what
/// FIFOs and pipes still give, and what is kept to be given again.
fn start(
    plan: &Plan,
    released: Released,
    gate: &Gate,
    unit: &Unit,
    supervisor: &mut Supervisor,
    observer: &Rc<dyn Observer>,
) -> Result<(First, Vec<Feed>), Failures> {
    let key = DigestKey::new().map_err(os("the kernel gives no random numbers"))?;
    let Released {
        host,
        gathered: Gathered { round, payloads },
        receipt,
        kept,
    } = released;
    if let Some(output) = unit.output() {
        output.know(plan, &round.values);
    }
    let fingerprints = rotate::fingerprints(&key, &round);
    let versions = round.versions;
    // The child starts as a copy of hushpipe: what it does not get is gone by then.
    drop(round.values);
    let launched = start_with(
        plan,
        host,
        (&payloads, &receipt),
        (gate, Reason::Launch),
        unit,
        supervisor,
        observer,
    )?;
    drop(payloads);
    delivered(versions, observer.as_ref());
    if kept.is_some() || keeps_values(plan, &launched.feeds) {
        memory::report_protection(observer.as_ref());
    }
    let first = First {
        live: launched.live,
        key,
        fingerprints,
        kept,
        receipt,
    };
    Ok((first, launched.feeds))
}

/// Puts a generation in place and starts the program with it.
pub fn start_with(
    plan: &Plan,
    host: Host,
    (payloads, receipt): (&[SecretBytes], &Receipt),
    gate: (&Gate, Reason),
    unit: &Unit,
    supervisor: &mut Supervisor,
    observer: &Rc<dyn Observer>,
) -> Result<Launched, Failures> {
    let placing = Placing {
        plan,
        payloads,
        receipt,
        gate,
        group: supervisor.group(),
        mask: supervisor.callers_mask(),
        unit,
        observer: observer.as_ref(),
    };
    let placed = placing.place::<Staged>(host)?;
    let child = placed
        .staged
        .start()
        .map_err(|error| vec![of_spawn(SpawnError::from(error))])?;
    observer.observe(&Event::Started {
        pid: child.pid,
        program: plan.run.shown().swap_remove(0),
    });
    supervisor
        .adopt(child, placed.protected)
        .map_err(of_supervisor)?;
    Ok(Launched {
        live: placed.live,
        feeds: placed.feeds,
    })
}

/// Whether values stay in hushpipe after the hand-over.
fn keeps_values(plan: &Plan, feeds: &[Feed]) -> bool {
    let is_fifo = |delivery: &Delivery| matches!(delivery.kind, DeliveryKind::Fifo { .. });
    !feeds.is_empty() || plan.deliveries.iter().any(is_fifo) || logs_in(plan)
}

/// Whether a store has a login, and may have leases.
pub fn logs_in(plan: &Plan) -> bool {
    let is_vault = |store: &StoreSpec| matches!(store.kind, StoreKind::Vault(_));
    plan.stores.values().any(is_vault)
}

/// A supervisor for the plan. From here on signals are hushpipe's to handle.
pub fn take_over(
    plan: &Plan,
    signals: Signals,
    reaper: Reaper,
    observer: &Rc<dyn Observer>,
) -> Result<Supervisor, Failures> {
    let settings = Settings {
        stop: plan.run.stop,
        forward: plan.run.forward.clone(),
        startup: plan.run.startup.clone(),
        stays: plan.mode == Mode::Supervise,
    };
    Supervisor::new(settings, signals, reaper, Rc::clone(observer)).map_err(of_supervisor)
}

fn of_supervisor(fault: supervisor::Error) -> Failures {
    vec![Failure::new(fault.exit(), fault)]
}

/// A signal before the launch ends hushpipe as it would have ended the program; nothing was started.
pub fn ended(interrupted: Interrupted) -> Result<Exited, Failures> {
    match interrupted {
        Interrupted::Signal(_) => Ok(interrupted.exited()),
        Interrupted::Fault(fault) => Err(of_supervisor(fault)),
    }
}

fn of_store(fault: StoreError) -> Failures {
    vec![Failure::new(fault.exit(), fault)]
}

/// Writes what pipes did not take at once.
async fn feed(feeds: Vec<Feed>, observer: &dyn Observer) {
    for fed in join::all(feeds.into_iter().map(Feed::run)).await {
        if let Err(fault) = fed {
            observer.observe(&Event::Fault {
                about: Topic::Delivery,
                message: chain(&fault),
            });
        }
    }
}
