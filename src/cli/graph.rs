//! `hushpipe graph`, `blast`, `unused`: which program on which host has which secret, for one host or many.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::table::{Cell, heads, table};
use super::{Failure, Globals, Outcome, Palette, Stream, load, output};
use crate::app::files;
use crate::app::inventory::{self, Inputs, Inventory};
use crate::model::Exit;
use crate::model::printable::printable_path;
use crate::report::{Blast, Graph, Moment, Unused};

/// What is read.
#[derive(Args, Debug)]
pub struct InputArgs {
    /// Directories, archives and files of many hosts; - is standard input [default: this host]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Show it as of this time (RFC 3339): later records are ignored [default: the newest record's]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Moment>,
}

/// Arguments of `graph`.
#[derive(Args, Debug)]
#[command(after_help = GRAPH, long_about = None)]
pub struct GraphArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Print JSON
    #[arg(long, group = "form")]
    json: bool,
    /// Print the graph for Graphviz
    #[arg(long, group = "form")]
    dot: bool,
    /// Print one page that needs no network: picture, search, filters, tables
    #[arg(long, group = "form")]
    html: bool,
    /// Write to this file instead of standard output; a file that exists is replaced
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

const GRAPH: &str = "\
PATH is a directory with what was collected from hosts, a tar archive of it (also .gz), or a file:
audit logs (records.jsonl), manifests, sites (site.yaml) and the output of `hushpipe scan --json`.
What lies beside a host's log, or below the same directory, is that host's. - reads records from
standard input. No output has a value, or a fingerprint of one.

Examples:
  hushpipe graph                                  this host
  hushpipe graph --html -o secrets.html fleet/    a page for a browser, of all hosts in fleet/
  hushpipe graph --json fleet.tar.gz | jq '.secrets[] | select(.owner == null)'
  hushpipe graph --dot fleet/ | dot -Tsvg > secrets.svg
  zcat records.*.gz | hushpipe graph -            records that a sink received";

/// Arguments of `blast`.
#[derive(Args, Debug)]
#[command(after_help = BLAST)]
pub struct BlastArgs {
    /// The secret, as its store is asked for it: NAME or STORE:NAME
    #[arg(value_name = "SECRET")]
    secret: String,
    #[command(flatten)]
    inputs: InputArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const BLAST: &str = "\
Lists the services, programs and hosts that had the secret, also through another secret of the same
value, people who saw it, and where a scan found it. Exits 1 if no such secret is known.

Examples:
  hushpipe blast payments/stripe                  on this host
  hushpipe blast vault:payments/stripe fleet/     of a certain store, on all hosts in fleet/
  hushpipe blast --json payments/stripe fleet/ | jq -r '.[].hits[].host' | sort -u";

/// Arguments of `unused`.
#[derive(Args, Debug)]
#[command(after_help = UNUSED)]
pub struct UnusedArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// List secrets that were not released for so many days
    #[arg(long, value_name = "N", default_value_t = 90)]
    days: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// End with 1 if there are any
    #[arg(long)]
    fail: bool,
}

const UNUSED: &str = "\
A secret is in use while a program that got it runs, however long ago that was. Secrets that a
manifest declares and no record shows are listed as well. The logs must reach back that far.

Examples:
  hushpipe unused                                 on this host, for 90 days
  hushpipe unused --days 30 fleet/                on all hosts in fleet/
  hushpipe unused --fail --at 2026-12-01 fleet/   exit 1 if there are any, counted from that day";

/// A time, of an option.
pub fn moment(text: &str) -> Result<Moment, String> {
    let found = Moment::parse(text);
    found.ok_or_else(|| "expected a time such as 2026-11-28 or 2026-11-28T10:00:00Z".to_owned())
}

/// Reads the inputs; what could not be read goes to stderr.
fn read(inputs: &InputArgs, command: &str, globals: Globals) -> Result<Graph, Failure> {
    Ok(read_since(inputs, None, command, globals)?.graph)
}

/// The same, over a period.
pub fn read_since(
    inputs: &InputArgs,
    since: Option<Moment>,
    command: &str,
    globals: Globals,
) -> Result<Inventory, Failure> {
    let site = match inputs.paths.as_slice() {
        [] => load::site(globals)?,
        _ => None,
    };
    let read = inventory::read(&Inputs {
        paths: &inputs.paths,
        site: site.as_ref(),
        at: inputs.at,
        since,
        command,
    });
    let mut read = read.map_err(|failures| Failure::found(&failures))?;
    let mut texts = std::mem::take(&mut read.notes.texts);
    if read.notes.more > 0 {
        texts.push(format!("{} more were skipped", read.notes.more));
    }
    load::warn(&texts, globals)?;
    Ok(read)
}

/// Prints it, or writes a file that its owner alone can read.
pub fn write(text: &str, to: Option<&PathBuf>) -> Outcome {
    let Some(path) = to else {
        return output::print(text);
    };
    files::replace_named(path, text, 0o600).map_err(|error| {
        let text = format!("cannot write {}\n  cause: {error}", printable_path(path));
        Failure::text(Exit::Os, text)
    })?;
    Ok(Exit::Ok)
}

/// Indented, with an end.
pub fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    Ok(text.map_err(|error| Failure::new(Exit::Internal, &error))? + "\n")
}

/// `hushpipe graph`
pub fn graph(arguments: &GraphArgs, globals: Globals) -> Outcome {
    let graph = read(&arguments.inputs, "graph", globals)?;
    let text = match () {
        () if arguments.json => json(&graph)?,
        () if arguments.dot => graph.dot(),
        () if arguments.html => {
            let mut page = Vec::new();
            let written = graph.page(&mut page);
            written.map_err(|error| Failure::new(Exit::Internal, &error))?;
            String::from_utf8(page).map_err(|error| Failure::new(Exit::Internal, &error))?
        }
        () => rows(&graph),
    };
    write(&text, arguments.output.as_ref())
}

