//! Control groups: a request that people must authorize first. In place of data the server answers with
//! a wrapping token; the request is executed when that is unwrapped, once enough people have authorized
//! it by the token's accessor. While the program starts, hushpipe waits for them; a rotation does not
//! wait: the program keeps what it has, and the watch looks after the request.
//!
//! <https://openbao.org/docs/concepts/control-groups/>,
//! <https://openbao.org/api-docs/system/control-group/>,
//! <https://developer.hashicorp.com/vault/docs/enterprise/control-groups>

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::answer::{self, Secret};
use super::answered::Read;
use super::ask::Ask;
use super::call::Call;
use super::core::Core;
use super::credential::json;
use super::error::{VaultError, denied, refused};
use super::held_back::PendingRequest;
use super::term::Term;
use super::token::Token;
use crate::model::{Backoff, ControlGroupEnd, Event, Topic, format_duration, random};
use crate::stores::Fault;
use crate::stores::poll::Done;
use crate::sys::clock::Boottime;

/// Between looks at a request while the program waits for it: who has just authorized it does not wait
/// long for the effect.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_BETWEEN: Duration = Duration::from_secs(10);

/// How a request is.
enum Progress {
    /// It may be executed.
    Authorized,
    /// More people are needed.
    Waiting,
    /// The login may not look.
    Hidden,
    /// The server does not know it.
    Gone,
}

#[derive(Serialize)]
struct Named<'a> {
    accessor: &'a str,
}

/// `data` of the answer to `sys/control-group/request`.
#[derive(Deserialize)]
pub(super) struct Looked<'a> {
    approved: bool,
    #[serde(borrow, default)]
    authorizations: Option<Vec<Authorization<'a>>>,
}

#[derive(Deserialize)]
struct Authorization<'a> {
    #[serde(borrow, default)]
    entity_name: Cow<'a, str>,
    #[serde(borrow, default)]
    entity_id: Cow<'a, str>,
}

impl Core {
    /// Waits until a request may be executed, and executes it; or says that it is not yet.
    pub(super) async fn authorized(
        &self,
        ask: &Ask,
        pending: &Rc<PendingRequest>,
    ) -> Result<Read, VaultError> {
        let wait = if self.attended.get() {
            Duration::ZERO
        } else {
            self.access.server.spec.control_group.wait
        };
        let until = pending.since + wait;
        let mut backoff = Backoff::new(FIRST_LOOK, LONGEST_BETWEEN);
        loop {
            let looked = self.look_at_request(ask, pending, until).await;
            if let Some(read) = self.executed(ask, pending, looked?).await? {
                return Ok(read);
            }
            let now = Boottime::now();
            if now >= until {
                return Err(self.not_yet(ask, pending, wait));
            }
            let drawn = FIRST_LOOK / 2 + backoff.next(random());
            sleep(drawn.min(until.since(now))).await;
            self.keep_login_while_waiting().await?;
        }
    }

    /// A look; while the program waits, a server that does not answer for a while is no reason to give
    /// up what people may be authorizing at this moment.
    async fn look_at_request(
        &self,
        ask: &Ask,
        pending: &Rc<PendingRequest>,
        until: Boottime,
    ) -> Result<Progress, VaultError> {
        match self.progress(ask, pending).await {
            Err(error) if error.is_outage() && Boottime::now() < until => Ok(Progress::Waiting),
            other => other,
        }
    }

    /// Executes a request that may be; `None`: not yet.
    async fn executed(
        &self,
        ask: &Ask,
        pending: &Rc<PendingRequest>,
        progress: Progress,
    ) -> Result<Option<Read>, VaultError> {
        if matches!(progress, Progress::Gone) || Boottime::now() >= pending.ends {
            self.ended(ask, pending, ControlGroupEnd::Expired);
            return Err(VaultError::Asked(gone(pending)));
        }
        match progress {
            Progress::Authorized => self.execute(ask, pending).await.map(Some),
            Progress::Waiting => Ok(None),
            // Executing is refused while it is not authorized, and uses nothing up.
            Progress::Hidden => match self.execute(ask, pending).await {
                Err(error) if !error.is_outage() => Ok(None),
                other => other.map(Some),
            },
            Progress::Gone => unreachable!("it has ended above"),
        }
    }

