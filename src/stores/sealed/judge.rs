//! Whether an index is to be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use super::index::{Entry, FileDigest, Index, Secret, Signed, StoreId, digest};
use super::memory::Remembered;
use super::state::{INDEX, State};
use super::{Key, SealedStore, unreadable};
use crate::model::Event;
use crate::stores::Fault;
use crate::sys::filesystem::{self, Kind};
use crate::sys::memory::fill_random;

/// An index of so many bytes has a line for each of 100,000 versions.
const MAX_INDEX: u64 = 16 << 20;

/// Why an index is not believed.
enum Doubt {
    /// Of another store than the one that is remembered.
    OtherStore(StoreId),
    /// Older than the one that is remembered, which has this number.
    Older(u64),
    /// Another one with the same number.
    Forked,
    /// Signed by somebody whom no one that is remembered let in.
    Stranger,
}

impl SealedStore {
    /// What the store holds now. The same index is judged once.
    pub(super) fn state(&self) -> Result<Rc<State>, Fault> {
        // What is remembered is read first: whoever writes puts down the index before it.
        let remembered = self.recall()?;
        self.reach()?;
        let Some(text) = self.index_text()? else {
            return self.without_index(remembered.as_ref());
        };
        let cached = self.state.borrow().clone();
        if let Some(cached) = &cached
            && cached.text.as_ref() == Some(&text)
            && remembered
                .as_ref()
                .is_none_or(|known| known.number <= cached.index.number)
        {
            return Ok(Rc::clone(cached));
        }
        let signed = Signed::parse(&text).ok_or_else(|| self.unreadable_index(&text))?;
        let known = remembered.or_else(|| cached.and_then(|cached| cached.to_remember()));
        let mark = digest(text.as_bytes());
        let is_same = known.as_ref().is_some_and(|known| known.index == mark);
        if !is_same && !signed.is_genuine() {
            return Err(self.denied(
                "the signature of its index is wrong: something else than hushpipe changed it, or it \
                 is cut short; restore the index from a backup or from git",
            ));
        }
        let doubt = known
            .as_ref()
            .and_then(|known| doubt(&signed, &mark, known));
        if let Some(doubt) = &doubt {
            if !self.accepts.get() {
                return Err(self.doubted(doubt, &signed));
            }
        } else if known.is_none() {
            self.first_use(&signed)?;
        }
        // Only what is there at first was looked at by a person.
        self.accepts.set(false);
        let state = Rc::new(State {
            index: signed.index,
            text: Some(text),
        });
        if !is_same {
            self.remember(&state, doubt.is_some());
        }
        self.state.replace(Some(Rc::clone(&state)));
        Ok(state)
    }

    /// Takes note of a state that was just written here.
    pub(super) fn adopt(&self, state: State) {
        let state = Rc::new(state);
        self.remember(&state, true);
        self.state.replace(Some(state));
    }

    /// What is remembered of the store on this host.
    pub(super) fn recall(&self) -> Result<Option<Remembered>, Fault> {
        self.memory.recall().or_else(|error| {
            if error.kind() == io::ErrorKind::InvalidData {
                let file = self.memory.file().unwrap_or(Path::new("?"));
                return Err(unreadable(file, error));
            }
            self.cannot_remember(&error);
            Ok(None)
        })
    }

    fn remember(&self, state: &State, always: bool) {
        let Some(what) = state.to_remember() else {
            return;
        };
        if let Err(error) = self.memory.remember(&what, always) {
            self.cannot_remember(&error);
        }
    }

    /// Once; from then on, what this process saw is what it knows.
    fn cannot_remember(&self, error: &io::Error) {
        if !self.said.replace(true) {
            let place = self.memory.file().map_or_else(
                || "no directory".to_owned(),
                |file| file.display().to_string(),
            );
            self.note(format!(
                "this host cannot remember which state of the store it saw ({place}: {error}): its \
                 signature is checked, but an older copy of it would not be noticed at the next start"
            ));
        }
    }

    /// Tells a person something about the store.
    pub(super) fn note(&self, message: String) {
        self.observer.observe(&Event::StoreNote {
            store: self.name.clone(),
            message,
        });
    }

    fn first_use(&self, signed: &Signed) -> Result<(), Fault> {
        let own: BTreeSet<String> = match self.identities() {
            Ok(identities) => identities.recipients()?.into_iter().collect(),
            Err(_) => BTreeSet::new(),
        };
        let index = &signed.index;
        if !index.vouched_for(&own, 0).contains(&signed.signer) {
            self.note(format!(
                "{} is new to this host: from now on it is the store with id {}, number {}, signed by \
                 {}",
                self.path.display(),
                index.store,
                index.number,
                signed.signer
            ));
        }
        Ok(())
    }

