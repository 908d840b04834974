//! `hushpipe incident`: contain a leaked secret on this host.

use std::io::stdin;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::table::{Cell, heads, table};
use super::{Globals, Outcome, Palette, Stream, audit, load, output};
use crate::app::incidents::{self, Opening, Progress, Wanted};
use crate::model::printable::printable;
use crate::model::{Exit, Incident, IncidentState, Quarantined, Step, is_incident_id};

const EXAMPLES: &str = "\
Examples:
  hushpipe incident open db --reason \"in a public repository\"
  hushpipe incident open --value --reason \"found in a log\" < leaked
  hushpipe incident list
  hushpipe incident status
  hushpipe incident close --reason \"replaced everywhere\"

hushpipe-incident(7) explains playbooks and quarantine.";

const OPEN: &str = "\
Finds every service of this host that has the secret, by the audit log: by its name, by the same
value (with audit.fingerprint_key_file), and by the same place in the store. Then runs the site's
playbook on each launcher: by default revoke, rotate, verify. From the first moment on, no launcher
delivers a version or value that was delivered before; once the playbook has run, none delivers the
secret at all until the incident is closed, unless the playbook says `quarantine: value`.

If an incident is open for the secret already, its playbook runs again.

Ends with 0 if no program has the old value any more, and with 1 if one may have it.

Examples:
  hushpipe incident open db --reason \"in a public repository\"
  hushpipe incident open db --service shop --reason test --dry-run
  hushpipe incident open --value --reason \"found in a log\" < leaked";

/// Arguments of `incident`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct IncidentArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Contain a secret that leaked: replace it everywhere on this host, and refuse the old value
    Open(OpenArgs),
    /// Show an incident: who has the secret, what was done, and how long it took
    #[command(after_help = "\
Examples:
  hushpipe incident status                       the only one that is open
  hushpipe incident status 20261128T150102Z-1a2b --json")]
    Status(StatusArgs),
    /// Close an incident: deliveries are allowed again
    #[command(after_help = "\
Examples:
  hushpipe incident close --reason \"replaced everywhere\"
  hushpipe incident close 20261128T150102Z-1a2b --reason \"false alarm\"")]
    Close(CloseArgs),
    /// List incidents
    #[command(after_help = "\
Examples:
  hushpipe incident list
  hushpipe incident list --all --json | jq '.[].contained_ms'")]
    List(ListArgs),
}

