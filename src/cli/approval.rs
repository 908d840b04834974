//! `hushpipe approval …` and `hushpipe approve`: requests, and who approved them.

mod request;
mod words;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use words::words;

use super::confirm::confirmed;
use super::output::print;
use super::table::{cells, heads, table};
use super::{Failure, Globals, Outcome, Palette, Stream, load};
use crate::app::approvals::{Approvals, ApprovalsError, ApproveError, Approving, Pruned, Shown};
use crate::app::members;
use crate::approval::CheckError;
use crate::model::printable::{printable, printable_path};
use crate::model::{Exit, Site, parse_duration};

const ABOUT: &str = "\
A launch that a policy allows once people approved it writes a request into the site's \
`approvals.directory`; `hushpipe approval request` writes it ahead. `hushpipe approve ID` signs it; \
see hushpipe-approval(7).

Examples:
  hushpipe approval request -m app.yaml --reason INC-123
  hushpipe approval list
  hushpipe approval show 3f2a
  hushpipe approval verify 3f2a && echo approved";

/// Arguments of `approval`.
#[derive(Args)]
#[command(after_help = ABOUT)]
pub struct ApprovalArgs {
    #[command(subcommand)]
    command: ApprovalCommand,
}

#[derive(Subcommand)]
enum ApprovalCommand {
    /// Request the approvals that a launch will need, ahead of it
    Request(request::RequestArgs),
    /// List the requests, the newest first
    #[command(after_help = "\
Examples:
  hushpipe approval list
  hushpipe approval list --json | jq -r '.[] | select(.state == \"waiting\") | .id'")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a request in words, and who approved it
    #[command(after_help = "\
Examples:
  hushpipe approval show 3f2a          the first digits of its id are enough, from four on
  hushpipe approval show 3f2a --json")]
    Show {
        /// The request's id, or how it starts
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check that a request has all approvals that its policies want, and has not ended
    #[command(after_help = "\
What the policies want is in the request, and who is in which group is what this host's site says; \
whether the request fits is for the launch to judge. The exit code is 1 if approvals are missing, or \
if the request has expired or is used up.

Examples:
  hushpipe approval verify 3f2a && echo approved
  hushpipe approval verify 3f2a --people 3")]
    Verify {
        /// The request's id, or how it starts
        id: String,
        /// At least so many distinct people, if that is more
        #[arg(long, value_name = "N", default_value_t = 1)]
        people: usize,
    },
    /// Remove requests that expired long ago, with their signatures
    #[command(after_help = "\
Each user removes their own files, and root those of all. hushpipe does the same with the default \
before it writes a request.

Examples:
  hushpipe approval prune
  hushpipe approval prune --older-than 0s     all that have expired")]
    Prune {
        /// Keep requests until this long after they expired
        #[arg(long, value_name = "TIME", default_value = "720h", value_parser = parse_duration)]
        older_than: Duration,
    },
}

const APPROVE: &str = "\
The signature is made by ssh-keygen, in the namespace approval@hushpipe, so that keys in an agent \
or in hardware work; it is written beside the request, as ID.json.USER.sig. A FILE is a request \
that was copied from another host: copy FILE.USER.sig back, beside the request there. By hand:
`ssh-keygen -Y sign -n approval@hushpipe -f KEY ID.json`.

Examples:
  hushpipe approve 3f2a
  hushpipe approve 3f2a --key ~/.ssh/id_ed25519_sk
  hushpipe approve ./3f2a4c5d6e7f8091a2b3c4d5e6f70819.json --key ~/.ssh/id_ed25519.pub";

/// Arguments of `approve`.
#[derive(Args)]
#[command(after_help = APPROVE)]
pub struct ApproveArgs {
    /// The request's id, or how it starts; or its file
    #[arg(value_name = "ID|FILE")]
    request: String,
    /// The key: a private one, or a public one in the agent [default: the first in ~/.ssh]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Runs an `approval` command.
pub fn run(arguments: &ApprovalArgs, globals: Globals) -> Outcome {
    if let ApprovalCommand::Request(arguments) = &arguments.command {
        return request::run(arguments, globals);
    }
    let (approvals, site) = approvals(globals)?;
    if let ApprovalCommand::Prune { older_than } = &arguments.command {
        return prune(&approvals, *older_than, globals);
    }
    let members = members(&site).map_err(|failures| Failure::found(&failures))?;
    match &arguments.command {
        ApprovalCommand::Request(_) | ApprovalCommand::Prune { .. } => {
            unreachable!("they have been run")
        }
        ApprovalCommand::List { json } => {
            let all = approvals.all(&members).map_err(|error| failure(&error))?;
            list(&all, *json)
        }
        ApprovalCommand::Show { id, json } => {
            let shown = approvals
                .one(id, &members)
                .map_err(|error| failure(&error))?;
            if *json {
                return print(&format!("{:#}\n", as_json(&shown)));
            }
            show(&shown)
        }
        ApprovalCommand::Verify { id, people } => {
            let shown = approvals
                .one(id, &members)
                .map_err(|error| failure(&error))?;
            show(&shown)?;
            let enough = shown.approvers.len() >= *people && state(&shown) == "approved";
            Ok(if enough { Exit::Ok } else { Exit::No })
        }
    }
}

const UNASKED: &str =
    "standard input is no terminal, so nobody can confirm: read the request, and give --yes";

/// Runs `approve`.
pub fn approve(arguments: &ApproveArgs, globals: Globals) -> Outcome {
    let key = arguments.key.as_deref();
    let named = &arguments.request;
    let is_file = named.contains('/') || Path::new(named).extension().is_some();
    let approvals = if is_file {
        None
    } else {
        Some(approvals(globals)?.0)
    };
    let approving = match &approvals {
        Some(approvals) => approvals.to_approve(named),
        None => Approving::of_file(Path::new(named)),
    };
    let approving = approving.map_err(|error| refused(&error))?;
    say(&words(&approving.request, approving.owner.as_deref()))?;
    if !arguments.yes && !confirmed("Approve it?", UNASKED)? {
        return Err(Failure::text(Exit::No, "not approved"));
    }
    let written = match &approvals {
        Some(approvals) => approvals.approve(&approving, key),
        None => approving.sign_beside(key),
    };
    let written = written.map_err(|error| refused(&error))?;
    if globals.quiet {
        return Ok(Exit::Ok);
    }
    let path = printable_path(&written);
    print(&format!("approved: {path}\n"))
}

fn prune(approvals: &Approvals, older: Duration, globals: Globals) -> Outcome {
    let pruned = approvals.prune(older).map_err(|error| failure(&error))?;
    if globals.quiet {
        return Ok(Exit::Ok);
    }
    let Pruned {
        requests,
        files,
        of_others,
    } = pruned;
    let mut text = format!("removed {requests} requests and {files} other files\n");
    if of_others > 0 {
        writeln!(
            text,
            "{of_others} files are of other users: root removes them"
        )
        .expect("a String takes it");
    }
    print(&text)
}

fn approvals(globals: Globals) -> Result<(Approvals, Site), Failure> {
    let site = load::site(globals)?.filter(|site| site.approvals.is_some());
    let site = site.ok_or_else(|| {
        Failure::text(
            Exit::Manifest,
            "this host's site has no approvals: add `approvals: { signers, directory }` to \
             /etc/hushpipe/site.yaml",
        )
    })?;
    let spec = site.approvals.as_ref().expect("others were left out");
    Ok((Approvals::new(spec), site))
}

fn failure(error: &ApprovalsError) -> Failure {
    Failure::new(error.exit(), error)
}

fn refused(error: &ApproveError) -> Failure {
    Failure::new(error.exit(), error)
}

fn say(text: &str) -> Result<(), Failure> {
    let written = std::io::stderr().write_all(text.as_bytes());
    written.map_err(|error| Failure::new(Exit::Os, &error))
}

/// `waiting`, `approved`, `ended` or `broken`.
fn state(shown: &Shown) -> &'static str {
    let mut errors = shown.errors.iter().filter(|error| !error.is_of_signature());
    match (&shown.request, errors.next()) {
        (Err(_), _) => "broken",
        (Ok(_), None) if shown.approvers.is_empty() => "waiting",
        (Ok(_), None) => "approved",
        (Ok(_), Some(CheckError::Missing { .. }))
            if errors.all(|error| matches!(error, CheckError::Missing { .. })) =>
        {
            "waiting"
        }
        (Ok(_), Some(_)) => "ended",
    }
}

fn people(shown: &Shown) -> String {
    let names: Vec<String> = shown
        .approvers
        .iter()
        .map(|one| printable(one.name()))
        .collect();
    names.join(", ")
}

fn list(all: &[Shown], json: bool) -> Outcome {
    if json {
        let all: Vec<Value> = all.iter().map(as_json).collect();
        return print(&format!("{:#}\n", Value::Array(all)));
    }
    let row = |shown: &Shown| {
        let (created, service, by) = match &shown.request {
            Ok(request) => (
                request.created.to_string(),
                printable(&request.service),
                printable(&request.by),
            ),
            Err(_) => (String::new(), String::new(), printable(&shown.owner)),
        };
        let id = shown.id.as_str().get(..12).unwrap_or_default().to_owned();
        vec![
            id,
            state(shown).to_owned(),
            created,
            service,
            by,
            people(shown),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let palette = Palette::of(Stream::Stdout);
    let names = ["ID", "STATE", "CREATED", "SERVICE", "BY", "APPROVED BY"];
    let mut lines = vec![heads(&names, palette)];
    lines.extend(cells(&rows));
    print(&table(&lines, 0, palette))
}

fn show(shown: &Shown) -> Outcome {
    let mut text = match &shown.request {
        Ok(request) => words(request, Some(&shown.owner)),
        Err(why) => format!("Request {}: {}\n", shown.id, printable(&why.to_string())),
    };
    if let Some(uses) = shown.uses {
        writeln!(text, "  used        {uses} times").expect("a String takes it");
    }
    for approver in &shown.approvers {
        let (name, keys) = (printable(approver.name()), approver.keys.join(", "));
        writeln!(text, "  approved by {name} ({keys})").expect("a String takes it");
    }
    for error in &shown.errors {
        writeln!(text, "  note        {}", printable(&error.to_string()))
            .expect("a String takes it");
    }
    print(&text)
}

fn as_json(shown: &Shown) -> Value {
    let people = shown.approvers.iter();
    let people = people.map(|one| json!({ "names": one.names, "keys": one.keys }));
    let errors = shown.errors.iter().map(ToString::to_string);
    json!({
        "id": shown.id.as_str(),
        "state": state(shown),
        "owner": shown.owner,
        "request": shown.request.as_ref().ok(),
        "error": shown.request.as_ref().err().map(ToString::to_string),
        "approved_by": people.collect::<Vec<_>>(),
        "notes": errors.collect::<Vec<_>>(),
        "used": shown.uses,
    })
}
