//! Stores by their settings.

use super::failure::{Failure, Failures};
use super::fetch::Stores;
use super::os;
use crate::model::{Exit, Plan, StoreKind, StoreName};
use crate::stores::Store;
use crate::stores::command::Command;
use crate::stores::directory::Directory;
use crate::stores::sealed::SealedStore;
use crate::sys::reaper::Reaper;

/// Builds the plan's stores; nothing is asked of them yet.
pub fn stores(plan: &Plan, reaper: &Reaper) -> Result<Stores, Failures> {
    plan.stores
        .iter()
        .map(|(name, spec)| Ok((name.clone(), open(name, &spec.kind, reaper)?)))
        .collect()
}

fn open(name: &StoreName, kind: &StoreKind, reaper: &Reaper) -> Result<Box<dyn Store>, Failures> {
    Ok(match kind {
        StoreKind::Sealed(spec) => Box::new(SealedStore::open(name.clone(), spec)),
        StoreKind::Directory(spec) => Box::new(Directory::new(name.clone(), spec)),
        StoreKind::Command(spec) => {
            let store = Command::new(name.clone(), spec, reaper.clone());
            Box::new(store.map_err(os("the kernel gives no random numbers"))?)
        }
        StoreKind::Vault(_) => {
            let text = format!("store {name}: this build has no stores of type vault");
            return Err(vec![Failure::new(Exit::Manifest, text)]);
        }
    })
}
