//! From a query to a ruling.

use cedar_policy::{Authorizer, Entities, PolicySet, Request};

use super::attributes;
use super::compiled::{Damaged, Sought};
use super::policies::{Policies, Slice};
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
            Ok(ruling) => ruling,
            Err(error) => denied(Vec::new(), vec![printable(&error)], false),
        }
    }

    fn evaluate(&self, query: &Query) -> Result<Ruling, String> {
        let damaged = |error: Damaged| error.to_string();
        let principal = principal(&query.principal, &self.compiled).map_err(damaged)?;
        let resource = resource(query, &self.compiled).map_err(damaged)?;
        let matching = self.compiled.matching(&Sought {
            principal: principal.known(),
            action: query.action,
            resource: resource.known(),
            attributes: attributes::values(query),
        });
        let slice = self.slice(matching.map_err(damaged)?)?;
        let Asked { request, entities } =
            asked(&self.types, query, (&principal, &resource), &slice.others)?;
        let permits = held(&request, &slice.permits, &entities);
        let forbids = held(&request, &slice.forbids, &entities);
        Ok(slice.ruling(query, &permits, &forbids))
    }
}

impl Slice {
    fn rule(&self, index: usize) -> &Rule {
        &self.built[&index].rule
    }

    fn ruling(&self, query: &Query, permits: &Held, forbids: &Held) -> Ruling {
        let id = |index: &usize| self.rule(*index).id.clone();
        let failed = || permits.failed.iter().chain(&forbids.failed);
        if failed().next().is_some() {
            let shown = |(index, what): &(usize, String)| {
                format!(
                    "policy `{}`: {}",
                    printable(&self.rule(*index).id),
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
            match self.rule(*index).obligations(&query.context.facts.reason) {
                Some(lifted) if lifted.is_empty() => continue,
                Some(more) => obligations.extend(more),
                None => firm = true,
            }
            deciding.push(*index);
        }
        let stop = deciding
            .iter()
            .any(|index| self.rule(*index).annotations.stop);
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
