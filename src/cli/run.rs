//! `hushpipe run`: the main job.

mod adhoc;

use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::said::SaidArgs;
use super::{Failure, Globals, LogFormat};
use crate::app;
use crate::manifest;
use crate::model::{Envelope, Event, Forking, Level, Observer, Ready, parse_duration};
use crate::telemetry::{Format, Log, Sink, Stamp};

const EXAMPLES: &str = "\
Examples:
  hushpipe run                                  the manifest ./hushpipe.yaml says it all
  hushpipe run -m /etc/hushpipe/redis.yaml      another manifest
  hushpipe run -- redis-server /run/s/redis.conf
                                                the program from the command line
  hushpipe run --exec -- psql                   become the program: no parent, no rotation
  hushpipe run --getenv PGPASSWORD=db/password psql
                                                without a manifest: secrets of ./secrets
  hushpipe run --file key.pem=tls/key -- serve --key '{{ files }}/key.pem'

hushpipe gives the program's own exit code, 128+N when signal N killed it, and its own faults \
the codes of `hushpipe help exit-codes`.";

/// Arguments of `run`.
#[derive(Args, Debug, Default, PartialEq)]
#[command(after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option")]
pub struct RunArgs {
    /// The manifest [default: $HUSHPIPE_MANIFEST, else ./hushpipe.yaml]; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(super) manifest: Option<PathBuf>,
    /// Become the program (execve) instead of staying as its parent: no rotation
    #[arg(long)]
    pub(super) exec: bool,
    #[arg(
        long,
        help = "Override argv[0]",
        value_name = "NAME",
        allow_hyphen_values = true
    )]
    argv0: Option<OsString>,
    /// When to notify systemd that the service is ready [default: the manifest's run.ready]
    #[arg(long, value_enum, value_name = "WHEN")]
    ready: Option<ReadyWhen>,
    /// How long the program may take to stop [default: the manifest's run.stop.timeout]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    stop_timeout: Option<Duration>,
    /// Follow the daemon that a program leaves when it goes into the background
    #[arg(long)]
    pub(super) forking: bool,
    /// The file where the process id of that daemon is
    #[arg(long, value_name = "FILE", requires = "forking")]
    pid_file: Option<PathBuf>,
    /// If a signal kills the program, die by the same signal instead of exiting with 128+N
    #[arg(long)]
    pub(super) end_by_signal: bool,
    /// Take a sealed store as it is although this host knows a newer or another one, and remember it;
    /// look at it first
    #[arg(long)]
    pub(super) accept_store: bool,
    #[command(flatten)]
    without: adhoc::WithoutArgs,
    /// The identity file of sealed stores [default: $HUSHPIPE_IDENTITY, else the manifest's]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    pub(super) said: SaidArgs,
    /// The program and its arguments, instead of the manifest's run.command
    #[arg(
        trailing_var_arg = true,
        value_name = "CMD",
        value_hint = clap::ValueHint::CommandWithArguments
    )]
    pub(super) command: Vec<OsString>,
}

/// `--ready`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReadyWhen {
    /// When the program says so, by sd_notify
    Program,
    /// When the program was executed
    Started,
}

/// Runs the program and gives its exit code.
pub fn run(arguments: RunArgs, globals: Globals) -> Result<u8, Failure> {
    let pid_file = arguments.pid_file;
    let overrides = manifest::Overrides {
        command: arguments.command,
        no_launch: false,
        exec: arguments.exec,
        accept_store: arguments.accept_store,
        argv0: arguments.argv0,
        ready: arguments.ready.map(|when| match when {
            ReadyWhen::Program => Ready::Program,
            ReadyWhen::Started => Ready::Started,
        }),
        stop_timeout: arguments.stop_timeout,
        forking: arguments.forking.then_some(Forking { pid_file }),
        identity: arguments.identity,
        files: None,
    };
    let without = adhoc::manifest(&arguments.without, &overrides.command)?;
    let loaded = match without {
        Some(text) => super::load::made(text, &overrides)?,
        None => super::load(arguments.manifest.as_deref(), &overrides)?,
    };
    let (plan, governance) = loaded.governed(arguments.said);
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(log(globals))];
    let observer: Rc<dyn Observer> = Rc::new(Stamp::new(&plan.service, sinks));
    let exited =
        app::run(&plan, &governance, &observer).map_err(|failures| Failure::found(&failures))?;
    if let (true, Some(signal)) = (arguments.end_by_signal, exited.signal) {
        app::end_by(signal);
    }
    Ok(exited.code)
}

/// Warnings alone, as the options want them, and alerts.
pub fn warnings(globals: Globals) -> Rc<dyn Observer> {
    Rc::new(Stamp::new("", vec![Box::new(Warnings(log(globals)))]))
}

struct Warnings(Log);

impl Sink for Warnings {
    fn take(&self, envelope: &Envelope<'_>) {
        if matches!(
            envelope.event,
            Event::Weaker { .. } | Event::StoreNote { .. } | Event::BreakGlass { .. }
        ) {
            self.0.take(envelope);
        }
    }
}

/// The log as the options want it.
fn log(globals: Globals) -> Log {
    let format = match globals.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let least = match (globals.quiet, globals.verbose) {
        (true, _) => Level::Error,
        (false, 0) => Level::Notice,
        (false, 1) => Level::Info,
        (false, _) => Level::Debug,
    };
    Log::new(format, least)
}
