//! The site: the host's own file, which every command that launches, reveals or controls reads. A
//! manifest can require more than it, never less.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::alerts::AlertsSpec;
use super::endpoint::{ServerSpec, SyslogAddress};
use super::format_duration;
use super::incident::IncidentsSpec;
use super::words::words;
use super::written::{duration, path};
use super::{Address, Place, Sha256, Tls};

/// The site file, version 1, checked. It holds no secret bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Site {
    /// The file that it came from, for messages.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
    /// Of the file's bytes.
    pub sha256: Sha256,
    /// Such as `production`. It counts for policy in place of what a manifest says.
    pub environment: Option<String>,
    /// Where the file says so, for messages.
    #[serde(skip)]
    pub environment_at: Option<Place>,
    /// Free words about the host that policy reads.
    pub labels: BTreeMap<String, String>,
    /// Who may have what; `None`: everything is allowed.
    pub policy: Option<PolicySpec>,
    /// Whose signature a manifest needs; `None`: none.
    pub manifests: Option<ManifestSigners>,
    /// Whose approvals count, and where they lie.
    pub approvals: Option<ApprovalSpec>,
    /// Where releases are put on record.
    pub audit: Option<AuditSpec>,
    /// What `hushpipe monitor` keeps.
    pub monitor: MonitorSpec,
    /// What counts for the secrets of stores on this host; the first that fits.
    pub governed: Vec<Governed>,
    /// Where metrics go.
    pub metrics: Option<MetricsSpec>,
    /// Which records somebody is notified of.
    pub alerts: Option<AlertsSpec>,
    /// What is done about leaked secrets, and where that is kept.
    pub incidents: IncidentsSpec,
}

/// `governed:`, an item of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Governed {
    /// The directory of a store, or one above.
    #[serde(serialize_with = "path")]
    pub directory: PathBuf,
    /// Counts in place of what a manifest says.
    pub classification: Option<String>,
    /// The same.
    pub owner: Option<String>,
}

/// `policy:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicySpec {
    /// The directory with `*.cedar` and `entities.json`.
    #[serde(serialize_with = "path")]
    pub directory: PathBuf,
    /// Whether a denial is one.
    pub mode: PolicyMode,
}

words! {
    /// `policy.mode:`
    #[derive(Default)]
    PolicyMode {
        /// A denial is refused.
        #[default]
        Enforce = "enforce",
        /// Decisions are recorded, nothing is refused.
        Observe = "observe",
    }
}

/// `manifests:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestSigners {
    /// An allowed_signers file of OpenSSH's (ssh-keygen(1), ALLOWED SIGNERS).
    #[serde(serialize_with = "path")]
    pub signers: PathBuf,
    /// Whether a signed manifest may depend on the caller's variables.
    pub variables: CallerVariables,
}

words! {
    /// `manifests.variables:`
    #[derive(Default)]
    CallerVariables {
        /// The signature says nothing of their values.
        #[default]
        Allow = "allow",
        /// A manifest that depends on some is refused.
        Refuse = "refuse",
    }
}

/// `approvals:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApprovalSpec {
    /// An allowed_signers file of OpenSSH's.
    #[serde(serialize_with = "path")]
    pub signers: PathBuf,
    /// Where requests and their signatures lie.
    #[serde(serialize_with = "path")]
    pub directory: PathBuf,
    /// How long a launch waits for approvals (default 0s).
    #[serde(serialize_with = "duration")]
    pub wait: Duration,
}

/// `audit:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditSpec {
    /// What cannot be recorded is not delivered. Default true.
    pub required: bool,
    /// Where `records.jsonl`, `tile/` and `checkpoint` lie.
    #[serde(serialize_with = "path")]
    pub directory: PathBuf,
    /// The Ed25519 key of checkpoints; made at first use (0600).
    #[serde(serialize_with = "path")]
    pub key_file: PathBuf,
    /// The key of the values' fingerprints; `None`: no fingerprints.
    #[serde(serialize_with = "super::written::path_or_none")]
    pub fingerprint_key_file: Option<PathBuf>,
    /// How long records are kept; `None`: until somebody prunes.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "super::written::duration_or_none"
    )]
    pub retain: Option<Duration>,
    /// Who cosigns its checkpoints.
    pub witnesses: Vec<WitnessSpec>,
    /// Where the monitor sends its records.
    pub sinks: Vec<SinkSpec>,
    /// The launcher sends them itself, and keeps how far each sink is in this directory.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "super::written::path_or_none"
    )]
    pub direct: Option<PathBuf>,
}

