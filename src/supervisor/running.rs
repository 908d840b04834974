//! A program that is supervised, and what is followed in its place.

use std::io;
use std::rc::Rc;

use tokio::time::Instant;

use super::gate::Gate;
use super::search::Search;
use super::state::{End, Sender, Setting, State};
use super::stop::Sweeper;
use super::terminal::Job;
use crate::sys::child::Child;
use crate::sys::pidfd::Watch;
use crate::sys::process;
use crate::sys::signals::Received;

/// A process that took the program's place.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) watch: Watch,
    /// Who was followed before; `None`: it has ended.
    pub(super) former: Option<Child>,
}

/// A program that is supervised, from its start to the end of its leftovers.
pub(super) struct Running {
    pub(super) job: Rc<Job>,
    pub(super) pid: i32,
    pub(super) state: State,
    pub(super) timer: Option<Instant>,
    pub(super) look: Option<Instant>,
    pub(super) sweeper: Sweeper,
    /// The SIGCONT that woke hushpipe from a suspension is already answered.
    pub(super) answered: bool,
    /// The terminal did not answer once, which was told.
    pub(super) mute: bool,
    pub(super) over: Option<End>,
    /// The program's first process leaves a daemon, which is looked for.
    pub(super) search: Option<Search>,
    /// What was followed before, and the end of what is now.
    pub(super) followed: Option<Followed>,
    /// What its tree executes passes it, where it has hidden variables.
    pub(super) gate: Option<Gate>,
    /// How many processes the program named as its main process that cannot be.
    pub(super) refused: u64,
}

impl Running {
    pub(super) fn new(
        setting: Setting,
        job: Rc<Job>,
        pid: i32,
        search: Option<Search>,
        gate: Option<Gate>,
    ) -> Self {
        Self {
            job,
            pid,
            state: State::new(setting),
            timer: None,
            look: None,
            sweeper: Sweeper::default(),
            answered: false,
            mute: false,
            over: None,
            search,
            followed: None,
            gate,
            refused: 0,
        }
    }

    pub(super) fn sender(&self, received: &Received) -> Sender {
        if received.from_kernel() {
            return Sender::Kernel;
        }
        match received.sender {
            _ if received.from_self() => Sender::Itself,
            pid if pid == self.pid => Sender::Program,
            pid if pid > 0 && pid == process::group() => Sender::Leader(pid),
            pid if pid > 0 && process::group_of(pid) == self.pid => Sender::Member(pid),
            pid => Sender::Other(pid),
        }
    }

    /// The first process, or one that was taken for the daemon, has ended with 0: whether it may have
    /// left a daemon, which is looked for then.
    pub(super) fn begins_search(&mut self) -> bool {
        let stopping = self.state.asked_by().is_some();
        match &mut self.search {
            Some(search) if search.began.is_none() && !stopping => {
                let now = Instant::now();
                search.began = Some((now, now));
                self.followed = None;
                true
            }
            _ => false,
        }
    }
}

/// Ends when a process of the tree wants to execute.
pub(super) async fn at_gate(gate: Option<&Gate>) -> io::Result<()> {
    match gate {
        Some(gate) => gate.ready().await,
        None => std::future::pending().await,
    }
}

/// Ends when the process that is followed has ended; never, where the program is what was started.
pub(super) async fn gone(followed: Option<&Followed>) -> io::Result<()> {
    match followed {
        Some(followed) => followed.watch.ended().await,
        None => std::future::pending().await,
    }
}
