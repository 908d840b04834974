//! Sealing all versions anew, for other recipients.

use std::collections::BTreeSet;

use super::recipients::{self, Recipients, Typed};
use super::state::State;
use super::write::Writing;
use super::{Key, SealedStore, unwritable};
use crate::stores::{Fault, StoreError};
use crate::sys::durable;

/// What [`SealedStore::rekey`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// How many secrets.
    pub secrets: usize,
    /// How many versions in all.
    pub versions: usize,
    /// For how many recipients they are sealed now.
    pub recipients: usize,
    /// Those that could not open it before.
    pub new: Vec<String>,
}

impl SealedStore {
    /// Seals every version anew for the recipients of recipients.txt, after adding to it and taking
    /// away from it. First it makes sure that each can be opened. When it is interrupted, every
    /// version is whole, sealed for the old or for the new recipients: call it again.
    ///
    /// Where the store accepts what is there (`--accept-store`), files that the index does not know are
    /// taken into it.
    pub fn rekey(&self, add: &[String], remove: &[String]) -> Result<Rekeyed, StoreError> {
        self.rekey_all(add, remove)
            .map_err(|fault| self.error(None, fault))
    }

    /// Who can open what is sealed from now on, each with its owner's name, if that is known.
    pub fn named_recipients(&self) -> Result<Vec<(String, Option<String>)>, StoreError> {
        let text = self.reach().and_then(|_| self.recipients_text());
        let text = text.map_err(|fault| self.error(None, fault))?;
        Ok(recipients::named(&text))
    }

    fn rekey_all(&self, add: &[String], remove: &[String]) -> Result<Rekeyed, Fault> {
        let mut writing = if self.accepts.get() {
            Writing::accepting(self)?
        } else {
            let writing = Writing::begin(self)?;
            self.verify_files(&*self.state()?)?;
            writing
        };
        let keys = keys(&writing);
        self.check_all_open(&writing, &keys)?;
        let mut known: BTreeSet<String> = writing.index.members.keys().cloned().collect();
        known.extend(self.identities()?.recipients()?);
        known.extend(
            self.recall()?
                .map(|known| known.members)
                .unwrap_or_default(),
        );
        let recipients = self.change_recipients(add, remove, &writing)?;
        let texts = recipients.texts();
        writing.set_members(&texts)?;
        writing.check_signer()?;
        let versions = self.reseal_all(&mut writing, &keys, &recipients)?;
        let mut new = texts.clone();
        new.retain(|one| !known.contains(one));
        Ok(Rekeyed {
            secrets: keys.len(),
            versions,
            recipients: texts.len(),
            new,
        })
    }

    /// Stages all of them; then one index makes them the versions.
    fn reseal_all(
        &self,
        writing: &mut Writing,
        keys: &[Key],
        recipients: &Recipients,
    ) -> Result<usize, Fault> {
        let state = State::of(writing.index.clone());
        let mut count = 0;
        let mut staged = Vec::new();
        for key in keys {
            self.check_place(key)?;
            let versions = self.versions(key)?;
            let cannot = |source| unwritable(versions.path(), source);
            let locked = versions.lock().map_err(cannot)?;
            let locked = locked.ok_or_else(|| self.missing())?;
            self.end_former(writing, key, &locked)?;
            for (version, entry) in &state.index.secrets[key.as_str()].versions {
                let read = |parsed: &_| self.read(key, *version, *entry, &state, parsed);
                let bytes = self.opened(read)?;
                let modified = locked.modified(*version);
                writing.stage(key, *version, &bytes, recipients, &locked, modified.ok())?;
                count += 1;
            }
            staged.push((key, locked));
        }
        writing.commit()?;
        for (key, locked) in staged {
            let path = self.place_of(key);
            let cannot = |source| unwritable(&path, source);
            for version in writing.secret(key).versions.keys() {
                locked.promote(*version).map_err(cannot)?;
            }
            locked
                .point_to(writing.secret(key).current)
                .map_err(cannot)?;
        }
        Ok(count)
    }

    /// Makes sure that each version can be opened.
    fn check_all_open(&self, writing: &Writing, keys: &[Key]) -> Result<(), Fault> {
        let state = State::of(writing.index.clone());
        for key in keys {
            for (version, entry) in &state.index.secrets[key.as_str()].versions {
                self.opened(|parsed| self.read(key, *version, *entry, &state, parsed))?;
            }
        }
        Ok(())
    }

    fn change_recipients(
        &self,
        add: &[String],
        remove: &[String],
        writing: &Writing,
    ) -> Result<Recipients, Fault> {
        let file = recipients::file(&self.path);
        if !add.is_empty() || !remove.is_empty() {
            let text = self.recipients_text()?;
            let typed: Result<Vec<Typed>, _> = add.iter().map(|one| Typed::parse(one)).collect();
            let add = typed?;
            let remove: Result<Vec<_>, _> = remove.iter().map(|one| keyed(one, &text)).collect();
            let remove = remove?;
            self.check_not_locked_out(&remove)?;
            let added: Vec<String> = add.iter().map(|one| one.key.clone()).collect();
            self.check_named(&added, &remove, writing)?;
            let text = recipients::edit(&file, &text, &add, &remove)?;
            let root = self.root()?;
            durable::replace_at(
                &root.directory,
                recipients::FILE.as_ref(),
                text.as_bytes(),
                0o600,
            )
            .map_err(|source| unwritable(&file, source))?;
        }
        self.recipients()
    }

    fn check_not_locked_out(&self, remove: &[String]) -> Result<(), Fault> {
        let own = self.identities()?.recipients()?;
        if own.iter().all(|one| remove.contains(one)) {
            return Err(Fault::Denied {
                reason: format!(
                    "removing {} would lock you out: the identity file {} opens secrets for nobody \
                     else",
                    own.join(", "),
                    self.identity_file.display()
                ),
            });
        }
        Ok(())
    }

    /// Who changes recipients by name does not let in others whom somebody wrote into the file.
    fn check_named(
        &self,
        add: &[String],
        remove: &[String],
        writing: &Writing,
    ) -> Result<(), Fault> {
        if writing.index.members.is_empty() {
            return Ok(());
        }
        let new = self.new_recipients(&writing.index)?;
        let unnamed = new
            .iter()
            .find(|one| !add.contains(one) && !remove.contains(one));
        unnamed.map_or(Ok(()), |one| {
            Err(self.denied(&format!(
                "recipients.txt also names {one}, who is new since the last write: name that \
                 recipient with --add-recipient or --remove-recipient as well, or run `hushpipe \
                 secret rekey` alone, which takes recipients.txt as it is"
            )))
        })
    }
}

/// A recipient to be removed, by its key or by its owner's name.
fn keyed(typed: &str, text: &str) -> Result<String, Fault> {
    let named = recipients::named(text);
    let mut of_name = named
        .iter()
        .filter(|(_, name)| name.as_deref() == Some(typed.trim()));
    match (of_name.next(), of_name.next()) {
        (Some((key, _)), None) => Ok(key.clone()),
        (Some(_), Some(_)) => Err(Fault::Malformed {
            reason: format!("several recipients have the name {typed:?}: name the public key"),
        }),
        (None, _) => recipients::argument(typed),
    }
}

fn keys(writing: &Writing) -> Vec<Key> {
    let secrets = writing.index.secrets.iter();
    secrets
        .filter(|(_, secret)| !secret.is_removed())
        .filter_map(|(name, _)| Key::parse(name).ok())
        .collect()
}
