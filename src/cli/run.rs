//! `hushpipe run`: the main job.

use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;

use super::{Failure, Globals, LogFormat};
use crate::app;
use crate::manifest;
use crate::model::Observer;
use crate::telemetry::{Format, Log, Verbosity};

const EXAMPLES: &str = "\
Examples:
  hushpipe run                                  the manifest ./hushpipe.yaml says it all
  hushpipe run -m /etc/hushpipe/redis.yaml      another manifest
  hushpipe run -- redis-server /run/s/redis.conf
                                                the program from the command line
  hushpipe run --exec -- psql                   become the program: no parent, no rotation

hushpipe gives the program's own exit code, 128+N when signal N killed it, and its own faults
the codes of `hushpipe help exit-codes`.";

/// Arguments of `run`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// The manifest [default: $HUSHPIPE_MANIFEST, else ./hushpipe.yaml]; - is standard input
    #[arg(short, long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Become the program (execve) instead of staying as its parent: no rotation
    #[arg(long)]
    exec: bool,
    /// The program and its arguments, instead of the manifest's run.command
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Runs the program and gives its exit code.
pub fn run(arguments: RunArgs, globals: Globals) -> Result<u8, Failure> {
    let overrides = manifest::Overrides {
        command: arguments.command,
        exec: arguments.exec,
    };
    let plan = super::load(arguments.manifest.as_deref(), &overrides)?;
    let observer: Rc<dyn Observer> = Rc::new(log(globals));
    app::run(&plan, &observer).map_err(|failures| super::failures(&failures))
}

/// The log as the options want it.
fn log(globals: Globals) -> Log {
    let format = match globals.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let verbosity = match (globals.quiet, globals.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, 1) => Verbosity::Verbose,
        (false, _) => Verbosity::Debug,
    };
    Log::new(format, verbosity)
}
