//! Requests without a login of hushpipe's: what logging in and unwrapping need, and nothing that needs a
//! login.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::time::Instant;

use super::call::Call;
use super::error::VaultError;
use crate::http::{self, Answer, Http, Session, Settings, Transient};
use crate::model::{Event, Observer, Outcome, StoreName, VaultStore};
use crate::secret::Trusted;
use crate::stores::Fault;
use crate::sys::clock::Boottime;

/// How long a look at a version is tried, at most.
const BRIEF: Duration = Duration::from_secs(10);

/// A server.
pub(super) struct Server {
    pub store: StoreName,
    pub spec: VaultStore,
    /// Who may change the files of the login.
    pub trusted: Trusted,
    pub observer: Rc<dyn Observer>,
    http: Http,
    /// For what is asked again soon.
    brief: Http,
    /// When the server answered last.
    answered: Cell<Option<Boottime>>,
}

impl Server {
    /// Asks nothing yet.
    pub fn new(
        store: StoreName,
        spec: &VaultStore,
        owners: &[u32],
        observer: Rc<dyn Observer>,
    ) -> Self {
        let settings = Settings {
            addresses: spec.addresses.clone(),
            tls: spec.tls.clone(),
            deadline: spec.deadline,
            classify,
        };
        Self {
            store,
            spec: spec.clone(),
            trusted: Trusted::new(owners),
            observer,
            brief: Http::new(Settings {
                deadline: settings.deadline.min(BRIEF),
                ..settings.clone()
            }),
            http: Http::new(settings),
            answered: Cell::new(None),
        }
    }

    /// The namespace that requests are for.
    pub fn namespace(&self) -> Option<&str> {
        self.spec.namespace.as_deref()
    }

    /// When the server answered last, whatever it said.
    pub const fn answered(&self) -> Option<Boottime> {
        self.answered.get()
    }

    /// What a request is tried again for.
    pub fn delayed_by(&self) -> Option<String> {
        self.http.delayed_by()
    }

    /// The connections, for as long as they are held.
    pub fn session(&self) -> Result<Rc<Session>, VaultError> {
        let session = self.http.session();
        session.map_err(|error| VaultError::Store(error.into()))
    }

    /// As [`Server::session`], for this request.
    pub fn session_for(&self, call: &Call) -> Result<Rc<Session>, VaultError> {
        let http = if call.brief { &self.brief } else { &self.http };
        http.session()
            .map_err(|error| VaultError::Store(error.into()))
    }

    /// Sends a request with nobody's or somebody else's token.
    pub async fn send_as(
        &self,
        call: &Call,
        token: Option<HeaderValue>,
    ) -> Result<Answer, VaultError> {
        let request = call
            .request(self.spec.namespace.as_deref(), token)
            .map_err(VaultError::Asked)?;
        let session = self.session_for(call)?;
        let since = Instant::now();
        let answer = session.send(&request).await.map_err(Fault::from);
        self.observer.observe(&Event::StoreAsked {
            store: self.store.clone(),
            took: since.elapsed(),
            outcome: outcome(&answer),
        });
        let answer = answer.map_err(VaultError::Asked)?;
        self.answered.set(Some(Boottime::now()));
        Ok(answer)
    }
}

/// What an answer says of the request, by its status alone.
fn outcome(answer: &Result<Answer, Fault>) -> Outcome {
    match answer {
        Ok(answer) => match answer.status {
            404 => Outcome::Missing,
            400.. => Outcome::Denied,
            _ => Outcome::Answered,
        },
        Err(fault) => fault.outcome(),
    }
}

/// Transient statuses of the API: <https://developer.hashicorp.com/vault/api-docs#http-status-codes>.
fn classify(status: u16) -> Option<Transient> {
    let words = match status {
        472 => "it is a disaster recovery standby",
        473 => "it is a performance standby",
        503 => "the server is sealed or in maintenance",
        _ => return http::transient(status),
    };
    Some(Transient {
        words,
        done: false,
        everywhere: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standbys_are_asked_again() {
        for status in [429, 472, 473, 500, 503] {
            assert!(classify(status).is_some(), "{status}");
        }
        assert!(classify(403).is_none());
    }
}
