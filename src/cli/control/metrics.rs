//! `hushpipe metrics`: running launchers in numbers.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::{Whom, failure, patience};
use crate::app::control;
use crate::cli::output::print;
use crate::cli::{Failure, Globals, Outcome};
use crate::model::Exit;
use crate::model::printable::printable;

const EXAMPLES: &str = "\
OpenMetrics, of one launcher or of all that this user may ask: as root, of everybody's. Several
launchers of one service are one: counters are added, and of gauges the worst counts. With --output
it is a file for node_exporter's textfile collector, renamed into place: from a timer, each minute.

Examples:
  hushpipe metrics                         the only launcher that runs
  hushpipe metrics payments-api            by its service, or by a process id
  hushpipe metrics --all --output /var/lib/prometheus/node-exporter/launchers.prom

Exits with 75 if a launcher did not answer; the others are shown.";

/// Arguments of `metrics`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct MetricsArgs {
    /// Its service or a process id [default: the only one that runs]
    #[arg(conflicts_with_all = ["socket", "all"])]
    target: Option<String>,
    /// All launchers; as root, everybody's
    #[arg(long, conflicts_with_all = ["socket", "user"])]
    all: bool,
    /// Write this file, in the format of node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    whom: Whom,
    /// How long a launcher may take to answer
    #[arg(long, value_name = "DURATION", value_parser = patience, default_value = "5s")]
    timeout: Duration,
}

/// Asks and shows.
pub fn run(arguments: &MetricsArgs, globals: Globals) -> Outcome {
    let target = arguments.whom.target(arguments.target.as_ref());
    let target = (!arguments.all).then_some(&target);
    let asked = control::metrics(target, arguments.timeout, SystemTime::now());
    let asked = asked.map_err(|error| failure(&error))?;
    for why in asked.silent.iter().filter(|_| !globals.quiet) {
        eprintln!("hushpipe: warning: {}", printable(why));
    }
    match &arguments.output {
        Some(path) => {
            let written = control::write_metrics(path, &asked.prometheus);
            written.map_err(|why| Failure::text(Exit::Os, why))?;
        }
        None => {
            print(&asked.openmetrics)?;
        }
    }
    Ok(if asked.silent.is_empty() {
        Exit::Ok
    } else {
        Exit::Deadline
    })
}
