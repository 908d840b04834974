//! A server, and the session that someone has with it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::error::HttpError;
use super::session::{Delay, Session, Settings};

/// A server.
pub struct Http {
    settings: Settings,
    live: RefCell<Weak<Session>>,
    /// Which address answered last.
    last: Rc<Cell<usize>>,
    delay: Delay,
}

impl Http {
    /// Nothing is read or asked yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            live: RefCell::new(Weak::new()),
            last: Rc::new(Cell::new(0)),
            delay: Delay::default(),
        }
    }

    /// The address and the error for which a request is retried; `None`: the last try that ended was
    /// answered.
    pub fn delayed_by(&self) -> Option<String> {
        self.delay.borrow().clone()
    }

    /// The session that someone holds, or a new one. Its connections are made, and the files of
    /// its TLS settings read, with the first request.
    pub fn session(&self) -> Result<Rc<Session>, HttpError> {
        if let Some(session) = self.live.borrow().upgrade() {
            return Ok(session);
        }
        let session = Rc::new(Session::open(
            &self.settings,
            Rc::clone(&self.last),
            Rc::clone(&self.delay),
        )?);
        *self.live.borrow_mut() = Rc::downgrade(&session);
        Ok(session)
    }
}
