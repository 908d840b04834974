//! `hushpipe ps`: the launchers that run.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};

use super::age::{length, since};
use super::{failure, patience, visible};
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
    let seen = control::list(arguments.timeout).map_err(|error| failure(&error))?;
    print(&if arguments.json {
        let list: Vec<Value> = seen.iter().map(object).collect();
        format!("{:#}\n", Value::Array(list))
    } else {
        table(&seen, SystemTime::now(), Palette::of(Stream::Stdout))
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
        "socket": seen.socket,
        "error": seen.status.as_ref().err().map(ToString::to_string),
    })
}

const HEADS: [&str; 7] = [
    "PID",
    "PROGRAM",
    "SERVICE",
    "GENERATION",
    "STATE",
    "HEALTH",
    "AGE",
];
const HEALTH: usize = 5;

fn table(seen: &[Seen], now: SystemTime, palette: Palette) -> String {
    let rows: Vec<[String; 7]> = seen.iter().map(|seen| row(seen, now)).collect();
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
    cells: &[String; 7],
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

fn row(seen: &Seen, now: SystemTime) -> [String; 7] {
    let dash = || "-".to_owned();
    match &seen.status {
        Ok(status) => [
            status.pid.to_string(),
            status.program_pid.map_or_else(dash, |pid| pid.to_string()),
            visible(&status.service),
            status.generation.to_string(),
            visible(&status.state),
            if status.healthy { "ok" } else { "not ok" }.to_owned(),
            status
                .started
                .as_ref()
                .and_then(|started| since(started, now))
                .map_or_else(dash, |age| length(age.as_secs())),
        ],
        Err(_) => [
            seen.pid.map_or_else(dash, |pid| pid.to_string()),
            dash(),
            dash(),
            dash(),
            "no answer".to_owned(),
            "not ok".to_owned(),
            dash(),
        ],
    }
}
