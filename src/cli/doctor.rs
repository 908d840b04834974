//! `hushpipe doctor`: what this host supports, and what follows from it.

mod findings;
mod host;

use std::fmt::Write as _;

use clap::Args;

use super::help::print;
use super::{Outcome, Palette, Stream};
use crate::model::Exit;
use findings::{Finding, Level, Verdict};
use host::Host;

/// Arguments of `doctor`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  hushpipe doctor                         what files, memory and namespaces are like here
  docker run --rm -v ./hushpipe:/hushpipe IMAGE /hushpipe doctor
                                          ... and in a container
  hushpipe doctor --json

Ends with 1 if no program could be started.")]
pub struct DoctorArgs {
    /// Write one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Looks at the host, prints what it found. The answer is no when no launch would work.
pub fn run(arguments: &DoctorArgs) -> Outcome {
    let host = Host::examine();
    let findings = findings::judge(&host);
    let verdict = findings::verdict(&host);
    let text = if arguments.json {
        json(&host, &findings, &verdict)
    } else {
        table(&host, &findings, &verdict, Palette::of(Stream::Stdout))
    };
    print(&text)?;
    Ok(if verdict.launches { Exit::Ok } else { Exit::No })
}

fn json(host: &Host, findings: &[Finding], verdict: &Verdict) -> String {
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            serde_json::json!({
                "name": finding.name,
                "state": finding.level.name(),
                "found": finding.found,
                "follows": finding.follows,
            })
        })
        .collect();
    let object = serde_json::json!({
        "kernel": host.kernel,
        "findings": findings,
        "isolation": { "auto": verdict.isolation, "reason": verdict.reason },
        "launch": verdict.launches,
    });
    format!("{object:#}\n")
}

fn table(host: &Host, findings: &[Finding], verdict: &Verdict, palette: Palette) -> String {
    let mut out = String::new();
    let (heading, dim, reset) = (palette.heading(), palette.dim(), palette.reset());
    let mut line = |text: std::fmt::Arguments<'_>| {
        writeln!(out, "{text}").expect("writing to a String does not fail");
    };
    line(format_args!("{heading}Linux {}{reset}", host.kernel));
    for finding in findings {
        let colour = match finding.level {
            Level::Ok => palette.good(),
            Level::Weaker => palette.warning(),
            Level::Missing => palette.error(),
        };
        let (name, level, found) = (finding.name, finding.level.name(), &finding.found);
        line(format_args!(
            "  {name:<20} {colour}{level:<7}{reset}  {found}"
        ));
        if !finding.follows.is_empty() {
            let follows = &finding.follows;
            line(format_args!("  {:<30}{dim}{follows}{reset}", ""));
        }
    }
    line(format_args!(""));
    let isolation = verdict.isolation.unwrap_or("nothing");
    let reason = &verdict.reason;
    line(format_args!(
        "{heading}isolation: auto{reset} takes {isolation}: {reason}"
    ));
    line(format_args!(
        "{}",
        if verdict.launches {
            "Programs can be launched here."
        } else {
            "No program can be launched here: see what is missing above."
        }
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_object_say_the_same() {
        let host = Host::examine();
        let findings = findings::judge(&host);
        let verdict = findings::verdict(&host);
        let object: serde_json::Value =
            serde_json::from_str(&json(&host, &findings, &verdict)).unwrap();
        let table = table(&host, &findings, &verdict, Palette::of(Stream::Stdout));
        let listed = object["findings"].as_array().unwrap();
        assert_eq!(listed.len(), findings.len());
        for finding in listed {
            let name = finding["name"].as_str().unwrap();
            let state = finding["state"].as_str().unwrap();
            let found = finding["found"].as_str().unwrap();
            assert!(
                table
                    .lines()
                    .any(|line| [name, state, found].iter().all(|part| line.contains(part))),
                "{name}: {state}: {found}"
            );
        }
        assert_eq!(object["launch"].as_bool().unwrap(), verdict.launches);
    }
}
