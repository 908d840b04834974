//! Follows a log: gives its records in order, as they are added, over segments and what others cut off.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::archive::Archive;
use super::directory::{RECORDS, first_seq, lines, segment, whole};
use super::error::LogError;
use super::record;
use crate::sys::filesystem;

/// How much is read at once.
const BLOCK: usize = 256 << 10;

/// Follows a log from a record on. It takes no lock, and holds one file open.
#[derive(Debug)]
pub struct Tail {
    archive: Archive,
    open: Option<Open>,
    next: u64,
}

/// The segment that is read.
#[derive(Debug)]
struct Open {
    file: File,
    identity: (u64, u64),
    /// Where the next record is to be.
    offset: u64,
    name: String,
}

/// A record that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tailed {
    /// Its number.
    pub seq: u64,
    /// Its line, without the end.
    pub line: Vec<u8>,
}

/// What keeps a log from being followed where it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// Records were pruned before they were read: it goes on at this one.
    Pruned(u64),
    /// The log has fewer records than were read: it is another one, which begins at this one.
    Replaced(u64),
}

impl Tail {
    /// From record `next` on.
    pub const fn new(archive: Archive, next: u64) -> Self {
        Self {
            archive,
            open: None,
            next,
        }
    }

    /// The number of the record that comes next.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The records that are there, at most so many, of at most so many bytes beside the first one. Those that
    /// are given are not given again, but after [`Tail::rewind`].
    pub fn read(
        &mut self,
        most: usize,
        bytes: usize,
    ) -> Result<(Vec<Tailed>, Option<Jump>), LogError> {
        let jump = match &self.open {
            Some(_) => None,
            None => self.find()?,
        };
        let (mut found, mut length) = (Vec::new(), 0);
        while found.len() < most && length < bytes {
            let Some(open) = &mut self.open else {
                break;
            };
            let block = open
                .block()
                .map_err(LogError::system("read", self.archive.at(&open.name)))?;
            let (complete, _) = whole(&block);
            if complete.is_empty() {
                if self.is_left()? {
                    continue;
                }
                break;
            }
            for line in lines(complete) {
                if record::seq(line) != Some(self.next) {
                    // It was cut off meanwhile, or is none of ours: `verify` says which.
                    self.open = None;
                    let why = format!("record {} is not where it belongs", self.next);
                    return if found.is_empty() {
                        Err(LogError::damaged(self.archive.at(RECORDS), why))
                    } else {
                        Ok((found, jump))
                    };
                }
                if found.len() == most || length >= bytes {
                    break;
                }
                length += line.len();
                open.offset += line.len() as u64 + 1;
                found.push(Tailed {
                    seq: self.next,
                    line: line.to_vec(),
                });
                self.next += 1;
            }
        }
        Ok((found, jump))
    }

    /// Goes back to a record.
    pub fn rewind(&mut self, next: u64) {
        self.next = next;
        self.open = None;
    }

    /// Whether the segment that is read to its end was closed, and the next one is open.
    fn is_left(&mut self) -> Result<bool, LogError> {
        let Some(open) = &self.open else {
            return Ok(false);
        };
        let current = self.archive.directory.status(RECORDS)?;
        let current = current.map(|status| (status.device, status.inode));
        if current.is_none() || current == Some(open.identity) {
            let size = open.file.metadata().map(|file| file.len());
            let size = size.map_err(LogError::system("look at", self.archive.at(RECORDS)))?;
            if size < open.offset {
                self.open = None;
            }
            return Ok(false);
        }
        let after = self.archive.directory.segments()?;
        let name = if after.contains(&self.next) {
            segment(self.next)
        } else {
            RECORDS.to_owned()
        };
        let next = self.opened(&name, 0)?;
        let fits = match &next {
            Some(next) => {
                let first = first_seq(&next.file);
                let first = first.map_err(LogError::system("read", self.archive.at(&name)))?;
                first.is_none_or(|first| first == self.next)
            }
            None => false,
        };
        // Else one that was closed is not seen under its new name yet.
        self.open = next.filter(|_| fits);
        Ok(fits)
    }

    fn opened(&self, name: &str, offset: u64) -> Result<Option<Open>, LogError> {
        let Some(file) = self.archive.directory.open_segment(name)? else {
            return Ok(None);
        };
        let status = filesystem::status(&file);
        let status = status.map_err(LogError::system("look at", self.archive.at(name)))?;
        Ok(Some(Open {
            file,
            identity: (status.device, status.inode),
            offset,
            name: name.to_owned(),
        }))
    }

    /// Opens the segment that the next record is in, or is to come to.
    fn find(&mut self) -> Result<Option<Jump>, LogError> {
        // A segment that is closed meanwhile is found under its new name.
        let current = self.opened(RECORDS, 0)?;
        let read = LogError::system("read", self.archive.at(RECORDS));
        let first = match &current {
            Some(current) => first_seq(&current.file).map_err(read)?,
            None => None,
        };
        let segments = self.archive.directory.segments()?;
        let oldest = segments.first().copied().or(first);
        let mut jump = None;
        if let Some(oldest) = oldest.filter(|oldest| *oldest > self.next) {
            self.next = oldest;
            jump = Some(Jump::Pruned(oldest));
        }
        let closed = segments.iter().rev().find(|first| **first <= self.next);
        let found = match (first, closed) {
            (Some(first), _) if first <= self.next => current,
            (_, Some(closed)) => self.opened(&segment(*closed), 0)?,
            _ => current,
        };
        self.open = found;
        if let Some(replaced) = self.seek()? {
            self.next = replaced;
            self.open = None;
            return Ok(Some(Jump::Replaced(replaced)));
        }
        Ok(jump)
    }

    /// Goes to the next record within its segment. What it gives: there are fewer records than that, and the
    /// first one that is there.
    fn seek(&mut self) -> Result<Option<u64>, LogError> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let (mut at, mut last) = (0, None);
        loop {
            open.offset = at;
            let block = open.block();
            let path = self.archive.at(&open.name);
            let block = block.map_err(LogError::system("read", path))?;
            let (complete, _) = whole(&block);
            if complete.is_empty() {
                break;
            }
            for line in lines(complete) {
                let seq = record::seq(line);
                if seq == Some(self.next) {
                    open.offset = at;
                    return Ok(None);
                }
                last = seq.or(last);
                at += line.len() as u64 + 1;
            }
        }
        open.offset = at;
        let end = last.map_or(0, |last| last + 1);
        let is_closed = open.name != RECORDS;
        if end >= self.next || last.is_none() && self.next == 0 {
            return Ok(None);
        }
        if last.is_none() {
            // An empty segment follows the closed ones.
            let any = !self.archive.directory.segments()?.is_empty();
            return Ok((!any).then_some(0));
        }
        let first = first_seq(&open.file);
        let first = first.map_err(LogError::system("read", self.archive.at(&open.name)))?;
        Ok((!is_closed).then_some(first.unwrap_or(0)))
    }
}

impl Open {
    /// Bytes from where the next record is to be: whole lines, if there is one.
    fn block(&self) -> io::Result<Vec<u8>> {
        let mut length = BLOCK;
        loop {
            let mut bytes = vec![0; length];
            let mut read = 0;
            while read < length {
                match self
                    .file
                    .read_at(&mut bytes[read..], self.offset + read as u64)
                {
                    Ok(0) => break,
                    Ok(count) => read += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(read);
            let is_whole = memchr::memchr(b'\n', &bytes).is_some();
            if is_whole || read < length || length > record::LONGEST {
                return Ok(bytes);
            }
            length *= 4;
        }
    }
}
