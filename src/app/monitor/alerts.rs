//! The monitor's alerts: rules on the log's records, and their way to receivers.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::metrics::Shown;
use super::say::{Say, Weight};
use crate::audit::{Archive, LogError, Tail};
use crate::model::{AlertsSpec, Backoff, chain, random};
use crate::monitor::{AGAIN, Alert, Files, Id, Item, News, Phase, Receiver, Watch, number};
use crate::sys::{clock, host};

/// So many records are read at once.
const AT_ONCE: usize = 500;
/// How often sinks, old versions and alerts that are over are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long what is no alert may be off the disk: after a crash it is read from the log again.
const UNSAVED: Duration = Duration::from_secs(5);
/// How long after an error of the log it is read again.
const AFTER_ERROR: Duration = Duration::from_secs(15);

/// Waits between tries of a receiver.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// After so many tries, in about a quarter of an hour, notifications are dropped.
const TRIES: u32 = 10;

/// The log, as rules follow it.
struct Followed {
    tail: Tail,
    is_new: bool,
}

/// Where it is shown what comes of alerts.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// Metrics, and how far sinks are.
    pub shown: &'a Shown,
    /// Messages.
    pub say: Say<'a>,
}

/// Alerts of a host.
pub struct Alerting {
    watch: RefCell<Watch>,
    files: Files,
    host: String,
    /// Of the site, for gauges.
    rules: Vec<String>,
    /// Alerts have changed.
    changed: watch::Sender<u64>,
    saved: Cell<Instant>,
    /// The position that is on the disk.
    kept: Cell<Option<u64>>,
    /// It could not be written last time, and that was said.
    failing: Cell<bool>,
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The host's hour and weekday.
fn local(unix: i64) -> (u8, u8) {
    let local = clock::local_of(unix);
    (local.hour, local.weekday)
}

impl Alerting {
    /// Goes on from what was kept in a directory; the error is for a person.
    pub fn open(spec: &AlertsSpec, directory: &Path) -> Result<Self, String> {
        let files = Files::open(directory)?;
        let watch = Watch::new(spec, files.load()?, local);
        Ok(Self {
            kept: Cell::new(watch.next()),
            watch: RefCell::new(watch),
            files,
            host: host::name(),
            rules: spec.rules.iter().map(|rule| rule.name.clone()).collect(),
            changed: watch::channel(0).0,
            saved: Cell::new(Instant::now()),
            failing: Cell::new(false),
        })
    }

