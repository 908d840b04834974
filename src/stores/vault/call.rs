//! A request, before it is known who asks.

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue, USER_AGENT};

use super::path;
use crate::http::{Request, Wire};
use crate::secret::SecretBytes;
use crate::stores::Fault;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Asked for by agents and proxies with `require_request_header`.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
const AGENT: &str = concat!("hushpipe/", env!("CARGO_PKG_VERSION"));

/// A request, before it is known who asks.
pub(super) struct Call {
    pub method: Method,
    /// Without `/v1/`, as people write it.
    pub path: String,
    query: Option<String>,
    body: Option<SecretBytes>,
    once: bool,
    /// It is asked again soon anyway.
    pub brief: bool,
    wire: Option<Wire>,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            query: None,
            body: None,
            once: false,
            brief: false,
            wire: None,
        }
    }

    pub fn post(path: impl Into<String>) -> Self {
        Self {
            method: Method::POST,
            ..Self::get(path)
        }
    }

    /// A body of JSON.
    #[must_use]
    pub fn body(mut self, json: SecretBytes) -> Self {
        self.body = Some(json);
        self
    }

    /// Tells while the server is at work on it.
    #[must_use]
    pub fn on(mut self, wire: &Wire) -> Self {
        self.wire = Some(wire.clone());
        self
    }

    /// It uses something up: see [`Request::once`].
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// It is asked again soon anyway: an outage is to be known before the store's deadline is over.
    #[must_use]
    pub const fn brief(mut self) -> Self {
        self.brief = true;
        self
    }

    #[must_use]
    pub fn query(mut self, query: String) -> Self {
        self.query = Some(query);
        self
    }

    /// What is sent, with who asks.
    pub fn request(
        &self,
        namespace: Option<&str>,
        token: Option<HeaderValue>,
    ) -> Result<Request, Fault> {
        let mut url = path::encoded(&self.path)?;
        if let Some(query) = &self.query {
            url.push('?');
            url.push_str(query);
        }
        let mut request = Request::new(self.method.clone(), url)
            .header(REQUEST, HeaderValue::from_static("true"))
            .header(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(namespace) = namespace {
            let namespace = HeaderValue::from_str(namespace).map_err(|_| Fault::Malformed {
                reason: "the namespace has characters that no header can carry".to_owned(),
            })?;
            request = request.header(NAMESPACE, namespace);
        }
        if let Some(token) = token {
            request = request.header(TOKEN, token);
        }
        if let Some(wire) = &self.wire {
            request = request.on(wire);
        }
        if let Some(json) = &self.body {
            request = request.json(SecretBytes::new(json.expose().to_vec()));
        }
        Ok(if self.once { request.once() } else { request })
    }
}
