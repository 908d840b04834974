//! What is known of a request from its last answer.

use std::time::{Duration, SystemTime};

use super::answer::Numbered;
use crate::model::Version;
use crate::sys::clock::Boottime;

/// How long metadata that may not be read are not asked for: a policy may be mended, and to read the
/// value instead shows it needlessly.
pub(super) const NOT_AGAIN: Duration = Duration::from_mins(10);

/// What is known of a request from its last answer.
pub(super) struct Look {
    pub kind: Kind,
    pub state: State,
    /// When there may be another one, by the server's word.
    pub hinted: Option<Boottime>,
    /// When it was fetched last.
    pub fetched: Boottime,
    /// Its metadata may not be read, and are not asked for before this.
    no_metadata: Option<Boottime>,
    /// People had to authorize the last fetch.
    pub controlled: bool,
    /// The version that a look has found since.
    seen: Option<Numbered>,
}

/// After the end of a time that the server named, to find what comes after it.
const AFTER: Duration = Duration::from_secs(1);

/// How changes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// KV version 2: by its metadata.
    Versioned,
    /// By reading it again.
    Plain,
    /// It does not change: it is replaced.
    Made,
}

/// What was found last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    At(Version),
    /// A version of KV v2.
    Numbered(Numbered),
    /// It is gone, or may not be read.
    Faulty,
}

impl Look {
    pub fn new(kind: Kind, state: State) -> Self {
        Self {
            kind,
            state,
            hinted: None,
            fetched: Boottime::now(),
            no_metadata: None,
            controlled: false,
            seen: None,
        }
    }

    /// It was fetched again.
    pub fn found(&mut self, kind: Kind, state: State) {
        *self = Self {
            no_metadata: self.no_metadata,
            ..Self::new(kind, state)
        };
    }

    /// A look has found this version, which is not fetched yet.
    pub fn sees(&mut self, version: &Numbered) {
        self.seen = Some(version.clone());
    }

    /// When the version was made that was found last, if that is known.
    pub fn made(&self) -> Option<SystemTime> {
        match (&self.seen, &self.state) {
            (Some(version), _) | (None, State::Numbered(version)) => version.made(),
            _ => None,
        }
    }

    /// Its metadata may not be read now.
    pub const fn hides(&mut self, until: Boottime) {
        self.no_metadata = Some(until);
    }

    /// Whether its metadata may be asked for.
    pub fn may_tell(&self, now: Boottime) -> bool {
        self.no_metadata.is_none_or(|until| until <= now)
    }

    /// The server said at its answer that what it gave is good for so long.
    pub fn hint(&mut self, ttl: Option<Duration>) {
        let hinted = ttl.map(|ttl| Boottime::now() + ttl + AFTER);
        self.hinted = hinted.filter(|_| self.kind == Kind::Plain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_that_may_not_be_read_are_asked_for_again_after_a_while() {
        let now = Boottime::now();
        let mut look = Look::new(Kind::Versioned, State::Faulty);
        assert!(look.may_tell(now));
        look.hides(now + NOT_AGAIN);
        // Values that are read meanwhile say nothing of it.
        look.found(Kind::Versioned, State::Faulty);
        assert!(!look.may_tell(now) && !look.may_tell(now + NOT_AGAIN / 2));
        assert!(look.may_tell(now + NOT_AGAIN));
    }
}
