//! A request that people have to authorize: what it is executed with, and what they authorize it by.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use reqwest::header::HeaderValue;

use super::answer::Wrapping;
use super::error::VaultError;
use super::token::{Token, header};
use crate::secret::Buffer;
use crate::stores::Fault;
use crate::stores::poll::jittered;
use crate::sys::clock::Boottime;

/// Between looks while the program runs with the value before.
const BESIDE: Duration = Duration::from_secs(10);

/// A request that waits for people to authorize it.
pub(super) struct PendingRequest {
    /// Executes the request once it is authorized. A credential.
    wrapping: Buffer,
    /// What people authorize it by. No credential: it opens nothing.
    pub accessor: String,
    /// When it was sent.
    pub since: Boottime,
    /// The server forgets it then.
    pub ends: Boottime,
    /// As whom it was sent: its lease is that login's, and it ends with that.
    pub token: Rc<Token>,
    /// Who has authorized it, as far as that is known.
    pub by: RefCell<Option<Vec<String>>>,
    /// When it is looked at next, beside the program.
    next: Cell<Boottime>,
    /// The login may not look at it.
    pub hidden: Cell<bool>,
}

impl PendingRequest {
    /// From the answer to a request for `asked` that was sent at `since`.
    pub fn new(
        wrapping: &Wrapping<'_>,
        asked: &str,
        since: Boottime,
        token: Rc<Token>,
    ) -> Result<Self, Fault> {
        wrapping.check(asked)?;
        let buffer = Buffer::new(wrapping.token.as_bytes()).map_err(Fault::no_memory)?;
        Ok(Self {
            wrapping: buffer,
            accessor: wrapping.accessor.clone().into_owned(),
            since,
            ends: since + wrapping.ttl(),
            token,
            by: RefCell::new(None),
            next: Cell::new(since + jittered(BESIDE)),
            hidden: Cell::new(false),
        })
    }

    /// For executing and ending it.
    pub fn header(&self) -> Result<HeaderValue, VaultError> {
        header(&self.wrapping).map_err(VaultError::Asked)
    }

    /// When it is to be looked at while the program runs.
    pub const fn due(&self) -> Boottime {
        self.next.get()
    }

    /// It is looked at now.
    pub fn is_looked_at(&self) {
        self.next.set(Boottime::now() + jittered(BESIDE));
    }

    /// Takes note of who has authorized it; whether that is news.
    pub fn learn(&self, by: Vec<String>) -> bool {
        let news = self.by.borrow().as_ref() != Some(&by);
        self.by.replace(Some(by));
        news
    }
}
