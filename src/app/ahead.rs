//! `hushpipe approval request`: approvals for a launch that is still to come, by the launch's own way to
//! the facts.

use std::rc::Rc;

use super::approvals::Lifetime;
use super::audit::By;
use super::failure::{self, Failures};
use super::gate::{Gate, Governance};
use super::host::{self, Prior};
use super::inherited::Inherited;
use crate::approval::Request;
use crate::model::{Observer, Plan};

/// Settles the host as a launch does, and requests the approvals that policy wants. `None`: it wants none.
pub fn request_approval(
    plan: &Plan,
    governance: &Governance,
    lifetime: Lifetime,
    observer: &Rc<dyn Observer>,
) -> Result<Option<Request>, Failures> {
    let gate = Gate::of(
        governance,
        By::Command("hushpipe approval request", Some(plan)),
        observer,
    )?;
    let prior = Prior::new(plan, None, Inherited::default());
    let host = host::settle(plan, None, prior.users.as_ref())
        .map_err(|failures| failure::in_manifest(failures, &plan.manifest))?;
    let subject = gate.subject(plan, &host);
    gate.request(plan, &subject, lifetime)
}
