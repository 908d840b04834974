//! `hushpipe rotate`, `rollback`, `revoke`: what a running launcher is asked to do.

use std::time::Duration;

use clap::Args;

use super::{Whom, failure, odd, patience};
use crate::app::control;
use crate::cli::output::print;
use crate::cli::said::SaidArgs;
use crate::cli::{Globals, Outcome};
use crate::model::control::{Asked, Reply, Request};
use crate::model::printable::printable;
use crate::model::{Exit, VersionRef};

const ROTATE_EXAMPLES: &str = "\
The stores are asked at once, and what is new is handed over; without anything new, nothing happens. \
A secret that is named gets a new value where its store makes one on demand (a new lease), and loses \
the version that a rollback holds it at.

Examples:
  hushpipe rotate                         the only launcher that runs
  hushpipe rotate db -t payments-api      one secret of one launcher
  hushpipe rotate --user alice            as root, the only one of another user
  ExecReload=hushpipe rotate -t $MAINPID  in a systemd unit

Ends with 0 when it is done, and with the code of what went wrong when the program keeps what it \
has. To leave the wait (Ctrl-C, --timeout: exit code 75) takes nothing back.";

const ROLLBACK_EXAMPLES: &str = "\
The values before are handed over again, as a new generation. What is rolled back from is not taken \
again until its store has something newer.

Examples:
  hushpipe rollback                       the whole generation before
  hushpipe rollback api --to 7            one secret, where its store keeps versions
  hushpipe rotate api                     let it follow its store again

Ends with 0 when it is done, and with the code of what went wrong when the program keeps what it \
has. To leave the wait (Ctrl-C, --timeout: exit code 75) takes nothing back.";

const REVOKE_EXAMPLES: &str = "\
The secret's lease is revoked at its store, and the program gets a new one at once: for a credential \
that somebody else may have seen.

Examples:
  hushpipe revoke db
  hushpipe revoke db -t payments-api

Ends with 0 when it is done, and with the code of what went wrong when the program keeps what it \
has. To leave the wait (Ctrl-C, --timeout: exit code 75) takes nothing back.";

/// Which launcher, and for how long.
#[derive(Args)]
struct Launcher {
    /// The launcher, by its service or a process id [default: the only one that runs]
    #[arg(short, long, conflicts_with = "socket")]
    target: Option<String>,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    said: SaidArgs,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", value_parser = patience, default_value = "60s")]
    timeout: Duration,
}

/// Arguments of `rotate`.
#[derive(Args)]
#[command(after_help = ROTATE_EXAMPLES)]
pub struct RotateArgs {
    /// One secret [default: all]
    #[arg(value_name = "NAME")]
    secret: Option<String>,
    #[command(flatten)]
    launcher: Launcher,
}

/// Arguments of `rollback`.
#[derive(Args)]
#[command(after_help = ROLLBACK_EXAMPLES)]
pub struct RollbackArgs {
    /// One secret [default: all, to the generation before]
    #[arg(value_name = "NAME")]
    secret: Option<String>,
    /// Which version [default: the one before]
    #[arg(long, value_name = "VERSION", requires = "secret")]
    to: Option<VersionRef>,
    #[command(flatten)]
    launcher: Launcher,
}

/// Arguments of `revoke`.
#[derive(Args)]
#[command(after_help = REVOKE_EXAMPLES)]
pub struct RevokeArgs {
    /// The secret
    #[arg(value_name = "NAME")]
    secret: String,
    #[command(flatten)]
    launcher: Launcher,
}

/// Has the stores asked at once.
pub fn rotate(arguments: RotateArgs, globals: Globals) -> Outcome {
    let secret = arguments.secret;
    put(arguments.launcher, Request::Rotate { secret }, globals)
}

/// Has the values before handed over again.
pub fn rollback(arguments: RollbackArgs, globals: Globals) -> Outcome {
    let (secret, to) = (arguments.secret, arguments.to);
    put(
        arguments.launcher,
        Request::Rollback { secret, to },
        globals,
    )
}

/// Has a lease revoked and replaced.
pub fn revoke(arguments: RevokeArgs, globals: Globals) -> Outcome {
    let secret = arguments.secret;
    put(arguments.launcher, Request::Revoke { secret }, globals)
}

fn put(launcher: Launcher, request: Request, globals: Globals) -> Outcome {
    let target = launcher.whom.target(launcher.target.as_ref());
    let said = launcher.said.into();
    match control::request(&target, Asked { request, said }, launcher.timeout) {
        Ok(Reply::Done { .. }) if globals.quiet => Ok(Exit::Ok),
        Ok(Reply::Done { message, .. }) => print(&format!("{}\n", printable(&message))),
        Ok(_) => Err(odd()),
        Err(error) => Err(failure(&error)),
    }
}
