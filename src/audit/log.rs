//! Adding to the log. Several processes do, each under the lock: whoever has it takes in what the others
//! added, adds its own by one write(2), and gives it back. A process that is killed loses the lock with
//! its descriptors (flock(2)).
//!
//! A record is confirmed once its line is written, and on the disk (fdatasync(2)) where that is wanted.
//! Tiles and the signed head follow: [`Hold::sign`].

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::archive::Archive;
use super::checkpoint::Checkpoint;
use super::directory::{Directory, LOCK, RECORDS, first_time, segment};
use super::error::LogError;
use super::keyfile;
use super::load::State;
use super::note::{Kind as KeyKind, SignerKey, is_name};
use super::record::{self, Draft, Entry, Kind, Writer};
use super::tiles::Tile;
use super::tree;
use crate::model::chain;
use crate::sys::filesystem;

/// So many records at most go without a signed head.
pub const SIGN_EVERY: u64 = 100;

/// A segment that is larger is closed.
const SEGMENT: u64 = 64 << 20;

/// Where a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of the records.
    pub directory: PathBuf,
    /// Of the key of its head.
    pub key_file: PathBuf,
}

/// A log that is added to.
#[derive(Debug)]
pub struct Log {
    archive: Archive,
    lock: OwnedFd,
    key: SignerKey,
    state: Option<State>,
    /// What is known of it may not hold: it is read anew.
    broken: bool,
    /// How many records it had: it never has fewer, whatever happens to what no head covers yet.
    seen: u64,
    segment: u64,
    retain: Option<Duration>,
}

impl Log {
    /// Opens a log, or begins one: makes its directory (0700) and its key (0600). `host` names the key.
    pub fn open(place: &Place, host: &str) -> Result<Self, LogError> {
        let directory = Directory::make(&place.directory)?;
        let lock = directory.lock()?;
        let key = match keyfile::read(&place.key_file)? {
            Some(key) => key,
            None => first_key(place, &directory, &lock, host)?,
        };
        Ok(Self {
            archive: Archive { directory },
            lock,
            key,
            state: None,
            broken: false,
            seen: 0,
            segment: SEGMENT,
            retain: None,
        })
    }

    /// With segments of another size.
    #[must_use]
    pub fn with_segments(self, segment: u64) -> Self {
        Self { segment, ..self }
    }

    /// Whoever closes a segment removes those whose records are all older than that. `None`: nobody does.
    #[must_use]
    pub fn with_retention(self, retain: Option<Duration>) -> Self {
        Self { retain, ..self }
    }

    /// The key of its head.
    pub const fn key(&self) -> &SignerKey {
        &self.key
    }

    /// Takes the lock. `None`: another process has it.
    pub fn try_hold(&mut self) -> Result<Option<Hold<'_>>, LogError> {
        let path = self.archive.at(LOCK);
        let taken = filesystem::try_lock(&self.lock).map_err(LogError::system("lock", path))?;
        if !taken {
            return Ok(None);
        }
        let mut hold = Hold { log: self };
        hold.catch_up()?;
        Ok(Some(hold))
    }

    /// Takes the lock, with patience.
    pub fn hold(&mut self, patience: Duration) -> Result<Hold<'_>, LogError> {
        let until = Instant::now() + patience;
        let path = self.archive.at(LOCK);
        loop {
            if filesystem::try_lock(&self.lock).map_err(LogError::system("lock", &path))? {
                break;
            }
            if Instant::now() > until {
                let waited = patience;
                return Err(LogError::Locked { path, waited });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut hold = Hold { log: self };
        hold.catch_up()?;
        Ok(hold)
    }

    /// What is said where the lock was not had.
    pub fn locked(&self, waited: Duration) -> LogError {
        let path = self.archive.at(LOCK);
        LogError::Locked { path, waited }
    }
}

/// The lock of a log, and the log as it is.
#[derive(Debug)]
pub struct Hold<'a> {
    log: &'a mut Log,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        // It is given up with the descriptor at the latest; the next one to append says what is wrong.
        filesystem::unlock(&self.log.lock).ok();
    }
}

