//! `hushpipe report`: figures and controls over a period, for one host or many.

use std::path::PathBuf;

use clap::Args;

use super::graph::{InputArgs, json, moment, read_since, write};
use super::{Globals, Outcome};
use crate::report::{Document, Moment, Report};

/// Arguments of `report`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Count what happened from this time on (RFC 3339), and compare with what was so then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Print JSON instead of Markdown
    #[arg(long, group = "form")]
    json: bool,
    /// Print a page without a script instead
    #[arg(long, group = "form")]
    html: bool,
    /// Write to this file instead of standard output; a file that exists is replaced
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
PATH is what `hushpipe graph` reads. A control is met or not met where the records show it, else not
observed. The same records give the same report. No output has a value.

Examples:
  hushpipe report                                             this host, as Markdown
  hushpipe report --since 2026-07-01 --at 2026-10-01 fleet/   a quarter: what happened, what changed
  hushpipe report --html -o report.html fleet.tar.gz
  hushpipe report --json fleet/ | jq '.controls[] | select(.status == \"not met\")'";

/// Runs the command.
pub fn run(arguments: &ReportArgs, globals: Globals) -> Outcome {
    let read = read_since(&arguments.inputs, arguments.since, "report", globals)?;
    let report = Report::new(&read.graph, read.before.as_ref());
    let text = match () {
        () if arguments.json => json(&report)?,
        () if arguments.html => Document::of(&report).html(),
        () => Document::of(&report).markdown(),
    };
    write(&text, arguments.output.as_ref())
}