#[derive(Args, Debug)]
#[command(after_help = OPEN)]
struct OpenArgs {
    /// The secret, by its name in manifests
    #[arg(value_name = "SECRET", required_unless_present = "value")]
    secret: Option<String>,
    /// Read the leaked value from standard input, and find the secret by it
    #[arg(long, conflicts_with = "secret")]
    value: bool,
    /// Only what this service calls so; others are found by the same value or place in the store
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Why; it is on record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Say who has the secret, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the incident as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct StatusArgs {
    /// The incident [default: the only one that is open]
    #[arg(value_name = "ID", value_parser = id)]
    id: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct CloseArgs {
    /// The incident [default: the only one that is open]
    #[arg(value_name = "ID", value_parser = id)]
    id: Option<String>,
    /// Why; it is on record
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Those that are closed, too
    #[arg(long)]
    all: bool,
    /// Print a list of JSON
    #[arg(long)]
    json: bool,
}

fn id(text: &str) -> Result<String, String> {
    if is_incident_id(text) {
        Ok(text.to_owned())
    } else {
        Err("an incident's id looks like 20261128T150102Z-1a2b: `hushpipe incident list` lists them".to_owned())
    }
}

/// Runs the command.
pub fn run(arguments: &IncidentArgs, globals: Globals) -> Outcome {
    match &arguments.command {
        Command::Open(arguments) => open(arguments, globals),
        Command::Status(arguments) => status(arguments, globals),
        Command::Close(arguments) => close(arguments, globals),
        Command::List(arguments) => list(arguments, globals),
    }
}

fn open(arguments: &OpenArgs, globals: Globals) -> Outcome {
    let site = load::site(globals)?;
    let mut wanted = Wanted {
        secret: arguments.secret.clone(),
        service: arguments.service.clone(),
        ..Wanted::default()
    };
    if arguments.value {
        wanted.fingerprints = audit::found(incidents::value(site.as_ref(), stdin().lock()))?;
    }
    let opening = Opening {
        wanted,
        reason: &arguments.reason,
        dry_run: arguments.dry_run,
    };
    let is_shown = !arguments.json && !globals.quiet;
    let mut printed = Ok(Exit::Ok);
    let mut show = |progress: Progress<'_>| match progress {
        Progress::Warning(why) => eprintln!("hushpipe: warning: {}", printable(&why)),
        Progress::Opened(incident) if is_shown => printed = output::print(&who(incident)),
        Progress::Step(step) if is_shown => printed = output::print(&line(step)),
        Progress::Opened(_) | Progress::Step(_) => {}
    };
    let opened = audit::found(incidents::open(site.as_ref(), &opening, &mut show))?;
    printed?;
    let incident = &opened.incident;
    if arguments.json {
        output::print(&json(incident)?)?;
    } else if arguments.dry_run {
        let count = opened.launchers;
        output::print(&format!(
            "{count} running launchers have it; nothing was done\n"
        ))?;
        return Ok(Exit::Ok);
    } else if !globals.quiet {
        output::print(&outcome(incident))?;
    }
    Ok(match incident.state {
        _ if arguments.dry_run => Exit::Ok,
        _ if opened.unrecorded => Exit::Deadline,
        IncidentState::Contained => Exit::Ok,
        _ => Exit::No,
    })
}

/// Its id, and who has the secret.
fn who(incident: &Incident) -> String {
    let palette = Palette::of(Stream::Stdout);
    let what = match &*incident.secret {
        "" => "a value".to_owned(),
        secret => format!("secret {}", printable(secret)),
    };
    let mut rows = vec![heads(
        &["SERVICE", "SECRET", "STORE", "ASKED", "WHY"],
        palette,
    )];
    rows.extend(incident.suspects.iter().map(|suspect| {
        let cells = [
            &suspect.service,
            &suspect.secret,
            &suspect.store,
            &suspect.asked,
            suspect.why.word(),
        ];
        cells.map(|cell| Cell::from(printable(cell))).into()
    }));
    let id = printable(&incident.id);
    format!(
        "incident {id}: {what}: {}\n{}",
        printable(&incident.reason),
        table(&rows, 0, palette)
    )
}

/// `rotate shop (process 12): ok: generation 2 is in place, after 12 ms`
fn line(step: &Step) -> String {
    let outcome = match step.worked {
        Some(true) => "ok",
        Some(false) => "failed",
        None => "not needed",
    };
    let process = step
        .pid
        .map_or_else(String::new, |pid| format!(" (process {pid})"));
    let (service, secret) = (printable(&step.service), printable(&step.secret));
    format!(
        "{} {secret} of {service}{process}: {outcome}: {}, after {}\n",
        step.step,
        printable(&step.detail),
        length(step.took_ms)
    )
}

fn length(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        _ => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
    }
}

