//! One policy: what is known of it without evaluating it.

use cedar_policy::{Effect, Policy};
use serde::{Deserialize, Serialize};

use super::annotations::{self, Annotations};
use super::error::{File, PolicyError};
use super::statements::Statement;
use crate::model::Place;
use crate::model::query::Obligation;

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// `@id`; else file and line.
    pub id: String,
    /// The file's name.
    pub file: String,
    pub line: usize,
    pub column: usize,
    /// Whether it forbids.
    pub forbids: bool,
    pub annotations: Annotations,
}

impl Rule {
    pub fn new(
        file: File<'_>,
        statement: Statement<'_>,
        policy: &Policy,
    ) -> Result<Self, Vec<PolicyError>> {
        let Place { line, column } = file.place(statement.start);
        let annotations = annotations::read(policy.effect(), policy.annotations());
        let annotations = annotations.map_err(|wrong| {
            let error = |wrong: annotations::Wrong| {
                let sign = format!("@{}", wrong.name);
                let at = statement.text.find(&sign).unwrap_or(0);
                file.error(statement.start + at, wrong.message, wrong.help)
            };
            wrong.into_iter().map(error).collect::<Vec<_>>()
        })?;
        let id = policy.annotation("id").map(str::to_owned);
        Ok(Self {
            id: id.unwrap_or_else(|| format!("{}:{line}", file.name)),
            file: file.name.to_owned(),
            line,
            column,
            forbids: policy.effect() == Effect::Forbid,
            annotations,
        })
    }

    /// What lifts it, where anything does. `None`: nothing does; none in the list: it is lifted.
    pub fn obligations(&self, reason: &str) -> Option<Vec<Obligation>> {
        let policy = || self.id.clone();
        let Annotations {
            approval,
            reason: wanted,
            ..
        } = &self.annotations;
        if approval.is_none() && wanted.is_none() {
            return None;
        }
        let approval = approval.as_ref().map(|approval| Obligation::Approval {
            policy: policy(),
            needed: approval.needed,
            group: approval.group.clone(),
            within: approval.within,
        });
        let missing = wanted.is_some() && reason.trim().is_empty();
        let reason = missing.then(|| Obligation::Reason { policy: policy() });
        Some(approval.into_iter().chain(reason).collect())
    }
}
