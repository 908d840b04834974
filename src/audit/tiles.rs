//! Tiles of a Merkle tree: c2sp.org/tlog-tiles. A tile holds the hashes of a perfect subtree of height 8;
//! `tile/<L>/<N>` is where it lies, with `.p/<W>` where it is partial.
//!
//! Entry bundles (`tile/entries/`) are not made: the entries are the lines of `records.jsonl`, which grep
//! and jq read. Whoever wants to serve the log by HTTP makes bundles from them.

use super::tree::{self, Hash};

/// How many hashes a full tile has.
pub const WIDTH: usize = 256;

/// The binary levels of a tile.
pub const HEIGHT: u32 = 8;

/// Which tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// 0: its hashes are those of leaves.
    pub level: u8,
    /// Its number in the level.
    pub index: u64,
    /// How many hashes it has: 1 to [`WIDTH`].
    pub width: usize,
}

impl Tile {
    /// A tile with all its hashes.
    pub const fn full(level: u8, index: u64) -> Self {
        let width = WIDTH;
        Self {
            level,
            index,
            width,
        }
    }

    /// The tile at the right end of a level, for a tree of that size, if it is partial.
    pub fn partial(level: u8, size: u64) -> Option<Self> {
        let nodes = size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0);
        let width = (nodes % WIDTH as u64) as usize;
        let index = nodes / WIDTH as u64;
        (width > 0).then_some(Self {
            level,
            index,
            width,
        })
    }

    /// How many full tiles a level of a tree of that size has.
    pub fn count(level: u8, size: u64) -> u64 {
        let height = HEIGHT * (u32::from(level) + 1);
        size.checked_shr(height).unwrap_or(0)
    }

    /// The directories on the way to it below the log's own, and its name in the last one.
    pub fn place(self) -> (Vec<String>, String) {
        let mut way = vec!["tile".to_owned(), self.level.to_string()];
        let mut parts = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            parts.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        parts.reverse();
        let last = parts.pop().expect("an index has a last part");
        way.extend(parts);
        if self.width == WIDTH {
            return (way, last);
        }
        way.push(format!("{last}.p"));
        (way, self.width.to_string())
    }

    /// Its path below the log's directory.
    pub fn path(self) -> String {
        let (mut way, name) = self.place();
        way.push(name);
        way.join("/")
    }
}

/// The right edge of a tree: what is to be known to add leaves to it. Less than 256 hashes a level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// The hashes of each level's partial tile.
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// Of a tree of that size, from the hashes of its partial tiles, level 0 first.
    pub fn new(size: u64, levels: Vec<Vec<Hash>>) -> Self {
        Self { size, levels }
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds the hash of a leaf. Tiles that become full by it are given away.
    pub fn push(&mut self, leaf: Hash, full: &mut impl FnMut(Tile, &[Hash])) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::with_capacity(WIDTH));
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() < WIDTH {
                return;
            }
            let height = HEIGHT * (level as u32 + 1);
            full(Tile::full(level as u8, (self.size >> height) - 1), hashes);
            hash = tree::perfect(hashes);
            hashes.clear();
        }
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let levels = self.levels.iter();
        let joined = levels.fold(None, |right, hashes| tree::join(hashes, right));
        joined.unwrap_or_else(tree::empty)
    }

    /// The partial tiles and their hashes.
    pub fn partial(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        let levels = self.levels.iter().enumerate();
        levels.filter_map(|(level, hashes)| {
            Some((Tile::partial(level as u8, self.size)?, hashes.as_slice()))
        })
    }
}
