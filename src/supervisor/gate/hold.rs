//! A caller of execve(2) that is held. It was in the call, which hushpipe had it make again, and stops
//! before it does:
//!
//! ```text
//! seized --stop--> [mapping --calls-->] executing --exec--> released, with variables on its stack
//!                                           |--end of the call--> released: it failed
//! ```
//!
//! Its signals are blocked meanwhile. hushpipe's death is its death (`PTRACE_O_EXITKILL`).

use std::fmt;
use std::io;

use super::look::Look;
use super::scratch::Scratches;
use crate::model::Carries;
use crate::sys::listener::Call;
use crate::sys::trace::{self, DeliverError, Hidden, Registers, Remote, Tracee};

/// One that is held.
pub(super) struct Hold {
    tracee: Tracee,
    phase: Phase,
    number: u64,
    look: Look,
    /// What the new program gets on its stack.
    hidden: Result<Hidden, io::ErrorKind>,
    /// As they are when the call is made again.
    registers: Option<Registers>,
    mask: Option<u64>,
    /// Where its stack starts, which tells its address space.
    space: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It will stop.
    Seized,
    /// It is to be let go when it stops.
    Leaving,
    /// It makes mmap(2) in the place of its call.
    Mapping { length: u64, entered: bool },
    /// It makes its call.
    Executing { entered: bool },
}

/// What is left to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It stays held.
    Stay,
    /// It was let go.
    Released,
}

/// Why one that is held cannot go on.
#[derive(Debug)]
pub(super) enum HoldError {
    /// The kernel refused it.
    System(io::Error),
    /// The new program did not get its variables.
    Deliver(DeliverError),
}

impl HoldError {
    /// Whether it was killed meanwhile.
    pub fn is_end(&self) -> bool {
        let (Self::System(error) | Self::Deliver(DeliverError::System(error))) = self else {
            return false;
        };
        error.raw_os_error() == Some(libc::ESRCH)
    }
}

impl From<io::Error> for HoldError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for HoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(f, "hushpipe cannot hold it at its exec: {error}"),
            Self::Deliver(DeliverError::Raised) => {
                f.write_str("it runs with raised privileges: `getenv` does not deliver to it")
            }
            Self::Deliver(DeliverError::TooLarge) => f.write_str(
                "its variables of `getenv` take more than a quarter of the limit of its stack",
            ),
            Self::Deliver(DeliverError::Unknown) => {
                f.write_str("hushpipe does not know what the kernel put on its stack")
            }
            Self::Deliver(DeliverError::System(error)) => write!(
                f,
                "hushpipe cannot write the variables of `getenv` to its stack: {error}"
            ),
        }
    }
}

type Held = Result<Step, HoldError>;

impl Hold {
    /// It was seized in this call. `is_program`: it is the process that the variables are for.
    pub fn new(tracee: Tracee, call: &Call, mut look: Look, is_program: bool) -> Self {
        let carried = std::mem::take(&mut look.carried);
        let may_have = |carries: Carries| is_program || carries == Carries::OfTree;
        let given = carried.iter().filter(|(carries, _)| may_have(*carries));
        let hidden = Hidden::new(given.map(|(_, variable)| &variable[..]));
        Self {
            tracee,
            phase: Phase::Seized,
            number: call.number.cast_unsigned().into(),
            look,
            hidden: hidden.map_err(|error| error.kind()),
            registers: None,
            mask: None,
            space: trace::stack_of(tracee.id()).unwrap_or_default(),
        }
    }

    /// It did not wait any more: it goes as it came.
    pub const fn leave(&mut self) {
        self.phase = Phase::Leaving;
    }

    /// Whether its call is to be made.
    pub const fn is_executing(&self) -> bool {
        matches!(self.phase, Phase::Executing { .. })
    }

    /// It stopped as it was asked to, or a signal stopped its group: it then stops again when it is let
    /// go.
    pub fn in_group_stop(&mut self, scratches: &mut Scratches) -> Held {
        match self.phase {
            Phase::Leaving => self.release(),
            Phase::Seized => self.begin(scratches),
            Phase::Mapping { .. } | Phase::Executing { .. } => self.go_to_call(),
        }
    }

    /// A signal is delivered that cannot be blocked.
    pub fn signalled(&self, signal: i32) -> Held {
        match self.phase {
            Phase::Leaving | Phase::Seized => self.tracee.go_on(signal)?,
            Phase::Mapping { .. } | Phase::Executing { .. } => self.tracee.go_to_call(signal)?,
        }
        Ok(Step::Stay)
    }

