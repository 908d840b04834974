//! hushpipe.yaml(5), from the manifest's own tables.

use roff::{Roff, bold, italic, roman};

use super::page::Page;
use super::text::{NO_DATE, ascii, see_also, unjustified, verbatim};
use crate::manifest::reference::{Key, Record, reference};
use crate::model::template::filter_names;

const RULES: [&str; 6] = [
    "The manifest of hushpipe(1) is one YAML document of at most 1 MiB. Unknown keys, duplicate keys, \
     tags and merge keys are errors; all errors are told at once, with their places.",
    "${NAME} and ${NAME:-default} in a value stand for variables of hushpipe's own environment, but not \
     in content, where $${ is written for ${. A manifest never holds a secret.",
    "Durations are numbers with a unit: 500ms, 30s, 5m, 24h, 7d. Modes are octal numbers in quotes. \
     Relative paths of this host start at the manifest's directory, and ~/ is the home directory; \
     paths that the program sees are absolute.",
    "A secret is named by the key that it has in secrets, one field of it by NAME.FIELD.",
    "content is a template: {{ NAME }} and {{ NAME.FIELD }} stand for values, {% if %} and {% for %} \
     are known, and filters write a value so that its reader gets it back as it is. There is no way to \
     let a missing value pass.",
    "Below, NAME stands for a name of your choice. What a key is when it is left out is told as its \
     default.",
];

const EXAMPLE: &str = r#"version: 1
service: payments-api

stores:
  local:
    type: sealed
    path: ./secrets
    identity_file: ~/.config/hushpipe/identity.txt

secrets:
  db: { store: local, key: db/password, check: { min_length: 12 } }
  api: { store: local, key: stripe/token }

deliver:
  - file: /run/payments/pgpass
    content: "db:5432:*:app:{{ db | pgpass }}\n"
  - fd: 3
    as: memfd
    secret: api

run:
  command: [payments, --pgpass, /run/payments/pgpass]
  stop: { signal: TERM, timeout: 30s }

on_rotate:
  do: signal
  signal: HUP"#;

/// The page.
pub fn page() -> Page {
    let mut roff = Roff::new();
    let source = concat!("hushpipe ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["hushpipe.yaml", "5", NO_DATE, source, "hushpipe"]);
    unjustified(&mut roff);
    roff.control("SH", ["NAME"]);
    roff.text([roman(
        "hushpipe.yaml - which secrets, delivered how, to which program",
    )]);
    roff.control("SH", ["DESCRIPTION"]);
    for rule in RULES {
        roff.control("PP", []);
        roff.text([roman(rule)]);
    }
    roff.control("PP", []);
    roff.text([roman(format!(
        "The filters: {}. See hushpipe-templates(7).",
        filter_names().collect::<Vec<_>>().join(", ")
    ))]);
    roff.control("SH", ["KEYS"]);
    for record in reference() {
        describe(&mut roff, &record);
    }
    roff.control("SH", ["EXAMPLE"]);
    verbatim(&mut roff, EXAMPLE.lines());
    see_also(
        &mut roff,
        &[
            ("hushpipe", 1),
            ("hushpipe-run", 1),
            ("hushpipe-check", 1),
            ("hushpipe-templates", 7),
        ],
    );
    Page {
        name: "hushpipe.yaml".to_owned(),
        section: 5,
        roff: ascii(&roff.to_roff()),
    }
}

fn describe(roff: &mut Roff, record: &Record) {
    let heading = if record.place.is_empty() {
        "At the top"
    } else {
        &record.place
    };
    roff.control("SS", [heading]);
    roff.text([roman(record.about.as_str())]);
    for key in &record.keys {
        entry(roff, key);
    }
}

fn entry(roff: &mut Roff, key: &Key) {
    roff.control("TP", []);
    let required = if key.required { " (required)" } else { "" };
    roff.text([
        bold(key.name.as_str()),
        roman(": "),
        italic(key.kind.as_str()),
        roman(required),
    ]);
    let mut about = key.about.clone();
    if let Some(default) = &key.default {
        about = format!("{about} Default: {default}.");
    }
    roff.text([roman(about)]);
    if let Some(example) = &key.example {
        roff.control("nf", []);
        roff.text([roman("Example: "), bold(format!("{}: {example}", key.name))]);
        roff.control("fi", []);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::manifest::{Overrides, parse};

    #[test]
    fn the_example_has_no_faults() {
        let home = |name: &str| (name == "HOME").then(|| "/home/a".to_owned());
        let name = Path::new("/srv/hushpipe.yaml");
        let plan = parse(name, EXAMPLE, &Overrides::default(), &home);
        plan.map_err(|error| error.render(false)).unwrap();
    }
}
