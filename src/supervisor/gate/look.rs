//! The look at what a caller of execve(2) passes on.

use std::fmt;
use std::io;

use crate::model::{Carries, Protected};
use crate::sys::listener::Call;
use crate::sys::process;
use crate::sys::trace::{self, Caller, Strings, Word, vector};

/// What execve(2) takes at the most for arguments and environment together: 3/4 of 8 MiB.
const MOST: usize = 6 << 20;

/// What a caller passes on.
pub(super) struct Look {
    /// How large its pointers are.
    pub word: Word,
    /// Which argument of the call is the environment.
    pub environment: usize,
    /// The variables that carry nothing.
    pub kept: Vec<u64>,
    /// Those that do.
    pub carried: Vec<(Carries, Vec<u8>)>,
    /// The first argument that shows a value, and the variable's name.
    pub argument: Option<(usize, String)>,
}

/// Why a call is not made.
#[derive(Debug)]
pub(super) enum LookError {
    /// hushpipe may not read the caller's memory.
    Denied(io::Error),
    /// What the call points to is not there.
    Missing,
    /// It is more than execve(2) takes.
    TooMuch,
    /// hushpipe may not hold the caller.
    NotHeld(io::Error),
}

impl LookError {
    /// What the call fails with.
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Denied(_) | Self::NotHeld(_) => libc::EPERM,
            Self::Missing => libc::EFAULT,
            Self::TooMuch => libc::E2BIG,
        }
    }
}

impl fmt::Display for LookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(error) => write!(
                f,
                "hushpipe may not look at its environment ({error}): give hushpipe CAP_SYS_PTRACE"
            ),
            Self::Missing => f.write_str("its arguments or environment cannot be read"),
            Self::TooMuch => f.write_str("its arguments and environment are too long"),
            Self::NotHeld(error) => write!(
                f,
                "its environment has variables of `getenv`, and hushpipe may not hold it ({error}): a \
                 debugger traces it, or hushpipe lacks CAP_SYS_PTRACE"
            ),
        }
    }
}

impl Look {
    /// Reads the caller's vectors. The caller waits; other threads of its process do not.
    pub fn at(call: &Call, protected: &dyn Protected) -> Result<Self, LookError> {
        let caller = Caller::new(call.tid).map_err(LookError::Denied)?;
        let word = if call.compat { Word::Four } else { Word::Eight };
        let arguments = if is_execveat(call) { 2 } else { 1 };
        let environment = arguments + 1;
        let pointers =
            |index: usize| vector(&caller, word, call.arguments[index]).ok_or(LookError::Missing);
        let strings = Strings::new(&caller);
        let mut left = MOST;
        let mut string = |pointer: u64| {
            let string = strings.get(pointer).ok_or(LookError::Missing)?;
            left = left
                .checked_sub(string.len() + word.size() as usize + 1)
                .ok_or(LookError::TooMuch)?;
            Ok(string)
        };
        let mut look = Self {
            word,
            environment,
            kept: Vec::new(),
            carried: Vec::new(),
            argument: None,
        };
        for pointer in pointers(environment)? {
            let variable = string(pointer)?;
            match protected.carries(&variable) {
                Carries::Nothing => look.kept.push(pointer),
                carries => look.carried.push((carries, variable)),
            }
        }
        for (index, pointer) in pointers(arguments)?.into_iter().enumerate() {
            let argument = string(pointer)?;
            if look.argument.is_none() {
                let name = protected.named_in(&argument);
                look.argument = name.map(|name| (index, name.to_owned()));
            }
        }
        Ok(look)
    }
}

impl Look {
    /// Takes what is carried out of the caller's own vector: for one that a debugger holds, if nobody
    /// else has its memory. Whether it is done.
    pub fn strip(&self, call: &Call) -> bool {
        let parent = process::look_up(call.tid).map(|found| found.parent);
        let is_alone =
            parent.is_some_and(|parent| matches!(trace::share_memory(call.tid, parent), Ok(false)));
        if !is_alone || !process::is_traced(call.tid) {
            return false;
        }
        let mut vector = Vec::new();
        for pointer in self.kept.iter().copied().chain([0]) {
            self.word.push(&mut vector, pointer);
        }
        let caller = Caller::new(call.tid);
        let at = call.arguments[self.environment];
        caller.is_ok_and(|caller| caller.write(at, &vector).is_ok())
    }
}

/// The filter lets execve(2) and execveat(2) wait alone, each under the number of its ABI.
fn is_execveat(call: &Call) -> bool {
    let compat = [358, 387];
    if call.compat {
        compat.contains(&call.number)
    } else {
        i64::from(call.number) == libc::SYS_execveat
    }
}
