//! Findings for people.

use std::fmt::Write as _;

use super::super::Palette;
use super::super::table::{Cell, heads, table};
use crate::model::printable::printable;
use crate::scan::{Finding, Severity, Tally};

/// A table, the worst of each place where it is.
pub fn findings(findings: &[Finding], palette: Palette) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let mut rows = vec![heads(&["PLACE", "SEVERITY", "RULE", "WHAT"], palette)];
    for finding in findings {
        let paint = match finding.severity {
            Severity::High => palette.error(),
            Severity::Medium => palette.warning(),
            Severity::Low => palette.dim(),
        };
        rows.push(vec![
            place(finding).into(),
            Cell::painted(finding.severity.word(), paint),
            printable(&finding.rule).into(),
            what(finding).into(),
        ]);
    }
    table(&rows, 0, palette)
}

fn place(finding: &Finding) -> String {
    let mut text = printable(&finding.place.path);
    if finding.line > 0 {
        write!(text, ":{}:{}", finding.line, finding.column)
            .expect("writing to a String does not fail");
    }
    if let Some(within) = &finding.place.within {
        write!(text, " ({} {})", within.kind, printable(&within.name))
            .expect("writing to a String does not fail");
    }
    text
}

fn what(finding: &Finding) -> String {
    let mut text = printable(&finding.title);
    let excerpt = printable(&finding.excerpt());
    if !excerpt.is_empty() {
        text.push_str(": ");
        text.push_str(&excerpt);
    }
    if !finding.known.is_empty() {
        write!(text, " = {}", printable(&finding.known.join(", ")))
            .expect("writing to a String does not fail");
    }
    if let Some(value) = &finding.value {
        text.push_str("  ");
        text.push_str(&printable(&String::from_utf8_lossy(value.expose())));
    }
    text
}

/// One line on all of it.
pub fn summary(findings: &[Finding], tally: &Tally, known: usize) -> String {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    };
    let mut text = format!(
        "{} in {} ({})",
        count(findings.len(), "finding"),
        count(tally.files as usize, "file"),
        size(tally.bytes)
    );
    if known > 0 {
        write!(text, ", {known} more in the baseline").expect("writing to a String does not fail");
    }
    if tally.ignored > 0 {
        write!(
            text,
            "; {} ignored by git skipped (--no-ignore)",
            count(tally.ignored as usize, "path")
        )
        .expect("writing to a String does not fail");
    }
    if tally.unread > tally.skipped.len() as u64 {
        write!(text, "; {} could not be read", tally.unread)
            .expect("writing to a String does not fail");
    }
    text
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
