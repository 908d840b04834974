//! The composition root: builds concrete stores, deliveries and the supervisor from a plan, and runs
//! them. Data flows one way, through the [`pipeline`] and its [`gate`]: plan → host → authorise → fetch →
//! values → record → place → supervise, with [`rotate`] as the one loop back.

mod ahead;
pub mod approvals;
pub mod audit;
mod bootstrap;
mod close;
mod command;
mod confine;
mod container;
pub mod control;
pub mod custody;
pub mod envfile;
mod event_loop;
mod exec;
mod exposed;
mod facts;
mod failure;
mod fetch;
pub mod files;
pub mod files_directory;
mod gate;
mod getenv;
pub mod git;
mod host;
mod import;
pub mod incidents;
mod inherited;
#[cfg(feature = "report")]
pub mod inventory;
mod kept;
mod last_message;
mod live;
mod memory;
mod missing;
#[cfg(feature = "monitor")]
pub mod monitor;
mod open;
mod output;
mod pipeline;
mod place;
pub mod policies;
mod preflight;
mod rotate;
pub mod sealed;
pub mod site;
mod supervise;
mod trusted;
mod unit;
mod value_file;
mod values;
mod watch;

use std::rc::Rc;

pub use ahead::request_approval;
use event_loop::{runtime, take_signals};
use failure::os;
pub use failure::{Failure, Failures};
pub use gate::{Governance, members};
pub use last_message::last_message;
pub use preflight::{Look, Report, preflight};
pub use trusted::{Signable, manifest_of_root};

use crate::model::{Event, Exited, Mode, Observer, Plan, Signal, Topic};
use crate::sys::signals;
use crate::sys::{fd, process};

/// How many columns the terminal behind standard error has; `None`: it is no terminal, or does not say.
pub fn columns_of_stderr() -> Option<usize> {
    crate::sys::terminal::columns_of_stderr()
}

/// To be called on the first line of main: no core dumps, no other process may look into this one,
/// and the standard descriptors are open, so that no descriptor of a secret ever takes their numbers.
pub fn protect() -> Result<(), Failures> {
    process::own_what_is_made();
    process::harden()
        .and_then(|()| fd::ensure_standard())
        .map(|()| fd::note_inherited())
        .map_err(os(
            "cannot protect hushpipe's own memory and standard descriptors",
        ))
}

/// Runs a plan and gives the program's end.
///
/// Signals are taken over before anything else, so that one that comes during a slow fetch ends
/// hushpipe at once and cleanly.
pub fn run(
    plan: &Plan,
    governance: &Governance,
    observer: &Rc<dyn Observer>,
) -> Result<Exited, Failures> {
    for message in &plan.warnings {
        observer.observe(&Event::Weaker {
            about: Topic::Manifest,
            message: message.clone(),
        });
    }
    let activation = unit::claim()?;
    let inherited = inherited::claim(plan, activation.as_ref())?;
    let pty = output::part(plan, observer.as_ref());
    let signals = take_signals()?;
    let prior = host::Prior {
        pty,
        ..host::Prior::new(plan, activation, inherited)
    };
    let runtime = runtime()?;
    let ended = match plan.mode {
        Mode::Supervise => {
            runtime.block_on(supervise::run(plan, governance, signals, prior, observer))
        }
        Mode::Exec => runtime.block_on(exec::run(plan, governance, signals, prior, observer)),
    };
    last_message::written();
    ended.map_err(|failures| failure::in_manifest(failures, &plan.manifest))
}

/// This host's name: uname(2).
pub fn host_name() -> String {
    crate::sys::host::name()
}

/// Ends hushpipe by a signal, so that its caller sees what ended the program. Comes back only where
/// that is refused, as for the init of a container.
pub fn end_by(signal: Signal) {
    signals::end_by(signal.number());
}
