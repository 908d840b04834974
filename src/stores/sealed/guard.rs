//! Opening what is in the store, on ways that only trusted users can change.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use super::recipients::{self, Recipients};
use super::{SealedStore, too_large, unreadable};
use crate::secret::FileError;
use crate::stores::{Fault, StoreError, format};
use crate::sys::durable;
use crate::sys::walk::{self, Rule, WalkError};

/// Recipients are few.
const MAX_RECIPIENTS: u64 = 1 << 20;

impl SealedStore {
    /// Root, hushpipe's own user and the owners that the manifest trusts.
    fn rule(&self) -> Rule<'_> {
        Rule {
            owners: &self.owners,
            ..Rule::STRICT
        }
    }

    /// Walks to the store anew; what is opened from then on is below what was found.
    pub(super) fn reach(&self) -> Result<Rc<OwnedFd>, Fault> {
        self.check_there()?;
        let root = walk::directory(&self.path, &self.rule()).map_err(refused)?;
        let root = Rc::new(root);
        self.root.replace(Some(Rc::clone(&root)));
        Ok(root)
    }

    /// Fails if others could change the store, or its identity, where they are or are to be made.
    pub fn check_places(&self) -> Result<(), StoreError> {
        let identity = durable::parent(&self.identity_file);
        for directory in [&*self.path, identity] {
            let reached = walk::reach(directory, &self.rule()).map_err(refused);
            reached.map_err(|fault| self.error(None, fault))?;
        }
        Ok(())
    }

    /// Opens a regular file of the store.
    pub(super) fn open_file(&self, path: &Path) -> Result<File, Fault> {
        let root = self.root.borrow().clone();
        let root = root.map_or_else(|| self.reach(), Ok)?;
        let below = path.strip_prefix(&self.path).unwrap_or(path);
        let opened = walk::file_beneath(root.as_fd(), &self.path, below, &self.rule());
        opened.map(File::from).map_err(refused)
    }

    /// Refuses a secret's directory that others can change.
    pub(super) fn check_place(&self, path: &Path) -> Result<(), Fault> {
        match walk::place(path, &self.rule()) {
            Err(error) if error.is_missing() => Ok(()),
            reached => reached.map(|_| ()).map_err(refused),
        }
    }

    /// All of an age file.
    pub(super) fn read_sealed(&self, path: &Path) -> Result<Vec<u8>, Fault> {
        let mut file = self.open_file(path)?;
        let cannot = |source| unreadable(path, source);
        // Sealing adds less than this.
        let most = (format::MAX_VALUE + format::MAX_VALUE / 8) as u64;
        let length = file.metadata().map_err(cannot)?.len();
        if length > most {
            return Err(too_large());
        }
        let mut sealed = Vec::with_capacity(length as usize + 1);
        file.by_ref()
            .take(most)
            .read_to_end(&mut sealed)
            .map_err(cannot)?;
        Ok(sealed)
    }

    /// The text of recipients.txt.
    pub(super) fn recipients_text(&self) -> Result<String, Fault> {
        let path = recipients::file(&self.path);
        let mut text = String::new();
        let file = self.open_file(&path)?;
        let read = file.take(MAX_RECIPIENTS).read_to_string(&mut text);
        read.map(|_| text)
            .map_err(|source| unreadable(&path, source))
    }

    /// Whom recipients.txt names.
    pub(super) fn recipients(&self) -> Result<Recipients, Fault> {
        Recipients::parse(&recipients::file(&self.path), &self.recipients_text()?)
    }
}

/// Why a path was not walked to its end.
fn refused(error: WalkError) -> Fault {
    FileError::from(error).into()
}
