//! Incidents: a secret that somebody else may have, what is refused meanwhile, and what was done about it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::words::words;
use super::written::path;

words! {
    /// One of `steps:` of a playbook.
    #[derive(Default)]
    PlaybookStep {
        /// Revoke the lease of the secret, where it has one.
        #[default]
        Revoke = "revoke",
        /// Have the launcher ask its stores, and deliver what is new.
        Rotate = "rotate",
        /// Look whether the program is well with another version.
        Verify = "verify",
        /// Stop the program.
        Stop = "stop",
    }
}

words! {
    /// `otherwise:` of a playbook: where the steps did not replace the version.
    #[derive(Default)]
    Otherwise {
        /// The program keeps running, and the incident is not contained.
        #[default]
        Keep = "keep",
        /// The program is stopped.
        Stop = "stop",
    }
}

words! {
    /// `quarantine:` of a playbook: what is refused until the incident is closed.
    #[derive(Default)]
    Quarantined {
        /// Any delivery of the secret, once the playbook has run.
        #[default]
        Secret = "secret",
        /// The versions and values that were delivered before the incident.
        Value = "value",
    }
}

/// `incidents:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IncidentsSpec {
    /// Where incidents are.
    #[serde(serialize_with = "path")]
    pub directory: PathBuf,
    /// What is done; the first that fits.
    pub playbooks: Vec<Playbook>,
}

impl IncidentsSpec {
    /// Where they are, if the site does not say.
    pub const DIRECTORY: &str = "/var/lib/hushpipe-incidents";
}

impl Default for IncidentsSpec {
    fn default() -> Self {
        Self {
            directory: Self::DIRECTORY.into(),
            playbooks: Vec::new(),
        }
    }
}

/// One of `incidents.playbooks:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Playbook {
    /// Only for these services; empty: for all.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<String>,
    /// Only for these secrets; empty: for all.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<String>,
    /// Only for secrets of this classification.
    pub classification: Option<String>,
    /// What is done with each launcher, in this order.
    pub steps: Vec<PlaybookStep>,
    /// And then, if it still has what it had.
    pub otherwise: Otherwise,
    /// What is refused until the incident is closed.
    pub quarantine: Quarantined,
}

impl Default for Playbook {
    fn default() -> Self {
        Self {
            services: BTreeSet::new(),
            secrets: BTreeSet::new(),
            classification: None,
            steps: vec![
                PlaybookStep::Revoke,
                PlaybookStep::Rotate,
                PlaybookStep::Verify,
            ],
            otherwise: Otherwise::default(),
            quarantine: Quarantined::default(),
        }
    }
}

impl Playbook {
    /// Whether it is for a secret of a service.
    pub fn fits(&self, suspect: &Suspect) -> bool {
        let has = |set: &BTreeSet<String>, name: &str| set.is_empty() || set.contains(name);
        let class = self.classification.as_ref();
        has(&self.services, &suspect.service)
            && has(&self.secrets, &suspect.secret)
            && class.is_none_or(|class| *class == suspect.classification)
    }
}

words! {
    /// How far an incident is.
    IncidentState {
        /// The playbook runs.
        Containing = "containing",
        /// It has run, and a program may still have what it had.
        Open = "open",
        /// No program has what it had.
        Contained = "contained",
        /// Nothing is refused any more.
        Closed = "closed",
    }
}

words! {
    /// Why a secret is part of an incident.
    Why {
        /// It was named.
        Named = "named",
        /// It had the same value.
        Value = "same value",
        /// It is the same of the same store.
        Store = "same in the store",
    }
}

/// A secret of a service that is part of an incident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspect {
    /// The service.
    pub service: String,
    /// Its name for the secret.
    pub secret: String,
    /// The store's name.
    pub store: String,
    /// What the store is asked for.
    pub asked: String,
    /// Its classification.
    pub classification: String,
    /// Why it is one.
    pub why: Why,
}

