//! Requests as who hushpipe is to the server: one login for all secrets of the store.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::answer;
use super::call::Call;
use super::error::{VaultError, denied};
use super::login::Method as Login;
use super::pending::PendingLogin;
use super::server::Server;
use super::term::Term;
use super::token::{Looked, Token};
use crate::http::{Answer, Wire};
use crate::model::Event;
use crate::stores::Fault;
use crate::sys::clock::Boottime;

/// A login that is not allowed to look itself up cannot tell a policy that is missing from a token
/// that is gone. It logs in again at most this often.
const AGAIN: Duration = Duration::from_mins(1);

/// How long the end of hushpipe waits for a login that the server may have taken. A server that does not
/// answer must not hold up who stops hushpipe: its token, if there is one, runs out.
const COMPLETION: Duration = Duration::from_millis(50);

/// hushpipe's login at a server.
pub(super) struct Access {
    pub server: Server,
    login: Login,
    token: RefCell<Option<Rc<Token>>>,
    /// Own tokens before this one: what the program still uses may be tied to them.
    before: RefCell<Vec<Rc<Token>>>,
    /// Held while somebody logs in; why the last try failed.
    turn: Mutex<Option<VaultError>>,
    tries: Cell<u64>,
    /// The login that is under way.
    pending: RefCell<Option<Rc<PendingLogin>>>,
    /// The login may not look itself up.
    blind: Cell<bool>,
}

impl Access {
    /// Asks nothing yet.
    pub fn new(server: Server) -> std::io::Result<Self> {
        Ok(Self {
            login: Login::new(&server.spec.auth)?,
            server,
            token: RefCell::new(None),
            before: RefCell::new(Vec::new()),
            turn: Mutex::new(None),
            tries: Cell::new(0),
            pending: RefCell::new(None),
            blind: Cell::new(false),
        })
    }

    /// Sends a request with a token of ours.
    pub async fn send(&self, call: &Call, token: &Token) -> Result<Answer, VaultError> {
        token.use_once();
        self.server.send_as(call, Some(token.header()?)).await
    }

    /// Sends a request as who hushpipe is. A token that has ended behind our back is replaced, once.
    pub async fn call(self: &Rc<Self>, call: &Call) -> Result<Answer, VaultError> {
        self.call_with(call).await.map(|(answer, _)| answer)
    }

