//! Memory of callers where hushpipe writes the vector that the kernel then reads. It is never the
//! caller's own: a child of vfork(2) shares all memory with its parent, which goes on.
//!
//! An address space gets one when it is first needed, and keeps it; a fork has it too. So scratch memory
//! is known by where the stack starts, which a fork inherits, and by the mark at its start.

use std::collections::BTreeMap;
use std::io;

use crate::sys::memory::fill_random;
use crate::sys::trace::Memory;

/// What is mapped at a time.
const LENGTH: u64 = 256 << 10;

/// So many address spaces are remembered; others get new scratch memory when they come back.
const KNOWN: usize = 1024;

const MARK: u64 = 16;

/// Scratch memory by address space.
pub(super) struct Scratches {
    mark: [u8; MARK as usize],
    known: BTreeMap<u64, Vec<Scratch>>,
}

struct Scratch {
    at: u64,
    length: u64,
    /// What is in use: from, to, by whom.
    used: Vec<(u64, u64, i32)>,
}

impl Scratches {
    /// The error is the kernel's when it has no randomness.
    pub fn new() -> io::Result<Self> {
        let mut mark = [0; MARK as usize];
        fill_random(&mut mark)?;
        Ok(Self {
            mark,
            known: BTreeMap::new(),
        })
    }

    /// What scratch memory starts with.
    pub const fn mark(&self) -> &[u8] {
        &self.mark
    }

    /// How much is to be mapped for so much.
    pub fn length_for(length: u64) -> u64 {
        LENGTH.max((length + MARK).next_multiple_of(4096))
    }

    /// Room in what the address space has, for one caller; `None`: it has none that is free.
    pub fn take(&mut self, space: u64, memory: &impl Memory, length: u64, tid: i32) -> Option<u64> {
        let scratches = self.known.get_mut(&space)?;
        let length = length.next_multiple_of(16);
        scratches.iter_mut().find_map(|scratch| {
            let start = scratch.room(length)?;
            let mut mark = [0; MARK as usize];
            let has_it = memory.read(scratch.at, &mut mark) == mark.len() && mark == self.mark;
            has_it.then(|| {
                scratch.used.push((start, start + length, tid));
                scratch.used.sort_unstable();
                scratch.at + start
            })
        })
    }

    /// What was mapped just now, and marked.
    pub fn add(&mut self, space: u64, at: u64, length: u64) {
        if self.known.len() >= KNOWN {
            self.known
                .retain(|_, all| all.iter().any(|scratch| !scratch.used.is_empty()));
        }
        self.known.entry(space).or_default().push(Scratch {
            at,
            length,
            used: Vec::new(),
        });
    }

    /// A caller needs it no more.
    pub fn give_back(&mut self, tid: i32) {
        for scratch in self.known.values_mut().flatten() {
            scratch.used.retain(|(_, _, user)| *user != tid);
        }
    }
}

impl Scratch {
    /// The first gap of this length.
    fn room(&self, length: u64) -> Option<u64> {
        let mut start = MARK;
        for (from, to, _) in &self.used {
            if from - start >= length {
                return Some(start);
            }
            start = *to;
        }
        (self.length - start >= length).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has the mark everywhere, or nowhere.
    struct Marked<'a>(Option<&'a [u8]>);

    impl Memory for Marked<'_> {
        fn read(&self, _: u64, into: &mut [u8]) -> usize {
            let Some(mark) = self.0 else { return 0 };
            into.copy_from_slice(mark);
            into.len()
        }
    }

    #[test]
    fn rooms_do_not_overlap_and_are_given_back() {
        let mut scratches = Scratches::new().unwrap();
        let mark = scratches.mark().to_vec();
        let memory = Marked(Some(&mark));
        assert_eq!(
            scratches.take(1, &memory, 100, 7),
            None,
            "nothing is mapped"
        );
        scratches.add(1, 0x10000, 4096);
        let first = scratches.take(1, &memory, 2000, 7).unwrap();
        let second = scratches.take(1, &memory, 2000, 8).unwrap();
        assert_eq!((first, second), (0x10010, 0x107e0));
        assert_eq!(scratches.take(1, &memory, 2000, 9), None, "it is full");
        assert_eq!(scratches.take(2, &memory, 100, 9), None, "it is another's");
        scratches.give_back(7);
        assert_eq!(scratches.take(1, &memory, 1000, 9), Some(first));
        assert_eq!(scratches.take(1, &memory, 960, 10), Some(first + 1008));
    }

    #[test]
    fn memory_without_the_mark_is_not_used() {
        let mut scratches = Scratches::new().unwrap();
        scratches.add(1, 0x10000, 4096);
        assert_eq!(scratches.take(1, &Marked(None), 100, 7), None);
        assert_eq!(scratches.take(1, &Marked(Some(&[0; 16])), 100, 7), None);
    }

    #[test]
    fn what_is_mapped_holds_what_is_needed() {
        assert_eq!(Scratches::length_for(100), LENGTH);
        assert!(Scratches::length_for(LENGTH) > LENGTH);
        assert_eq!(Scratches::length_for(LENGTH) % 4096, 0);
    }
}
