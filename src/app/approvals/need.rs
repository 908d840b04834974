//! What a launch needs approvals for.

use std::collections::BTreeSet;

use super::error::ApprovalsError;
use crate::approval::{Asked, Launch, Manifest, Program, Variables, Wanted, shown_arguments};
use crate::model::Approved;
use crate::model::query::{
    Action, Context, Effect, Facts, Obligation, Principal, Query, Resource, Ruling, Secret,
};
use crate::sys::filesystem::effective_uid;
use crate::sys::users::Database;

/// A launch, and what policies want of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The launch.
    pub launch: Launch,
    /// What policies want, each once.
    pub wanted: BTreeSet<Wanted>,
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
            secrets.insert(asked(secret, &query.context));
            found = Some((query, &service.name));
        }
        let Some((query, service)) = found else {
            return Ok(None);
        };
        let context = &query.context;
        Ok(Some(Self {
            launch: launch(service, context, secrets, policies)?,
            wanted,
            requesters: requesters(&context.facts),
        }))
    }
}

/// An approval that was spent for a launcher: it lifts the same policies' denials when what was approved
/// is delivered again, at a rotation or a restart, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    launch: Launch,
    policies: BTreeSet<String>,
}

impl Held {
    /// Of a launch, for these policies.
    pub fn new(need: &Need, spent: &[Approved]) -> Self {
        Self {
            launch: need.launch.clone(),
            policies: spent.iter().map(|one| one.policy.clone()).collect(),
        }
    }

    /// Whether it lifts what this policy denies, now that the digest of all policies is this one.
    pub fn lifts(&self, policy: &str, query: &Query, policies: &str) -> bool {
        let (Action::Deliver, Principal::Service(service), Resource::Secret(secret)) =
            (query.action, &query.principal, &query.resource)
        else {
            return false;
        };
        let secrets = self.launch.secrets.clone();
        let launch = launch(&service.name, &query.context, secrets, policies);
        self.policies.contains(policy)
            && self.launch.secrets.contains(&asked(secret, &query.context))
            && launch.is_ok_and(|launch| launch == self.launch)
    }
}

fn asked(secret: &Secret, context: &Context) -> Asked {
    Asked {
        asked: secret.path.clone(),
        deliveries: context.deliveries.iter().cloned().collect(),
        store: secret.store.clone(),
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
    context: &Context,
    secrets: BTreeSet<Asked>,
    policies: &str,
) -> Result<Launch, ApprovalsError> {
    let facts = &context.facts;
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
        break_glass: facts.break_glass,
        reason: facts.reason.clone(),
        environment: facts.environment.clone(),
        host: facts.host.clone(),
        uid: facts.uid,
        manifest: Manifest {
            path: facts.manifest.path.clone(),
            sha256: facts.manifest.sha256.clone(),
            signed_by: facts.manifest.signed_by.clone(),
        },
        program: Program {
            argv0: facts.program.argv0.clone(),
            interpreter: facts.program.interpreter.clone(),
            interpreter_sha256: facts.program.interpreter_sha256.clone(),
            path: facts.program.path.clone(),
            sha256: facts.program.sha256.clone(),
        },
        arguments: shown_arguments(facts.shown.arguments.iter().cloned()),
        arguments_sha256: facts.arguments_sha256.clone(),
        directory: facts.shown.directory.clone(),
        mode: context.mode.clone(),
        isolation: facts.shown.isolation.clone(),
        secrets,
        variables: Variables {
            names: facts.manifest.variables.iter().cloned().collect(),
            sha256: facts.manifest.variables_sha256.clone(),
        },
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
