//! Sealing all versions anew, for other recipients.

use std::fs;

use super::recipients::{self, Recipients};
use super::{Key, SealedStore, age_file, unreadable, unwritable};
use crate::secret::SecretBytes;
use crate::stores::{Fault, StoreError};
use crate::sys::durable;

/// What [`SealedStore::rekey`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// How many secrets.
    pub secrets: usize,
    /// How many versions in all.
    pub versions: usize,
    /// For how many recipients they are sealed now.
    pub recipients: usize,
}

impl SealedStore {
    /// Seals every version anew for the recipients of recipients.txt, after adding to it and taking
    /// away from it. First it makes sure that each can be opened. When it is interrupted, every
    /// version is whole, sealed for the old or for the new recipients: call it again.
    pub fn rekey(&self, add: &[String], remove: &[String]) -> Result<Rekeyed, StoreError> {
        let listed = self.list()?;
        for secret in &listed {
            self.about(&secret.key, || self.each(&secret.key, |_, _| Ok(())))?;
        }
        let recipients = self
            .change_recipients(add, remove)
            .map_err(|fault| self.error(None, fault))?;
        let mut done = Rekeyed {
            secrets: listed.len(),
            versions: 0,
            recipients: recipients.texts().len(),
        };
        for secret in &listed {
            done.versions += self.about(&secret.key, || self.reseal(&secret.key, &recipients))?;
        }
        Ok(done)
    }

    fn reseal(&self, key: &Key, recipients: &Recipients) -> Result<usize, Fault> {
        let versions = self.versions(key);
        let cannot = |source| unwritable(versions.path(), source);
        let Some(locked) = versions.lock().map_err(cannot)? else {
            // Removed meanwhile.
            return Ok(0);
        };
        self.each(key, |version, bytes| {
            let sealed = age_file::seal(recipients, bytes.expose())?;
            locked.reseal(version, &sealed).map_err(cannot)
        })
    }

    /// Opens each version of a secret; gives how many there are.
    fn each(
        &self,
        key: &Key,
        mut act: impl FnMut(u64, &SecretBytes) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let versions = self.versions(key);
        let all = versions.list();
        let all = all.map_err(|source| unreadable(versions.path(), source))?;
        for version in &all {
            act(*version, &self.read(&versions, *version)?)?;
        }
        Ok(all.len())
    }

    fn change_recipients(&self, add: &[String], remove: &[String]) -> Result<Recipients, Fault> {
        let file = recipients::file(&self.path);
        if !add.is_empty() || !remove.is_empty() {
            let text = fs::read_to_string(&file).map_err(|source| unreadable(&file, source))?;
            let normal = |list: &[String]| -> Result<Vec<_>, _> {
                list.iter().map(|one| recipients::normal(one)).collect()
            };
            let (add, remove) = (normal(add)?, normal(remove)?);
            let own = self.identities()?.recipients()?;
            if own.iter().all(|one| remove.contains(one)) {
                return Err(Fault::Denied {
                    reason: format!(
                        "removing {} would lock you out: the identity file {} opens secrets for \
                         nobody else",
                        own.join(", "),
                        self.identity_file.display()
                    ),
                });
            }
            let text = recipients::edit(&file, &text, &add, &remove)?;
            durable::replace(&file, text.as_bytes(), 0o600)
                .map_err(|source| unwritable(&file, source))?;
        }
        Recipients::read(&file)
    }
}
