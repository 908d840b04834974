//! The log's directory: its files by name, below a descriptor that was walked to once.
//!
//! - `records.jsonl`, the current segment; `records-NNNNNNNNNNNN.jsonl`, those before, each by the number
//!   of its first record
//! - `tile/`, the tree
//! - `checkpoint`, its signed head
//! - `lock`, which whoever appends holds

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::error::LogError;
use super::tiles::Tile;
use super::tree::Hash;
use super::{checkpoint, record};
use crate::sys::filesystem::Kind;
use crate::sys::walk::{self, Links, Rule, WalkError, WalkFault, Writer};
use crate::sys::{beneath, durable, filesystem, held};

/// The current segment.
pub const RECORDS: &str = "records.jsonl";
/// The tree's signed head.
pub const CHECKPOINT: &str = "checkpoint";
/// Held while records are added.
pub const LOCK: &str = "lock";

/// Root and this user alone.
const RULE: Rule<'static> = Rule {
    links: Links::Follow,
    ..Rule::STRICT
};

/// Open for reading, and for writing where the user may.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    /// Of the files in it: their owner's alone, or the directory's group may read them as well.
    mode: u32,
    /// The group of the directory, and so of all in it.
    group: u32,
}

impl Directory {
    /// Walks to it.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        Self::of(walk::directory(path, &RULE)?, path)
    }

    /// Walks to it, and makes it (0700) where it is not there.
    pub fn make(path: &Path) -> Result<Self, LogError> {
        Self::of(held::make_directories(path, &RULE)?, path)
    }

    fn of(fd: OwnedFd, path: &Path) -> Result<Self, LogError> {
        let status = filesystem::status(&fd).map_err(LogError::system("look at", path))?;
        let mode = 0o600 | status.mode & 0o040;
        let path = path.to_owned();
        Ok(Self {
            fd,
            path,
            mode,
            group: status.gid,
        })
    }

    /// Its path, or that of something in it.
    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Opens the lock.
    pub fn lock(&self) -> Result<OwnedFd, LogError> {
        let opened = filesystem::open_marker_at(&self.fd, LOCK);
        let lock = opened.map_err(LogError::system("open", self.at(LOCK)))?;
        self.check(&lock, LOCK)?;
        Ok(lock)
    }

    /// Of a file in it: its mode, and its group.
    const fn ownership(&self) -> (u32, Option<u32>) {
        (self.mode, Some(self.group))
    }

    /// Whether a file of it is root's or this user's alone, as the directory is.
    fn check(&self, file: impl AsFd, name: &str) -> Result<(), LogError> {
        let path = self.at(name);
        let found = filesystem::status(file).map_err(LogError::system("look at", &path))?;
        let writable = |by| WalkFault::Writable {
            by,
            mode: found.mode,
        };
        let fault = match found {
            found if found.kind != Kind::File => WalkFault::NotFile(found.kind),
            found if ![0, filesystem::effective_uid()].contains(&found.uid) => WalkFault::Owner {
                uid: found.uid,
                unmapped: false,
            },
            found if found.mode & 0o002 != 0 => writable(Writer::Everybody),
            found if found.mode & 0o020 != 0 => writable(Writer::Group(found.gid)),
            found if found.links > 1 => WalkFault::Linked,
            _ => return Ok(()),
        };
        Err(WalkError { path, fault }.into())
    }

    /// What stands at a name: its filesystem, number there, and size. `None`: nothing.
    pub fn status(&self, name: &str) -> Result<Option<filesystem::Status>, LogError> {
        let found = filesystem::status_at(&self.fd, name);
        found.map_err(LogError::system("look at", self.at(name)))
    }

    /// Opens the current segment to add to it, and makes it where it is not there.
    pub fn open_records(&self) -> Result<File, LogError> {
        let is_new = self.status(RECORDS)?.is_none();
        let opened = beneath::open_to_append(&self.fd, RECORDS).and_then(|file| {
            if is_new {
                filesystem::give_to_group(&file, Some(self.group))?;
                filesystem::change_mode(&file, self.mode)?;
                durable::sync_names(&self.fd)?;
            }
            Ok(file)
        });
        let records = opened.map_err(LogError::system("write", self.at(RECORDS)))?;
        self.check(&records, RECORDS)?;
        Ok(records)
    }

    /// Gives the current segment the name that it has from then on.
    pub fn close_records(&self, first: u64) -> Result<(), LogError> {
        let name = segment(first);
        let renamed = filesystem::rename_new_at(&self.fd, RECORDS, &name);
        let renamed = renamed.and_then(|()| durable::sync_names(&self.fd));
        renamed.map_err(LogError::system("rename to", self.at(name)))
    }

    /// Opens a file of records for reading. `None`: it is not there.
    pub fn open_segment(&self, name: &str) -> Result<Option<File>, LogError> {
        match filesystem::open_standing_marker_at(&self.fd, name) {
            Ok(file) => Ok(Some(file.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::system("read", self.at(name))(error)),
        }
    }

    /// The numbers of the first records of the closed segments, in order.
    pub fn segments(&self) -> Result<Vec<u64>, LogError> {
        let names = self.names(Path::new("."))?;
        let mut found: Vec<u64> = names
            .iter()
            .filter_map(|name| {
                let number = name
                    .to_str()?
                    .strip_prefix("records-")?
                    .strip_suffix(".jsonl")?;
                let first = number.parse().ok()?;
                (segment(first) == name.to_str()?).then_some(first)
            })
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Removes a closed segment.
    pub fn remove_segment(&self, first: u64) -> Result<(), LogError> {
        let name = segment(first);
        let removed = filesystem::unlink_at(&self.fd, &name);
        removed.map_err(LogError::system("remove", self.at(name)))
    }

    /// The names in a directory below it; none, where there is no such directory.
    pub fn names(&self, way: &Path) -> Result<Vec<OsString>, LogError> {
        let names = beneath::enter(&self.fd, way).and_then(filesystem::entries);
        match names {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names.map_err(LogError::system("read", self.at(way))),
        }
    }

    /// The signed head. `None`: there is none yet.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, LogError> {
        let read = beneath::read_file(&self.fd, CHECKPOINT, checkpoint::LONGEST);
        missing(read).map_err(LogError::system("read", self.at(CHECKPOINT)))
    }

    /// Puts a signed head in place, once it is on the disk.
    pub fn write_checkpoint(&self, note: &str) -> Result<(), LogError> {
        let name = OsStr::new(CHECKPOINT);
        let written = durable::replace_for(&self.fd, name, note.as_bytes(), self.ownership());
        written.map_err(LogError::system("write", self.at(CHECKPOINT)))
    }

    /// The hashes of a tile. `None`: it is not there, or has another length.
    pub fn tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, LogError> {
        const SIZE: usize = size_of::<Hash>();
        let (way, name) = tile.place();
        let directory = beneath::enter(&self.fd, &PathBuf::from_iter(way));
        let read = directory.and_then(|directory| {
            beneath::read_file(directory, &name, (super::tiles::WIDTH * SIZE) as u64 + 1)
        });
        let bytes = missing(read).map_err(LogError::system("read", self.at(tile.path())))?;
        let bytes = bytes.filter(|bytes| bytes.len() == tile.width * SIZE);
        let (hashes, _) = match &bytes {
            Some(bytes) => bytes.as_chunks::<SIZE>(),
            None => return Ok(None),
        };
        Ok(Some(hashes.to_vec()))
    }

    /// Writes a tile. Full ones are on the disk before this returns: they are not written again.
    pub fn write_tile(&self, tile: Tile, hashes: &[Hash]) -> Result<(), LogError> {
        let (way, name) = tile.place();
        let written = self.enter(&way).and_then(|directory| {
            let bytes = hashes.as_flattened();
            if tile.width == super::tiles::WIDTH {
                return durable::replace_for(
                    &directory,
                    OsStr::new(&name),
                    bytes,
                    self.ownership(),
                );
            }
            let new = format!("{name}.new");
            filesystem::unlink_at(&directory, &new)?;
            let file = filesystem::make_file_at(&directory, &new)?;
            filesystem::give_to_group(&file, Some(self.group))?;
            filesystem::change_mode(&file, self.mode)?;
            filesystem::write_all(&file, bytes)?;
            filesystem::rename_at(&directory, &new, &name)
        });
        written.map_err(LogError::system("write", self.at(tile.path())))
    }

    /// Removes the partial tiles of one that is full by now.
    pub fn remove_partial(&self, full: Tile) -> Result<(), LogError> {
        let (way, name) = full.place();
        let (way, name) = (PathBuf::from_iter(way), format!("{name}.p"));
        let removed = beneath::enter(&self.fd, &way).and_then(|directory| {
            let partial = match filesystem::open_directory_at(&directory, &name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                partial => partial?,
            };
            for width in filesystem::entries(&partial)? {
                filesystem::unlink_at(&partial, width)?;
            }
            filesystem::remove_directory_at(directory, &name)
        });
        removed.map_err(LogError::system("remove", self.at(way.join(name))))
    }

    /// Goes down, and makes what is missing.
    fn enter(&self, way: &[String]) -> io::Result<OwnedFd> {
        let mut here = filesystem::open_directory_at(&self.fd, ".")?;
        for name in way {
            here = match filesystem::open_directory_at(&here, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let mode = 0o700 | self.mode & 0o040 | (self.mode & 0o040) >> 2;
                    let made = filesystem::make_directory_at(&here, name, mode)?;
                    filesystem::give_to_group(&made, Some(self.group))?;
                    durable::sync_names(&here)?;
                    made
                }
                entered => entered?,
            };
        }
        Ok(here)
    }
}

