//! What is on its way to systemd.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Poll;

use crate::model::{Event, Observer, Topic};
use crate::sys::datagram::Sender;

/// So many messages wait for a systemd that does not read; more are not kept. The program's wait in
/// its own socket before that.
const MOST: usize = 256;

/// Messages in order, to one socket. A socket that goes away is told once, and tried again with
/// every message.
pub(super) struct Outbox {
    name: OsString,
    sender: RefCell<Option<Sender>>,
    waiting: RefCell<VecDeque<Message>>,
    observer: Rc<dyn Observer>,
    lost: Cell<bool>,
    overflowed: Cell<bool>,
    has_status: Cell<bool>,
}

struct Message {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Outbox {
    /// Connects to a socket.
    pub fn new(name: OsString, observer: Rc<dyn Observer>) -> io::Result<Self> {
        let sender = Sender::connect(&name)?;
        Ok(Self {
            name,
            sender: RefCell::new(Some(sender)),
            waiting: RefCell::default(),
            observer,
            lost: Cell::new(false),
            overflowed: Cell::new(false),
            has_status: Cell::new(false),
        })
    }

    /// Whether another message would be kept.
    pub fn has_room(&self) -> bool {
        self.waiting.borrow().len() < MOST
    }

    /// Sends, or keeps for when there is room. Where there is none left, that is told once.
    pub fn send(&self, bytes: Vec<u8>, fds: Vec<OwnedFd>) {
        if self.has_room() {
            let message = Message { bytes, fds };
            self.waiting.borrow_mut().push_back(message);
        } else if !self.overflowed.replace(true) {
            let message =
                format!("systemd is not reading notifications: {MOST} queued, dropping more");
            self.observer.observe(&Event::Weaker {
                about: Topic::Systemd,
                message,
            });
        }
        self.flush();
    }

    /// hushpipe's own `STATUS=`.
    pub fn status(&self, text: &str) {
        self.has_status.set(true);
        self.send(format!("STATUS={text}").into_bytes(), Vec::new());
    }

    /// Takes hushpipe's own status back, if there is one.
    pub fn clear_status(&self) {
        if self.has_status.take() {
            self.send(b"STATUS=".to_vec(), Vec::new());
        }
    }

    /// Waits until nothing waits.
    pub async fn drained(&self) {
        std::future::poll_fn(|context| {
            loop {
                self.flush();
                if self.waiting.borrow().is_empty() {
                    return Poll::Ready(());
                }
                let sender = self.sender.borrow();
                let Some(sender) = sender.as_ref() else {
                    return Poll::Ready(());
                };
                match sender.poll_room(context) {
                    Poll::Ready(Ok(())) => {}
                    // What waits is sent, or lost, with the next message.
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }

    fn flush(&self) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(message) = waiting.front() {
            match self.try_send(message) {
                Ok(true) => {
                    waiting.pop_front();
                    self.lost.set(false);
                }
                Ok(false) => return,
                Err(error) => {
                    // Nobody is there to read any of it.
                    waiting.clear();
                    self.is_lost(&error);
                }
            }
        }
    }

    /// A socket that was made anew under the same name is found again.
    fn try_send(&self, message: &Message) -> io::Result<bool> {
        let mut sender = self.sender.borrow_mut();
        if let Some(sender) = sender.as_ref()
            && let Ok(sent) = sender.send(&message.bytes, &message.fds)
        {
            return Ok(sent);
        }
        *sender = None;
        let fresh = Sender::connect(&self.name)?;
        let sent = fresh.send(&message.bytes, &message.fds)?;
        *sender = Some(fresh);
        Ok(sent)
    }

    fn is_lost(&self, error: &io::Error) {
        if self.lost.replace(true) {
            return;
        }
        let message = format!(
            "systemd's notify socket {} is gone: {error}; the program goes on, and systemd hears \
             nothing from it",
            self.name.display()
        );
        self.observer.observe(&Event::Weaker {
            about: Topic::Systemd,
            message,
        });
    }
}
