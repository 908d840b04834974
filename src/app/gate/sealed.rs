//! What policy is asked about secrets of a sealed store, which a manifest may describe or not.

use std::collections::BTreeSet;

use super::queries::now;
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
    let owner = spec.and_then(|spec| spec.owner.as_ref());
    let owner = owner.or_else(|| plan?.owner.as_ref());
    let classification = spec.and_then(|spec| spec.classification.as_ref());
    Secret {
        name: key.to_owned(),
        store: store.to_string(),
        store_type: "sealed".to_owned(),
        path: key.to_owned(),
        classification: classification.cloned().unwrap_or_default(),
        owner: owner.cloned().unwrap_or_default(),
        environment: spec
            .and_then(|spec| spec.environment.as_ref())
            .unwrap_or(&facts.environment)
            .clone(),
        labels: spec.map(|spec| spec.labels.clone()).unwrap_or_default(),
        age: 0,
    }
}
