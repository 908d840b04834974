//! The gate: what policy allows is fetched, and what is on record is delivered. It alone makes
//! [`Authorised`], which fetching takes; [`Receipt`], which placing and swapping take, is made by
//! [`record`] alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::failure::{Failure, Failures};
use super::host::Host;
use crate::model::{
    AuditError, Decision, Denial, NoSite, Plan, Policy, Reason, Receipt, Recorder, Release,
    SecretName, Version, record,
};

/// Who decides on releases, and who records them.
pub struct Gate {
    policy: Box<dyn Policy>,
    recorder: Box<dyn Recorder>,
}

/// The program that gets the secrets.
#[derive(Clone, Debug)]
pub struct Subject {
    program: PathBuf,
    uid: u32,
}

/// A release that policy allows: its secrets may be fetched, and it may be put on record.
#[derive(Debug)]
pub struct Authorised<'p> {
    plan: &'p Plan,
    subject: Subject,
    reason: Reason,
}

impl Gate {
    /// Of a host without a site: everything may be, and nothing need be on record.
    pub fn without_site() -> Self {
        Self::new(NoSite, NoSite)
    }

    /// With these.
    pub fn new(policy: impl Policy + 'static, recorder: impl Recorder + 'static) -> Self {
        Self {
            policy: Box::new(policy),
            recorder: Box::new(recorder),
        }
    }

    /// Has policy decide, before a store is asked.
    pub fn authorise<'p>(
        &self,
        plan: &'p Plan,
        subject: Subject,
        reason: Reason,
    ) -> Result<Authorised<'p>, Failures> {
        let authorised = Authorised {
            plan,
            subject,
            reason,
        };
        match self.policy.decide(&authorised.release(&BTreeMap::new())) {
            Decision::Allow => Ok(authorised),
            Decision::Deny(denial) => Err(vec![Failure::new(Denial::EXIT, denial)]),
        }
    }

    /// Puts a release with these versions on record, before anything of it is delivered.
    pub async fn record(
        &self,
        authorised: &Authorised<'_>,
        versions: &BTreeMap<SecretName, Version>,
    ) -> Result<Receipt, Failures> {
        record(&*self.recorder, &authorised.release(versions))
            .await
            .map_err(|error| vec![Failure::new(AuditError::EXIT, error)])
    }
}

impl Subject {
    /// That a settled host will start.
    pub fn of(host: &Host) -> Self {
        Self {
            program: host.launch.program().to_owned(),
            uid: host.launch.owner().0,
        }
    }
}

impl<'p> Authorised<'p> {
    /// The plan that was decided on.
    pub const fn plan(&self) -> &'p Plan {
        self.plan
    }

    fn release<'a>(&'a self, versions: &'a BTreeMap<SecretName, Version>) -> Release<'a> {
        Release {
            plan: self.plan,
            program: &self.subject.program,
            uid: self.subject.uid,
            reason: self.reason,
            versions,
        }
    }
}
