//! Cases of `hushpipe policy test`: queries, and what the policies are expected to say.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::policies::Policies;
use crate::model::nearest::nearest;
use crate::model::printable::printable;
use crate::model::query::{
    Action, Context, Effect, Person, Principal, Query, Resource, Secret, Service,
};
use crate::model::words::Words;

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name; else its number.
    pub name: String,
    /// What is asked.
    pub query: Query,
    /// What is expected.
    pub expected: Expected,
}

/// What is expected of a ruling. What a case leaves out may be anything.
#[derive(Clone, Debug)]
pub struct Expected {
    decision: Effect,
    policies: Option<Vec<String>>,
    /// A part of the explanation.
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    defaults: Map<String, Value>,
    cases: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    query: Map<String, Value>,
    decision: Effect,
    policies: Option<Vec<String>>,
    reason: Option<String>,
}

/// Reads all cases; all that is wrong is given, a line each.
pub fn cases(document: Value) -> Result<Vec<Case>, Vec<String>> {
    let file: File = serde_json::from_value(document).map_err(|error| {
        let help = "write `cases:`, a list of {name, query, decision, policies, reason}";
        vec![format!("{}: {help}", printable(&error.to_string()))]
    })?;
    let (mut read, mut errors) = (Vec::new(), Vec::new());
    for (index, written) in file.cases.into_iter().enumerate() {
        let name = written
            .name
            .unwrap_or_else(|| format!("case {}", index + 1));
        let mut asked = Value::Object(file.defaults.clone());
        lay(&mut asked, Value::Object(written.query));
        match query(asked) {
            Ok(query) => read.push(Case {
                name,
                query,
                expected: Expected {
                    decision: written.decision,
                    policies: written.policies,
                    reason: written.reason,
                },
            }),
            Err(wrong) => errors.push(format!("{}: {wrong}", printable(&name))),
        }
    }
    if errors.is_empty() {
        Ok(read)
    } else {
        Err(errors)
    }
}

impl Case {
    /// Decides, and gives what differs: `- expected` and `+ decided`, as diff(1) has it. None: nothing.
    pub fn check(&self, policies: &Policies) -> Vec<String> {
        let ruling = policies.decide(&self.query);
        let why = policies.why(&self.query, &ruling).lines();
        let Expected {
            decision,
            policies: ids,
            reason,
        } = &self.expected;
        let mut lines = Vec::new();
        if *decision != ruling.effect {
            lines.push(format!("-decision: {decision}"));
            lines.push(format!("+decision: {}", ruling.effect));
        }
        let sorted = |ids: &[String]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        if let Some(ids) = ids
            .as_ref()
            .filter(|ids| sorted(ids) != sorted(&ruling.policies))
        {
            let shown = |ids: &[String]| printable(&ids.join(", "));
            lines.push(format!("-policies: [{}]", shown(ids)));
            lines.push(format!("+policies: [{}]", shown(&ruling.policies)));
        }
        if let Some(reason) = reason
            .as_ref()
            .filter(|part| !why.iter().any(|line| line.contains(*part)))
        {
            lines.push(format!("-reason: {}", printable(reason)));
            lines.extend(why.iter().map(|line| format!("+reason: {line}")));
        } else if !lines.is_empty() {
            lines.extend(why.iter().map(|line| format!(" {line}")));
        }
        lines
    }
}

/// Lays values over others: objects are merged, null takes away, all else is replaced.
fn lay(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.shift_remove(&key);
                } else {
                    lay(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// A query of what is written: what is left out is empty. A key that queries have not is refused.
pub fn query(written: Value) -> Result<Query, String> {
    let action = match written.get("action") {
        None => Action::Deliver,
        Some(action) => serde_json::from_value(action.clone())
            .map_err(|_| format!("action: expected {}", Action::WANTED))?,
    };
    let mut whole = json!(empty(action, &written));
    fill(&mut whole, written, "")?;
    serde_json::from_value(whole).map_err(|error| printable(&error.to_string()))
}

/// With the types of principal and resource that the action has, or those that are written.
fn empty(action: Action, written: &Value) -> Query {
    let kind = |of: &str| written.get(of).and_then(|one| one.get("type")?.as_str());
    let service = match kind("principal") {
        Some(kind) => kind == "Service",
        None => action == Action::Deliver,
    };
    let secret = match kind("resource") {
        Some(kind) => kind == "Secret",
        None => action != Action::Status,
    };
    Query {
        principal: if service {
            Principal::Service(Service::default())
        } else {
            Principal::Person(Person::default())
        },
        action,
        resource: if secret {
            Resource::Secret(Box::<Secret>::default())
        } else {
            Resource::Service(Service::default())
        },
        context: Context::default(),
    }
}

fn fill(base: &mut Value, over: Value, place: &str) -> Result<(), String> {
    let (base, over) = match (base, over) {
        (Value::Object(base), Value::Object(over)) => (base, over),
        (base, over) => {
            *base = over;
            return Ok(());
        }
    };
    for (key, value) in over {
        let within = format!("{place}{key}");
        // Labels have names of their own.
        if within.ends_with("labels") || within == "context.site" {
            base.insert(key, value);
            continue;
        }
        let near = nearest(&key, base.keys().map(String::as_str)).map(str::to_owned);
        let Some(known) = base.get_mut(&key) else {
            let known = base.keys().map(String::as_str).collect::<Vec<_>>();
            let help = near.map_or_else(
                || format!("there are {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(format!("unknown key `{}`: {help}", printable(&within)));
        };
        if known.is_object() && !value.is_object() {
            return Err(format!("`{}`: expected a mapping", printable(&within)));
        }
        fill(known, value, &format!("{within}."))?;
    }
    Ok(())
}
