//! `hushpipe doctor`: what this host supports, and what follows from it.

mod findings;
mod host;

use clap::Args;

use super::output::print;
use super::table::{Cell, table};
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
        page(&host, &findings, &verdict, Palette::of(Stream::Stdout))
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

fn page(host: &Host, findings: &[Finding], verdict: &Verdict, palette: Palette) -> String {
    let mut rows = Vec::new();
    for finding in findings {
        let colour = match finding.level {
            Level::Ok => palette.good(),
            Level::Weaker => palette.warning(),
            Level::Missing => palette.error(),
        };
        let level = Cell::painted(finding.level.name(), colour);
        rows.push(vec![
            finding.name.into(),
            level,
            finding.found.as_str().into(),
        ]);
        if !finding.follows.is_empty() {
            let follows = Cell::painted(finding.follows, palette.dim());
            rows.push(vec!["".into(), "".into(), follows]);
        }
    }
    let (on, off) = (palette.heading(), palette.reset());
    let isolation = verdict.isolation.unwrap_or("nothing");
    let launches = if verdict.launches {
        "Programs can be launched here."
    } else {
        "No program can be launched here: see what is missing above."
    };
    format!(
        "{on}Linux {}{off}\n{}\n{on}isolation: auto{off} takes {isolation}: {}\n{launches}\n",
        host.kernel,
        table(&rows, 2, palette),
        verdict.reason
    )
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
        let page = page(&host, &findings, &verdict, Palette::of(Stream::Stdout));
        let listed = object["findings"].as_array().unwrap();
        assert_eq!(listed.len(), findings.len());
        for finding in listed {
            let name = finding["name"].as_str().unwrap();
            let state = finding["state"].as_str().unwrap();
            let found = finding["found"].as_str().unwrap();
            assert!(
                page.lines()
                    .any(|line| [name, state, found].iter().all(|part| line.contains(part))),
                "{name}: {state}: {found}"
            );
        }
        assert_eq!(object["launch"].as_bool().unwrap(), verdict.launches);
    }
}
