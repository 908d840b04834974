//! Findings for people.

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
        text.push_str(&format!(":{}:{}", finding.line, finding.column));
    }
    if let Some(within) = &finding.place.within {
        text.push_str(&format!(" ({} {})", within.kind, printable(&within.name)));
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
        text.push_str(&format!(" = {}", printable(&finding.known.join(", "))));
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
        text.push_str(&format!(", {known} more in the baseline"));
    }
    if tally.ignored > 0 {
        text.push_str(&format!(
            "; {} ignored by git skipped (--no-ignore)",
            count(tally.ignored as usize, "path")
        ));
    }
    if tally.unread > tally.skipped.len() as u64 {
        text.push_str(&format!("; {} could not be read", tally.unread));
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
