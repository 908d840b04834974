//! `hushpipe ps`: the launchers that run.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};

use super::age::{length, since};
use super::{failure, patience, plain_json, visible};
use crate::app::control::{self, Seen};
use crate::cli::help::print;
use crate::cli::{Outcome, Palette, Stream};

const EXAMPLES: &str = "\
Examples:
  hushpipe ps                             your launchers; as root, everybody's
  hushpipe ps --json | jq '.[] | select(.healthy | not)'

A launcher is there from the start of its program until that and what it left running are gone.
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
        table(seen, SystemTime::now(), Palette::of(Stream::Stdout))
    })
}

/// The same keys for each, whether it answered or not.
fn object(seen: &Seen) -> Value {
    let status = seen.status.as_ref().ok();
    json!({
        "pid": status.map(|status| status.pid).or(seen.pid),
        "program_pid": status.and_then(|status| status.program_pid),
        "program": status.map(|status| &status.program),
        "service": status.map(|status| &status.service),
        "generation": status.map(|status| status.generation),
        "state": status.map_or("no answer", |status| &status.state),
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

fn table(seen: &[Seen], now: SystemTime, palette: Palette) -> String {
    let rows: Vec<[String; 8]> = seen.iter().map(|seen| row(seen, now)).collect();
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEADS[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    let heads = HEADS.map(str::to_owned);
    line(&mut out, &heads, &widths, |_| palette.heading(), palette);
    for row in &rows {
        let colour = match row[HEALTH].as_str() {
            "ok" => palette.good(),
            _ => palette.error(),
        };
        let paint = |column| if column == HEALTH { colour } else { "" };
        line(&mut out, row, &widths, paint, palette);
    }
    out
}

fn line(
    out: &mut String,
    cells: &[String; 8],
    widths: &[usize],
    paint: impl Fn(usize) -> &'static str,
    palette: Palette,
) {
    let last = cells.len() - 1;
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let (on, gap) = (paint(column), if column == last { "" } else { "  " });
        let off = if on.is_empty() { "" } else { palette.reset() };
        let pad = if column == last {
            0
        } else {
            width - cell.chars().count()
        };
        write!(out, "{on}{cell}{off}{:pad$}{gap}", "").expect("writing to a String does not fail");
    }
    out.push('\n');
}

/// The user's name, else number.
fn user(seen: &Seen) -> String {
    let name = seen.user.as_deref().map(cell);
    name.unwrap_or_else(|| seen.uid.to_string())
}

/// What a launcher says, for a table: no longer than a column may be.
fn cell(text: &str) -> String {
    let mut shown = visible(text);
    if let Some((end, _)) = shown.char_indices().nth(WIDEST) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

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
            if status.healthy { "ok" } else { "not ok" }.to_owned(),
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
            "no answer".to_owned(),
            "not ok".to_owned(),
            dash(),
        ],
    }
}
