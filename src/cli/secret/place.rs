//! Which sealed store, for the commands that work on one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;

use super::super::load::{default_identity_file, named_identity};
use super::super::run::warnings;
use super::super::said::SaidArgs;
use super::super::{Failure, Globals, Loaded, Outcome};
use super::common::say;
use crate::app::custody::{self, Secrets};
use crate::app::sealed;
use crate::manifest::{self, Overrides};
use crate::model::printable::shell_word;
use crate::model::query::Action;
use crate::model::{Exit, Observer, StoreKind, StoreName};
use crate::stores::sealed::{Key, SealedStore};

/// A store, what it is called, and the manifest that names it.
struct Named {
    name: StoreName,
    directory: PathBuf,
    store: SealedStore,
    loaded: Option<Loaded>,
}

/// Options that name a sealed store.
#[derive(Args)]
pub struct PlaceArgs {
    /// The store's directory
    #[arg(long, value_name = "DIR", global = true)]
    store: Option<PathBuf>,
    /// The manifest that names the store
    #[arg(
        short,
        long,
        value_name = "FILE",
        global = true,
        conflicts_with = "store"
    )]
    manifest: Option<PathBuf>,
    /// Which store of the manifest, if it has several sealed ones
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "store")]
    store_name: Option<String>,
    /// The identity file that opens secrets [default: $HUSHPIPE_IDENTITY, else the manifest's, else
    /// ~/.config/hushpipe/identity.txt]
    #[arg(long, value_name = "FILE", global = true)]
    identity: Option<PathBuf>,
    #[command(flatten)]
    said: SaidArgs,
    /// Take the store as it is although this host knows a newer or another one; with rekey, also files
    /// that its index does not have. Look at it first
    #[arg(long, global = true)]
    accept_store: bool,
}

impl PlaceArgs {
    /// A store by its directory, for a command that has other words for it.
    #[cfg(feature = "scan")]
    pub fn at(store: PathBuf, identity: Option<PathBuf>, said: SaidArgs) -> Self {
        Self {
            store: Some(store),
            manifest: None,
            store_name: None,
            identity,
            said,
            accept_store: false,
        }
    }

    /// The store that the options and the surroundings name. It is looked at when it is used.
    pub fn open(&self, globals: Globals) -> Result<SealedStore, Failure> {
        // To take another store for the right one changes what every launch gets.
        if self.accept_store {
            return self.open_to(Action::Change, &[], globals);
        }
        Ok(self.named(globals)?.store)
    }

    /// The same, where the site's policy lets this user do it with these secrets (none: all). The identity
    /// is not opened before.
    pub fn open_to(
        &self,
        action: Action,
        keys: &[&str],
        globals: Globals,
    ) -> Result<SealedStore, Failure> {
        self.open_recorded(action, keys, globals)
            .map(|(store, _)| store)
    }

    /// The same, to put on record as well what is shown of them.
    pub fn open_recorded(
        &self,
        action: Action,
        keys: &[&str],
        globals: Globals,
    ) -> Result<(SealedStore, custody::Custody), Failure> {
        let Named {
            name,
            directory,
            store,
            loaded,
        } = self.named(globals)?;
        let (plan, governance) = match loaded {
            Some(loaded) => {
                let (plan, governance) = loaded.governed(self.said.clone());
                (Some(plan), governance)
            }
            None => (
                None,
                super::super::load::governance(self.said.clone(), globals)?,
            ),
        };
        let mut keys: BTreeSet<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        if keys.is_empty() && governance.site.is_some() {
            // A store that has none yet, or cannot be read: what is wrong with it shows when it is used.
            let listed = store.list().unwrap_or_default();
            keys.extend(listed.iter().map(|one| one.key.to_string()));
        }
        let observer = warnings(globals);
        let secrets = Secrets {
            store: &name,
            directory: &directory,
            keys: &keys,
        };
        let command = "hushpipe secret";
        let custody = custody::allowed(
            command,
            &governance,
            plan.as_ref(),
            action,
            &secrets,
            &observer,
        );
        let custody = custody.map_err(|failures| Failure::found(&failures))?;
        Ok((store, custody))
    }

