//! Stores: where secrets live. One trait; each store is a file or a folder of its own.

pub mod check;
pub mod command;
pub mod directory;
pub mod format;
pub mod http;
pub mod join;
mod links;
mod names;
mod polled;
pub mod sealed;
mod trusted;
pub mod vault;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use crate::model::{Exit, Refresh, Source, StoreName, Version};
use crate::secret::Value;

/// A future on the one thread of hushpipe.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A value as a store gave it.
pub struct Fetched {
    /// The value, read in the format the source asks for.
    pub value: Value,
    /// What the store calls it.
    pub version: Version,
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

    /// How long the value that was fetched last is still good, where the store says so: a lease, a
    /// certificate.
    fn good_for(&self, _: &Source) -> Option<Duration> {
        None
    }

    /// Whether a version that it gave before is still good, so that a program can be given it once
    /// more. Stores whose values do not end say yes.
    fn is_good(&self, _: &Source, _: &Version) -> bool {
        true
    }

    /// The next fetch gives a new value where the store makes values on demand (leases), even if
    /// the one it gave last is still good.
    fn expire(&self, _: &Source) {}

    /// The program has this version now; what the store gave before need not be kept alive.
    fn adopted(&self, _: &Source, _: &Version) {}

    /// This version was fetched and will not be used, or not any more; the one before is.
    fn rejected(&self, _: &Source, _: &Version) {}

    /// What a request that is under way is tried again for, for a person; `None`: nothing went wrong
    /// so far.
    fn delayed_by(&self) -> Option<String> {
        None
    }

    /// Revokes what was given for this source. Stores without leases refuse ([`Fault::Denied`]).
    fn revoke<'a>(&'a self, source: &'a Source) -> Local<'a, Result<(), StoreError>> {
        let fault = StoreError {
            store: source.store.clone(),
            asked: source.key.clone(),
            fault: Fault::Denied {
                reason: "this store has no leases to revoke: change the secret in the store, and \
                         rotate"
                    .to_owned(),
            },
        };
        Box::pin(std::future::ready(Err(fault)))
    }

    /// Revokes leases and logs out, at the end of hushpipe, as the store's settings say. Bounded by
    /// who calls.
    fn close(&self) -> Local<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A source that is watched.
pub struct Watched {
    /// What is fetched.
    pub source: Source,
    /// How often it is looked at. With [`Refresh::Never`] no change is told, but leases are renewed.
    pub refresh: Refresh,
}

/// Those of which changes are told.
fn looked_at(sources: &[Watched]) -> impl Iterator<Item = &Source> {
    sources
        .iter()
        .filter(|watched| watched.refresh != Refresh::Never)
        .map(|watched| &watched.source)
}

/// What a watch has to tell.
#[derive(Debug)]
pub enum Seen {
    /// At least one source may have a new version; may be told without cause.
    Changed,
    /// All the faults that are met now, told again whenever they change. The watch goes on, and tells
    /// once when there are none any more.
    Down(Vec<StoreError>),
    /// It does.
    Up,
    /// The watch polls, as the system has nothing left to watch with; told once, with what to do.
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

/// Tells that something may have changed.
pub trait Watch {
    /// Ends when there is something to tell. Its future may be dropped at any time without loss:
    /// what it has begun is kept in the watch, and goes on with the next call. Leases are renewed
    /// while it is awaited. After an error the watch is of no more use.
    fn changed(&mut self) -> Local<'_, Result<Seen, StoreError>>;

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

/// Why a store did not give a secret. The texts name paths and causes; never a value, never what a
/// store answered.
#[derive(Debug)]
pub struct StoreError {
    /// Which store.
    pub store: StoreName,
    /// What it was asked for: a key, a path.
    pub asked: Option<String>,
    /// What went wrong.
    pub fault: Fault,
}

/// The kinds of faults, each with its exit code.
#[derive(Debug)]
pub enum Fault {
    /// The store itself is not there or cannot be read.
    Unreachable {
        /// What was tried.
        tried: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A server does not answer, or not with sense.
    NoAnswer {
        /// The address that was tried last.
        address: String,
        /// How long it was tried.
        after: Duration,
        /// What went wrong last; never what the server said.
        cause: String,
    },
    /// The store could not be written.
    Unwritable {
        /// What was tried.
        tried: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// It has no such secret, version or field.
    Missing {
        /// What to do.
        hint: String,
    },
    /// Access is denied, or what guards the store is too open.
    Denied {
        /// Why, and what to do.
        reason: String,
    },
    /// What the store holds is damaged or not of the stated format. Never quotes it.
    Malformed {
        /// Why, and what to do.
        reason: String,
    },
    /// A program failed.
    Program {
        /// Its `argv[0]`.
        program: String,
        /// How it ended: `exit code 3`, `signal SIGKILL`, or why it did not start.
        ended: String,
        /// What it wrote to stderr last.
        last_line: LastLine,
    },
    /// It took too long.
    Deadline {
        /// How long was waited.
        after: Duration,
    },
}

/// The last line of a program's standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastLine {
    /// It wrote nothing.
    None,
    /// It wrote something, and the manifest does not let it be shown.
    Hidden,
    /// Cut at 200 characters, control characters removed.
    Shown(String),
}

impl Fault {
    /// The same fault once more, for another source that it holds for.
    pub(crate) fn again(&self) -> Self {
        let same = |source: &std::io::Error| match source.raw_os_error() {
            Some(number) => std::io::Error::from_raw_os_error(number),
            None => std::io::Error::new(source.kind(), source.to_string()),
        };
        match self {
            Self::Unreachable { tried, source } => Self::Unreachable {
                tried: tried.clone(),
                source: same(source),
            },
            Self::Unwritable { tried, source } => Self::Unwritable {
                tried: tried.clone(),
                source: same(source),
            },
            Self::NoAnswer {
                address,
                after,
                cause,
            } => Self::NoAnswer {
                address: address.clone(),
                after: *after,
                cause: cause.clone(),
            },
            Self::Missing { hint } => Self::Missing { hint: hint.clone() },
            Self::Denied { reason } => Self::Denied {
                reason: reason.clone(),
            },
            Self::Malformed { reason } => Self::Malformed {
                reason: reason.clone(),
            },
            Self::Program {
                program,
                ended,
                last_line,
            } => Self::Program {
                program: program.clone(),
                ended: ended.clone(),
                last_line: last_line.clone(),
            },
            Self::Deadline { after } => Self::Deadline { after: *after },
        }
    }
}

impl StoreError {
    /// The same once more, for another source that it holds for.
    pub(crate) fn again(&self) -> Self {
        Self {
            store: self.store.clone(),
            asked: self.asked.clone(),
            fault: self.fault.again(),
        }
    }

