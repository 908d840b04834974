//! What open incidents refuse: deliveries of a secret, or of the values that it had.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::app::incidents::Place;
use crate::model::query::{Effect, Principal, Query, Resource, Ruling};
use crate::model::{
    Compromised, Decision, Denial, DeniedBy, Incident, IncidentState, Quarantined, SecretName,
    Verdict, Version, hex,
};

/// The incidents of a site.
#[derive(Clone, Debug)]
pub struct Quarantine(PathBuf);

/// Of one release: its versions, and their fingerprints.
pub struct Values<'a> {
    /// By name.
    pub versions: &'a BTreeMap<SecretName, Version>,
    /// By name, where the site has a key for them.
    pub fingerprints: &'a BTreeMap<SecretName, Vec<[u8; 32]>>,
}

impl Quarantine {
    /// In a directory, which may not be there.
    pub const fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Refuses queries for secrets that are in quarantine; with `values`, also for the values alone. What cannot
    /// be read refuses all.
    pub fn check(
        &self,
        queries: impl FnOnce() -> Vec<Query>,
        values: Option<&Values<'_>>,
    ) -> Result<(), Denial> {
        let incidents = match Place::open(&self.0) {
            Ok(None) => return Ok(()),
            Ok(Some(place)) => place.open_ones(),
            Err(why) => Err(why),
        };
        let queries = match &incidents {
            Ok(incidents) if incidents.is_empty() => return Ok(()),
            _ => queries(),
        };
        let incidents = match incidents {
            Ok(incidents) => incidents,
            Err(why) => {
                let all = queries
                    .iter()
                    .map(|query| refused(query, &[], vec![why.clone()]));
                return self.denial(all.collect(), queries.len(), Vec::new());
            }
        };
        let (mut refusals, mut notes) = (Vec::new(), Vec::new());
        for query in &queries {
            let holds = |incident: &&Incident| {
                holds(incident, query)
                    || values.is_some_and(|values| has_value(incident, query, values))
            };
            let ids: Vec<&Incident> = incidents.iter().filter(holds).collect();
            if ids.is_empty() {
                continue;
            }
            for incident in &ids {
                notes.push(format!("incident {}: {}", incident.id, incident.reason));
            }
            refusals.push(refused(query, &ids, Vec::new()));
        }
        notes.dedup();
        self.denial(refusals, queries.len(), notes)
    }

    fn denial(
        &self,
        refused: Vec<Decision>,
        asked: usize,
        notes: Vec<String>,
    ) -> Result<(), Denial> {
        if refused.is_empty() {
            return Ok(());
        }
        Err(Denial {
            facts: vec![Vec::new(); refused.len()],
            refused,
            repeated: false,
            asked,
            by: DeniedBy::Quarantine(self.0.clone()),
            notes,
        })
    }
}

fn refused(query: &Query, incidents: &[&Incident], errors: Vec<String>) -> Decision {
    Decision {
        query: query.clone(),
        ruling: Ruling {
            effect: Effect::Deny,
            policies: incidents
                .iter()
                .map(|incident| format!("incident {}", incident.id))
                .collect(),
            errors,
            obligations: Vec::new(),
            stop: false,
        },
        verdict: Verdict::Denied,
    }
}

/// Whether an incident refuses all deliveries of a secret.
fn holds(incident: &Incident, query: &Query) -> bool {
    // While the playbook runs, it delivers what is new.
    incident.quarantine == Quarantined::Secret
        && incident.state != IncidentState::Containing
        && is_suspect(incident, query)
}

fn is_suspect(incident: &Incident, query: &Query) -> bool {
    let (Principal::Service(service), Resource::Secret(secret)) =
        (&query.principal, &query.resource)
    else {
        return false;
    };
    incident.suspects.iter().any(|suspect| {
        let is_named = suspect.service == service.name && suspect.secret == secret.name;
        is_named || suspect.store == secret.store && suspect.asked == secret.path
    })
}

/// Whether a release has a version or a value that it refuses.
fn has_value(incident: &Incident, query: &Query, values: &Values<'_>) -> bool {
    let Resource::Secret(secret) = &query.resource else {
        return false;
    };
    let Ok(name) = SecretName::new(&secret.name) else {
        return false;
    };
    let version = values.versions.get(&name).map(|version| Compromised {
        store: secret.store.clone(),
        asked: secret.path.clone(),
        version: version.0.clone(),
    });
    let mut fingerprints = values.fingerprints.get(&name).into_iter().flatten();
    version.is_some_and(|version| incident.versions.contains(&version))
        || fingerprints.any(|one| incident.fingerprints.contains(&hex(one)))
}
