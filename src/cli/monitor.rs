//! `hushpipe monitor`: the service of a host that takes the audit log to where it is looked at.

use std::cell::Cell;

use clap::Args;

use super::failure::log_object;
use super::{Failure, Globals, LogFormat, Outcome, audit, load};
use crate::app::monitor::{Monitor, Weight};
use crate::model::Exit;
use crate::model::printable::printable;

const EXAMPLES: &str = "\
Examples:
  systemctl enable --now hushpipe-monitor     as a service of this host
  hushpipe monitor                            until it is stopped by a signal
  hushpipe monitor --once                     send what there is, and exit

hushpipe-monitor(8) explains sinks, witnesses and how a host is set up.";

/// Arguments of `monitor`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MonitorArgs {
    /// Send what there is, ask each witness once, and exit: 69 if something did not arrive, 1 if the log was
    /// replaced or changed
    #[arg(long)]
    once: bool,
}

/// Runs it.
pub fn run(arguments: &MonitorArgs, globals: Globals) -> Outcome {
    let site = load::site(globals)?;
    let monitor = audit::found(Monitor::of(site.as_ref()))?;
    let is_tampered = Cell::new(false);
    let say = |weight: Weight, text: &str| {
        is_tampered.set(is_tampered.get() || weight == Weight::Alert);
        say(globals, weight, text);
    };
    let ended = if arguments.once {
        monitor.run_once(&say)
    } else {
        monitor.run(&say)
    };
    ended.map_err(|failures| Failure::found(&failures))?;
    Ok(if arguments.once && is_tampered.get() {
        Exit::No
    } else {
        Exit::Ok
    })
}

fn say(globals: Globals, weight: Weight, text: &str) {
    let (level, prefix) = match weight {
        Weight::Notice if globals.quiet => return,
        Weight::Notice => ("notice", ""),
        Weight::Warning => ("warning", "warning: "),
        Weight::Alert => ("error", "error: "),
    };
    match globals.log_format {
        LogFormat::Text => eprintln!("hushpipe: {prefix}{}", printable(text)),
        LogFormat::Json => eprintln!("{}", log_object(level, "monitor", text)),
    }
}
