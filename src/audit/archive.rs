//! Reading the log: lines in order, checkpoints, and nodes of the tree for proofs.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::checkpoint::{Checkpoint, Proof};
use super::directory::{CHECKPOINT, Directory, RECORDS, segment};
use super::error::LogError;
use super::note::VerifierKey;
use super::record;
use super::tiles::{HEIGHT, Tile, WIDTH};
use super::tree::{self, Hash, Nodes};

/// How much is read at once.
const BLOCK: usize = 1 << 20;

/// A log that is read. It takes no lock: what a checkpoint covers does not change.
#[derive(Debug)]
pub struct Archive {
    pub(super) directory: Directory,
}

/// One line of a log.
#[derive(Debug)]
pub struct Line<'a> {
    /// Where it is.
    pub file: &'a str,
    /// The line, without its end.
    pub text: &'a [u8],
    /// Whether its end is there.
    pub whole: bool,
}

impl Archive {
    /// Of the log in this directory.
    pub fn open(directory: &Path) -> Result<Self, LogError> {
        let directory = Directory::open(directory)?;
        Ok(Self { directory })
    }

    /// The path of something in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.at(name)
    }

    /// Its signed head, as it was written. `None`: there is none yet.
    pub fn note(&self) -> Result<Option<Vec<u8>>, LogError> {
        self.directory.checkpoint()
    }

    /// Its head, by this key. `None`: there is none yet.
    pub fn checkpoint(&self, key: &VerifierKey) -> Result<Option<Checkpoint>, LogError> {
        let note = self.note()?;
        let opened = note.map(|note| Checkpoint::open(&note, key)).transpose();
        let path = self.at(CHECKPOINT);
        opened.map_err(|source| LogError::Checkpoint { path, source })
    }

    /// All files of records, in order, to be read as one.
    pub fn files(&self) -> Result<Vec<File>, LogError> {
        let current = self.directory.open_segment(RECORDS)?;
        let first = match &current {
            Some(file) => super::directory::first_seq(file)
                .map_err(LogError::system("read", self.at(RECORDS)))?,
            None => None,
        };
        let mut files = Vec::new();
        for segment in self.directory.segments()? {
            // It may have been closed since it was opened.
            if first != Some(segment) {
                files.extend(self.directory.open_segment(&self::segment(segment))?);
            }
        }
        files.extend(current);
        Ok(files)
    }

    /// Shows each line to `visit`, from the segment with record `from` on, until it gives `false`.
    pub fn lines(
        &self,
        from: u64,
        mut visit: impl FnMut(Line<'_>) -> Result<bool, LogError>,
    ) -> Result<(), LogError> {
        // A segment that is closed meanwhile is read by its new name: its descriptor is open already.
        let current = self.directory.open_segment(RECORDS)?;
        let segments = self.directory.segments()?;
        let before = segments.partition_point(|first| *first <= from);
        let skipped = before.saturating_sub(1);
        let current_first = match &current {
            Some(file) => super::directory::first_seq(file)
                .map_err(LogError::system("read", self.at(RECORDS)))?,
            None => None,
        };
        for first in &segments[skipped..] {
            let name = segment(*first);
            if current_first.is_some_and(|current| current == *first || current <= from) {
                continue;
            }
            if let Some(file) = self.directory.open_segment(&name)?
                && !self.segment(&name, file, &mut visit)?
            {
                return Ok(());
            }
        }
        match current {
            Some(file) => self.segment(RECORDS, file, &mut visit).map(drop),
            None => Ok(()),
        }
    }

    fn segment(
        &self,
        name: &str,
        mut file: File,
        visit: &mut impl FnMut(Line<'_>) -> Result<bool, LogError>,
    ) -> Result<bool, LogError> {
        let mut bytes = Vec::with_capacity(2 * BLOCK);
        loop {
            let read = (&mut file).take(BLOCK as u64).read_to_end(&mut bytes);
            let read = read.map_err(LogError::system("read", self.at(name)))?;
            let (lines, rest) = super::directory::whole(&bytes);
            let start = lines.len();
            for text in super::directory::lines(lines) {
                let line = Line {
                    file: name,
                    text,
                    whole: true,
                };
                if !visit(line)? {
                    return Ok(false);
                }
            }
            let is_end = read == 0;
            if (is_end && !rest.is_empty()) || rest.len() > record::LONGEST {
                let line = Line {
                    file: name,
                    text: rest,
                    whole: false,
                };
                return visit(line);
            }
            if is_end {
                return Ok(true);
            }
            bytes.drain(..start);
        }
    }

    /// A record's line. `None`: there is none of that number, or not any more.
    pub fn line(&self, wanted: u64) -> Result<Option<Vec<u8>>, LogError> {
        let mut found = None;
        self.lines(wanted, |line| {
            match record::seq(line.text) {
                Some(seq) if seq == wanted && line.whole => found = Some(line.text.to_vec()),
                Some(seq) if seq > wanted => return Ok(false),
                _ => {}
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// The proof that the tree of this size begins with one of `old` records.
    pub fn consistency(&self, old: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        if old == 0 || old >= size {
            return Ok(Vec::new());
        }
        tree::consistency(&Tiles::new(&self.directory, size), old, size)
    }

    /// The proof that a record is in the log, under its present checkpoint.
    pub fn prove(&self, index: u64, key: &VerifierKey) -> Result<Proof, LogError> {
        let path = self.at(CHECKPOINT);
        let absent = |why: &str| LogError::damaged(&path, why);
        let note = self.note()?.ok_or_else(|| absent("there is none yet"))?;
        let opened = Checkpoint::open(&note, key);
        let head = opened.map_err(|source| LogError::Checkpoint {
            path: path.clone(),
            source,
        })?;
        if index >= head.size {
            return Err(LogError::NoRecord {
                index,
                size: head.size,
            });
        }
        let tiles = Tiles::new(&self.directory, head.size);
        Ok(Proof {
            index,
            path: tree::inclusion(&tiles, index, head.size)?,
            checkpoint: String::from_utf8(note).map_err(|_| absent("it is not UTF-8"))?,
        })
    }
}

/// The tree's nodes, from tiles.
pub struct Tiles<'a> {
    directory: &'a Directory,
    size: u64,
    /// The last one that was read: neighbours are asked for one after the other.
    last: RefCell<Option<(Tile, Vec<Hash>)>>,
}

impl<'a> Tiles<'a> {
    /// Of a tree of that size.
    pub fn new(directory: &'a Directory, size: u64) -> Self {
        let last = RefCell::new(None);
        Self {
            directory,
            size,
            last,
        }
    }

    /// The root of a full tile.
    pub fn root(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        let hashes = self.read(level, index)?;
        let is_full = hashes.len() == WIDTH;
        let path = || self.directory.at(Tile::full(level, index).path());
        is_full
            .then(|| tree::perfect(&hashes))
            .ok_or_else(|| LogError::damaged(path(), "it is not full"))
    }

    fn read(&self, level: u8, index: u64) -> Result<Vec<Hash>, LogError> {
        let full = Tile::full(level, index);
        let tile = if index < Tile::count(level, self.size) {
            full
        } else {
            Tile::partial(level, self.size).unwrap_or(full)
        };
        if let Some((read, hashes)) = &*self.last.borrow()
            && *read == tile
        {
            return Ok(hashes.clone());
        }
        let hashes = match self.directory.tile(tile)? {
            None if tile != full => self.directory.tile(full)?,
            found => found,
        };
        let path = || self.directory.at(tile.path());
        let mut hashes =
            hashes.ok_or_else(|| LogError::damaged(path(), "it is missing or cut off"))?;
        hashes.truncate(tile.width);
        *self.last.borrow_mut() = Some((tile, hashes.clone()));
        Ok(hashes)
    }
}

impl Nodes for Tiles<'_> {
    type Error = LogError;

    fn node(&self, level: u32, index: u64) -> Result<Hash, LogError> {
        let (tile, inner) = ((level / HEIGHT) as u8, level % HEIGHT);
        let start = index << inner;
        let hashes = self.read(tile, start / WIDTH as u64)?;
        let at = (start % WIDTH as u64) as usize;
        let subtree = hashes.get(at..at + (1 << inner)).ok_or_else(|| {
            let path = Tile::full(tile, start / WIDTH as u64).path();
            LogError::damaged(self.directory.at(path), "it is too short")
        })?;
        Ok(tree::perfect(subtree))
    }
}

/// Reads all of a file from an offset on.
pub fn read_from(mut file: &File, offset: u64) -> io::Result<Vec<u8>> {
    use std::io::{Seek as _, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
