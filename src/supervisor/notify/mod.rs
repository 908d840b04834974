//! Between the program and systemd: sd_notify(3).
//!
//! To systemd, hushpipe is the service's main process, and messages of others are refused
//! (`NotifyAccess=main`). So the program gets a socket of hushpipe's, and what it says there goes on
//! as hushpipe's own. Only the program and its descendants are listened to.

mod conversation;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod outbox;
mod place;
mod stored;
mod strangers;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Event, Observer, Topic};
use crate::sys::datagram::{Datagram, Receiver};

use conversation::Conversation;
use outbox::Outbox;
use place::Place;
use stored::Stored;
use strangers::Strangers;

/// The longest message that systemd takes, `NOTIFY_BUFFER_MAX`.
const LONGEST: usize = 4096;

/// How many messages one [`Relay::drain`] takes.
const BATCH: usize = 64;

/// Work before the start that takes longer than this is told of.
const SLOW: Duration = Duration::from_secs(1);

/// How often systemd is told that it still goes on, and how much longer it may take then.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

/// What systemd says about itself, by the variables of sd_notify(3) and sd_watchdog_enabled(3).
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `NOTIFY_SOCKET`
    pub socket: Option<OsString>,
    /// `WATCHDOG_USEC`, where it is meant for hushpipe: it must be heard of so often.
    pub watchdog: Option<Duration>,
}

/// hushpipe's own voice. Clones are the same one. Without a socket to speak to, nothing is said.
#[derive(Clone)]
pub struct Announcer(Option<Rc<Inner>>);

struct Inner {
    outbox: Outbox,
    conversation: RefCell<Conversation>,
    observer: Rc<dyn Observer>,
    watchdog: Option<Duration>,
    /// A rotation changes what the program has.
    busy: Cell<bool>,
}

impl Announcer {
    /// Speaks to the socket that systemd gave. One that cannot be spoken to is told once, and is no
    /// reason not to go on. Needs a tokio runtime with I/O.
    pub fn new(surroundings: &Surroundings, observer: &Rc<dyn Observer>) -> Self {
        let Some(socket) = &surroundings.socket else {
            return Self(None);
        };
        let outbox = match Outbox::new(socket.clone(), Rc::clone(observer)) {
            Ok(outbox) => outbox,
            Err(reason) => {
                let message = format!(
                    "NOTIFY_SOCKET={}: {reason}; systemd hears nothing from hushpipe and from the \
                     program",
                    socket.display()
                );
                observer.observe(&Event::Weaker {
                    about: Topic::Systemd,
                    message,
                });
                return Self(None);
            }
        };
        Self(Some(Rc::new(Inner {
            outbox,
            conversation: RefCell::default(),
            observer: Rc::clone(observer),
            watchdog: surroundings.watchdog,
            busy: Cell::new(false),
        })))
    }

    /// Says nothing.
    pub const fn silent() -> Self {
        Self(None)
    }

    /// Whether there is a systemd, which waits for `READY` as long as it likes.
    pub(super) const fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Does work that comes before the program, and tells of it when it takes long, so that neither
    /// the start's timeout nor the watchdog ends it: the work has deadlines of its own.
    /// `status` says what it does; it is asked again and again.
    pub async fn patiently<T>(
        &self,
        status: impl Fn() -> String,
        work: impl Future<Output = T>,
    ) -> T {
        let Some(inner) = &self.0 else {
            return work.await;
        };
        let mut work = pin!(work);
        let mut told = pin!(inner.keep_telling(status));
        let mut watched = pin!(inner.keep_watchdog(|| true));
        let done = tokio::select! {
            biased;
            done = &mut work => done,
            never = &mut told => match never {},
            never = &mut watched => match never {},
        };
        inner.outbox.clear_status();
        done
    }

    /// A program starts, perhaps anew.
    pub(super) fn program_begins(&self) {
        if let Some(inner) = &self.0 {
            inner.conversation.borrow_mut().begins_anew();
        }
    }

    /// For a program that says nothing itself: it is ready.
    pub fn declare_ready(&self) {
        self.tell(Conversation::declare_ready);
    }

    /// Whether what the program has is being changed: a new generation is put in place, or the one
    /// before.
    pub fn rotates(&self, rotates: bool) {
        let Some(inner) = &self.0 else {
            return;
        };
        inner.busy.set(rotates);
        self.tell(|conversation| {
            if rotates {
                conversation.rotation_begins(now())
            } else {
                conversation.rotation_ends()
            }
        });
    }

    /// Answers systemd's watchdog in the program's place while a rotation may have stopped it. Never
    /// ends.
    pub async fn stand_in(&self) -> Infallible {
        match &self.0 {
            Some(inner) => inner.keep_watchdog(|| inner.busy.get()).await,
            None => std::future::pending().await,
        }
    }

    fn tell(&self, what: impl FnOnce(&mut Conversation) -> Option<Vec<u8>>) {
        let Some(inner) = &self.0 else {
            return;
        };
        let message = what(&mut inner.conversation.borrow_mut());
        if let Some(message) = message {
            inner.outbox.send(message, Vec::new());
        }
    }

    /// Waits a moment for what could not be sent yet: for the end.
    pub async fn flush(&self) {
        if let Some(inner) = &self.0 {
            let sent = tokio::time::timeout(SLOW, inner.outbox.drained());
            // systemd does not read: it is told nothing more then.
            sent.await.ok();
        }
    }
}

