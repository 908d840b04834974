//! `hushpipe status`: one launcher in full, without values.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::age::{ago, length};
use super::{Whom, failure, odd, patience, plain_json};
use crate::app::control;
use crate::cli::output::print;
use crate::cli::said::SaidArgs;
use crate::cli::table::{Cell, heads, table};
use crate::cli::{Failure, Globals, Outcome, Palette, Stream};
use crate::model::Exit;
use crate::model::control::{Asked, ControlGroupRequest, Reply, Request, SecretStatus, Status};
use crate::model::printable::printable;

const EXAMPLES: &str = "\
Examples:
  hushpipe status                         the only one that runs
  hushpipe status payments-api            by its service, or by a process id
  hushpipe status --json | jq .secrets
  hushpipe status --user alice            as root, the only one of another user
  hushpipe status --check                 for monitoring
  HEALTHCHECK CMD [\"hushpipe\", \"status\", \"--alive\"]       in a Dockerfile

Healthy means: the program runs, every store answers, delivered values have not expired and are \
at their paths, and nothing has failed since the last successful rotation. If a launcher is not \
healthy, its program keeps running on its last good values, and somebody should look: after a \
rollback, until its store has another version than the one that failed. An orchestrator that \
restarts programs should use --alive: a restart would take good values away while their store is \
down, or start with the version that failed.";

/// Arguments of `status`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Its service or a process id [default: the only one that runs]
    #[arg(conflicts_with_all = ["socket", "named"])]
    target: Option<String>,
    /// The same, as the other commands take it
    #[arg(
        short = 't',
        long = "target",
        value_name = "TARGET",
        conflicts_with = "socket"
    )]
    named: Option<String>,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
    /// Write one line, and end with 0 when it is healthy and with 1 when it is not
    #[arg(long, conflicts_with = "json")]
    check: bool,
    /// Write one line, and end with 0 while the program runs, healthy or not, and with 1 when it does
    /// not: for probes whose failure restarts it
    #[arg(long, conflicts_with_all = ["json", "check"])]
    alive: bool,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    said: SaidArgs,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", value_parser = patience, default_value = "5s")]
    timeout: Duration,
}

/// Asks and shows.
pub fn run(arguments: &StatusArgs, globals: Globals) -> Outcome {
    let status = ask(arguments)?;
    if arguments.check {
        print(&format!("{}\n", verdict(&status)))?;
        return Ok(if status.healthy { Exit::Ok } else { Exit::No });
    }
    if arguments.alive {
        print(&format!("{}\n", verdict(&status)))?;
        return Ok(if status.is_alive() {
            Exit::Ok
        } else {
            Exit::No
        });
    }
    print(&if arguments.json {
        let object = serde_json::to_string_pretty(&status);
        plain_json(&format!("{}\n", object.expect("a status is plain data")))
    } else {
        let now = SystemTime::now();
        page(
            &status,
            now,
            globals.verbose > 0,
            Palette::of(Stream::Stdout),
        )
    })
}

fn ask(arguments: &StatusArgs) -> Result<Status, Failure> {
    let name = arguments.target.as_ref().or(arguments.named.as_ref());
    let target = arguments.whom.target(name);
    let asked = Asked {
        request: Request::Status,
        said: arguments.said.clone().into(),
    };
    match control::request(&target, asked, arguments.timeout) {
        Ok(Reply::Status(status)) => Ok(*status),
        Ok(_) => Err(odd()),
        Err(error) => Err(failure(&error)),
    }
}

/// `healthy: payments-api, generation 3`, or what is wrong.
fn verdict(status: &Status) -> String {
    let service = printable(&status.service);
    if status.healthy {
        return format!("healthy: {service}, generation {}", status.generation);
    }
    let reason = if status.program_pid.is_none() {
        match status.control_groups.first() {
            Some(request) => format!(
                "the program waits for the approval of {}, accessor {}",
                printable(&request.asked),
                printable(&request.accessor)
            ),
            None => "the program does not run".to_owned(),
        }
    } else if let Some(condition) = status.conditions.first() {
        let (since, message) = (printable(&condition.since), printable(&condition.message));
        format!("{message} (since {since})")
    } else if let Some(outage) = status.outages.first() {
        printable(&outage.message)
    } else if let Some(fault) = &status.last_fault {
        printable(&fault.message)
    } else {
        printable(&status.state)
    };
    format!("not healthy: {service}: {reason}")
}

