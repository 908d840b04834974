//! HTTP for stores: one request, and its answer or why there is none.
//!
//! A [`Session`] is one pool of connections with its TLS state. It lives as long as somebody holds
//! it: a store holds one while it has requests to make, so that nothing stays resident in between.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

pub use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

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
}

impl Http {
    /// Nothing is read or asked yet.
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            live: RefCell::new(Weak::new()),
        }
    }

    /// The session that somebody holds, or a new one.
    pub fn session(&self) -> Result<Rc<Session>, Fault> {
        if let Some(session) = self.live.borrow().upgrade() {
            return Ok(session);
        }
        let session = Rc::new(Session::open(self.settings.clone())?);
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
}

impl Request {
    /// `path` starts with a slash and is taken as it is: percent-encoding is the caller's.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: None,
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

/// Connections to one server.
pub struct Session {
    settings: Settings,
    client: reqwest::Client,
}

impl Session {
    fn open(settings: Settings) -> Result<Self, Fault> {
        let client = reqwest::Client::builder()
            .build()
            .map_err(|error| Fault::Malformed {
                reason: format!("cannot set up HTTP: {error}"),
            })?;
        Ok(Self { settings, client })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, Fault> {
        let began = Instant::now();
        let address = match &self.settings.addresses[0] {
            Address::Url(url) => url.clone(),
            Address::Unix(path) => format!("unix://{}", path.display()),
        };
        let no_answer = |error: reqwest::Error| Fault::NoAnswer {
            address: address.clone(),
            after: began.elapsed(),
            cause: error.without_url().to_string(),
        };
        let mut builder = self
            .client
            .request(request.method.clone(), format!("{address}{}", request.path))
            .headers(request.headers.clone())
            .timeout(self.settings.deadline);
        if let Some(body) = &request.body {
            builder = builder.body(body.expose().to_vec());
        }
        let answer = builder.send().await.map_err(no_answer)?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(no_answer)?;
        Ok(Answer {
            status,
            body: SecretBytes::new(body.to_vec()),
        })
    }
}
