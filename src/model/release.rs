//! A release: one request to deliver secrets to a program. Policy decides on it, audit records it, and
//! nothing is placed or swapped without the [`Receipt`] for that.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;

use super::{Exit, Plan, SecretName, Version};

/// Who wants which secrets, how and why. It borrows what it says, and holds no value.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    /// The service, its owner and environment; the secrets, their stores and deliveries.
    pub plan: &'a Plan,
    /// The program that gets them.
    pub program: &'a Path,
    /// As whom it runs.
    pub uid: u32,
    /// Why.
    pub reason: Reason,
    /// The versions that are delivered, as far as they are known: none, before the stores are asked.
    pub versions: &'a BTreeMap<SecretName, Version>,
}

/// Why a release is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The program is started for the first time.
    Launch,
    /// Secrets have new versions.
    Rotation,
}

/// What policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be.
    Allow,
    /// It may not.
    Deny(Denial),
}

/// Why a release is denied: the policy, the fact that decided, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial(pub String);

impl Denial {
    /// hushpipe's exit code for it.
    pub const EXIT: Exit = Exit::Denied;
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the release is denied: {}", self.0)
    }
}

impl std::error::Error for Denial {}

/// Decides on releases, before a store is asked.
pub trait Policy {
    /// On this one.
    fn decide(&self, release: &Release<'_>) -> Decision;
}

/// Why a release is not on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditError(pub String);

impl AuditError {
    /// hushpipe's exit code for it.
    pub const EXIT: Exit = Exit::Deadline;
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the release cannot be recorded: {}", self.0)
    }
}

impl std::error::Error for AuditError {}

/// What a recorder's write comes to.
pub type Recording<'a> = Pin<Box<dyn Future<Output = Result<(), AuditError>> + 'a>>;

/// Puts releases on record, before anything of them is delivered.
pub trait Recorder {
    /// Ends when this one is on record.
    fn write<'a>(&'a self, release: &'a Release<'_>) -> Recording<'a>;
}

/// The proof that a release is on record. [`record`] alone makes it:
///
/// ```compile_fail
/// let forged = hushpipe::model::Receipt(());
/// ```
#[derive(Debug)]
pub struct Receipt(());

#[cfg(test)]
impl Receipt {
    /// For the tests of what takes one.
    pub const fn of_a_test() -> Self {
        Self(())
    }
}

/// Puts a release on record.
pub async fn record(recorder: &dyn Recorder, release: &Release<'_>) -> Result<Receipt, AuditError> {
    recorder.write(release).await?;
    Ok(Receipt(()))
}

/// For a host without a site: everything is allowed, and nothing need be on record.
#[derive(Clone, Copy, Debug)]
pub struct NoSite;

impl Policy for NoSite {
    fn decide(&self, _: &Release<'_>) -> Decision {
        Decision::Allow
    }
}

impl Recorder for NoSite {
    fn write<'a>(&'a self, _: &'a Release<'_>) -> Recording<'a> {
        Box::pin(ready(Ok(())))
    }
}
