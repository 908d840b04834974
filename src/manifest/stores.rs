//! Stores: from records to the plan.

use std::collections::BTreeMap;

use super::build::Builder;
use super::fault::Span;
use super::records::{Manifest, Store};
use crate::model::{
    CommandStore, DirectoryStore, Mode, SealedStore, StoreKind, StoreName, StoreSpec,
};

impl Builder<'_> {
    /// Every store.
    pub fn stores(&mut self, manifest: &Manifest, mode: Mode) -> BTreeMap<StoreName, StoreSpec> {
        let mut stores = BTreeMap::new();
        for (span, name, store) in manifest.stores.get().map_or(&[][..], |table| &table.0) {
            let kind = store.get().and_then(|store| self.store(*span, store, mode));
            if let (Some(kind), Some(store)) = (kind, store.get()) {
                let spec = StoreSpec {
                    at: self.place(*span),
                    kind,
                    trust: store.trust(),
                };
                stores.insert(name.clone(), spec);
            }
        }
        stores
    }

    fn store(&mut self, at: Span, store: &Store, mode: Mode) -> Option<StoreKind> {
        Some(match store {
            Store::Sealed(sealed) => StoreKind::Sealed(SealedStore {
                path: sealed.path.get()?.0.clone(),
                identity_file: match &self.overrides.identity {
                    Some(named) => named.clone(),
                    None => sealed.identity_file.get()?.0.clone(),
                },
                accept: self.overrides.accept_store,
            }),
            Store::Directory(directory) => StoreKind::Directory(DirectoryStore {
                path: directory.path.get()?.0.clone(),
            }),
            Store::Command(command) => StoreKind::Command(CommandStore {
                run: command.run.get()?.words.clone(),
                format: *command.format.get()?,
                timeout: *command.timeout.get()?,
                env: command.env.get().map_or_else(Vec::new, |list| {
                    list.values().into_iter().map(|name| name.0).collect()
                }),
                show_errors: command.show_errors.get().copied().unwrap_or_default(),
            }),
            Store::Vault(vault) => StoreKind::Vault(Box::new(self.vault(at, vault, mode)?)),
        })
    }
}
