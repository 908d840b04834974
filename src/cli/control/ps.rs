//! `hushpipe ps`: the launchers that run.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};

use super::age::{length, since};
use super::{failure, patience, plain_json};
use crate::app::control::{self, Seen};
use crate::cli::output::print;
use crate::cli::table::{Cell, heads, table};
use crate::cli::{Outcome, Palette, Stream};
use crate::model::Exit;
use crate::model::printable::printable;

const EXAMPLES: &str = "\
Examples:
  hushpipe ps                             your launchers; as root, everybody's
  hushpipe ps --json | jq '.[] | select(.healthy | not)'

A launcher is there from the start of its program until that and what it left running are gone. \
`hushpipe run --exec` leaves none behind.";

/// Arguments of `ps`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct PsArgs {
    /// Write a JSON list instead of a table
    #[arg(long)]
    json: bool,
    /// How long a launcher may take to answer
    #[arg(long, value_name = "DURATION", value_parser = patience, default_value = "2s")]
    timeout: Duration,
}

/// Lists them.
pub fn run(arguments: &PsArgs) -> Outcome {
    let listing = control::list(arguments.timeout).map_err(|error| failure(&error))?;
    let seen = &listing.seen;
    if !listing.crowded.is_empty() {
        let uids: Vec<String> = listing.crowded.iter().map(u32::to_string).collect();
        eprintln!(
            "hushpipe: warning: not all sockets of uid {} were asked: there are too many",
            uids.join(", ")
        );
    }
    print(&if arguments.json {
        let list: Vec<Value> = seen.iter().map(object).collect();
        plain_json(&format!("{:#}\n", Value::Array(list)))
    } else {
        page(seen, SystemTime::now(), Palette::of(Stream::Stdout))
    })
}

/// The same keys for each, whether it answered or not.
fn object(seen: &Seen) -> Value {
    let status = seen.status.as_ref().ok();
    json!({
        "pid": status.map(|status| status.pid).or(seen.pid),
        "program_pid": status.and_then(|status| status.program_pid),
        "program": status.map(|status| &status.program),
        "service": seen.service(),
        "generation": status.map(|status| status.generation),
        "state": status.map_or_else(|| unseen(seen), |status| &status.state),
        "healthy": status.is_some_and(|status| status.healthy),
        "started": status.and_then(|status| status.started.as_ref()),
        "uid": seen.uid,
        "user": seen.user,
        "socket": seen.socket,
        "error": seen.status.as_ref().err().map(ToString::to_string),
    })
}

const HEADS: [&str; 8] = [
    "PID",
    "USER",
    "PROGRAM",
    "SERVICE",
    "GENERATION",
    "STATE",
    "HEALTH",
    "AGE",
];
const HEALTH: usize = 6;
/// How many characters of a cell are shown.
const WIDEST: usize = 64;

fn page(seen: &[Seen], now: SystemTime, palette: Palette) -> String {
    let mut rows = vec![heads(&HEADS, palette)];
    for seen in seen {
        let mut cells = row(seen, now).map(Cell::from);
        let is_healthy = seen.status.as_ref().is_ok_and(|status| status.healthy);
        cells[HEALTH] = if is_healthy {
            Cell::painted("ok", palette.good())
        } else {
            Cell::painted("not ok", palette.error())
        };
        rows.push(cells.into());
    }
    table(&rows, 0, palette)
}

/// The user's name, else number.
fn user(seen: &Seen) -> String {
    let name = seen.user.as_deref().map(cell);
    name.unwrap_or_else(|| seen.uid.to_string())
}

/// What a launcher says, for a table: no longer than a column may be.
fn cell(text: &str) -> String {
    let mut shown = printable(text);
    if let Some((end, _)) = shown.char_indices().nth(WIDEST) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// Why there is no state of it.
fn unseen(seen: &Seen) -> &'static str {
    match &seen.status {
        Err(error) if error.exit() == Exit::Denied => "denied",
        _ => "no answer",
    }
}

/// All but its health.
fn row(seen: &Seen, now: SystemTime) -> [String; 8] {
    let dash = || "-".to_owned();
    match &seen.status {
        Ok(status) => [
            status.pid.to_string(),
            user(seen),
            status.program_pid.map_or_else(dash, |pid| pid.to_string()),
            cell(&status.service),
            status.generation.to_string(),
            cell(&status.state),
            String::new(),
            status
                .started
                .as_ref()
                .and_then(|started| since(started, now))
                .map_or_else(dash, |age| length(age.as_secs())),
        ],
        Err(_) => [
            seen.pid.map_or_else(dash, |pid| pid.to_string()),
            user(seen),
            dash(),
            dash(),
            dash(),
            unseen(seen).to_owned(),
            String::new(),
            dash(),
        ],
    }
}
