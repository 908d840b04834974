//! `hushpipe ps` and `status`, and what a running launcher is asked to do.

mod age;
mod ask;
#[cfg(feature = "monitor")]
mod metrics;
mod ps;
mod status;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::app::control::{ControlError, Target};
use crate::model::printable::{acts, printable};
use crate::model::{Exit, parse_duration};

pub use ask::{RevokeArgs, RollbackArgs, RotateArgs, revoke, rollback, rotate};
#[cfg(feature = "monitor")]
pub use metrics::{MetricsArgs, run as metrics};
pub use ps::{PsArgs, run as ps};
pub use status::{StatusArgs, run as status};

fn patience(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// Which launcher, and how long it may take.
#[derive(Args)]
struct Whom {
    /// Ask the launchers of this user, as root
    #[arg(long, value_name = "NAME|UID", conflicts_with = "socket")]
    user: Option<String>,
    /// Ask at this socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Whom {
    /// The launcher that is meant by the options: `--socket`, a name, or neither.
    fn target(&self, name: Option<&String>) -> Target {
        match (&self.socket, name) {
            (Some(path), _) => Target::Socket(path.clone()),
            (None, Some(name)) => Target::Named(name.clone(), self.user.clone()),
            (None, None) => Target::Only(self.user.clone()),
        }
    }
}

/// A launcher's words are another process's: nothing of them moves the cursor.
fn failure(error: &ControlError) -> Failure {
    let failure = Failure::new(error.exit(), error);
    match error {
        ControlError::Refused { message, .. } => Failure::text(error.exit(), printable(message)),
        ControlError::NotFound { .. } | ControlError::Several { .. } => {
            failure.map(printable_lines)
        }
        _ => failure,
    }
}

/// For an answer to another question.
fn odd() -> Failure {
    Failure::text(
        Exit::Unreachable,
        "the launcher's answer does not fit the question: is it of another version?",
    )
}

/// As [`printable`], of several lines that were made here.
fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// A JSON text, with escapes for what [`acts`]: the same to who parses it.
fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !acts(c) {
            plain.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(plain, "\\u{unit:04x}").expect("writing to a String does not fail");
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_moves_no_cursor_and_stays_the_same() {
        let said = "a\u{1b}[2J\u{9b}1A\u{202e}b\u{e0041}\u{7f}é\n";
        let json = serde_json::to_string(said).unwrap();
        let plain = plain_json(&json);
        assert!(!plain.contains(acts), "{plain:?}");
        assert_eq!(serde_json::from_str::<String>(&plain).unwrap(), said);
    }
}
