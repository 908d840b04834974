//! What policy is asked about secrets of a sealed store, which a manifest may describe or not.

use std::collections::BTreeSet;

use super::queries::{described, now};
use crate::model::query::{Action, Context, Facts, Person, Principal, Query, Resource, Secret};
use crate::model::{Plan, SecretName, SecretSpec, StoreName};

/// One question for each secret of the manifest that one of the keys is for, and for each key that is in
/// none; without keys, for each secret of the manifest in the store, and for the store as a whole.
pub fn sealed_queries(
    plan: Option<&Plan>,
    facts: &Facts,
    who: (&Person, Action),
    store: &StoreName,
    keys: &BTreeSet<String>,
) -> Vec<Query> {
    let described = plan.iter().flat_map(|plan| &plan.secrets);
    let described: Vec<(&SecretName, &SecretSpec)> = described
        .filter(|(_, spec)| spec.source.store == *store)
        .collect();
    let mut secrets = Vec::new();
    for key in keys {
        let before = secrets.len();
        let of_key = described.iter();
        let of_key = of_key.filter(|(_, spec)| spec.source.key.as_deref() == Some(&**key));
        secrets.extend(of_key.map(|(_, spec)| secret(plan, Some(spec), facts, store, key)));
        if secrets.len() == before {
            secrets.push(secret(plan, None, facts, store, key));
        }
    }
    if keys.is_empty() {
        secrets.extend(described.iter().map(|(_, spec)| {
            let key = spec.source.key.as_deref().unwrap_or_default();
            secret(plan, Some(spec), facts, store, key)
        }));
        secrets.push(secret(plan, None, facts, store, ""));
    }
    secrets
        .into_iter()
        .map(|secret| query(who, facts, secret))
        .collect()
}

fn query((person, action): (&Person, Action), facts: &Facts, secret: Secret) -> Query {
    Query {
        principal: Principal::Person(person.clone()),
        action,
        resource: Resource::Secret(Box::new(secret)),
        context: Context {
            occasion: action.word().to_owned(),
            facts: facts.clone(),
            time: now(),
            ..Context::default()
        },
    }
}

fn secret(
    plan: Option<&Plan>,
    spec: Option<&SecretSpec>,
    facts: &Facts,
    store: &StoreName,
    key: &str,
) -> Secret {
    Secret {
        name: key.to_owned(),
        store: store.to_string(),
        store_type: "sealed".to_owned(),
        path: key.to_owned(),
        ..described(plan, spec, facts)
    }
}
