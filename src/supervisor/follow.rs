//! Another process in the program's place: one that the program names by `MAINPID=` of sd_notify(3),
//! or the daemon that it leaves when it goes into the background.
//!
//! What is followed gets the signals, and its end is the program's end. As hushpipe is the reaper of
//! orphans, it sees the end of any descendant whose parent is gone. The end of one whose parent lives
//! is that parent's to see: hushpipe goes back then to what it followed before.
//!
//! A daemon with a pid file may hand its place over, as nginx, haproxy and gunicorn do for an upgrade:
//! a new main process writes the file, and the old one ends. So the file is read again at each end of
//! the main process, as systemd does.

use std::collections::HashSet;
use std::io;

use tokio::time::Instant;

use super::Supervisor;
use super::error::Error;
use super::running::{Followed, Running};
use super::search::{AGAIN, EVERY, Found, PATIENCE, Search};
use super::state::{Control, End, To};
use crate::model::{Event, Exit, format_duration};
use crate::sys::child::Child;
use crate::sys::pidfd::{self, Watch};
use crate::sys::process::{self, Process};

/// So many processes that cannot be the main process are reported.
const REPORTED: u64 = 8;

impl Supervisor {
    /// The main process has ended: follows the one that the pid file names now, if there is one. It is
    /// asked to stop where the one before it was.
    pub(super) fn succeeded(&mut self, running: &mut Running) -> bool {
        let successor = running.search.as_ref().and_then(Search::successor);
        let Some(pid) = successor.filter(|pid| *pid != running.pid) else {
            return false;
        };
        if self.follow(running, pid).is_err() {
            // It has just ended as well.
            return false;
        }
        if let Some(followed) = &mut running.followed {
            followed.former = None;
        }
        if let Some(signal) = running.state.asked_by() {
            self.send(signal, To::Program);
        }
        true
    }

    /// Looks for the daemon.
    pub(super) fn search(&mut self, running: &mut Running) -> Result<(), Error> {
        if running.state.asked_by().is_some() {
            return self.search_ends(running, End::Code(0));
        }
        let left = self.left();
        // In this order: where nobody is left, all their codes are known.
        self.reap_beside(running)?;
        let Some(search) = &mut running.search else {
            return Ok(());
        };
        let now = Instant::now();
        let (began, _) = search.began.unwrap_or((now, now));
        match search.look(&left, now) {
            Found::Daemon(pid) => self.found(running, pid),
            // What was followed was the daemon, and has ended.
            Found::Nobody if search.again => {
                let end = search.last.unwrap_or(End::Code(0));
                self.search_ends(running, end)
            }
            Found::Nobody => {
                let end = search.last.unwrap_or(End::Code(0));
                self.fault("the program left no daemon (run.forking)".to_owned());
                self.search_ends(running, end)
            }
            Found::NotYet(_) if search.again && began.elapsed() >= AGAIN => {
                self.search_ends(running, End::Code(0))
            }
            Found::NotYet(why) if began.elapsed() < PATIENCE || self.announcer.is_heard() => {
                search.began = Some((began, now + EVERY));
                if began.elapsed() >= PATIENCE && !std::mem::replace(&mut search.told, true) {
                    self.fault(format!(
                        "the daemon that the program left is still looked for: {why}"
                    ));
                }
                Ok(())
            }
            Found::NotYet(why) => {
                self.fault(format!(
                    "the daemon that the program left was not found within {}: {why}",
                    format_duration(PATIENCE)
                ));
                self.search_ends(running, End::Code(Exit::Deadline.code()))
            }
        }
    }

    fn found(&mut self, running: &mut Running, daemon: i32) -> Result<(), Error> {
        if let Err(why) = self.follow(running, daemon) {
            self.fault(format!(
                "the daemon, process {daemon}, cannot be followed: {why}"
            ));
            return self.search_ends(running, End::Code(Exit::Os.code()));
        }
        let search = running.search.take();
        if search.as_ref().is_none_or(|search| !search.again) {
            self.announcer.declare_ready();
        }
        running.search = search.map(Search::again);
        Ok(())
    }

    fn search_ends(&mut self, running: &mut Running, end: End) -> Result<(), Error> {
        running.search = None;
        self.ended(running, end)
    }

    /// Whom the program left: everyone, but for those that hushpipe started for itself, and theirs.
    fn left(&self) -> Vec<Process> {
        let mut own = HashSet::new();
        let mut found = process::descendants().unwrap_or_default();
        // Parents come before their children.
        found.retain(|each| {
            let is_own = self.reaper.expects(each.pid) || own.contains(&each.parent);
            if is_own {
                own.insert(each.pid);
            }
            !is_own
        });
        found
    }

    /// The program named its main process, or cannot be heard any more.
    pub(super) fn named(&mut self, running: &mut Running, named: io::Result<Vec<i32>>) {
        let named = named.unwrap_or_else(|error| {
            self.relay = None;
            self.fault(format!(
                "cannot listen to what the program says to systemd any more: {error}"
            ));
            Vec::new()
        });
        for pid in named {
            if pid == running.pid {
                continue;
            }
            if let Err(why) = self.follow(running, pid) {
                self.refuse_main(running, pid, &why);
            }
        }
    }

    /// A program may name processes as fast as it can: a few of them are reported.
    fn refuse_main(&self, running: &mut Running, pid: i32, why: &str) {
        running.refused += 1;
        let end = match running.refused {
            ..REPORTED => "",
            REPORTED => "; more of them are not reported",
            _ => return,
        };
        self.fault(format!(
            "the program named process {pid} as its main process (MAINPID): it is not followed: \
             {why}{end}"
        ));
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
        let child = Child {
            pid,
            pidfd,
            listener: None,
        };
        let former = self.take_place(running, child);
        running.followed = former.map(|former| Followed {
            watch,
            former: Some(former),
        });
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
        let searches = running.search.as_ref().and_then(Search::due).is_some();
        if running.pid != pid || searches || !self.handle.is_alive() {
            return Ok(());
        }
        if self.more {
            running.followed = followed;
            return Ok(());
        }
        let Some(Followed { former, .. }) = followed else {
            return Ok(());
        };
        if self.succeeded(running) {
            return Ok(());
        }
        if let Some(former) = former
            && pidfd::send(&former.pidfd, 0).unwrap_or(false)
        {
            self.observer.observe(&Event::Following { pid: former.pid });
            self.take_place(running, former);
            if let Some(signal) = running.state.asked_by() {
                self.send(signal, To::Program);
            }
            return Ok(());
        }
        // Its parent lives, has its exit code, and is none that hushpipe follows.
        self.ended(running, End::Code(0))
    }
}
