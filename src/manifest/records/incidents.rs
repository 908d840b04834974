//! `incidents:` of a site.

use super::site_path::SitePath;
use crate::manifest::collections::List;
use crate::manifest::decode::record;
use crate::manifest::values::Word;
use crate::model::{Otherwise, PlaybookStep, Quarantined};

record! {
    /// What `hushpipe incident open` does.
    IncidentsRecord("a mapping such as { playbooks: [{ steps: [revoke, rotate, verify] }] }") {
        /// The directory with incidents. Every launcher of this host reads it, and refuses what is in quarantine.
        optional directory "directory": SitePath = "/var/lib/hushpipe-incidents";
        /// What is done with each launcher that has the secret; the first that fits. Default: revoke, rotate,
        /// verify.
        optional playbooks "playbooks": List<PlaybookRecord>;
    } elsewhere {}
}

record! {
    /// One playbook.
    PlaybookRecord("a mapping such as { steps: [rotate, verify], otherwise: stop }") {
        /// Only for these services.
        optional services "services": List<Word>;
        /// Only for these secrets.
        optional secrets "secrets": List<Word>;
        /// Only for secrets of this classification.
        optional classification "classification": Word;
        /// In this order: revoke (the secret's lease, where it has one), rotate, verify (the program is healthy
        /// with another version), stop.
        required steps "steps": List<PlaybookStep>;
        /// What is done where the launcher still has the version that it had: keep it running, or stop it.
        optional otherwise "otherwise": Otherwise = "keep";
        /// What is refused until the incident is closed: every delivery of the secret, or only those of the
        /// values that were delivered before.
        optional quarantine "quarantine": Quarantined = "secret";
    } elsewhere {}
}
