//! The user namespace of a program, where hushpipe may make no mount namespace without one.
//!
//! Its maps are written by a process in it, to files that belong to root while that process is not
//! dumpable, as hushpipe and what it forks never are. So a process is forked for this alone, made
//! dumpable, and ends: in this short time another process of the same user may attach to it, where
//! Yama's ptrace_scope lets it, and read what was in hushpipe's memory at the fork.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::DumpableBehavior;
use rustix::thread::UnshareFlags;

use super::channel::Report;
use super::error::{At, ChildError, Fault};
use super::fork::{in_a_fork, unshare};
use crate::sys::privileges;

/// A user namespace in which hushpipe's user and group are themselves, and nobody else is; or why
/// there is none. Clones are the same one. See user_namespaces(7).
#[derive(Clone, Debug)]
pub struct UserNamespace(Arc<Result<OwnedFd, Fault>>);

impl UserNamespace {
    /// Whether private mounts take one: hushpipe may not mount by itself, and has no privileges that
    /// its program would lose in it.
    pub fn is_needed() -> bool {
        privileges::effective().is_empty() && !rustix::process::geteuid().is_root()
    }

    /// Makes one, by a copy of this process as it is now: call it before there is anything in memory
    /// that no other process of this user may see.
    pub fn make() -> Self {
        let maps = Maps::own();
        let report = in_a_fork(|channel| {
            let users = make(&maps)?;
            let sent = channel.send_directory(&users, false);
            sent.map_err(|errno| Fault::new(At::Channel, errno))
        });
        Self(Arc::new(match report {
            Ok(Report::Directory(users, _)) => Ok(users),
            Err(fault) => Err(fault),
            Ok(_) => Err(Fault::new(At::Vanished, Errno::CHILD)),
        }))
    }

    /// Why there is none.
    pub fn refusal(&self) -> Option<ChildError> {
        self.opened().err().map(ChildError::without_names)
    }

    /// What setns(2) takes.
    pub(super) fn opened(&self) -> Result<&OwnedFd, Fault> {
        self.0.as_ref().as_ref().map_err(|fault| *fault)
    }
}

/// Enters a new one, maps it, and opens it. No allocation.
fn make(maps: &Maps) -> Result<OwnedFd, Fault> {
    unshare(UnshareFlags::NEWUSER)?;
    maps.write()
        .and_then(|()| open(c"/proc/self/ns/user", OFlags::RDONLY))
        .map_err(|errno| Fault::new(At::MapUsers, errno))
}

/// What uid_map and gid_map are to say.
pub struct Maps {
    users: Vec<u8>,
    groups: Vec<u8>,
}

impl Maps {
    /// This process's user and group, each to itself.
    pub fn own() -> Self {
        let own = |id: u32| format!("{id} {id} 1\n").into_bytes();
        Self {
            users: own(rustix::process::geteuid().as_raw()),
            groups: own(rustix::process::getegid().as_raw()),
        }
    }

    /// For a process that has just entered a new user namespace, and ends soon: it is dumpable from now
    /// on. No allocation.
    pub fn write(&self) -> Result<(), Errno> {
        rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
        write_to(c"/proc/self/setgroups", b"deny")?;
        write_to(c"/proc/self/uid_map", &self.users)?;
        write_to(c"/proc/self/gid_map", &self.groups)
    }
}

/// Writes all of it at once, as these files demand.
fn write_to(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = open(path, OFlags::WRONLY)?;
    let written = retry_on_intr(|| rustix::io::write(&file, text))?;
    if written == text.len() {
        Ok(())
    } else {
        Err(Errno::IO)
    }
}

fn open(path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
}
