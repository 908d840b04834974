//! The site: /etc/hushpipe/site.yaml.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::alerts::AlertsRecord;
use super::incidents::IncidentsRecord;
use super::sinks::{MetricsRecord, Sink, WitnessRecord};
use super::site_path::SitePath;
use crate::manifest::collections::{Key, List, Table};
use crate::manifest::decode::{Decode, Decoder, record};
use crate::manifest::tree::Node;
use crate::manifest::values::{VersionOne, Word};
use crate::model::{CallerVariables, PolicyMode};

record! {
    /// The site: what this host requires of every launch. A manifest can require more, never less.
    SiteRecord("a mapping that starts with `version: 1`") {
        /// The version of the file's format: 1.
        required version "version": VersionOne;
        /// What this host is for, such as production. A manifest that names another environment is
        /// refused.
        optional environment "environment": Word;
        /// Free words about this host that policy reads, such as region: eu-1.
        optional labels "labels": Table<LabelName, LabelValue>;
        /// Who may have which secret. Without it, everything is allowed.
        optional policy "policy": PolicyRecord;
        /// Whose signature a manifest needs. Without it, none.
        optional manifests "manifests": ManifestsRecord;
        /// Whose approvals count, and where they are.
        optional approvals "approvals": ApprovalsRecord;
        /// Where deliveries are put on record.
        optional audit "audit": AuditRecord;
        /// Where `hushpipe monitor` keeps what it needs.
        optional monitor "monitor": MonitorRecord;
        /// Sealed and directory stores of this host, and what counts for their secrets whatever a manifest
        /// says of them, or no manifest. The first directory that fits counts.
        optional governed "governed": List<GovernedRecord>;
        /// Where `hushpipe monitor` shows its metrics.
        optional metrics "metrics": MetricsRecord;
        /// Which records somebody is notified of, and how.
        optional alerts "alerts": AlertsRecord;
        /// What `hushpipe incident open` does about a leaked secret.
        optional incidents "incidents": IncidentsRecord;
    } elsewhere {
        "service": OF_A_MANIFEST => "write it in the manifest",
        "stores": OF_A_MANIFEST => "write it in the manifest",
        "secrets": OF_A_MANIFEST => "write it in the manifest",
        "deliver": OF_A_MANIFEST => "write it in the manifest",
        "run": OF_A_MANIFEST => "write it in the manifest",
    }
}

/// Why a key of a manifest is refused in a site.
const OF_A_MANIFEST: &str = "it is a key of a manifest, and this is the host's site";

record! {
    /// Who may have which secret.
    PolicyRecord("a mapping such as { directory: /etc/hushpipe/policy.d }") {
        /// The directory with the policies (*.cedar) and entities.json.
        optional directory "directory": SitePath = "/etc/hushpipe/policy.d";
        /// enforce: what policy denies is refused. observe: decisions are recorded, and nothing that they deny is
        /// refused.
        optional mode "mode": PolicyMode = "enforce";
    } elsewhere {}
}

record! {
    /// Manifests without a valid signature are refused.
    ManifestsRecord("a mapping such as { signers: /etc/hushpipe/manifest-signers }") {
        /// Whose signatures are valid: an allowed_signers file of OpenSSH (ssh-keygen(1)).
        optional signers "signers": SitePath = "/etc/hushpipe/manifest-signers";
        /// allow: a signed manifest may depend on variables of the caller, such as ${NAME}, HTTPS_PROXY for a
        /// vault store, HOME for a store's tool, or a PATH that is not the system's (hushpipe-policy(7) has
        /// all). refuse: it is refused, as the signature says nothing of their values.
        optional variables "variables": CallerVariables = "allow";
    } elsewhere {}
}