/// The name of a closed segment.
pub fn segment(first: u64) -> String {
    format!("records-{first:012}.jsonl")
}

/// Where lines end: whole ones, and the bytes of one that does not.
pub fn whole(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memrchr(b'\n', bytes).map_or(0, |last| last + 1);
    bytes.split_at(end)
}

/// The lines, without their ends.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest)?;
        let (line, after) = rest.split_at(end);
        rest = &after[1..];
        Some(line)
    })
}

/// The number that the first line of a file begins with. `None`: it has none, or is no record.
pub fn first_seq(file: &File) -> io::Result<Option<u64>> {
    use std::os::unix::fs::FileExt as _;
    let mut start = [0; 32];
    let read = file.read_at(&mut start, 0)?;
    Ok(record::seq(&start[..read]))
}

/// The time of the first line of a file (RFC 3339). `None`: it has none, or is no record.
pub fn first_time(file: &File) -> io::Result<Option<String>> {
    use std::os::unix::fs::FileExt as _;
    let mut start = [0; 96];
    let read = file.read_at(&mut start, 0)?;
    let start = &start[..read];
    let rest = record::seq(start).and_then(|seq| {
        let head = format!("{{\"seq\":{seq},\"time\":\"");
        start.strip_prefix(head.as_bytes())
    });
    let time =
        rest.and_then(|rest| std::str::from_utf8(rest.split(|byte| *byte == b'"').next()?).ok());
    Ok(time.map(str::to_owned))
}

fn missing<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
