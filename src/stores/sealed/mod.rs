//! The sealed store: a directory of plain age files, one a version, and an index that says what it holds.
//!
//! ```text
//! STORE/index                       what the store holds, signed by who wrote last (see `index`)
//! STORE/recipients.txt              one public key a line (age1…, ssh-ed25519 …), # comments
//! STORE/secrets/stripe/token/1.age  version 1 of the secret stripe/token: an age file
//! STORE/secrets/stripe/token/2.age  version 2; a version is never changed
//! STORE/secrets/stripe/token/current.age -> 2.age      for people; the index counts
//! STORE/secrets/stripe/token/.history        when versions were set and rolled back, for people
//! STORE/.gitattributes              how git merges these
//! ```
//!
//! Any tool that follows the age specification (age-encryption.org/v1) opens the files: `age -d -i
//! IDENTITY STORE/secrets/stripe/token/current.age` gives the value, byte for byte. What a file is sealed
//! as (store, name, version) is in its header (see `binding`).
//!
//! Who can open the store can write it, and nobody else can: a file that the index does not have, or has
//! with another digest, is refused, and an index counts where one of its recipients signed it. The newest
//! one is remembered on the host (see `memory`). Files that another tool or an older hushpipe wrote are
//! taken into the index by `hushpipe secret rekey --accept-store`, after a person has looked at them.
//!
//! Writers take turns (flock(2) on the store's directory). A version is written under another name
//! (`.2.age.new`) and synced; then comes the index that has it, by a rename; then the version gets its
//! name, and the link moves. A reader takes the file with the digest that the index has, under either
//! name. Whoever is killed in between leaves a store that opens with the old or the new state, and the
//! next writer ends what was begun.

mod age_file;
mod binding;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod guard;
mod identity;
mod index;
mod judge;
mod key;
mod memory;
mod merge;
mod native;
mod recipients;
mod rekey;
mod root;
mod signing;
mod state;
mod versions;
mod watch;
mod write;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use crate::model::{Observer, SealedStore as Spec, Source, StoreKind, StoreName, Version};
use crate::secret::SecretBytes;
use crate::stores::{
    Family, Fault, Fetched, Local, Past, Store, StoreError, Watch, Watched, format, looked_at,
    numbered, polled,
};

use binding::{Binding, Found};
use identity::{Identities, Parsed};
use index::{Entry, digest};
use memory::Memory;
use root::Root;
use state::State;
use versions::Versions;

pub use index::{FileDigest, digest as file_digest};
pub use key::{Key, KeyError};
pub use memory::place as memory_directory;
pub use merge::{Merged, Sides};
pub use rekey::Rekeyed;
pub use versions::{Happened, What};

/// Its entry of the registry.
pub(super) const FAMILY: Family = Family {
    open: |setting| match &setting.spec.kind {
        StoreKind::Sealed(spec) => {
            let observer = Rc::clone(setting.observer);
            let store = SealedStore::open(setting.name.clone(), spec, observer);
            Some(Ok(Box::new(store.trusting(&setting.spec.trust))))
        }
        _ => None,
    },
    variables: &[],
};

/// A sealed store. It is looked at when it is used, not when it is opened.
pub struct SealedStore {
    name: StoreName,
    path: PathBuf,
    identity_file: PathBuf,
    identities: RefCell<Option<Rc<Identities>>>,
    memory: Memory,
    /// The state that was read last.
    state: RefCell<Option<Rc<State>>>,
    /// Trusted beside root and hushpipe's own user.
    owners: Vec<u32>,
    /// The store's directories, as they were walked to last.
    root: RefCell<Option<Rc<Root>>>,
    /// A person has looked at what is there, and it is to be taken as it is.
    accepts: Cell<bool>,
    /// That nothing can be remembered, or that there is no index, is said once.
    said: Cell<bool>,
    said_accepted: Cell<bool>,
    /// The last fetch was refused, or the watch reported something that was not fetched yet.
    unsettled: Rc<Cell<bool>>,
    observer: Rc<dyn Observer>,
}

/// One line of a listing.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The secret's name.
    pub key: Key,
    /// Its current version.
    pub current: u64,
    /// How many versions there are.
    pub versions: usize,
    /// When the current version became it.
    pub changed: SystemTime,
}

