//! From a query to a ruling.

use cedar_policy::{Authorizer, Entities, PolicySet, Request};

use super::policies::Policies;
use super::request::{Asked, asked, principal, resource};
use super::rule::Rule;
use crate::model::printable::printable;
use crate::model::query::{Effect, Obligation, Query, Ruling};

/// Which of some policies hold, and which cannot be evaluated.
#[derive(Default)]
struct Held {
    /// By index, in order.
    held: Vec<usize>,
    /// With what is wrong.
    failed: Vec<(usize, String)>,
}

impl Policies {
    /// What the policies say to a query. What they cannot say is a denial.
    pub fn decide(&self, query: &Query) -> Ruling {
        match self.evaluate(query) {
            Ok((permits, forbids)) => self.ruling(query, &permits, &forbids),
            Err(error) => denied(Vec::new(), vec![printable(&error)], false),
        }
    }

    fn evaluate(&self, query: &Query) -> Result<(Held, Held), String> {
        let principal = principal(query, &self.hierarchy);
        let resource = resource(query, &self.hierarchy);
        let action = query.action.word();
        let matching = |rule: &Rule| rule.scope.may_match(&principal, action, &resource);
        let chosen = self.rules.iter().enumerate();
        let chosen = chosen.filter(|(_, rule)| matching(rule));
        let slice = self.slice(chosen.map(|(index, _)| index).collect())?;
        let Asked { request, entities } =
            asked(&self.types, query, (&principal, &resource), &slice.others)?;
        Ok((
            held(&request, &slice.permits, &entities),
            held(&request, &slice.forbids, &entities),
        ))
    }

    fn ruling(&self, query: &Query, permits: &Held, forbids: &Held) -> Ruling {
        let id = |index: &usize| self.rules[*index].id.clone();
        let failed = || permits.failed.iter().chain(&forbids.failed);
        if failed().next().is_some() {
            let shown = |(index, what): &(usize, String)| {
                format!(
                    "policy `{}`: {}",
                    printable(&self.rules[*index].id),
                    printable(what)
                )
            };
            let policies = failed().map(|(index, _)| id(index)).collect();
            return denied(policies, failed().map(shown).collect(), false);
        }
        let mut obligations = Vec::new();
        let mut deciding = Vec::new();
        let mut firm = false;
        for index in &forbids.held {
            match self.rules[*index].obligations(&query.context.facts.reason) {
                Some(lifted) if lifted.is_empty() => continue,
                Some(more) => obligations.extend(more),
                None => firm = true,
            }
            deciding.push(*index);
        }
        let stop = deciding
            .iter()
            .any(|index| self.rules[*index].annotations.stop);
        let policies = || deciding.iter().map(id).collect();
        if firm {
            return denied(policies(), Vec::new(), stop);
        }
        if permits.held.is_empty() {
            // To meet the obligations would not help.
            return denied(Vec::new(), Vec::new(), stop);
        }
        if deciding.is_empty() {
            return Ruling {
                effect: Effect::Allow,
                policies: permits.held.iter().map(id).collect(),
                errors: Vec::new(),
                obligations: Vec::new(),
                stop: false,
            };
        }
        pending(policies(), obligations, stop)
    }
}

fn denied(policies: Vec<String>, errors: Vec<String>, stop: bool) -> Ruling {
    Ruling {
        effect: Effect::Deny,
        policies,
        errors,
        obligations: Vec::new(),
        stop,
    }
}

fn pending(policies: Vec<String>, obligations: Vec<Obligation>, stop: bool) -> Ruling {
    Ruling {
        effect: Effect::Pending,
        policies,
        errors: Vec::new(),
        obligations,
        stop,
    }
}

/// Permits and forbids are evaluated apart, as Cedar names no permit beside a forbid that holds.
fn held(request: &Request, set: &PolicySet, entities: &Entities) -> Held {
    let index = |id: &str| id.parse::<usize>().expect("an id is an index");
    let response = Authorizer::new().is_authorized(request, set, entities);
    let diagnostics = response.diagnostics();
    let mut held: Vec<usize> = diagnostics.reason().map(|id| index(id.as_ref())).collect();
    held.sort_unstable();
    let failed = diagnostics.errors().map(|error| {
        let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
        (index(error.policy_id().as_ref()), error.inner().to_string())
    });
    let mut failed: Vec<_> = failed.collect();
    failed.sort_unstable();
    Held { held, failed }
}
