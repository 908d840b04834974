//! Writing to the store: each write is a new index, signed.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use super::index::{Entry, Index, Secret, StoreId, digest};
use super::recipients::{self, Recipients};
use super::signing::Signer;
use super::state::{INDEX, State};
use super::versions::{Locked, What};
use super::{Binding, Key, SealedStore, age_file, too_large, unwritable};
use crate::secret::SecretBytes;
use crate::stores::{Fault, StoreError, format};
use crate::sys::durable;
use crate::sys::memory::fill_random;

/// git merges an index by `hushpipe secret merge`, and no age file by its lines.
const GIT_ATTRIBUTES: &str = "\
# How git merges a sealed store: see `hushpipe secret merge --help`.
index merge=hushpipe
*.age -text -diff -merge
.history merge=union
";

/// A write that is under way: other writers wait.
pub(super) struct Writing<'a> {
    store: &'a SealedStore,
    _lock: OwnedFd,
    /// What the store is to hold.
    pub index: Index,
    signers: Vec<Signer>,
}

impl<'a> Writing<'a> {
    /// Waits for other writers, and begins with what the store holds.
    pub fn begin(store: &'a SealedStore) -> Result<Self, Fault> {
        store.reach()?;
        let lock = store.lock()?;
        let index = store.state()?.index.clone();
        if index.members.is_empty() {
            return Err(store.denied(
                "it has no index that could be written: sign what is there first, by `hushpipe secret \
                 rekey --accept-store`",
            ));
        }
        Self::of(store, lock, index)
    }

    /// The same with what lies there, whatever the index says of it: a person has looked at it.
    pub fn accepting(store: &'a SealedStore) -> Result<Self, Fault> {
        store.reach()?;
        let lock = store.lock()?;
        let known = store.recall()?;
        let indexed = store.state().ok();
        if let Some(indexed) = &indexed {
            store.end_all(&indexed.index)?;
        }
        let mut index = store.of_disk(known.as_ref())?;
        if let Some(indexed) = indexed.filter(|state| state.to_remember().is_some()) {
            index.store = indexed.index.store;
            index.number = index.number.max(indexed.index.number);
            index.members.clone_from(&indexed.index.members);
            keep_bound(&mut index, &indexed.index);
        }
        Self::of(store, lock, index)
    }

    /// With an index that two were merged to.
    pub fn merging(store: &'a SealedStore, index: Index) -> Result<Self, Fault> {
        store.reach()?;
        let lock = store.lock()?;
        Self::of(store, lock, index)
    }

    fn of(store: &'a SealedStore, lock: OwnedFd, index: Index) -> Result<Self, Fault> {
        let signers = store.identities()?.signers()?;
        Ok(Self {
            store,
            _lock: lock,
            index,
            signers,
        })
    }

    /// Who signs: one of the store's own identities that `is_good`.
    fn signer(&self, is_good: impl Fn(&str) -> bool) -> Result<&Signer, Fault> {
        let mut signers = self.signers.iter();
        signers
            .find(|signer| is_good(signer.recipient()))
            .ok_or_else(|| {
                let own: Vec<_> = self.signers.iter().map(Signer::recipient).collect();
                self.store.denied(&format!(
                    "only its recipients can write it, as a write is signed, and {} (of identity file \
                     {}) is none of them; let one of them run `hushpipe secret rekey --add-recipient`",
                    own.join(", "),
                    self.store.identity_file.display()
                ))
            })
    }

    /// Makes these the members: new ones are let in by one who was a member before, or, in a store
    /// without members, by the one who signs.
    pub fn set_members(&mut self, recipients: &[String]) -> Result<(), Fault> {
        let wanted: BTreeSet<&String> = recipients.iter().collect();
        let is_first = self.index.members.is_empty();
        let by = self.signer(|one| is_first || self.index.members.contains_key(one))?;
        let mut index = self.index.clone();
        index.members.retain(|one, _| wanted.contains(one));
        for recipient in recipients {
            if !index.members.contains_key(recipient) {
                index
                    .admit(recipient, by)
                    .map_err(|source| unwritable(&self.store.path, source))?;
            }
        }
        self.index = index;
        Ok(())
    }

    /// Makes sure that the write can be signed, before anything is done.
    pub fn check_signer(&self) -> Result<(), Fault> {
        self.signer(|one| self.index.members.contains_key(one))
            .map(|_| ())
    }

