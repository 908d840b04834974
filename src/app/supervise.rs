//! `mode: supervise`: hushpipe stays as the parent.

use std::rc::Rc;

use super::failure::{Failure, Failures, chain};
use super::fetch::Stores;
use super::host::{self, Host, of_spawn};
use super::live::Live;
use super::place::Placing;
use super::rotate::{Known, Rotation};
use super::values::{self, Gathered};
use super::watch::Changes;
use super::{close, control, memory, open, os};
use crate::delivery::Feed;
use crate::model::{Delivery, DeliveryKind, Event, Mode, Observer, Plan};
use crate::secret::DigestKey;
use crate::stores::{StoreError, join};
use crate::supervisor::spawn::SpawnError;
use crate::supervisor::{self, Interrupted, Settings, Supervisor};
use crate::sys::child::Staged;
use crate::sys::reaper::Reaper;
use crate::sys::signals::Signals;
use crate::telemetry::{Board, Both};

/// So many requests may wait for their turn.
const WAITING: usize = 16;

/// Fetches, hands over, starts the program, and stays until it has ended. Gives its exit code.
pub async fn run(
    plan: &Plan,
    signals: Signals,
    observer: &Rc<dyn Observer>,
) -> Result<u8, Failures> {
    let board = Rc::new(Board::new(control::first_status(plan)));
    let observer: &Rc<dyn Observer> = &seen_by(observer, &board);
    let reaper = Reaper::new();
    let stores = open::stores(plan, &reaper, observer)?;
    let mut supervisor = take_over(plan, signals, reaper, observer)?;
    let ended = launch(plan, &stores, &mut supervisor, observer, board).await;
    close::close(&stores, &mut supervisor, observer.as_ref()).await;
    ended
}

async fn launch(
    plan: &Plan,
    stores: &Stores,
    supervisor: &mut Supervisor,
    observer: &Rc<dyn Observer>,
    board: Rc<Board>,
) -> Result<u8, Failures> {
    let host = host::settle(plan)?;
    // Looking starts before the first fetch, so that no change falls between the two.
    let looking = if host.layout.is_empty() {
        Changes::none(plan, stores, Rc::clone(observer))
    } else {
        Changes::start(plan, stores, Rc::clone(observer))
    };
    let mut changes = looking.map_err(of_store)?;
    let gathered = match supervisor
        .during(values::gather(plan, stores, &host, observer))
        .await
    {
        Ok(gathered) => gathered?,
        Err(interrupted) => return ended(interrupted),
    };
    board.first(&gathered.round.versions);
    let Started { live, feeds, known } = start(plan, host, gathered, supervisor, observer)?;
    memory::settle_after_launch();
    let handle = supervisor.handle();
    let (asking, mut commands) = tokio::sync::mpsc::channel(WAITING);
    let mut rotation = Rotation::new(plan, stores, Rc::clone(observer), handle, live, known);
    let beside = async {
        tokio::join!(
            rotation.run(&mut changes, &mut commands),
            feed(feeds, observer.as_ref()),
            control::serve(board, asking, observer.as_ref())
        );
    };
    let exited = supervisor.run(beside).await.map_err(of_supervisor)?;
    // The exit code stays the program's: whoever restarts it goes by that.
    for failure in rotation.remove().err().into_iter().flatten() {
        observer.observe(&Event::Fault {
            message: chain(&*failure.error),
        });
    }
    Ok(exited.code)
}

/// The log, or who else looks, and the board: both see every event.
fn seen_by(observer: &Rc<dyn Observer>, board: &Rc<Board>) -> Rc<dyn Observer> {
    let board: Rc<dyn Observer> = Rc::<Board>::clone(board);
    Rc::new(Both(Rc::clone(observer), board))
}

/// What a program that was started left to be done.
struct Started {
    live: Live,
    feeds: Vec<Feed>,
    known: Known,
}

/// Puts the first generation in place and starts the program. Of the values nothing stays but what
/// FIFOs and pipes still give.
fn start(
    plan: &Plan,
    host: Host,
    gathered: Gathered,
    supervisor: &mut Supervisor,
    observer: &Rc<dyn Observer>,
) -> Result<Started, Failures> {
    let placing = Placing {
        plan,
        payloads: &gathered.payloads,
        group: supervisor.group(),
        observer: observer.as_ref(),
    };
    let placed = placing.place::<Staged>(host)?;
    let key = DigestKey::new().map_err(os("the kernel gives no random numbers"))?;
    let known = Known::new(key, &gathered.round);
    drop(gathered);
    let child = placed
        .staged
        .start()
        .map_err(|error| vec![of_spawn(SpawnError::from(error))])?;
    observer.observe(&Event::Started {
        pid: child.pid,
        program: plan.run.command[0].clone(),
    });
    supervisor.adopt(child);
    if keeps_values(plan, &placed.feeds) {
        memory::report_protection(observer.as_ref());
    }
    Ok(Started {
        live: placed.live,
        feeds: placed.feeds,
        known,
    })
}

/// Whether values stay in hushpipe after the hand-over.
fn keeps_values(plan: &Plan, feeds: &[Feed]) -> bool {
    let is_fifo = |delivery: &Delivery| matches!(delivery.kind, DeliveryKind::Fifo { .. });
    !feeds.is_empty() || plan.deliveries.iter().any(is_fifo)
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
        stays: plan.mode == Mode::Supervise,
    };
    Supervisor::new(settings, signals, reaper, Rc::clone(observer)).map_err(of_supervisor)
}

fn of_supervisor(fault: supervisor::Error) -> Failures {
    vec![Failure::new(fault.exit(), fault)]
}

/// A signal before the launch ends hushpipe as it would have ended the program; nothing was started.
pub fn ended(interrupted: Interrupted) -> Result<u8, Failures> {
    match interrupted {
        Interrupted::Signal(_) => Ok(interrupted.code()),
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
                message: chain(&fault),
            });
        }
    }
}
