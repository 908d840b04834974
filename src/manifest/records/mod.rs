//! The records of a manifest: one table each, for decoding and for the schema.

mod alerts;
mod credentials;
mod deliveries;
mod incidents;
mod rotation;
mod run;
mod secrets;
mod sinks;
mod site;
mod site_path;
mod stores;
mod trust;
mod vault;

pub use alerts::{AlertsRecord, Receiver};
pub use credentials::{Credential, CredentialsDelivery};
pub use deliveries::{Deliver, FdDelivery, FifoDelivery, FileDelivery, GetenvDelivery};
pub use incidents::{IncidentsRecord, PlaybookRecord};
pub use rotation::{OnRotation, Probe, Restarts, SecretRotation};
pub use run::{Env, Fds, Forks, Inherit, Rewritten, Run, Signals, StopRecord};
pub use secrets::{Check, FieldCheck, RefreshEvery, Secret};
pub use sinks::{MetricsRecord, PushRecord, Sink, SyslogRecord, WitnessRecord};
pub use site::{
    ApprovalsRecord, AuditRecord, GovernedRecord, LabelName, LabelValue, ManifestsRecord,
    MonitorRecord, PolicyRecord, SiteRecord,
};
pub use site_path::SitePath;
pub use stores::{CommandRecord, Store};
pub use vault::{AppRoleLogin, Login, VaultRecord};

use super::collections::{List, Table};
use super::decode::record;
use super::values::{VersionOne, Word};
use crate::model::{Isolation, Mode, SecretName, StoreName};

record! {
    /// A hushpipe manifest: which secrets, from which stores, delivered how, to which program.
    Manifest("a mapping that starts with `version: 1`") {
        /// The version of the manifest's format: 1.
        required version "version": VersionOne;
        /// The service's name: its identity in policy, audit and metrics.
        required service "service": Word;
        /// Where it runs, such as production.
        optional environment "environment": Word;
        /// Who answers for it.
        optional owner "owner": Word;
        /// Free words about the service that policy reads, such as tier: gold.
        optional labels "labels": Table<LabelName, LabelValue>;
        /// supervise: hushpipe stays as the parent. exec: hushpipe becomes the program, and nothing
        /// rotates.
        optional mode "mode": Mode = "supervise";
        /// Where secrets live, by a name of your choice.
        optional stores "stores": Table<StoreName, Store>;
        /// Which secrets are fetched, by the name that deliveries and templates use.
        optional secrets "secrets": Table<SecretName, Secret>;
        /// How the program sees them.
        optional deliver "deliver": List<Deliver>;
        /// Where delivered files go. private: a mount namespace of the program's own. shared: a 0700
        /// directory on tmpfs. auto: private where possible.
        optional isolation "isolation": Isolation = "auto";
        /// The program. Its command can also stand after `--` on the command line.
        optional run "run": Run;
        /// What happens when a secret has a new version.
        optional on_rotate "on_rotate": OnRotation;
    } elsewhere {
        "env": "it is a key of `run`" => "write run: { env: { set: { NAME: value } } }; secrets go under `deliver`",
        "command": "it is a key of `run`" => "write run: { command: [PROGRAM, ARGUMENT, ...] }",
        "cmd": "it is a key of `run`" => "write run: { command: [PROGRAM, ARGUMENT, ...] }",
        "user": "it is a key of `run`" => "write run: { user: NAME }",
        "cwd": "it is a key of `run`" => "write run: { cwd: PATH }",
        "name": "the name is `service`" => "write `service: NAME`",
        "vault": "a vault is a store" => "write stores: { NAME: { type: vault, address: URL } }",
        "files": "files are deliveries" => "write deliver: [{ file: NAME, secret: NAME }]",
    }
}
