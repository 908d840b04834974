//! What a child is to be.

use std::ffi::CString;
use std::os::fd::{OwnedFd, RawFd};

use super::cover::Cover;
use super::pinned::Pinned;
use super::users::UserNamespace;
use crate::sys::limits::Limit;
use crate::sys::mount::PrivateMount;
use crate::sys::privileges::{self, Capabilities};
use crate::sys::signals::Mask;
use crate::sys::trace::Hidden;

/// Everything about the program that is to run.
#[derive(Debug)]
pub struct Spec {
    /// Its path, for execve(2). No search is made and no shell is tried.
    pub program: CString,
    /// Executes this opened file in place of whatever the path leads to by then.
    pub pinned: Option<Pinned>,
    /// Its arguments, `argv[0]` first.
    pub argv: Vec<CString>,
    /// Its environment, as `NAME=value`.
    pub env: Vec<CString>,
    /// More of it: variables whose value is its own process id.
    pub pid_variables: Vec<&'static str>,
    /// Its working directory; `None`: hushpipe's.
    pub cwd: Option<CString>,
    /// Its file mode creation mask; `None`: hushpipe's.
    pub umask: Option<u32>,
    /// Whom it runs as; `None`: as hushpipe.
    pub identity: Option<Identity>,
    /// What is handed over, each at its number; 0 is standard input. Everything else from 3 on is
    /// closed.
    pub fds: Vec<(OwnedFd, RawFd)>,
    /// Variables that it gets without the kernel's copy of its environment; then `no_new_privs` is set.
    pub hidden: Option<Hidden>,
    /// Its resource limits.
    pub limits: Vec<Limit>,
    /// Whether it may dump core.
    pub core_dumps: bool,
    /// Whether it, and what it starts, can never gain privileges.
    pub no_new_privs: bool,
    /// The signals that are blocked in it.
    pub mask: Mask,
    /// The signal it gets when hushpipe dies.
    pub parent_death: Option<i32>,
    /// Its process group.
    pub group: Group,
    /// Where it alone sees a fresh tmpfs. The directories exist.
    pub mounts: Vec<PrivateMount>,
    /// Files that it sees empty, in a mount namespace of its own.
    pub covers: Vec<Cover>,
    /// It gets a user namespace of its own where hushpipe would need one to mount anything: from there
    /// it cannot look into other processes of its user.
    pub apart: bool,
    /// The user namespace that they are mounted in, where it takes one; `None`: it is made when it is
    /// needed.
    pub users: Option<UserNamespace>,
    /// A pidfd of a process whose mounts it sees, in place of hushpipe's; then `mounts` and `covers` are
    /// empty.
    pub beside: Option<OwnedFd>,
}

/// Whom a program runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Whom hushpipe runs as.
    pub fn current() -> std::io::Result<Self> {
        Ok(Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: rustix::process::getgroups()?
                .into_iter()
                .map(rustix::process::Gid::as_raw)
                .collect(),
        })
    }

    /// Whether user and group are hushpipe's own already, real and effective.
    pub fn is_own(&self) -> bool {
        let uids = [rustix::process::getuid(), rustix::process::geteuid()];
        let gids = [rustix::process::getgid(), rustix::process::getegid()];
        uids.iter().all(|uid| uid.as_raw() == self.uid)
            && gids.iter().all(|gid| gid.as_raw() == self.gid)
    }

    /// Whether hushpipe may change to it: it holds CAP_SETUID and CAP_SETGID, or it is it already.
    pub fn can_be_taken(&self) -> bool {
        let needed = Capabilities::SETUID | Capabilities::SETGID;
        self.is_own() || privileges::effective().contains(needed)
    }
}

/// A process's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// One of its own.
    Own,
    /// One of its own, which becomes the foreground group of the controlling terminal.
    OwnForeground,
    /// hushpipe's.
    Shared,
}
