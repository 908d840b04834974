//! What rotation holds of the program: it can signal it, have it replaced, and see whether it lives.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use tokio::sync::Notify;

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
    replace: Cell<bool>,
    rotate: Cell<bool>,
    asked: Notify,
}

impl Handle {
    /// Sends a signal to the program through its pidfd, or to its process group where it has one of
    /// its own. `false`: it does not run.
    pub fn send(&self, signal: Signal, group: bool) -> io::Result<bool> {
        self.send_to(signal, if group { To::Group } else { To::Program })
    }

    /// Has the program stopped, as `run.stop` says, so that another one can be started in its place:
    /// [`super::Supervisor::run`] ends then.
    pub fn replace(&self) {
        self.0.replace.set(true);
        self.0.asked.notify_waiters();
    }

    /// Ends when hushpipe got a signal that means `rotate`.
    pub async fn rotation_asked(&self) {
        self.is_set(&self.0.rotate).await;
    }

    /// Ends when somebody has asked for it, also when that was before.
    async fn is_set(&self, asked: &Cell<bool>) {
        while !asked.take() {
            self.0.asked.notified().await;
        }
    }

    /// A pidfd of the program; `None` when it does not run.
    pub fn pidfd(&self) -> io::Result<Option<OwnedFd>> {
        let child = self.0.child.borrow();
        let alive = child.as_ref().filter(|_| self.is_alive());
        alive.map(|child| child.pidfd.try_clone()).transpose()
    }

    /// Whether the program was started and has not ended.
    pub fn is_alive(&self) -> bool {
        self.0.alive.get()
    }

    /// Whether the program was asked to end, and nothing comes after it.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.get()
    }

    /// The program's process id; `None` before it is started.
    pub fn pid(&self) -> Option<i32> {
        self.0.child.borrow().as_ref().map(|child| child.pid)
    }

    /// Gives the child that was the program before.
    pub(super) fn adopt(&self, child: Child, own_group: bool) -> Option<Child> {
        self.0.alive.set(true);
        // What was asked for the program before it is not asked for this one.
        self.0.replace.set(false);
        self.follow(child, own_group)
    }

    /// As [`Handle::adopt`], for another process of the same program.
    pub(super) fn follow(&self, child: Child, own_group: bool) -> Option<Child> {
        self.0.own_group.set(own_group);
        self.0.child.replace(Some(child))
    }

    pub(super) async fn replacement_asked(&self) {
        self.is_set(&self.0.replace).await;
    }

    pub(super) fn rotate(&self) {
        self.0.rotate.set(true);
        self.0.asked.notify_waiters();
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
