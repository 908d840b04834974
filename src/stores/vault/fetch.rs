//! Secrets from the server, or once more from what is kept.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::answer::{self, Secret, Wrapping};
use super::answered::{Answered, Read};
use super::ask::Ask;
use super::call::Call;
use super::core::Core;
use super::credential::{self, Stamp};
use super::error::{VaultError, denied, refused};
use super::held_back::PendingRequest;
use super::kept::{Given, Kept};
use super::lease::Lease;
use super::looked::{Kind, Look, State};
use super::term::Term;
use super::token::Token;
use super::wrapping;
use crate::model::{Event, Topic, Version};
use crate::secret::Value;
use crate::stores::numbered::named;
use crate::stores::{Fault, Fetched};
use crate::sys::clock::Boottime;

impl Core {
    /// The value: what is kept for it while that is good, or what the server gives now.
    pub(super) async fn fetch(&self, ask: &Ask) -> Result<Fetched, VaultError> {
        if let Some(fetched) = self.again(ask) {
            return Ok(fetched);
        }
        self.refuse_spent(ask)?;
        let stamp = ask.stamp();
        match self.read(ask).await {
            Ok(read) => self.take(ask, read, stamp),
            Err(error) => {
                if !error.is_outage() {
                    self.note(ask, State::Faulty);
                }
                Err(error)
            }
        }
    }

    /// What is kept, if it is still to be used.
    fn again(&self, ask: &Ask) -> Option<Fetched> {
        let (now, wall) = (Boottime::now(), SystemTime::now());
        let mut kept = self.kept.borrow_mut();
        let kept = kept.get_mut(ask)?;
        if kept.is_due() && kept.is_spent(ask) {
            kept.stays();
        }
        kept.again(now, wall)
    }

    /// What came out of a wrapping token has ended, and the token opened once.
    fn refuse_spent(&self, ask: &Ask) -> Result<(), VaultError> {
        let kept = self.kept.borrow();
        let spent = kept.get(ask).is_some_and(|kept| kept.is_spent(ask));
        match ask.token_file.as_deref().filter(|_| spent) {
            Some(path) => Err(VaultError::Asked(denied(format!(
                "the secret from the wrapping token in {} has expired: put a new wrapping token there",
                path.display()
            )))),
            None => Ok(()),
        }
    }

    /// Asks the server, or executes the request that was sent before and is authorized by now.
    async fn read(&self, ask: &Ask) -> Result<Read, VaultError> {
        let pending = match self.pending(ask) {
            Some(pending) => pending,
            None => match self.read_by(ask, ask.call()).await? {
                Answered::Secret(read) => return Ok(read),
                Answered::Controlled(pending) => self.pends(ask, pending),
            },
        };
        self.authorized(ask, &pending).await
    }

    /// Asks the server by this request.
    pub(super) async fn read_by(&self, ask: &Ask, call: Call) -> Result<Answered, VaultError> {
        let since = Boottime::now();
        if let Some(path) = &ask.token_file {
            let wrapping = credential::read(path, &self.access.server.trusted)?;
            let body = wrapping::open(&self.access.server, &wrapping, path).await?;
            return Ok(Answered::Secret(Read {
                secret: Secret::read(&body).map_err(VaultError::Asked)?,
                since,
                token: None,
                controlled: false,
            }));
        }
        let (answer, token) = self.access.call_with(&call).await?;
        let fault = match answer.status {
            200..=299 => {
                if let Some(wrapping) = Wrapping::read(&answer.body)? {
                    let pending = PendingRequest::new(&wrapping, &ask.path, since, token)?;
                    return Ok(Answered::Controlled(pending));
                }
                return Ok(Answered::Secret(Read {
                    secret: Secret::read(&answer.body).map_err(VaultError::Asked)?,
                    since,
                    token: Some(token),
                    controlled: false,
                }));
            }
            404 => answer::missing(&answer.body, &ask.path, ask.version),
            status => refused(status, &call, self.access.server.namespace()),
        };
        Err(VaultError::Asked(fault))
    }