    /// The store of the manifest, which there has to be.
    pub fn of_a_manifest(&self, globals: Globals) -> Result<(StoreName, SealedStore), Failure> {
        let named = self.of_manifest(warnings(globals), globals)?;
        Ok((named.name, named.store))
    }

    /// The file of the manifest.
    pub fn manifest_path(&self) -> Result<PathBuf, Failure> {
        manifest::find(self.manifest.as_deref())
            .map_err(|error| super::super::load::failure(&error))
    }

    /// Says so where the manifest has no use for a secret yet.
    pub fn tell_if_undelivered(&self, key: &Key, globals: Globals) -> Outcome {
        let named = self.named(globals)?;
        let Some(loaded) = named.loaded else {
            return Ok(Exit::Ok);
        };
        let plan = &loaded.plan;
        let of_key = plan.secrets.iter().find(|(_, spec)| {
            spec.source.store == named.name && spec.source.key.as_deref() == Some(key.as_str())
        });
        let manifest = plan.manifest.display();
        let text = match of_key {
            None => {
                let word = shell_word(key.as_str());
                format!(
                    "note: {manifest} does not deliver {key} yet: `hushpipe add {word}` adds it"
                )
            }
            Some((name, _))
                if !plan
                    .deliveries
                    .iter()
                    .any(|one| one.channel.secrets().contains(name)) =>
            {
                format!(
                    "note: {manifest} declares {name}, and delivers it nowhere: add it to `deliver:`"
                )
            }
            Some(_) => return Ok(Exit::Ok),
        };
        say(globals, &text)
    }

    fn named(&self, globals: Globals) -> Result<Named, Failure> {
        let observer = warnings(globals);
        let named = self.manifest.is_some() || self.store_name.is_some();
        if self.store.is_none() && (named || manifest::find(None).is_ok()) {
            return self.of_manifest(observer, globals);
        }
        let path = self.store.clone().unwrap_or_else(|| "secrets".into());
        let (identity, accept) = (self.identity_file()?, self.accept_store);
        Ok(Named {
            name: sealed::unnamed(),
            directory: path.clone(),
            store: sealed::by_path(path, identity, accept, observer),
            loaded: None,
        })
    }

    fn of_manifest(&self, observer: Rc<dyn Observer>, globals: Globals) -> Result<Named, Failure> {
        let loaded = self.load()?;
        super::super::load::warn(&loaded.notes, globals)?;
        let plan = &loaded.plan;
        let mut stores = Vec::new();
        for (name, store) in &plan.stores {
            let asked = self.store_name.as_deref();
            if let StoreKind::Sealed(spec) = &store.kind
                && asked.is_none_or(|asked| asked == name.as_str())
            {
                stores.push((name, spec, &store.trust));
            }
        }
        let manifest = plan.manifest.display();
        match stores.as_slice() {
            [(name, spec, owners)] => {
                let mut spec = (*spec).clone();
                if self.identity.is_some() {
                    spec.identity_file = self.identity_file()?;
                }
                let name = (*name).clone();
                let store = SealedStore::open(name.clone(), &spec, observer).trusting(owners);
                Ok(Named {
                    name,
                    directory: spec.path,
                    store,
                    loaded: Some(loaded),
                })
            }
            [] => Err(Failure::text(
                Exit::Usage,
                format!("{manifest} names no such sealed store: name its directory with --store"),
            )),
            several => {
                let names: Vec<_> = several.iter().map(|(name, ..)| name.as_str()).collect();
                let names = names.join(", ");
                let text = format!("{manifest} names several sealed stores: --store-name {names}?");
                Err(Failure::text(Exit::Usage, text))
            }
        }
    }

    fn load(&self) -> Result<Loaded, Failure> {
        // Which program will run does not matter here: it may come from `run`'s command line.
        let overrides = Overrides {
            command: vec!["true".into()],
            no_launch: true,
            accept_store: self.accept_store,
            ..Overrides::default()
        };
        super::super::load(self.manifest.as_deref(), &overrides)
    }

    fn identity_file(&self) -> Result<PathBuf, Failure> {
        match named_identity(self.identity.as_ref())? {
            Some(named) => Ok(named),
            None => default_identity_file(),
        }
    }
}
