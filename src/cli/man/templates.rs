//! hushpipe-templates(7), from the table of filters; and the same for `hushpipe help templates`.

use std::fmt::Write as _;

use roff::{Roff, bold, roman};

use super::page::Page;
use super::text::{NO_DATE, ascii, paragraphs, see_also, unjustified, verbatim};
use crate::model::template::{FILTERS, Filter};

const RULES: [&str; 7] = [
    "The content of a delivery is a template: {{ NAME }} writes a secret, {{ NAME.FIELD }} a field of it, \
     {{ NAME.FIELD.MEMBER }} a member of a field that is JSON. A name with other characters than letters, \
     digits and _ is written as in {{ NAME['tls-key'] }}; dots in names need no brackets. {% if %}, \
     {% for %}, {% set %} and comparisons work as in Jinja. Everything outside of tags is written as it is.",
    "Fields that a store has as JSON keep their types: {% if app.tls %} is false for false, numbers \
     compare as numbers and are written exactly as the store has them.",
    "A missing field is an error, and so is an empty value, unless the secret has `check: { min_length: 0 \
     }`. There is no default.",
    "A value amid other text needs a filter, so that nothing in it changes the text around it: {{ db | ini \
     }}. `hushpipe check` warns where one is missing; {{ db | raw }} says that it is meant.",
    "Line ends at the end of a value are kept: set `trim: true` on the secret to remove them. PEM blocks \
     that are inserted one after the other get a line end between them.",
    "Content is text, unless it is one insertion that ends with b64decode or raw: then it may be any bytes.",
    "A template has limits: 64 MiB of output, and a number of steps that grows with the values it uses.",
];

/// The page.
pub(super) fn page() -> Page {
    let mut roff = Roff::new();
    let source = concat!("hushpipe ", env!("CARGO_PKG_VERSION"));
    roff.control(
        "TH",
        ["hushpipe-templates", "7", NO_DATE, source, "hushpipe"],
    );
    unjustified(&mut roff);
    roff.control("SH", ["NAME"]);
    roff.text([roman(
        "hushpipe-templates - how values are written into files, and the filters for it",
    )]);
    roff.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut roff, &RULES);
    roff.control("SH", ["FILTERS"]);
    for filter in FILTERS {
        roff.control("TP", []);
        roff.text([bold(filter.name)]);
        roff.text([roman(filter.about)]);
        verbatim(&mut roff, example(filter).iter().map(String::as_str));
    }
    see_also(
        &mut roff,
        &[("hushpipe", 1), ("hushpipe-check", 1), ("hushpipe.yaml", 5)],
    );
    Page {
        name: "hushpipe-templates".to_owned(),
        section: 7,
        roff: ascii(&roff.to_roff()),
    }
}

/// The same in plain text, for a terminal.
pub fn help() -> String {
    let mut text = String::new();
    for rule in RULES {
        text.push_str(&wrapped(rule, 0));
        text.push('\n');
    }
    text.push_str("Filters:\n");
    for filter in FILTERS {
        writeln!(text, "\n  {}", filter.name).expect("a String takes all that is written");
        text.push_str(&wrapped(filter.about, 4));
        for line in example(filter) {
            writeln!(text, "      {line}").expect("a String takes all that is written");
        }
    }
    text
}

/// A template, the value if there is one of its own, and what becomes of them.
fn example(filter: &Filter) -> Vec<String> {
    let indented = |text: &str| {
        text.lines()
            .map(|line| format!("  {line}"))
            .collect::<Vec<_>>()
    };
    let mut lines: Vec<String> = filter.example.lines().map(str::to_owned).collect();
    lines.push(if filter.value.is_empty() {
        "becomes".to_owned()
    } else {
        format!("with v = {:?} becomes", filter.value)
    });
    lines.extend(indented(filter.result));
    lines
}

/// Lines of at most 80 columns.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut line = " ".repeat(indent);
    for word in text.split(' ') {
        if line.len() + word.len() > 79 && line.len() > indent {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".repeat(indent);
        }
        line.push_str(word);
        line.push(' ');
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_every_filter_with_its_example_in_80_columns() {
        let help = help();
        for filter in FILTERS {
            assert!(
                help.contains(&format!("\n  {}\n", filter.name)),
                "{}",
                filter.name
            );
            assert!(help.contains(filter.example.lines().next().unwrap()));
        }
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