    /// As [`Access::call`], and tells with which token.
    pub async fn call_with(
        self: &Rc<Self>,
        call: &Call,
    ) -> Result<(Answer, Rc<Token>), VaultError> {
        // Held over both requests, so that a login and what follows it share a connection.
        let _session = self.server.session_for(call)?;
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
    async fn is_alive(&self, token: &Token) -> Result<bool, VaultError> {
        let fresh = token.age(Boottime::now()) < AGAIN;
        if self.blind.get() && fresh {
            return Ok(true);
        }
        self.may_look_up(token).await
    }

    async fn may_look_up(&self, token: &Token) -> Result<bool, VaultError> {
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
    pub async fn token(self: &Rc<Self>) -> Result<Rc<Token>, VaultError> {
        if let Some(token) = self.current() {
            return Ok(token);
        }
        let seen = self.tries.get();
        let mut last = self.turn.lock().await;
        if let Some(token) = self.current() {
            return Ok(token);
        }
        if let (true, Some(error)) = (self.tries.get() != seen, last.as_ref()) {
            return Err(error.again());
        }
        let result = self.log_in().await;
        self.tries.set(self.tries.get() + 1);
        *last = result.as_ref().err().map(VaultError::again);
        result
    }

    /// Another login than this one, which the server does not take any more.
    async fn another(self: &Rc<Self>, bad: &Rc<Token>) -> Result<Rc<Token>, VaultError> {
        let is_bad = |token: &Rc<Token>| Rc::ptr_eq(token, bad);
        if self.token.borrow().as_ref().is_some_and(is_bad) {
            if bad.is_given() && !self.login.has_changed() {
                return Err(VaultError::Store(denied(self.login.refused_given())));
            }
            *self.token.borrow_mut() = None;
        }
        self.token().await
    }

    /// A new login before the old one ends. The old one is left to run out: what the program uses
    /// may be tied to it.
    pub async fn renew_login(self: &Rc<Self>) -> Result<Rc<Token>, VaultError> {
        let mut last = self.turn.lock().await;
        let result = self.log_in().await;
        self.tries.set(self.tries.get() + 1);
        *last = result.as_ref().err().map(VaultError::again);
        result
    }

    async fn log_in(self: &Rc<Self>) -> Result<Rc<Token>, VaultError> {
        let under_way = self.pending.borrow().clone();
        if let Some(pending) = under_way {
            // Whoever began it waits no more. If it fails, that was so then; it may work now.
            if let Ok(token) = self.complete(&pending).await {
                return Ok(token);
            }
        }
        let (access, wire) = (Rc::clone(self), Wire::default());
        let its = wire.clone();
        let login = async move {
            let _session = access.server.session()?;
            access.login.log_in(&access.server, &its).await
        };
        let pending = Rc::new(PendingLogin::new(Box::pin(login), wire));
        *self.pending.borrow_mut() = Some(Rc::clone(&pending));
        self.complete(&pending).await
    }

    async fn complete(&self, pending: &PendingLogin) -> Result<Rc<Token>, VaultError> {
        let completed = pending.completed().await;
        *self.pending.borrow_mut() = None;
        completed.map(|token| self.take(token))
    }

    /// At the end: a login that the server may have taken is waited for, for [`COMPLETION`], so that its
    /// token can be revoked; any other is given up.
    pub async fn end_login(&self) -> Result<(), VaultError> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        match timeout(COMPLETION, pending.answered()).await {
            Ok(token) => {
                if let Some(token) = token {
                    self.take(token);
                }
                Ok(())
            }
            Err(_) => Err(VaultError::Asked(Fault::Deadline { after: COMPLETION })),
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
        self.server.observer.observe(&Event::LoggedIn {
            store: self.server.store.clone(),
            method: self.login.name(),
            ttl: token.term().map(Term::length),
        });
    }

    /// Asks for the time that a given token has. One that may not ask is used as it is.
    pub async fn look_up(&self, token: &Token) -> Result<(), VaultError> {
        let since = Boottime::now();
        let answer = self
            .send(&Call::get("auth/token/lookup-self"), token)
            .await?;
        if answer.status == 200 {
            let looked: Looked = answer::data(&answer.body).map_err(VaultError::Asked)?;
            token.learn(&looked, since);
        }
        token.was_looked_up();
        self.tell_login(token);
        Ok(())
    }

    /// Makes the login live longer, or logs in anew where it cannot. A given one runs out.
    pub async fn keep_login(self: &Rc<Self>, token: &Rc<Token>) -> Result<(), VaultError> {
        if !token.is_looked_up() {
            return self.look_up(token).await;
        }
        if token.term().is_some_and(Term::is_renewable) {
            let since = Boottime::now();
            let call = Call::post("auth/token/renew-self");
            let answer = self.send(&call, token).await?;
            if answer.status == 200 {
                token
                    .renew(&answer.body, since)
                    .map_err(VaultError::Asked)?;
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
            self.server.observer.observe(&Event::Renewed {
                store: self.server.store.clone(),
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

/// Remembers a token that another one follows, and forgets those that have ended meanwhile: a login that
/// lives a minute is followed by half a million in a year.
fn outlived(before: &mut Vec<Rc<Token>>, token: Option<Rc<Token>>, now: Boottime) {
    before.extend(token);
    before.retain(|token| token.is_revocable(now));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;

    fn granted(seconds: u64, since: Boottime) -> Rc<Token> {
        let body = format!(
            r#"{{"auth":{{"client_token":"s.1","lease_duration":{seconds},"renewable":true}}}}"#
        );
        let body = SecretBytes::new(body.into_bytes());
        Rc::new(Token::granted(&body, since).unwrap_or_else(|_| panic!("it is a token")))
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
