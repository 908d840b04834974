//! Values that cannot be asked for again: asking would make others. Kept in protected memory while
//! they are good.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::lease::Lease;
use super::login::Stamp;
use super::term::{Term, random, spread};
use crate::model::{Backoff, Version};
use crate::secret::{Buffer, SecretBytes, Value};
use crate::stores::{Fetched, check};
use crate::sys::clock::Boottime;

/// Between replacements that are refused: each makes a new login at a database, or a certificate.
const FIRST_AGAIN: Duration = Duration::from_secs(10);
const LONGEST_AGAIN: Duration = Duration::from_mins(10);

/// One value, and how long it is good.
pub(super) struct Given {
    fields: BTreeMap<String, Buffer>,
    pub version: Version,
    pub lease: Option<Rc<Lease>>,
    /// Without a lease.
    pub term: Option<Term>,
    certificate: Option<Certificate>,
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
        fields: &BTreeMap<String, SecretBytes>,
        version: Version,
        lease: Option<Rc<Lease>>,
        term: Option<Term>,
    ) -> io::Result<Self> {
        let kept: io::Result<_> = fields
            .iter()
            .map(|(name, bytes)| Ok((name.clone(), Buffer::new(bytes.expose())?)))
            .collect();
        Ok(Self {
            fields: kept?,
            version,
            lease,
            term,
            certificate: fields.get("certificate").and_then(Certificate::read),
        })
    }

    fn fetched(&self) -> Fetched {
        let copy = |bytes: &Buffer| bytes.with(|bytes| SecretBytes::new(bytes.to_vec()));
        let fields = self
            .fields
            .iter()
            .map(|(name, bytes)| (name.clone(), copy(bytes)));
        Fetched {
            value: Value::Fields(fields.collect()),
            version: self.version.clone(),
        }
    }

    /// A field's bytes, for a request.
    pub fn field(&self, name: &str) -> Option<SecretBytes> {
        let bytes = self.fields.get(name)?;
        Some(bytes.with(|bytes| SecretBytes::new(bytes.to_vec())))
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
        lease.into_iter().chain(term).chain(certificate).min()
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
        let start = start.max(SystemTime::now());
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
            self.superseded.extend(before.lease);
        }
        self.again = None;
        self.backoff.reset();
    }

    /// The program does not get this version: the one before is used on, and is replaced by another
    /// after a while.
    pub fn rejected(&mut self, version: &Version, now: Boottime) {
        if self.current.version != *version {
            return;
        }
        let Some(before) = self.before.take() else {
            return;
        };
        let bad = std::mem::replace(&mut self.current, before);
        self.unused.extend(bad.lease);
        self.due = false;
        let wait = self.backoff.next(random()).max(FIRST_AGAIN / 10);
        self.again = Some(now + wait);
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
    pub fn sweep(&mut self, now: Boottime) {
        self.superseded.retain(|lease| !lease.is_over(now));
        self.unused.retain(|lease| !lease.is_over(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::vault::answer::Granted;
    use crate::stores::vault::token::Token;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn token() -> Rc<Token> {
        Rc::new(Token::given(Buffer::new(b"token").unwrap()))
    }

    fn fields(text: &str) -> BTreeMap<String, SecretBytes> {
        let bytes = SecretBytes::new(text.as_bytes().to_vec());
        BTreeMap::from([("password".to_owned(), bytes)])
    }

    /// A value `name` with a lease of that id, given at `since` for a minute.
    fn given(name: &str, since: Boottime, renewable: bool) -> Given {
        let granted = Granted {
            id: name.to_owned(),
            ttl: s(60),
            renewable,
        };
        let lease = Rc::new(Lease::new(granted, "creds/app", since, token()));
        Given::new(&fields(name), Version(name.to_owned()), Some(lease), None).unwrap()
    }

    fn version(name: &str) -> Version {
        Version(name.to_owned())
    }

    fn ids<'a>(leases: impl IntoIterator<Item = &'a Rc<Lease>>) -> Vec<&'a str> {
        leases.into_iter().map(|lease| lease.id.as_str()).collect()
    }

    fn seen(kept: &Kept, now: Boottime) -> Option<String> {
        let fetched = kept.again(now, SystemTime::now())?;
        let bytes = fetched.value.field("password")?.expose().to_vec();
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn it_is_given_again_until_it_is_over_or_expired() {
        let now = Boottime::now();
        let mut kept = Kept::new(given("a", now, true), None);
        assert_eq!(seen(&kept, now + s(59)).as_deref(), Some("a"));
        assert_eq!(seen(&kept, now + s(60)), None);
        kept.expire();
        assert_eq!(seen(&kept, now), None);
        kept.stays();
        assert_eq!(seen(&kept, now).as_deref(), Some("a"));
    }

    #[test]
    fn only_what_cannot_be_renewed_is_replaced() {
        let (now, wall) = (Boottime::now(), SystemTime::now());
        let kept = Kept::new(given("a", now, true), None);
        assert_eq!(kept.replaced_in(now + s(59), wall), None);
        assert_eq!(kept.replaced_in(now + s(60), wall), Some(s(0)));
        let kept = Kept::new(given("a", now, false), None);
        let wait = kept.replaced_in(now, wall).unwrap();
        assert!(wait >= s(38) && wait <= s(40), "{wait:?}");
    }

    #[test]
    fn what_was_before_is_kept_alive_until_the_new_one_is_adopted() {
        let now = Boottime::now();
        let mut kept = Kept::new(given("a", now, true), None);
        kept.expire();
        kept.take(given("b", now, true), None);
        assert_eq!(ids(kept.alive()), ["b", "a"]);
        assert_eq!(seen(&kept, now).as_deref(), Some("b"));
        kept.adopted(&version("a"));
        assert_eq!(ids(kept.alive()), ["b", "a"]);
        kept.adopted(&version("b"));
        assert_eq!(ids(kept.alive()), ["b"]);
        assert!(kept.unused().is_empty());
        // It runs out by itself, and is revoked at the end of hushpipe.
        assert_eq!(ids(&kept.leases(now)), ["b", "a"]);
        kept.sweep(now + s(60));
        assert!(kept.leases(now + s(60)).is_empty());
    }

    #[test]
    fn what_is_rejected_is_given_back_and_another_one_tried_later() {
        let (now, wall) = (Boottime::now(), SystemTime::now());
        let mut kept = Kept::new(given("a", now, true), None);
        kept.expire();
        kept.take(given("b", now, true), None);
        kept.rejected(&version("b"), now);
        assert_eq!(ids(kept.alive()), ["a"]);
        assert_eq!(ids(kept.unused()), ["b"]);
        assert_eq!(seen(&kept, now).as_deref(), Some("a"));
        let wait = kept.replaced_in(now, wall).unwrap();
        assert!(wait >= s(1) && wait <= FIRST_AGAIN, "{wait:?}");
        kept.settle("b");
        assert!(kept.unused().is_empty());
        // The next one is not replaced as soon as it is there.
        kept.expire();
        kept.take(given("c", now + s(20), true), None);
        assert_eq!(kept.replaced_in(now + s(20), wall), None);
    }

    #[test]
    fn one_that_never_reached_the_program_is_given_back_when_another_comes() {
        let now = Boottime::now();
        let mut kept = Kept::new(given("a", now, true), None);
        kept.expire();
        kept.take(given("b", now, true), None);
        kept.expire();
        kept.take(given("c", now, true), None);
        assert_eq!(ids(kept.alive()), ["c", "a"]);
        assert_eq!(ids(kept.unused()), ["b"]);
        kept.rejected(&version("c"), now);
        assert_eq!(seen(&kept, now).as_deref(), Some("a"));
    }
}