    /// Asks how a request is, and says so when that is news.
    async fn progress(
        &self,
        ask: &Ask,
        pending: &Rc<PendingRequest>,
    ) -> Result<Progress, VaultError> {
        let accessor = &*pending.accessor;
        let body = json(&Named { accessor })?;
        let call = Call::post("sys/control-group/request").body(body).brief();
        let answer = self.access.call(&call).await?;
        match answer.status {
            200 => {
                let looked: Looked = answer::data(&answer.body)?;
                let approved = looked.approved;
                let news = pending.learn(looked.people());
                if news && !approved {
                    self.tell_waiting(ask, pending);
                }
                Ok(if approved {
                    Progress::Authorized
                } else {
                    Progress::Waiting
                })
            }
            403 => {
                if !pending.hidden.replace(true) {
                    self.tell_waiting(ask, pending);
                    self.tell_hidden();
                }
                Ok(Progress::Hidden)
            }
            400 | 404 => Ok(Progress::Gone),
            status => {
                let namespace = self.access.server.namespace();
                Err(VaultError::Asked(refused(status, &call, namespace)))
            }
        }
    }

    /// Unwraps, which executes the request, once: a lease that it makes would be made anew each time.
    async fn execute(&self, ask: &Ask, pending: &Rc<PendingRequest>) -> Result<Read, VaultError> {
        let since = Boottime::now();
        let call = Call::post("sys/wrapping/unwrap").once();
        let server = &self.access.server;
        let answer = server.send_as(&call, Some(pending.header()?)).await?;
        match answer.status {
            200 => {}
            // Who may not look tries again.
            _ if pending.hidden.get() => return Err(VaultError::Asked(gone(pending))),
            404 => {
                self.ended(ask, pending, ControlGroupEnd::Refused);
                let fault = answer::missing(&answer.body, &ask.path, ask.version);
                return Err(VaultError::Asked(fault));
            }
            status => {
                self.ended(ask, pending, ControlGroupEnd::Refused);
                return Err(VaultError::Asked(not_executed(status, pending)));
            }
        }
        self.ended(ask, pending, ControlGroupEnd::Authorized);
        // Some servers execute it again for whoever has the token.
        self.forget_at_server(pending).await;
        Ok(Read {
            secret: Secret::read(&answer.body).map_err(VaultError::Asked)?,
            since,
            token: Some(Rc::clone(&pending.token)),
            controlled: true,
        })
    }

    /// Best effort: servers that do not let a wrapping token end itself forget it when its time is over.
    pub(super) async fn forget_at_server(&self, pending: &PendingRequest) {
        let call = Call::post("auth/token/revoke-self").brief();
        if let Ok(header) = pending.header() {
            let revoked = self.access.server.send_as(&call, Some(header)).await;
            drop(revoked);
        }
    }

