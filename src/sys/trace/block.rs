//! What a program finds on its stack when it starts: argc, argv, the environment and the auxiliary
//! vector, as the System V ABI lays them out ("Initial Process Stack"; `create_elf_tables` in
//! fs/binfmt_elf.c). A second block below the kernel's has more variables. Pure: memory is read and
//! written by others.

use super::hidden::{Hidden, PAD};

/// linux/auxvec.h
const AT_NULL: u64 = 0;
const AT_SECURE: u64 = 23;

/// No more pointers are read in one vector.
const MOST_POINTERS: usize = 1 << 20;

/// How large pointers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// 32-bit programs.
    Four,
    /// 64-bit programs.
    Eight,
}

impl Word {
    /// In bytes.
    pub const fn size(self) -> u64 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Reads one.
    pub fn read(self, bytes: &[u8]) -> Option<u64> {
        match self {
            Self::Four => Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?).into()),
            Self::Eight => Some(u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?)),
        }
    }

    /// Writes one.
    pub fn push(self, to: &mut Vec<u8>, value: u64) {
        match self {
            Self::Four => to.extend_from_slice(&(value as u32).to_ne_bytes()),
            Self::Eight => to.extend_from_slice(&value.to_ne_bytes()),
        }
    }
}

/// Reads memory: how many bytes at this address could be read, 0 where there is none.
pub trait Memory {
    /// Fills the start of `into`.
    fn read(&self, at: u64, into: &mut [u8]) -> usize;
}

/// Words, read a page at a time.
struct Words<'m, M> {
    memory: &'m M,
    word: Word,
    at: u64,
    page: Vec<u8>,
    used: usize,
}

impl<'m, M: Memory> Words<'m, M> {
    const fn new(memory: &'m M, word: Word, at: u64) -> Self {
        Self {
            memory,
            word,
            at,
            page: Vec::new(),
            used: 0,
        }
    }

    fn next(&mut self) -> Option<u64> {
        let size = self.word.size();
        if self.page.len() < self.used + size as usize {
            let from = self.at;
            // To the end of the page: what follows may not be mapped.
            let length = (4096 - from % 4096).max(size) as usize;
            self.page.resize(length, 0);
            let got = self.memory.read(from, &mut self.page);
            self.page.truncate(got);
            self.used = 0;
        }
        let value = self.word.read(self.page.get(self.used..)?)?;
        self.used += size as usize;
        self.at += size;
        Some(value)
    }

    /// Pointers up to a null pointer, which is not among them.
    fn vector(&mut self) -> Option<Vec<u64>> {
        let mut pointers = Vec::new();
        while pointers.len() < MOST_POINTERS {
            match self.next()? {
                0 => return Some(pointers),
                pointer => pointers.push(pointer),
            }
        }
        None
    }
}

/// A vector of pointers in memory, up to its null pointer. A null address is an empty vector, as
/// execve(2) takes it. `None`: it cannot be read, or has no end.
pub fn vector(memory: &impl Memory, word: Word, at: u64) -> Option<Vec<u64>> {
    if at == 0 {
        return Some(Vec::new());
    }
    Words::new(memory, word, at).vector()
}

/// The kernel's block.
#[derive(Debug, PartialEq, Eq)]
pub struct Start {
    sp: u64,
    word: Word,
    argv: Vec<u64>,
    /// The variables, in their order.
    pub envp: Vec<u64>,
    /// Pairs, without the last one.
    auxv: Vec<(u64, u64)>,
}

impl Start {
    /// Reads it. `None`: what is there is no such block.
    pub fn read(memory: &impl Memory, word: Word, sp: u64) -> Option<Self> {
        let mut words = Words::new(memory, word, sp);
        let argc = words.next()?;
        let argv = words.vector()?;
        if argv.len() as u64 != argc {
            return None;
        }
        let envp = words.vector()?;
        let mut auxv = Vec::new();
        loop {
            match (words.next()?, words.next()?) {
                (AT_NULL, _) => break,
                pair if auxv.len() < 256 => auxv.push(pair),
                _ => return None,
            }
        }
        Some(Self {
            sp,
            word,
            argv,
            envp,
            auxv,
        })
    }

    /// Whether the kernel raised the program's privileges: getauxval(3), `AT_SECURE`.
    pub fn is_secure(&self) -> bool {
        let mut pairs = self.auxv.iter();
        pairs.any(|(kind, value)| *kind == AT_SECURE && *value != 0)
    }
}

/// A block to be written below the kernel's.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The stack pointer, where the vectors start.
    pub sp: u64,
    /// The vectors.
    pub vectors: Vec<u8>,
    /// Where the strings of [`Hidden`] start.
    pub strings: u64,
}

