//! Who may reveal and change sealed secrets, where the site has a policy, and that it is on record where
//! the site has a log: before an identity is opened.
//!
//! It binds those who use this hushpipe. Who can run another program with the same identity is bound by
//! the file's permissions alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use super::approvals::manifests::UnsignedError;
use super::audit::{Audit, By};
use super::facts;
use super::failure::{Failure, Failures, os};
use super::gate::{Gate, Governance, sealed_queries};
use super::site::governed;
use crate::model::query::{Action, Query};
use crate::model::{Observer, Plan, StoreName};
use crate::secret::SecretBytes;

/// A person's command on sealed secrets, allowed and on record.
#[derive(Default)]
pub struct Custody {
    audit: Audit,
    queries: Vec<Query>,
}

impl Custody {
    /// Puts on record which version of a secret this person is about to see, and the value's fingerprint.
    pub fn revealed(&self, version: u64, value: &SecretBytes) -> Result<(), Failures> {
        self.audit.revealed(&self.queries, version, value)
    }
}

/// Secrets of a sealed store.
#[derive(Clone, Copy, Debug)]
pub struct Secrets<'a> {
    /// What the store is called.
    pub store: &'a StoreName,
    /// Its directory.
    pub directory: &'a Path,
    /// Their names in it; none: the store as a whole.
    pub keys: &'a BTreeSet<String>,
}

/// Fails unless policy lets this process's user do it, and that is on record, with all of these secrets of a
/// sealed store. The manifest, if there is one, describes them. `command` is for the record.
pub fn allowed(
    command: &'static str,
    governance: &Governance,
    plan: Option<&Plan>,
    action: Action,
    secrets: &Secrets<'_>,
    observer: &Rc<dyn Observer>,
) -> Result<Custody, Failures> {
    let Some(facts) = governance.facts_of_command(plan) else {
        return Ok(Custody::default());
    };
    // What is signed describes the secrets; whoever names a directory would leave all of that out.
    if plan.is_none() && governance.wants_signatures() {
        let error = UnsignedError::NoManifest;
        return Err(vec![Failure::new(error.exit(), error)]);
    }
    let gate = Gate::of(governance, By::Command(command, plan), observer)?;
    let person = facts::person();
    let site = governance.site.as_deref();
    let governed = site.map(|site| governed(site, secrets.directory));
    let governed = governed
        .transpose()
        .map_err(os("cannot look at the store"))?;
    let who = (&person, action);
    let governed = governed.flatten();
    let queries = sealed_queries(plan, &facts, who, governed, (secrets.store, secrets.keys));
    let allowed = gate.asked(&queries);
    let audit = gate.audit().clone();
    audit.settle();
    allowed.map(|()| Custody { audit, queries })
}
