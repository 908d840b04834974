//! Where a log is, for whoever adds to it: from its signed head and the tiles beside it, and the records
//! after that. What a crash left is cut off or made anew, and said.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::archive::{Archive, Tiles, read_from};
use super::checkpoint::Checkpoint;
use super::directory::{
    CHECKPOINT, Directory, RECORDS, first_seq, first_time, lines, segment, whole,
};
use super::error::LogError;
use super::note::VerifierKey;
use super::record::{self, Cut, Entry, Kind};
use super::tiles::{Edge, HEIGHT, Tile, WIDTH};
use super::tree::{self, Hash};
use crate::model::hex;

/// More records than this are never without a signed head: twice what a launcher waits for, and what several
/// add beside it.
const UNSIGNED: u64 = 1_000;
/// Nor are there any for longer than this.
const SOON: Duration = Duration::from_mins(1);

/// The state of a log under its lock.
#[derive(Debug)]
pub struct State {
    /// The tree up to the last record.
    pub edge: Edge,
    /// The current segment.
    pub records: File,
    /// Which file that is.
    pub identity: (u64, u64),
    /// Where the next record goes.
    pub end: u64,
    /// The number of the segment's first record.
    pub first: u64,
    /// The size of the signed head.
    pub signed: u64,
    /// Full tiles since then.
    pub full: Vec<(Tile, Vec<Hash>)>,
    /// What was cut off or made anew, to be recorded.
    pub recovered: Vec<Entry>,
}

impl State {
    /// Reads as much as there is to know, whatever the size of the log.
    pub fn load(archive: &Archive, key: &VerifierKey) -> Result<Self, LogError> {
        let directory = &archive.directory;
        let head = archive.checkpoint(key)?;
        let size = head.as_ref().map_or(0, |head| head.size);
        let records = directory.open_records()?;
        let at = |name: &str| directory.at(name);
        let status = crate::sys::filesystem::status(&records);
        let status = status.map_err(LogError::system("look at", at(RECORDS)))?;
        let mut recovered = Vec::new();
        let edge = match &head {
            Some(head) => edge(archive, head, &mut recovered)?,
            None => Edge::default(),
        };
        let first = first(directory, &records, size)?;
        let offset = find(&records, size, first).map_err(LogError::system("read", at(RECORDS)))?;
        let offset = offset.ok_or_else(|| {
            let why =
                format!("the checkpoint covers {size} records, and not all of them are there");
            LogError::damaged(at(RECORDS), why)
        })?;
        let mut state = Self {
            edge,
            records,
            identity: (status.device, status.inode),
            end: offset,
            first,
            signed: size,
            full: Vec::new(),
            recovered,
        };
        state.catch_up(directory)?;
        if head.is_none() {
            state.unsigned(directory)?;
        }
        Ok(state)
    }

    /// There is no signed head. A log that has just begun has none yet; else somebody took it away, and may have
    /// changed the records.
    fn unsigned(&mut self, directory: &Directory) -> Result<(), LogError> {
        let count = self.edge.size();
        let tiles = !directory.names(Path::new("tile"))?.is_empty();
        if count > UNSIGNED {
            let why = format!("it is missing, and {count} records are there");
            return Err(LogError::damaged(directory.at(CHECKPOINT), why));
        }
        let time =
            first_time(&self.records).map_err(LogError::system("read", directory.at(RECORDS)))?;
        let time = time.and_then(|time| humantime::parse_rfc3339(&time).ok());
        let age = time.and_then(|time| time.elapsed().ok());
        // A launcher that was killed while it signed for the first time leaves tiles alone.
        if tiles || age.is_some_and(|age| age > SOON) {
            let text =
                format!("the checkpoint was missing: {count} records before this were not signed");
            self.recovered
                .push(Entry::new(Kind::Recovered).saying(text).failed());
        }
        Ok(())
    }

    /// Takes in what others added since, and cuts off what was not written to its end.
    pub fn catch_up(&mut self, directory: &Directory) -> Result<(), LogError> {
        let path = directory.at(RECORDS);
        let bytes = read_from(&self.records, self.end);
        let bytes = bytes.map_err(LogError::system("read", &path))?;
        let (mut taken, (complete, _)) = (0, whole(&bytes));
        for line in lines(complete) {
            if record::seq(line) != Some(self.edge.size()) {
                // A power cut leaves blocks that were never written: zeros.
                if bytes[taken..].contains(&0) {
                    break;
                }
                let why = format!("record {} is not where it belongs", self.edge.size());
                return Err(LogError::damaged(path, why));
            }
            self.push(tree::leaf(line));
            taken += line.len() + 1;
        }
        self.end += taken as u64;
        let torn = &bytes[taken..];
        if torn.is_empty() {
            return Ok(());
        }
        let cut = self.records.set_len(self.end);
        cut.map_err(LogError::system("cut off the end of", path))?;
        let mut entry = Entry::new(Kind::Recovered)
            .saying("a record that was not written to its end was cut off");
        entry.cut = Some(Cut {
            bytes: torn.len() as u64,
            sha256: hex(digest(&SHA256, torn).as_ref()),
        });
        self.recovered.push(entry);
        Ok(())
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let Self { edge, full, .. } = self;
        edge.push(leaf, &mut |tile, hashes| full.push((tile, hashes.to_vec())));
    }
}

