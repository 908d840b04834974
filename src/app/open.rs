//! Stores by their settings.

use std::rc::Rc;

use super::failure::{Failure, Failures};
use super::fetch::Stores;
use crate::model::{
    Event, Observer, Plan, SealedStore as Spec, StoreKind, StoreName, StoreSpec, Topic,
};
use crate::stores::sealed::SealedStore;
use crate::stores::{Setting, Store, StoreError, registry};
use crate::sys::environment;
use crate::sys::reaper::Reaper;

/// Builds the plan's stores; nothing is asked of them yet.
pub fn stores(
    plan: &Plan,
    reaper: &Reaper,
    observer: &Rc<dyn Observer>,
) -> Result<Stores, Failures> {
    let stores = plan
        .stores
        .iter()
        .map(|(name, spec)| Ok((name.clone(), open(name, spec, reaper, observer)?)))
        .collect::<Result<_, Failures>>();
    forget_tokens(plan);
    Ok(Stores::new(stores?, observer))
}

/// The stores have taken the tokens that the environment holds: nothing else of hushpipe needs them, and
/// `/proc/PID/environ` would show them for as long as it lives. Only a command that the manifest gives
/// such a variable gets it at each run.
fn forget_tokens(plan: &Plan) {
    let passed_on = |name: &str| {
        let mut kinds = plan.stores.values().map(|spec| &spec.kind);
        kinds.any(|kind| {
            matches!(kind, StoreKind::Command(spec) if spec.env.iter().any(|one| one == name))
        })
    };
    let names: Vec<&str> = registry::variables()
        .filter(|name| !passed_on(name))
        .collect();
    environment::wipe(&names);
}

fn sealed(
    name: &StoreName,
    spec: &Spec,
    owners: &[u32],
    observer: &Rc<dyn Observer>,
) -> SealedStore {
    SealedStore::open(name.clone(), spec, Rc::clone(observer)).trusting(owners)
}

fn sealed_stores(plan: &Plan, observer: &Rc<dyn Observer>) -> Vec<SealedStore> {
    let stores = plan.stores.iter();
    stores
        .filter_map(|(name, spec)| match &spec.kind {
            StoreKind::Sealed(sealed_spec) => {
                Some(sealed(name, sealed_spec, &spec.trust, observer))
            }
            _ => None,
        })
        .collect()
}

/// Sees that each sealed store is whole: its index, its files and its recipients.
pub fn verify_sealed(plan: &Plan, observer: &Rc<dyn Observer>) -> Result<(), Failures> {
    let stores = sealed_stores(plan, observer);
    none_of(stores.iter().filter_map(|store| store.verify().err()))
}

/// The same, of those that are on this host; the observer sees what is wrong.
pub fn look_at_sealed(plan: &Plan, observer: &Rc<dyn Observer>) {
    for store in sealed_stores(plan, observer) {
        let verified = store.is_there().and_then(|there| {
            if there {
                store.verify().map(drop)
            } else {
                Ok(())
            }
        });
        if let Err(error) = verified {
            let message = error.to_string();
            observer.observe(&Event::Weaker {
                about: Topic::Store,
                message,
            });
        }
    }
}

/// The stores whose secrets lie on this host: who looks into them asks nobody. What they report beside
/// errors is not heard.
pub fn local(plan: &Plan) -> Result<Stores, Failures> {
    let (silent, reaper): (Rc<dyn Observer>, _) = (Rc::new(()), Reaper::new());
    let is_local =
        |spec: &StoreSpec| matches!(spec.kind, StoreKind::Sealed(_) | StoreKind::Directory(_));
    let stores = plan.stores.iter().filter(|(_, spec)| is_local(spec));
    let stores = stores
        .map(|(name, spec)| Ok((name.clone(), open(name, spec, &reaper, &silent)?)))
        .collect::<Result<_, Failures>>()?;
    Ok(Stores::new(stores, &silent))
}

/// Fails where the identity of a sealed store cannot be used.
pub fn check_identities(plan: &Plan) -> Result<(), Failures> {
    let silent: Rc<dyn Observer> = Rc::new(());
    let stores = sealed_stores(plan, &silent);
    none_of(
        stores
            .iter()
            .filter_map(|store| store.own_recipients().err()),
    )
}

/// Fails with all of these errors, if there are any.
fn none_of(errors: impl Iterator<Item = StoreError>) -> Result<(), Failures> {
    let failures: Failures = errors
        .map(|error| Failure::new(error.exit(), error))
        .collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

fn open(
    name: &StoreName,
    spec: &StoreSpec,
    reaper: &Reaper,
    observer: &Rc<dyn Observer>,
) -> Result<Box<dyn Store>, Failures> {
    let setting = Setting {
        name,
        spec,
        reaper,
        observer,
    };
    registry::open(&setting).map_err(|error| vec![Failure::new(error.exit(), error)])
}