impl Inner {
    async fn keep_telling(&self, status: impl Fn() -> String) -> Infallible {
        tokio::time::sleep(SLOW).await;
        let (every, longer) = PATIENCE;
        let mut told = String::new();
        loop {
            let now = status();
            if now != told {
                self.outbox.status(&now);
                told = now;
            }
            let longer = longer.as_micros();
            let message = format!("EXTEND_TIMEOUT_USEC={longer}");
            self.outbox.send(message.into_bytes(), Vec::new());
            tokio::time::sleep(every).await;
        }
    }

    /// At half of the time that systemd gives, as sd_watchdog_enabled(3) recommends.
    async fn keep_watchdog(&self, needed: impl Fn() -> bool) -> Infallible {
        loop {
            match self.watchdog {
                Some(limit) => tokio::time::sleep(limit / 2).await,
                None => std::future::pending().await,
            }
            if needed() {
                self.outbox.send(b"WATCHDOG=1".to_vec(), Vec::new());
            }
        }
    }
}

/// CLOCK_MONOTONIC in microseconds.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

/// Who writes to the socket as the program.
#[derive(Clone, Copy, Debug)]
pub struct ProgramUser {
    /// The program is started as this user.
    pub uid: u32,
    /// It can become another one's.
    pub changes: bool,
}

/// The program's socket, and what is done with what comes in.
pub struct Relay {
    inner: Rc<Inner>,
    receiver: Receiver,
    place: Place,
    stored: RefCell<Stored>,
    strangers: Strangers,
    /// What was said about the program's messages, once.
    complained: RefCell<Vec<&'static str>>,
}

impl Relay {
    /// Makes a socket that the program can reach: as `user`, and where private files cover `covered`.
    /// systemd may be given `room` descriptors to keep. `None`: there is nobody to relay to.
    pub fn new(
        announcer: &Announcer,
        user: ProgramUser,
        covered: &[PathBuf],
        room: Option<usize>,
    ) -> io::Result<Option<Self>> {
        let Some(inner) = &announcer.0 else {
            return Ok(None);
        };
        let (place, receiver) =
            Place::find(user.uid, covered, |name| Receiver::bind(name, LONGEST))?;
        Ok(Some(Self {
            inner: Rc::clone(inner),
            receiver,
            place,
            stored: RefCell::new(Stored::new(room)),
            strangers: Strangers::new(user.uid, user.changes),
            complained: RefCell::default(),
        }))
    }

    /// The program's `NOTIFY_SOCKET`.
    pub fn name(&self) -> &OsStr {
        self.place.name()
    }

    /// Relays until the program names another main process. Can be dropped while it waits.
    pub(super) async fn next(&self, program: i32) -> io::Result<i32> {
        loop {
            // A systemd that does not read holds up who speaks to it, as it would without us.
            self.inner.outbox.drained().await;
            if let Some(until) = self.strangers.pause(Instant::now()) {
                tokio::time::sleep_until(until).await;
            }
            let datagram = self.receiver.receive().await?;
            if let Some(main) = self.hear(datagram, program) {
                return Ok(main);
            }
        }
    }

    /// Takes what is there already. To be called before children are reaped: who a sender was can be
    /// told only while it is not. Gives the main processes that were named.
    pub(super) fn drain(&self, program: i32) -> io::Result<Vec<i32>> {
        let mut named = Vec::new();
        for _ in 0..BATCH {
            // What systemd has no room for is better kept by the kernel, and the program held up.
            if !self.inner.outbox.has_room() {
                break;
            }
            match self.receiver.try_receive()? {
                Some(datagram) => named.extend(self.hear(datagram, program)),
                None => break,
            }
        }
        Ok(named)
    }

    fn hear(&self, datagram: Datagram, program: i32) -> Option<i32> {
        if self.strangers.wrote(&datagram, program, Instant::now()) {
            return None;
        }
        if datagram.cut {
            self.complain(
                "the program sent systemd a message longer than 4096 bytes, or with more \
                 descriptors than hushpipe may have open: it is not passed on",
            );
            return None;
        }
        let mut conversation = self.inner.conversation.borrow_mut();
        let heard = conversation.hear(&datagram.bytes, datagram.sender == program, now());
        drop(conversation);
        if !heard.with_fds && !datagram.fds.is_empty() {
            self.complain(
                "the program sent systemd descriptors without FDSTORE=1: they are closed",
            );
        }
        if !heard.names.is_empty() {
            self.inner.observer.observe(&Event::Relayed {
                pid: datagram.sender,
                fields: heard.names,
            });
        }
        if let Some(message) = heard.relay {
            let fits = self.stored.borrow_mut().takes(&message, datagram.fds.len());
            if !fits {
                self.complain(
                    "the program gave systemd a descriptor to keep (FDSTORE=1): at the next start \
                     it would be where a secret is delivered (deliver: fd), so it is closed; \
                     deliver at a higher number, with room for all that it gives",
                );
            }
            let fds = if heard.with_fds && fits {
                datagram.fds
            } else {
                Vec::new()
            };
            self.inner.outbox.send(message, fds);
        }
        heard.main
    }

    fn complain(&self, what: &'static str) {
        let mut complained = self.complained.borrow_mut();
        if !complained.contains(&what) {
            complained.push(what);
            self.inner.observer.observe(&Event::Fault {
                about: Topic::Systemd,
                message: what.to_owned(),
            });
        }
    }
}
