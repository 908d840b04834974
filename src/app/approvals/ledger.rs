//! Uses of approvals on record: `DIRECTORY/uses/UID/ID`, a line each, added under a lock and on the disk
//! before anything is delivered. A line that a crash cut short counts as a use: never one too many.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::error::ApprovalsError;
use super::place::make_directory;
use crate::approval::{Moment, RequestId, Spent};
use crate::sys::filesystem::{self, effective_uid};
use crate::sys::held::Lock;
use crate::sys::walk::{self, Rule};
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
            Err(source) => Err(ApprovalsError::Place {
                what: "the record of uses",
                source,
            }),
        }
    }

    /// Opens it, and makes what is missing.
    pub fn make(approvals: &Path) -> Result<Self, ApprovalsError> {
        let path = place(approvals);
        make_directory(&path, 0o700)?;
        Self::open(approvals)?.ok_or_else(|| unrecorded(&path)(io::ErrorKind::NotFound.into()))
    }

    /// Root's would be trusted by a walk as well, and is not this user's to write.
    fn of(path: PathBuf, directory: OwnedFd) -> Result<Self, ApprovalsError> {
        let status = filesystem::status(&directory).map_err(unrecorded(&path))?;
        if status.uid != effective_uid() {
            return Err(unrecorded(&path)(io::ErrorKind::PermissionDenied.into()));
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

    /// How a request was used so far.
    pub fn read(&self, id: &RequestId) -> Result<Spent, ApprovalsError> {
        match beneath::read_file(&self.directory, id.as_str(), MOST) {
            Ok(bytes) => Ok(spent(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Spent::default()),
            Err(error) => Err(unrecorded(&self.path.join(id.as_str()))(error)),
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
    /// How a request was used so far.
    pub fn read(&self, id: &RequestId) -> Result<Spent, ApprovalsError> {
        self.ledger.read(id)
    }

    /// Puts a use on record. From then on it is spent, whatever happens.
    pub fn spend(&self, id: &RequestId, now: Moment) -> Result<(), ApprovalsError> {
        self.ledger.add(id, SPENT, now)
    }

    /// Puts on record that it has expired, so that it stays so if the clock is set back.
    pub fn end(&self, id: &RequestId, now: Moment) -> Result<(), ApprovalsError> {
        self.ledger.add(id, ENDED, now)
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

fn unrecorded(path: &Path) -> impl FnOnce(io::Error) -> ApprovalsError {
    let path = path.to_owned();
    move |source| ApprovalsError::Unrecorded { path, source }
}