impl Hold<'_> {
    fn state(&mut self) -> &mut State {
        self.log.state.as_mut().expect("it was read with the lock")
    }

    fn directory(&self) -> &Directory {
        &self.log.archive.directory
    }

    /// Takes in what others did. On an error the log is read anew next time.
    fn catch_up(&mut self) -> Result<(), LogError> {
        let broken = std::mem::take(&mut self.log.broken);
        let state = self.log.state.take().filter(|_| !broken);
        let status = self.directory().status(RECORDS)?;
        let state = state.filter(|state| {
            status.is_some_and(|status| {
                (status.device, status.inode) == state.identity && status.size >= state.end
            })
        });
        let key = self.log.key.verifier();
        self.log.state = Some(match state {
            Some(state) if status.is_some_and(|status| status.size == state.end) => state,
            Some(mut state) => {
                state.catch_up(&self.log.archive.directory)?;
                state
            }
            None => State::load(&self.log.archive, key)?,
        });
        let (size, seen) = (self.size(), self.log.seen);
        if size < seen {
            self.log.state = None;
            let why = format!("it has {size} records, and had {seen} before");
            return Err(LogError::damaged(self.directory().at(RECORDS), why));
        }
        self.log.seen = size;
        Ok(())
    }

    /// How many records there are.
    pub fn size(&mut self) -> u64 {
        self.state().edge.size()
    }

    /// Adds records, in one write; `sync`: they are on the disk when this returns. Gives the number of the
    /// first of them. On an error none of them is there, or all are: what was written is taken away again
    /// where that is possible.
    pub fn append(&mut self, drafts: &[Draft], by: &Writer, sync: bool) -> Result<u64, LogError> {
        let segment = self.log.segment;
        if self.state().end >= segment {
            self.roll()?;
            self.retire(by);
        }
        let found: Vec<Draft> = self
            .state()
            .recovered
            .iter()
            .cloned()
            .map(Draft::now)
            .collect();
        let size = self.size();
        let (mut bytes, mut leaves) = (Vec::with_capacity(512 * drafts.len()), Vec::new());
        for (seq, draft) in (size..).zip(found.iter().chain(drafts)) {
            let start = bytes.len();
            draft.write(seq, by, &mut bytes);
            if bytes.len() - start > record::LONGEST {
                let why = "a record of more than 4 MiB cannot be added";
                return Err(LogError::damaged(self.directory().at(RECORDS), why));
            }
            leaves.push(tree::leaf(&bytes[start..bytes.len() - 1]));
        }
        self.write(&bytes, sync)?;
        let state = self.state();
        state.recovered.clear();
        state.end += bytes.len() as u64;
        for leaf in leaves {
            state.push(leaf);
        }
        self.log.seen = self.size();
        Ok(size + found.len() as u64)
    }

    fn write(&mut self, bytes: &[u8], sync: bool) -> Result<(), LogError> {
        let path = self.directory().at(RECORDS);
        let state = self.state();
        let written = filesystem::write_all(&state.records, bytes).and_then(|()| {
            let records = &state.records;
            if sync { records.sync_data() } else { Ok(()) }
        });
        if written.is_err() {
            // If it cannot be cut off now, whoever appends next finds it.
            state.records.set_len(state.end).ok();
            self.log.broken = true;
        }
        written.map_err(LogError::system("write", path))
    }

    /// Whether a signed head is due.
    pub fn is_due(&mut self) -> bool {
        let state = self.state();
        state.edge.size() - state.signed >= SIGN_EVERY
    }

    /// Signs the log as it is, if there is anything new: records first, then tiles, then the head.
    pub fn sign(&mut self) -> Result<(), LogError> {
        self.see_others()?;
        let size = self.size();
        if self.state().signed == size {
            return Ok(());
        }
        let path = self.directory().at(RECORDS);
        let synced = self.state().records.sync_data();
        synced.map_err(LogError::system("write", path))?;
        let directory = &self.log.archive.directory;
        let state = self.log.state.as_mut().expect("it was read with the lock");
        for (tile, hashes) in &state.full {
            directory.write_tile(*tile, hashes)?;
        }
        for (tile, hashes) in state.edge.partial() {
            directory.write_tile(tile, hashes)?;
        }
        let head = Checkpoint {
            origin: self.log.key.verifier().name().to_owned(),
            size,
            root: state.edge.root(),
        };
        directory.write_checkpoint(&head.sign(&self.log.key))?;
        state.signed = size;
        for (tile, _) in state.full.drain(..) {
            directory.remove_partial(tile)?;
        }
        Ok(())
    }

    /// Another process may have signed since; it wrote the tiles as well.
    fn see_others(&mut self) -> Result<(), LogError> {
        let head = self.log.archive.checkpoint(self.log.key.verifier())?;
        let size = head.map_or(0, |head| head.size);
        let state = self.state();
        if size < state.signed || size > state.edge.size() {
            let why = format!(
                "it covers {size} records; it covered {}, and there are {}",
                state.signed,
                state.edge.size()
            );
            return Err(LogError::damaged(
                self.directory().at(super::directory::CHECKPOINT),
                why,
            ));
        }
        state.signed = size;
        let is_new = |tile: &Tile| tile.index >= Tile::count(tile.level, size);
        state.full.retain(|(tile, _)| is_new(tile));
        Ok(())
    }

    /// Closes the current segment: all of it is under the signed head.
    fn roll(&mut self) -> Result<(), LogError> {
        self.sign()?;
        let first = self.state().first;
        self.directory().close_records(first)?;
        let records = self.directory().open_records()?;
        let (path, size) = (self.directory().at(RECORDS), self.size());
        let status = filesystem::status(&records);
        let status = status.map_err(LogError::system("look at", path))?;
        let state = self.state();
        state.records = records;
        state.identity = (status.device, status.inode);
        (state.end, state.first) = (0, size);
        Ok(())
    }

    /// Removes what is older than the site keeps. That it cannot be removed keeps nobody from adding records: it
    /// is on record.
    fn retire(&mut self, by: &Writer) {
        let Some(before) = self
            .log
            .retain
            .and_then(|age| SystemTime::now().checked_sub(age))
        else {
            return;
        };
        let removed = self.older(before).and_then(|below| match below {
            Some(below) => self.prune(below, by).map(drop),
            None => Ok(()),
        });
        if let Err(error) = removed {
            let text = format!("old records could not be removed: {}", chain(&error));
            let entry = Entry::new(Kind::Recovered).saying(text).failed();
            self.state().recovered.push(entry);
        }
    }

    /// The first record that is not in a segment whose records are all older than that: the first one of the
    /// next segment is older as well.
    fn older(&self, before: SystemTime) -> Result<Option<u64>, LogError> {
        let before = humantime::format_rfc3339_micros(before).to_string();
        let mut below = None;
        for first in self.directory().segments()? {
            let name = segment(first);
            let Some(file) = self.directory().open_segment(&name)? else {
                break;
            };
            let time =
                first_time(&file).map_err(LogError::system("read", self.directory().at(&name)))?;
            if time.is_none_or(|time| time >= before) {
                break;
            }
            below = Some(first);
        }
        Ok(below)
    }

    /// Removes the closed segments whose records are all older than number `below`, and records that.
    /// Tiles stay, and the tree with them. Gives the number of the first record that is left.
    pub fn prune(&mut self, below: u64, by: &Writer) -> Result<u64, LogError> {
        let mut segments = self.directory().segments()?;
        segments.push(self.state().first);
        let kept = segments
            .partition_point(|first| *first <= below)
            .saturating_sub(1);
        let oldest = segments[kept];
        if kept == 0 {
            return Ok(oldest);
        }
        let mut entry = Entry::new(Kind::Pruned);
        entry.below = Some(oldest);
        self.append(&[Draft::now(entry)], by, true)?;
        self.sign()?;
        for first in &segments[..kept] {
            self.directory().remove_segment(*first)?;
        }
        Ok(oldest)
    }
}

