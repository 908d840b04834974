//! What `hushpipe check` asks beyond the manifest: would this host run the plan, and do the stores
//! have what it names? No value is read where a store can tell its versions without.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::failure::{Failure, Failures};
use super::fetch::{Stores, sources};
use super::host::Prior;
use super::{close, failure, host, open, runtime, supervise, take_signals};
use crate::model::{Exit, IsolationUsed, Observer, Plan, SecretName, Source, StoreName, Version};
use crate::stores::join;
use crate::sys::reaper::Reaper;

/// What was found.
pub struct Report {
    /// The program that would run.
    pub program: PathBuf,
    /// The isolations that would be tried, in order; empty when there are no files.
    pub isolation: Vec<IsolationUsed>,
    /// What is weaker here than a user may expect.
    pub warnings: Vec<String>,
    /// With `online`: the versions that would be fetched.
    pub versions: BTreeMap<SecretName, Version>,
}

/// Checks the host, and with `online` the stores. Every fault is reported; the observer sees what else a
/// person should know. Sealed stores are looked at in any case: what is odd about them is a warning, and
/// with `online` a fault.
pub fn preflight(
    plan: &Plan,
    online: bool,
    observer: &Rc<dyn Observer>,
) -> Result<Report, Failures> {
    let prior = Prior::new(plan, None);
    let host = host::settle(plan, None, prior.users.as_ref());
    let versions = if online {
        ask(plan, observer)
    } else {
        open::look_at_sealed(plan, observer);
        Ok(BTreeMap::new())
    };
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

type Versions = BTreeMap<SecretName, Version>;

fn ask(plan: &Plan, observer: &Rc<dyn Observer>) -> Result<Versions, Failures> {
    open::verify_sealed(plan, observer)?;
    let signals = take_signals()?;
    let reaper = Reaper::new();
    let stores = open::stores(plan, &reaper, observer)?;
    runtime()?.block_on(async {
        let mut supervisor = supervise::take_over(plan, signals, reaper, observer)?;
        let versions = match supervisor.during(versions(plan, &stores)).await {
            Ok(versions) => versions,
            Err(interrupted) => Err(vec![Failure::new(Exit::Os, interrupted)]),
        };
        close::close(&stores, &mut supervisor, observer.as_ref()).await;
        versions
    })
}

async fn versions(plan: &Plan, stores: &Stores) -> Result<Versions, Failures> {
    let asked = sources(plan);
    let answers = join::all(asked.iter().map(|(source, names)| async move {
        (names, version(stores, &source.store, source).await)
    }))
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

async fn version(stores: &Stores, store: &StoreName, source: &Source) -> Result<Version, Failure> {
    let answer = stores[store].version(source).await;
    answer.map_err(|fault| Failure::new(fault.exit(), fault))
}