/// How it came out, and what to do.
fn outcome(incident: &Incident) -> String {
    let mut lines = Vec::new();
    if let Some(detected) = &incident.detected {
        let (rule, after) = (printable(&detected.rule), length(detected.after_ms));
        lines.push(format!(
            "detected by alert {rule}, {after} after its first record"
        ));
    }
    let id = printable(&incident.id);
    let refused = match incident.quarantine {
        Quarantined::Secret => "deliveries of the secret are refused",
        Quarantined::Value => "deliveries of the old values are refused",
    };
    match (incident.state, incident.contained_ms) {
        (IncidentState::Closed, _) => {
            if let Some(closed) = &incident.closed {
                let (at, reason) = (printable(&closed.at), printable(&closed.reason));
                lines.push(format!("closed at {at}: {reason}"));
            }
        }
        (_, Some(after)) => {
            let after = length(after);
            lines.push(format!(
                "contained after {after}: no program of this host has the old value"
            ));
        }
        (_, None) => {
            let name = match &*incident.secret {
                "" => "--value".to_owned(),
                secret => printable(secret),
            };
            lines.push(format!(
                "not contained: a program may still have the old value\n  help: replace it in the store, and run \
                 `hushpipe incident open {name} --reason TEXT` again"
            ));
        }
    }
    if incident.state != IncidentState::Closed {
        lines.push(format!(
            "{refused} until `hushpipe incident close {id} --reason TEXT`"
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn json(incident: &Incident) -> Result<String, Failure> {
    let text = serde_json::to_string(incident);
    Ok(text.map_err(|error| Failure::new(Exit::Internal, &error))? + "\n")
}

fn status(arguments: &StatusArgs, globals: Globals) -> Outcome {
    let site = load::site(globals)?;
    let all = audit::found(incidents::list(site.as_ref()))?;
    let fits = |one: &&Incident| match &arguments.id {
        Some(id) => one.id == *id,
        None => one.state != IncidentState::Closed,
    };
    let found: Vec<&Incident> = all.iter().filter(fits).collect();
    let [incident] = found.as_slice() else {
        let text = match (&arguments.id, found.as_slice()) {
            (Some(id), _) => format!("there is no incident {id}"),
            (None, []) => "no incident is open".to_owned(),
            (None, found) => {
                let ids: Vec<&str> = found.iter().map(|one| &*one.id).collect();
                format!("several incidents are open, name one: {}", ids.join(", "))
            }
        };
        return Err(Failure::text(Exit::Usage, text));
    };
    if arguments.json {
        return output::print(&json(incident)?);
    }
    let steps: String = incident.steps.iter().map(line).collect();
    output::print(&(who(incident) + &steps + &outcome(incident)))
}

fn close(arguments: &CloseArgs, globals: Globals) -> Outcome {
    let site = load::site(globals)?;
    let mut warn = |progress: Progress<'_>| {
        if let Progress::Warning(why) = progress {
            eprintln!("hushpipe: warning: {}", printable(&why));
        }
    };
    let closed = incidents::close(
        site.as_ref(),
        arguments.id.as_deref(),
        &arguments.reason,
        &mut warn,
    );
    let closed = audit::found(closed)?;
    if !globals.quiet {
        let id = printable(&closed.incident.id);
        output::print(&format!(
            "incident {id} is closed: nothing is refused for it any more\n"
        ))?;
    }
    Ok(if closed.unrecorded {
        Exit::Deadline
    } else {
        Exit::Ok
    })
}

fn list(arguments: &ListArgs, globals: Globals) -> Outcome {
    let site = load::site(globals)?;
    let all = audit::found(incidents::list(site.as_ref()))?;
    let wanted = |one: &&Incident| arguments.all || one.state != IncidentState::Closed;
    let wanted: Vec<&Incident> = all.iter().filter(wanted).collect();
    if arguments.json {
        let text = serde_json::to_string(&wanted);
        return output::print(
            &(text.map_err(|error| Failure::new(Exit::Internal, &error))? + "\n"),
        );
    }
    let palette = Palette::of(Stream::Stdout);
    let mut rows = vec![heads(
        &[
            "ID",
            "SECRET",
            "STATE",
            "SERVICES",
            "CONTAINED AFTER",
            "REASON",
        ],
        palette,
    )];
    rows.extend(wanted.iter().map(|one| {
        let mut services: Vec<&str> = one.suspects.iter().map(|one| &*one.service).collect();
        services.dedup();
        let contained = one.contained_ms.map_or_else(|| "-".to_owned(), length);
        let cells = [
            &one.id,
            &one.secret,
            one.state.word(),
            &services.join(" "),
            &contained,
            &one.reason,
        ];
        cells.map(|cell| Cell::from(printable(cell))).into()
    }));
    output::print(&table(&rows, 0, palette))
}
