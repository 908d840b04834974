//! Uses of approvals on record: `DIRECTORY/uses/UID/ID`, a line each, added under a lock and on the disk
//! before anything is delivered. A line that a crash cut short counts as a use: never one too many.
//! `pruned` says up to which time of expiry records have been removed.

use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::error::ApprovalsError;
use super::place::make_directory;
use crate::approval::{Moment, Request, RequestId, Spent};
use crate::sys::filesystem::{self, effective_uid};
use crate::sys::held::{self, Lock};
use crate::sys::walk::{self, Rule, WalkError, WalkFault};
use crate::sys::{beneath, durable};

/// More than the most uses take.
const MOST: u64 = 1024 * 1024;

/// The uses that launches by this user are charged to.
pub struct Ledger {
    path: PathBuf,
    directory: OwnedFd,
}

/// Nobody else reads or writes it meanwhile.
pub struct Locked<'a> {
    ledger: &'a Ledger,
    _lock: OwnedFd,
}

impl Ledger {
    /// Opens it; `None` where nothing was used yet.
    pub fn open(approvals: &Path) -> Result<Option<Self>, ApprovalsError> {
        let path = place(approvals);
        match walk::directory(&path, &Rule::STRICT) {
            Ok(directory) => Self::of(path, directory).map(Some),
            Err(error) if error.is_missing() => Ok(None),
            Err(source) => Err(untrusted(&path, source)),
        }
    }

    /// Opens it, and makes what is missing.
    pub fn make(approvals: &Path) -> Result<Self, ApprovalsError> {
        let path = place(approvals);
        make_directory(&path, 0o700).map_err(|error| match error {
            ApprovalsError::Place { source, .. } => untrusted(&path, source),
            error => error,
        })?;
        Self::open(approvals)?.ok_or_else(|| unrecorded(&path)(io::ErrorKind::NotFound.into()))
    }

    /// Root's would be trusted by a walk as well, and is not this user's to write.
    fn of(path: PathBuf, directory: OwnedFd) -> Result<Self, ApprovalsError> {
        let status = filesystem::status(&directory).map_err(unrecorded(&path))?;
        if status.uid != effective_uid() {
            return Err(ApprovalsError::Taken {
                path,
                by: status.uid,
            });
        }
        Ok(Self { path, directory })
    }

    /// Waits for others, for a moment.
    pub fn lock(&self) -> Result<Locked<'_>, ApprovalsError> {
        // A lock of its own, which ends with it, however hushpipe ends.
        let lock = filesystem::open_directory_at(&self.directory, ".");
        let lock = lock.map_err(unrecorded(&self.path))?;
        let taken = Lock::Exclusive.take_in_time(&lock);
        if !taken.map_err(unrecorded(&self.path))? {
            let busy = io::Error::new(io::ErrorKind::WouldBlock, "another launcher holds its lock");
            return Err(unrecorded(&self.path)(busy));
        }
        Ok(Locked {
            ledger: self,
            _lock: lock,
        })
    }

    /// How a request was used so far. What expired before records were pruned has ended, whatever the
    /// clock says now.
    pub fn read(&self, request: &Request) -> Result<Spent, ApprovalsError> {
        let spent = self.uses(&request.id)?;
        let ended = spent.ended || self.pruned()?.is_some_and(|pruned| pruned.covers(request));
        Ok(Spent { ended, ..spent })
    }

    /// The lines of a request's record.
    pub fn uses(&self, id: &RequestId) -> Result<Spent, ApprovalsError> {
        let bytes = self.file(id.as_str())?;
        Ok(bytes.map(|bytes| spent(&bytes)).unwrap_or_default())
    }

    /// What records are gone of; `None`: of nothing.
    fn pruned(&self) -> Result<Option<Pruned>, ApprovalsError> {
        let Some(bytes) = self.file(PRUNED)? else {
            return Ok(None);
        };
        let pruned = Pruned::parse(&bytes).ok_or_else(|| {
            let why = io::Error::new(io::ErrorKind::InvalidData, "it does not hold two times");
            unrecorded(&self.path.join(PRUNED))(why)
        });
        pruned.map(Some)
    }

    fn file(&self, name: &str) -> Result<Option<Vec<u8>>, ApprovalsError> {
        match beneath::read_file(&self.directory, name, MOST) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unrecorded(&self.path.join(name))(error)),
        }
    }

    fn add(&self, id: &RequestId, what: &str, now: Moment) -> Result<(), ApprovalsError> {
        let added = || {
            let mut file = beneath::open_to_append(&self.directory, id.as_str())?;
            // One write, so that a line is there or is not. The first byte ends one that was cut short.
            let before = filesystem::status(&file)?.size;
            let line = format!(
                "{}{what} {now}\n",
                if self.is_torn(id, before)? { "\n" } else { "" }
            );
            file.write_all(line.as_bytes())?;
            file.sync_data()?;
            durable::sync_names(&self.directory)
        };
        added().map_err(unrecorded(&self.path.join(id.as_str())))
    }

    fn is_torn(&self, id: &RequestId, size: u64) -> io::Result<bool> {
        if size == 0 {
            return Ok(false);
        }
        let bytes = beneath::read_file(&self.directory, id.as_str(), MOST)?;
        Ok(bytes.last().is_some_and(|byte| *byte != b'\n'))
    }
}

