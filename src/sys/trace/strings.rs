//! The strings of another process's vectors, read in few calls: all pages that pointers lead to at once,
//! and what follows when it is asked for. Freed blocks are wiped by the allocator, as everywhere.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::block::Memory;

const PAGE: u64 = 4096;

/// As much is read of one string, and of all (execve(2) has a limit of 6 MiB for all of them).
const MOST: usize = 6 << 20;

/// Pages of another process, each read once.
pub struct Strings<'m, M> {
    memory: &'m M,
    pages: RefCell<BTreeMap<u64, Vec<u8>>>,
}

impl<'m, M: Memory> Strings<'m, M> {
    /// Nothing is read yet.
    pub const fn new(memory: &'m M) -> Self {
        Self {
            memory,
            pages: RefCell::new(BTreeMap::new()),
        }
    }

    /// The string at an address, without its NUL. `None`: it cannot be read, or has no end.
    pub fn get(&self, at: u64) -> Option<Vec<u8>> {
        let mut string = Vec::new();
        let mut at = at;
        while string.len() < MOST {
            let mut pages = self.pages.borrow_mut();
            let start = at - at % PAGE;
            let page = pages.entry(start).or_insert_with(|| self.page(start));
            let rest = page.get((at - start) as usize..)?;
            if let Some(end) = rest.iter().position(|byte| *byte == 0) {
                string.extend_from_slice(&rest[..end]);
                return Some(string);
            }
            if page.len() < PAGE as usize {
                return None;
            }
            string.extend_from_slice(rest);
            at = start + PAGE;
        }
        None
    }

    fn page(&self, start: u64) -> Vec<u8> {
        let mut page = vec![0; PAGE as usize];
        let got = self.memory.read(start, &mut page);
        page.truncate(got);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Mapped(Vec<u8>);

    impl Memory for Mapped {
        fn read(&self, at: u64, into: &mut [u8]) -> usize {
            let there = self.0.get(at as usize..).unwrap_or_default();
            let count = there.len().min(into.len());
            into[..count].copy_from_slice(&there[..count]);
            count
        }
    }

    #[test]
    fn strings_reach_over_pages_and_end_with_what_is_mapped() {
        let mut bytes = vec![b'x'; 9000];
        bytes[4090] = 0;
        bytes[8300] = 0;
        let memory = Mapped(bytes);
        let strings = Strings::new(&memory);
        assert_eq!(strings.get(4080).unwrap(), b"xxxxxxxxxx");
        assert_eq!(strings.get(4091).unwrap().len(), 8300 - 4091);
        assert_eq!(strings.get(8300).unwrap(), b"");
        assert_eq!(strings.get(8301), None, "it has no end");
        assert_eq!(strings.get(20_000), None);
    }
}
