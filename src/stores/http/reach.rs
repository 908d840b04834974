//! One address of a server, and the connections to it.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, Url, Version};
use rustls::ClientConfig;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use super::body;
use super::fault;
use super::resolve::Lookup;
use super::retry::{self, Failed, Limits, Trouble, Weight};
use super::session::Ask;
use super::{Answer, proxy, redirect, tls};
use crate::model::Address;
use crate::stores::Fault;

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
    Elsewhere(String),
}

/// How an address is reached.
enum Way {
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

pub(super) struct Reach {
    /// As it was written.
    name: String,
    way: Way,
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

impl Reach {
    /// `tls_server_name`: what the certificate must be for, if not the address's host.
    pub(super) fn new(address: &Address, server_name: Option<&str>) -> Result<Self, Fault> {
        let (name, way, written) = match address {
            Address::Url(written) => (written.clone(), Way::Tcp, parse(written)?),
            Address::Unix(path) => (
                format!("unix://{}", path.display()),
                Way::Unix(path.clone()),
                parse("http://localhost")?,
            ),
        };
        let proxy = match &way {
            Way::Tcp => proxy::of(&written)?,
            Way::Unix(_) => None,
        };
        let mut url = written.clone();
        let mut lookup = Lookup::default();
        if let Some(server_name) = server_name.filter(|_| written.scheme() == "https") {
            lookup = Lookup::instead(server_name, host(&written));
            rename(&mut url, server_name)?;
        }
        Ok(Self {
            name,
            way,
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

    /// The URL of a path at this address, as it was written.
    pub(super) fn written(&self, path: &str) -> Option<Url> {
        at(&self.written, path)
    }

    /// A try's time is over, and the address said nothing.
    pub(super) fn silent(&self) -> Trouble {
        self.unresolved().unwrap_or_else(|| {
            Trouble::new(Weight::Silent, "it takes connections and says nothing").done()
        })
    }

    /// The deadline is over, in the middle of a try.
    pub(super) fn unfinished(&self) -> Trouble {
        let number = self.pool.borrow().number;
        self.forget(number);
        self.unresolved()
            .unwrap_or_else(|| Trouble::new(Weight::Unfinished, "there was no time left").done())
    }

    fn unresolved(&self) -> Option<Trouble> {
        let name = self.lookup.pending()?;
        let words = format!("the name {name} is not resolved in time");
        Some(Trouble::new(Weight::Unconnected, words))
    }

    /// Asks once. Only the first requests wait for one another, until it is known whether they can
    /// share a connection: otherwise each would make its own.
    pub(super) async fn ask(
        &self,
        config: Option<&ClientConfig>,
        ask: &Ask<'_>,
    ) -> Result<Reply, Failed> {
        let mut first = None;
        if self.shared.get().is_none() {
            first = timeout(PATIENCE, self.first.lock()).await.ok();
        }
        if self.shared.get() == Some(true) {
            drop(first);
            return self.one(config, ask).await;
        }
        let place = self.connections.acquire().await;
        if self.shared.get().is_some() {
            drop(first.take());
        }
        let head = self.head(config, ask).await?;
        drop(first);
        let reply = self.reply(head, ask.limits).await;
        drop(place);
        reply
    }

    async fn one(&self, config: Option<&ClientConfig>, ask: &Ask<'_>) -> Result<Reply, Failed> {
        let head = self.head(config, ask).await?;
        self.reply(head, ask.limits).await
    }

    /// Sends the request and awaits the answer's head.
    async fn head(&self, config: Option<&ClientConfig>, ask: &Ask<'_>) -> Result<Response, Failed> {
        let client = self.client(config, ask.limits)?;
        let number = self.pool.borrow().number;
        let url = at(&self.url, &ask.path).ok_or_else(|| Fault::Malformed {
            reason: "the path is no path of a URL".to_owned(),
        })?;
        let mut builder = client
            .request(ask.request.method.clone(), url)
            .headers(ask.request.headers.clone());
        if let Some(body) = &ask.request.body {
            builder = builder
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(match &ask.request.wire {
                    Some(wire) => wire.body(body),
                    None => body.expose().to_vec().into(),
                });
        }
        let sent = timeout(ask.limits.head, builder.send()).await;
        let trouble = match sent {
            Ok(Ok(head)) => {
                self.shared.set(Some(head.version() == Version::HTTP_2));
                return Ok(head);
            }
            Ok(Err(error)) => fault::of(&error, self.proxy.as_deref()),
            Err(_) => None,
        };
        let trouble = trouble.unwrap_or_else(|| self.silent());
        self.forget(number);
        Err(trouble.into())
    }

    /// Reads the rest of an answer, if it is the caller's.
    async fn reply(&self, head: Response, limits: Limits) -> Result<Reply, Failed> {
        let status = head.status().as_u16();
        if redirect::is_one(status)
            && let Some(location) = text(head.headers(), LOCATION)
        {
            return Ok(Reply::Elsewhere(location));
        }
        let wait = text(head.headers(), RETRY_AFTER)
            .and_then(|value| retry::retry_after(&value, SystemTime::now()));
        if let Some(trouble) = retry::refused(status, wait) {
            return Err(trouble.into());
        }
        let body = body::read(head, limits.pause).await?;
        if status == 400 && !self.is_tls() && body::asks_for_tls(&body) {
            return Err(fault::asks_for_tls().into());
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
    fn client(&self, config: Option<&ClientConfig>, limits: Limits) -> Result<Client, Fault> {
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
        if let Way::Unix(path) = &self.way {
            builder = builder.unix_socket(path.as_path());
        }
        if self.proxy.is_none() {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| Fault::Malformed {
            reason: format!("cannot set up HTTP: {}", error.without_url()),
        })?;
        self.pool.borrow_mut().client = Some(client.clone());
        Ok(client)
    }
}

fn parse(written: &str) -> Result<Url, Fault> {
    let fault = |reason: &str| Fault::Malformed {
        reason: reason.to_owned(),
    };
    let url = Url::parse(written).map_err(|_| fault("the address is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(fault("the address is neither http:// nor https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fault("the address must not hold a user name or a password"));
    }
    Ok(url)
}

/// Makes requests for another host than the one that is connected to: TLS verifies the name, and
/// sends it as SNI.
fn rename(url: &mut Url, server_name: &str) -> Result<(), Fault> {
    let is_name = server_name.parse::<IpAddr>().is_err();
    if is_name && url.set_host(Some(server_name)).is_ok() {
        return Ok(());
    }
    Err(Fault::Malformed {
        reason: format!("`tls_server_name` is not a DNS name: {server_name}"),
    })
}

/// An address with a path: nothing of the path can lead out of the address.
fn at(address: &Url, path: &str) -> Option<Url> {
    let base = address.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}{path}")).ok()
}

/// Without the brackets of an IPv6 address.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.trim_matches(['[', ']']).to_owned()
}

/// A header's value, if it is text.
fn text(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