    /// The text of the index, signed, to be put somewhere else.
    pub fn signed(&mut self) -> Result<String, Fault> {
        let path = self.store.path.join(INDEX);
        let mut index = self.index.clone();
        let signer = self.signer(|one| index.members.contains_key(one))?;
        index
            .sign(signer)
            .map_err(|source| unwritable(&path, source))
    }

    /// Signs the index and puts it down. From then on the store holds what it says.
    pub fn commit(&mut self) -> Result<(), Fault> {
        let path = self.store.path.join(INDEX);
        let cannot = |source| unwritable(&path, source);
        let mut index = self.index.clone();
        let signer = self.signer(|one| index.members.contains_key(one))?;
        let text = index.sign(signer).map_err(cannot)?;
        let root = self.store.root()?;
        durable::replace_at(&root.directory, INDEX.as_ref(), text.as_bytes(), 0o600)
            .map_err(cannot)?;
        self.index = index.clone();
        self.store.adopt(State::written(index, text));
        Ok(())
    }

    /// Seals a value as a version, which is staged and gets its entry. `modified` as in
    /// [`Locked::stage`].
    pub fn stage(
        &mut self,
        key: &Key,
        version: u64,
        value: &SecretBytes,
        recipients: &Recipients,
        locked: &Locked,
        modified: Option<std::time::SystemTime>,
    ) -> Result<(), Fault> {
        let binding = Binding {
            store: self.index.store,
            name: key.as_str().to_owned(),
            version,
        };
        let sealed = age_file::seal(recipients, &binding, value.expose())?;
        locked
            .stage(version, &sealed, modified)
            .map_err(|source| unwritable(&self.store.place_of(key), source))?;
        let entry = Entry {
            digest: digest(&sealed),
            bound: true,
        };
        let secret = self.secret(key);
        secret.versions.insert(version, entry);
        Ok(())
    }

    /// The secret's entry, a new one where there is none.
    pub fn secret(&mut self, key: &Key) -> &mut Secret {
        let secrets = &mut self.index.secrets;
        secrets.entry(key.as_str().to_owned()).or_default()
    }
}

/// Files that the index had keep it that they are bound.
fn keep_bound(found: &mut Index, indexed: &Index) {
    for (name, secret) in &mut found.secrets {
        let Some(known) = indexed.secrets.get(name) else {
            continue;
        };
        for (version, entry) in &mut secret.versions {
            let same = known.versions.get(version);
            entry.bound = same.is_some_and(|same| same.digest == entry.digest && same.bound);
        }
        if secret.versions.contains_key(&known.current) {
            secret.current = known.current;
        }
    }
}

impl SealedStore {
    /// Makes the store's directories, its first index and recipients.txt. A store that is there is
    /// refused.
    pub fn create(&self, recipients: &[String]) -> Result<(), StoreError> {
        self.make(recipients)
            .map_err(|fault| self.error(None, fault))
    }

    fn make(&self, recipients: &[String]) -> Result<(), Fault> {
        let file = recipients::file(&self.path);
        let cannot = |source| unwritable(&file, source);
        if self.has_recipients()? {
            return Err(cannot(std::io::ErrorKind::AlreadyExists.into()));
        }
        let directory = &self.make_root()?.directory;
        let mut id = StoreId([0; 16]);
        fill_random(&mut id.0).map_err(cannot)?;
        let mut writing = Writing::of(self, self.lock()?, Index::new(id))?;
        writing.set_members(recipients)?;
        writing.commit()?;
        let attributes = GIT_ATTRIBUTES.as_bytes();
        durable::replace_at(directory, ".gitattributes".as_ref(), attributes, 0o600)
            .map_err(cannot)?;
        let mut text =
            String::from("# Who can open what is sealed from now on, one public key a line.\n");
        text.extend(recipients.iter().map(|one| format!("{one}\n")));
        let name = recipients::FILE.as_ref();
        durable::create_at(directory, name, text.as_bytes(), 0o600).map_err(cannot)
    }

    /// Seals a value as a new version, which becomes the current one; gives its number. It is sealed for
    /// the recipients that the last write knew: new ones of recipients.txt are told of.
    pub fn set(&self, key: &Key, value: &SecretBytes) -> Result<u64, StoreError> {
        self.about(key, || {
            if value.len() > format::MAX_VALUE {
                return Err(too_large());
            }
            let (mut writing, recipients) = self.begin_to_seal()?;
            self.check_place(key)?;
            let versions = self.versions(key)?;
            super::check_foreign(key, &versions, &*self.state()?)?;
            let cannot = |source| unwritable(versions.path(), source);
            let locked = versions.lock_or_make().map_err(cannot)?;
            match self.add(&mut writing, key, value, &recipients, &locked) {
                Ok(version) => Ok(version),
                Err(fault) => {
                    locked.abandon().map_err(cannot)?;
                    Err(fault)
                }
            }
        })
    }

