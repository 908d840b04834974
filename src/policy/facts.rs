//! Why a ruling is what it is: the policies that decided, and the facts that their conditions read.

use std::fmt::Write as _;

use cedar_policy::Policy;
use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, Template};
use serde::Serialize;
use serde_json::{Value, json};

use super::expressions::{tree, visit};
use super::guard::name_of;
use super::policies::Policies;
use crate::model::format_duration;
use crate::model::printable::printable;
use crate::model::query::{Effect, Obligation, Principal, Query, Resource, Ruling};

/// A ruling with its causes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// Policy's word.
    pub effect: Effect,
    /// Each policy that decided; none: no policy permits it.
    pub causes: Vec<Cause>,
    /// Errors of evaluation.
    pub errors: Vec<String>,
    /// What it was about, for a denial that no policy made.
    pub asked: Vec<Fact>,
}

/// A policy that decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// Its id.
    pub policy: String,
    /// Its file.
    pub file: String,
    /// Its line there.
    pub line: usize,
    /// Whether it forbids.
    pub forbids: bool,
    /// What its conditions read, as it is.
    pub facts: Vec<Fact>,
    /// What lifts it.
    pub obligations: Vec<Obligation>,
    /// The text of its `@reason`.
    pub wanted: Option<String>,
}

/// A fact, as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// `resource.classification`
    pub name: String,
    /// As it is.
    pub value: Value,
}

impl Policies {
    /// Explains a ruling of [`Policies::decide`].
    pub fn why(&self, query: &Query, ruling: &Ruling) -> Why {
        let facts = view(query);
        let causes = ruling.policies.iter().filter_map(|id| {
            let index = self.compiled.find(id)?;
            let rule = self.rule(index).ok()?;
            let policy = self.build(index).ok()?.policy;
            let reason = &query.context.facts.reason;
            Some(Cause {
                policy: rule.id.clone(),
                file: rule.file.clone(),
                line: rule.line,
                forbids: rule.forbids,
                facts: reads(&policy, &facts),
                obligations: rule.obligations(reason).unwrap_or_default(),
                wanted: rule.annotations.reason.clone(),
            })
        });
        Why {
            effect: ruling.effect,
            causes: causes.collect(),
            errors: ruling.errors.clone(),
            asked: asked(&facts),
        }
    }
}

impl Policies {
    /// What the policies that a ruling names read of its query, each once: `context.isolation "shared"`.
    pub fn facts_read(&self, query: &Query, ruling: &Ruling) -> Vec<String> {
        let mut read: Vec<String> = Vec::new();
        for fact in self
            .why(query, ruling)
            .causes
            .iter()
            .flat_map(|cause| &cause.facts)
        {
            let value = printable(&fact.value.to_string());
            let shown = format!("{} {value}", fact.name);
            if !read.contains(&shown) {
                read.push(shown);
            }
        }
        read
    }
}

impl Why {
    /// In words: one line for each cause.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.errors.clone();
        if self.causes.is_empty() && lines.is_empty() {
            lines.push(format!(
                "no policy permits it ({}); add a permit, or ask who keeps the policies",
                list(&self.asked)
            ));
        }
        if self.errors.is_empty() {
            lines.extend(self.causes.iter().map(Cause::line));
        }
        lines
    }
}

impl Cause {
    fn line(&self) -> String {
        let does = if self.forbids { "forbids" } else { "permits" };
        let place = format!("{}:{}", printable(&self.file), self.line);
        let mut line = format!("policy `{}` ({place}) {does} it", printable(&self.policy));
        if !self.facts.is_empty() {
            write!(line, ": {}", list(&self.facts)).expect("a String takes all that is written");
        }
        for obligation in &self.obligations {
            write!(line, "; {}", lifted_by(obligation))
                .expect("a String takes all that is written");
        }
        if let Some(wanted) = self.wanted.as_ref().filter(|text| !text.is_empty()) {
            write!(line, " ({})", printable(wanted)).expect("a String takes all that is written");
        }
        line
    }
}

fn lifted_by(obligation: &Obligation) -> String {
    match obligation {
        Obligation::Approval {
            needed,
            group,
            within,
            ..
        } => format!(
            "lifted by {needed} approvals of {} within {}",
            printable(group),
            format_duration(*within)
        ),
        Obligation::Reason { .. } => "lifted by --reason TEXT".to_owned(),
    }
}

fn list(facts: &[Fact]) -> String {
    let shown = facts.iter().map(|fact| {
        let value = printable(&fact.value.to_string());
        format!("{} = {value}", fact.name)
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// What a query is about, whatever the policies read.
fn asked(facts: &Value) -> Vec<Fact> {
    let names = [
        ("action", "/action"),
        ("principal", "/principal/name"),
        ("resource", "/resource/name"),
        ("resource.classification", "/resource/classification"),
        ("context.environment", "/context/environment"),
    ];
    let found = names.into_iter().filter_map(|(name, pointer)| {
        Some(Fact {
            name: name.to_owned(),
            value: facts.pointer(pointer)?.clone(),
        })
    });
    found.filter(|fact| fact.value != "").collect()
}

/// All facts of a query, under the names that policies have for them; labels are objects.
pub fn view(query: &Query) -> Value {
    let principal = match &query.principal {
        Principal::Service(service) => json!(service),
        Principal::Person(person) => json!(person),
    };
    let resource = match &query.resource {
        Resource::Service(service) => json!(service),
        Resource::Secret(secret) => json!(secret),
    };
    json!({
        "principal": principal,
        "action": query.action,
        "resource": resource,
        "context": query.context,
    })
}

/// What a policy's conditions read, each once, in the order of the text.
fn reads(policy: &Policy, facts: &Value) -> Vec<Fact> {
    let mut found = Vec::new();
    for clause in tree(policy).iter().flat_map(Template::clauses) {
        let (Clause::When(expression) | Clause::Unless(expression)) = clause;
        walk(expression, facts, &mut found);
    }
    found
}

fn walk(expression: &Expr, facts: &Value, found: &mut Vec<Fact>) {
    visit(expression, &mut |part| {
        let Some((name, value)) = chain(part, facts) else {
            return true;
        };
        if !found.iter().any(|fact| fact.name == name) {
            let value = value.cloned().unwrap_or(Value::Null);
            found.push(Fact { name, value });
        }
        false
    });
}

/// A chain of attributes from a variable on, in Cedar's tree of a policy.
fn chain<'f>(expression: &Expr, facts: &'f Value) -> Option<(String, Option<&'f Value>)> {
    match expression {
        Expr::GetAttr { expr, attr } => {
            let (name, value) = start(expr, facts)?;
            let value = value.and_then(|value| value.get(attr.as_str()));
            Some((format!("{name}.{}", printable(attr)), value))
        }
        Expr::BinaryOp {
            op: BinaryOp::GetTag | BinaryOp::HasTag,
            left,
            right,
        } => {
            let Expr::Literal(Literal::String(label)) = &**right else {
                return None;
            };
            let (name, value) = start(left, facts)?;
            // The site is its labels.
            let labels = value.map(|value| value.get("labels").unwrap_or(value));
            let value = labels.and_then(|labels| labels.get(label.as_str()));
            let label = json!(label.as_str()).to_string();
            Some((format!("{name}[{}]", printable(&label)), value))
        }
        _ => None,
    }
}

fn start<'f>(expression: &Expr, facts: &'f Value) -> Option<(String, Option<&'f Value>)> {
    match expression {
        Expr::Var(var) => {
            let name = name_of(var);
            Some((name.to_owned(), facts.get(name)))
        }
        _ => chain(expression, facts),
    }
}