/// A line a secret.
fn rows(graph: &Graph) -> String {
    let palette = Palette::of(Stream::Stdout);
    let names = [
        "SECRET",
        "ENVIRONMENT",
        "STORE",
        "OWNER",
        "SERVICES",
        "HOSTS",
        "LAST RELEASE",
        "FLAGS",
    ];
    let mut rows = vec![heads(&names, palette)];
    let mut reached = vec![(0_u32, None, std::collections::BTreeSet::new()); graph.secrets.len()];
    // Uses are sorted by secret and service.
    for it in &graph.uses {
        let (services, last, hosts) = &mut reached[it.secret as usize];
        *services += u32::from(*last != Some(it.service));
        *last = Some(it.service);
        hosts.extend(it.host);
    }
    let flags = graph.flags();
    for ((secret, flags), (services, _, hosts)) in graph.secrets.iter().zip(flags).zip(reached) {
        rows.push(vec![
            secret.name.as_str().into(),
            secret.environment.as_str().into(),
            graph.store_of(secret).into(),
            secret.owner.as_str().into(),
            services.to_string().into(),
            hosts.len().to_string().into(),
            last(secret.last).into(),
            Cell::from(flags.join(", ")),
        ]);
    }
    table(&rows, 0, palette)
}

fn last(moment: Moment) -> String {
    if moment.is_known() {
        moment.to_string()
    } else {
        "never".to_owned()
    }
}

/// `hushpipe blast`
pub fn blast(arguments: &BlastArgs, globals: Globals) -> Outcome {
    let graph = read(&arguments.inputs, "blast", globals)?;
    let found = graph.blast(&arguments.secret);
    if arguments.json {
        output::print(&json(&found)?)?;
    } else {
        for blast in &found {
            output::print(&paths(blast))?;
        }
    }
    if found.is_empty() {
        let text = format!(
            "no record and no manifest has the secret {}\n  help: `hushpipe graph` lists them",
            crate::model::printable::printable(&arguments.secret)
        );
        return Err(Failure::text(Exit::No, text));
    }
    Ok(Exit::Ok)
}

/// A secret, and who is hit.
fn paths(blast: &Blast<'_>) -> String {
    let palette = Palette::of(Stream::Stdout);
    let mut facts = Vec::new();
    let mut fact = |name: &str, text: String| {
        if !text.is_empty() {
            facts.push(vec![Cell::from(name), Cell::from(text)]);
        }
    };
    fact("secret", blast.secret.name.to_owned());
    fact("store", blast.secret.store.to_owned());
    fact("environment", blast.secret.environment.to_owned());
    fact("owner", blast.owner.to_owned());
    fact("classification", blast.classification.to_owned());
    fact("last release", last(blast.last));
    for same in &blast.same_value {
        let text = format!("{}:{} {}", same.store, same.name, same.environment);
        fact("same value", text.trim_end().to_owned());
    }
    for finding in &blast.findings {
        let text = format!("{} {}:{}", finding.host, finding.path, finding.line);
        fact("found in", text.trim_start().to_owned());
    }
    for person in &blast.people {
        fact(
            "shown to",
            format!("{} on {}, {}", person.name, person.host, last(person.last)),
        );
    }
    fact("policies", blast.policies.join(", "));
    let mut text = table(&facts, 0, palette);
    let names = ["SERVICE", "HOST", "DELIVERY", "PROGRAM", "LAST RELEASE", ""];
    let mut rows = vec![heads(&names, palette)];
    for hit in &blast.hits {
        let through = hit
            .through
            .map(|name| format!("through {}:{}", name.store, name.name));
        let running = if hit.running { "running" } else { "" };
        let more = [Some(running.to_owned()), through].into_iter().flatten();
        let more: Vec<String> = more.filter(|word| !word.is_empty()).collect();
        rows.push(vec![
            hit.service.into(),
            hit.host.into(),
            hit.delivery.into(),
            hit.program.into(),
            last(hit.last).into(),
            more.join(", ").into(),
        ]);
    }
    if blast.hits.is_empty() {
        text.push_str("  no service has it\n");
    } else {
        text += &table(&rows, 2, palette);
    }
    text.push('\n');
    text
}

/// `hushpipe unused`
pub fn unused(arguments: &UnusedArgs, globals: Globals) -> Outcome {
    let graph = read(&arguments.inputs, "unused", globals)?;
    let days = Duration::from_secs(u64::from(arguments.days) * 86_400);
    let found = graph.unused(days);
    let text = if arguments.json {
        json(&found)?
    } else {
        listed(&found)
    };
    output::print(&text)?;
    let fails = arguments.fail && !found.is_empty();
    Ok(if fails { Exit::No } else { Exit::Ok })
}

fn listed(found: &[Unused<'_>]) -> String {
    let palette = Palette::of(Stream::Stdout);
    let names = [
        "SECRET",
        "ENVIRONMENT",
        "STORE",
        "OWNER",
        "LAST RELEASE",
        "SERVICES",
    ];
    let mut rows = vec![heads(&names, palette)];
    for one in found {
        let services: Vec<&str> = one.services.iter().copied().collect();
        rows.push(vec![
            one.secret.name.into(),
            one.secret.environment.into(),
            one.secret.store.into(),
            one.owner.into(),
            last(one.last).into(),
            services.join(", ").into(),
        ]);
    }
    table(&rows, 0, palette)
}
