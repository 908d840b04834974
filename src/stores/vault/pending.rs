//! A login that is under way. Whoever stops waiting leaves it to the next, or to the end of hushpipe, as the
//! server may have made a token by then.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::Poll;

use super::error::VaultError;
use super::token::Token;
use crate::http::Wire;
use crate::stores::Local;

/// Polled by one at a time, and not after it has ended.
pub(super) struct PendingLogin {
    login: RefCell<Local<'static, Result<Token, VaultError>>>,
    wire: Wire,
}

impl PendingLogin {
    /// Sends nothing yet. `wire` is the login's request's.
    pub fn new(login: Local<'static, Result<Token, VaultError>>, wire: Wire) -> Self {
        Self {
            login: RefCell::new(login),
            wire,
        }
    }

    /// Waits for its end.
    pub async fn completed(&self) -> Result<Token, VaultError> {
        poll_fn(|context| self.login.borrow_mut().as_mut().poll(context)).await
    }

    /// Waits for the server's answer, if the server may have been asked; nothing is asked any more.
    /// `None`: there is no token.
    pub async fn answered(&self) -> Option<Token> {
        poll_fn(|context| {
            if !self.wire.is_busy() {
                return Poll::Ready(None);
            }
            match self.login.borrow_mut().as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(result.ok()),
                Poll::Pending if self.wire.is_busy() => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{self, ready};
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::super::error::denied;
    use super::*;
    use crate::secret::Buffer;

    fn token() -> Token {
        Token::given(Buffer::new(b"token").unwrap())
    }

    fn busy() -> Wire {
        let wire = Wire::default();
        wire.is_taken();
        wire
    }

    /// What comes of one look; `None`: it is still waited for.
    fn once<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_login_goes_on_with_the_next_who_waits() {
        let mut polls = 0;
        let login = poll_fn(move |_| {
            polls += 1;
            if polls == 2 {
                Poll::Ready(Ok(token()))
            } else {
                Poll::Pending
            }
        });
        let pending = PendingLogin::new(Box::pin(login), Wire::default());
        assert!(once(pending.completed()).is_none());
        assert!(once(pending.completed()).unwrap().is_ok());
    }

    #[test]
    fn a_login_that_the_server_has_not_seen_is_given_up() {
        let login = poll_fn(|_| panic!("nothing is asked any more"));
        let pending = PendingLogin::new(Box::pin(login), Wire::default());
        assert!(once(pending.answered()).unwrap().is_none());
    }

    #[test]
    fn the_answer_to_one_that_it_may_have_seen_is_waited_for() {
        let pending = PendingLogin::new(Box::pin(ready(Ok(token()))), busy());
        assert!(once(pending.answered()).unwrap().is_some());
        let refused = VaultError::Store(denied("no"));
        let pending = PendingLogin::new(Box::pin(ready(Err(refused))), busy());
        assert!(once(pending.answered()).unwrap().is_none());
        let pending = PendingLogin::new(Box::pin(future::pending()), busy());
        assert!(once(pending.answered()).is_none());
    }

    #[test]
    fn another_try_is_not_waited_for() {
        let wire = busy();
        let its = wire.clone();
        let login = poll_fn(move |_| {
            its.rests();
            Poll::Pending
        });
        let pending = PendingLogin::new(Box::pin(login), wire);
        assert!(once(pending.answered()).unwrap().is_none());
    }
}
