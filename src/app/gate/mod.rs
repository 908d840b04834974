//! The gate: what policy allows is fetched, and what is on record is delivered. It alone makes
//! [`Authorised`], which fetching takes; [`Receipt`], which placing and swapping take, is made by
//! [`record`] alone.

mod queries;
mod rules;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use super::failure::{Failure, Failures};
use super::host::Host;
use crate::model::query::Facts;
use crate::model::{
    Approved, AuditError, Decision, Denial, IsolationUsed, NoSite, Plan, Reason, Receipt, Recorder,
    Release, SecretName, Version, record,
};
pub use queries::Asking;
pub use rules::Rules;

/// Who decides on releases, and who records them.
pub struct Gate {
    /// `None`: everything is allowed.
    rules: Option<Rules>,
    recorder: Box<dyn Recorder>,
}

/// The program that gets the secrets.
#[derive(Clone, Debug)]
pub struct Subject {
    program: PathBuf,
    uid: u32,
    /// Where its files would go; `None`: there are none.
    isolation: Option<IsolationUsed>,
    /// `None`: there is no site.
    facts: Option<Rc<Facts>>,
}

/// A release that policy allows: its secrets may be fetched, and it may be put on record.
#[derive(Debug)]
pub struct Authorised<'p> {
    plan: &'p Plan,
    subject: Subject,
    reason: Reason,
    decisions: Vec<Decision>,
    approvals: Vec<Approved>,
    /// Of what was fetched, where the site has a key for them.
    fingerprints: RefCell<BTreeMap<SecretName, String>>,
}

impl Gate {
    /// Of a host without a site: everything may be, and nothing need be on record.
    pub fn without_site() -> Self {
        Self::new(None, NoSite)
    }

    /// With these.
    pub fn new(rules: Option<Rules>, recorder: impl Recorder + 'static) -> Self {
        Self {
            rules,
            recorder: Box::new(recorder),
        }
    }

    /// Has policy decide on these secrets (`None`: all), before a store is asked.
    pub fn authorise<'p>(
        &self,
        plan: &'p Plan,
        subject: Subject,
        reason: Reason,
        secrets: Option<&BTreeSet<SecretName>>,
    ) -> Result<Authorised<'p>, Failures> {
        let mut authorised = Authorised {
            plan,
            subject,
            reason,
            decisions: Vec::new(),
            approvals: Vec::new(),
            fingerprints: RefCell::default(),
        };
        let Some(rules) = &self.rules else {
            return Ok(authorised);
        };
        let facts = authorised.subject.facts.clone().unwrap_or_default();
        let asking = Asking {
            plan,
            facts: &facts,
            isolation: authorised.subject.isolation,
            time: rules::now(),
        };
        let queries = match secrets {
            Some(secrets) => asking.deliver(secrets, reason),
            None => asking.deliver(&plan.secrets.keys().cloned().collect(), reason),
        };
        match rules.judge(queries) {
            Ok(decisions) => {
                authorised.decisions = decisions;
                Ok(authorised)
            }
            Err(denial) => Err(vec![Failure::new(Denial::EXIT, denial)]),
        }
    }

    /// Puts a release with these versions on record, before anything of it is delivered.
    pub async fn record(
        &self,
        authorised: &Authorised<'_>,
        versions: &BTreeMap<SecretName, Version>,
    ) -> Result<Receipt, Failures> {
        let fingerprints = authorised.fingerprints.borrow().clone();
        let release = Release {
            plan: authorised.plan,
            program: &authorised.subject.program,
            uid: authorised.subject.uid,
            reason: authorised.reason,
            versions,
            facts: authorised.subject.facts.as_deref(),
            decisions: &authorised.decisions,
            approvals: &authorised.approvals,
            fingerprints: &fingerprints,
        };
        record(&*self.recorder, &release)
            .await
            .map_err(|error| vec![Failure::new(AuditError::EXIT, error)])
    }
}

impl Subject {
    /// That a settled host will start.
    pub fn of(host: &Host, facts: Option<Rc<Facts>>) -> Self {
        Self {
            program: host.launch.program().to_owned(),
            uid: host.launch.owner().0,
            isolation: host
                .order
                .first()
                .copied()
                .filter(|_| !host.layout.is_empty()),
            facts,
        }
    }
}

impl<'p> Authorised<'p> {
    /// The plan that was decided on.
    pub const fn plan(&self) -> &'p Plan {
        self.plan
    }

    /// Takes what tells the values that were fetched from others, by the site's key.
    pub fn take_fingerprints(&self, fingerprints: BTreeMap<SecretName, String>) {
        self.fingerprints.borrow_mut().extend(fingerprints);
    }
}