impl Locked<'_> {
    /// Puts a use on record. From then on it is spent, whatever happens.
    pub fn spend(&self, id: &RequestId, now: Moment) -> Result<(), ApprovalsError> {
        self.ledger.add(id, SPENT, now)
    }

    /// Puts on record that it has expired, so that it stays so if the clock is set back.
    pub fn end(&self, id: &RequestId, now: Moment) -> Result<(), ApprovalsError> {
        self.ledger.add(id, ENDED, now)
    }

    /// Removes the records of requests that have expired. That they have is on the disk before.
    pub fn prune(&self, expired: &[Request]) -> Result<(), ApprovalsError> {
        let ledger = self.ledger;
        if expired.is_empty() {
            return Ok(());
        }
        let pruned = expired.iter().fold(ledger.pruned()?, |pruned, request| {
            Some(Pruned::with(pruned, request))
        });
        let Some(pruned) = pruned else {
            return Ok(());
        };
        held::publish(
            &ledger.directory,
            PRUNED.as_ref(),
            pruned.to_string().as_bytes(),
        )
        .map_err(unrecorded(&ledger.path.join(PRUNED)))?;
        for request in expired {
            let name = request.id.as_str();
            filesystem::unlink_at(&ledger.directory, name)
                .map_err(unrecorded(&ledger.path.join(name)))?;
        }
        Ok(())
    }
}

/// The file that says what records are gone of.
const PRUNED: &str = "pruned";

/// Requests that were made until then and expired until then may have no record any more: they have ended,
/// also if the clock is set back. Both times count, so that a clock that was far ahead once ends no later
/// request.
#[derive(Clone, Copy, Debug)]
struct Pruned {
    created: Moment,
    expires: Moment,
}

impl Pruned {
    fn with(before: Option<Self>, request: &Request) -> Self {
        let (created, expires) = (request.created, request.expires);
        before.map_or(Self { created, expires }, |before| Self {
            created: before.created.max(created),
            expires: before.expires.max(expires),
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (created, expires) = text.trim_end().split_once(' ')?;
        Some(Self {
            created: created.parse().ok()?,
            expires: expires.parse().ok()?,
        })
    }

    fn covers(self, request: &Request) -> bool {
        request.created <= self.created && request.expires <= self.expires
    }
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.created, self.expires)
    }
}

const SPENT: &str = "spent";
const ENDED: &str = "expired";

/// Reads the lines. What is no line of hushpipe's counts as a use.
fn spent(bytes: &[u8]) -> Spent {
    let text = String::from_utf8_lossy(bytes);
    let mut spent = Spent::default();
    for line in text.lines() {
        let (what, time) = line.split_once(' ').unwrap_or((line, ""));
        let at = time.parse::<Moment>().ok();
        spent.latest = spent.latest.max(at);
        if what == ENDED && at.is_some() {
            spent.ended = true;
        } else {
            spent.uses = spent.uses.saturating_add(1);
        }
    }
    spent
}

fn place(approvals: &Path) -> PathBuf {
    approvals.join("uses").join(effective_uid().to_string())
}

fn untrusted(path: &Path, source: WalkError) -> ApprovalsError {
    match source.fault {
        WalkFault::Owner { uid, .. } if source.path == path => ApprovalsError::Taken {
            path: source.path,
            by: uid,
        },
        _ => ApprovalsError::Place {
            what: "the record of uses",
            source,
        },
    }
}

fn unrecorded(path: &Path) -> impl FnOnce(io::Error) -> ApprovalsError {
    let path = path.to_owned();
    move |source| ApprovalsError::Unrecorded { path, source }
}
