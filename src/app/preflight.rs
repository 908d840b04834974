//! What `hushpipe check` asks beyond the manifest: would this host run the plan, and do the stores
//! have what it names? No value is read where a store can tell its versions without.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::audit::By;
use super::event_loop::{runtime, take_signals};
use super::failure::{Failure, Failures};
use super::fetch::{Stores, sources};
use super::gate::{Gate, Governance, Patience};
use super::host::{self, Host, Prior};
use super::inherited::Inherited;
use super::{close, failure, open, supervise, values};
use crate::model::{Exit, IsolationUsed, Observer, Plan, Reason, SecretName, Source, Version};
use crate::stores::join;
use crate::sys::reaper::Reaper;

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// At this host, and the sealed and directory stores on it.
    Host,
    /// And at the stores: would they answer, and do they have every secret?
    Stores,
    /// And at the values, as a run would: their checks, the templates, arguments and environment.
    Values,
}

/// What was found.
pub struct Report {
    /// The program that would run.
    pub program: PathBuf,
    /// The isolations that would be tried, in order; empty when there are no files.
    pub isolation: Vec<IsolationUsed>,
    /// What is weaker here than a user may expect, and what the program will miss.
    pub warnings: Vec<String>,
    /// Where the stores were asked: the versions that would be fetched.
    pub versions: BTreeMap<SecretName, Version>,
}

/// Checks the host, and the stores where it is to look there. Every fault is reported; the observer sees
/// what else a person should know. Stores on this host are looked at in any case, as a run would fail
/// without them; what else is odd about a sealed one is a warning, and where the stores are asked a fault.
pub fn preflight(
    plan: &Plan,
    governance: &Governance,
    look: Look,
    observer: &Rc<dyn Observer>,
) -> Result<Report, Failures> {
    let gate = Gate::of(
        governance,
        By::Command("hushpipe check", Some(plan)),
        observer,
    )?;
    let prior = Prior::new(plan, None, Inherited::default());
    let host = host::settle(plan, None, prior.users.as_ref());
    let versions = match (look, &host) {
        (Look::Host, host) => {
            open::look_at_sealed(plan, observer);
            let decided = host.as_ref().map_or(Ok(()), |host| {
                let mut subject = gate.subject(plan, host);
                if gate.reads_age() {
                    let stores = open::local(plan)?;
                    subject = subject.aged(stores.made(plan, plan.secrets.keys()));
                }
                gate.would_start(plan, &subject)
            });
            both(decided, look_at_local(plan))
        }
        (Look::Values | Look::Stores, Ok(host)) if look == Look::Values || gate.decides() => {
            ask(plan, Some((host, &gate)), look, observer)
        }
        // What policy has not decided on is not asked for.
        (Look::Values | Look::Stores, Err(_)) if gate.decides() => Ok(Versions::new()),
        (Look::Values | Look::Stores, _) => ask(plan, None, look, observer),
    };
    gate.audit().settle();
    match (host, versions) {
        (Ok(host), Ok(versions)) => Ok(Report {
            warnings: host.warnings(plan),
            program: host.launch.program().to_owned(),
            isolation: if host.layout.is_empty() {
                Vec::new()
            } else {
                host.order
            },
            versions,
        }),
        (host, versions) => {
            let failures = host.err().into_iter().chain(versions.err());
            Err(failure::in_manifest(
                failures.flatten().collect(),
                &plan.manifest,
            ))
        }
    }
}

/// All that is wrong.
fn both(
    decided: Result<(), Failures>,
    found: Result<Versions, Failures>,
) -> Result<Versions, Failures> {
    match (decided, found) {
        (Ok(()), found) => found,
        (Err(denied), Ok(_)) => Err(denied),
        (Err(mut failures), Err(others)) => {
            failures.extend(others);
            Err(failures)
        }
    }
}

/// Whether the stores of this host have what the plan names, and can be opened; no value is read.
fn look_at_local(plan: &Plan) -> Result<Versions, Failures> {
    let stores = open::local(plan)?;
    if stores.iter().next().is_none() {
        return Ok(Versions::new());
    }
    let found = runtime()?.block_on(versions(plan, &stores));
    match (open::check_identities(plan), found) {
        (Ok(()), Ok(_)) => Ok(Versions::new()),
        (identities, found) => {
            let failures = identities.err().into_iter().chain(found.err());
            Err(failures.flatten().collect())
        }
    }
}

type Versions = BTreeMap<SecretName, Version>;

/// With a host, the values are fetched, looked at and let go; what was leased is revoked.
fn ask(
    plan: &Plan,
    host: Option<(&Host, &Gate)>,
    look: Look,
    observer: &Rc<dyn Observer>,
) -> Result<Versions, Failures> {
    let subject = host.map(|(host, gate)| gate.subject(plan, host));
    let signals = take_signals()?;
    let reaper = Reaper::new();
    let stores = open::stores(plan, &reaper, observer)?;
    runtime()?.block_on(async {
        let mut supervisor = supervise::take_over(plan, signals, reaper, observer)?;
        let asking = async {
            let (Some((host, gate)), Some(mut subject)) = (host, subject) else {
                open::verify_sealed(plan, observer)?;
                return versions(plan, &stores).await;
            };
            if gate.reads_age() {
                subject = subject.aged(stores.ask_made(plan).await);
            }
            let (why, patience) = (Reason::Launch, Patience::Look);
            let authorised = gate.authorise(plan, subject, why, patience).await?;
            open::verify_sealed(plan, observer)?;
            if look == Look::Stores {
                return versions(plan, &stores).await;
            }
            let gathered = values::gather(&authorised, &stores, host, observer).await?;
            Ok(gathered.round.versions)
        };
        let versions = match supervisor.during(asking).await {
            Ok(versions) => versions,
            Err(interrupted) => Err(vec![Failure::new(Exit::Os, interrupted)]),
        };
        close::close(&stores, &mut supervisor, observer.as_ref()).await;
        versions
    })
}

/// Of the secrets of these stores.
async fn versions(plan: &Plan, stores: &Stores) -> Result<Versions, Failures> {
    let mut asked = sources(plan);
    asked.retain(|source, _| stores.has(&source.store));
    let answers = join::all(
        asked
            .iter()
            .map(|(source, names)| async move { (names, version(stores, source).await) }),
    )
    .await;
    let mut versions = Versions::new();
    let mut failures = Failures::new();
    for (names, answer) in answers {
        match answer {
            Ok(version) => {
                versions.extend(names.iter().map(|name| ((*name).clone(), version.clone())));
            }
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() {
        Ok(versions)
    } else {
        Err(failures)
    }
}

async fn version(stores: &Stores, source: &Source) -> Result<Version, Failure> {
    let answer = stores.version(source).await;
    answer.map_err(|fault| Failure::new(fault.exit(), fault))
}
