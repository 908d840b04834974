//! How much was looked at, and what was not.

use serde::Serialize;

use super::scanner::Seen;

/// So many paths that could not be read are named; all are counted.
const NAMED: usize = 100;

/// How much was looked at, and what was not.
#[derive(Debug, Default, Serialize)]
pub struct Tally {
    /// Files that were read.
    pub files: u64,
    /// How much of them.
    pub bytes: u64,
    /// Files that are no text.
    pub binary: u64,
    /// Files and directories that git ignores.
    pub ignored: u64,
    /// How many could not be read, or not whole.
    pub unread: u64,
    /// The first of them, and why.
    pub skipped: Vec<Skipped>,
}

/// What could not be read.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// Its path.
    pub path: String,
    /// Why.
    pub cause: String,
}

impl Tally {
    /// Counts a file that was read.
    pub fn saw(&mut self, path: &str, seen: Seen) {
        self.files += 1;
        self.bytes += seen.bytes;
        self.binary += u64::from(seen.is_binary);
        if seen.is_cut {
            self.skip(path, "it was read up to --max-size");
        }
    }

    /// Counts what could not be read.
    pub fn skip(&mut self, path: &str, cause: &str) {
        self.unread += 1;
        if self.skipped.len() < NAMED {
            self.skipped.push(Skipped {
                path: path.to_owned(),
                cause: cause.to_owned(),
            });
        }
    }

    /// Adds that of another worker.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.binary += other.binary;
        self.ignored += other.ignored;
        self.unread += other.unread;
        let room = NAMED - self.skipped.len();
        self.skipped.extend(other.skipped.into_iter().take(room));
    }
}
