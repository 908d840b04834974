//! HTTP for stores: one request, and its answer or why there is none.
//!
//! A [`Session`] is one pool of connections with its TLS state. It lives as long as somebody holds
//! it: a store holds one while it has requests to make, so that nothing stays resident in between.
//!
//! What is tried again, and how the time is divided, is in [`retry`]; nothing of a request but the
//! server's address is ever in a fault, and nothing of an answer but its status.

mod body;
mod fault;
mod pem;
mod probe;
mod proxy;
mod reach;
mod redirect;
mod resolve;
mod retry;
mod session;
mod tls;
mod tls_fault;
mod wire;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

pub use probe::probe;
pub use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use resolve::lookups_ended;
pub use session::Session;
pub use wire::Wire;

use super::Fault;
use crate::model::{Address, Tls};
use crate::secret::SecretBytes;

/// Where a server is, and how it is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tried in turn; never empty.
    pub addresses: Vec<Address>,
    /// How the server is known and hushpipe shows itself.
    pub tls: Tls,
    /// How long a request may take, with all that is tried again within it.
    pub deadline: Duration,
}

/// A server.
pub struct Http {
    settings: Settings,
    live: RefCell<Weak<Session>>,
    /// Which address answered last.
    last: Rc<Cell<usize>>,
    delay: Delay,
}

/// Why the server's last request is tried again; `None` when one was answered since.
type Delay = Rc<RefCell<Option<String>>>;

impl Http {
    /// Nothing is read or asked yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            live: RefCell::new(Weak::new()),
            last: Rc::new(Cell::new(0)),
            delay: Delay::default(),
        }
    }

    /// The address and the fault for which a request is tried again; `None`: the last try that
    /// ended was answered.
    pub fn delayed_by(&self) -> Option<String> {
        self.delay.borrow().clone()
    }

    /// The session that somebody holds, or a new one. Its connections are made, and the files of
    /// its TLS settings read, with the first request.
    pub fn session(&self) -> Result<Rc<Session>, Fault> {
        if let Some(session) = self.live.borrow().upgrade() {
            return Ok(session);
        }
        let session = Rc::new(Session::open(
            &self.settings,
            Rc::clone(&self.last),
            Rc::clone(&self.delay),
        )?);
        *self.live.borrow_mut() = Rc::downgrade(&session);
        Ok(session)
    }
}

/// One request. Its body and its header values are not shown by anything.
pub struct Request {
    method: Method,
    /// With a leading slash, percent-encoded; with the query.
    path: String,
    headers: HeaderMap,
    body: Option<SecretBytes>,
    once: bool,
    wire: Option<Wire>,
}

impl Request {
    /// `path` starts with a slash and is taken as it is: percent-encoding is the caller's.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: None,
            once: false,
            wire: None,
        }
    }

    /// Adds a header whose value may be secret.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// A body of JSON.
    #[must_use]
    pub fn json(mut self, body: SecretBytes) -> Self {
        self.body = Some(body);
        self
    }

    /// Tells while its body is with the server.
    #[must_use]
    pub fn on(mut self, wire: &Wire) -> Self {
        self.wire = Some(wire.clone());
        self
    }

    /// It must not be done twice, as what it uses up is for one use: a login with such a
    /// `secret_id`, an unwrap. It is tried again only where the server cannot have done it: where
    /// no connection came about, or the server refused to work (429, 472, 473, 503). And one try
    /// may take all of the deadline.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.once = true;
        self
    }
}

/// What a server answered with any other status than those that are tried again.
pub struct Answer {
    /// 200 to 499.
    pub status: u16,
    /// At most [`MAX_ANSWER`] bytes.
    pub body: SecretBytes,
}

/// Answers that are larger are refused.
pub const MAX_ANSWER: usize = 16 << 20;
