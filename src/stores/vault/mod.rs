//! `type: vault`: HashiCorp Vault and OpenBao, by their HTTP API
//! (<https://openbao.org/api-docs/>, <https://developer.hashicorp.com/vault/api-docs>).
//!
//! Every engine is asked in the same way; what it is shows in the form of its answer. KV version 2
//! has versions, which are polled; a lease is kept alive, and replaced before it ends; a certificate
//! is replaced after two thirds of its validity. What was made for hushpipe (a lease, the answer to
//! a POST, what was wrapped) is made once and kept in protected memory until it is to be replaced;
//! nothing else is kept.
//!
//! A list of PEM texts (`ca_chain` of a PKI engine) is given as one text, block after block.

mod access;
mod answer;
mod answered;
mod ask;
mod call;
mod close;
mod control_group;
mod core;
mod credential;
mod error;
mod fetch;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod held_back;
mod interest;
mod kept;
mod lease;
mod login;
mod look;
mod looked;
mod path;
mod pending;
mod server;
mod term;
mod token;
mod upkeep;
mod watch;
mod wrapping;

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use self::answer::Standing;
use self::ask::Ask;
use self::core::Core;
use self::kept::Kept;
use self::server::Server;
use crate::model::{Observer, Source, StoreKind, StoreName, VaultStore, Version};
use crate::stores::{
    Family, Fetched, Leases, Local, Past, Store, StoreError, Watch, Watched, join, numbered,
};
use crate::sys::clock::Boottime;

/// Its entry of the registry.
pub(super) const FAMILY: Family = Family {
    open: |setting| match &setting.spec.kind {
        StoreKind::Vault(spec) => {
            let observer = Rc::clone(setting.observer);
            let store = Vault::new(setting.name.clone(), spec, &setting.spec.trust, observer);
            Some(store.map(|store| Box::new(store) as Box<dyn Store>))
        }
        _ => None,
    },
    variables: &login::VARIABLES,
};

/// A Vault or OpenBao server, and what hushpipe got there.
pub struct Vault {
    core: Rc<Core>,
}

impl Vault {
    /// Asks nothing yet; a token in the environment is taken. The error is the kernel's word when it
    /// has no randomness, or no memory for what is kept.
    /// `owners` of files are trusted beside root and hushpipe's own user.
    pub fn new(
        name: StoreName,
        spec: &VaultStore,
        owners: &[u32],
        observer: Rc<dyn Observer>,
    ) -> io::Result<Self> {
        let core = Core::new(Server::new(name, spec, owners, observer))?;
        Ok(Self {
            core: Rc::new(core),
        })
    }
}

impl Store for Vault {
    fn fetch<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Fetched, StoreError>> {
        Box::pin(async move {
            let ask = self.core.ask(source)?;
            let fetched = self.core.fetch(&ask).await;
            fetched.map_err(|error| self.core.named(error, &ask))
        })
    }

    /// Sources that differ only in how they are read are one request.
    fn fetch_all<'a>(
        &'a self,
        sources: &'a [&'a Source],
    ) -> Local<'a, Vec<Result<Fetched, StoreError>>> {
        Box::pin(async move {
            let asks: Vec<Result<Ask, StoreError>> =
                sources.iter().map(|source| self.core.ask(source)).collect();
            let mut distinct: Vec<&Ask> = asks.iter().flatten().collect();
            distinct.sort_unstable();
            distinct.dedup();
            let fetching = distinct.iter().map(|ask| self.core.fetch(ask));
            let answers = join::values(fetching).await;
            let answers: BTreeMap<&Ask, _> = distinct.into_iter().zip(answers).collect();
            asks.iter()
                .map(|ask| match ask {
                    Ok(ask) => match &answers[ask] {
                        Ok(fetched) => Ok(copy(fetched)),
                        Err(error) => Err(self.core.named(error.again(), ask)),
                    },
                    Err(fault) => Err(fault.again()),
                })
                .collect()
        })
    }

    fn version<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Version, StoreError>> {
        Box::pin(async move {
            let ask = self.core.ask(source)?;
            let version = self.core.version(&ask).await;
            version.map_err(|error| self.core.named(error, &ask))
        })
    }

    /// By the metadata of KV v2.
    fn made(&self, source: &Source) -> Option<SystemTime> {
        let ask = self.core.ask(source).ok()?;
        let looked = self.core.looked.borrow();
        looked.get(&ask)?.made()
    }

    fn ask_made<'a>(&'a self, source: &'a Source) -> Local<'a, Option<SystemTime>> {
        Box::pin(async move {
            let ask = self.core.ask(source).ok()?;
            match self.core.standing(&ask, |call| call).await.ok()?? {
                Standing::There(version) => version.made(),
                Standing::Gone => None,
            }
        })
    }

    fn watch(&self, sources: &[Watched]) -> Result<Option<Box<dyn Watch>>, StoreError> {
        let watch = watch::VaultWatch::new(Rc::clone(&self.core), sources)?;
        Ok(Some(Box::new(watch)))
    }

    fn past(&self, _: &Source, version: &Version) -> Option<Past> {
        numbered::past(version)
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }

    fn delayed_by(&self) -> Option<String> {
        self.core.access.server.delayed_by()
    }

    fn reports_requests(&self) -> bool {
        true
    }

    fn waits_for_people(&self) -> bool {
        !self.core.requests.borrow().is_empty()
    }

    fn close(&self) -> Local<'_, Result<(), StoreError>> {
        Box::pin(self.core.close())
    }
}

impl Leases for Vault {
    fn good_for(&self, source: &Source) -> Option<Duration> {
        let ask = Ask::of(source).ok()?;
        let kept = self.core.kept.borrow();
        let current = kept.get(&ask)?.current();
        current.left(Boottime::now(), SystemTime::now())
    }

    fn is_good(&self, source: &Source, version: &Version) -> bool {
        let Ok(ask) = Ask::of(source) else {
            return false;
        };
        let (now, wall) = (Boottime::now(), SystemTime::now());
        let kept = self.core.kept.borrow();
        let kept = kept.get(&ask);
        kept.is_none_or(|kept| kept.is_good(version, now, wall))
    }

    fn expire(&self, source: &Source) {
        self.core.with_kept(source, Kept::expire);
    }

    fn adopted(&self, source: &Source, version: &Version) {
        self.core.with_kept(source, |kept| kept.adopted(version));
    }

    fn rejected(&self, source: &Source, version: &Version) {
        let now = Boottime::now();
        self.core
            .with_kept(source, |kept| kept.rejected(version, now));
    }

    fn revoke<'a>(&'a self, source: &'a Source) -> Local<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let ask = self.core.ask(source)?;
            let revoked = self.core.revoke(&ask).await;
            revoked.map_err(|error| self.core.named(error, &ask))
        })
    }
}

/// For each of the secrets that one answer is for.
fn copy(fetched: &Fetched) -> Fetched {
    Fetched {
        value: fetched.value.copy(),
        version: fetched.version.clone(),
    }
}
