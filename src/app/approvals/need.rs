//! What a launch needs approvals for.

use std::collections::BTreeSet;

use super::error::ApprovalsError;
use crate::approval::{Asked, Launch, Program, Wanted};
use crate::model::query::{Effect, Facts, Obligation, Principal, Query, Resource, Ruling};
use crate::sys::filesystem::effective_uid;
use crate::sys::users::Database;

/// A launch, and what policies want of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The launch.
    pub launch: Launch,
    /// What policies want, each once.
    pub wanted: BTreeSet<Wanted>,
    /// `--reason`
    pub reason: String,
    /// The names of who launches: of the login (its name is the request's `by`), and of hushpipe's user.
    pub requesters: Vec<String>,
}

impl Need {
    /// Of a release's questions and answers; `None`: no policy wants an approval.
    ///
    /// `policies` is the digest of all of the site's policies, in hex: an approval that was requested
    /// under other ones does not count.
    pub fn of<'a>(
        decided: impl IntoIterator<Item = (&'a Query, &'a Ruling)>,
        policies: &str,
    ) -> Result<Option<Self>, ApprovalsError> {
        let mut found: Option<(&Query, &str)> = None;
        let (mut wanted, mut secrets) = (BTreeSet::new(), BTreeSet::new());
        let pending = decided
            .into_iter()
            .filter(|(_, ruling)| ruling.effect == Effect::Pending);
        for (query, ruling) in pending {
            let approvals: Vec<Wanted> = ruling
                .obligations
                .iter()
                .filter_map(of_obligation)
                .collect();
            if approvals.is_empty() {
                continue;
            }
            let (Principal::Service(service), Resource::Secret(secret)) =
                (&query.principal, &query.resource)
            else {
                return Err(ApprovalsError::NotLaunch);
            };
            wanted.extend(approvals);
            secrets.insert(Asked {
                asked: secret.path.clone(),
                store: secret.store.clone(),
            });
            found = Some((query, &service.name));
        }
        let Some((query, service)) = found else {
            return Ok(None);
        };
        let facts = &query.context.facts;
        Ok(Some(Self {
            launch: launch(service, facts, secrets, policies)?,
            wanted,
            reason: facts.reason.clone(),
            requesters: requesters(facts),
        }))
    }
}

fn of_obligation(obligation: &Obligation) -> Option<Wanted> {
    match obligation {
        Obligation::Approval {
            policy,
            needed,
            group,
            within,
        } => Some(Wanted {
            policy: policy.clone(),
            needed: *needed,
            group: group.clone(),
            within: *within,
        }),
        Obligation::Reason { .. } => None,
    }
}

fn launch(
    service: &str,
    facts: &Facts,
    secrets: BTreeSet<Asked>,
    policies: &str,
) -> Result<Launch, ApprovalsError> {
    let digests = [
        ("manifest", &*facts.manifest.sha256),
        ("program", &facts.program.sha256),
        ("arguments", &facts.arguments_sha256),
        ("policies", policies),
    ];
    if let Some((what, _)) = digests.into_iter().find(|(_, digest)| digest.is_empty()) {
        return Err(ApprovalsError::NoDigest(what));
    }
    Ok(Launch {
        service: service.to_owned(),
        environment: facts.environment.clone(),
        host: facts.host.clone(),
        uid: facts.uid,
        manifest_sha256: facts.manifest.sha256.clone(),
        program: Program {
            path: facts.program.path.clone(),
            sha256: facts.program.sha256.clone(),
        },
        arguments_sha256: facts.arguments_sha256.clone(),
        secrets,
        policies_sha256: policies.to_owned(),
    })
}

/// Who logged in, whatever su or sudo did since, and who runs hushpipe.
fn requesters(facts: &Facts) -> Vec<String> {
    let login = u32::try_from(facts.login_uid).ok();
    let mut names: Vec<String> = login
        .into_iter()
        .chain([effective_uid()])
        .map(name_of)
        .collect();
    names.dedup();
    names
}

/// A user's name; the number of one who has none.
pub fn name_of(uid: u32) -> String {
    Database::host().name_of_user(uid)
}
