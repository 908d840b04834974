//! What policy would decide on a launch now: by the launch's own way to the facts, without asking a store.

use std::rc::Rc;

use serde::Serialize;

use super::PolicyDirectory;
use crate::app::failure::Failures;
use crate::app::gate::Subject;
use crate::app::host::{self, Prior};
use crate::app::inherited::Inherited;
use crate::app::{facts, failure, open};
use crate::model::query::{Justification, Query, Ruling};
use crate::model::{Plan, Reason, Site};
use crate::policy::{Policies, Why};

/// What is decided on one secret, and why.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// The question.
    pub query: Query,
    /// Policy's answer.
    pub ruling: Ruling,
    /// Its causes.
    pub why: Why,
}

/// Settles the host as a launch does, and decides on each secret of the plan.
pub fn explain(
    plan: &Plan,
    site: &Site,
    directory: &PolicyDirectory,
    said: &Justification,
) -> Result<Vec<Explained>, Failures> {
    let prior = Prior::new(plan, None, Inherited::default());
    let host = host::settle(plan, None, prior.users.as_ref())
        .map_err(|failures| failure::in_manifest(failures, &plan.manifest))?;
    let mut facts = facts::of_launch(plan, site, &host.launch);
    said.apply(&mut facts);
    let mut subject = Subject::of(&host, Some(Rc::new(facts)));
    let policies = directory.policies();
    if policies.reads_age() {
        // The files of this host say it; no other store is asked.
        let stores = open::local(plan)?;
        subject = subject.aged(stores.made(plan, plan.secrets.keys()));
    }
    let queries = subject.queries(plan, Reason::Launch, None).into_iter();
    Ok(queries
        .map(|query| Explained::of(query, policies))
        .collect())
}

impl Explained {
    /// Of one question.
    pub fn of(query: Query, policies: &Policies) -> Self {
        let ruling = policies.decide(&query);
        let why = policies.why(&query, &ruling);
        Self { query, ruling, why }
    }
}
