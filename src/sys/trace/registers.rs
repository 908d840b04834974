//! The registers of a process that is held, as PTRACE_GETREGSET gives them: `user_regs_struct` of
//! sys/user.h, and its 32-bit form.

use super::block::Word;

/// NT_PRSTATUS, in the order of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    bytes: Vec<u8>,
    layout: &'static Layout,
}

/// Where a register set has what is needed, by index. The numbers and what they mean are the ABI's:
/// syscall(2).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    word: Word,
    length: usize,
    /// Where the next instruction is.
    instruction: usize,
    stack: usize,
    /// Gets the system call's number when it is made again.
    number: usize,
    /// What the kernel goes by when it makes a system call again by itself, where there is such a
    /// register.
    original: Option<usize>,
    result: usize,
    arguments: [usize; 6],
    /// How long the instruction is that makes a system call, where the kernel leaves it to the tracer to
    /// step back.
    step: u64,
    /// mmap(2), or mmap2(2).
    mmap: u64,
}

#[cfg(target_arch = "x86_64")]
const LAYOUTS: &[Layout] = &[
    Layout {
        word: Word::Eight,
        length: 27 * 8,
        instruction: 16,
        stack: 19,
        number: 10,
        original: Some(15),
        result: 10,
        arguments: [14, 13, 12, 7, 9, 8],
        step: 2,
        mmap: 9,
    },
    Layout {
        word: Word::Four,
        length: 17 * 4,
        instruction: 12,
        stack: 15,
        number: 6,
        original: Some(11),
        result: 6,
        arguments: [0, 1, 2, 3, 4, 5],
        step: 2,
        mmap: 192,
    },
];

/// The kernel itself steps back before a tracer sees a system call that is to be made again
/// (`do_signal` in arch/arm64/kernel/signal.c).
#[cfg(target_arch = "aarch64")]
const LAYOUTS: &[Layout] = &[Layout {
    word: Word::Eight,
    length: 34 * 8,
    instruction: 32,
    stack: 31,
    number: 8,
    original: None,
    result: 0,
    arguments: [0, 1, 2, 3, 4, 5],
    step: 4,
    mmap: 222,
}];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const LAYOUTS: &[Layout] = &[];

/// Whether hushpipe knows the registers of this architecture.
pub const fn are_known() -> bool {
    !LAYOUTS.is_empty()
}

impl Registers {
    /// What the kernel gave; its length tells the ABI. `None`: an ABI that hushpipe does not know.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        let layout = LAYOUTS.iter().find(|layout| layout.length == bytes.len())?;
        Some(Self { bytes, layout })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How large its pointers are.
    pub const fn word(&self) -> Word {
        self.layout.word
    }

    /// The stack pointer.
    pub fn stack(&self) -> u64 {
        self.get(self.layout.stack)
    }

    /// Moves the stack.
    pub fn set_stack(&mut self, sp: u64) {
        self.set(self.layout.stack, sp);
    }

    /// What a system call gave.
    pub fn result(&self) -> i64 {
        match self.layout.word {
            Word::Four => (self.get(self.layout.result) as i32).into(),
            Word::Eight => self.get(self.layout.result).cast_signed(),
        }
    }

    /// An argument of a system call.
    pub fn argument(&self, index: usize) -> u64 {
        self.get(self.layout.arguments[index])
    }

    /// Replaces one.
    pub fn set_argument(&mut self, index: usize, value: u64) {
        self.set(self.layout.arguments[index], value);
    }

    /// Whether it was in a system call that is to be made again (`ERESTARTNOINTR`). Where the kernel has
    /// stepped back already, that shows in no register.
    pub fn is_restarting(&self) -> bool {
        self.layout.original.is_none() || self.result() == -513
    }

    /// Of a system call that was about to be made again (`ERESTARTNOINTR`): as it will be.
    #[must_use]
    pub fn again(&self, number: u64) -> Self {
        let mut registers = self.clone();
        let layout = self.layout;
        if let Some(original) = layout.original {
            let instruction = self.get(layout.instruction);
            registers.set(layout.instruction, instruction.wrapping_sub(layout.step));
            registers.set(layout.number, number);
            // Not in a system call: the kernel is not to make it again by itself.
            registers.set(original, u64::MAX);
        }
        registers
    }

    /// Of registers that [`Self::again`] gave: another system call in its place.
    #[must_use]
    pub fn map_memory(&self, length: u64) -> Self {
        let mut registers = self.clone();
        let (read_write, private_anonymous) = (3, 0x22);
        let arguments = [0, length, read_write, private_anonymous, u64::MAX, 0];
        for (index, value) in arguments.into_iter().enumerate() {
            registers.set_argument(index, value);
        }
        registers.set(self.layout.number, self.layout.mmap);
        registers
    }

    /// Of registers that [`Self::again`] gave: the system call has failed.
    #[must_use]
    pub fn failed(&self, errno: i32) -> Self {
        let mut registers = self.clone();
        let instruction = self.get(self.layout.instruction);
        registers.set(
            self.layout.instruction,
            instruction.wrapping_add(self.layout.step),
        );
        registers.set(self.layout.result, i64::from(-errno).cast_unsigned());
        registers
    }

    fn get(&self, index: usize) -> u64 {
        let size = self.layout.word.size() as usize;
        let word = self.bytes.get(index * size..).unwrap_or_default();
        self.layout.word.read(word).unwrap_or_default()
    }

    fn set(&mut self, index: usize, value: u64) {
        let size = self.layout.word.size() as usize;
        let value = value.to_ne_bytes();
        let value = if cfg!(target_endian = "big") {
            &value[8 - size..]
        } else {
            &value[..size]
        };
        self.bytes[index * size..(index + 1) * size].copy_from_slice(value);
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    fn registers(layout: &Layout) -> Registers {
        let mut registers = Registers::new(vec![0; layout.length]).unwrap();
        registers.set(layout.instruction, 0x1002);
        registers.set(layout.result, i64::from(-513).cast_unsigned());
        registers
    }

    #[test]
    fn a_system_call_is_made_again_replaced_and_failed() {
        for layout in LAYOUTS {
            let first = registers(layout);
            assert_eq!(first.result(), -513);
            let again = first.again(59);
            assert_eq!(again.get(layout.instruction), 0x1000);
            assert_eq!(again.get(layout.number), 59);
            let none = match layout.word {
                Word::Four => u64::from(u32::MAX),
                Word::Eight => u64::MAX,
            };
            assert_eq!(again.get(layout.original.unwrap()), none);
            let map = again.map_memory(8192);
            assert_eq!(map.get(layout.number), layout.mmap);
            assert_eq!((map.argument(1), map.argument(2)), (8192, 3));
            let failed = again.failed(libc::EPERM);
            assert_eq!(failed.get(layout.instruction), 0x1002);
            assert_eq!(failed.result(), -i64::from(libc::EPERM));
        }
        assert!(Registers::new(vec![0; 12]).is_none());
    }
}
