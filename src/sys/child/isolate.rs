//! The private mount namespace, in the child or in hushpipe itself. No allocation.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::mount::MountPropagationFlags;
use rustix::process::DumpableBehavior;
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

use super::error::{At, Fault};
use super::prepare::Namespace;
use crate::sys::mount::{Mounted, Tmpfs};

/// Enters the namespace, mounts, and passes each mount's root on as it is there.
pub(super) fn isolate(
    namespace: &Namespace,
    mounts: &[Tmpfs],
    mut pass_on: impl FnMut(Mounted) -> Result<(), Errno>,
) -> Result<(), Fault> {
    match namespace {
        Namespace::Own => return Ok(()),
        Namespace::Mounts => unshare(UnshareFlags::NEWNS)?,
        Namespace::Of { pidfd, user } => return enter(pidfd, *user),
        Namespace::User { uid_map, gid_map } => {
            unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
            map_users(uid_map, gid_map).map_err(|errno| Fault::new(At::MapUsers, errno))?;
        }
    }
    // Slave: what the host mounts later is still seen here, and nothing from here reaches the host.
    rustix::mount::mount_change(
        c"/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )
    .map_err(|errno| Fault::new(At::Propagation, errno))?;
    for (index, tmpfs) in mounts.iter().enumerate() {
        let mounted = tmpfs
            .mount()
            .map_err(|errno| Fault::new(At::Mount(index), errno))?;
        pass_on(mounted).map_err(|errno| Fault::new(At::Channel, errno))?;
    }
    Ok(())
}

/// setns(2) with a pidfd (Linux 5.8). The working directory is then the root of what is seen there.
fn enter(pidfd: &OwnedFd, user: bool) -> Result<(), Fault> {
    let mounts = ThreadNameSpaceType::MOUNT;
    let namespaces = if user {
        mounts | ThreadNameSpaceType::USER
    } else {
        mounts
    };
    rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), namespaces)
        .map_err(|errno| Fault::new(At::Beside, errno))
}

fn unshare(flags: UnshareFlags) -> Result<(), Fault> {
    // SAFETY: only CLONE_FILES would break ownership of fds, and it is never among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(|errno| Fault::new(At::Unshare, errno))
}

/// Writes the maps of a fresh user namespace: one's own user and group, each to itself
/// (user_namespaces(7)).
///
/// hushpipe is not dumpable, and then its files in /proc belong to root. So it is made dumpable for
/// these writes alone. In this short time another process of the same user could attach to it, if
/// Yama's ptrace_scope lets it, and would find a copy of hushpipe's memory: also what the program is
/// never given, such as the login of a store. Values in protected memory are not in it.
fn map_users(uid_map: &[u8], gid_map: &[u8]) -> Result<(), Errno> {
    let before = rustix::process::dumpable_behavior()?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    let written = write_to(c"/proc/self/setgroups", b"deny")
        .and_then(|()| write_to(c"/proc/self/uid_map", uid_map))
        .and_then(|()| write_to(c"/proc/self/gid_map", gid_map));
    if before != DumpableBehavior::Dumpable {
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    written
}

/// Writes all of it at once, as these files demand.
fn write_to(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    let written = retry_on_intr(|| rustix::io::write(&file, text))?;
    if written == text.len() {
        Ok(())
    } else {
        Err(Errno::IO)
    }
}