    fn index_text(&self) -> Result<Option<String>, Fault> {
        let path = self.path.join(INDEX);
        let cannot = |source| unreadable(&path, source);
        let file = match self.open_file(&path) {
            Ok(file) => file,
            Err(Fault::Unreachable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        };
        // Room for some dozens of versions: read at once.
        let mut text = String::with_capacity(8192);
        file.take(MAX_INDEX + 1)
            .read_to_string(&mut text)
            .map_err(cannot)?;
        if text.len() as u64 > MAX_INDEX {
            return Err(self.denied("its index is larger than 16 MiB"));
        }
        Ok(Some(text))
    }

    fn without_index(&self, remembered: Option<&Remembered>) -> Result<Rc<State>, Fault> {
        if !self.accepts.get() {
            let why = match remembered {
                Some(_) => {
                    "its index is gone, which this host has seen: bring it back from a backup \
                            or from git. If it is lost, look at what is there, then sign that"
                }
                None => {
                    "it has no index: an older hushpipe wrote it, or somebody removed the index. \
                         Look at what is there, then sign it"
                }
            };
            return Err(self.denied(&format!("{why}: `hushpipe secret rekey --accept-store`")));
        }
        if !self.said_accepted.replace(true) {
            self.note(
                "it has no index: what is there is taken as it is, as --accept-store says; `hushpipe \
                 secret rekey --accept-store` signs it"
                    .to_owned(),
            );
        }
        Ok(Rc::new(State {
            index: self.of_disk(remembered)?,
            text: None,
        }))
    }

    /// What lies in the store, as its index, unsigned. The id and the number go on from what is known.
    pub(super) fn of_disk(&self, known: Option<&Remembered>) -> Result<Index, Fault> {
        let mut id = StoreId([0; 16]);
        match known {
            Some(known) => id = known.store,
            None => fill_random(&mut id.0).map_err(|source| unreadable(&self.path, source))?,
        }
        let mut index = Index::new(id);
        index.number = known.map_or(0, |known| known.number);
        index.secrets = self.walk()?;
        Ok(index)
    }

    fn unreadable_index(&self, text: &str) -> Fault {
        if text.lines().any(|line| line.starts_with("<<<<<<<")) {
            return self.denied("its index has conflicts of a merge: run `hushpipe secret merge`");
        }
        self.denied(
            "its index is damaged or of a newer hushpipe: restore it from a backup or from git",
        )
    }

    fn doubted(&self, doubt: &Doubt, signed: &Signed) -> Fault {
        let (number, signer) = (signed.index.number, &signed.signer);
        let why = match doubt {
            Doubt::OtherStore(known) => format!(
                "another store is there: its id is {}, and this host knows {known}",
                signed.index.store
            ),
            Doubt::Older(known) => format!(
                "it is older than before: its index has number {number}, and this host has seen \
                 {known}; a checkout of an older commit does this, or an old copy was put back"
            ),
            Doubt::Forked => format!(
                "it is another state than before: this host has seen another index with number \
                 {number}; two writers wrote apart from each other (`hushpipe secret merge`), or it \
                 was replaced"
            ),
            Doubt::Stranger => format!(
                "its index is signed by {signer}, whom no recipient that this host knows let in"
            ),
        };
        self.denied(&format!(
            "{why}. If that is as it should be, repeat with --accept-store once"
        ))
    }

    pub(super) fn denied(&self, why: &str) -> Fault {
        Fault::Denied {
            reason: format!("sealed store {}: {why}", self.path.display()),
        }
    }

    /// Recipients that recipients.txt names and the index does not know: new since the last write.
    pub(super) fn new_recipients(&self, index: &Index) -> Result<Vec<String>, Fault> {
        let mut texts = self.recipients()?.texts();
        texts.retain(|one| !index.members.contains_key(one));
        Ok(texts)
    }
}

impl SealedStore {
    /// The secrets that lie in the store, with their versions.
    fn walk(&self) -> Result<BTreeMap<String, Secret>, Fault> {
        let mut found = BTreeMap::new();
        let mut keys = self.keys(None)?;
        while let Some(key) = keys.pop() {
            let versions = self.versions(&key)?;
            let cannot = |source| unreadable(versions.path(), source);
            let mut secret = Secret::default();
            for version in versions.list().map_err(cannot)? {
                let digest = digest(&self.read_sealed(&versions.file(version))?);
                let bound = false;
                secret.versions.insert(version, Entry { digest, bound });
            }
            secret.current = versions.linked().map_err(cannot)?.unwrap_or(0);
            if !secret.versions.contains_key(&secret.current) {
                secret.current = secret.next() - 1;
            }
            keys.extend(self.keys(Some(&key))?);
            if !secret.is_removed() {
                found.insert(key.as_str().to_owned(), secret);
            }
        }
        Ok(found)
    }

    /// The directories in a secret's, or in the topmost one, that can be secrets.
    pub(super) fn keys(&self, above: Option<&Key>) -> Result<Vec<Key>, Fault> {
        let (path, prefix) = above.map_or_else(
            || (self.secrets(), String::new()),
            |key| (self.place_of(key), format!("{key}/")),
        );
        let look = |directory: &OwnedFd| {
            let mut keys = Vec::new();
            for name in filesystem::entries(directory)? {
                // What cannot be a name was put there by others.
                let key = name
                    .to_str()
                    .map(|name| Key::parse(&format!("{prefix}{name}")));
                let found = filesystem::status_at(directory, &name)?;
                if let Some(Ok(key)) = key
                    && found.is_some_and(|found| found.kind == Kind::Directory)
                {
                    keys.push(key);
                }
            }
            Ok(keys)
        };
        let cannot = |source| unreadable(&path, source);
        match above {
            None => look(&self.root()?.secrets).map_err(cannot),
            Some(key) => {
                let directory = self.versions(key)?.open().map_err(cannot)?;
                directory.map_or(Ok(Vec::new()), |directory| look(&directory).map_err(cannot))
            }
        }
    }
}

fn doubt(signed: &Signed, mark: &FileDigest, known: &Remembered) -> Option<Doubt> {
    let index = &signed.index;
    if index.store != known.store {
        return Some(Doubt::OtherStore(known.store));
    }
    if index.number < known.number {
        return Some(Doubt::Older(known.number));
    }
    if *mark == known.index {
        return None;
    }
    if index.number == known.number {
        return Some(Doubt::Forked);
    }
    let trusted = index.vouched_for(&known.members, known.number);
    (!trusted.contains(&signed.signer)).then_some(Doubt::Stranger)
}