    /// Takes note of a value, and keeps it where it could not be had again.
    fn take(&self, ask: &Ask, read: Read, stamp: Option<Stamp>) -> Result<Fetched, VaultError> {
        let made = is_made(ask, &read.secret);
        let Read {
            secret,
            since,
            token,
            controlled,
        } = read;
        let kind = match (&secret.version, made) {
            (Some(_), _) if ask.token_file.is_none() => Kind::Versioned,
            (_, true) => Kind::Made,
            (_, false) => Kind::Plain,
        };
        let ttl = secret.ttl;
        let lease = secret.lease.map(|granted| {
            if let Some(token) = &token {
                self.warn_of_limit(token);
            }
            Rc::new(Lease::new(granted, &ask.path, since, token))
        });
        let term = (made && lease.is_none())
            .then_some(secret.ttl)
            .flatten()
            .map(|ttl| Term::new(since, ttl, false));
        let serial = secret.fields.get("serial_number");
        let serial = serial.and_then(|bytes| std::str::from_utf8(bytes.expose()).ok());
        let version = match (&secret.version, &lease, serial) {
            (Some(version), ..) => Some(named(version.number)),
            (None, Some(lease), _) => Some(lease_version(&lease.id)),
            (None, None, Some(serial)) if made => Some(Version(serial.to_owned())),
            _ => None,
        };
        let (numbered, value) = (secret.version, Value::Fields(secret.fields));
        let version = version.unwrap_or_else(|| Version(self.digests.digest(&value).to_string()));
        if kind == Kind::Made {
            self.keep(ask, &value, &version, lease, term, stamp)?;
        }
        let state = numbered.map_or_else(|| State::At(version.clone()), State::Numbered);
        self.found(ask, kind, state, ttl);
        if let Some(look) = self.looked.borrow_mut().get_mut(ask) {
            look.controlled = controlled;
        }
        self.wake.notify_one();
        Ok(Fetched { value, version })
    }

    fn keep(
        &self,
        ask: &Ask,
        value: &Value,
        version: &Version,
        lease: Option<Rc<Lease>>,
        term: Option<Term>,
        stamp: Option<Stamp>,
    ) -> Result<(), VaultError> {
        let Value::Fields(fields) = value else {
            return Ok(());
        };
        let given = Given::new(fields, version.clone(), lease, term);
        let given = given.map_err(|error| VaultError::Asked(Fault::no_memory(error)))?;
        let mut kept = self.kept.borrow_mut();
        match kept.get_mut(ask) {
            Some(kept) => kept.take(given, stamp),
            None => {
                kept.insert(ask.clone(), Kept::new(given, stamp));
            }
        }
        Ok(())
    }

    fn found(&self, ask: &Ask, kind: Kind, state: State, ttl: Option<Duration>) {
        let mut looked = self.looked.borrow_mut();
        let look = looked
            .entry(ask.clone())
            .and_modify(|look| look.found(kind, state.clone()))
            .or_insert_with(|| Look::new(kind, state));
        look.hint(ttl);
    }

    fn note(&self, ask: &Ask, state: State) {
        if let Some(look) = self.looked.borrow_mut().get_mut(ask) {
            look.state = state;
        }
    }

    /// A lease ends with the last use of the login that it was asked for with.
    fn warn_of_limit(&self, token: &Token) {
        if token.is_limited() {
            let store = &self.access.server.store;
            self.access.server.observer.observe(&Event::Weaker {
                about: Topic::Login,
                message: format!(
                    "store {store}: the login is good for a number of requests only, and its leases \
                     end with the last: set token_num_uses of its role to 0"
                ),
            });
        }
    }

    /// The version that a fetch would give. Where asking makes something, it is not asked: only
    /// whether it may be.
    pub(super) async fn version(&self, ask: &Ask) -> Result<Version, VaultError> {
        if let Some(kept) = self.kept.borrow().get(ask) {
            return Ok(kept.current().version.clone());
        }
        if ask.token_file.is_some() {
            return self.wrapped(ask).await;
        }
        if ask.has_effects() || !self.is_kv(ask).await? {
            return self.on_demand(ask).await;
        }
        match self.standing(ask, |call| call).await? {
            Some(answer::Standing::There(version)) => Ok(named(version.number)),
            // Why it is not there, the data tells; and what has no metadata is known by it.
            Some(answer::Standing::Gone) | None => {
                match self.read_by(ask, ask.call()).await? {
                    Answered::Secret(read) => Ok(self.version_of(read.secret)),
                    Answered::Controlled(pending) => {
                        // Nobody is to authorize a mere look.
                        self.forget_at_server(&pending).await;
                        Ok(Version("needs approval".to_owned()))
                    }
                }
            }
        }
    }

    /// What a value is called that is not made on demand.
    pub(super) fn version_of(&self, secret: Secret) -> Version {
        if let Some(version) = secret.version {
            return named(version.number);
        }
        let value = Value::Fields(secret.fields);
        Version(self.digests.digest(&value).to_string())
    }
}

/// Whether asking again would make another one.
fn is_made(ask: &Ask, secret: &Secret) -> bool {
    let has = |name: &str| secret.fields.contains_key(name);
    ask.has_effects()
        || secret.lease.is_some()
        // A new token at each reading, without a lease: OIDC tokens, and Google Cloud's.
        || ask.path.contains("identity/oidc/token/")
        || has("token") && has("token_ttl") && has("expires_at_seconds")
}

/// A lease's name is long, and of no use to people: its digest tells it from others.
fn lease_version(id: &str) -> Version {
    let digest = Sha256::digest(id.as_bytes());
    let short = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    Version(format!("lease-{short:08x}"))
}
