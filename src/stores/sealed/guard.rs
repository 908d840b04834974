//! Opening what is in the store, on ways that only trusted users can change.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{FlockOperation, flock};

use super::age_file::MAX_SEALED;
use super::recipients::{self, Recipients};
use super::root::{Root, SECRETS};
use super::{Key, SealedStore, too_large, unreadable, unwritable};
use crate::secret::FileError;
use crate::stores::{Fault, StoreError};
use crate::sys::filesystem;
use crate::sys::walk::{self, Rule, WalkError, WalkFault};
use crate::sys::{beneath, durable, held};

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
    pub(super) fn reach(&self) -> Result<Rc<Root>, Fault> {
        let directory = walk::directory(&self.path, &self.rule()).map_err(|error| {
            if error.is_missing() {
                self.no_store()
            } else {
                refused(error)
            }
        })?;
        self.reached(directory)
    }

    /// The same, and makes what is missing.
    pub(super) fn make_root(&self) -> Result<Rc<Root>, Fault> {
        let directory = held::make_directories(&self.path, &self.rule()).map_err(refused)?;
        let secrets = beneath::make_directories(&directory, Path::new(SECRETS));
        secrets.map_err(|source| unwritable(&self.secrets(), source))?;
        self.reached(directory)
    }

    fn reached(&self, directory: OwnedFd) -> Result<Rc<Root>, Fault> {
        let path = self.secrets();
        let secrets = match beneath::enter(&directory, Path::new(SECRETS)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.no_store()),
            entered => entered.map_err(|source| unreadable(&path, source))?,
        };
        walk::check_directory(&secrets, &path, &self.rule()).map_err(refused)?;
        let secrets = Rc::new(secrets);
        let root = Rc::new(Root { directory, secrets });
        self.root.replace(Some(Rc::clone(&root)));
        Ok(root)
    }

    /// Fails if others could change the store, or its identity, where they are or are to be made.
    pub fn check_places(&self) -> Result<(), StoreError> {
        let identity = durable::parent(&self.identity_file);
        for directory in [&*self.path, identity] {
            let reached = walk::reach(directory, &self.rule()).and_then(|reached| {
                let end = || WalkError {
                    path: directory.to_owned(),
                    fault: WalkFault::Dangling,
                };
                if reached.dangling { Err(end()) } else { Ok(()) }
            });
            reached.map_err(|error| self.error(None, refused(error)))?;
        }
        Ok(())
    }

    fn no_store(&self) -> Fault {
        let advice = "no sealed store: `hushpipe init` makes one";
        let source = io::Error::new(io::ErrorKind::NotFound, advice);
        unreadable(&self.secrets(), source)
    }

    /// Waits for other writers, until what is returned is closed.
    pub(super) fn lock(&self) -> Result<OwnedFd, Fault> {
        let root = self.root()?;
        // A lock of its own, which ends with it.
        let locked = filesystem::open_directory_at(&root.directory, ".").and_then(|directory| {
            flock(&directory, FlockOperation::LockExclusive)?;
            Ok(directory)
        });
        locked.map_err(|source| unwritable(&self.path, source))
    }

    /// What was reached last.
    pub(super) fn root(&self) -> Result<Rc<Root>, Fault> {
        let root = self.root.borrow().clone();
        root.map_or_else(|| self.reach(), Ok)
    }

    /// Whether recipients.txt is there, which is made last.
    pub(super) fn has_recipients(&self) -> Result<bool, Fault> {
        match walk::place(&self.path, &self.rule()) {
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(refused(error)),
            Ok(directory) => {
                let path = recipients::file(&self.path);
                let found = filesystem::status_at(directory, recipients::FILE);
                found
                    .map(|found| found.is_some())
                    .map_err(|source| unreadable(&path, source))
            }
        }
    }

    /// Opens a regular file of the store.
    pub(super) fn open_file(&self, path: &Path) -> Result<File, Fault> {
        let (root, secrets) = (self.root()?, self.secrets());
        let (directory, shown) = if path.starts_with(&secrets) {
            (root.secrets.as_fd(), secrets)
        } else {
            (root.directory.as_fd(), self.path.clone())
        };
        let below = path.strip_prefix(&shown).unwrap_or(path);
        let opened = walk::file_beneath(directory, &shown, below, &self.rule());
        opened.map(File::from).map_err(refused)
    }

    /// Refuses a secret's directory that others can change, or that a link leads to.
    pub(super) fn check_place(&self, key: &Key) -> Result<(), Fault> {
        let root = self.root()?;
        let (shown, name) = (self.secrets(), key.to_path());
        match walk::place_beneath(root.secrets.as_fd(), &shown, &name, &self.rule()) {
            // Who makes it says what is in the way.
            Err(error) if error.is_missing() || matches!(error.fault, WalkFault::NotDirectory) => {
                Ok(())
            }
            reached => reached.map(|_| ()).map_err(refused),
        }
    }

    /// All of an age file.
    pub(super) fn read_sealed(&self, path: &Path) -> Result<Vec<u8>, Fault> {
        let file = self.open_file(path)?;
        // Room for the file of a small value, which is read at once.
        let mut sealed = Vec::with_capacity(4096);
        let read = file.take(MAX_SEALED + 1).read_to_end(&mut sealed);
        read.map_err(|source| unreadable(path, source))?;
        if sealed.len() as u64 > MAX_SEALED {
            return Err(too_large());
        }
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