    /// Follows the log.
    pub async fn follow(&self, log: &Path, mut news: News, to: Beside<'_>) -> Infallible {
        loop {
            match self.read_on(log, &mut news, to).await {
                Ok(never) => match never {},
                Err(error) => {
                    (to.say)(Weight::Warning, &format!("alerts: {}", chain(&error)));
                    sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    async fn read_on(
        &self,
        log: &Path,
        news: &mut News,
        to: Beside<'_>,
    ) -> Result<Infallible, LogError> {
        let mut followed = self.begin(log)?;
        loop {
            news.mark_unchanged();
            if self.step(&mut followed, to)? {
                tokio::task::yield_now().await;
            } else if news.changed().await.is_err() {
                sleep(AFTER_ERROR).await;
            }
        }
    }

    /// At the record that was not looked at yet. Where none was, those that are there are only learnt from.
    fn begin(&self, log: &Path) -> Result<Followed, LogError> {
        let next = self.watch.borrow().next();
        let tail = Tail::new(Archive::open(log)?, next.unwrap_or(0));
        let is_new = next.is_some();
        Ok(Followed { tail, is_new })
    }

    /// Takes records that are there. `false`: there were none.
    fn step(&self, followed: &mut Followed, to: Beside<'_>) -> Result<bool, LogError> {
        let (found, _) = followed.tail.read(AT_ONCE, 1 << 20)?;
        let is_end = found.is_empty();
        let now = now();
        for tailed in found {
            // A line that is no record is the feeds' to report.
            if let Ok(item) = Item::new(tailed, false) {
                self.watch.borrow_mut().record(&item, now, followed.is_new);
            }
        }
        self.watch.borrow_mut().set_next(followed.tail.next());
        followed.is_new |= is_end;
        self.settle(to);
        Ok(!is_end)
    }

    /// Somebody saw another log.
    pub fn tampered(&self, what: &str) {
        self.watch.borrow_mut().tampered(what, now());
    }

    /// Puts alerts on the disk that are not there yet, says that they began, and has receivers look.
    fn settle(&self, to: Beside<'_>) {
        let (begun, dropped) = self.watch.borrow_mut().take_begun();
        let revision = self.watch.borrow().revision();
        let is_revised = revision != *self.changed.borrow();
        let has_moved = self.watch.borrow().next() != self.kept.get();
        if is_revised || has_moved && self.saved.get().elapsed() >= UNSAVED {
            self.save(to.say);
        }
        for (rule, summary) in begun {
            to.shown.add(Id::Alerts, &[&rule], 1.0);
            (to.say)(Weight::Warning, &format!("alert {rule}: {summary}"));
        }
        if dropped > 0 {
            let text = format!("{dropped} alerts were dropped: too many are firing");
            (to.say)(Weight::Warning, &text);
        }
        if is_revised {
            self.changed.send_replace(revision);
        }
    }

    /// Puts on the disk what is not there yet.
    pub fn save(&self, say: Say<'_>) {
        let mut watch = self.watch.borrow_mut();
        self.saved.set(Instant::now());
        watch.unsaved.0 |= watch.next() != self.kept.get();
        match self.files.save(&mut watch) {
            Ok(()) => {
                self.kept.set(watch.next());
                self.failing.set(false);
            }
            Err(why) => {
                if !self.failing.replace(true) {
                    say(Weight::Warning, &format!("alerts: {why}"));
                }
            }
        }
    }

    /// Looks at what only time changes.
    pub async fn tick(&self, to: Beside<'_>) -> Infallible {
        loop {
            self.look(to);
            sleep(TICK).await;
        }
    }

    fn look(&self, to: Beside<'_>) {
        let size = self.watch.borrow().next().unwrap_or_default();
        self.watch
            .borrow_mut()
            .tick(now(), &to.shown.sinks_now(size));
        self.settle(to);
        let watch = self.watch.borrow();
        for rule in &self.rules {
            let firing = |alert: &&Alert| alert.phase() == Phase::Firing && alert.rule == *rule;
            let count = watch.alerts().filter(firing).count() as u64;
            to.shown.set(Id::AlertsFiring, &[rule], number(count));
        }
    }

    /// Notifies one receiver.
    pub async fn notify(&self, mut receiver: Receiver, to: Beside<'_>) -> Infallible {
        let mut changed = self.changed.subscribe();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let (mut tries, mut sent) = (0, Instant::now());
        loop {
            changed.mark_unchanged();
            let is_again = receiver.wants_all() && sent.elapsed() >= AGAIN;
            match self.round(&mut receiver, is_again, to).await {
                Ok(None) => {
                    // Whichever comes first; the sender lives as long as this.
                    drop(timeout(AGAIN, changed.changed()).await);
                }
                Ok(Some(_)) => {
                    if tries > 0 {
                        (to.say)(
                            Weight::Notice,
                            &format!("{} takes alerts again", receiver.name()),
                        );
                    }
                    (tries, sent) = (0, Instant::now());
                    backoff.reset();
                }
                Err(why) => {
                    tries += 1;
                    if tries == 1 {
                        (to.say)(
                            Weight::Warning,
                            &format!("alerts: {}: {why}", receiver.name()),
                        );
                    }
                    if tries >= TRIES {
                        self.give_up(&receiver, to);
                        tries = 0;
                    }
                    sleep(backoff.next(random())).await;
                }
            }
        }
    }

    /// Sends what a receiver does not have yet, or all that goes on. Gives how many.
    async fn round(
        &self,
        receiver: &mut Receiver,
        is_again: bool,
        to: Beside<'_>,
    ) -> Result<Option<usize>, String> {
        let due = self.watch.borrow().due(receiver.name(), is_again);
        if due.is_empty() {
            return Ok(None);
        }
        let done = receiver.send(&due, &self.host, now()).await;
        let count = match &done {
            Ok(()) => due.len(),
            Err(error) => error.confirmed.min(due.len()),
        };
        let name = receiver.name();
        self.watch.borrow_mut().sent(name, &due[..count]);
        to.shown
            .add(Id::Notifications, &[name, "sent"], number(count as u64));
        done.map_err(|error| error.why)?;
        Ok(Some(count))
    }

    /// What a receiver was not notified of in all that time is dropped.
    fn give_up(&self, receiver: &Receiver, to: Beside<'_>) {
        let name = receiver.name();
        let due = self.watch.borrow().due(name, false);
        self.watch.borrow_mut().sent(name, &due);
        let count = due.len();
        to.shown
            .add(Id::Notifications, &[name, "dropped"], number(count as u64));
        let text =
            format!("alerts: {name}: {count} notifications were dropped after {TRIES} tries");
        (to.say)(Weight::Warning, &text);
    }

    /// Evaluates what there is, and notifies each receiver once. The errors are of those that were not notified.
    pub async fn once(
        &self,
        log: &Path,
        receivers: Vec<Receiver>,
        to: Beside<'_>,
    ) -> Result<Vec<String>, LogError> {
        let mut followed = self.begin(log)?;
        while self.step(&mut followed, to)? {}
        self.look(to);
        let mut failed = Vec::new();
        for mut receiver in receivers {
            if let Err(why) = self.round(&mut receiver, false, to).await {
                failed.push(format!("{}: {why}", receiver.name()));
            }
        }
        self.save(to.say);
        Ok(failed)
    }
}
