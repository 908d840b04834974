//! What policy is asked about secrets of a sealed store, which a manifest may describe or not.

use std::collections::BTreeSet;

use super::queries::{described, now};
use crate::model::query::{Action, Context, Facts, Person, Principal, Query, Resource, Secret};
use crate::model::{Governed, Plan, SecretName, SecretSpec, StoreName};

/// One question for each secret of the manifest that one of the keys is for, and for each key that is in
/// none; without keys, for each secret of the manifest in the store, and for the store as a whole.
pub fn sealed_queries(
    plan: Option<&Plan>,
    facts: &Facts,
    who: (&Person, Action),
    governed: Option<&Governed>,
    (store, keys): (&StoreName, &BTreeSet<String>),
) -> Vec<Query> {
    let secret = |spec: Option<&SecretSpec>, key: &str| Secret {
        name: key.to_owned(),
        store: store.to_string(),
        store_type: "sealed".to_owned(),
        path: key.to_owned(),
        ..as_governed(described(plan, spec, facts), governed)
    };
    let of_plan = plan.iter().flat_map(|plan| &plan.secrets);
    let of_plan: Vec<(&SecretName, &SecretSpec)> = of_plan
        .filter(|(_, spec)| spec.source.store == *store)
        .collect();
    let mut secrets = Vec::new();
    for key in keys {
        let before = secrets.len();
        let of_key = of_plan.iter();
        let of_key = of_key.filter(|(_, spec)| spec.source.key.as_deref() == Some(&**key));
        secrets.extend(of_key.map(|(_, spec)| secret(Some(spec), key)));
        if secrets.len() == before {
            secrets.push(secret(None, key));
        }
    }
    if keys.is_empty() {
        secrets.extend(of_plan.iter().map(|(_, spec)| {
            let key = spec.source.key.as_deref().unwrap_or_default();
            secret(Some(spec), key)
        }));
        secrets.push(secret(None, ""));
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

/// What the site says counts, whatever a manifest says.
fn as_governed(mut secret: Secret, governed: Option<&Governed>) -> Secret {
    if let Some(governed) = governed {
        let count = |said: &Option<String>, word: &mut String| {
            if let Some(said) = said {
                word.clone_from(said);
            }
        };
        count(&governed.classification, &mut secret.classification);
        count(&governed.owner, &mut secret.owner);
    }
    secret
}
