//! The private mount namespace, in the child or in hushpipe itself. No allocation.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

use super::error::{At, Fault};
use super::fork::unshare;
use super::prepare::{Namespace, Prepared};
use crate::sys::mount::Mounted;

/// Enters the namespace, mounts, passes each mount's root on as it is there, and covers files.
pub(super) fn isolate(
    prepared: &Prepared,
    mut pass_on: impl FnMut(Mounted) -> Result<(), Errno>,
) -> Result<(), Fault> {
    match &prepared.namespace {
        Namespace::Own => return Ok(()),
        Namespace::Mounts => unshare(UnshareFlags::NEWNS)?,
        Namespace::Of { pidfd, user } => return enter(pidfd, *user),
        Namespace::User(users) => {
            users.join().map_err(|errno| Fault::new(At::Join, errno))?;
            unshare(UnshareFlags::NEWNS)?;
        }
    }
    // Slave: what the host mounts later is still seen here, and nothing from here reaches the host.
    rustix::mount::mount_change(
        c"/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )
    .map_err(|errno| Fault::new(At::Propagation, errno))?;
    for (index, tmpfs) in prepared.mounts.iter().enumerate() {
        let mounted = tmpfs
            .mount()
            .map_err(|errno| Fault::new(At::Mount(index), errno))?;
        pass_on(mounted).map_err(|errno| Fault::new(At::Channel, errno))?;
    }
    for (index, cover) in prepared.spec.covers.iter().enumerate() {
        cover
            .put()
            .map_err(|errno| Fault::new(At::Cover(index), errno))?;
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
