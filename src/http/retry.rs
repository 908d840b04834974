//! What is retried, when, and for how long. Pure: it knows no clock and no connection.
//!
//! A *try* is one request to one address. A *round* asks each address once, the one that answered
//! last first; the first answer ends it. Between rounds is a wait with full jitter, or what the
//! server asked for (`Retry-After`).

use std::time::{Duration, SystemTime};

use super::error::HttpError;
use crate::model::Backoff;

/// Ceilings of the waits between rounds.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(200);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A last round that could have no more than this is not begun.
const LEAST: Duration = Duration::from_millis(20);

/// How long the parts of a try may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The name's look-up, TCP and TLS.
    pub connect: Duration,
    /// From the request to the answer's head, with the connection where one is made.
    pub head: Duration,
    /// Between two pieces of an answer's body.
    pub pause: Duration,
}

impl Limits {
    /// 10 s for a connection, 20 s for an answer's head, 10 s between its pieces; less where a
    /// short deadline would leave no time for another try. What must not be asked twice may take
    /// all the time for its answer.
    pub(super) fn new(deadline: Duration, once: bool) -> Self {
        let head = Duration::from_secs(20).min(deadline / 2);
        Self {
            connect: Duration::from_secs(10).min(deadline / 3),
            head: if once { deadline } else { head },
            pause: Duration::from_secs(10).min(deadline / 2),
        }
    }

    /// How long the kernel waits for what another host's kernel must acknowledge, tcp(7),
    /// `TCP_USER_TIMEOUT`. Less than [`Limits::connect`], so that a host which is not there can be
    /// told from a server that takes connections and is silent.
    pub(super) fn unacknowledged(self) -> Duration {
        self.connect * 4 / 5
    }
}

/// How much a fault says, in rising order. Of several, the one that says most is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// The deadline passed before it could say anything.
    Unfinished,
    /// No connection came about, or it was lost.
    Unconnected,
    /// A server took the connection, and said nothing.
    Silent,
    /// A server said that it cannot or will not.
    Answered,
}

/// Why a try gave no answer.
#[derive(Debug)]
pub(super) struct TryError {
    /// What went wrong, for a person. Nothing of the request, and of the answer its status alone.
    pub words: String,
    pub weight: Weight,
    /// It stays until somebody changes something: a wrong name, an unknown authority.
    pub lasting: bool,
    /// The server may have done what it was asked to do.
    pub done: bool,
    /// `Retry-After`.
    pub wait: Option<Duration>,
    /// It holds for all addresses: the others are not asked.
    pub everywhere: bool,
}

impl TryError {
    /// Something that passes, and came before the server was asked.
    pub(super) fn new(weight: Weight, words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            weight,
            lasting: false,
            done: false,
            wait: None,
            everywhere: false,
        }
    }

    /// The same, and it stays.
    pub(super) const fn lasting(mut self) -> Self {
        self.lasting = true;
        self
    }

    /// The same, and the server may have done what it was asked to do.
    pub(super) const fn done(mut self) -> Self {
        self.done = true;
        self
    }
}

/// Why there is no answer: a try failed, or the request, as no other try would help.
#[derive(Debug)]
pub(super) enum AttemptError {
    Try(TryError),
    Request(HttpError),
}

impl From<TryError> for AttemptError {
    fn from(error: TryError) -> Self {
        Self::Try(error)
    }
}

impl From<HttpError> for AttemptError {
    fn from(fault: HttpError) -> Self {
        Self::Request(fault)
    }
}

/// A status that another try may change.
#[derive(Clone, Copy, Debug)]
pub struct Transient {
    /// What it means, for a person.
    pub words: &'static str,
    /// The server may have done what it was asked to do.
    pub done: bool,
    /// It holds for all addresses: the others are not asked.
    pub everywhere: bool,
}

/// Says what a status means to a request that could be made again. `None`: the answer is the
/// caller's.
pub type Classify = fn(u16) -> Option<Transient>;

