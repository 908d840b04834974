//! The names in git's index, versions 2 to 4: gitformat-index(5).

use std::path::Path;

use super::super::files::read;

/// Whether the index of a repository has a path, which is relative to the top of the work tree. An
/// index that is missing or damaged has none.
pub(super) fn has(git: &Path, digest: usize, path: &[u8]) -> bool {
    let Ok(bytes) = read(&git.join("index")) else {
        return false;
    };
    let mut index = Index::new(&bytes, digest);
    if search(&mut index, path).unwrap_or(false) {
        return true;
    }
    let Some(shared) = index.shared() else {
        return false;
    };
    let bytes = read(&git.join(format!("sharedindex.{shared}"))).unwrap_or_default();
    search(&mut Index::new(&bytes, digest), path).unwrap_or(false)
}

fn search(index: &mut Index<'_>, path: &[u8]) -> Option<bool> {
    let (version, count) = index.header()?;
    let mut name = Vec::new();
    let mut is_there = false;
    for _ in 0..count {
        index.entry(version, &mut name)?;
        is_there |= name == path;
    }
    Some(is_there)
}

struct Index<'a> {
    rest: &'a [u8],
    digest: usize,
}

impl<'a> Index<'a> {
    fn new(bytes: &'a [u8], digest: usize) -> Self {
        // The digest of it all comes last.
        let rest = &bytes[..bytes.len().saturating_sub(digest)];
        Self { rest, digest }
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// The version, and how many entries there are.
    fn header(&mut self) -> Option<(u32, u32)> {
        let is_index = self.take(4)? == b"DIRC";
        let version = self.number()?;
        let count = self.number()?;
        (is_index && (2..=4).contains(&version)).then_some((version, count))
    }

    /// Reads an entry's name over that of the entry before.
    fn entry(&mut self, version: u32, name: &mut Vec<u8>) -> Option<()> {
        const STAT: usize = 40;
        const EXTENDED: u8 = 0x40;
        self.take(STAT + self.digest)?;
        let flags = self.take(2)?;
        let mut fixed = STAT + self.digest + 2;
        if version > 2 && flags[0] & EXTENDED != 0 {
            self.take(2)?;
            fixed += 2;
        }
        if version == 4 {
            let removed = self.variable()?;
            name.truncate(name.len().checked_sub(removed)?);
        } else {
            name.clear();
        }
        let length = memchr::memchr(0, self.rest)?;
        name.extend_from_slice(self.take(length)?);
        // At least one NUL, up to a multiple of 8 from the entry's start.
        let padding = if version == 4 {
            1
        } else {
            8 - (fixed + length) % 8
        };
        self.take(padding)?;
        Some(())
    }

    /// A number of variable width, as in pack files.
    fn variable(&mut self) -> Option<usize> {
        let mut byte = self.take(1)?[0];
        let mut value = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.take(1)?[0];
            value = value.checked_add(1)?.checked_mul(128)? + usize::from(byte & 0x7f);
        }
        Some(value)
    }

    /// After the entries: the name of the index that this one is on top of, in hexadecimal.
    fn shared(&mut self) -> Option<String> {
        loop {
            let name = self.take(4)?;
            let length = usize::try_from(self.number()?).ok()?;
            let extension = self.take(length)?;
            if name == b"link" {
                let digest = extension.get(..self.digest)?;
                let hex = |name: String, byte: &u8| name + &format!("{byte:02x}");
                return Some(digest.iter().fold(String::new(), hex));
            }
        }
    }
}
