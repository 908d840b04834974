//! What output is searched for: keyed digests of values, not the values.
//!
//! A bit filter over the first eight bytes (keyed multiplication), sixteen bits of the last eight, and
//! HMAC-SHA-256 over all of it: a place in ordinary text costs a load, a multiplication and a bit.

use std::cmp::Reverse;
use std::io;

use ring::hmac;
use zeroize::Zeroize;

use super::forms::SHORTEST;
use crate::sys::memory::fill_random;

/// Bits of the filter's index.
const INDEX: u32 = 17;
const WORDS: usize = (1 << INDEX) / 64;

/// Digests of values in all their forms.
pub struct Patterns {
    first: u64,
    last: u64,
    key: hmac::Key,
    filter: Box<[u64; WORDS]>,
    /// By the filter's index, then the longest first.
    all: Vec<Pattern>,
}

struct Pattern {
    index: u32,
    tail: u16,
    length: u32,
    /// Whose it is, for who made them.
    owner: usize,
    digest: hmac::Tag,
}

impl Pattern {
    const fn order(&self) -> (u32, Reverse<u32>) {
        (self.index, Reverse(self.length))
    }
}

/// A value that was found, between two places of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its first byte.
    pub start: usize,
    /// After its last one.
    pub end: usize,
    /// Whose it is.
    pub owner: usize,
}

impl Patterns {
    /// None yet, with keys of the kernel's random numbers.
    pub fn new() -> io::Result<Self> {
        let mut random = [0; 48];
        fill_random(&mut random)?;
        Ok(Self::keyed(random))
    }

    pub(super) fn keyed(mut random: [u8; 48]) -> Self {
        let word =
            |at: usize| u64::from_le_bytes(random[at..at + 8].try_into().expect("eight bytes"));
        let (first, last) = (word(32) | 1, word(40) | 1);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random[..32]);
        random.zeroize();
        Self {
            first,
            last,
            key,
            filter: Box::new([0; WORDS]),
            all: Vec::new(),
        }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds a form of a value of this owner, which has [`SHORTEST`] bytes at least; one that is there is the
    /// new owner's.
    pub fn add(&mut self, form: &[u8], owner: usize) {
        let (Some(head), Some(tail)) = (form.first_chunk(), form.last_chunk()) else {
            return;
        };
        let index = self.index(*head);
        self.filter[index as usize / 64] |= 1 << (index % 64);
        let pattern = Pattern {
            index,
            tail: self.tail(*tail),
            length: form.len() as u32,
            owner,
            digest: hmac::sign(&self.key, form),
        };
        let at = self
            .all
            .partition_point(|one| one.order() < pattern.order());
        let mut equal = self.all[at..]
            .iter_mut()
            .take_while(|one| one.order() == pattern.order());
        match equal.find(|one| one.digest.as_ref() == pattern.digest.as_ref()) {
            Some(one) => one.owner = owner,
            None => self.all.insert(at, pattern),
        }
    }

    /// Removes those whose owner is not wanted any more.
    pub fn retain(&mut self, is_wanted: impl Fn(usize) -> bool) {
        self.all.retain(|one| is_wanted(one.owner));
        self.filter.fill(0);
        for one in &self.all {
            self.filter[one.index as usize / 64] |= 1 << (one.index % 64);
        }
    }

    const fn index(&self, head: [u8; SHORTEST]) -> u32 {
        (u64::from_le_bytes(head).wrapping_mul(self.first) >> (64 - INDEX)) as u32
    }

    const fn tail(&self, tail: [u8; SHORTEST]) -> u16 {
        (u64::from_le_bytes(tail).wrapping_mul(self.last) >> 48) as u16
    }

    /// Looks at each place from `from` on as the start of a value: what was found, in order, and the first
    /// place that more bytes are needed for.
    pub fn search(&self, text: &[u8], from: usize, found: &mut Vec<Hit>) -> usize {
        let mut undecided = None;
        let windows = text.get(from..).unwrap_or_default().windows(SHORTEST);
        for (at, window) in windows.enumerate() {
            let head = *window.first_chunk().expect("as long as a window");
            let index = self.index(head);
            if self.filter[index as usize / 64] & (1 << (index % 64)) == 0 {
                continue;
            }
            let start = from + at;
            if self.look(text, start, index, found) && undecided.is_none() {
                undecided = Some(start);
            }
        }
        undecided.unwrap_or_else(|| text.len().saturating_sub(SHORTEST - 1).max(from))
    }

    /// Whether a longer value may begin there than there are bytes.
    #[cold]
    fn look(&self, text: &[u8], start: usize, index: u32, found: &mut Vec<Hit>) -> bool {
        let first = self.all.partition_point(|one| one.index < index);
        let mut more = false;
        for one in self.all[first..]
            .iter()
            .take_while(|one| one.index == index)
        {
            let end = start + one.length as usize;
            let Some(window) = text.get(start..end) else {
                more = true;
                continue;
            };
            let tail = *window.last_chunk().expect("it is no shorter");
            if self.tail(tail) == one.tail
                && hmac::verify(&self.key, window, one.digest.as_ref()).is_ok()
            {
                found.push(Hit {
                    start,
                    end,
                    owner: one.owner,
                });
                break;
            }
        }
        more
    }
}

impl Drop for Patterns {
    fn drop(&mut self) {
        self.first.zeroize();
        self.last.zeroize();
        self.filter.fill(0);
    }
}
