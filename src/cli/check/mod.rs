//! `hushpipe check`: the whole plan without values.

mod json;
mod text;
mod vault;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::load::warn;
use super::run::warnings;
use super::said::SaidArgs;
use super::{Failure, Globals, Outcome, Palette, Stream, output};
use crate::app::{self, Look};
use crate::manifest::Overrides;
use crate::model::{Checks, Exit, Plan, SecretSpec, StoreKind, StoreSpec};

const EXAMPLES: &str = "\
Examples:
  hushpipe check                           is ./hushpipe.yaml good, and what would a run do?
  hushpipe check --online                  ... and do the servers have every secret?
  hushpipe check --values                  ... and would their values do?
  hushpipe check -m app.yaml --format json | jq .deliver

Sealed and directory stores are on this host: every check looks for the secrets there. \
Reports all errors in one run, and ends with 0 only if a run would start.";

/// Arguments of `check`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option")]
pub struct CheckArgs {
    /// The manifest [default: $HUSHPIPE_MANIFEST, else ./hushpipe.yaml]; - is standard input
    #[arg(short, long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Also ask servers and commands: log in, and see that every secret is there
    #[arg(long, conflicts_with = "manifest_only")]
    online: bool,
    /// Also fetch the values, and check them as `run` would (uses up one-time tokens)
    #[arg(long, conflicts_with = "manifest_only")]
    values: bool,
    /// Check the manifest only, without this host and its stores
    #[arg(long)]
    manifest_only: bool,
    /// Check it as `run --exec` would
    #[arg(long)]
    exec: bool,
    /// Take a sealed store as it is although this host knows a newer or another one, and remember it;
    /// look at it first
    #[arg(long)]
    accept_store: bool,
    /// The identity file of sealed stores [default: $HUSHPIPE_IDENTITY, else the manifest's]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// How the plan is written
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
    #[command(flatten)]
    said: SaidArgs,
    /// The program and its arguments, instead of the manifest's run.command
    #[arg(
        trailing_var_arg = true,
        value_name = "CMD",
        value_hint = clap::ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    /// Tables for people
    Text,
    /// One JSON object
    Json,
}

/// Checks the manifest and prints the plan.
pub fn run(arguments: &CheckArgs, globals: Globals) -> Outcome {
    let overrides = Overrides {
        command: arguments.command.clone(),
        exec: arguments.exec,
        accept_store: arguments.accept_store,
        identity: arguments.identity.clone(),
        ..Overrides::default()
    };
    let loaded = super::load(arguments.manifest.as_deref(), &overrides)?;
    let (plan, governance) = loaded.governed(arguments.said.clone());
    let site = governance.site.as_deref();
    warn(&plan.warnings, globals)?;
    let look = match (arguments.values, arguments.online) {
        (true, _) => Look::Values,
        (false, true) => Look::Stores,
        (false, false) => Look::Host,
    };
    let observer = warnings(globals);
    let look = || app::preflight(&plan, &governance, look, &observer);
    let report = (!arguments.manifest_only).then(look);
    let found = report.as_ref().and_then(|report| report.as_ref().ok());
    warn(found.map_or(&[], |found| &found.warnings), globals)?;
    if !globals.quiet {
        output::print(&match arguments.format {
            PlanFormat::Text => {
                let shown = text::plan(&plan, site, found, Palette::of(Stream::Stdout));
                format!("{shown}\n{}\n", verdict(arguments, &plan, report.as_ref()))
            }
            PlanFormat::Json => format!("{:#}\n", json::plan(&plan, site, found)),
        })?;
    }
    match report {
        Some(Err(failures)) => Err(Failure::found(&failures)),
        Some(Ok(_)) | None => Ok(Exit::Ok),
    }
}

/// In one line: what `run` would do.
fn verdict(
    arguments: &CheckArgs,
    plan: &Plan,
    report: Option<&Result<app::Report, app::Failures>>,
) -> String {
    let is_elsewhere =
        |store: &StoreSpec| matches!(store.kind, StoreKind::Command(_) | StoreKind::Vault(_));
    let is_checked = |secret: &SecretSpec| secret.checks != Checks::default();
    let unasked = !arguments.online && !arguments.values;
    match report {
        None => "The manifest is valid; this host and its stores were not checked.".to_owned(),
        Some(Err(failures)) => {
            let plural = if failures.len() == 1 { "" } else { "s" };
            format!("A run would not start: {} error{plural}.", failures.len())
        }
        Some(Ok(_)) if unasked && plan.stores.values().any(is_elsewhere) => {
            "A run would start if its servers and commands answer: --online asks them.".to_owned()
        }
        Some(Ok(_)) if !arguments.values && plan.secrets.values().any(is_checked) => {
            "A run would start if the values pass their checks: --values tries them.".to_owned()
        }
        Some(Ok(_)) => "A run would start.".to_owned(),
    }
}
