//! Starting the program: fork, a private mount namespace where it is asked for, and execve(2).
//!
//! It goes in two steps, because files can be put on a private tmpfs only when it is there, and the
//! program must not run before they are: [`stage`] forks a child that mounts, hands the directories
//! back and waits; [`Staged::start`] tells it to go on. [`stage_here`] does the same in this very
//! process, for a launcher that becomes the program.
//!
//! Between fork and execve the child makes async-signal-safe system calls only: all memory it needs
//! is laid out before, and all signals are blocked until right before execve.

mod attend;
mod channel;
mod cover;
mod error;
mod finish;
mod fork;
mod isolate;
mod keyring;
mod pinned;
mod prepare;
mod spec;
mod terminal_filter;
#[cfg(test)]
pub(crate) mod tests;
mod users;

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

pub use cover::Cover;
pub use error::{ChildError, Step};
pub(in crate::sys) use fork::as_user;
pub use pinned::Pinned;
pub use spec::{Group, Identity, Spec};
pub use terminal_filter::TerminalGuard;
pub use users::UserNamespace;

use channel::{Channel, Report};
use error::{At, Fault};
use fork::{BlockedSignals, ExitOnUnwind, exit_now, in_a_fork, last_errno};
use prepare::Prepared;

/// A program that was started.
#[derive(Debug)]
pub struct Child {
    /// Its process id.
    pub pid: i32,
    /// Refers to it for good, even when the number is used again: pidfd_open(2).
    pub pidfd: OwnedFd,
    /// Where what it executes waits to be looked at, for a program with hidden variables.
    pub listener: Option<OwnedFd>,
}

/// A child that is ready to become the program, and waits. Dropped, it is killed; the reaper waits
/// for it.
pub struct Staged {
    child: Option<Child>,
    channel: Channel,
    prepared: Prepared,
    directories: Vec<OwnedFd>,
    noswap: bool,
}

/// Forks a child, lets it make its private mounts, and gives back the directories on them.
pub fn stage(spec: Spec) -> Result<Staged, ChildError> {
    let mut prepared = Prepared::new(spec)?;
    let (ours, mut theirs) = Channel::pair().map_err(|errno| prepared.fault(At::Channel, errno))?;
    let blocked = BlockedSignals::all();
    // SAFETY: the child makes async-signal-safe calls only and never returns from `run`.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(prepared.fault(At::Fork, last_errno())),
        0 => {
            drop(ours);
            run(&mut prepared, &mut theirs)
        }
        pid => pid,
    };
    drop(blocked);
    drop(theirs);
    let child =
        adopt(pid, prepared.spec.group).map_err(|errno| prepared.fault(At::Pidfd, errno))?;
    let mut staged = Staged {
        child: Some(child),
        channel: ours,
        prepared,
        directories: Vec::new(),
        noswap: true,
    };
    staged.receive_directories()?;
    Ok(staged)
}

/// Takes a pidfd of a new child, and makes its process group from this side as well, so that the
/// group is there whoever runs first.
fn adopt(pid: i32, group: Group) -> Result<Child, Errno> {
    let number = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    if group != Group::Shared {
        // Fails when the child has ended; that is seen on the channel.
        rustix::process::setpgid(Some(number), Some(number)).ok();
    }
    match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Child {
            pid,
            pidfd,
            listener: None,
        }),
        Err(errno) => {
            // Without a pidfd the launch cannot go on. The number is still the child's: nobody has
            // waited for it.
            rustix::process::kill_process(number, Signal::KILL).ok();
            Err(errno)
        }
    }
}

impl Staged {
    fn receive_directories(&mut self) -> Result<(), ChildError> {
        for _ in 0..self.prepared.spec.mounts.len() {
            match self.channel.receive() {
                Ok(Report::Directory(directory, noswap)) => {
                    self.directories.push(directory);
                    self.noswap &= noswap;
                }
                Ok(Report::Fault(fault)) => return Err(self.prepared.error(fault)),
                Ok(Report::Closed | Report::Listener(_)) => {
                    return Err(self.prepared.fault(At::Vanished, Errno::CHILD));
                }
                Err(errno) => return Err(self.prepared.fault(At::Channel, errno)),
            }
        }
        Ok(())
    }

    /// The roots of the private mounts, in the order of [`Spec::mounts`].
    pub fn directories(&self) -> &[OwnedFd] {
        &self.directories
    }

    /// Whether the kernel keeps every private mount out of swap.
    pub const fn noswap(&self) -> bool {
        self.noswap
    }

    /// The waiting child's process id.
    pub fn pid(&self) -> i32 {
        self.child.as_ref().map_or(0, |child| child.pid)
    }