impl SealedStore {
    /// The store of a manifest, or of `--store`. `observer` sees what a person should know of it.
    pub fn open(name: StoreName, spec: &Spec, observer: Rc<dyn Observer>) -> Self {
        Self {
            name,
            path: spec.path.clone(),
            identity_file: spec.identity_file.clone(),
            identities: RefCell::new(None),
            memory: Memory::of(&spec.path),
            state: RefCell::new(None),
            owners: Vec::new(),
            root: RefCell::new(None),
            accepts: Cell::new(spec.accept),
            said: Cell::new(false),
            said_accepted: Cell::new(false),
            unsettled: Rc::new(Cell::new(false)),
            observer,
        }
    }

    /// Trusts these owners of its files beside root and hushpipe's own user.
    #[must_use]
    pub fn trusting(mut self, owners: &[u32]) -> Self {
        self.owners = owners.to_vec();
        self
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the identity that opens it.
    pub fn identity_file(&self) -> &Path {
        &self.identity_file
    }

    /// Whether somebody made a store there.
    pub fn is_there(&self) -> Result<bool, StoreError> {
        self.has_recipients()
            .map_err(|fault| self.error(None, fault))
    }

    /// Makes a new identity in its identity file, which must not be there.
    pub fn create_identity(&self) -> Result<(), StoreError> {
        let made = identity::create(&self.identity_file);
        made.map_err(|source| self.error(None, unwritable(&self.identity_file, source)))
    }

    /// Whether what is sealed from now on can be opened by its own identity.
    pub fn is_for_us(&self) -> Result<bool, StoreError> {
        let recipients = self.reach().and_then(|_| self.recipients());
        let recipients = recipients.map_err(|fault| self.error(None, fault))?.texts();
        let own = self.own_recipients()?;
        Ok(own.iter().any(|own| recipients.contains(own)))
    }

    /// The bytes of a version, or of the current one, and its number.
    pub fn get(&self, key: &Key, version: Option<u64>) -> Result<(SecretBytes, u64), StoreError> {
        self.about(key, || {
            let state = self.state()?;
            self.opened(|parsed| self.open_one(Rc::clone(&state), key, version, parsed))
        })
    }

    /// All secrets, by name.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        self.listed().map_err(|fault| self.error(None, fault))
    }

    fn listed(&self) -> Result<Vec<Listed>, Fault> {
        let (state, root) = (self.state()?, self.root()?);
        let mut found = Vec::new();
        for (name, secret) in &state.index.secrets {
            let Ok(key) = Key::parse(name) else { continue };
            if secret.is_removed() {
                continue;
            }
            let versions = self.versions(&key)?;
            let changed = versions.changed(secret.current);
            let changed = changed.or_else(|_| root.modified(state::INDEX));
            found.push(Listed {
                current: secret.current,
                versions: secret.versions.len(),
                changed: changed.map_err(|source| unreadable(versions.path(), source))?,
                key,
            });
        }
        Ok(found)
    }

    /// Looks at the whole store without opening a file: its index, whether each file is the one that the
    /// index has, and what is there besides. Gives a line about the state.
    pub fn verify(&self) -> Result<String, StoreError> {
        let look = || {
            let state = self.state()?;
            let count = self.verify_files(&state)?;
            self.verify_links()?;
            self.tell_of_new_recipients(&state.index)?;
            let index = &state.index;
            let (number, members) = (index.number, index.members.len());
            Ok(format!(
                "id {}, number {number}, {count} versions, {members} recipients",
                index.store
            ))
        };
        look().map_err(|fault| self.error(None, fault))
    }

    fn verify_files(&self, state: &State) -> Result<usize, Fault> {
        let mut count = 0;
        for (name, secret) in &state.index.secrets {
            let Ok(key) = Key::parse(name) else { continue };
            let versions = self.versions(&key)?;
            for (version, entry) in &secret.versions {
                self.sealed_bytes(&versions, *version, *entry)?;
                count += 1;
            }
        }
        let mut keys = self.keys(None)?;
        while let Some(key) = keys.pop() {
            check_foreign(&key, &self.versions(&key)?, state)?;
            keys.extend(self.keys(Some(&key))?);
        }
        Ok(count)
    }

    /// Looks at every `current.age`. A writer moves it after the index: what is wrong may be right once the
    /// writer is done.
    fn verify_links(&self) -> Result<(), Fault> {
        let look = || {
            let state = self.state()?;
            for (name, secret) in &state.index.secrets {
                let Ok(key) = Key::parse(name) else { continue };
                if let Some(current) = secret.versions.get(&secret.current) {
                    self.check_current(&self.versions(&key)?, secret.current, *current)?;
                }
            }
            Ok(())
        };
        look().or_else(|_: Fault| {
            let _lock = self.lock()?;
            look()
        })
    }