words! {
    /// What is posted to a sink by HTTP.
    HttpFormat {
        /// A list of events of OCSF 1.8.
        Ocsf = "ocsf",
        /// A list of records.
        Json = "json",
        /// Splunk's HTTP Event Collector.
        Hec = "hec",
    }
}

/// One of `audit.sinks:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkSpec {
    /// The journal of this host.
    Journald {
        /// Of its native protocol.
        #[serde(serialize_with = "path")]
        socket: PathBuf,
    },
    /// RFC 5424.
    Syslog {
        /// Where.
        address: SyslogAddress,
        /// How the server is known, where it is `tls:`.
        #[serde(flatten)]
        tls: Tls,
    },
    /// Batches by HTTP.
    Http {
        /// Where.
        #[serde(flatten)]
        server: ServerSpec,
        /// What is posted.
        format: HttpFormat,
    },
    /// OTLP/HTTP in JSON.
    Otlp(ServerSpec),
}

impl SinkSpec {
    /// Its kind and address, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Journald { .. } => "journald".to_owned(),
            Self::Syslog { address, .. } => format!("syslog {address}"),
            Self::Http { server, .. } => format!("http {}", server.url),
            Self::Otlp(server) => format!("otlp {}", server.url),
        }
    }
}

/// One of `audit.witnesses:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WitnessSpec {
    /// The submission prefix (c2sp.org/tlog-witness).
    pub url: Address,
    /// Its verifier key (c2sp.org/signed-note), of cosignatures.
    pub key: String,
    /// How it is known, where the URL is one of https.
    #[serde(flatten)]
    pub tls: Tls,
}

/// `monitor:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MonitorSpec {
    /// Cosigned checkpoints, and how far each sink is.
    #[serde(serialize_with = "path")]
    pub directory: PathBuf,
}

/// `metrics:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricsSpec {
    /// Where they are scraped.
    pub listen: Option<SocketAddr>,
    /// node_exporter's directory of text files.
    #[serde(serialize_with = "super::written::path_or_none")]
    pub textfile: Option<PathBuf>,
    /// Where they are pushed to by OTLP.
    pub otlp: Option<PushSpec>,
}

/// `metrics.otlp:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PushSpec {
    /// The collector.
    #[serde(flatten)]
    pub server: ServerSpec,
    /// How often.
    #[serde(serialize_with = "duration")]
    pub every: Duration,
}

impl MonitorSpec {
    /// Where it is, if the site does not say.
    pub const DIRECTORY: &str = "/var/lib/hushpipe-monitor";
}

impl Default for MonitorSpec {
    fn default() -> Self {
        let directory = Self::DIRECTORY.into();
        Self { directory }
    }
}

impl Site {
    /// What it requires, for people: a word each, and how.
    pub fn demands(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        if let Some(policy) = &self.policy {
            let mode = match policy.mode {
                PolicyMode::Enforce => "enforced",
                PolicyMode::Observe => "observed: decisions are recorded, nothing is refused",
            };
            rows.push(("policy", format!("{}, {mode}", policy.directory.display())));
        }
        if let Some(manifests) = &self.manifests {
            let signers = manifests.signers.display();
            let variables = match manifests.variables {
                CallerVariables::Allow => "",
                CallerVariables::Refuse => ", without variables of the caller",
            };
            rows.push((
                "manifests",
                format!("signed by one of {signers}{variables}"),
            ));
        }
        if let Some(approvals) = &self.approvals {
            let wait = match approvals.wait {
                Duration::ZERO => "not waited for".to_owned(),
                wait => format!("waited for up to {}", format_duration(wait)),
            };
            let (signers, directory) = (approvals.signers.display(), approvals.directory.display());
            rows.push(("approvals", format!("by {signers}, in {directory}, {wait}")));
        }
        if let Some(audit) = &self.audit {
            let required = if audit.required {
                "required"
            } else {
                "not required"
            };
            rows.push((
                "audit",
                format!(
                    "{}, {required}{}",
                    audit.directory.display(),
                    counted(", with", audit.witnesses.len(), "witness", "witnesses")
                        + &counted(", sent to", audit.sinks.len(), "sink", "sinks")
                ),
            ));
        }
        if let Some(alerts) = &self.alerts {
            rows.push(("alerts", alerts.words()));
        }
        for governed in &self.governed {
            let mut words = vec![governed.directory.display().to_string()];
            let said = |name: &str, value: &Option<String>| {
                value.as_ref().map(|value| format!("{name} {value}"))
            };
            words.extend(said("classification", &governed.classification));
            words.extend(said("owner", &governed.owner));
            rows.push(("governed", words.join(", ")));
        }
        rows
    }
}

fn counted(before: &str, count: usize, one: &str, several: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!("{before} one {one}"),
        count => format!("{before} {count} {several}"),
    }
}
