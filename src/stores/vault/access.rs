//! Requests as who hushpipe is to the server: one login for all secrets of the store.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue, USER_AGENT};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::answer;
use super::error::{Trouble, denied};
use super::flight::Flight;
use super::login::Method as Login;
use super::path;
use super::term::Term;
use super::token::{Looked, Token};
use crate::http::{self, Answer, Http, Request, Session, Settings, Transient, Wire};
use crate::model::{Event, Observer, StoreName, VaultStore};
use crate::secret::{SecretBytes, Trusted};
use crate::stores::Fault;
use crate::sys::clock::Boottime;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Asked for by agents and proxies with `require_request_header`.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
const AGENT: &str = concat!("hushpipe/", env!("CARGO_PKG_VERSION"));

/// A login that is not allowed to look itself up cannot tell a policy that is missing from a token
/// that is gone. It logs in again at most this often.
const AGAIN: Duration = Duration::from_mins(1);

/// How long a look at a version is tried, at most.
const BRIEF: Duration = Duration::from_secs(10);

/// How long the end of hushpipe waits for a login that the server may have taken. A server that does not
/// answer must not hold up who stops hushpipe: its token, if there is one, runs out.
const LANDING: Duration = Duration::from_millis(50);

/// A request, before it is known who asks.
pub(super) struct Call {
    pub method: Method,
    /// Without `/v1/`, as people write it.
    pub path: String,
    query: Option<String>,
    body: Option<SecretBytes>,
    once: bool,
    brief: bool,
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
    fn request(
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

/// A server, and hushpipe's login there.
pub(super) struct Access {
    pub store: StoreName,
    pub spec: VaultStore,
    /// Who may change the files of the login.
    pub trusted: Trusted,
    pub observer: Rc<dyn Observer>,
    http: Http,
    /// For what is asked again soon.
    brief: Http,
    login: Login,
    token: RefCell<Option<Rc<Token>>>,
    /// Own tokens before this one: what the program still uses may be tied to them.
    before: RefCell<Vec<Rc<Token>>>,
    /// Held while somebody logs in; why the last try failed.
    turn: Mutex<Option<Trouble>>,
    tries: Cell<u64>,
    /// The login that is under way.
    flight: RefCell<Option<Rc<Flight>>>,
    /// The login may not look itself up.
    blind: Cell<bool>,
    /// When the server answered last.
    answered: Cell<Option<Boottime>>,
}

impl Access {
    /// Asks nothing yet.
    pub fn new(
        store: StoreName,
        spec: &VaultStore,
        owners: &[u32],
        observer: Rc<dyn Observer>,
    ) -> std::io::Result<Self> {
        let settings = Settings {
            addresses: spec.addresses.clone(),
            tls: spec.tls.clone(),
            deadline: spec.deadline,
            classify,
        };
        Ok(Self {
            store,
            spec: spec.clone(),
            trusted: Trusted::new(owners),
            observer,
            brief: Http::new(Settings {
                deadline: settings.deadline.min(BRIEF),
                ..settings.clone()
            }),
            http: Http::new(settings),
            login: Login::new(&spec.auth)?,
            token: RefCell::new(None),
            before: RefCell::new(Vec::new()),
            turn: Mutex::new(None),
            tries: Cell::new(0),
            flight: RefCell::new(None),
            blind: Cell::new(false),
            answered: Cell::new(None),
        })
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
    pub fn session(&self) -> Result<Rc<Session>, Trouble> {
        let session = self.http.session();
        session.map_err(|error| Trouble::Store(error.into()))
    }

    fn session_for(&self, call: &Call) -> Result<Rc<Session>, Trouble> {
        let http = if call.brief { &self.brief } else { &self.http };
        http.session().map_err(|error| Trouble::Store(error.into()))
    }

    /// Sends a request with nobody's or somebody else's token.
    pub async fn send_as(
        &self,
        call: &Call,
        token: Option<HeaderValue>,
    ) -> Result<Answer, Trouble> {
        let request = call
            .request(self.spec.namespace.as_deref(), token)
            .map_err(Trouble::Asked)?;
        let session = self.session_for(call)?;
        let answer = session.send(&request).await;
        let answer = answer.map_err(|error| Trouble::Asked(error.into()))?;
        self.answered.set(Some(Boottime::now()));
        Ok(answer)
    }

    /// Sends a request with a token of ours.
    pub async fn send(&self, call: &Call, token: &Token) -> Result<Answer, Trouble> {
        token.use_once();
        self.send_as(call, Some(token.header()?)).await
    }

    /// Sends a request as who hushpipe is. A token that has ended behind our back is replaced, once.
    pub async fn call(self: &Rc<Self>, call: &Call) -> Result<Answer, Trouble> {
        self.call_with(call).await.map(|(answer, _)| answer)
    }

    /// As [`Access::call`], and tells with which token.
    pub async fn call_with(self: &Rc<Self>, call: &Call) -> Result<(Answer, Rc<Token>), Trouble> {
        // Held over both requests, so that a login and what follows it share a connection.
        let _session = self.session_for(call)?;
        let token = self.token().await?;
        let answer = self.send(call, &token).await?;
        if answer.status != 403 || self.is_alive(&token).await? {
            return Ok((answer, token));
        }
        let fresh = self.another(&token).await?;
        let answer = self.send(call, &fresh).await?;
        if answer.status == 403 && !self.may_look_up(&fresh).await? {
            self.blind.set(true);
        }
        Ok((answer, fresh))
    }

    /// Whether a token that was refused is good, and only a policy is missing.
    async fn is_alive(&self, token: &Token) -> Result<bool, Trouble> {
        let fresh = token.age(Boottime::now()) < AGAIN;
        if self.blind.get() && fresh {
            return Ok(true);
        }
        self.may_look_up(token).await
    }

    async fn may_look_up(&self, token: &Token) -> Result<bool, Trouble> {
        let answer = self
            .send(&Call::get("auth/token/lookup-self"), token)
            .await?;
        Ok(answer.status != 403)
    }

    /// The login, if there is a good one.
    pub fn current(&self) -> Option<Rc<Token>> {
        let token = self.token.borrow().clone()?;
        let good = token.is_usable(Boottime::now()) && !self.login.has_changed();
        good.then_some(token)
    }

    /// The login; who comes first logs in, and the others wait for it.
    pub async fn token(self: &Rc<Self>) -> Result<Rc<Token>, Trouble> {
        if let Some(token) = self.current() {
            return Ok(token);
        }
        let seen = self.tries.get();
        let mut last = self.turn.lock().await;
        if let Some(token) = self.current() {
            return Ok(token);
        }
        if let (true, Some(trouble)) = (self.tries.get() != seen, last.as_ref()) {
            return Err(trouble.again());
        }
        let result = self.log_in().await;
        self.tries.set(self.tries.get() + 1);
        *last = result.as_ref().err().map(Trouble::again);
        result
    }

    /// Another login than this one, which the server does not take any more.
    async fn another(self: &Rc<Self>, bad: &Rc<Token>) -> Result<Rc<Token>, Trouble> {
        let is_bad = |token: &Rc<Token>| Rc::ptr_eq(token, bad);
        if self.token.borrow().as_ref().is_some_and(is_bad) {
            if bad.is_given() && !self.login.has_changed() {
                return Err(Trouble::Store(denied(self.login.refused_given())));
            }
            *self.token.borrow_mut() = None;
        }
        self.token().await
    }

    /// A new login before the old one ends. The old one is left to run out: what the program uses
    /// may be tied to it.
    pub async fn renew_login(self: &Rc<Self>) -> Result<Rc<Token>, Trouble> {
        let mut last = self.turn.lock().await;
        let result = self.log_in().await;
        self.tries.set(self.tries.get() + 1);
        *last = result.as_ref().err().map(Trouble::again);
        result
    }

    async fn log_in(self: &Rc<Self>) -> Result<Rc<Token>, Trouble> {
        let under_way = self.flight.borrow().clone();
        if let Some(flight) = under_way {
            // Whoever began it waits no more. If it fails, that was so then; it may work now.
            if let Ok(token) = self.land(&flight).await {
                return Ok(token);
            }
        }
        let (access, wire) = (Rc::clone(self), Wire::default());
        let its = wire.clone();
        let login = async move {
            let _session = access.session()?;
            access.login.log_in(&access, &its).await
        };
        let flight = Rc::new(Flight::new(Box::pin(login), wire));
        *self.flight.borrow_mut() = Some(Rc::clone(&flight));
        self.land(&flight).await
    }

    async fn land(&self, flight: &Flight) -> Result<Rc<Token>, Trouble> {
        let landed = flight.landed().await;
        *self.flight.borrow_mut() = None;
        landed.map(|token| self.take(token))
    }

    /// At the end: a login that the server may have taken is waited for, for [`LANDING`], so that its
    /// token can be revoked; any other is given up.
    pub async fn end_login(&self) -> Result<(), Trouble> {
        let Some(flight) = self.flight.take() else {
            return Ok(());
        };
        match timeout(LANDING, flight.answered()).await {
            Ok(token) => {
                if let Some(token) = token {
                    self.take(token);
                }
                Ok(())
            }
            Err(_) => Err(Trouble::Asked(Fault::Deadline { after: LANDING })),
        }
    }

    fn take(&self, token: Token) -> Rc<Token> {
        let known = self.token.borrow().clone();
        // Its file was written anew, with the same token: what hangs on it stays.
        if let Some(known) = known.filter(|known| known.is_same_given(&token)) {
            known.forget_times();
            return known;
        }
        let token = Rc::new(token);
        if !token.is_given() {
            self.tell_login(&token);
        }
        let before = self.token.replace(Some(Rc::clone(&token)));
        outlived(&mut self.before.borrow_mut(), before, Boottime::now());
        token
    }

    fn tell_login(&self, token: &Token) {
        self.observer.observe(&Event::LoggedIn {
            store: self.store.clone(),
            method: self.login.name(),
            ttl: token.term().map(Term::length),
        });
    }

    /// Asks for the time that a given token has. One that may not ask is used as it is.
    pub async fn look_up(&self, token: &Token) -> Result<(), Trouble> {
        let since = Boottime::now();
        let answer = self
            .send(&Call::get("auth/token/lookup-self"), token)
            .await?;
        if answer.status == 200 {
            let looked: Looked = answer::data(&answer.body).map_err(Trouble::Asked)?;
            token.learn(&looked, since);
        }
        token.was_looked_up();
        self.tell_login(token);
        Ok(())
    }

    /// Makes the login live longer, or logs in anew where it cannot. A given one runs out.
    pub async fn keep_login(self: &Rc<Self>, token: &Rc<Token>) -> Result<(), Trouble> {
        if !token.is_looked_up() {
            return self.look_up(token).await;
        }
        if token.term().is_some_and(Term::is_renewable) {
            let since = Boottime::now();
            let call = Call::post("auth/token/renew-self");
            let answer = self.send(&call, token).await?;
            if answer.status == 200 {
                token.renew(&answer.body, since).map_err(Trouble::Asked)?;
                self.tell_renewed(&call, token);
                return Ok(());
            }
        }
        if token.is_given() {
            token.ends();
            return Ok(());
        }
        self.renew_login().await.map(drop)
    }

    fn tell_renewed(&self, call: &Call, token: &Token) {
        if let Some(term) = token.term() {
            self.observer.observe(&Event::Renewed {
                store: self.store.clone(),
                asked: call.path.clone(),
                ttl: term.length(),
            });
        }
    }

    /// The login that was used last, even if it has ended.
    pub fn known(&self) -> Option<Rc<Token>> {
        self.token.borrow().clone()
    }

    /// Own tokens that may be alive, this one first.
    pub fn tokens(&self) -> Vec<Rc<Token>> {
        let now = Boottime::now();
        let current = self.token.borrow().clone();
        let before = self.before.borrow().clone();
        current
            .into_iter()
            .chain(before)
            .filter(|token| token.is_revocable(now))
            .collect()
    }

    /// Forgets every token.
    pub fn forget(&self) {
        *self.token.borrow_mut() = None;
        self.before.borrow_mut().clear();
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

/// Remembers a token that another one follows, and forgets those that have ended meanwhile: a login that
/// lives a minute is followed by half a million in a year.
fn outlived(before: &mut Vec<Rc<Token>>, token: Option<Rc<Token>>, now: Boottime) {
    before.extend(token);
    before.retain(|token| token.is_revocable(now));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(seconds: u64, since: Boottime) -> Rc<Token> {
        let body = format!(
            r#"{{"auth":{{"client_token":"s.1","lease_duration":{seconds},"renewable":true}}}}"#
        );
        let body = SecretBytes::new(body.into_bytes());
        Rc::new(Token::granted(&body, since).unwrap_or_else(|_| panic!("it is a token")))
    }

    #[test]
    fn standbys_are_asked_again() {
        for status in [429, 472, 473, 500, 503] {
            assert!(classify(status).is_some(), "{status}");
        }
        assert!(classify(403).is_none());
    }

    #[test]
    fn only_logins_that_may_be_alive_are_remembered() {
        let start = Boottime::now();
        let mut before = Vec::new();
        for minute in 0..1_000 {
            let now = start + Duration::from_mins(minute);
            outlived(&mut before, Some(granted(90, now)), now);
            assert!(before.len() <= 2, "{} after {minute} minutes", before.len());
        }
        assert_eq!(before.len(), 2);
        outlived(&mut before, None, start + Duration::from_hours(17));
        assert!(before.is_empty());
    }
}