    /// As [`SealedStore::set`], of several secrets: one index makes all of them current, so nobody finds one
    /// without the others. Gives their versions.
    pub fn set_all(&self, values: &[(Key, SecretBytes)]) -> Result<Vec<u64>, StoreError> {
        self.seal_all(values)
            .map_err(|fault| self.error(None, fault))
    }

    fn seal_all(&self, values: &[(Key, SecretBytes)]) -> Result<Vec<u64>, Fault> {
        let (mut writing, recipients) = self.begin_to_seal()?;
        let mut staged: Vec<(&Key, u64, Locked)> = Vec::new();
        let sealed = values.iter().try_for_each(|(key, value)| {
            if value.len() > format::MAX_VALUE {
                return Err(too_large());
            }
            if staged.iter().any(|(other, ..)| *other == key) {
                let reason = format!("{key} is named twice");
                return Err(Fault::Malformed { reason });
            }
            self.check_place(key)?;
            let versions = self.versions(key)?;
            super::check_foreign(key, &versions, &*self.state()?)?;
            let cannot = |source| unwritable(versions.path(), source);
            let locked = versions.lock_or_make().map_err(cannot)?;
            self.end_former(&mut writing, key, &locked)?;
            let version = writing.secret(key).next();
            let written = writing.stage(key, version, value, &recipients, &locked, None);
            staged.push((key, version, locked));
            written.map(|()| writing.secret(key).current = version)
        });
        if let Err(fault) = sealed.and_then(|()| writing.commit()) {
            for (key, _, locked) in staged {
                let cannot = |source| unwritable(&self.place_of(key), source);
                locked.finish(|_, _| false).map_err(cannot)?;
                locked.abandon().map_err(cannot)?;
            }
            return Err(fault);
        }
        for (key, version, locked) in &staged {
            let cannot = |source| unwritable(&self.place_of(key), source);
            locked.promote(*version).map_err(cannot)?;
            locked.point_to(*version).map_err(cannot)?;
            locked.note(What::Set, *version).map_err(cannot)?;
        }
        Ok(staged.iter().map(|(_, version, _)| *version).collect())
    }

    /// A write, and for whom its values are sealed.
    fn begin_to_seal(&self) -> Result<(Writing<'_>, Recipients), Fault> {
        let writing = Writing::begin(self)?;
        writing.check_signer()?;
        self.tell_of_new_recipients(&writing.index)?;
        let recipients = self.recipients()?;
        let recipients = recipients.only(|one| writing.index.members.contains_key(one));
        let recipients = recipients.ok_or_else(|| {
            self.denied(
                "recipients.txt names none of those who could open it so far: `hushpipe secret rekey` \
                 takes recipients.txt as it is",
            )
        })?;
        Ok((writing, recipients))
    }

    fn add(
        &self,
        writing: &mut Writing,
        key: &Key,
        value: &SecretBytes,
        recipients: &Recipients,
        locked: &Locked,
    ) -> Result<u64, Fault> {
        let path = self.place_of(key);
        let cannot = |source| unwritable(&path, source);
        self.end_former(writing, key, locked)?;
        let version = writing.secret(key).next();
        writing.stage(key, version, value, recipients, locked, None)?;
        writing.secret(key).current = version;
        if let Err(fault) = writing.commit() {
            locked.finish(|_, _| false).map_err(cannot)?;
            return Err(fault);
        }
        locked.promote(version).map_err(cannot)?;
        locked.point_to(version).map_err(cannot)?;
        locked.note(What::Set, version).map_err(cannot)?;
        Ok(version)
    }

    /// Ends what a killed writer of the secret began, as the index says.
    pub(super) fn end_former(
        &self,
        writing: &mut Writing,
        key: &Key,
        locked: &Locked,
    ) -> Result<(), Fault> {
        let path = self.place_of(key);
        let cannot = |source| unwritable(&path, source);
        let secret = writing.secret(key).clone();
        if secret.is_removed() {
            locked.clear().map_err(cannot)?;
        }
        locked
            .finish(|version, bytes| secret.is_version(version, bytes))
            .map_err(cannot)
    }

