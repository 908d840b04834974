//! The session keyring: session-keyring(7). Whoever is in a session possesses the keys in it, whatever
//! user they belong to; so a program of another user gets a session keyring of its own, as pam_keyinit
//! and systemd give one.

use rustix::io::Errno;

use super::fork::last_errno;

/// Joins a new, empty session keyring, which belongs to the user that this process is now. No
/// allocation.
pub(super) fn join_new() -> Result<(), Errno> {
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: the call takes a null pointer for a keyring without a name.
    let joined = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            anonymous,
        )
    };
    if joined >= 0 {
        return Ok(());
    }
    match last_errno() {
        // There are no keyrings here, or a container's seccomp filter keeps them from everyone in it.
        Errno::NOSYS | Errno::PERM => Ok(()),
        errno => Err(errno),
    }
}
