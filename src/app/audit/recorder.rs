//! Writes a launcher's records.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

#[cfg(feature = "monitor")]
use super::direct::Direct;
use super::entries;
use super::keys::{open, unrecorded};
use super::looks::{Look, Looks};
use crate::audit::{BECOMES, Draft, Entry, Hold, Kind, Log, LogError, Writer};
use crate::model::query::Query;
use crate::model::{
    AuditError, AuditSpec, Decision, Event, Observer, Recorder, Recording, Release, Topic, random,
};
use crate::sys::{filesystem, host, process};

/// How long another process may hold the lock while nothing can go on without it.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// And where the event loop waits for it, or what would be recorded may be spooled.
const BRIEFLY: Duration = Duration::from_millis(250);

/// And when the program has ended.
const AT_THE_END: Duration = Duration::from_secs(2);

/// How long new records go without a signed head.
const UNSIGNED: Duration = Duration::from_secs(10);

/// So many records wait while the log cannot be written; those that come later are counted.
const WAITING: usize = 10_000;

/// How long after an error the log is tried again.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// Between two looks at the lock.
const BETWEEN: Duration = Duration::from_millis(1);

/// What is to be done with the lock, beside adding records.
#[derive(Clone, Copy, Debug)]
struct Put {
    /// They are on the disk when it is given back.
    sync: bool,
    sign: Sign,
    /// How long to wait for it.
    patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// Whoever comes next does.
    Later,
    /// If so many records are new.
    Due,
    Now,
}

/// The log of one launcher.
pub struct AuditRecorder {
    spec: AuditSpec,
    writer: Writer,
    log: RefCell<Option<Log>>,
    waiting: RefCell<VecDeque<Draft>>,
    lost: Cell<u64>,
    code: Cell<Option<u8>>,
    /// The last record is there.
    left: Cell<bool>,
    /// It could not be written last time, and that was said.
    failing: Cell<bool>,
    /// Who looked at the state lately.
    looks: Looks,
    /// Sinks that it feeds itself.
    #[cfg(feature = "monitor")]
    direct: Option<Direct>,
    wake: Notify,
    observer: Rc<dyn Observer>,
}

/// What is the same in each record of this process.
pub fn writer(service: &str, program: &str) -> Writer {
    Writer {
        host: host::name(),
        boot: host::setting("kernel/random/boot_id").unwrap_or_default(),
        launcher: format!("{:016x}", random()),
        pid: process::id(),
        uid: filesystem::effective_uid(),
        service: service.to_owned(),
        program: program.to_owned(),
    }
}

impl AuditRecorder {
    /// Of a log that is not open yet.
    pub fn new(spec: &AuditSpec, writer: Writer, observer: &Rc<dyn Observer>) -> Self {
        Self {
            spec: spec.clone(),
            writer,
            log: RefCell::new(None),
            waiting: RefCell::default(),
            lost: Cell::new(0),
            code: Cell::new(None),
            left: Cell::new(false),
            failing: Cell::new(false),
            looks: Looks::default(),
            #[cfg(feature = "monitor")]
            direct: Direct::of(spec),
            wake: Notify::new(),
            observer: Rc::clone(observer),
        }
    }

    /// The first record of a launcher. It is written with the next one.
    pub fn started(&self) {
        self.keep(Draft::now(Entry::new(Kind::Start)));
    }