/// A version that was delivered before the incident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compromised {
    /// The store's name.
    pub store: String,
    /// What the store is asked for.
    pub asked: String,
    /// What the store calls it.
    pub version: String,
}

/// What was done with one launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// RFC 3339, UTC.
    pub at: String,
    /// The service.
    pub service: String,
    /// Its name for the secret.
    pub secret: String,
    /// The launcher's process id.
    pub pid: Option<u32>,
    /// Which.
    pub step: PlaybookStep,
    /// Whether it worked; `None`: it was not needed.
    pub worked: Option<bool>,
    /// In words.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// By which alert of the monitor it was detected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detected {
    /// The alert's rule.
    pub rule: String,
    /// The time of its first record, RFC 3339.
    pub began: String,
    /// When the monitor saw it.
    pub at: String,
    /// Between those two, in milliseconds.
    pub after_ms: u64,
}

/// The end of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// RFC 3339.
    pub at: String,
    /// Who.
    pub uid: u32,
    /// Why.
    pub reason: String,
}

/// An incident, as it is on the disk. It holds no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// Of the format: 1.
    pub version: u8,
    /// `20261128T150102Z-1a2b`
    pub id: String,
    /// The secret that was named; empty: a value was given.
    pub secret: String,
    /// Why it was opened.
    pub reason: String,
    /// When, RFC 3339.
    pub opened: String,
    /// By whom.
    pub uid: u32,
    /// How it was detected, where the monitor did.
    pub detected: Option<Detected>,
    /// How far it is.
    pub state: IncidentState,
    /// What is refused once the playbook has run.
    pub quarantine: Quarantined,
    /// Who has the secret.
    pub suspects: Vec<Suspect>,
    /// What they had.
    pub versions: BTreeSet<Compromised>,
    /// The same, by the site's key.
    pub fingerprints: BTreeSet<String>,
    /// What was done.
    pub steps: Vec<Step>,
    /// From its opening until no program had what it had, in milliseconds.
    pub contained_ms: Option<u64>,
    /// The end of it.
    pub closed: Option<Closing>,
}

/// What a record says of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentNote {
    /// Its id.
    pub id: String,
    /// Which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<PlaybookStep>,
    /// Of which service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Of which launcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How long the step took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// From the first record of an alert until the monitor saw it, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detected_ms: Option<u64>,
    /// From the opening until no program had the old value, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contained_ms: Option<u64>,
}

/// Whether a name can be that of an incident.
pub fn is_incident_id(text: &str) -> bool {
    text.len() == 21
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            16 => byte == b'-',
            17.. => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_files_alone() {
        assert!(is_incident_id("20261128T150102Z-1a2b"));
        for text in [
            "",
            "..",
            "20261128T150102Z-1a2",
            "20261128T150102Z-1A2b",
            "2026112/T150102Z-1a2b",
        ] {
            assert!(!is_incident_id(text), "{text}");
        }
    }

    #[test]
    fn a_playbook_fits_by_service_secret_and_classification() {
        let suspect = Suspect {
            service: "shop".to_owned(),
            secret: "db".to_owned(),
            store: "vault".to_owned(),
            asked: "kv/db".to_owned(),
            classification: "restricted".to_owned(),
            why: Why::Named,
        };
        assert!(Playbook::default().fits(&suspect));
        let set = |name: &str| BTreeSet::from([name.to_owned()]);
        for (services, secrets, class, fits) in [
            (set("shop"), set("db"), Some("restricted"), true),
            (set("web"), BTreeSet::new(), None, false),
            (BTreeSet::new(), set("api"), None, false),
            (BTreeSet::new(), BTreeSet::new(), Some("public"), false),
        ] {
            let playbook = Playbook {
                services,
                secrets,
                classification: class.map(str::to_owned),
                ..Playbook::default()
            };
            assert_eq!(playbook.fits(&suspect), fits);
        }
    }
}
