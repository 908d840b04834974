//! The report for people: the same headings and tables as Markdown and as one page of HTML without a script.

use std::fmt::Write as _;

use super::controls::Status;
use super::graph::Finding;
use super::kpi::{Kpi, Report};
use super::moment::Moment;
use super::page::policy;

const STYLE: &str = include_str!("page/report.css");

/// Headings and tables.
#[derive(Debug)]
pub struct Document {
    title: String,
    lead: String,
    tables: Vec<Table>,
}

#[derive(Debug)]
struct Table {
    title: &'static str,
    about: &'static str,
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Text between marks of Markdown (spec.commonmark.org, "Backslash escapes").
fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '!' | '#' | '~' | '>' | '$' => {
                out.extend(['\\', c]);
            }
            c => out.push(c),
        }
    }
    out
}

/// Text between tags, and in attributes.
fn tagged(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn time(moment: Moment) -> String {
    if moment.is_known() {
        moment.to_string()
    } else {
        "–".to_owned()
    }
}

fn figure(kpi: &Kpi, number: Option<u64>) -> String {
    match (number, kpi.unit) {
        (None, _) => "–".to_owned(),
        (Some(number), "days") => format!("{number} d"),
        (Some(number), "seconds") => format!("{number} s"),
        (Some(number), _) => number.to_string(),
    }
}

fn named(owner: &str) -> String {
    if owner.is_empty() { "none" } else { owner }.to_owned()
}

fn findings(findings: &[Finding]) -> Vec<Vec<String>> {
    let row = |one: &Finding| {
        let place = match one.line {
            0 => one.path.clone(),
            line => format!("{}:{line}", one.path),
        };
        vec![
            one.severity.clone(),
            one.host.clone(),
            place,
            one.title.clone(),
        ]
    };
    findings.iter().map(row).collect()
}

impl Document {
    /// Of a report.
    pub fn of(report: &Report) -> Self {
        let since = if report.since.is_known() {
            report.since.to_string()
        } else {
            "the first record".to_owned()
        };
        let until = time(report.until);
        Self {
            title: "Secrets: report".to_owned(),
            lead: format!(
                "From {since} to {until}: {} records of {} hosts, {} lines that are no records.",
                report.records,
                report.hosts.len(),
                report.damaged
            ),
            tables: vec![
                controls(report),
                figures(report),
                owners(report),
                months(report),
                Table {
                    title: "Findings opened",
                    about: "Found in the open, and not at the beginning of the period.",
                    heads: vec!["Severity", "Host", "Where", "What"],
                    rows: findings(&report.opened),
                },
                Table {
                    title: "Findings closed",
                    about: "Gone since the beginning of the period.",
                    heads: vec!["Severity", "Host", "Where", "What"],
                    rows: findings(&report.closed),
                },
                coverage(report),
            ],
        }
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n", self.title, marked(&self.lead));
        for table in self.tables.iter().filter(|table| !table.rows.is_empty()) {
            write!(out, "\n## {}\n\n{}\n\n", table.title, table.about)
                .expect("Strings are written");
            let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
            out += &line(table.heads.iter().map(|head| (*head).to_owned()).collect());
            out += &line(vec!["---".to_owned(); table.heads.len()]);
            for row in &table.rows {
                out += &line(row.iter().map(|cell| marked(cell)).collect());
            }
        }
        out
    }

    /// As a page.
    pub fn html(&self) -> String {
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<h1>{}</h1>\n<p>{}</p>\n",
            policy(STYLE, None),
            tagged(&self.title),
            tagged(&self.title),
            tagged(&self.lead)
        );
        for table in self.tables.iter().filter(|table| !table.rows.is_empty()) {
            out.extend([
                "<h2>",
                table.title,
                "</h2>\n<p>",
                table.about,
                "</p>\n<table>\n<tr>",
            ]);
            for head in &table.heads {
                out.extend(["<th>", head, "</th>"]);
            }
            out += "</tr>\n";
            for row in &table.rows {
                out += "<tr>";
                for cell in row {
                    let class = match cell.as_str() {
                        "met" => " class=\"met\"",
                        "not met" => " class=\"not\"",
                        "not observed" => " class=\"none\"",
                        _ => "",
                    };
                    out.extend(["<td", class, ">", &tagged(cell), "</td>"]);
                }
                out += "</tr>\n";
            }
            out += "</table>\n";
        }
        out + "</body>\n</html>\n"
    }
}

fn controls(report: &Report) -> Table {
    let rows = report.controls.iter().map(|control| {
        let records = control.records.iter();
        let records = records.map(|one| format!("{} {}/{}", one.kind, one.host, one.seq));
        let records: Vec<String> = records.collect();
        vec![
            control.framework.to_owned(),
            control.id.to_owned(),
            control.title.to_owned(),
            Status::word(control.status).to_owned(),
            control.why.clone(),
            records.join(", "),
        ]
    });
    Table {
        title: "Controls",
        about: "What the records show. A record is HOST/NUMBER: on its host, `hushpipe audit prove NUMBER` proves \
                that it is in the log.",
        heads: vec!["List", "Control", "", "Status", "Why", "Records"],
        rows: rows.collect(),
    }
}

fn figures(report: &Report) -> Table {
    let rows = report.kpis.iter().map(|kpi| {
        vec![
            kpi.title.to_owned(),
            figure(kpi, kpi.before),
            figure(kpi, kpi.now),
        ]
    });
    Table {
        title: "Figures",
        about: "At the beginning and at the end of the period; what happens is counted within it. – is not observed.",
        heads: vec!["Figure", "Before", "Now"],
        rows: rows.collect(),
    }
}

fn owners(report: &Report) -> Table {
    let rows = report.owners.iter().map(|one| {
        let ages = one.ages.iter();
        let counts = [one.overdue, one.unused, one.found];
        let numbers = std::iter::once(&one.secrets).chain(ages).chain(&counts);
        let numbers = numbers.map(ToString::to_string);
        std::iter::once(named(&one.owner)).chain(numbers).collect()
    });
    Table {
        title: "Secrets by owner and age",
        about: "The age of the current version, in days.",
        heads: vec![
            "Owner",
            "Secrets",
            "under 30",
            "under 90",
            "under 365",
            "older",
            "not known",
            "Overdue",
            "Unused",
            "Found",
        ],
        rows: rows.collect(),
    }
}

fn months(report: &Report) -> Table {
    const KINDS: [&str; 8] = [
        "release",
        "denied",
        "approval_spent",
        "break_glass",
        "revealed",
        "rotated",
        "rolled_back",
        "revoked",
    ];
    let rows = report.months.iter().map(|(month, kinds)| {
        let counts = KINDS
            .iter()
            .map(|kind| kinds.get(*kind).copied().unwrap_or_default().to_string());
        std::iter::once(month.clone()).chain(counts).collect()
    });
    Table {
        title: "By month",
        about: "How many records of each kind.",
        heads: vec![
            "Month",
            "Releases",
            "Denials",
            "Approvals",
            "Break-glass",
            "Shown",
            "Rotations",
            "Rollbacks",
            "Revoked",
        ],
        rows: rows.collect(),
    }
}

fn coverage(report: &Report) -> Table {
    let rows = report.hosts.iter().map(|host| {
        vec![
            host.host.clone(),
            if host.site { "yes" } else { "no" }.to_owned(),
            host.records.to_string(),
            time(host.first),
            time(host.last),
        ]
    });
    Table {
        title: "Coverage",
        about: "The hosts, and how far their records reach.",
        heads: vec!["Host", "Site read", "Records", "First", "Last"],
        rows: rows.collect(),
    }
}
