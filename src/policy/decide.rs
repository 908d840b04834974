//! From a query to a ruling.

use std::rc::Rc;

use cedar_policy::{Authorizer, Entities, PolicySet, Request};

use super::attributes;
use super::compiled::{Damaged, Matching, Sought};
use super::policies::Policies;
use super::request::{Asked, asked, principal, resource};
use super::rule::Rule;
use crate::model::printable::printable;
use crate::model::query::{Effect, Obligation, Query, Ruling};

/// Which policies match, and which cannot be evaluated, by index.
#[derive(Default)]
struct Found {
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
        let Matching { held, open } = matching.map_err(damaged)?;
        let mut found = Found::default();
        if !open.is_empty() {
            let slice = self.slice(open)?;
            let subjects = (&principal, &resource);
            let Asked { request, entities } = asked(self.types(), query, subjects, &slice.others)?;
            found.ask(&request, &slice.permits, &entities);
            found.ask(&request, &slice.forbids, &entities);
        }
        found.held.extend(held);
        self.ruling(query, found).map_err(damaged)
    }

    fn ruling(&self, query: &Query, found: Found) -> Result<Ruling, Damaged> {
        let Found {
            mut held,
            mut failed,
        } = found;
        if !failed.is_empty() {
            failed.sort_unstable();
            let (mut policies, mut errors) = (Vec::new(), Vec::new());
            for (index, what) in &failed {
                let id = &self.rule(*index)?.id;
                errors.push(format!("policy `{}`: {}", printable(id), printable(what)));
                policies.push(id.clone());
            }
            return Ok(denied(policies, errors, false));
        }
        held.sort_unstable();
        let rules = held.into_iter().map(|index| self.rule(index));
        let rules: Vec<Rc<Rule>> = rules.collect::<Result<_, _>>()?;
        Ok(ruling_of(&rules, &query.context.facts.reason))
    }
}

/// What follows from the policies that match, where none fails.
fn ruling_of(rules: &[Rc<Rule>], reason: &str) -> Ruling {
    let id = |rule: &&Rc<Rule>| rule.id.clone();
    let (forbids, permits): (Vec<&Rc<Rule>>, Vec<_>) = rules.iter().partition(|rule| rule.forbids);
    let mut obligations = Vec::new();
    let mut deciding = Vec::new();
    let mut firm = false;
    for rule in forbids {
        match rule.obligations(reason) {
            Some(lifted) if lifted.is_empty() => continue,
            Some(more) => obligations.extend(more),
            None => firm = true,
        }
        deciding.push(rule);
    }
    let stop = deciding.iter().any(|rule| rule.annotations.stop);
    let policies = || deciding.iter().map(id).collect();
    if firm {
        return denied(policies(), Vec::new(), stop);
    }
    if permits.is_empty() {
        // To meet the obligations would not help.
        return denied(Vec::new(), Vec::new(), stop);
    }
    if deciding.is_empty() {
        return Ruling {
            effect: Effect::Allow,
            policies: permits.iter().map(id).collect(),
            errors: Vec::new(),
            obligations: Vec::new(),
            stop: false,
        };
    }
    pending(policies(), obligations, stop)
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

impl Found {
    /// Permits and forbids are evaluated apart, as Cedar names no permit beside a forbid that holds.
    fn ask(&mut self, request: &Request, set: &PolicySet, entities: &Entities) {
        let index = |id: &str| id.parse::<usize>().expect("an id is an index");
        let response = Authorizer::new().is_authorized(request, set, entities);
        let diagnostics = response.diagnostics();
        let held = diagnostics.reason().map(|id| index(id.as_ref()));
        self.held.extend(held);
        self.failed.extend(diagnostics.errors().map(|error| {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            (index(error.policy_id().as_ref()), error.inner().to_string())
        }));
    }
}
