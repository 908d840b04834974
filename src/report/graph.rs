//! The graph: rows that name each other by number, sorted, so that the same input gives the same bytes.

use serde::Serialize;

use super::figures::Figures;
use super::moment::Moment;

/// Owners, stores, secrets, services, deliveries, programs, hosts, and who of them has to do with whom.
#[derive(Debug, Default, Serialize)]
pub struct Graph {
    /// Of this form: 1.
    pub version: u32,
    /// The time of the newest record, or the one that was asked for: ages are counted from it.
    pub at: Moment,
    /// How many records were read.
    pub records: u64,
    /// How many were there twice, as where a host's log was given twice, and counted once.
    pub duplicates: u64,
    /// How many lines were no records.
    pub damaged: u64,
    /// How many scans.
    pub scans: u64,
    /// How many secrets have fingerprints: values of the others are not compared.
    pub fingerprinted: u64,
    /// By name.
    pub hosts: Vec<Host>,
    /// By environment and name.
    pub services: Vec<Service>,
    /// By name and type.
    pub stores: Vec<Store>,
    /// By environment, store and what is asked.
    pub secrets: Vec<Secret>,
    /// By path.
    pub programs: Vec<Program>,
    /// How secrets get in, `kind place`; several of one secret as one text.
    pub deliveries: Vec<String>,
    /// Who gets which secret where.
    pub uses: Vec<Use>,
    /// By id.
    pub policies: Vec<PolicyUse>,
    /// By time.
    pub approvals: Vec<Approval>,
    /// Who saw which secret.
    pub reveals: Vec<Reveal>,
    /// Of scans.
    pub findings: Vec<Finding>,
    /// Secrets with equal values.
    pub shared: Vec<Shared>,
    /// What happened.
    #[serde(skip)]
    pub figures: Figures,
}

/// A host.
#[derive(Debug, Default, Serialize)]
pub struct Host {
    /// uname(2).
    pub name: String,
    /// Its site's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// Whether its site was among the inputs.
    pub site: bool,
    /// Its log's first record that was read.
    pub first: Moment,
    /// And the last.
    pub last: Moment,
    /// How many.
    pub records: u64,
}

/// A service.
#[derive(Debug, Default, Serialize)]
pub struct Service {
    /// `service:`
    pub name: String,
    /// Of its manifest or the site.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// `owner:`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// Who signed its manifest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub signed_by: String,
    /// Whether its manifest was among the inputs.
    pub declared: bool,
}

/// A store.
#[derive(Debug, Default, Serialize)]
pub struct Store {
    /// Its name in manifests.
    pub name: String,
    /// `vault`, `sealed`, ...
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Where it is, as manifests say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
}

/// A secret. Of its values nothing is here, not even their fingerprints.
#[derive(Debug, Default, Serialize)]
pub struct Secret {
    /// What its store is asked; else its name in the manifest.
    pub name: String,
    /// Which store.
    pub store: u32,
    /// Who answers for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// Where it belongs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// `classification:`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub classification: String,
    /// The version that was released last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current: String,
    /// How many versions were released.
    pub versions: u32,
    /// When the current version was made, as its store says; else when it was first released.
    pub made: Moment,
    /// First release.
    pub first: Moment,
    /// Last release.
    pub last: Moment,
    /// How many releases.
    pub releases: u64,
    /// How many were denied.
    pub denials: u64,
    /// `max_age:` in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// Whether a manifest that was read declares it.
    pub declared: bool,
}

/// A program.
#[derive(Debug, Default, Serialize)]
pub struct Program {
    /// Its path.
    pub path: String,
    /// Of its bytes, as policy saw them; each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sha256: Vec<String>,
}

/// A service that gets a secret on a host.
#[derive(Debug, Default, Serialize)]
pub struct Use {
    /// Number of the secret.
    pub secret: u32,
    /// Of the service.
    pub service: u32,
    /// Of the host; `None`: a manifest of a host that is not known.
    pub host: Option<u32>,
    /// Of the program; `None`: the manifest names none.
    pub program: Option<u32>,
    /// Of its deliveries at the last release.
    pub delivery: u32,
    /// First release.
    pub first: Moment,
    /// Last release; null: a manifest declares it, and no record shows it.
    pub last: Moment,
    /// How many.
    pub releases: u64,
    /// Whether a launcher that got it was not seen to end.
    pub running: bool,
    /// Whether a manifest that was read declares it.
    pub declared: bool,
}

/// What a policy decided.
#[derive(Debug, Default, Serialize)]
pub struct PolicyUse {
    /// Its id.
    pub id: String,
    /// How often it allowed.
    pub allowed: u64,
    /// How often it denied, or wanted approvals.
    pub denied: u64,
    /// Numbers of the secrets that it ruled on.
    pub secrets: Vec<u32>,
    /// Numbers of the services.
    pub services: Vec<u32>,
}

/// An approval that was asked for, given or spent, or a break-glass.
#[derive(Debug, Default, Serialize)]
pub struct Approval {
    /// When.
    pub time: Moment,
    /// Number of the host.
    pub host: u32,
    /// The record's number.
    pub seq: u64,
    /// Of which service; empty: of a command.
    pub service: String,
    /// `approval_asked`, `approval_given`, `approval_spent`, `break_glass`
    pub kind: String,
    /// In words.
    pub text: String,
}

/// A person who asked to see a secret.
#[derive(Debug, Default, Serialize)]
pub struct Reveal {
    /// Number of the secret.
    pub secret: u32,
    /// The user's name.
    pub person: String,
    /// Number of the host.
    pub host: u32,
    /// How often.
    pub times: u64,
    /// The last time.
    pub last: Moment,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The host that was scanned, where that is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Where.
    pub path: String,
    /// The line; 0: the whole file.
    pub line: u64,
    /// The rule.
    pub rule: String,
    /// `high`, `medium`, `low`
    pub severity: String,
    /// In words.
    pub title: String,
    /// The name that the value is assigned to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Numbers of the secrets whose value it is, where the scan knew them.
    pub secrets: Vec<u32>,
    /// What a baseline knows it by.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fingerprint: String,
}

/// Secrets with equal values, by the keyed fingerprints of their releases.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Shared {
    /// Numbers of the secrets, two or more.
    pub secrets: Vec<u32>,
    /// Their environments, each once: more than one is a value that crosses them.
    pub environments: Vec<String>,
    /// Whether all that they have is equal; else a part of it, such as one field, or a former value.
    pub whole: bool,
}

impl Graph {
    /// A store's name.
    pub fn store_of(&self, secret: &Secret) -> &str {
        &self.stores[secret.store as usize].name
    }

    /// A host's name; empty: not known.
    pub fn host_of(&self, it: &Use) -> &str {
        it.host.map_or("", |at| &self.hosts[at as usize].name)
    }

    /// A program's path; empty: not known.
    pub fn program_of(&self, it: &Use) -> &str {
        it.program.map_or("", |at| &self.programs[at as usize].path)
    }
}
