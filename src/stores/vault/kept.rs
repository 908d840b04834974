//! Values that cannot be asked for again: asking would make others. Kept in protected memory while
//! they are good.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::ask::Ask;
use super::credential::Stamp;
use super::lease::Lease;
use super::term::{Term, spread};
use crate::model::{Backoff, Version, random};
use crate::secret::{Field, KeptField, SecretBytes, Value};
use crate::stores::{Fetched, check};
use crate::sys::clock::Boottime;

/// Between replacements that are refused: each makes a new login at a database, or a certificate.
const FIRST_AGAIN: Duration = Duration::from_secs(10);
const LONGEST_AGAIN: Duration = Duration::from_mins(10);

/// One value, and how long it is good.
pub(super) struct Given {
    fields: BTreeMap<String, KeptField>,
    pub version: Version,
    pub lease: Option<Rc<Lease>>,
    /// Without a lease.
    pub term: Option<Term>,
    certificate: Option<Certificate>,
    /// It was revoked by hushpipe, and no lease tells.
    revoked: bool,
}

/// The times of a certificate are the wall clock's.
#[derive(Clone, Copy)]
struct Certificate {
    replace: SystemTime,
    end: SystemTime,
}

impl Given {
    /// Copies the fields. The error is the kernel's word when it has no memory for them.
    pub fn new(
        fields: &BTreeMap<String, Field>,
        version: Version,
        lease: Option<Rc<Lease>>,
        term: Option<Term>,
    ) -> io::Result<Self> {
        let kept: io::Result<_> = fields
            .iter()
            .map(|(name, field)| Ok((name.clone(), KeptField::new(field)?)))
            .collect();
        Ok(Self {
            fields: kept?,
            version,
            lease,
            term,
            certificate: fields
                .get("certificate")
                .and_then(|pem| Certificate::read(pem)),
            revoked: false,
        })
    }

    fn fetched(&self) -> Fetched {
        let fields = self
            .fields
            .iter()
            .map(|(name, kept)| (name.clone(), kept.field()));
        Fetched {
            value: Value::Fields(fields.collect()),
            version: self.version.clone(),
        }
    }

    /// A field, for a request.
    pub fn field(&self, name: &str) -> Option<Field> {
        Some(self.fields.get(name)?.field())
    }

    /// How long it is still good; `None`: nothing says so.
    pub fn left(&self, now: Boottime, wall: SystemTime) -> Option<Duration> {
        let lease = self.lease.as_ref().map(|lease| {
            if lease.is_over(now) {
                Duration::ZERO
            } else {
                lease.term().left(now)
            }
        });
        let term = self.term.map(|term| term.left(now));
        let certificate = self
            .certificate
            .map(|times| times.end.duration_since(wall).unwrap_or_default());
        let revoked = self.revoked.then_some(Duration::ZERO);
        let all = lease.into_iter().chain(term).chain(certificate);
        all.chain(revoked).min()
    }

    /// In what time it is to be replaced; zero: now. `None`: never by itself.
    pub fn replaced_in(&self, now: Boottime, wall: SystemTime) -> Option<Duration> {
        let lease = self.lease.as_ref().and_then(|lease| {
            if lease.is_over(now) {
                return Some(Duration::ZERO);
            }
            let term = lease.term();
            (!term.is_renewable()).then(|| term.due().since(now))
        });
        let term = self.term.map(|term| term.due().since(now));
        let certificate = self
            .certificate
            .map(|times| times.replace.duration_since(wall).unwrap_or_default());
        lease.into_iter().chain(term).chain(certificate).min()
    }
}

impl Certificate {
    /// Replaced after two thirds of the time that it has from now.
    fn read(pem: &SecretBytes) -> Option<Self> {
        let (start, end) = check::validity(pem)?;
        // One that starts after its end is no good at any time.
        let start = start.max(SystemTime::now()).min(end);
        let length = end.duration_since(start).unwrap_or_default();
        Some(Self {
            replace: start + spread(length * 2 / 3),
            end,
        })
    }
}

/// What a request was given, over time.
pub(super) struct Kept {
    current: Given,
    /// What the program has while `current` is on trial.
    before: Option<Given>,
    /// What the program had before the one that it has: it may be handed over again while it lives.
    former: Option<Given>,
    /// The next fetch asks for another one.
    due: bool,
    /// A replacement was refused: not before this.
    again: Option<Boottime>,
    backoff: Backoff,
    /// What the program had before: not renewed any more, and alive until it runs out.
    superseded: Vec<Rc<Lease>>,
    /// What is given back to the server: nobody will use it.
    unused: Vec<Rc<Lease>>,
    /// The file of the wrapping token that it came from.
    pub stamp: Option<Stamp>,
}

impl Kept {
    /// The first.
    pub fn new(given: Given, stamp: Option<Stamp>) -> Self {
        Self {
            current: given,
            before: None,
            former: None,
            due: false,
            again: None,
            backoff: Backoff::new(FIRST_AGAIN, LONGEST_AGAIN),
            superseded: Vec::new(),
            unused: Vec::new(),
            stamp,
        }
    }