/// A page for people.
fn page(status: &Status, now: SystemTime, verbose: bool, palette: Palette) -> String {
    let mut out = String::new();
    let (colour, word) = if status.healthy {
        (palette.good(), "healthy")
    } else {
        (palette.error(), "not healthy")
    };
    let (heading, reset) = (palette.heading(), palette.reset());
    let service = printable(&status.service);
    put(
        &mut out,
        format_args!("{heading}{service}{reset}  {colour}{word}{reset}"),
    );
    for (name, text) in rows(status, now) {
        put(&mut out, format_args!("  {name:<14} {text}"));
    }
    for protection in status.protections.iter().filter(|_| verbose) {
        put(
            &mut out,
            format_args!("  {:<14} {}", "protection", printable(protection)),
        );
    }
    for outage in &status.outages {
        let (since, message) = (ago(&outage.since, now), printable(&outage.message));
        let (on, store) = (palette.error(), printable(&outage.store));
        put(
            &mut out,
            format_args!(
                "  {on}{:<14}{reset} store {store}, since {since}: {message}",
                "outage"
            ),
        );
    }
    for request in &status.control_groups {
        put(
            &mut out,
            format_args!("  {:<14} {}", "approval", approval(request, now)),
        );
    }
    for condition in &status.conditions {
        let (since, message) = (ago(&condition.since, now), printable(&condition.message));
        let (on, name) = (palette.error(), "condition");
        put(
            &mut out,
            format_args!("  {on}{name:<14}{reset} since {since}: {message}"),
        );
    }
    secrets(&mut out, &status.secrets, palette);
    out
}

/// `waiting for it since ...`, and what to do.
fn approval(request: &ControlGroupRequest, now: SystemTime) -> String {
    let (store, asked) = (printable(&request.store), printable(&request.asked));
    let (since, accessor) = (ago(&request.since, now), printable(&request.accessor));
    let by: Vec<String> = request.by.iter().map(|name| printable(name)).collect();
    let given = match by.len() {
        0 => "none so far".to_owned(),
        count => format!("{count} so far ({})", by.join(", ")),
    };
    format!(
        "store {store}, {asked}: waiting since {since}, {given}; approve it by `vault write \
         sys/control-group/authorize accessor={accessor}`"
    )
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("writing to a String does not fail");
}

fn rows(status: &Status, now: SystemTime) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("manifest", printable(&status.manifest)),
        (
            "launcher",
            format!(
                "process {}, hushpipe {}",
                status.pid,
                printable(&status.version)
            ),
        ),
        ("program", program(status)),
    ];
    if let Some(started) = &status.started {
        rows.push(("started", ago(started, now)));
    }
    if status.restarts > 0 {
        rows.push(("restarts", status.restarts.to_string()));
    }
    if let Some(left) = status.restarts_left {
        rows.push(("restarts left", left.to_string()));
    }
    rows.push(("generation", status.generation.to_string()));
    rows.push(("state", printable(&status.state)));
    if let Some(next) = &status.next {
        let (what, time) = (printable(&next.what), length(next.in_seconds));
        rows.push(("next", format!("{what} in {time}")));
    }
    for (name, moment) in [
        ("last rotation", &status.last_rotation),
        ("last fault", &status.last_fault),
    ] {
        if let Some(moment) = moment {
            let (at, message) = (ago(&moment.at, now), printable(&moment.message));
            rows.push((name, format!("{at}: {message}")));
        }
    }
    rows
}

fn program(status: &Status) -> String {
    let name = printable(&status.program);
    match status.program_pid {
        Some(pid) => format!("{name}, process {pid}"),
        None => format!("{name}, not running"),
    }
}

fn secrets(out: &mut String, secrets: &[SecretStatus], palette: Palette) {
    if secrets.is_empty() {
        return;
    }
    let names = ["SECRET", "STORE", "VERSION", "AGE", "LEASE", ""];
    let mut rows = vec![heads(&names, palette)];
    rows.extend(secrets.iter().map(|one| secret(one).map(Cell::from).into()));
    put(out, format_args!(""));
    out.push_str(&table(&rows, 0, palette));
}

fn secret(secret: &SecretStatus) -> [String; 6] {
    let quarantined = secret
        .quarantined
        .as_ref()
        .map(|version| format!("quarantined: {}", printable(version)));
    let pinned = secret
        .pinned
        .as_ref()
        .map(|version| format!("held at version {version}"));
    let notes: Vec<String> = quarantined.into_iter().chain(pinned).collect();
    [
        printable(&secret.name),
        printable(&secret.store),
        printable(&secret.version),
        length(secret.age_seconds),
        secret.lease_seconds.map_or_else(|| "-".to_owned(), length),
        notes.join(", "),
    ]
}