    /// Ends what killed writers began, of all secrets.
    fn end_all(&self, index: &Index) -> Result<(), Fault> {
        for (name, secret) in &index.secrets {
            let Ok(key) = Key::parse(name) else { continue };
            let versions = self.versions(&key)?;
            let cannot = |source| unwritable(versions.path(), source);
            if versions.is_unfinished().map_err(cannot)?
                && let Some(locked) = versions.lock().map_err(cannot)?
            {
                locked
                    .finish(|version, bytes| secret.is_version(version, bytes))
                    .map_err(cannot)?;
            }
        }
        Ok(())
    }

    pub(super) fn tell_of_new_recipients(&self, index: &Index) -> Result<(), Fault> {
        for new in self.new_recipients(index)? {
            self.note(format!(
                "recipients.txt names {new}, who is new since the last write: nothing is sealed for \
                 that recipient until `hushpipe secret rekey`. If you do not know who that is, find \
                 out who changed the file"
            ));
        }
        Ok(())
    }

    /// Reports recipients who are new since the last write. What cannot be read is not looked at: another
    /// operation reports that.
    pub fn report_new_recipients(&self) {
        if let Ok(state) = self.state()
            && self.tell_of_new_recipients(&state.index).is_err()
        {
            // recipients.txt is not needed to read a value.
        }
    }

    /// Ends what a writer of the secret may have been stopped in: its current version stays.
    pub fn finish(&self, key: &Key) -> Result<(), StoreError> {
        self.about(key, || {
            let mut writing = Writing::begin(self)?;
            let current = self.pick(key, None, &*self.state()?)?.0;
            let locked = self.locked(key)?;
            self.end_former(&mut writing, key, &locked)?;
            let path = self.place_of(key);
            let cannot = |source| unwritable(&path, source);
            locked.point_to(current).map_err(cannot)
        })
    }

    fn locked(&self, key: &Key) -> Result<Locked, Fault> {
        self.check_place(key)?;
        let versions = self.versions(key)?;
        let locked = versions.lock();
        locked
            .map_err(|source| unwritable(versions.path(), source))?
            .ok_or_else(|| self.missing())
    }

    /// Makes an older version the current one: `to`, or the one before the current. Gives which it
    /// was and which it is.
    pub fn rollback(&self, key: &Key, to: Option<u64>) -> Result<(u64, u64), StoreError> {
        self.about(key, || {
            let mut writing = Writing::begin(self)?;
            let state = self.state()?;
            let current = self.pick(key, None, &state)?.0;
            let target = match to {
                Some(_) => self.pick(key, to, &state)?.0,
                None => before(writing.secret(key), current)?,
            };
            let locked = self.locked(key)?;
            let path = self.place_of(key);
            let cannot = |source| unwritable(&path, source);
            locked.check_history().map_err(cannot)?;
            self.end_former(&mut writing, key, &locked)?;
            writing.secret(key).current = target;
            writing.commit()?;
            locked.point_to(target).map_err(cannot)?;
            locked.note(What::RolledBack, target).map_err(cannot)?;
            Ok((current, target))
        })
    }

    /// Removes all versions of a secret, also files that the index does not know; gives how many there
    /// were. A removal that was interrupted is ended.
    pub fn remove(&self, key: &Key) -> Result<usize, StoreError> {
        self.about(key, || {
            let mut writing = Writing::begin(self)?;
            self.check_place(key)?;
            let versions = self.versions(key)?;
            let cannot = |source| unwritable(versions.path(), source);
            let was_there = writing.index.secret(key).is_some();
            let locked = versions.lock().map_err(cannot)?;
            let files = versions.list().map_err(cannot)?.len();
            let count = files.max(writing.secret(key).versions.len());
            if was_there {
                *writing.secret(key) = Secret::default();
                writing.commit()?;
            }
            match locked {
                Some(locked) => locked.remove().map_err(cannot)?,
                None => versions.remove_empty().map_err(cannot)?,
            }
            if was_there || files > 0 {
                return Ok(count);
            }
            Err(self.missing())
        })
    }
}

/// The version before the current one.
fn before(secret: &Secret, current: u64) -> Result<u64, Fault> {
    let earlier = secret.versions.range(..current).next_back();
    earlier
        .map(|(version, _)| *version)
        .ok_or_else(|| Fault::Missing {
            hint: format!("version {current} is the oldest one"),
        })
}
