//! One address of a server, and the connections to it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Body, Client, Response, Url, Version};
use rustls::ClientConfig;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use super::address::{at, host, parse, rename};
use super::answer::{self, Answer};
use super::error::HttpError;
use super::outgoing::Outgoing;
use super::request::Request;
use super::resolve::Lookup;
use super::retry::{self, AttemptError, Classify, Limits, TryError, Weight};
use super::{causes, proxy, redirect, tls};
use crate::model::Address;

/// How long requests wait for the first one to show whether all can share its connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connections at once, where each request needs one of its own (HTTP/1.1).
const MAX_CONNECTIONS: usize = 256;

/// How much an HTTP/2 server may send on a connection before it is told that there is room.
const WINDOW: u32 = 4 << 20;

/// What an address said.
pub(super) enum Reply {
    Answer(Answer),
    /// A redirect's `Location`.
    Redirect(String),
}

/// How an address is connected to.
enum Transport {
    Tcp,
    Unix(PathBuf),
}

/// The connections of an address.
#[derive(Default)]
struct Pool {
    client: Option<Client>,
    /// How many pools there were before.
    number: u64,
}

/// One request to an address, once.
pub(super) struct Attempt<'a> {
    pub request: &'a Request,
    /// The request's own path, or where a redirect leads.
    pub path: Cow<'a, str>,
    pub limits: Limits,
    pub classify: Classify,
    pub until: Instant,
}

pub(super) struct Endpoint {
    /// As it was written.
    name: String,
    transport: Transport,
    written: Url,
    /// What requests are made to: `written`, with the name that the certificate must have as host.
    url: Url,
    lookup: Arc<Lookup>,
    /// Through which the address is reached, if through any.
    proxy: Option<String>,
    pool: RefCell<Pool>,
    /// Whether its connections carry many requests at once (HTTP/2). `None`: not known yet.
    shared: Cell<Option<bool>>,
    first: Mutex<()>,
    connections: Semaphore,
}

impl Endpoint {
    /// `tls_server_name`: what the certificate must be for, if not the address's host.
    pub(super) fn new(address: &Address, server_name: Option<&str>) -> Result<Self, HttpError> {
        let (name, transport, written) = match address {
            Address::Url(written) => (written.clone(), Transport::Tcp, parse(written)?),
            Address::Unix(path) => (
                format!("unix://{}", path.display()),
                Transport::Unix(path.clone()),
                parse("http://localhost")?,
            ),
        };
        let proxy = match &transport {
            Transport::Tcp => proxy::of(&written)?,
            Transport::Unix(_) => None,
        };
        let mut url = written.clone();
        let mut lookup = Lookup::default();
        if let Some(server_name) = server_name.filter(|_| written.scheme() == "https") {
            lookup = Lookup::instead(server_name, host(&written));
            rename(&mut url, server_name)?;
        }
        Ok(Self {
            name,
            transport,
            written,
            url,
            lookup: Arc::new(lookup),
            proxy,
            pool: RefCell::default(),
            shared: Cell::new(None),
            first: Mutex::new(()),
            connections: Semaphore::new(MAX_CONNECTIONS),
        })
    }

    /// The address as it was written, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The address's URL as it was written.
    pub(super) const fn written(&self) -> &Url {
        &self.written
    }

    /// A try's time is over, and the address said nothing.
    pub(super) fn silent(&self) -> TryError {
        self.unresolved().unwrap_or_else(|| {
            TryError::new(Weight::Silent, "connected, but the server did not respond").done()
        })
    }

    /// The deadline is over, in the middle of a try.
    pub(super) fn unfinished(&self) -> TryError {
        let number = self.pool.borrow().number;
        self.forget(number);
        self.unresolved()
            .unwrap_or_else(|| TryError::new(Weight::Unfinished, "there was no time left").done())
    }

    fn unresolved(&self) -> Option<TryError> {
        let name = self.lookup.pending()?;
        let words = format!("the name {name} is not resolved in time");
        Some(TryError::new(Weight::Unconnected, words))
    }

    /// Asks once. Only the first requests wait for one another, until it is known whether they can
    /// share a connection: otherwise each would make its own.
    pub(super) async fn request(
        &self,
        config: Option<&ClientConfig>,
        attempt: &Attempt<'_>,
    ) -> Result<Reply, AttemptError> {
        let mut first = None;
        if self.shared.get().is_none() {
            first = timeout(PATIENCE, self.first.lock()).await.ok();
        }
        if self.shared.get() == Some(true) {
            drop(first);
            return self.one(config, attempt).await;
        }
        let place = self.connections.acquire().await;
        if self.shared.get().is_some() {
            drop(first.take());
        }
        let head = self.head(config, attempt).await?;
        drop(first);
        let reply = self.reply(head, attempt).await;
        drop(place);
        reply
    }

