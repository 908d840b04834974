//! The daemon that a program leaves when it goes into the background: who it is.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::exit::end_of;
use super::state::End;
use crate::model::Forking;
use crate::sys::pid_file;
use crate::sys::process::{self, Process};
use crate::sys::reaper::Change;

/// How often the daemon is looked for.
pub(super) const EVERY: Duration = Duration::from_millis(20);

/// Where nothing names it, it must be the only process for so long: those between the first one and
/// the daemon end at once.
const ALONE: Duration = Duration::from_millis(200);

/// How long it may take to name itself, where no systemd has a limit of its own (`TimeoutStartSec=`).
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long hushpipe looks for another one after a main process that it found before has ended well.
/// One that was the only process may have been on the way to the daemon. One that a pid file named may
/// have a successor that writes the file only now: gunicorn's does once a second.
pub(super) const AGAIN: Duration = Duration::from_millis(1500);

/// The daemon of a program that goes into the background, until it is found.
#[derive(Debug)]
pub(super) struct Search {
    forking: Forking,
    /// When the first process had ended, and when to look next.
    pub(super) began: Option<(Instant, Instant)>,
    /// Nobody was there when it was looked last.
    empty: bool,
    /// Who is the only one, and since when.
    alone: Option<(i32, Instant)>,
    /// How a process ended that the program left; one that failed counts before one that did not.
    pub(super) last: Option<End>,
    /// One was found before.
    pub(super) again: bool,
    /// It was told that it takes long.
    pub(super) told: bool,
}

/// What was found.
pub(super) enum Found {
    Daemon(i32),
    /// Nobody is left.
    Nobody,
    /// It is not known yet, and why.
    NotYet(String),
}

impl Search {
    pub const fn new(forking: Forking) -> Self {
        Self {
            forking,
            began: None,
            empty: false,
            alone: None,
            last: None,
            again: false,
            told: false,
        }
    }

    /// For when what was found ends.
    pub(super) fn again(self) -> Self {
        Self {
            again: true,
            ..Self::new(self.forking)
        }
    }

    /// The process that the pid file names, if it descends from hushpipe and runs; else why not.
    fn named(path: &Path) -> Result<i32, String> {
        let shown = path.display();
        match pid_file::read(path) {
            Ok(Some(pid)) if process::is_descendant(pid).unwrap_or(false) => {
                let runs = process::look_up(pid).is_some_and(|process| !process.zombie);
                runs.then_some(pid)
                    .ok_or_else(|| format!("{shown} has process {pid}, which has ended"))
            }
            Ok(Some(pid)) => Err(format!(
                "{shown} has process {pid}, which does not descend from the program"
            )),
            Ok(None) => Err(format!("{shown} has no process id")),
            Err(error) => Err(format!("cannot read {shown}: {error}")),
        }
    }

    /// Who has taken the place of a main process that was found before and has ended.
    pub(super) fn successor(&self) -> Option<i32> {
        let path = self.forking.pid_file.as_deref().filter(|_| self.again)?;
        Self::named(path).ok()
    }

    /// When to look next.
    pub fn due(&self) -> Option<Instant> {
        self.began.map(|(_, next)| next)
    }

    /// A process ended that is not the program. While a daemon that was found runs, the ends of its
    /// workers say nothing about it.
    pub fn ended(&mut self, change: Change) {
        if self.again && self.began.is_none() {
            return;
        }
        match end_of(change.status) {
            Some(End::Code(0)) | None => {}
            failed => self.last = failed,
        }
    }

    pub(super) fn look(&mut self, left: &[Process], now: Instant) -> Found {
        if left.is_empty() {
            // Who was forked while we looked, by one that ended while we looked, was not seen.
            if std::mem::replace(&mut self.empty, true) {
                return Found::Nobody;
            }
            return Found::NotYet("no process is left".to_owned());
        }
        self.empty = false;
        let Some(path) = &self.forking.pid_file else {
            return self.guess(left, now);
        };
        match Self::named(path) {
            Ok(pid) => Found::Daemon(pid),
            Err(why) => Found::NotYet(why),
        }
    }

    /// The daemon is hushpipe's only child; it may have children of its own.
    fn guess(&mut self, left: &[Process], now: Instant) -> Found {
        let me = process::id();
        let orphans: Vec<i32> = left
            .iter()
            .filter(|each| each.parent == me)
            .map(|each| each.pid)
            .collect();
        let [daemon] = orphans[..] else {
            self.alone = None;
            return Found::NotYet(format!(
                "it left {} processes, and run.forking.pid_file does not say which is the daemon",
                left.len()
            ));
        };
        match self.alone {
            Some((pid, since)) if pid == daemon => {
                if now.duration_since(since) >= ALONE {
                    return Found::Daemon(daemon);
                }
            }
            _ => self.alone = Some((daemon, now)),
        }
        Found::NotYet(format!("process {daemon} is not alone for long"))
    }
}
