//! One request.

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::outgoing::{Content, Wire};
use crate::secret::SecretBytes;

const JSON: &str = "application/json";

/// One request. Its body and its header values are not shown by anything.
pub struct Request {
    pub(super) method: Method,
    /// With a leading slash, percent-encoded; with the query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Content>,
    pub(super) content_type: &'static str,
    pub(super) once: bool,
    pub(super) wire: Option<Wire>,
}

impl Request {
    /// `path` starts with a slash and is taken as it is: percent-encoding is the caller's.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: None,
            content_type: JSON,
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

    /// The same, of text. `None`: it has characters that no header has.
    pub fn header_of(self, name: &'static str, value: &str) -> Option<Self> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some(self.header(name, HeaderValue::from_str(value).ok()?))
    }

    /// Adds an `Authorization` of this scheme (RFC 9110, 11.6.2). `None`: the token has characters that no header
    /// has.
    pub fn authorization(self, scheme: &str, token: &SecretBytes) -> Option<Self> {
        let token = token.expose().trim_ascii();
        let mut whole = Zeroizing::new(Vec::with_capacity(scheme.len() + 1 + token.len()));
        whole.extend_from_slice(scheme.as_bytes());
        whole.push(b' ');
        whole.extend_from_slice(token);
        let value = HeaderValue::from_bytes(&whole).ok()?;
        Some(self.header(AUTHORIZATION, value))
    }

    /// A body of JSON.
    #[must_use]
    pub fn json(self, body: SecretBytes) -> Self {
        self.body(body, JSON)
    }

    /// A body of another type.
    #[must_use]
    pub fn body(mut self, body: SecretBytes, content_type: &'static str) -> Self {
        self.body = Some(Content::new(body));
        self.content_type = content_type;
        self
    }

    /// Tells while its body is with the server.
    #[must_use]
    pub fn on(mut self, wire: &Wire) -> Self {
        self.wire = Some(wire.clone());
        self
    }

    /// It must not be done twice, as what it uses up is for one use: a login with such a
    /// `secret_id`, an unwrap. It is retried only where the server cannot have done it: where no
    /// connection came about, or the server refused to work ([`Transient::done`]). And one try may
    /// take all of the deadline.
    ///
    /// [`Transient::done`]: super::Transient::done
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.once = true;
        self
    }
}