    /// Lets the child become the program. Returns when execve(2) has worked, or says what did not.
    /// After a fault the child has ended; the reaper waits for it.
    pub fn start(mut self) -> Result<Child, ChildError> {
        let sent = self.channel.send_go();
        if self.prepared.spec.hidden.is_some() && sent.is_ok() {
            let listener = attend::attend(self.pid(), &self.channel, &self.prepared)?;
            if let Some(child) = &mut self.child {
                child.listener = Some(listener);
            }
        }
        match (self.channel.receive(), sent) {
            // Without mounts nothing was received before: the child may have ended long ago.
            (Ok(Report::Fault(fault)), _) => Err(self.prepared.error(fault)),
            (_, Err(errno)) => Err(self.prepared.fault(At::Vanished, errno)),
            // execve closed the child's end, or a signal ended the child: the reaper tells which.
            (Ok(Report::Closed), Ok(())) => self
                .child
                .take()
                .ok_or_else(|| self.prepared.fault(At::Vanished, Errno::CHILD)),
            (Ok(Report::Directory(..) | Report::Listener(_)), _) => {
                Err(self.prepared.fault(At::Channel, Errno::PROTO))
            }
            (Err(errno), _) => Err(self.prepared.fault(At::Channel, errno)),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(child) = &self.child {
            // Fails when it has ended already, which is what is wanted.
            rustix::process::pidfd_send_signal(child.pidfd.as_fd(), Signal::KILL).ok();
        }
    }
}

/// This process, ready to become the program.
pub struct StagedHere {
    prepared: Prepared,
    directories: Vec<OwnedFd>,
    noswap: bool,
}

/// Makes the private mounts in this process, which then becomes the program.
///
/// Where a user namespace is needed, a child tries it first: half a user namespace could not be
/// undone here, and the caller could not fall back to shared files.
pub fn stage_here(mut spec: Spec) -> Result<StagedHere, ChildError> {
    // Whose child hushpipe is, is not for it to change.
    spec.parent_death = None;
    let prepared = Prepared::new(spec)?;
    if prepared.namespace.needs_user() {
        rehearse(&prepared)?;
    }
    let mut directories = Vec::with_capacity(prepared.mounts.len());
    let mut noswap = true;
    isolate::isolate(&prepared, |mounted| {
        noswap &= mounted.noswap;
        directories.push(mounted.directory);
        Ok(())
    })
    .map_err(|fault| prepared.error(fault))?;
    Ok(StagedHere {
        prepared,
        directories,
        noswap,
    })
}

impl StagedHere {
    /// The roots of the private mounts, in the order of [`Spec::mounts`].
    pub fn directories(&self) -> &[OwnedFd] {
        &self.directories
    }

    /// Whether the kernel keeps every private mount out of swap.
    pub const fn noswap(&self) -> bool {
        self.noswap
    }

    /// Becomes the program; returns only when that failed. The process is then good for nothing but
    /// to report it and to exit: its identity, its limits and any of its fds may have changed.
    pub fn exec(mut self) -> ChildError {
        let blocked = BlockedSignals::all();
        let fault = finish::finish(&mut self.prepared, None);
        std::mem::forget(blocked);
        // Their numbers may stand for something else by now.
        let fds = std::mem::take(&mut self.prepared.spec.fds);
        for (fd, _) in fds {
            std::mem::forget(fd);
        }
        self.prepared.error(fault)
    }
}

/// Tries the isolation in a child that ends right after it.
fn rehearse(prepared: &Prepared) -> Result<(), ChildError> {
    in_a_fork(|_| isolate::isolate(prepared, |_| Ok(())))
        .map(drop)
        .map_err(|fault| prepared.error(fault))
}

/// What the forked child does: isolate, report, wait for the word, become the program.
fn run(prepared: &mut Prepared, channel: &mut Channel) -> ! {
    let guard = ExitOnUnwind;
    let fault = launch(prepared, channel);
    channel.send_fault(fault);
    drop(guard);
    exit_now(126)
}

fn launch(prepared: &mut Prepared, channel: &mut Channel) -> Fault {
    if prepared.spec.group != Group::Shared
        && let Err(errno) = rustix::process::setpgid(None, None)
    {
        return Fault::new(At::Group, errno);
    }
    let isolated = isolate::isolate(prepared, |mounted| {
        channel.send_directory(&mounted.directory, mounted.noswap)
    });
    if let Err(fault) = isolated {
        return fault;
    }
    if !channel.wait_for_go() {
        // hushpipe let go of this child, or is gone.
        exit_now(126);
    }
    finish::finish(prepared, Some(channel))
}
