//! hushpipe-incident(7): alerts, playbooks and quarantine.

use roff::{Roff, roman};

use super::page::Page;
use super::text::{NO_DATE, ascii, item, paragraphs, see_also, unjustified, verbatim};

const WHAT: [&str; 3] = [
    "An incident is a secret that somebody else may have. hushpipe incident open finds who has it on this host, \
     replaces it there, and has every launcher of the host refuse the old value until hushpipe incident close. Each \
     step is on record with its time, so that the time to detect and the time to contain are figures.",
    "Who has it is known from the audit log (hushpipe-audit(7)): the services that were given a secret of that \
     name, those that were given the same value by any name (with audit.fingerprint_key_file), and those that were \
     given the same of the same store. --service NAME narrows the first of these down. With --value the leaked \
     value comes from standard input. --dry-run shows all of them and does nothing.",
    "It is root's command, as it asks the launchers of every user. Commands of policy apply: a policy that denies \
     rotate or revoke to a person denies it here, and the step fails.",
];

const STEPS: [(&str, &str); 5] = [
    (
        "revoke",
        "The secret's lease is revoked at its store, and the program gets a new one. A secret without a lease is \
         left to the next step.",
    ),
    (
        "rotate",
        "The launcher asks its stores, and delivers what is new. A secret that a store does not make on demand needs \
         a new version there first: hushpipe incident open can run again after that.",
    ),
    (
        "verify",
        "The program is healthy, and has another version than before.",
    ),
    (
        "stop",
        "The program is stopped as by SIGTERM to its launcher. What restarts it is refused the secret.",
    ),
    (
        "otherwise: keep | stop",
        "What is done if the launcher still has an old version after the steps. With keep the program keeps running, \
         and the incident is not contained: exit code 1.",
    ),
];

const QUARANTINE: [&str; 3] = [
    "From the first moment of an incident on, versions and values that were delivered before it are refused: at \
     launches, restarts and rotations, by hushpipe rollback too. With fingerprints that is so under any name and \
     from any store. Once the playbook has run, every delivery of the secret is refused (exit code 77), unless the \
     playbook says quarantine: value. Programs that run keep what they have.",
    "Incidents are files in incidents.directory, /var/lib/hushpipe-incidents by default. They hold no value. A \
     launcher that cannot read the directory delivers nothing; where there is none, nothing is refused. Launchers \
     in containers see those of their own filesystem: mount the directory there, read-only.",
    "What cannot be recorded keeps nothing from being contained; the exit code is 75 then.",
];

const EXAMPLE: &str = "\
# /etc/hushpipe/site.yaml
version: 1
audit:
  fingerprint_key_file: /etc/hushpipe/fingerprint.key
alerts:
  rules:
    - { on: new_reader }
    - { on: rate, more_than: 100, within: 1m }
    - { on: outside, hours: 7-20, weekdays: [mon, tue, wed, thu, fri] }
    - { on: denied }
    - { on: break_glass }
    - { on: tampered }
  notify:
    - alertmanager: { url: \"http://127.0.0.1:9093\" }
    - webhook: { url: \"https://chat.internal/hooks/1\", key_file: /etc/hushpipe/webhook.key }
incidents:
  playbooks:
    - { classification: restricted, steps: [revoke, rotate, verify], otherwise: stop }
    - { steps: [rotate, verify], quarantine: value }

# somebody found it: who has it, and what replaces it
$ hushpipe incident open --value --reason \"in a public repository\" < leaked

# what was done, and how long it took
$ hushpipe incident status
$ hushpipe audit show --kind incident_step

$ hushpipe incident close --reason \"replaced everywhere\"";

/// The page.
pub(super) fn page() -> Page {
    let mut roff = Roff::new();
    let source = concat!("hushpipe ", env!("CARGO_PKG_VERSION"));
    roff.control(
        "TH",
        ["hushpipe-incident", "7", NO_DATE, source, "hushpipe"],
    );
    unjustified(&mut roff);
    roff.control("SH", ["NAME"]);
    roff.text([roman("hushpipe-incident - contain a secret that leaked")]);
    roff.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut roff, &WHAT);
    roff.control("SH", ["PLAYBOOKS"]);
    paragraphs(
        &mut roff,
        &[
            "incidents.playbooks of the site says what is done with each launcher that has the secret. The first that \
           fits the secret by services, secrets and classification counts; without one, it is revoke, rotate, \
           verify.",
        ],
    );
    for (name, about) in STEPS {
        item(&mut roff, name, about);
    }
    roff.control("SH", ["QUARANTINE"]);
    paragraphs(&mut roff, &QUARANTINE);
    roff.control("SH", ["EXAMPLES"]);
    verbatim(&mut roff, EXAMPLE.lines());
    let pages = [
        ("hushpipe-incident", 1),
        ("hushpipe-monitor", 8),
        ("hushpipe-audit", 7),
        ("hushpipe-site.yaml", 5),
    ];
    see_also(&mut roff, &pages);
    Page {
        name: "hushpipe-incident".to_owned(),
        section: 7,
        roff: ascii(&roff.to_roff()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse_site;

    #[test]
    fn the_example_of_a_site_has_no_faults() {
        let text = EXAMPLE.split("\n\n").next().unwrap();
        let site = parse_site(std::path::Path::new("site.yaml"), text.into());
        let site = site.map_err(|error| error.text()).unwrap();
        assert_eq!(site.alerts.unwrap().rules.len(), 6);
        assert_eq!(site.incidents.playbooks.len(), 2);
    }
}