    /// The login is who asked: if it ends, so does the request. The watch does this while the program
    /// runs.
    async fn keep_login_while_waiting(&self) -> Result<(), VaultError> {
        let now = Boottime::now();
        let known = self.access.known().filter(|_| !self.attended.get());
        let is_due = |token: &Rc<Token>| {
            let term = token.term();
            term.is_some_and(|term: Term| term.is_renewable() && term.due() <= now)
        };
        match known.filter(is_due) {
            Some(token) => match self.access.keep_login(&token).await {
                Err(error) if !error.is_outage() => Err(error),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// The request that is pending for something.
    pub(super) fn pending(&self, ask: &Ask) -> Option<Rc<PendingRequest>> {
        self.requests.borrow().get(ask).cloned()
    }

    /// It is pending from now on.
    pub(super) fn pends(&self, ask: &Ask, pending: PendingRequest) -> Rc<PendingRequest> {
        let pending = Rc::new(pending);
        let known = Rc::clone(&pending);
        self.requests.borrow_mut().insert(ask.clone(), known);
        self.wake.notify_one();
        pending
    }

    fn ended(&self, ask: &Ask, pending: &PendingRequest, end: ControlGroupEnd) {
        self.requests.borrow_mut().remove(ask);
        self.access
            .server
            .observer
            .observe(&Event::ControlGroupEnded {
                store: self.access.server.store.clone(),
                asked: ask.path.clone(),
                accessor: pending.accessor.clone(),
                end,
                by: pending.by.borrow().clone().unwrap_or_default(),
            });
    }

    /// The time that the program may wait is over, or it runs.
    fn not_yet(&self, ask: &Ask, pending: &Rc<PendingRequest>, wait: Duration) -> VaultError {
        let accessor = &pending.accessor;
        let waited = if self.attended.get() {
            String::new()
        } else {
            self.ended(ask, pending, ControlGroupEnd::TimedOut);
            // It is withdrawn at the end of hushpipe.
            self.withdrawn.borrow_mut().push(Rc::clone(pending));
            let wait = format_duration(wait);
            format!(
                " within {wait}, the store's `control_group: {{ wait: {wait} }}`; it is withdrawn: \
                 start the service again when those who approve are there"
            )
        };
        let by = people(pending.by.borrow().as_deref().unwrap_or_default());
        VaultError::Asked(Fault::Unapproved {
            reason: format!("request {accessor} was not approved by enough people ({by}){waited}"),
        })
    }

    fn tell_waiting(&self, ask: &Ask, pending: &PendingRequest) {
        let now = Boottime::now();
        let by = pending.by.borrow().clone();
        let left = pending.ends.since(now);
        let wait = self.access.server.spec.control_group.wait;
        let within = if self.attended.get() {
            left
        } else {
            left.min((pending.since + wait).since(now))
        };
        let within = Duration::from_secs(within.as_millis().div_ceil(1_000) as u64);
        self.access
            .server
            .observer
            .observe(&Event::ControlGroupWaiting {
                store: self.access.server.store.clone(),
                asked: ask.path.clone(),
                accessor: pending.accessor.clone(),
                namespace: self.access.server.namespace().map(str::to_owned),
                by: by.unwrap_or_default(),
                within,
            });
    }

    fn tell_hidden(&self) {
        let store = &self.access.server.store;
        self.access.server.observer.observe(&Event::Weaker {
            about: Topic::Login,
            message: format!(
                "store {store}: the login may not see who has approved its requests; its policy \
                 needs: path \"sys/control-group/request\" {{ capabilities = [\"update\"] }}"
            ),
        });
    }

    /// While the program runs: whether a request can be executed now. The places are those of its
    /// secrets.
    pub(super) async fn look_at_pending(&self, ask: &Ask, places: Vec<usize>) -> Done {
        let Some(pending) = self.pending(ask) else {
            return Done::Well;
        };
        pending.is_looked_at();
        match self.progress(ask, &pending).await {
            // Fetching executes it, or says why it cannot be.
            Ok(Progress::Authorized | Progress::Hidden | Progress::Gone) => Done::Changed(places),
            Ok(Progress::Waiting) if Boottime::now() >= pending.ends => Done::Changed(places),
            Ok(Progress::Waiting) => Done::Well,
            Err(error) => Done::Down(self.named(error, ask)),
        }
    }

    /// Requests that nobody waits for any more, at the end of hushpipe.
    pub(super) fn take_requests(&self) -> Vec<Rc<PendingRequest>> {
        let pending = std::mem::take(&mut *self.requests.borrow_mut());
        let withdrawn = std::mem::take(&mut *self.withdrawn.borrow_mut());
        pending.into_values().chain(withdrawn).collect()
    }
}

impl Looked<'_> {
    /// Who has authorized it, by name where there is one.
    fn people(&self) -> Vec<String> {
        let name = |one: &Authorization<'_>| match &*one.entity_name {
            "" => one.entity_id.to_string(),
            name => name.to_owned(),
        };
        self.authorizations.iter().flatten().map(name).collect()
    }
}

/// In words.
fn people(by: &[String]) -> String {
    match by.len() {
        0 => "no approval so far".to_owned(),
        1 => format!("1 approval so far: {}", by[0]),
        count => format!("{count} approvals so far: {}", by.join(", ")),
    }
}

fn gone(pending: &PendingRequest) -> Fault {
    Fault::Unapproved {
        reason: format!(
            "the server does not know request {} any more: it expired, or somebody ended it or the \
             login that made it; the next attempt makes a new request",
            pending.accessor
        ),
    }
}

/// Authorized, and refused all the same.
fn not_executed(status: u16, pending: &PendingRequest) -> Fault {
    denied(format!(
        "request {} was approved, and the server refuses to execute it ({status}): the login that made \
         it has ended or lost its right, or somebody else has opened it and has the secret",
        pending.accessor
    ))
}