    /// People read `current.age` with age alone: it is a link to the version that the index calls
    /// current, or a copy of it. Where it is missing, they see that.
    fn check_current(&self, versions: &Versions, current: u64, entry: Entry) -> Result<(), Fault> {
        let expected = versions.file(current);
        let expected = expected.file_name().unwrap_or_default();
        let path = versions.path().join(versions::CURRENT);
        let leads = match versions.link() {
            Ok(Some(target)) if target == expected => return Ok(()),
            Ok(None) => return Ok(()),
            Ok(Some(target)) => format!("leads to {}", target.display()),
            // Tools that know no links put a copy there, or a file with the name.
            Err(_) => match self.read_sealed(&path) {
                Ok(bytes) if digest(&bytes) == entry.digest => return Ok(()),
                Ok(bytes) if bytes == expected.as_encoded_bytes() => return Ok(()),
                _ => "is something else".to_owned(),
            },
        };
        Err(refused(format!(
            "{} {leads}, and the current version is {current} by the index: who reads that file \
             without hushpipe gets another value. If no writer was stopped in between, find out who \
             changed it; then `ln -sfn {} {}`",
            path.display(),
            expected.display(),
            path.display()
        )))
    }

    /// What happened to a secret, oldest first, and its current version.
    pub fn history(&self, key: &Key) -> Result<(Vec<Happened>, u64), StoreError> {
        self.about(key, || {
            let current = self.pick(key, None, &*self.state()?)?.0;
            let versions = self.versions(key)?;
            let history = versions.history();
            let history = history.map_err(|source| unreadable(versions.path(), source))?;
            Ok((history, current))
        })
    }

    /// The recipients that its identity file opens secrets for.
    pub fn own_recipients(&self) -> Result<Vec<String>, StoreError> {
        self.identities()
            .and_then(|identities| identities.recipients())
            .map_err(|fault| self.error(None, fault))
    }

    /// Opens a version, or the current one. Where a writer wrote meanwhile, once more.
    fn open_one(
        &self,
        state: Rc<State>,
        key: &Key,
        version: Option<u64>,
        parsed: &Parsed,
    ) -> Result<(SecretBytes, u64), Fault> {
        self.settled(state, |state| {
            let (picked, entry) = self.pick(key, version, state)?;
            let bytes = self.read(key, picked, entry, state, parsed)?;
            Ok((bytes, picked))
        })
    }

    /// Looks at the state until no other one took its place meanwhile, or nothing was wrong.
    fn settled<T>(
        &self,
        state: Rc<State>,
        look: impl Fn(&State) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut state = state;
        loop {
            match look(&state) {
                Err(fault) => {
                    let now = self.state()?;
                    if now.same(&state) || now.index == state.index {
                        return Err(fault);
                    }
                    state = now;
                }
                done => return done,
            }
        }
    }

    /// Opens one version, and checks that it is sealed as that.
    fn read(
        &self,
        key: &Key,
        version: u64,
        entry: Entry,
        state: &State,
        parsed: &Parsed,
    ) -> Result<SecretBytes, Fault> {
        let versions = self.versions(key)?;
        let sealed = self.sealed_bytes(&versions, version, entry);
        let (file, sealed) =
            sealed.map_err(|fault| self.damaged(&versions, version, parsed, fault))?;
        let (bytes, found) = age_file::open(&file, &sealed, parsed, &self.identity_file)?;
        let expected = Binding {
            store: state.index.store,
            name: key.as_str().to_owned(),
            version,
        };
        let why = match found {
            Found::Binding(binding) if binding == expected => return Ok(bytes),
            Found::Binding(binding)
                if !entry.bound && binding.name == expected.name && binding.version == version =>
            {
                return Ok(bytes);
            }
            Found::Nothing if !entry.bound => return Ok(bytes),
            Found::Nothing => "it does not say what it was sealed as".to_owned(),
            Found::Damaged => "what it was sealed as is damaged".to_owned(),
            Found::Binding(binding) if binding.store != expected.store => {
                format!("it was sealed for another store, with id {}", binding.store)
            }
            Found::Binding(binding) => {
                format!(
                    "it was sealed as version {} of {}",
                    binding.version, binding.name
                )
            }
        };
        Err(refused(format!("{}: {why}", file.display())))
    }

    /// A file that is no whole age file is damaged, more than it is another one.
    fn damaged(&self, versions: &Versions, version: u64, parsed: &Parsed, fault: Fault) -> Fault {
        let file = versions.file(version);
        let opened = self
            .read_sealed(&file)
            .and_then(|sealed| age_file::open(&file, &sealed, parsed, &self.identity_file));
        match opened {
            Err(damaged @ Fault::Malformed { .. }) => damaged,
            _ => fault,
        }
    }

