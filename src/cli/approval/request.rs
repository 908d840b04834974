//! `hushpipe approval request`: approvals for a launch that is still to come.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::words::words;
use crate::app::approvals::Lifetime;
use crate::app::request_approval;
use crate::approval::{MAX_USES, Request};
use crate::cli::output::print;
use crate::cli::run::warnings;
use crate::cli::said::SaidArgs;
use crate::cli::{Failure, Globals, Outcome, load};
use crate::manifest::Overrides;
use crate::model::{Exit, PolicyMode, parse_duration};

const ABOUT: &str = "\
Decides on the manifest as a launch would now, without asking a store, and writes a request for the \
approvals that policies want. Run it as the user that will launch, with the same manifest, program \
and arguments: a launch by another user, or of anything else, does not find it.

Ends with 0 and writes nothing if no approval is needed, and with 77 if approvals would not help.

Examples:
  hushpipe approval request -m /etc/hushpipe/billing.yaml --reason 'INC-123: replay of May'
  hushpipe approval request --uses 3 --expires 4h
  hushpipe approval request --break-glass 'INC-123: db is down'    for run --break-glass
  hushpipe approval request --json -- ./billing --month 5 | jq -r .id";

/// Arguments of `approval request`.
#[derive(Args)]
#[command(after_help = ABOUT)]
pub struct RequestArgs {
    /// The manifest [default: $HUSHPIPE_MANIFEST, else ./hushpipe.yaml]; - is standard input
    #[arg(short, long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    said: SaidArgs,
    /// Ask for so many launches
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_USES)))]
    uses: u32,
    /// Let the request expire after this time [default: as late as every policy accepts]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<Duration>,
    /// Ask for a launch by `run --exec`
    #[arg(long)]
    exec: bool,
    /// Ask for a launch by `run --argv0 NAME`
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    argv0: Option<OsString>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// The program and its arguments, instead of the manifest's run.command
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(time) if time < Duration::from_secs(1) => {
            Err("a request lives for 1s at least".to_owned())
        }
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs `approval request`.
pub fn run(arguments: &RequestArgs, globals: Globals) -> Outcome {
    let overrides = Overrides {
        command: arguments.command.clone(),
        exec: arguments.exec,
        argv0: arguments.argv0.clone(),
        ..Overrides::default()
    };
    let loaded = crate::cli::load(arguments.manifest.as_deref(), &overrides)?;
    load::warn(&loaded.plan.warnings, globals)?;
    let (plan, governance) = loaded.governed(arguments.said.clone());
    let policy = governance
        .site
        .as_ref()
        .and_then(|site| site.policy.as_ref());
    let observes = policy.is_some_and(|policy| policy.mode == PolicyMode::Observe);
    if policy.is_none() {
        let text = "this host's site has no policies, so that no launch needs an approval";
        return Err(Failure::text(Exit::Usage, text));
    }
    let lifetime = Lifetime {
        expires: arguments.expires,
        uses: arguments.uses,
    };
    let requested = request_approval(&plan, &governance, lifetime, &warnings(globals))
        .map_err(|failures| Failure::found(&failures))?;
    let unneeded = if observes {
        "no approval is needed: this site's policy only observes\n"
    } else {
        "no approval is needed: policy allows this launch\n"
    };
    let Some(requested) = requested else {
        return print(if arguments.json { "null\n" } else { unneeded });
    };
    if arguments.json {
        print(&as_json(&requested))
    } else if globals.quiet {
        print(&format!("{}\n", requested.id))
    } else {
        print(&text(&requested))
    }
}

fn text(requested: &Request) -> String {
    let id = &requested.id;
    let mut text = words(requested, None);
    writeln!(text, "Each of them: hushpipe approve {id}").expect("a String takes it");
    text
}

/// As `approval show --json` has it.
fn as_json(requested: &Request) -> String {
    format!(
        "{:#}\n",
        json!({ "id": requested.id.as_str(), "request": requested })
    )
}
