//! The login token, kept where nobody else reads it.

use std::cell::Cell;
use std::time::Duration;

use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

use super::answer;
use super::error::{VaultError, denied};
use super::term::Term;
use crate::secret::{Buffer, SecretBytes};
use crate::stores::Fault;
use crate::sys::clock::Boottime;

/// A login.
pub(super) struct Token {
    secret: Buffer,
    /// hushpipe was given it; it did not log in for it.
    given: bool,
    /// It cannot be renewed or revoked, and its leases are nobody's but their own.
    batch: bool,
    since: Boottime,
    /// `None`: for ever, or not known.
    term: Cell<Option<Term>>,
    /// How many requests it is still good for; `None`: any number.
    uses: Cell<Option<u64>>,
    /// The server was asked what it knows of it.
    looked_up: Cell<bool>,
}

/// `auth` of the answer to a login.
#[derive(Deserialize)]
struct Auth<'a> {
    #[serde(borrow)]
    client_token: Cow<'a, str>,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(borrow, default)]
    token_type: Cow<'a, str>,
    #[serde(default)]
    num_uses: u64,
    #[serde(borrow, default)]
    mfa_requirement: Option<&'a RawValue>,
}

/// `data` of the answer to `auth/token/lookup-self`.
#[derive(Deserialize)]
pub(super) struct Looked {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    num_uses: u64,
}

impl Token {
    /// One that was given: nothing is known of it yet.
    pub fn given(secret: Buffer) -> Self {
        Self {
            secret,
            given: true,
            batch: false,
            since: Boottime::now(),
            term: Cell::new(None),
            uses: Cell::new(None),
            looked_up: Cell::new(false),
        }
    }

    /// From the answer to a login that was sent at `since`.
    pub fn granted(body: &SecretBytes, since: Boottime) -> Result<Self, Fault> {
        let envelope = answer::Envelope::read(body)?;
        let auth = envelope.auth.ok_or_else(|| Fault::Malformed {
            reason: "the answer to the login holds no token".to_owned(),
        })?;
        let auth: Auth = answer::read(auth.get().as_bytes())?;
        if auth.mfa_requirement.is_some() {
            return Err(denied(
                "the login wants a second factor, which hushpipe cannot give: log in with a method \
                 for machines",
            ));
        }
        let ttl = answer::seconds(auth.lease_duration);
        let term = (!ttl.is_zero()).then(|| Term::new(since, ttl, auth.renewable));
        Ok(Self {
            secret: Buffer::new(auth.client_token.as_bytes()).map_err(Fault::no_memory)?,
            given: false,
            batch: auth.token_type == "batch",
            since,
            term: Cell::new(term),
            uses: Cell::new(Some(auth.num_uses).filter(|uses| *uses > 0)),
            looked_up: Cell::new(true),
        })
    }

    /// The header's value, for one request.
    pub fn header(&self) -> Result<HeaderValue, VaultError> {
        header(&self.secret).map_err(VaultError::Store)
    }

    /// A request is made with it.
    pub fn use_once(&self) {
        let left = self.uses.get().map(|uses| uses.saturating_sub(1));
        self.uses.set(left);
    }

    /// Whether the server may still take it.
    pub fn is_usable(&self, now: Boottime) -> bool {
        self.uses.get() != Some(0) && !self.term.get().is_some_and(|term| term.is_over(now))
    }

    /// Whether hushpipe may end it: its own, and of a kind that can be revoked.
    pub fn is_revocable(&self, now: Boottime) -> bool {
        !self.given && !self.batch && self.is_usable(now)
    }

    /// Whether what it asked for ends with it when it is revoked.
    pub const fn takes_leases_along(&self) -> bool {
        !self.given && !self.batch
    }

    /// Whether it was given.
    pub const fn is_given(&self) -> bool {
        self.given
    }

    /// Whether it is good for so many requests only.
    pub fn is_limited(&self) -> bool {
        self.uses.get().is_some()
    }

    /// Whether the server's word on it is known, or cannot be had.
    pub fn is_looked_up(&self) -> bool {
        self.looked_up.get()
    }

    /// It is, now.
    pub fn was_looked_up(&self) {
        self.looked_up.set(true);
    }

    /// Whether both were given, and are the same.
    pub fn is_same_given(&self, other: &Self) -> bool {
        self.given && other.given && other.secret.with(|bytes| self.secret.same(bytes))
    }

    /// Somebody else may have renewed it: the server is to be asked once more.
    pub fn forget_times(&self) {
        self.looked_up.set(false);
        self.term.set(None);
        self.uses.set(None);
    }

    /// How long ago it was got.
    pub fn age(&self, now: Boottime) -> Duration {
        now.since(self.since)
    }

    /// How long it is good; `None`: for ever, or not known.
    pub fn term(&self) -> Option<Term> {
        self.term.get()
    }

    /// It was renewed by a request that was sent at `since`.
    pub fn renew(&self, body: &SecretBytes, since: Boottime) -> Result<(), Fault> {
        let envelope = answer::Envelope::read(body)?;
        let auth: Option<Auth> = match envelope.auth {
            Some(auth) => Some(answer::read(auth.get().as_bytes())?),
            None => None,
        };
        if let Some(auth) = auth {
            let ttl = answer::seconds(auth.lease_duration);
            let term = self
                .term
                .get()
                .map(|term| term.renewed(since, ttl, auth.renewable));
            self.term.set(term);
        }
        Ok(())
    }

    /// It cannot be renewed any more.
    pub fn ends(&self) {
        let left = |term: Term, now: Boottime| Term::new(now, term.left(now), false);
        let now = Boottime::now();
        self.term.set(self.term.get().map(|term| left(term, now)));
    }

    /// What the server told of it, asked at `since`.
    pub fn learn(&self, looked: &Looked, since: Boottime) {
        let ttl = answer::seconds(looked.ttl);
        let term = (!ttl.is_zero()).then(|| Term::new(since, ttl, looked.renewable));
        self.term.set(term);
        self.uses
            .set(Some(looked.num_uses).filter(|uses| *uses > 0));
    }
}

/// A token as a header's value; it lives for one request.
pub(super) fn header(token: &Buffer) -> Result<HeaderValue, Fault> {
    token.with(|bytes| {
        HeaderValue::from_bytes(bytes).map_err(|_| Fault::Malformed {
            reason: "the token has characters that no token has".to_owned(),
        })
    })
}
