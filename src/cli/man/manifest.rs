//! hushpipe.yaml(5) and hushpipe-site.yaml(5), from the tables that also decode these files.

use roff::{Roff, bold, italic, roman};

use super::page::Page;
use super::text::{NO_DATE, ascii, see_also, unjustified, verbatim};
use crate::manifest::reference::{Key, Record, reference, site_reference};
use crate::model::template::filter_names;

const RULES: [&str; 7] = [
    "The manifest of hushpipe(1) is one YAML document of at most 1 MiB. Unknown keys, duplicate keys, \
     tags and merge keys are errors; all errors are told at once, with their places.",
    "${NAME} and ${NAME:-default} in a value stand for variables of hushpipe's own environment, but not \
     in content, where $${ is written for ${. A manifest never holds a secret.",
    "Durations are numbers with a unit: 500ms, 30s, 5m, 24h, 7d. Modes are octal numbers in quotes. \
     Relative paths of this host start at the manifest's directory, and ~/ is the home directory.",
    "A relative path of a delivery is below a directory that hushpipe chooses: files in $RUNTIME_DIRECTORY, \
     or in hushpipe-SERVICE below /run, $XDG_RUNTIME_DIR, /run/user/UID or /dev/shm, the first in memory \
     that it may make. {{ files }} in run.command, run.env.set and the commands of on_rotate is this \
     directory. So one manifest works for root and for users, on a host, in a container and in a unit.",
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
  - file: pgpass
    content: "db:5432:*:app:{{ db | pgpass }}\n"
  - fd: 3
    as: memfd
    secret: api

run:
  command: [payments, --pgpass, "{{ files }}/pgpass"]
  stop: { signal: TERM, timeout: 30s }

on_rotate:
  do: signal
  signal: HUP"#;

const SITE_RULES: [&str; 6] = [
    "The site is the host's own file, /etc/hushpipe/site.yaml: what it requires holds for every launch on \
     the host, for every secret that a command shows or changes, and for every command to a running \
     launcher. A manifest can require more, never less. A host without the file has no policy, no \
     approvals and no audit log.",
    "It is one YAML document of at most 1 MiB. Unknown keys, duplicate keys, tags and merge keys are \
     errors; all errors are reported at once, with their places. There are no variables in it: the \
     environment of whoever runs hushpipe decides nothing. Paths are absolute.",
    "The file must belong to root, and only root may be able to change it or a directory above it; \
     otherwise nothing starts, and hushpipe exits with code 78. Every user that runs hushpipe must be \
     able to read it. It holds no secret.",
    "HUSHPIPE_SITE=FILE names another file: for root, and for other users on a host without a site, such \
     as a test; that file may belong to root or to the user. On a host with a site, the variable of an \
     ordinary user is ignored with a warning. The image of a container can contain a site.",
    "A user who can run another program with the credentials that hushpipe uses is bound by the policy of \
     the store, and not by this one: it binds where hushpipe has credentials that the program and its \
     caller do not have, as in system services, entrypoints of containers and with run.user.",
    "hushpipe check shows what the site adds to a manifest, hushpipe doctor whether this host has one, and \
     hushpipe schema --site prints its JSON Schema.",
];

const SITE_EXAMPLE: &str = "version: 1
environment: production
labels: { region: eu-1 }
policy:
  directory: /etc/hushpipe/policy.d
  mode: enforce
manifests:
  signers: /etc/hushpipe/manifest-signers
approvals:
  signers: /etc/hushpipe/approvers
  directory: /var/lib/hushpipe/approvals
  wait: 10m
audit:
  required: true
  directory: /var/log/hushpipe
  key_file: /var/lib/hushpipe/audit.key
  fingerprint_key_file: /etc/hushpipe/fingerprint.key";

/// hushpipe.yaml(5).
pub fn page() -> Page {
    let filters = format!(
        "The filters: {}. See hushpipe-templates(7).",
        filter_names().collect::<Vec<_>>().join(", ")
    );
    let rules: Vec<&str> = RULES.into_iter().chain([&*filters]).collect();
    let see = [
        ("hushpipe", 1),
        ("hushpipe-run", 1),
        ("hushpipe-check", 1),
        ("hushpipe-site.yaml", 5),
        ("hushpipe-templates", 7),
    ];
    let about = "which secrets, delivered how, to which program";
    of("hushpipe.yaml", about, &rules, &reference(), EXAMPLE, &see)
}

/// hushpipe-site.yaml(5).
pub fn site_page() -> Page {
    let see = [
        ("hushpipe", 1),
        ("hushpipe-check", 1),
        ("hushpipe-doctor", 1),
        ("hushpipe-schema", 1),
        ("hushpipe.yaml", 5),
    ];
    let about = "what a host requires of every launch";
    let records = site_reference();
    of(
        "hushpipe-site.yaml",
        about,
        &SITE_RULES,
        &records,
        SITE_EXAMPLE,
        &see,
    )
}

fn of(
    name: &str,
    about: &str,
    rules: &[&str],
    records: &[Record],
    example: &str,
    see: &[(&str, u8)],
) -> Page {
    let mut roff = Roff::new();
    let source = concat!("hushpipe ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", [name, "5", NO_DATE, source, "hushpipe"]);
    unjustified(&mut roff);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {about}"))]);
    roff.control("SH", ["DESCRIPTION"]);
    for rule in rules {
        roff.control("PP", []);
        roff.text([roman(*rule)]);
    }
    roff.control("SH", ["KEYS"]);
    for record in records {
        describe(&mut roff, record);
    }
    roff.control("SH", ["EXAMPLE"]);
    verbatim(&mut roff, example.lines());
    see_also(&mut roff, see);
    Page {
        name: name.to_owned(),
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
    use crate::manifest::{Overrides, parse, parse_site};

    #[test]
    fn the_example_has_no_faults() {
        let home = |name: &str| (name == "HOME").then(|| "/home/a".to_owned());
        let name = Path::new("/srv/hushpipe.yaml");
        let plan = parse(name, EXAMPLE, &Overrides::default(), &home);
        plan.map_err(|error| error.render(false)).unwrap();
    }

    #[test]
    fn the_example_of_a_site_has_no_faults() {
        let name = Path::new("/etc/hushpipe/site.yaml");
        let site = parse_site(name, SITE_EXAMPLE.into());
        let site = site.map_err(|error| error.render(false)).unwrap();
        assert!(site.policy.is_some() && site.audit.is_some());
    }
}
