//! Another process in the program's place: `MAINPID=` of sd_notify(3).
//!
//! What is followed gets the signals, and its end is the program's end. As hushpipe is the reaper of
//! orphans, it sees the end of any descendant whose parent is gone. The end of one whose parent lives
//! is that parent's to see: hushpipe goes back then to what it followed before.

use std::io;

use super::run::Running;
use super::state::{Control, To};
use super::{Error, Supervisor};
use crate::model::Event;
use crate::sys::child::Child;
use crate::sys::pidfd::{self, Watch};
use crate::sys::process;
use crate::sys::reaper::{Change, Status};

/// A process that took the program's place.
#[derive(Debug)]
pub(super) struct Followed {
    watch: Watch,
    former: Child,
}

/// Ends when the process that is followed has ended; never, where the program is what was started.
pub(super) async fn gone(followed: Option<&Followed>) -> io::Result<()> {
    match followed {
        Some(followed) => followed.watch.ended().await,
        None => std::future::pending().await,
    }
}

impl Supervisor {
    /// The program named its main process, or cannot be heard any more.
    pub(super) fn named(&mut self, running: &mut Running, named: io::Result<Option<i32>>) {
        match named {
            Ok(None) => {}
            Ok(Some(pid)) if pid == running.pid => {}
            Ok(Some(pid)) => {
                if let Err(why) = self.follow(running, pid) {
                    self.fault(format!(
                        "the program named process {pid} as its main process (MAINPID): it is not \
                         followed: {why}"
                    ));
                }
            }
            Err(error) => {
                self.relay = None;
                self.fault(format!(
                    "cannot listen to what the program says to systemd any more: {error}"
                ));
            }
        }
    }

    /// Puts a descendant in the program's place.
    pub(super) fn follow(&mut self, running: &mut Running, pid: i32) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let pidfd = pidfd::open(pid).map_err(text)?;
        // Asked once the pidfd holds it: the number cannot be another's any more.
        if !process::is_descendant(pid).map_err(text)? {
            return Err("it does not descend from the program".to_owned());
        }
        let watch = pidfd.try_clone().and_then(Watch::new).map_err(text)?;
        let former = self.take_place(running, Child { pid, pidfd });
        running.followed = former.map(|former| Followed { watch, former });
        self.observer.observe(&Event::Following { pid });
        Ok(())
    }

    fn take_place(&mut self, running: &mut Running, child: Child) -> Option<Child> {
        let leads = process::group_of(child.pid) == child.pid;
        running.pid = child.pid;
        let own_group = leads && running.job.control() != Control::Shared;
        self.handle.follow(child, own_group)
    }

    /// What is followed has ended. If it was hushpipe's child, reaping it told its end.
    pub(super) fn gone(
        &mut self,
        running: &mut Running,
        gone: io::Result<()>,
    ) -> Result<(), Error> {
        gone.map_err(|error| Error::new("cannot watch the program", error))?;
        let (pid, followed) = (running.pid, running.followed.take());
        self.reap_beside(running)?;
        if running.pid != pid || !self.handle.is_alive() {
            return Ok(());
        }
        if self.more {
            running.followed = followed;
            return Ok(());
        }
        let Some(Followed { former, .. }) = followed else {
            return Ok(());
        };
        if pidfd::send(&former.pidfd, 0).unwrap_or(false) {
            self.observer.observe(&Event::Following { pid: former.pid });
            self.take_place(running, former);
            if let Some(signal) = running.state.asked_by() {
                self.send(signal, To::Program);
            }
            return Ok(());
        }
        // Its parent lives, has its exit code, and is none that hushpipe follows.
        let status = Status::Exited(0);
        self.changed(running, Change { pid, status })
    }
}
