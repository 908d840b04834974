//! The shared words: plan, names, references, versions, events. No secret bytes live here, and the
//! room imports nothing of ours.

mod alerts;
mod backoff;
mod chain;
pub mod control;
pub mod counts;
pub mod credentials;
mod endpoint;
pub mod event;
mod exit;
mod incident;
mod loading;
mod names;
pub mod nearest;
mod plan;
pub mod printable;
pub mod private_key;
mod protected;
pub mod query;
mod release;
mod shown;
mod signal;
mod site;
mod startup;
pub mod template;
mod units;
pub(crate) mod words;
mod written;

pub use alerts::{AlertOn, AlertRule, AlertsSpec, Hours, RECORD_KINDS, ReceiverSpec, Weekday};
pub use backoff::{Backoff, random};
pub use chain::chain;
pub use endpoint::{ServerSpec, SyslogAddress};
pub use event::{
    ControlGroupEnd, Envelope, Event, IsolationUsed, Level, Observer, Outcome, RotationError, Topic,
};
pub use exit::{Exit, Exited};
pub use incident::{
    Closing, Compromised, Detected, Incident, IncidentNote, IncidentState, IncidentsSpec,
    Otherwise, Playbook, PlaybookStep, Quarantined, Step, Suspect, Why, is_incident_id,
};
pub use loading::loads_code;
pub use names::{NameError, Place, SecretName, SecretRef, StoreName};
pub use plan::{
    Address, Channel, Checks, Children, ClientCertificate, CommandStore, ControlGroup, Delivery,
    DeliveryKind, DirectoryStore, EnvInherit, EnvSpec, FdKind, FieldChecks, FileSpec, Forward,
    ForwardTo, HttpMethod, InheritedFd, Isolation, Leftovers, Mode, OnRotate, OutputStream,
    OwnerSpec, Plan, Refresh, RestartBudget, Rewrite, RotateAction, RunSpec, SealedStore,
    SecretSpec, Source, Stop, StoreKind, StoreSpec, Tls, ValueFormat, Variables, VaultAuth,
    VaultRequest, VaultStore, Verify, VerifyHow,
};
pub use protected::{Carries, Protected};
pub use release::{
    Approved, AuditError, Decision, Denial, DeniedBy, NoSite, Policy, Reason, Receipt, Recorder,
    Recording, Release, Verdict, record,
};
pub use signal::{Signal, SignalError};
pub use site::{
    ApprovalSpec, AuditSpec, CallerVariables, Governed, HttpFormat, ManifestSigners, MetricsSpec,
    MonitorSpec, PolicyMode, PolicySpec, PushSpec, SinkSpec, Site, WitnessSpec,
};
pub use startup::{Forking, Ready, Startup};
pub use units::{
    FileMode, Generation, Sha256, UnitError, Version, VersionRef, format_duration, hex,
    parse_duration,
};

/// How often a test repeats something every day, and in `tests/run --nightly`.
#[cfg(test)]
pub fn rounds(daily: usize, nightly: usize) -> usize {
    match std::env::var_os("HUSHPIPE_NIGHTLY") {
        Some(_) => nightly,
        None => daily,
    }
}
