//! Approvals that are requested ahead of a launch.

use super::rules::Judged;
use super::{Gate, Subject, missing, one};
use crate::app::approvals::Lifetime;
use crate::app::failure::Failures;
use crate::approval::Request;
use crate::model::{Plan, Reason};

impl Gate {
    /// Writes a request for the approvals that policy wants for a launch of this plan, as it would be now.
    /// `None`: it wants none. Nothing is waited for, and no store is asked.
    pub fn request(
        &self,
        plan: &Plan,
        subject: &Subject,
        lifetime: Lifetime,
    ) -> Result<Option<Request>, Failures> {
        let Some(rules) = &self.rules else {
            return Ok(None);
        };
        let queries = subject.queries(plan, Reason::Launch, None);
        let open = match rules.judge(queries, &[]) {
            Judged::Granted(_) => return Ok(None),
            Judged::Denied(denial) => return Err(one(self.refuse(denial))),
            Judged::Open(open) => open,
        };
        match rules.request(&open, lifetime) {
            Ok(requested) => Ok(Some(requested)),
            Err(lacking) => Err(self.lacking(rules, open, lacking)),
        }
    }

    /// Whether policy lets a launch of this plan start now, as far as that can be told without it: approvals
    /// that are there count, none is asked for, and none is spent.
    pub fn would_start(&self, plan: &Plan, subject: &Subject) -> Result<(), Failures> {
        let Some(rules) = &self.rules else {
            return Ok(());
        };
        let queries = subject.queries(plan, Reason::Launch, None);
        rules.glass_broken(&queries, None);
        let open = match rules.judge(queries, &[]) {
            Judged::Granted(_) => return Ok(()),
            Judged::Denied(denial) => return Err(one(denial)),
            Judged::Open(open) => open,
        };
        match rules.is_approved(&open) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let note = "not approved yet: a launch writes a request, and so does `hushpipe approval \
                            request`";
                Err(one(rules.denied(open.decisions, vec![note.to_owned()])))
            }
            Err(lacking) => Err(missing(rules, open.decisions, lacking)),
        }
    }
}