    /// The sealed bytes of a version: the file that the index has, by its digest.
    fn sealed_bytes(
        &self,
        versions: &Versions,
        version: u64,
        entry: Entry,
    ) -> Result<(PathBuf, Vec<u8>), Fault> {
        let file = versions.file(version);
        let found = self.read_sealed(&file);
        if let Ok(sealed) = &found
            && digest(sealed) == entry.digest
        {
            return found.map(|sealed| (file, sealed));
        }
        // A writer put the index down and has not come to give the file its name.
        let staged = versions.staged(version);
        if let Ok(sealed) = self.read_sealed(&staged)
            && digest(&sealed) == entry.digest
        {
            return Ok((staged, sealed));
        }
        let shown = file.display();
        match found {
            Ok(_) => Err(refused(format!(
                "{shown} is not the file that the index has: somebody replaced it; restore it from a \
                 backup or from git"
            ))),
            Err(Fault::Unreachable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(refused(format!(
                    "{shown} is gone, and the index has it: restore it from a backup or from git"
                )))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Opens with the identities; with those of a new identity file, where it is another one by now.
    fn opened<T>(&self, open: impl Fn(&Parsed) -> Result<T, Fault>) -> Result<T, Fault> {
        let identities = self.identities()?;
        let opened = identities.with(&open);
        if matches!(opened, Err(Fault::Denied { .. })) && !identities.is_current() {
            self.identities.replace(None);
            return self.identities()?.with(&open);
        }
        opened
    }

    /// Read once, when it is needed first.
    fn identities(&self) -> Result<Rc<Identities>, Fault> {
        if let Some(identities) = &*self.identities.borrow() {
            return Ok(Rc::clone(identities));
        }
        let identities = Rc::new(Identities::read(&self.identity_file, &self.owners)?);
        self.identities.replace(Some(Rc::clone(&identities)));
        Ok(identities)
    }

    /// The version that is asked for, or the current one, as the index has it.
    fn pick(&self, key: &Key, version: Option<u64>, state: &State) -> Result<(u64, Entry), Fault> {
        check_foreign(key, &self.versions(key)?, state)?;
        let Some(secret) = state.index.secret(key) else {
            return Err(self.missing());
        };
        let picked = version.unwrap_or(secret.current);
        let entry = secret.versions.get(&picked).ok_or_else(|| Fault::Missing {
            hint: format!("version {picked}: `hushpipe secret history {key}` lists the versions"),
        })?;
        Ok((picked, *entry))
    }

    fn missing(&self) -> Fault {
        Fault::Missing {
            hint: format!(
                "no such secret in {}: `hushpipe secret list` lists them, `hushpipe secret set` makes one",
                self.path.display()
            ),
        }
    }

    fn secrets(&self) -> PathBuf {
        self.path.join(root::SECRETS)
    }

    /// Where a secret is, for messages.
    fn place_of(&self, key: &Key) -> PathBuf {
        self.secrets().join(key.to_path())
    }

    fn versions(&self, key: &Key) -> Result<Versions, Fault> {
        let secrets = Rc::clone(&self.root()?.secrets);
        Ok(Versions::at(secrets, key.to_path(), self.place_of(key)))
    }

    fn error(&self, asked: Option<String>, fault: Fault) -> StoreError {
        StoreError {
            store: self.name.clone(),
            asked,
            fault,
        }
    }

    fn about<T>(&self, key: &Key, act: impl FnOnce() -> Result<T, Fault>) -> Result<T, StoreError> {
        act().map_err(|fault| self.error(Some(key.to_string()), fault))
    }

    fn key(&self, source: &Source) -> Result<Key, StoreError> {
        let text = source.key.as_deref().unwrap_or_default();
        Key::parse(text).map_err(|error| {
            let reason = format!("{text:?} cannot be the name of a secret: {error}");
            self.error(None, Fault::Missing { hint: reason })
        })
    }

    fn fetch_now(
        &self,
        state: &Rc<State>,
        source: &Source,
        parsed: &Parsed,
    ) -> Result<Fetched, StoreError> {
        let key = self.key(source)?;
        self.about(&key, || {
            let version = source.version.as_ref().map(numbered::number).transpose()?;
            let (bytes, version) = self.open_one(Rc::clone(state), &key, version, parsed)?;
            let value = format::read(bytes, source.format)?;
            let version = numbered::named(version);
            Ok(Fetched { value, version })
        })
    }

    /// With the identities parsed and the index judged once.
    fn fetch_together(&self, sources: &[&Source]) -> Vec<Result<Fetched, StoreError>> {
        let fetch = || {
            let state = self.state()?;
            let identities = self.identities()?;
            let fetch = |parsed: &Parsed| {
                let one = |source: &&Source| self.fetch_now(&state, source, parsed);
                Ok(sources.iter().map(one).collect::<Vec<_>>())
            };
            let fetched = identities.with(fetch)?;
            let denied = |one: &Result<Fetched, StoreError>| matches!(one, Err(error) if matches!(error.fault, Fault::Denied { .. }));
            if fetched.iter().any(denied) && !identities.is_current() {
                self.identities.replace(None);
                return self.identities()?.with(fetch);
            }
            Ok(fetched)
        };
        fetch().unwrap_or_else(|fault: Fault| {
            let failed = |source: &&Source| Err(self.error(source.key.clone(), fault.again()));
            sources.iter().map(failed).collect()
        })
    }
}

impl Store for SealedStore {
    fn fetch<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Fetched, StoreError>> {
        Box::pin(async move {
            let mut fetched = self.fetch_all(&[source]).await;
            fetched.pop().expect("one was asked for")
        })
    }

    fn fetch_all<'a>(
        &'a self,
        sources: &'a [&'a Source],
    ) -> Local<'a, Vec<Result<Fetched, StoreError>>> {
        Box::pin(async move {
            let fetched = self.fetch_together(sources);
            self.unsettled.set(fetched.iter().any(Result::is_err));
            fetched
        })
    }

