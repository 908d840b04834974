//! The gate: every execve(2) of the program's tree waits for hushpipe, which takes protected variables
//! out of the environment that the kernel copies, and gives them to the new program on its stack where
//! it may have them.
//!
//! An exec without them goes on at once. For one with them the caller is held for a moment: see
//! [`hold`]. What hushpipe cannot look at is not executed.

mod hold;
mod look;
mod scratch;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::model::{Event, Observer, Protected};
use crate::sys::listener::{Answer, Call, Listener};
use crate::sys::process;
use crate::sys::reaper::{Change, Status};
use crate::sys::trace::{Stop, Tracee};

use hold::{Hold, Step};
use look::{Look, LookError};
use scratch::Scratches;

/// So many calls are answered in one turn of the event loop, so that a fork bomb cannot keep signals
/// waiting.
const BATCH: usize = 64;

/// So many callers are held at a time; others wait for their turn. All calls are received all the same:
/// those of held callers are among them.
const HELD: usize = 256;

/// The gate of one program's tree.
pub(super) struct Gate {
    listener: Listener,
    protected: Rc<dyn Protected>,
    /// The process that the variables are for.
    program: i32,
    held: BTreeMap<i32, Hold>,
    /// Calls whose callers are to be held when there is room.
    waiting: VecDeque<Call>,
    scratches: Scratches,
    observer: Rc<dyn Observer>,
    told: Told,
}

impl Gate {
    /// Needs a tokio runtime with I/O.
    pub fn new(
        listener: OwnedFd,
        protected: Rc<dyn Protected>,
        program: i32,
        observer: Rc<dyn Observer>,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::new(listener)?,
            protected,
            program,
            held: BTreeMap::new(),
            waiting: VecDeque::new(),
            scratches: Scratches::new()?,
            observer,
            told: Told::default(),
        })
    }

    /// Waits until calls can be answered.
    pub async fn ready(&self) -> io::Result<()> {
        self.listener.ready().await
    }

    /// Answers the calls that wait.
    pub fn answer(&mut self) -> io::Result<()> {
        for _ in 0..BATCH {
            let Some(call) = self.listener.next()? else {
                break;
            };
            self.called(&call)?;
        }
        Ok(())
    }

    fn called(&mut self, call: &Call) -> io::Result<()> {
        // A held caller makes its call again, with what hushpipe wrote.
        if self.held.get(&call.tid).is_some_and(Hold::is_executing) {
            return self.listener.answer(call, Answer::GoOn).map(drop);
        }
        let look = match Look::at(call, self.protected.as_ref()) {
            Ok(look) => look,
            Err(error) => return self.refuse(call, &error),
        };
        if let Some((index, name)) = &look.argument {
            self.tell(&Event::ArgumentShowsValue {
                pid: call.tid,
                argument: *index,
                variable: name.clone(),
            });
        }
        if look.carried.is_empty() {
            return self.listener.answer(call, Answer::GoOn).map(drop);
        }
        if self.held.len() >= HELD {
            self.waiting.push_back(*call);
            return Ok(());
        }
        let is_program = process::leader_of(call.tid) == Some(self.program);
        match Tracee::seize(call.tid) {
            Ok(tracee) => self.hold(call, tracee, look, is_program),
            Err(_) if !self.listener.is_waiting(call) => Ok(()),
            Err(error) => {
                if !look.strip(call) {
                    return self.refuse(call, &LookError::NotHeld(error));
                }
                self.tell(&Event::ExecTraced { pid: call.tid });
                self.listener.answer(call, Answer::GoOn).map(drop)
            }
        }
    }

    fn hold(
        &mut self,
        call: &Call,
        tracee: Tracee,
        look: Look,
        is_program: bool,
    ) -> io::Result<()> {
        // From here on another process cannot have the number. One that already had is let go.
        let mut hold = Hold::new(tracee, call, look, is_program);
        if !self.listener.is_waiting(call) || !self.listener.answer(call, Answer::Again)? {
            hold.leave();
        }
        self.held.insert(call.tid, hold);
        Ok(())
    }

    fn refuse(&self, call: &Call, error: &LookError) -> io::Result<()> {
        if !self.listener.is_waiting(call) {
            return Ok(());
        }
        self.listener.answer(call, Answer::Fail(error.errno()))?;
        self.tell(&Event::ExecRefused {
            pid: call.tid,
            why: error.to_string(),
        });
        Ok(())
    }

    /// Whether a change is of a process that is held, and nobody else's business.
    pub fn changed(&mut self, change: Change) -> io::Result<bool> {
        let is_stop = match change.status {
            Status::Trapped(code) => {
                self.stopped(change.pid, Stop::of(code));
                true
            }
            status => {
                if status.is_end() {
                    self.forget(change.pid);
                }
                false
            }
        };
        while self.held.len() < HELD
            && let Some(call) = self.waiting.pop_front()
        {
            if self.listener.is_waiting(&call) {
                self.called(&call)?;
            }
        }
        Ok(is_stop)
    }

    fn forget(&mut self, tid: i32) {
        self.held.remove(&tid);
        self.scratches.give_back(tid);
    }

    fn stopped(&mut self, pid: i32, stop: Stop) {
        let tid = match stop {
            // The stop comes under the leader's number, which the thread that executed now has.
            Stop::Executed => Tracee::of(pid).former().unwrap_or(pid),
            _ => pid,
        };
        let Some(hold) = self.held.get_mut(&tid) else {
            // Of nobody that is held any more.
            Tracee::of(pid).release().ok();
            return;
        };
        let step = match stop {
            Stop::Executed => hold.executed(pid),
            Stop::Call => hold.at_call(&mut self.scratches),
            Stop::Group => hold.in_group_stop(&mut self.scratches),
            Stop::Signal(signal) => hold.signalled(signal),
        };
        match step {
            Ok(Step::Stay) => {}
            Ok(Step::Released) => self.forget(tid),
            Err(error) => self.failed(tid, pid, &error),
        }
        if pid != tid {
            // The leader is gone, whatever it was doing.
            self.forget(pid);
        }
    }

    /// A caller that could not be dealt with does not go on. Its end is told by the reaper.
    fn failed(&mut self, tid: i32, pid: i32, error: &hold::HoldError) {
        if error.is_end() {
            return;
        }
        Tracee::of(pid).kill();
        self.forget(tid);
        self.tell(&Event::ExecRefused {
            pid,
            why: error.to_string(),
        });
    }

    fn tell(&self, event: &Event) {
        if self.told.again() {
            self.observer.observe(event);
        }
    }
}

/// Events of a tree that makes thousands of them are told less and less often.
#[derive(Default)]
struct Told(std::cell::Cell<u64>);

impl Told {
    /// The first 32, then each whose number is a power of two.
    fn again(&self) -> bool {
        let count = self.0.get() + 1;
        self.0.set(count);
        count <= 32 || count.is_power_of_two()
    }
}
