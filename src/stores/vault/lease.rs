//! Leases: what the server takes back when their time is over.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::access::Access;
use super::answer::{Envelope, Granted};
use super::call::Call;
use super::credential::json;
use super::error::{VaultError, refused};
use super::term::Term;
use super::token::Token;
use crate::model::Event;
use crate::stores::Fault;
use crate::sys::clock::Boottime;

/// A lease that hushpipe asked for. It is no secret: only who has a token can do something with it.
pub(super) struct Lease {
    pub id: String,
    /// The path it was asked for at, for messages.
    pub asked: String,
    term: Cell<Term>,
    /// The login that asked for it: it ends with that. `None`: who wrapped it, whom nobody knows here.
    token: Option<Rc<Token>>,
    /// It may not be looked up.
    hidden: Cell<bool>,
    gone: Cell<bool>,
}

/// What the server says of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Alive,
    /// It was revoked, or ended.
    Gone,
}

#[derive(Serialize)]
struct Named<'a> {
    lease_id: &'a str,
    /// Vault answers before it has begun, and says nothing of how it went, unless it is told to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<bool>,
}

impl Lease {
    /// From the answer to a request that was sent at `since` with `token`, if with one of ours.
    pub fn new(granted: Granted, asked: &str, since: Boottime, token: Option<Rc<Token>>) -> Self {
        Self {
            id: granted.id,
            asked: asked.to_owned(),
            term: Cell::new(Term::new(since, granted.ttl, granted.renewable)),
            token,
            hidden: Cell::new(false),
            gone: Cell::new(false),
        }
    }

    pub fn term(&self) -> Term {
        self.term.get()
    }

    /// Whether the server has it no more.
    pub fn is_over(&self, now: Boottime) -> bool {
        self.gone.get() || self.term.get().is_over(now)
    }

    /// Whether it ends with a login that is no more the current one.
    pub fn is_orphan(&self, current: Option<&Rc<Token>>) -> bool {
        let owned = current.zip(self.token.as_ref());
        owned.is_some_and(|(current, owner)| !Rc::ptr_eq(current, owner))
    }

    /// Whether it ends when hushpipe's own logins are revoked.
    pub fn goes_with_login(&self) -> bool {
        let owner = self.token.as_ref();
        owner.is_some_and(|token| token.takes_leases_along())
    }

    /// Whether the server may be asked for it.
    pub fn can_be_looked_up(&self) -> bool {
        !self.hidden.get()
    }

    fn call(&self, path: &str, sync: Option<bool>) -> Result<Call, VaultError> {
        let body = Named {
            lease_id: &self.id,
            sync,
        };
        Ok(Call::post(path).body(json(&body)?))
    }

    /// Makes it live longer. One that cannot is not renewable any more.
    pub async fn renew(&self, access: &Rc<Access>) -> Result<(), VaultError> {
        let since = Boottime::now();
        let answer = access.call(&self.call("sys/leases/renew", None)?).await?;
        if answer.status != 200 {
            // Revoked behind our back, or not to be renewed by us: another one is needed.
            self.gone.set(answer.status != 403);
            self.term.set(self.term.get().fixed(since));
            return Ok(());
        }
        let envelope = Envelope::read(&answer.body).map_err(VaultError::Asked)?;
        let granted = envelope.lease();
        let (ttl, renewable) = granted.map_or((Duration::ZERO, false), |granted| {
            (granted.ttl, granted.renewable)
        });
        self.term
            .set(self.term.get().renewed(since, ttl, renewable));
        access.server.observer.observe(&Event::Renewed {
            store: access.server.store.clone(),
            asked: self.asked.clone(),
            ttl,
        });
        Ok(())
    }

    /// Asks whether it is still there.
    pub async fn look_up(&self, access: &Rc<Access>) -> Result<Standing, VaultError> {
        let call = self.call("sys/leases/lookup", None)?.brief();
        let answer = access.call(&call).await?;
        match answer.status {
            403 => self.hidden.set(true),
            400 | 404 => {
                self.gone.set(true);
                return Ok(Standing::Gone);
            }
            _ => {}
        }
        Ok(Standing::Alive)
    }

    /// Ends it; what it gave is taken back when this is done. One that the server does not know any
    /// more has ended: it says so by no error.
    pub async fn revoke(&self, access: &Rc<Access>) -> Result<(), VaultError> {
        let call = self.call("sys/leases/revoke", Some(true))?;
        let answer = access.call(&call).await?;
        match answer.status {
            200..=299 | 404 => {
                self.gone.set(true);
                Ok(())
            }
            400 => Err(VaultError::Asked(Fault::Malformed {
                reason:
                    "the server failed to revoke it (400), so it is still valid; the server's log \
                     has the engine's error"
                        .to_owned(),
            })),
            status => {
                let namespace = access.server.namespace();
                Err(VaultError::Asked(refused(status, &call, namespace)))
            }
        }
    }
}
