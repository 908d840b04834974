//! What a text is searched for: keyed digests of values, not the values.
//!
//! A bit filter over the first eight bytes (keyed multiplication), sixteen bits of the last eight, and
//! HMAC-SHA-256 over all of it: a place in ordinary text costs a load, a multiplication and a bit.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use ring::hmac;
use zeroize::Zeroize;

use super::forms::SHORTEST;
use crate::sys::memory::fill_random;

/// Bits of the index of a filter for the values of a program, and for those of a store.
const FEW: u32 = 17;
const MANY: u32 = 20;

/// Digests of values in all their forms.
pub struct Patterns {
    first: u64,
    last: u64,
    key: hmac::Key,
    /// How many bits an index has.
    bits: u32,
    filter: Vec<u64>,
    /// By the filter's index; of one index the longest first, and of equal length the newest.
    all: HashMap<u32, Vec<Pattern>>,
}

struct Pattern {
    tail: u16,
    length: u32,
    /// Whose it is, for who made them.
    owner: usize,
    digest: hmac::Tag,
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
    /// None yet, with keys of the kernel's random numbers: for the values of a program.
    pub fn few() -> io::Result<Self> {
        Self::random(FEW)
    }

    /// The same for the values of a store, thousands of which may be looked for.
    pub fn many() -> io::Result<Self> {
        Self::random(MANY)
    }

    fn random(bits: u32) -> io::Result<Self> {
        let mut random = [0; 48];
        fill_random(&mut random)?;
        Ok(Self::keyed(random, bits))
    }

    /// With known keys.
    #[cfg(test)]
    pub fn of_test() -> Self {
        Self::keyed(std::array::from_fn(|at| (at * 37 + 11) as u8), FEW)
    }

    fn keyed(mut random: [u8; 48], bits: u32) -> Self {
        let word =
            |at: usize| u64::from_le_bytes(random[at..at + 8].try_into().expect("eight bytes"));
        let (first, last) = (word(32) | 1, word(40) | 1);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random[..32]);
        random.zeroize();
        Self {
            first,
            last,
            key,
            bits,
            filter: vec![0; 1 << (bits - 6)],
            all: HashMap::new(),
        }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds a form of a value of this owner. One that has fewer than [`SHORTEST`] bytes is not looked for.
    pub fn add(&mut self, form: &[u8], owner: usize) {
        let (Some(head), Some(tail)) = (form.first_chunk(), form.last_chunk()) else {
            return;
        };
        let index = self.index(*head);
        let pattern = Pattern {
            tail: self.tail(*tail),
            length: form.len() as u32,
            owner,
            digest: hmac::sign(&self.key, form),
        };
        self.filter[index as usize / 64] |= 1 << (index % 64);
        let alike = self.all.entry(index).or_default();
        let at = alike.partition_point(|one| one.length > pattern.length);
        alike.insert(at, pattern);
    }

    /// The owners of a value or form that was added.
    pub fn owners<'p>(&'p self, form: &'p [u8]) -> impl Iterator<Item = usize> + 'p {
        let alike = form
            .first_chunk()
            .and_then(|head| self.all.get(&self.index(*head)));
        let same = alike.into_iter().flatten().filter(|one| {
            one.length as usize == form.len()
                && hmac::verify(&self.key, form, one.digest.as_ref()).is_ok()
        });
        same.map(|one| one.owner)
    }

    /// Removes those whose owner is not wanted any more.
    pub fn retain(&mut self, is_wanted: impl Fn(usize) -> bool) {
        self.filter.fill(0);
        self.all.retain(|index, alike| {
            alike.retain(|one| is_wanted(one.owner));
            if !alike.is_empty() {
                self.filter[*index as usize / 64] |= 1 << (index % 64);
            }
            !alike.is_empty()
        });
    }

    const fn index(&self, head: [u8; SHORTEST]) -> u32 {
        (u64::from_le_bytes(head).wrapping_mul(self.first) >> (64 - self.bits)) as u32
    }

    const fn tail(&self, tail: [u8; SHORTEST]) -> u16 {
        (u64::from_le_bytes(tail).wrapping_mul(self.last) >> 48) as u16
    }

    /// Looks at each place of a range as the start of a value: what was found, in order, and the first
    /// place that more bytes are needed for. No more than `work` bytes are compared.
    pub fn search(
        &self,
        text: &[u8],
        starts: Range<usize>,
        mut work: usize,
        found: &mut Vec<Hit>,
    ) -> usize {
        let mut undecided = None;
        let end = (starts.end.saturating_add(SHORTEST - 1)).min(text.len());
        let windows = text.get(starts.start..end).unwrap_or_default();
        for (at, window) in windows.windows(SHORTEST).enumerate() {
            let head = *window.first_chunk().expect("as long as a window");
            let index = self.index(head);
            if self.filter[index as usize / 64] & (1 << (index % 64)) == 0 {
                continue;
            }
            let start = starts.start + at;
            if self.look(text, start, index, &mut work, found) && undecided.is_none() {
                undecided = Some(start);
            }
        }
        undecided.unwrap_or_else(|| end.saturating_sub(SHORTEST - 1).max(starts.start))
    }

    /// Whether a longer value may begin there than there are bytes.
    #[cold]
    fn look(
        &self,
        text: &[u8],
        start: usize,
        index: u32,
        work: &mut usize,
        found: &mut Vec<Hit>,
    ) -> bool {
        let mut more = false;
        for one in self.all.get(&index).into_iter().flatten() {
            let end = start + one.length as usize;
            let Some(window) = text.get(start..end) else {
                more = true;
                continue;
            };
            let tail = *window.last_chunk().expect("it is no shorter");
            if self.tail(tail) != one.tail {
                continue;
            }
            let Some(left) = work.checked_sub(window.len()) else {
                continue;
            };
            *work = left;
            if hmac::verify(&self.key, window, one.digest.as_ref()).is_ok() {
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
        self.filter.zeroize();
    }
}