record! {
    /// Approvals that lift a denial which policy makes depend on them.
    ApprovalsRecord("a mapping such as { signers: /etc/hushpipe/approvers }") {
        /// Whose approvals are valid: an allowed_signers file of OpenSSH (ssh-keygen(1)).
        optional signers "signers": SitePath = "/etc/hushpipe/approvers";
        /// The directory with requests and their approvals.
        optional directory "directory": SitePath = "/var/lib/hushpipe/approvals";
        /// How long a launch waits for approvals before it is refused.
        optional wait "wait": Duration = "0s";
    } elsewhere {}
}

record! {
    /// Where deliveries are put on record.
    AuditRecord("a mapping such as { directory: /var/log/hushpipe }") {
        /// Whether a delivery that cannot be recorded is refused.
        optional required "required": bool = "true";
        /// The directory with the log: records.jsonl, tile and checkpoint.
        optional directory "directory": SitePath = "/var/log/hushpipe";
        /// The key that signs the log's checkpoints (Ed25519). It is created when it does not exist.
        optional key_file "key_file": SitePath = "/var/lib/hushpipe/audit.key";
        /// The key of the fingerprints of delivered values. Without it, there are no fingerprints.
        optional fingerprint_key_file "fingerprint_key_file": SitePath;
        /// How long records are kept, such as 400d: whoever closes a segment (64 MiB) removes those whose records
        /// are all older. Without it, `hushpipe audit prune` alone removes records.
        optional retain "retain": Duration;
        /// Who cosigns the log's checkpoints: what a witness cosigned cannot be rewritten unseen, not even by
        /// whoever has the log's key.
        optional witnesses "witnesses": List<WitnessRecord>;
        /// Where `hushpipe monitor` sends records.
        optional sinks "sinks": List<Sink>;
        /// Each launcher sends records to the sinks itself, and delivers nothing before they have confirmed the
        /// release: for containers, where no monitor runs. How far each sink is is kept in monitor.directory.
        optional direct "direct": bool = "false";
    } elsewhere {}
}

record! {
    /// What `hushpipe monitor` keeps.
    MonitorRecord("a mapping such as { directory: /var/lib/hushpipe-monitor }") {
        /// The directory with cosigned checkpoints and the position of each sink.
        optional directory "directory": SitePath = "/var/lib/hushpipe-monitor";
    } elsewhere {}
}

record! {
    /// Stores of this host.
    GovernedRecord("a mapping such as { directory: /srv/payments, classification: restricted }") {
        /// The directory of a store, or one above several, by whatever path, symbolic links and bind mounts a
        /// manifest or --store reaches it. A file that is copied, moved or hard-linked elsewhere is not in it,
        /// nor is what an overlay of it shows.
        required directory "directory": SitePath;
        /// The classification of the secrets in it.
        optional classification "classification": Word;
        /// The owner of the secrets in it.
        optional owner "owner": Word;
    } elsewhere {}
}

/// The name of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelName(pub String);

impl Key for LabelName {
    const KEY: &'static str = "a name such as region or example.com/team";
    const PATTERN: &'static str = "^[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$";

    fn parse_key(text: &str) -> Result<Self, impl fmt::Display> {
        let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let inner = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        let ends = outer(text.chars().next()) && outer(text.chars().next_back());
        if ends && text.len() <= 128 && text.chars().all(inner) {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "a label's name has 1 to 128 letters, digits and any of . _ / -, and starts and ends with \
                 a letter or digit",
            )
        }
    }
}

/// The value of a label.
#[derive(Clone, Debug)]
pub struct LabelValue(pub String);

impl Decode for LabelValue {
    const WANTED: &'static str = "text such as eu-1";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| {
            if text.trim().is_empty() {
                Err("it is empty")
            } else if text.chars().count() > 256 {
                Err("it has more than 256 characters")
            } else if text.chars().any(char::is_control) {
                Err("it has control characters")
            } else {
                Ok(Self(text.to_owned()))
            }
        })
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number", "boolean"], "minLength": 1, "maxLength": 256 })
    }
}
