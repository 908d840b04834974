//! Whether a log is whole: every line, every tile, the signed head, and an older head that somebody else
//! kept.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::archive::{Archive, Line};
use super::checkpoint::Checkpoint;
use super::directory::{CHECKPOINT, RECORDS, segment};
use super::error::LogError;
use super::load::levels;
use super::note::VerifierKey;
use super::record::{self, Kind, Record};
use super::tiles::{Edge, Tile, WIDTH};
use super::tree::{self, Hash};
use crate::model::printable::printable;

/// More findings than this say nothing new.
const MOST_FINDINGS: usize = 100;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Where: a file below the log's directory, and a record's number.
    pub place: String,
    /// What.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// An older head, and what it is called in findings.
#[derive(Clone, Debug)]
pub struct Since {
    /// Its file.
    pub name: String,
    /// What it says, by the log's key.
    pub head: Checkpoint,
}

/// What a witness saw of a log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// The name of its key.
    pub witness: String,
    /// The records that its checkpoint covers.
    pub size: u64,
    /// When it cosigned it (RFC 3339).
    pub time: String,
}

/// What was seen of a log.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Verified {
    /// The records that the signed head covers.
    pub covered: u64,
    /// Records after it, which only the next one will cover.
    pub uncovered: u64,
    /// The number of the first record that is there: those before were pruned.
    pub first: u64,
    /// Bytes of a record that is not written to its end.
    pub torn: u64,
    /// The last checkpoint that each of the site's witnesses cosigned.
    pub cosigned: Vec<Seen>,
    /// What is wrong. Empty: nothing.
    pub findings: Vec<Finding>,
}

impl Verified {
    /// What was found, for people: printable lines. `key`: the name of the log's key.
    pub fn words(&self, key: &str) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.extend([&*printable(&finding.to_string()), "\n"]);
        }
        let cosigned = self.cosigned.iter().map(|seen| {
            let (witness, size, time) = (printable(&seen.witness), seen.size, &seen.time);
            format!("{witness} cosigned {size} records at {time}\n")
        });
        text.extend(cosigned);
        let whole = if self.findings.is_empty() {
            "whole"
        } else {
            "NOT WHOLE"
        };
        let pruned = match self.first {
            0 => String::new(),
            first => format!("; those before {first} were pruned"),
        };
        let (covered, after) = (self.covered, self.uncovered);
        let key = printable(key);
        text + &format!(
            "{whole}: {covered} records under the checkpoint of {key}, {after} after it{pruned}\n"
        )
    }
}

/// Reads all of it. An error is what keeps it from being read; what is wrong with it is in the findings.
pub fn verify(archive: &Archive, key: &VerifierKey, since: &[Since]) -> Result<Verified, LogError> {
    let mut check = Check::new(archive);
    let head = match archive.checkpoint(key) {
        Ok(head) => head,
        Err(LogError::Checkpoint { source, .. }) => {
            check.find(CHECKPOINT, source.to_string());
            None
        }
        Err(error) => return Err(error),
    };
    for since in since {
        check.wanted.push((since.head.clone(), since.name.clone()));
    }
    match &head {
        Some(head) => check.wanted.push((head.clone(), CHECKPOINT.to_owned())),
        None if check.found.findings.is_empty() => {
            check.find(CHECKPOINT, "there is none".to_owned());
        }
        None => {}
    }
    check.covered = head.as_ref().map_or(0, |head| head.size);
    check.pruned()?;
    archive.lines(0, |line| {
        check
            .line(&line)
            .map(|()| check.found.findings.len() < MOST_FINDINGS)
    })?;
    check.finish()?;
    Ok(check.found)
}

struct Check<'a> {
    archive: &'a Archive,
    edge: Edge,
    /// What the head covers.
    covered: u64,
    /// The heads that the tree is to have on its way.
    wanted: Vec<(Checkpoint, String)>,
    /// The smallest number that a record may have, by what was pruned.
    below: u64,
    /// The file that was read last.
    file: String,
    found: Verified,
}

impl<'a> Check<'a> {
    fn new(archive: &'a Archive) -> Self {
        Self {
            archive,
            edge: Edge::default(),
            covered: 0,
            wanted: Vec::new(),
            below: 0,
            file: String::new(),
            found: Verified::default(),
        }
    }

    fn find(&mut self, place: impl Into<String>, what: String) {
        if self.found.findings.len() < MOST_FINDINGS {
            let place = place.into();
            self.found.findings.push(Finding { place, what });
        }
    }