/// How long the key of a log that begins is waited for, where another launcher makes it.
const MAKING: Duration = Duration::from_secs(5);

/// The key of a log that has none yet. Launchers that begin it at once make one key: whoever has the lock.
fn first_key(
    place: &Place,
    directory: &Directory,
    lock: &OwnedFd,
    host: &str,
) -> Result<SignerKey, LogError> {
    let path = directory.at(LOCK);
    let until = Instant::now() + MAKING;
    while !filesystem::try_lock(lock).map_err(LogError::system("lock", &path))? {
        if Instant::now() > until {
            let waited = MAKING;
            return Err(LogError::Locked { path, waited });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let key = key(place, directory, host);
    filesystem::unlock(lock).map_err(LogError::system("unlock", &path))?;
    key
}

/// Reads the key, or makes it for a log that begins.
fn key(place: &Place, directory: &Directory, host: &str) -> Result<SignerKey, LogError> {
    let path = &place.key_file;
    if let Some(key) = keyfile::read(path)? {
        return Ok(key);
    }
    let begun = directory.status(super::directory::CHECKPOINT)?.is_some()
        || directory
            .status(RECORDS)?
            .is_some_and(|status| status.size > 0)
        || !directory.segments()?.is_empty();
    if begun {
        return Err(LogError::KeyMissing {
            key: path.clone(),
            log: place.directory.clone(),
        });
    }
    let name = format!(
        "{}/hushpipe",
        if is_name(host) { host } else { "localhost" }
    );
    keyfile::make(path, &name, KeyKind::Ed25519)
}