    fn keep(&self, draft: Draft) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < WAITING {
            waiting.push_back(draft);
        } else {
            self.lost.set(self.lost.get() + 1);
        }
    }

    /// Keeps a record until it can be written, off the way of whoever made it.
    pub fn spool(&self, entry: Entry) {
        self.keep(Draft::now(entry));
        self.wake.notify_one();
    }

    /// With which code the program ended.
    pub fn exited(&self, code: u8) {
        self.code.set(Some(code));
    }

    /// Writes what waits, and signs: beside the program, for as long as it runs.
    pub async fn run(&self) -> std::convert::Infallible {
        loop {
            self.wake.notified().await;
            let written = self.write_and_sign().await;
            self.feed().await;
            if let Err(error) = written {
                self.warn(&error);
                // What waits stays.
                sleep(AFTER_ERROR).await;
                self.wake.notify_one();
            }
        }
    }

    /// Whatever comes within the time that records may go unsigned is written at once, and signed with the
    /// rest.
    async fn write_and_sign(&self) -> Result<(), LogError> {
        let write = Put {
            sync: false,
            sign: Sign::Due,
            patience: PATIENCE,
        };
        let until = tokio::time::Instant::now() + UNSIGNED;
        self.flush(&[], write).await?;
        while tokio::time::timeout_at(until, self.wake.notified())
            .await
            .is_ok()
        {
            self.flush(&[], write).await?;
        }
        let sign = Sign::Now;
        self.flush(&[], Put { sign, ..write }).await
    }

    /// The last record, and a head that covers it. `why`: the launch failed.
    pub fn end(&self, why: Option<String>) {
        if self.left.get() && why.is_none() {
            return;
        }
        for entry in self.looks.rest() {
            self.keep(Draft::now(entry));
        }
        let failed = why.is_some();
        let mut entry = Entry::new(Kind::End);
        entry.code = self.code.get();
        self.keep(Draft::now(match why {
            Some(why) => entry.saying(why).failed(),
            None => entry,
        }));
        self.settle();
        let lost = self.waiting.borrow().len() as u64 + self.lost.get();
        // Of a launch that failed there is nothing but that to be known.
        if lost > 0 && !failed {
            self.observer.observe(&Event::Fault {
                about: Topic::Audit,
                message: format!(
                    "the audit log could not be written: {lost} records of this launch are lost"
                ),
            });
        }
    }

    /// Writes what waits, and signs. That it fails is reported, and changes nothing more.
    pub fn settle(&self) {
        if self.waiting.borrow().is_empty() && self.log.borrow().is_none() {
            return;
        }
        let put = Put {
            sync: false,
            sign: Sign::Now,
            patience: AT_THE_END,
        };
        if let Err(error) = self.flush_now(&[], put) {
            self.warn(&error);
        }
    }

    /// Puts on record that hushpipe is about to become the program, and signs.
    pub async fn leave(&self) -> Result<(), AuditError> {
        let entry = Entry::new(Kind::End).saying(BECOMES);
        self.keep(Draft::now(entry));
        let put = Put {
            sync: self.spec.required,
            sign: Sign::Now,
            patience: self.patience(),
        };
        let left = self.flush(&[], put).await;
        self.or_later(left, Vec::new())?;
        self.confirm().await?;
        self.left.set(true);
        Ok(())
    }

    /// hushpipe did not become the program after all. On the way there the descriptors' numbers may have
    /// been given to others, so the log is opened anew.
    pub fn stayed(&self, why: Option<String>) {
        std::mem::forget(self.log.take());
        self.end(why.or_else(|| Some("the program was not executed".to_owned())));
    }

    /// A status is asked for often, and says nothing of values: nobody waits for this, and most are counted.
    pub fn status_read(&self, peer: (i32, u32)) {
        if let Some(before) = self.looks.take(Look::Read, peer.1) {
            let entry = Entry::new(Kind::Control).saying(Look::Read.words(before));
            self.spool(entry.by(Some(peer)));
        }
    }

    /// Of decisions on a status, most are counted as well.
    fn without_looks(&self, decisions: &[Decision]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for decision in decisions {
            let Some((look, uid)) = Look::of(decision) else {
                entries.push(entries::decision(decision));
                continue;
            };
            match self.looks.take(look, uid) {
                None => {}
                Some(0) => entries.push(entries::decision(decision)),
                Some(before) => {
                    entries.push(entries::decision(decision));
                    entries.push(look.counted(uid, before));
                }
            }
        }
        entries
    }

    /// Sends what is new to the sinks, where the launcher does that. That it fails is reported, and changes
    /// nothing more.
    pub async fn feed(&self) {
        #[cfg(feature = "monitor")]
        if let Some(direct) = &self.direct {
            let fed = direct.feed().await;
            self.report(fed.err());
        }
    }

    /// The same, where no event loop runs.
    pub fn feed_now(&self) {
        #[cfg(feature = "monitor")]
        self.report(Direct::feed_apart(&self.spec).err());
    }

    /// Ends when the sinks have confirmed what is on record, where the launcher feeds them.
    async fn confirm(&self) -> Result<(), AuditError> {
        #[cfg(feature = "monitor")]
        if let Some(direct) = &self.direct {
            let fed = direct.feed().await;
            return self.confirmed(fed);
        }
        Ok(())
    }

    /// The same, where no event loop runs.
    pub fn confirm_now(&self) -> Result<(), AuditError> {
        #[cfg(feature = "monitor")]
        return self.confirmed(Direct::feed_apart(&self.spec));
        #[cfg(not(feature = "monitor"))]
        Ok(())
    }

    #[cfg(feature = "monitor")]
    fn confirmed(&self, fed: Result<(), String>) -> Result<(), AuditError> {
        match fed {
            Err(why) if self.spec.required => {
                let help = "the site has audit.direct: nothing is delivered before its sinks have the record";
                let help = Some(help.to_owned());
                Err(AuditError { why, help })
            }
            fed => {
                self.report(fed.err());
                Ok(())
            }
        }
    }

    /// What the sinks say, once until they work again.
    #[cfg(feature = "monitor")]
    fn report(&self, why: Option<String>) {
        let Some(direct) = &self.direct else {
            return;
        };
        let about = Topic::Audit;
        for message in direct.said() {
            self.observer.observe(&Event::Fault { about, message });
        }
        if let Some(message) = direct.is_new(why) {
            self.observer.observe(&Event::Weaker { about, message });
        }
    }

    /// Opens the log, where it is not open.
    fn open(&self) -> Result<RefMut<'_, Log>, LogError> {
        let mut log = self.log.borrow_mut();
        if log.is_none() {
            *log = Some(open(&self.spec)?);
        }
        Ok(RefMut::map(log, |log| {
            log.as_mut().expect("it was opened if it was not")
        }))
    }

    /// Adds what waits and these. On an error what waited waits on, and these are the caller's.
    async fn flush(&self, drafts: &[Draft], put: Put) -> Result<(), LogError> {
        let until = Instant::now() + put.patience;
        while !self.try_flush(drafts, put, until)? {
            sleep(BETWEEN).await;
        }
        Ok(())
    }

    /// The same, where nothing else goes on meanwhile.
    fn flush_now(&self, drafts: &[Draft], put: Put) -> Result<(), LogError> {
        let until = Instant::now() + put.patience;
        while !self.try_flush(drafts, put, until)? {
            std::thread::sleep(BETWEEN);
        }
        Ok(())
    }

    /// `false`: another process has the lock, and may have it for longer.
    fn try_flush(&self, drafts: &[Draft], put: Put, until: Instant) -> Result<bool, LogError> {
        let mut log = self.open()?;
        let locked = log.locked(put.patience);
        let Some(mut hold) = log.try_hold()? else {
            return if Instant::now() < until {
                Ok(false)
            } else {
                Err(locked)
            };
        };
        self.add(&mut hold, drafts, put.sync)?;
        self.failing.set(false);
        if put.sign == Sign::Now || put.sign == Sign::Due && hold.is_due() {
            hold.sign()?;
        }
        Ok(true)
    }

    fn add(&self, hold: &mut Hold<'_>, drafts: &[Draft], sync: bool) -> Result<(), LogError> {
        let mut waiting = self.waiting.borrow_mut();
        let lost = self.lost.get();
        let missed = (lost > 0).then(|| {
            let text = format!("{lost} records were lost while the log could not be written");
            Draft::now(Entry::new(Kind::Recovered).saying(text).failed())
        });
        let all: Vec<Draft> = waiting
            .iter()
            .cloned()
            .chain(missed)
            .chain(drafts.iter().cloned())
            .collect();
        if !all.is_empty() {
            hold.append(&all, &self.writer, sync)?;
        }
        waiting.clear();
        self.lost.set(0);
        Ok(())
    }

    /// Reports it once, until it works again.
    fn warn(&self, error: &LogError) {
        if self.failing.replace(true) {
            return;
        }
        let AuditError { why, help } = unrecorded(error);
        let help = help.map(|help| format!("; {help}")).unwrap_or_default();
        let message = format!("cannot write the audit log: {why}{help}");
        let about = Topic::Audit;
        self.observer.observe(&if self.spec.required {
            Event::Fault { about, message }
        } else {
            Event::Weaker { about, message }
        });
    }

    /// How long a release waits for the lock: no longer than it is of use.
    const fn patience(&self) -> Duration {
        if self.spec.required {
            PATIENCE
        } else {
            BRIEFLY
        }
    }

    const fn put(&self, patience: Duration) -> Put {
        Put {
            sync: self.spec.required,
            // Who waits for the record does not wait for a head: that is signed beside the program.
            sign: Sign::Later,
            patience,
        }
    }

    /// What cannot be written is refused where the site requires a record; else it is kept for later.
    fn or_later(
        &self,
        written: Result<(), LogError>,
        drafts: Vec<Draft>,
    ) -> Result<(), AuditError> {
        let failed = written.is_err();
        self.refused_or_warned(written)?;
        if failed {
            for draft in drafts {
                self.keep(draft);
            }
        }
        // There is something to sign, or to try again.
        self.wake.notify_one();
        Ok(())
    }

    fn refused_or_warned(&self, done: Result<(), LogError>) -> Result<(), AuditError> {
        match done {
            Err(error) if self.spec.required => {
                // Whoever asked for it reports it.
                self.failing.set(true);
                Err(unrecorded(&error))
            }
            Err(error) => {
                self.warn(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn put_now(&self, entries: Vec<Entry>, put: Put) -> Result<(), AuditError> {
        let drafts: Vec<Draft> = entries.into_iter().map(Draft::now).collect();
        let written = self.flush_now(&drafts, put);
        self.or_later(written, drafts)
    }
}

impl AuditRecorder {
    /// Puts entries on record, signed, before whoever waits for that goes on.
    pub fn put_at_once(&self, entries: Vec<Entry>) -> Result<(), AuditError> {
        let sign = Sign::Now;
        let put = Put {
            sign,
            ..self.put(self.patience())
        };
        self.put_now(entries, put)
    }
}

/// A recorder that is shared with the observer.
#[derive(Clone)]
pub struct Shared(pub Rc<AuditRecorder>);

impl Recorder for Shared {
    fn prepare(&self) -> Result<(), AuditError> {
        let opened = self.0.open().map(drop);
        self.0.refused_or_warned(opened)
    }

    fn write<'a>(&'a self, release: &'a Release<'_>) -> Recording<'a> {
        let drafts = entries::release(release);
        Box::pin(async {
            let written = self.0.flush(&drafts, self.0.put(self.0.patience())).await;
            self.0.or_later(written, drafts)?;
            self.0.confirm().await
        })
    }

    fn decided(&self, decisions: &[Decision]) -> Result<(), AuditError> {
        let entries = self.0.without_looks(decisions);
        if entries.is_empty() {
            return Ok(());
        }
        self.0.put_now(entries, self.0.put(BRIEFLY))
    }

    fn denied(&self, decisions: &[Decision]) {
        for entry in self.0.without_looks(decisions) {
            self.0.spool(entry);
        }
    }

    fn custody(&self, queries: &[Query], decisions: &[Decision]) -> Result<(), AuditError> {
        let decisions = decisions.iter().map(entries::decision);
        let entries = decisions.chain(entries::custody(queries)).collect();
        self.0.put_at_once(entries)?;
        self.0.confirm_now()
    }
}