    /// The leaves of pruned records come from tiles; they count only if a record says that they were
    /// pruned.
    fn pruned(&mut self) -> Result<(), LogError> {
        let mut first = None;
        self.archive.lines(0, |line| {
            first = record::seq(line.text);
            Ok(false)
        })?;
        let Some(first) = first.filter(|first| *first > 0 && *first <= self.covered) else {
            return Ok(());
        };
        self.found.first = first;
        for index in 0..first.div_ceil(WIDTH as u64) {
            let tile = match Tile::full(0, index) {
                full if index < Tile::count(0, self.covered) => full,
                full => Tile::partial(0, self.covered).unwrap_or(full),
            };
            let Some(hashes) = self.archive.directory.tile(tile)? else {
                self.find(tile.path(), "it is missing or cut off".to_owned());
                return Ok(());
            };
            let wanted = (first - index * WIDTH as u64).min(tile.width as u64) as usize;
            for hash in &hashes[..wanted] {
                self.push(*hash)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), LogError> {
        if self.file != line.file {
            line.file.clone_into(&mut self.file);
            if line.file != RECORDS && line.file != segment(self.edge.size()) {
                let what = format!("record {} is to be the first one here", self.edge.size());
                self.find(line.file, what);
            }
        }
        if !line.whole {
            if line.file == RECORDS && self.edge.size() >= self.covered {
                self.found.torn += line.text.len() as u64;
            } else {
                let what = "its last line does not end".to_owned();
                self.find(line.file, what);
            }
            return Ok(());
        }
        let size = self.edge.size();
        let is_tail = line.file == RECORDS && size >= self.covered;
        if self.found.torn > 0
            || is_tail && record::seq(line.text) != Some(size) && line.text.contains(&0)
        {
            // A power cut leaves blocks that were never written: whoever appends next cuts them off.
            self.found.torn += line.text.len() as u64 + 1;
            return Ok(());
        }
        if record::seq(line.text) != Some(size) {
            let what = match record::seq(line.text) {
                Some(seq) => format!("record {seq} is where record {size} belongs"),
                None => format!("what is where record {size} belongs is no record"),
            };
            self.find(line.file, what);
        } else if size >= self.covered
            || memchr::memmem::find(line.text, b"\"kind\":\"pruned\"").is_some()
        {
            self.look_into(line, size);
        }
        self.push(tree::leaf(line.text))
    }

    /// What no head covers is at least to be a record; and what was pruned is on record.
    fn look_into(&mut self, line: &Line<'_>, size: u64) {
        match Record::parse(line.text) {
            Ok(record) if record.entry.kind == Kind::Pruned => {
                self.below = self.below.max(record.entry.below.unwrap_or(0));
            }
            Ok(_) => {}
            Err(error) => self.find(line.file, format!("record {size}: {error}")),
        }
    }

    fn push(&mut self, leaf: Hash) -> Result<(), LogError> {
        let mut full = Vec::new();
        self.edge
            .push(leaf, &mut |tile, hashes| full.push((tile, hashes.to_vec())));
        let size = self.edge.size();
        for (tile, hashes) in full {
            if size <= self.covered {
                self.compare(tile, &hashes)?;
            }
        }
        if size == self.covered {
            let partial: Vec<_> = self
                .edge
                .partial()
                .map(|(tile, hashes)| (tile, hashes.to_vec()))
                .collect();
            for (tile, hashes) in partial {
                self.compare(tile, &hashes)?;
            }
        }
        self.heads(size);
        Ok(())
    }

    /// The heads of trees of this size.
    fn heads(&mut self, size: u64) {
        if self.wanted.iter().all(|(head, _)| head.size != size) {
            return;
        }
        let root = self.edge.root();
        let (met, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.wanted)
            .into_iter()
            .partition(|(head, _)| head.size == size);
        self.wanted = rest;
        for (head, name) in met {
            if head.root != root {
                let what = format!("the first {size} records are not those that it covers");
                self.find(name, what);
            }
        }
    }

    /// A tile on the disk with what it is to be.
    fn compare(&mut self, tile: Tile, hashes: &[Hash]) -> Result<(), LogError> {
        let Some(found) = self.archive.directory.tile(tile)? else {
            self.find(tile.path(), "it is missing or cut off".to_owned());
            return Ok(());
        };
        let differs = found
            .iter()
            .zip(hashes)
            .position(|(found, hash)| found != hash);
        if let Some(at) = differs {
            let what = if tile.level == 0 {
                let record = tile.index * WIDTH as u64 + at as u64;
                format!("record {record} is not the one that was added, or its hash was changed")
            } else {
                format!("hash {at} is not that of the tile below it")
            };
            self.find(tile.path(), what);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), LogError> {
        if self.edge.size() == 0 {
            self.heads(0);
        }
        let size = self.edge.size();
        self.found.covered = self.covered.min(size);
        self.found.uncovered = size.saturating_sub(self.covered);
        for (head, name) in std::mem::take(&mut self.wanted) {
            let what = format!("it covers {} records, and {size} are there", head.size);
            self.find(name, what);
        }
        if self.found.first > self.below {
            let what = format!(
                "the records before {} are missing, and none says that they were pruned",
                self.found.first
            );
            self.find(RECORDS, what);
        }
        self.strangers()
    }

    /// Tiles that are none of this tree, and files that are none of a log's.
    fn strangers(&mut self) -> Result<(), LogError> {
        let expected: BTreeSet<OsString> = levels(self.covered)
            .map(|level| level.to_string().into())
            .collect();
        for name in self.archive.directory.names(Path::new("tile"))? {
            if !expected.contains(&name) {
                self.stranger(&PathBuf::from("tile").join(name));
            }
        }
        for level in levels(self.covered) {
            let top = PathBuf::from(format!("tile/{level}"));
            self.tiles_below(&top, level, "")?;
        }
        Ok(())
    }

    fn stranger(&mut self, path: &Path) {
        let what = "no tile of this log has this name".to_owned();
        self.find(crate::model::printable::printable_path(path), what);
    }

    /// Looks through the directories of one level; `digits` are those of the way so far.
    fn tiles_below(&mut self, way: &Path, level: u8, digits: &str) -> Result<(), LogError> {
        let (full, partial) = (
            Tile::count(level, self.covered),
            Tile::partial(level, self.covered),
        );
        for name in self.archive.directory.names(way)? {
            let path = way.join(&name);
            let Some(text) = name.to_str() else {
                self.stranger(&path);
                continue;
            };
            if let Some(group) = text.strip_prefix('x').filter(|group| is_group(group)) {
                self.tiles_below(&path, level, &format!("{digits}{group}"))?;
                continue;
            }
            let (group, is_partial) = match text.strip_suffix(".p") {
                Some(group) => (group, true),
                None => (text, false),
            };
            let index = format!("{digits}{group}").parse::<u64>().ok();
            let index = index.filter(|_| is_group(group));
            let Some(index) = index.filter(|index| Self::way_of(level, *index) == way) else {
                self.stranger(&path);
                continue;
            };
            match (is_partial, partial) {
                // Those of a tile that is full since: a crash came before they were removed.
                (true, _) if index < full => self.partials(&path, WIDTH, level, index)?,
                (true, Some(tile)) if tile.index == index => {
                    self.partials(&path, tile.width, level, index)?;
                }
                (false, _) if index < full => {}
                // Written before a head that a crash kept from being signed.
                (false, _)
                    if self.edge.size() > self.covered
                        && index < Tile::count(level, self.edge.size()) => {}
                _ => self.stranger(&path),
            }
        }
        Ok(())
    }

    fn way_of(level: u8, index: u64) -> PathBuf {
        PathBuf::from_iter(Tile::full(level, index).place().0)
    }

    /// Partial tiles of heads before: each begins as the present one does.
    fn partials(&mut self, way: &Path, most: usize, level: u8, index: u64) -> Result<(), LogError> {
        let whole = match Tile::partial(level, self.covered) {
            Some(tile) if tile.index == index => tile,
            _ => Tile::full(level, index),
        };
        let whole = self.archive.directory.tile(whole)?.unwrap_or_default();
        for name in self.archive.directory.names(way)? {
            let width = name.to_str().and_then(|name| {
                let width = name
                    .parse::<usize>()
                    .ok()
                    .filter(|width| (1..WIDTH).contains(width))?;
                (width.to_string() == name).then_some(width)
            });
            let path = way.join(&name);
            let Some(width) = width else {
                if !name.to_string_lossy().ends_with(".new") {
                    self.stranger(&path);
                }
                continue;
            };
            let tile = Tile {
                level,
                index,
                width,
            };
            let found = self.archive.directory.tile(tile)?;
            let is_later = width > most && self.edge.size() > self.covered;
            if !is_later && found.is_none_or(|found| whole.get(..width) != Some(&found)) {
                let what = "it does not begin as the tile that followed it".to_owned();
                self.find(path.to_string_lossy(), what);
            }
        }
        Ok(())
    }
}

/// Three digits of a tile's number.
fn is_group(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit())
}
