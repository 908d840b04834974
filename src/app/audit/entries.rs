//! What is recorded of releases, decisions and events.

use crate::audit::{Delivery, Draft, Entry, Fingerprint, Kind, Secret};
use crate::model::query::{Action, Effect, Query, Resource};
use crate::model::{self, Decision, DeliveryKind, Event, Plan, Release, SecretName, Verdict};
use crate::sys::process;

/// Of a release: its decisions, what lifted denials, and the secrets that are about to be delivered.
pub fn release(release: &Release<'_>) -> Vec<Draft> {
    let mut entries: Vec<Entry> = release.decisions.iter().map(decision).collect();
    for approved in release.approvals {
        let people = approved.people.join(", ");
        let text = format!(
            "request {} lifted policy {}, approved by {people}",
            approved.request, approved.policy
        );
        entries.push(Entry::new(Kind::ApprovalSpent).saying(text));
    }
    let mut entry = Entry::new(Kind::Release);
    release.reason.word().clone_into(&mut entry.reason);
    entry.run_uid = Some(release.uid);
    // Each decision has them already.
    let alone = release.facts.filter(|_| release.decisions.is_empty());
    entry.facts = alone.cloned().map(Box::new);
    let secrets = release.versions.iter().map(|(name, version)| {
        let fingerprints = release.fingerprints.get(name).into_iter().flatten();
        Secret {
            version: version.0.clone(),
            fingerprints: fingerprints.map(Fingerprint::new).collect(),
            ..secret(release.plan, name)
        }
    });
    entry.secrets = secrets.collect();
    entries.push(entry);
    entries.into_iter().map(Draft::now).collect()
}

/// What a plan says of a secret.
fn secret(plan: &Plan, name: &SecretName) -> Secret {
    let Some(spec) = plan.secrets.get(name) else {
        return named(name);
    };
    let deliveries = plan.deliveries.iter();
    let deliveries = deliveries.filter(|delivery| delivery.channel.secrets().contains(name));
    Secret {
        store: spec.source.store.to_string(),
        asked: spec.source.asked().to_owned(),
        classification: spec.classification.clone().unwrap_or_default(),
        owner: spec
            .owner
            .as_ref()
            .or(plan.owner.as_ref())
            .cloned()
            .unwrap_or_default(),
        deliveries: deliveries
            .map(|delivery| recorded(&delivery.kind))
            .collect(),
        ..named(name)
    }
}

fn named(name: &SecretName) -> Secret {
    Secret {
        name: name.to_string(),
        ..Secret::default()
    }
}

fn recorded(kind: &DeliveryKind) -> Delivery {
    Delivery {
        kind: kind.word().to_owned(),
        place: kind.place(),
    }
}

/// Of one decision. One that was refused is a denial.
pub fn decision(decision: &Decision) -> Entry {
    let kind = match decision.verdict {
        Verdict::Denied => Kind::Denied,
        _ => Kind::Decision,
    };
    let mut entry = Entry::new(kind).saying(decision.verdict.word());
    if decision.verdict == Verdict::Denied || decision.ruling.effect != Effect::Allow {
        entry = entry.failed();
    }
    entry.secrets.extend(asked_about(&decision.query));
    entry.query = Some(Box::new(decision.query.clone()));
    entry.ruling = Some(decision.ruling.clone());
    entry
}

/// The secret that policy is asked about.
fn asked_about(query: &Query) -> Option<Secret> {
    let Resource::Secret(secret) = &query.resource else {
        return None;
    };
    Some(Secret {
        name: secret.name.clone(),
        store: secret.store.clone(),
        asked: secret.path.clone(),
        classification: secret.classification.clone(),
        owner: secret.owner.clone(),
        ..Secret::default()
    })
}

/// Of a person's command on secrets that no launcher delivers: all of it in one record.
pub fn custody(queries: &[Query]) -> Option<Entry> {
    let first = queries.first()?;
    let kind = match first.action {
        Action::Reveal => Kind::Reveal,
        _ => Kind::Change,
    };
    let facts = &first.context.facts;
    let entry = Entry::new(kind).saying(facts.reason.clone());
    Some(Entry {
        secrets: queries.iter().filter_map(asked_about).collect(),
        facts: Some(Box::new(facts.clone())),
        ..entry.by(Some((process::id(), facts.uid)))
    })
}

/// Of what a person is about to see of the secrets that were asked about.
pub fn revealed(queries: &[Query], version: u64, fingerprint: Option<[u8; 32]>) -> Option<Entry> {
    let mut entry = custody(queries)?;
    let mut revealed = Entry::new(Kind::Revealed);
    for secret in &mut entry.secrets {
        secret.version = version.to_string();
        secret.fingerprints = fingerprint.iter().map(Fingerprint::new).collect();
    }
    revealed.secrets = entry.secrets;
    revealed.peer = entry.peer;
    Some(revealed)
}

/// Of an event. `None`: it is none of the log's.
pub fn event(event: &Event) -> Option<Entry> {
    let of = |kind, generation: model::Generation| Entry {
        generation: Some(generation.0),
        ..Entry::new(kind)
    };
    Some(match event {
        Event::Delivered {
            secret,
            version,
            generation,
        } => Entry {
            secrets: vec![Secret {
                version: version.0.clone(),
                ..named(secret)
            }],
            ..of(Kind::Delivered, *generation)
        },
        Event::Rotated { generation, .. } => of(Kind::Rotated, *generation),
        Event::RolledBack { generation, reason } => {
            let entry = of(Kind::RolledBack, *generation);
            match reason {
                Some(reason) => entry.saying(reason).failed(),
                None => entry,
            }
        }
        Event::Verified { .. } => Entry::new(Kind::Verified),
        Event::Revoked { .. } => Entry::new(Kind::Revoked).saying(event.message()),
        Event::RotationFailed { error } => {
            Entry::new(Kind::Failed).saying(error.to_string()).failed()
        }
        Event::Asked { what, by } => Entry::new(Kind::Control).saying(what).by(*by),
        Event::BreakGlass { reason, by, .. } => Entry::new(Kind::BreakGlass).saying(reason).by(*by),
        Event::ApprovalRequested { .. } => Entry::new(Kind::ApprovalAsked).saying(event.message()),
        Event::ApprovalGiven { .. } => Entry::new(Kind::ApprovalGiven).saying(event.message()),
        _ => return None,
    })
}