/// The number of the current segment's first record. An empty segment follows the last closed one.
fn first(directory: &Directory, records: &File, size: u64) -> Result<u64, LogError> {
    let first = first_seq(records).map_err(LogError::system("read", directory.at(RECORDS)))?;
    if let Some(first) = first {
        return Ok(first);
    }
    // A segment is closed with its last record under the checkpoint.
    let closed = !directory.segments()?.is_empty();
    Ok(if closed { size } else { 0 })
}

/// The offset of record `wanted` in the current segment: just behind the last one, if that comes before.
/// `None`: it is not there, nor can it be the next one.
fn find(records: &File, wanted: u64, first: u64) -> io::Result<Option<u64>> {
    let size = records.metadata()?.len();
    if wanted == first {
        return Ok(Some(0));
    }
    let mut length = 256 << 10;
    loop {
        let start = size.saturating_sub(length);
        let mut bytes = vec![0; (size - start) as usize];
        records.read_exact_at(&mut bytes, start)?;
        let skipped = match start {
            0 => 0,
            _ => memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |end| end + 1),
        };
        let (complete, _) = whole(&bytes[skipped..]);
        let oldest = record::seq(complete);
        if oldest.is_some_and(|oldest| oldest <= wanted) || start == 0 {
            return Ok(within(complete, wanted).map(|at| start + (skipped + at) as u64));
        }
        length *= 8;
    }
}

/// The offset of a record in whole lines, or of where it is to be: behind the one before it.
fn within(complete: &[u8], wanted: u64) -> Option<usize> {
    let (mut at, mut next) = (0, None);
    for line in lines(complete) {
        if next == Some(wanted) {
            break;
        }
        let seq = record::seq(line)?;
        if seq == wanted {
            return Some(at);
        }
        next = Some(seq + 1);
        at += line.len() + 1;
    }
    (next == Some(wanted)).then_some(at)
}

/// The right edge of the tree of a head. Partial tiles are not synced: a power cut may take them.
fn edge(
    archive: &Archive,
    head: &Checkpoint,
    recovered: &mut Vec<Entry>,
) -> Result<Edge, LogError> {
    let levels = levels(head.size).map(|level| match Tile::partial(level, head.size) {
        Some(tile) => archive.directory.tile(tile),
        None => Ok(Some(Vec::new())),
    });
    let levels: Option<Vec<_>> = levels.collect::<Result<_, _>>()?;
    if let Some(levels) = levels {
        let edge = Edge::new(head.size, levels);
        if edge.root() == head.root {
            return Ok(edge);
        }
    }
    let edge = rebuilt(archive, head.size)?;
    if edge.root() != head.root {
        let why = "records and tiles do not fit the signed head";
        return Err(LogError::damaged(archive.at(CHECKPOINT), why));
    }
    for (tile, hashes) in edge.partial() {
        archive.directory.write_tile(tile, hashes)?;
    }
    let text = "tiles at the end of the tree were made anew from the records";
    recovered.push(Entry::new(Kind::Recovered).saying(text));
    Ok(edge)
}

/// The levels of tiles that a tree of that size has.
pub fn levels(size: u64) -> impl Iterator<Item = u8> {
    (0..8_u8).take_while(move |level| size >> (HEIGHT * u32::from(*level)) > 0)
}

/// The right edge from the full tiles and the last records.
fn rebuilt(archive: &Archive, size: u64) -> Result<Edge, LogError> {
    let tiles = Tiles::new(&archive.directory, size);
    let mut hashes = Vec::new();
    for level in levels(size) {
        let Some(tile) = Tile::partial(level, size) else {
            hashes.push(Vec::new());
            continue;
        };
        let start = tile.index * WIDTH as u64;
        hashes.push(match level {
            0 => leaves(archive, start, size)?,
            _ => (start..start + tile.width as u64)
                .map(|index| tiles.root(level - 1, index))
                .collect::<Result<_, _>>()?,
        });
    }
    Ok(Edge::new(size, hashes))
}

/// The leaves of the records `start..end`.
fn leaves(archive: &Archive, start: u64, end: u64) -> Result<Vec<Hash>, LogError> {
    let mut hashes = Vec::new();
    archive.lines(start, |line| {
        let seq = record::seq(line.text).filter(|_| line.whole);
        if seq.is_some_and(|seq| (start..end).contains(&seq)) {
            hashes.push(tree::leaf(line.text));
        }
        Ok(seq.is_none_or(|seq| seq + 1 < end))
    })?;
    if hashes.len() as u64 == end - start {
        return Ok(hashes);
    }
    let why = format!("not all of the records {start} to {} are there", end - 1);
    Err(LogError::damaged(archive.at(&segment(start)), why))
}