    async fn one(
        &self,
        config: Option<&ClientConfig>,
        attempt: &Attempt<'_>,
    ) -> Result<Reply, AttemptError> {
        let head = self.head(config, attempt).await?;
        self.reply(head, attempt).await
    }

    /// Sends the request and awaits the answer's head.
    ///
    /// Until it is there, the token is in the request, which may be retried, in reqwest's own copy of its
    /// headers (0.13, `PendingRequest`), and in the buffer that hyper writes from: once sent, its bytes
    /// stay until the next request overwrites them or the connection ends (hyper 1.12, `Cursor::reset`
    /// in `proto/h1/io.rs`). Neither library has a way to change that.
    async fn head(
        &self,
        config: Option<&ClientConfig>,
        attempt: &Attempt<'_>,
    ) -> Result<Response, AttemptError> {
        let client = self.client(config, attempt.limits)?;
        let number = self.pool.borrow().number;
        let url = at(&self.url, &attempt.path)
            .ok_or_else(|| HttpError::Unusable("the path is no path of a URL".to_owned()))?;
        let mut builder = client
            .request(attempt.request.method.clone(), url)
            .headers(attempt.request.headers.clone());
        if let Some(body) = &attempt.request.body {
            builder = builder
                .header(
                    CONTENT_TYPE,
                    HeaderValue::from_static(attempt.request.content_type),
                )
                .body(Body::wrap(Outgoing::new(
                    body,
                    attempt.request.wire.as_ref(),
                )));
        }
        let sent = timeout(attempt.limits.head, builder.send()).await;
        let failed = match sent {
            Ok(Ok(head)) => {
                self.shared.set(Some(head.version() == Version::HTTP_2));
                return Ok(head);
            }
            Ok(Err(error)) => causes::of(&error, self.proxy.as_deref()),
            Err(_) => None,
        };
        let failed = failed.unwrap_or_else(|| self.silent());
        self.forget(number);
        Err(failed.into())
    }

    /// Reads the rest of an answer, if it is the caller's.
    async fn reply(&self, head: Response, attempt: &Attempt<'_>) -> Result<Reply, AttemptError> {
        let status = head.status().as_u16();
        if redirect::is_one(status)
            && let Some(location) = text(head.headers(), LOCATION)
        {
            return Ok(Reply::Redirect(location));
        }
        let wait = text(head.headers(), RETRY_AFTER)
            .and_then(|value| retry::retry_after(&value, SystemTime::now()));
        if let Some(transient) = (attempt.classify)(status) {
            return Err(retry::refused(status, transient, wait).into());
        }
        let body = answer::read(head, attempt.limits.pause).await?;
        if status == 400 && !self.is_tls() && answer::asks_for_tls(&body) {
            return Err(causes::asks_for_tls().into());
        }
        Ok(Reply::Answer(Answer { status, body }))
    }

    /// A connection of this pool failed: the next request makes a new one, whatever the pool thinks
    /// of the old. Requests that fail with it later do not take the new one away.
    fn forget(&self, number: u64) {
        let mut pool = self.pool.borrow_mut();
        if pool.number == number {
            pool.client = None;
            pool.number += 1;
            self.shared.set(None);
        }
    }

    /// The connections that there are, or none yet.
    fn client(&self, config: Option<&ClientConfig>, limits: Limits) -> Result<Client, HttpError> {
        if let Some(client) = &self.pool.borrow().client {
            return Ok(client.clone());
        }
        let config = config.cloned().map_or_else(tls::none, Ok)?;
        let mut builder = Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .dns_resolver(Arc::clone(&self.lookup))
            .connect_timeout(limits.connect)
            .tcp_user_timeout(limits.unacknowledged())
            // No timer keeps a task: what is idle ends with the session.
            .pool_idle_timeout(None)
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(WINDOW);
        if let Transport::Unix(path) = &self.transport {
            builder = builder.unix_socket(path.as_path());
        }
        if self.proxy.is_none() {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| {
            HttpError::Unusable(format!("cannot set up HTTP: {}", error.without_url()))
        })?;
        self.pool.borrow_mut().client = Some(client.clone());
        Ok(client)
    }
}

/// A header's value, if it is text.
fn text(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
