//! What rotation holds of the program: it can signal it and see whether it lives.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use super::state::To;
use crate::model::Signal;
use crate::sys::child::Child;
use crate::sys::pidfd;

/// Refers to the program, before, while and after it runs. Clones refer to the same one.
#[derive(Clone, Debug, Default)]
pub struct Handle(Rc<Program>);

#[derive(Debug, Default)]
struct Program {
    child: RefCell<Option<Child>>,
    own_group: Cell<bool>,
    alive: Cell<bool>,
    stopping: Cell<bool>,
}

impl Handle {
    /// Sends a signal to the program through its pidfd. `false`: it does not run.
    pub fn send(&self, signal: Signal) -> io::Result<bool> {
        self.send_to(signal, To::Program)
    }

    /// Whether the program was started and has not ended.
    pub fn is_alive(&self) -> bool {
        self.0.alive.get()
    }

    /// Whether the program was asked to end.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.get()
    }

    /// The program's process id; `None` before it is started.
    pub fn pid(&self) -> Option<i32> {
        self.0.child.borrow().as_ref().map(|child| child.pid)
    }

    pub(super) fn adopt(&self, child: Child, own_group: bool) {
        self.0.child.replace(Some(child));
        self.0.own_group.set(own_group);
        self.0.alive.set(true);
    }

    pub(super) fn is_asked_to_stop(&self) {
        self.0.stopping.set(true);
    }

    pub(super) fn has_ended(&self) {
        self.0.alive.set(false);
    }

    pub(super) fn send_to(&self, signal: Signal, to: To) -> io::Result<bool> {
        let child = self.0.child.borrow();
        match child.as_ref() {
            Some(child) if to == To::Group && self.0.own_group.get() => {
                let unreaped = self.is_alive().then_some(child.pid);
                pidfd::send_group(&child.pidfd, unreaped, signal.number())
            }
            Some(child) if self.is_alive() => pidfd::send(&child.pidfd, signal.number()),
            _ => Ok(false),
        }
    }

    /// Calls with the pidfd of a program that leads a group of its own.
    pub(super) fn with_leader<T>(
        &self,
        act: impl FnOnce(Option<std::os::fd::BorrowedFd<'_>>) -> T,
    ) -> T {
        let child = self.0.child.borrow();
        let leader = child.as_ref().filter(|_| self.0.own_group.get());
        act(leader.map(|child| child.pidfd.as_fd()))
    }

    /// Whether the program was reaped, be it known or not.
    pub(super) fn is_reaped(&self) -> io::Result<bool> {
        match self.0.child.borrow().as_ref() {
            Some(child) => Ok(!pidfd::send(&child.pidfd, 0)?),
            None => Ok(false),
        }
    }
}
