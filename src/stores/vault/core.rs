//! What a store and its watch share.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use tokio::sync::Notify;

use super::access::Access;
use super::ask::Ask;
use super::error::VaultError;
use super::held_back::PendingRequest;
use super::kept::Kept;
use super::looked::Look;
use super::server::Server;
use crate::model::Source;
use crate::secret::DigestKey;
use crate::stores::StoreError;

/// A server, and what hushpipe got there.
pub(super) struct Core {
    pub access: Rc<Access>,
    pub digests: DigestKey,
    pub kept: RefCell<BTreeMap<Ask, Kept>>,
    pub looked: RefCell<BTreeMap<Ask, Look>>,
    /// Requests that wait for people to authorize them.
    pub requests: RefCell<BTreeMap<Ask, Rc<PendingRequest>>>,
    /// Requests that are not waited for any more, and that the server still knows.
    pub withdrawn: RefCell<Vec<Rc<PendingRequest>>>,
    /// The program runs, and its secrets are watched: nothing waits for people.
    pub attended: Cell<bool>,
    /// Something is to be done at another time than before.
    pub wake: Notify,
}

impl Core {
    pub fn new(server: Server) -> io::Result<Self> {
        Ok(Self {
            access: Rc::new(Access::new(server)?),
            digests: DigestKey::new()?,
            kept: RefCell::new(BTreeMap::new()),
            looked: RefCell::new(BTreeMap::new()),
            requests: RefCell::default(),
            withdrawn: RefCell::default(),
            attended: Cell::new(false),
            wake: Notify::new(),
        })
    }

    pub fn ask(&self, source: &Source) -> Result<Ask, StoreError> {
        Ask::of(source)
            .map_err(|fault| VaultError::Store(fault).named(&self.access.server.store, ""))
    }

    pub fn named(&self, error: VaultError, ask: &Ask) -> StoreError {
        error.named(&self.access.server.store, ask.path.trim_matches('/'))
    }

    /// Does something with what is kept for a source, if anything is.
    pub fn with_kept<R>(&self, source: &Source, act: impl FnOnce(&mut Kept) -> R) -> Option<R> {
        let ask = Ask::of(source).ok()?;
        let result = self.kept.borrow_mut().get_mut(&ask).map(act);
        self.wake.notify_one();
        result
    }
}