    /// It is at the start or the end of a system call.
    pub fn at_call(&mut self, scratches: &mut Scratches) -> Held {
        match &mut self.phase {
            Phase::Leaving | Phase::Seized => {
                self.tracee.go_on(0)?;
                Ok(Step::Stay)
            }
            Phase::Mapping { entered, .. } | Phase::Executing { entered } if !*entered => {
                *entered = true;
                self.go_to_call()
            }
            Phase::Mapping { length, .. } => {
                let length = *length;
                self.mapped(scratches, length)
            }
            Phase::Executing { .. } => self.not_executed(),
        }
    }

    fn begin(&mut self, scratches: &mut Scratches) -> Held {
        let registers = self.tracee.registers()?;
        if registers.word() != self.look.word || !registers.is_restarting() {
            // What it does next, the gate sees.
            return self.release();
        }
        self.mask = Some(self.tracee.mask()?);
        self.tracee.set_mask(u64::MAX)?;
        let again = registers.again(self.number);
        let length = self.length()?;
        let remote = Remote::of_held(self.tracee.id());
        let room = scratches.take(self.space, &remote, length, self.tracee.id());
        self.registers = Some(again.clone());
        if let Some(at) = room {
            return self.execute(&remote, at);
        }
        let length = Scratches::length_for(length);
        self.tracee.set_registers(&again.map_memory(length))?;
        let entered = false;
        self.phase = Phase::Mapping { length, entered };
        self.go_to_call()
    }

    fn mapped(&mut self, scratches: &mut Scratches, length: u64) -> Held {
        let result = self.tracee.registers()?.result();
        if (-4095..0).contains(&result) {
            return self.fail(libc::ENOMEM);
        }
        let at = match self.look.word {
            trace::Word::Four => u64::from(result as u32),
            trace::Word::Eight => result.cast_unsigned(),
        };
        let remote = Remote::of_held(self.tracee.id());
        remote.write(at, scratches.mark())?;
        scratches.add(self.space, at, length);
        let room = scratches.take(self.space, &remote, self.length()?, self.tracee.id());
        match room {
            Some(at) => self.execute(&remote, at),
            None => self.fail(libc::ENOMEM),
        }
    }

    /// Writes the vector, and has the call made with it.
    fn execute(&mut self, remote: &Remote, at: u64) -> Held {
        let pad = self.pad()?;
        let pointers = self.look.kept.len() + 2;
        let strings = at + pointers as u64 * self.look.word.size();
        let ours = pad.iter().map(|_| strings);
        let mut vector = Vec::new();
        for pointer in self.look.kept.iter().copied().chain(ours).chain([0, 0]) {
            self.look.word.push(&mut vector, pointer);
        }
        vector.truncate((strings - at) as usize);
        vector.extend(pad.into_iter().flatten());
        vector.push(0);
        remote.write(at, &vector)?;
        let Some(mut registers) = self.registers.clone() else {
            return self.release();
        };
        registers.set_argument(self.look.environment, at);
        self.tracee.set_registers(&registers)?;
        self.phase = Phase::Executing { entered: false };
        self.go_to_call()
    }

    /// It is another program, under this number.
    pub fn executed(&mut self, pid: i32) -> Held {
        self.tracee = self.tracee.renamed(pid);
        let hidden = self.hidden()?;
        if !hidden.is_empty() {
            trace::deliver(self.tracee, hidden).map_err(HoldError::Deliver)?;
        }
        self.release()
    }

    /// The call failed: the caller sees its own environment again.
    fn not_executed(&self) -> Held {
        if let Some(before) = &self.registers {
            let mut registers = self.tracee.registers()?;
            let environment = self.look.environment;
            registers.set_argument(environment, before.argument(environment));
            self.tracee.set_registers(&registers)?;
        }
        self.release()
    }

    /// The call is not made, and fails.
    fn fail(&self, errno: i32) -> Held {
        if let Some(registers) = &self.registers {
            self.tracee.set_registers(&registers.failed(errno))?;
        }
        self.release()
    }

    fn release(&self) -> Held {
        if let Some(mask) = self.mask {
            self.tracee.set_mask(mask)?;
        }
        self.tracee.release()?;
        Ok(Step::Released)
    }

    fn go_to_call(&self) -> Held {
        self.tracee.go_to_call(0)?;
        Ok(Step::Stay)
    }

    fn hidden(&self) -> io::Result<&Hidden> {
        self.hidden.as_ref().map_err(|kind| (*kind).into())
    }

    /// The variable that reserves room for the hidden ones, where there are any.
    fn pad(&self) -> io::Result<Option<Vec<u8>>> {
        let hidden = self.hidden()?;
        Ok((!hidden.is_empty()).then(|| hidden.pad()))
    }

    /// What the vector takes, with the pad.
    fn length(&self) -> io::Result<u64> {
        let pad = self.pad()?.map_or(0, |pad| pad.len());
        let pointers = self.look.kept.len() as u64 + 2;
        Ok(pointers * self.look.word.size() + pad as u64 + 1)
    }
}
