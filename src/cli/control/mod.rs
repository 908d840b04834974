//! `hushpipe ps` and `status`, and what a running launcher is asked to do.

mod age;
mod ask;
mod ps;
mod status;

use std::path::PathBuf;
use std::time::Duration;

use super::Failure;
use crate::app::control::{ControlError, Target};
use crate::model::{Exit, parse_duration};

pub use ask::{RevokeArgs, RollbackArgs, RotateArgs, revoke, rollback, rotate};
pub use ps::{PsArgs, run as ps};
pub use status::{StatusArgs, run as status};

fn patience(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// The launcher that is meant by the options: `--socket`, a name, or neither.
fn target(socket: Option<&PathBuf>, name: Option<&String>) -> Target {
    match (socket, name) {
        (Some(path), _) => Target::Socket(path.clone()),
        (None, Some(name)) => Target::Named(name.clone()),
        (None, None) => Target::Only,
    }
}

/// A launcher's words are another process's: nothing of them moves the cursor.
fn failure(error: &ControlError) -> Failure {
    match error {
        ControlError::Refused { message, .. } => Failure::text(error.exit(), visible(message)),
        error => Failure::new(error.exit(), error),
    }
}

/// For an answer to another question.
fn odd() -> Failure {
    Failure::text(
        Exit::Unreachable,
        "the launcher's answer does not fit the question: is it of another version?",
    )
}

/// Names and messages come from another process: nothing of them moves the cursor.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