    /// The same, whenever it was met: for comparing.
    pub(crate) fn at_any_time(&self) -> Self {
        let mut same = self.again();
        if let Fault::NoAnswer { after, .. } | Fault::Deadline { after } = &mut same.fault {
            *after = Duration::ZERO;
        }
        same
    }

    /// Whether it is one of all of the store: which secret it was asked for first says nothing.
    pub const fn is_of_the_store(&self) -> bool {
        matches!(
            self.fault,
            Fault::Unreachable { .. }
                | Fault::NoAnswer { .. }
                | Fault::Program { .. }
                | Fault::Deadline { .. }
        )
    }

    /// hushpipe's exit code for it.
    pub fn exit(&self) -> Exit {
        match &self.fault {
            Fault::Unreachable { source, .. } if is_of_this_process(source) => Exit::Os,
            Fault::Unreachable { .. } | Fault::NoAnswer { .. } | Fault::Program { .. } => {
                Exit::Unreachable
            }
            Fault::Unwritable { .. } => Exit::Os,
            Fault::Missing { .. } | Fault::Malformed { .. } => Exit::Value,
            Fault::Denied { .. } => Exit::Denied,
            Fault::Deadline { .. } => Exit::Deadline,
        }
    }
}

/// Faults that say nothing of the store: no more open files, no memory.
fn is_of_this_process(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)
    )
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {}", self.store)?;
        if let Some(asked) = &self.asked {
            write!(f, ", {asked}")?;
        }
        f.write_str(": ")?;
        match &self.fault {
            Fault::Unreachable { tried, .. } => write!(f, "cannot read {}", tried.display()),
            Fault::NoAnswer {
                address,
                after,
                cause,
            } => {
                let after = rough(*after);
                write!(f, "{address} gives no answer: {cause} (tried for {after})")
            }
            Fault::Unwritable { tried, .. } => write!(f, "cannot write {}", tried.display()),
            Fault::Missing { hint } => write!(f, "not there: {hint}"),
            Fault::Denied { reason } | Fault::Malformed { reason } => f.write_str(reason),
            Fault::Program {
                program,
                ended,
                last_line,
            } => {
                write!(f, "{program} failed: {ended}")?;
                match last_line {
                    LastLine::None => Ok(()),
                    LastLine::Shown(line) => write!(f, "; it said: {line}"),
                    LastLine::Hidden => f.write_str(
                        "; its error output may hold a secret and is not shown: run it by hand, or \
                         set `show_errors: true` on the store",
                    ),
                }
            }
            Fault::Deadline { after } => {
                write!(f, "no answer within {}", rough(*after))
            }
        }
    }
}

/// For people: whole seconds, where there are some.
fn rough(time: Duration) -> String {
    let millis = time.as_millis() as u64;
    let whole = (millis + 500) / 1_000 * 1_000;
    let shown = if millis < 1_000 { millis } else { whole };
    crate::model::format_duration(Duration::from_millis(shown))
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Unreachable { source, .. } | Fault::Unwritable { source, .. } => Some(source),
            _ => None,
        }
    }
}