/// What statuses mean by RFC 9110 and RFC 6585.
pub fn transient(status: u16) -> Option<Transient> {
    let (words, done) = match status {
        429 => ("too many requests", false),
        500 => ("internal error", true),
        502 => ("bad gateway: what is behind it does not answer", true),
        503 => ("the service is not available", false),
        504 => ("what is behind it does not answer in time", true),
        501..=599 => ("server error", true),
        _ => return None,
    };
    Some(Transient {
        words,
        done,
        everywhere: status == 429,
    })
}

/// The server answered with such a status.
pub(super) fn refused(status: u16, transient: Transient, wait: Option<Duration>) -> TryError {
    let asked = wait.map(|wait| format!("; it asks to wait {}s", wait.as_secs()));
    let words = transient.words;
    let words = format!("status {status}, {words}{}", asked.unwrap_or_default());
    TryError {
        done: transient.done,
        wait,
        everywhere: transient.everywhere,
        ..TryError::new(Weight::Answered, words)
    }
}

/// `Retry-After` in both of its forms, RFC 9110 section 10.2.3: seconds, or a date. What cannot be
/// read is as if it were not there.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// What is known of a request's tries.
pub(super) struct Tries {
    once: bool,
    backoff: Backoff,
    round: Round,
    /// What the last round told that came to its end.
    before: Option<Told>,
}

/// An address, and what went wrong there.
type Told = (String, TryError);

/// What is known of a round.
#[derive(Default)]
struct Round {
    told: Option<Told>,
    unfinished: bool,
    passing: bool,
    done: bool,
    wait: Option<Duration>,
}

impl Tries {
    pub(super) fn new(once: bool) -> Self {
        Self {
            once,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            round: Round::default(),
            before: None,
        }
    }

    /// A try failed. Whether another address may be asked at once.
    pub(super) fn failed(&mut self, address: &str, error: TryError) -> bool {
        let in_vain = error.everywhere || (self.once && error.done);
        let round = &mut self.round;
        round.unfinished |= error.weight == Weight::Unfinished;
        round.passing |= !error.lasting;
        round.done |= error.done;
        round.wait = match (round.wait, error.wait) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        round.told = weightier(round.told.take(), Some((address.to_owned(), error)));
        !in_vain
    }

    /// The round is over, without an answer: how long to wait before the next, with `left` until
    /// the deadline. `None`: it is over.
    ///
    /// The wait is at most half of what is left, so that the last try comes near the deadline.
    /// What the server asks for is added to it; where that passes the deadline, no more is tried.
    pub(super) fn next_round(&mut self, left: Duration, random: u64) -> Option<Duration> {
        let round = std::mem::take(&mut self.round);
        let again = round.passing && !(self.once && round.done);
        let drawn = self.backoff.next(random).min(left / 2);
        let wait = drawn.saturating_add(round.wait.unwrap_or_default());
        self.before = if round.unfinished {
            weightier(self.before.take(), round.told)
        } else {
            round.told
        };
        (again && wait.saturating_add(LEAST) <= left).then_some(wait)
    }

    /// What is wrong so far, and where.
    pub(super) fn told(&self) -> Option<String> {
        let (address, error) = self.before.as_ref()?;
        Some(format!("{address}: {}", error.words))
    }

    /// What is said at the end.
    pub(super) fn error(self, after: Duration) -> HttpError {
        let after = rounded(after);
        match self.before {
            Some((address, error))
                if !matches!(error.weight, Weight::Silent | Weight::Unfinished) =>
            {
                HttpError::NoAnswer {
                    address,
                    after,
                    cause: error.words,
                }
            }
            _ => HttpError::Deadline { after },
        }
    }
}

/// To whole seconds, where there are some.
fn rounded(time: Duration) -> Duration {
    if time < Duration::from_secs(1) {
        return Duration::from_millis(time.as_millis() as u64);
    }
    Duration::from_secs((time + Duration::from_millis(500)).as_secs())
}

/// The one that says more; of two that say as much, the later.
fn weightier(one: Option<Told>, other: Option<Told>) -> Option<Told> {
    match (&one, &other) {
        (Some((_, first)), Some((_, second))) if first.weight > second.weight => one,
        (Some(_), None) => one,
        _ => other,
    }
}