impl Block {
    /// With the hidden variables last, and without what `is_replaced` tells of the kernel's. `None`:
    /// there is no room below.
    pub fn new(start: &Start, is_replaced: impl Fn(u64) -> bool, hidden: &Hidden) -> Option<Self> {
        let word = start.word;
        let strings = start.sp.checked_sub(hidden.len() as u64)? & !15;
        let mut vectors = Vec::new();
        word.push(&mut vectors, start.argv.len() as u64);
        let kept = start.envp.iter().copied();
        let kept = kept.filter(|pointer| !is_replaced(*pointer));
        let ours = hidden.starts().map(|start| strings + start as u64);
        let all = start.argv.iter().copied().chain([0]);
        for pointer in all.chain(kept).chain(ours).chain([0]) {
            word.push(&mut vectors, pointer);
        }
        for (kind, value) in start.auxv.iter().chain(&[(AT_NULL, 0)]) {
            word.push(&mut vectors, *kind);
            word.push(&mut vectors, *value);
        }
        let sp = strings.checked_sub(vectors.len() as u64)? & !15;
        Some(Self {
            sp,
            vectors,
            strings,
        })
    }

    /// How far it reaches below the kernel's.
    pub const fn length(&self, start: &Start) -> u64 {
        start.sp - self.sp
    }
}

/// Whether a variable of the kernel's block is not to be seen by the program: the pad, and what has the
/// name of a hidden one.
pub fn is_replaced(variable: &[u8], hidden: &Hidden) -> bool {
    variable.starts_with(PAD) || hidden.names(variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that is mapped from an address on.
    struct Mapped {
        at: u64,
        bytes: Vec<u8>,
    }

    impl Memory for Mapped {
        fn read(&self, at: u64, into: &mut [u8]) -> usize {
            let offset = at.checked_sub(self.at).map_or(usize::MAX, |at| at as usize);
            let there = self.bytes.get(offset..).unwrap_or_default();
            let count = there.len().min(into.len());
            into[..count].copy_from_slice(&there[..count]);
            count
        }
    }

    fn mapped(word: Word, at: u64, words: &[u64]) -> Mapped {
        let mut bytes = Vec::new();
        for value in words {
            word.push(&mut bytes, *value);
        }
        Mapped { at, bytes }
    }

    const SP: u64 = 0x7fff_0ff0;

    fn hidden(strings: &[&str]) -> Hidden {
        let strings: Vec<&[u8]> = strings.iter().map(|string| string.as_bytes()).collect();
        Hidden::new(strings.iter().copied()).unwrap()
    }

    #[test]
    fn a_second_block_has_the_hidden_variables_last_and_the_same_auxiliary_vector() {
        for word in [Word::Four, Word::Eight] {
            for (argv, envp) in [
                (vec![], vec![]),
                (vec![7], vec![8, 9]),
                (vec![1; 700], vec![2; 900]),
            ] {
                let auxv = [(6, 4096), (23, 0), (25, 0x7fff_2222)];
                let mut words = vec![argv.len() as u64];
                words.extend(argv.iter().chain(&[0]).chain(&envp).chain(&[0]));
                words.extend(auxv.iter().flat_map(|(kind, value)| [*kind, *value]));
                words.extend([0, 0]);
                let start = Start::read(&mapped(word, SP, &words), word, SP).unwrap();
                assert!(!start.is_secure());
                let hidden = hidden(&["A=1", "B=two"]);
                let block = Block::new(&start, |pointer| pointer == 9, &hidden).unwrap();
                assert_eq!(block.sp % 16, 0);
                assert!(block.strings + hidden.len() as u64 <= SP);
                assert!(block.sp + block.vectors.len() as u64 <= block.strings);
                let memory = Mapped {
                    at: block.sp,
                    bytes: block.vectors.clone(),
                };
                let read = Start::read(&memory, word, block.sp).unwrap();
                let kept = envp.iter().copied().filter(|pointer| *pointer != 9);
                let ours = [block.strings, block.strings + 4];
                assert_eq!(read.envp, kept.chain(ours).collect::<Vec<_>>());
                assert_eq!((read.argv, read.auxv), (argv, auxv.to_vec()));
            }
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let read = |words: &[u64]| Start::read(&mapped(Word::Eight, SP, words), Word::Eight, SP);
        assert!(read(&[]).is_none());
        assert!(read(&[1, 5]).is_none());
        assert!(read(&[2, 5, 0, 6, 0, 0, 0]).is_none(), "argc is not argv's");
        assert!(read(&[1, 5, 0, 6, 0, 3, 3]).is_none(), "the end is missing");
        let secure = read(&[1, 5, 0, 6, 0, 23, 1, 0, 0]).unwrap();
        assert!(secure.is_secure());
    }

    #[test]
    fn a_vector_without_an_end_is_refused_and_null_is_empty() {
        let memory = mapped(Word::Eight, SP, &[1, 2]);
        assert_eq!(vector(&memory, Word::Eight, SP), None);
        assert_eq!(vector(&memory, Word::Eight, 0), Some(Vec::new()));
        assert_eq!(vector(&memory, Word::Eight, 4096), None);
    }

    #[test]
    fn the_pad_and_what_has_a_hidden_name_are_replaced() {
        let hidden = hidden(&["A=1"]);
        for (variable, replaced) in [
            ("HUSHPIPE_PAD=   ", true),
            ("A=other", true),
            ("AB=1", false),
            ("HUSHPIPE_PA=", false),
        ] {
            assert_eq!(
                is_replaced(variable.as_bytes(), &hidden),
                replaced,
                "{variable}"
            );
        }
    }
}
