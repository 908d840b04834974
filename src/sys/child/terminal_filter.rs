//! Keeps a program from typing into the terminal that it shares with more privileged processes: with
//! TIOCSTI, or TIOCLINUX on a console, it could push a command line into the shell of who started
//! hushpipe. See ioctl_tty(2), ioctl_console(2), and `dev.tty.legacy_tiocsti`.

use crate::sys::privileges::{self, Capabilities};
use crate::sys::seccomp::{self, Abi, Filter};
use crate::sys::terminal;

/// Whether a program needs to be kept from the input of a terminal.
#[derive(Debug)]
pub enum TerminalGuard {
    /// There is no terminal, or the program may do all that hushpipe may.
    NotNeeded,
    /// By this filter.
    Filter(Filter),
    /// It is needed, and this is why it is not possible.
    Missing(&'static str),
}

impl TerminalGuard {
    /// For a program that is `apart` from hushpipe (as another user, or in a user namespace of its own).
    pub fn new(apart: bool, no_new_privs: bool) -> Self {
        if !apart || !terminal::is_within_reach() {
            return Self::NotNeeded;
        }
        match filter() {
            Some(_) if !seccomp::is_available() => {
                Self::Missing("this kernel has no seccomp filters")
            }
            Some(_)
                if !no_new_privs && !privileges::effective().contains(Capabilities::SYS_ADMIN) =>
            {
                Self::Missing("without `no_new_privs` a seccomp filter takes CAP_SYS_ADMIN")
            }
            Some(filter) => Self::Filter(filter),
            None => Self::Missing("hushpipe has no seccomp filter for this architecture"),
        }
    }
}

/// The numbers of ioctl(2) of every ABI.
fn filter() -> Option<Filter> {
    #[cfg(target_arch = "x86_64")]
    const NATIVE: &[u32] = &[libc::SYS_ioctl as u32, 514]; // x32's
    #[cfg(not(target_arch = "x86_64"))]
    const NATIVE: &[u32] = &[libc::SYS_ioctl as u32];
    const COMPAT: &[u32] = &[54];
    let native = Abi::NATIVE.map(|abi| (abi, NATIVE))?;
    let calls: Vec<_> = [native]
        .into_iter()
        .chain(Abi::COMPAT.map(|abi| (abi, COMPAT)))
        .collect();
    let requests = [libc::TIOCSTI as u32, libc::TIOCLINUX as u32];
    Some(Filter::refusing_argument(&calls, 1, &requests))
}