    /// The value once more, while it is good and not to be replaced.
    pub fn again(&self, now: Boottime, wall: SystemTime) -> Option<Fetched> {
        let over = self.current.left(now, wall) == Some(Duration::ZERO);
        (!self.due && !over).then(|| self.current.fetched())
    }

    /// A new one came. What was given before stays with the program until this is adopted.
    pub fn take(&mut self, given: Given, stamp: Option<Stamp>) {
        let old = std::mem::replace(&mut self.current, given);
        match &self.before {
            None => self.before = Some(old),
            Some(_) => self.unused.extend(old.lease),
        }
        self.due = false;
        self.again = None;
        self.stamp = stamp;
    }

    /// The program has this version.
    pub fn adopted(&mut self, version: &Version) {
        if self.current.version != *version {
            return;
        }
        if let Some(before) = self.before.take() {
            self.superseded.extend(before.lease.clone());
            self.former = Some(before);
        }
        self.again = None;
        self.backoff.reset();
    }

    /// The program does not get this version, or has it no more: the one before is used on. Where it
    /// was on trial, that is replaced by another after a while; where it was adopted, when that ends.
    pub fn rejected(&mut self, version: &Version, now: Boottime) {
        if self.current.version != *version {
            return;
        }
        if let Some(before) = self.before.take() {
            self.puts_back(before);
            let wait = self.backoff.next(random()).max(FIRST_AGAIN / 10);
            self.again = Some(now + wait);
        } else if let Some(former) = self.former.take() {
            let lease = former.lease.clone();
            let is_it = |one: &Rc<Lease>| lease.as_ref().is_some_and(|it| Rc::ptr_eq(one, it));
            self.superseded.retain(|one| !is_it(one));
            self.puts_back(former);
        }
    }

    fn puts_back(&mut self, older: Given) {
        let bad = std::mem::replace(&mut self.current, older);
        self.unused.extend(bad.lease);
        self.due = false;
    }

    /// Whether a version that was given, and may be handed over once more, is still good.
    pub fn is_good(&self, version: &Version, now: Boottime, wall: SystemTime) -> bool {
        let given = [
            Some(&self.current),
            self.before.as_ref(),
            self.former.as_ref(),
        ];
        let mut given = given.into_iter().flatten();
        let it = given.find(|given| given.version == *version);
        it.is_some_and(|it| it.left(now, wall) != Some(Duration::ZERO))
    }

    /// The newest, which has no lease, was revoked.
    pub const fn was_revoked(&mut self) {
        self.current.revoked = true;
    }

    /// The next fetch asks for another one.
    pub const fn expire(&mut self) {
        self.due = true;
    }

    /// There is no other one to be had.
    pub const fn stays(&mut self) {
        self.due = false;
    }

    pub const fn is_due(&self) -> bool {
        self.due
    }

    /// It came out of a wrapping token, and there is no other one in its file so far: there is nothing
    /// to replace it with.
    pub fn is_spent(&self, ask: &Ask) -> bool {
        // Some remove the file once it was read.
        let found = ask.stamp().or(self.stamp);
        self.stamp.is_some() && self.stamp == found
    }

    /// The newest.
    pub const fn current(&self) -> &Given {
        &self.current
    }

    /// Whether the server, or a file, can tell that it is over.
    pub fn can_be_looked_at(&self) -> bool {
        let lease = self.current.lease.as_ref();
        self.stamp.is_some() || lease.is_some_and(|lease| lease.can_be_looked_up())
    }

    /// In what time it is to be replaced.
    pub fn replaced_in(&self, now: Boottime, wall: SystemTime) -> Option<Duration> {
        let wanted = self.current.replaced_in(now, wall);
        match self.again {
            // A replacement was wanted, and refused: another one after the wait, even if what is
            // used on could live longer.
            Some(again) => Some(again.since(now)),
            None => wanted,
        }
    }

    /// Leases that are to be kept alive: of what the program has and of what it may get.
    pub fn alive(&self) -> impl Iterator<Item = &Rc<Lease>> {
        let before = self.before.iter().filter_map(|given| given.lease.as_ref());
        self.current.lease.iter().chain(before)
    }

    /// Leases that nobody uses.
    pub fn unused(&self) -> &[Rc<Lease>] {
        &self.unused
    }

    /// Such a lease was given back, or cannot be.
    pub fn settle(&mut self, id: &str) {
        self.unused.retain(|lease| lease.id != id);
    }

    /// All leases that the server may still have.
    pub fn leases(&self, now: Boottime) -> Vec<Rc<Lease>> {
        self.alive()
            .chain(&self.superseded)
            .chain(&self.unused)
            .filter(|lease| !lease.is_over(now))
            .cloned()
            .collect()
    }

    /// Forgets leases that have run out.
    pub fn sweep(&mut self, now: Boottime, wall: SystemTime) {
        let over = |given: &Given| given.left(now, wall) == Some(Duration::ZERO);
        self.former = self.former.take().filter(|former| !over(former));
        self.superseded.retain(|lease| !lease.is_over(now));
        self.unused.retain(|lease| !lease.is_over(now));
    }
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
