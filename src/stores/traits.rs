//! What a store is, and what it tells.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use super::error::StoreError;
use super::join::{self, Keep};
use crate::model::{Refresh, Source, Version, VersionRef};
use crate::secret::{KeptValue, Value};

/// A future on the one thread of hushpipe.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A value as a store gave it.
pub struct Fetched {
    /// The value, read in the format the source asks for.
    pub value: Value,
    /// What the store calls it.
    pub version: Version,
}

impl Keep for Fetched {
    /// Where there is no memory to keep the value in, it waits as it is.
    type Kept = (Result<KeptValue, Value>, Version);

    fn keep(self) -> Self::Kept {
        let kept = KeptValue::new(&self.value).map_err(|_| self.value);
        (kept, self.version)
    }

    fn take_up((kept, version): Self::Kept) -> Self {
        let value = kept.map_or_else(|value| value, |kept| kept.value());
        Self { value, version }
    }
}

/// A place where secrets live. Stores are asked concurrently, on one thread.
pub trait Store {
    /// Fetches one secret. Equal sources are asked once.
    fn fetch<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Fetched, StoreError>>;

    /// Fetches several secrets as one consistent set, concurrently; the answers in the order of the
    /// sources. Stores that can tell one state from the next (a directory that flips, a command that
    /// prints many secrets) answer all from one.
    fn fetch_all<'a>(
        &'a self,
        sources: &'a [&'a Source],
    ) -> Local<'a, Vec<Result<Fetched, StoreError>>> {
        Box::pin(join::values(
            sources.iter().map(|source| self.fetch(source)),
        ))
    }

    /// The version that [`Store::fetch`] would give, without reading the value where the store can
    /// tell. For `check --online` and polling.
    fn version<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Version, StoreError>>;

    /// Starts to look for changes of these sources, and to keep what it gave for them alive. `None`:
    /// the store does not tell; it is polled.
    fn watch(&self, sources: &[Watched]) -> Result<Option<Box<dyn Watch>>, StoreError>;

    /// How a version that it gave and the one before it are asked for, where the store keeps versions.
    fn past(&self, _: &Source, _: &Version) -> Option<Past> {
        None
    }

    /// When the version that was fetched or looked at last was made, as far as the store says so, without a
    /// request over the network.
    fn made(&self, _: &Source) -> Option<SystemTime> {
        None
    }

    /// The same of the version that a fetch would give, for which it may be asked. Its value is not read.
    fn ask_made<'a>(&'a self, source: &'a Source) -> Local<'a, Option<SystemTime>> {
        Box::pin(std::future::ready(self.made(source)))
    }

    /// Leases and their like, where what the store gives ends.
    fn leases(&self) -> Option<&dyn Leases> {
        None
    }

    /// Why a request that is under way is retried, for a person; `None`: nothing went wrong so far.
    fn delayed_by(&self) -> Option<String> {
        None
    }

    /// Whether it reports each of its requests itself, as [`Event::StoreAsked`](crate::model::Event::StoreAsked):
    /// where a fetch can take several.
    fn reports_requests(&self) -> bool {
        false
    }

    /// Whether people have to approve what it was asked for, which it says itself.
    fn waits_for_people(&self) -> bool {
        false
    }

    /// Revokes leases and logs out, at the end of hushpipe, as the store's settings say. Bounded by
    /// who calls.
    fn close(&self) -> Local<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A version of a store that keeps versions, as it is asked for, and the one before it.
pub struct Past {
    /// The version itself.
    pub this: VersionRef,
    /// The one before; `None`: there is none.
    pub before: Option<VersionRef>,
}

/// Values that end: leases, certificates, what was made on demand.
pub trait Leases {
    /// How long the value that was fetched last is still good, where the store says so.
    fn good_for(&self, source: &Source) -> Option<Duration>;

    /// Whether a version that the store gave before is still good, so that it can be delivered once
    /// more.
    fn is_good(&self, source: &Source, version: &Version) -> bool;

    /// The next fetch gives a new value where the store makes values on demand, even if the one it
    /// gave last is still good.
    fn expire(&self, source: &Source);

    /// The program has this version now; what the store gave before need not be kept alive.
    fn adopted(&self, source: &Source, version: &Version);

    /// This version was fetched and will not be used, or not any more; the one before is.
    fn rejected(&self, source: &Source, version: &Version);

    /// Revokes what was given for this source.
    fn revoke<'a>(&'a self, source: &'a Source) -> Local<'a, Result<(), StoreError>>;
}

/// A source that is watched.
pub struct Watched {
    /// What is fetched.
    pub source: Source,
    /// How often it is looked at. With [`Refresh::Never`] no change is told, but leases are renewed.
    pub refresh: Refresh,
    /// Whether its value may be read to look for a change, where the store tells no versions. If not, a
    /// change is reported whenever a look is due: policy decides before it is fetched.
    pub reads: bool,
}

/// Those of which changes are reported, each with its place.
pub(super) fn looked_at(sources: &[Watched]) -> impl Iterator<Item = (usize, &Source)> {
    sources
        .iter()
        .enumerate()
        .filter(|(_, watched)| watched.refresh != Refresh::Never)
        .map(|(place, watched)| (place, &watched.source))
}

/// What a watch reports.
#[derive(Debug)]
pub enum WatchEvent {
    /// These sources may have new versions: their places among those that the watch was made for.
    /// May come without cause.
    Changed(Vec<usize>),
    /// All the errors that are met now, reported again whenever they change. The watch goes on, and
    /// reports once when there are none any more.
    Down(Vec<StoreError>),
    /// There are none any more.
    Up,
    /// The watch polls, as the system has nothing left to watch with; reported once, with what to do.
    Unwatched(String),
}

/// Something that a watch will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What.
    pub what: Upkeep,
    /// For which source, by its place among those that the watch was made for; `None`: for all.
    pub source: Option<usize>,
    /// In how long.
    pub within: Duration,
}

/// What keeps what a program has good, and finds what is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// A look whether there is a newer version.
    Look,
    /// The lease is made longer.
    Renew,
    /// There will be another value in its place.
    Replace,
    /// The login is made longer, or there will be another one.
    Login,
}

/// Reports that something may have changed.
pub trait Watch {
    /// Ends when there is something to report. Its future may be dropped at any time without loss:
    /// what it has begun is kept in the watch, and goes on with the next call. Leases are renewed
    /// while it is awaited. After an error the watch is of no more use.
    fn changed(&mut self) -> Local<'_, Result<WatchEvent, StoreError>>;

    /// What it will do next, and for which of the sources that it was made for.
    fn due(&self) -> Option<Due> {
        None
    }

    /// Whether it looks at sources with `refresh: 30s` itself, by their versions. Else all of them
    /// are fetched at that period.
    fn polls(&self) -> bool {
        false
    }
}
