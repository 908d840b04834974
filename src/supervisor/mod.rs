//! Supervision: a correct init for one program. It reaps, forwards signals, keeps job control and
//! the terminal working, stops in time, ends what is left over, and tells the exact exit code.
//!
//! SIGTERM is a request to stop: `stop.signal`, or what SIGTERM is rewritten to, goes to the program,
//! and SIGKILL after `stop.timeout` or at a second SIGTERM. Every other signal is passed on, and only
//! that. `TERM: none` takes the request away.
//!
//! A program can be replaced ([`Handle::replace`]): it is stopped in the same way, and hushpipe stays.
//! A request to stop that comes meanwhile is the first one, and nothing is started after it.

pub mod activation;
mod during;
mod error;
mod exit;
mod follow;
mod gate;
mod handle;
pub mod notify;
mod run;
mod running;
mod search;
pub mod spawn;
mod state;
mod stop;
mod terminal;

use std::rc::Rc;
use std::time::Instant;

use crate::model::{Forward, Observer, Protected, Ready, Startup, Stop};
use crate::sys::child::{Child, Group};
use crate::sys::pidfd;
use crate::sys::process;
use crate::sys::reaper::{Change, Reaper};
use crate::sys::signals::{Mask, Signals};

pub use during::Interrupted;
pub use error::Error;
pub use exit::{Ended, code_of};
pub use handle::Handle;

use gate::Gate;
use running::Running;
use search::Search;
use state::Control;
use terminal::Job;

/// How the program is supervised.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `run.stop:`
    pub stop: Stop,
    /// `run.signals:`
    pub forward: Forward,
    /// How the program comes up.
    pub startup: Startup,
    /// Whether hushpipe stays. If it becomes the program, orphans are not to come to it: the
    /// setting would outlive execve(2).
    pub stays: bool,
}

/// The supervisor: first of hushpipe's own work ([`Supervisor::during`]), then of the program
/// ([`Supervisor::adopt`], [`Supervisor::run`]).
pub struct Supervisor {
    settings: Settings,
    signals: Signals,
    reaper: Reaper,
    observer: Rc<dyn Observer>,
    handle: Handle,
    job: Rc<Job>,
    running: Option<Running>,
    /// hushpipe's voice to systemd.
    announcer: notify::Announcer,
    /// Between the program and systemd.
    relay: Option<notify::Relay>,
    /// Ends seen before a program was adopted.
    early: Vec<Change>,
    /// The reaper had not seen all children yet.
    more: bool,
    began: Instant,
}

/// Whether hushpipe is a job on a terminal by itself, and not a part of one.
pub fn is_job() -> std::io::Result<bool> {
    Ok(Job::here()?.control() == Control::Job)
}

impl Supervisor {
    /// Takes the signals over, and makes orphans come to hushpipe. To be called before anything is
    /// fetched.
    pub fn new(
        settings: Settings,
        signals: Signals,
        reaper: Reaper,
        observer: Rc<dyn Observer>,
    ) -> Result<Self, Error> {
        if settings.stays && !process::is_init() {
            process::become_subreaper()
                .map_err(|error| Error::new("cannot become the reaper of orphans", error))?;
        }
        let job = Job::here().map_err(|error| Error::new("cannot look for the terminal", error))?;
        Ok(Self {
            settings,
            signals,
            reaper,
            observer,
            handle: Handle::default(),
            job: Rc::new(job),
            running: None,
            announcer: notify::Announcer::silent(),
            relay: None,
            early: Vec::new(),
            // A child from before hushpipe was executed may have ended already.
            more: true,
            began: Instant::now(),
        })
    }

    /// The process group that the program is to be started in: to be asked right before.
    pub fn group(&self) -> Group {
        self.job.group()
    }

    /// What was blocked when hushpipe was started, and is to be in the program.
    pub const fn callers_mask(&self) -> Mask {
        self.signals.callers_mask()
    }

    /// The program runs now, in [`Supervisor::group`]. `protected` recognises what is kept from the
    /// environments of its tree, where it has hidden variables. Fails when the event loop cannot watch
    /// over them; the program is then killed.
    pub fn adopt(
        &mut self,
        mut child: Child,
        protected: Option<Rc<dyn Protected>>,
    ) -> Result<(), Error> {
        let gate = child.listener.take().zip(protected);
        let gate = gate.map(|(listener, protected)| {
            Gate::new(listener, protected, child.pid, Rc::clone(&self.observer))
        });
        let gate = gate.transpose().map_err(|error| {
            pidfd::send(&child.pidfd, libc::SIGKILL).ok();
            Error::new("cannot watch over what the program executes", error)
        })?;
        let setting = state::Setting {
            stop: self.settings.stop,
            forward: self.settings.forward.clone(),
            control: self.job.control(),
            session_leader: self.job.session_leader(),
        };
        self.announcer.program_begins();
        let own_group = setting.control != Control::Shared;
        let job = Rc::clone(&self.job);
        let Startup { forking, ready, .. } = &self.settings.startup;
        if *ready == Ready::Started && forking.is_none() {
            self.announcer.declare_ready();
        }
        let search = forking.clone().map(Search::new);
        self.running = Some(Running::new(setting, job, child.pid, search, gate));
        self.handle.adopt(child, own_group);
        Ok(())
    }

    /// What the program says at `relay` goes on to systemd from now on.
    pub fn speak(&mut self, announcer: notify::Announcer, relay: Option<notify::Relay>) {
        self.announcer = announcer;
        self.relay = relay;
    }

    /// Who waits for children.
    pub fn reaper(&self) -> Reaper {
        self.reaper.clone()
    }

    /// What rotation may do with the program.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    fn reap(&mut self) -> Result<Vec<Change>, Error> {
        let reaped = self
            .reaper
            .reap()
            .map_err(|error| Error::new("cannot wait for children", error))?;
        self.more = reaped.more;
        Ok(reaped.changes)
    }
}