    fn version<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Version, StoreError>> {
        Box::pin(async move {
            let key = self.key(source)?;
            self.about(&key, || {
                let version = source.version.as_ref().map(numbered::number).transpose()?;
                self.settled(self.state()?, |state| {
                    let (version, entry) = self.pick(&key, version, state)?;
                    self.sealed_bytes(&self.versions(&key)?, version, entry)?;
                    Ok(numbered::named(version))
                })
            })
        })
    }

    fn watch(&self, sources: &[Watched]) -> Result<Option<Box<dyn Watch>>, StoreError> {
        let mut wanted: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        // A pinned version never changes.
        for (place, source) in looked_at(sources).filter(|(_, source)| source.version.is_none()) {
            let path = self.place_of(&self.key(source)?);
            wanted.entry(path).or_default().push(place);
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let name = self.name.clone();
        let watch = watch::SealedWatch::start(name, &self.path, wanted.clone(), &self.unsettled);
        polled::or_polled(&self.name, watch, || {
            // The index lies in the store's own directory.
            let all = wanted.values().flatten().copied().collect();
            wanted.insert(self.path.clone(), all);
            wanted
        })
    }

    /// By the time of its file, which a rekey makes new.
    fn made(&self, source: &Source) -> Option<SystemTime> {
        let key = self.key(source).ok()?;
        let version = source.version.as_ref().map(numbered::number);
        let version = version.transpose().ok()?;
        let state = self.state().ok()?;
        let (version, _) = self.pick(&key, version, &state).ok()?;
        self.versions(&key).ok()?.made(version).ok()
    }

    fn past(&self, _: &Source, version: &Version) -> Option<Past> {
        numbered::past(version)
    }
}

/// Refuses a secret that has files which the index does not know.
fn check_foreign(key: &Key, versions: &Versions, state: &State) -> Result<(), Fault> {
    let there = versions.list();
    let there = there.map_err(|source| unreadable(versions.path(), source))?;
    let known = state.index.secrets.get(key.as_str());
    // Of one that was removed, a writer that was stopped left them.
    if known.is_some_and(index::Secret::is_removed) {
        return Ok(());
    }
    let is_known =
        |version: &u64| known.is_some_and(|secret| secret.versions.contains_key(version));
    match there.iter().find(|version| !is_known(version)) {
        None => Ok(()),
        Some(foreign) => Err(refused(format!(
            "{} is not in the index: it was put there by something else than hushpipe, or by \
             somebody who cannot open the store. Remove it, or look at it and sign it with \
             `hushpipe secret rekey --accept-store`",
            versions.file(*foreign).display()
        ))),
    }
}

fn refused(reason: String) -> Fault {
    Fault::Denied { reason }
}

fn too_large() -> Fault {
    Fault::Malformed {
        reason: format!("the value is larger than {} MiB", format::MAX_VALUE >> 20),
    }
}

fn unreadable(tried: &Path, source: io::Error) -> Fault {
    Fault::Unreachable {
        tried: tried.to_owned(),
        source,
    }
}

fn unwritable(tried: &Path, source: io::Error) -> Fault {
    Fault::Unwritable {
        tried: tried.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
