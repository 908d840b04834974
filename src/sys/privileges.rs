//! What hushpipe may do, given up for good: capabilities, capabilities(7), and system calls, seccomp(2).

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets};

use super::seccomp::{Abi, Filter};

/// A capability that hushpipe may need after a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Files of other users in directories that it delivers to.
    Chown,
    /// Reading and writing whatever the permission bits say.
    DacOverride,
    /// Reading whatever the permission bits say.
    DacReadSearch,
    /// Modes and removal of other users' files.
    Fowner,
    /// Modes with a setgid bit.
    Fsetid,
    /// Locked memory beyond RLIMIT_MEMLOCK.
    IpcLock,
    /// Signals to other users' processes.
    Kill,
    /// Becoming another group.
    Setgid,
    /// Becoming another user.
    Setuid,
    /// Changing sets of capabilities.
    Setpcap,
    /// Mounts and namespaces.
    SysAdmin,
    /// Entering a mount namespace: setns(2) asks for it beside CAP_SYS_ADMIN.
    SysChroot,
    /// Seeing what other users' processes have open.
    SysPtrace,
    /// Raising limits.
    SysResource,
}

impl Capability {
    const fn set(self) -> CapabilitySet {
        match self {
            Self::Chown => CapabilitySet::CHOWN,
            Self::DacOverride => CapabilitySet::DAC_OVERRIDE,
            Self::DacReadSearch => CapabilitySet::DAC_READ_SEARCH,
            Self::Fowner => CapabilitySet::FOWNER,
            Self::Fsetid => CapabilitySet::FSETID,
            Self::IpcLock => CapabilitySet::IPC_LOCK,
            Self::Kill => CapabilitySet::KILL,
            Self::Setgid => CapabilitySet::SETGID,
            Self::Setuid => CapabilitySet::SETUID,
            Self::Setpcap => CapabilitySet::SETPCAP,
            Self::SysAdmin => CapabilitySet::SYS_ADMIN,
            Self::SysChroot => CapabilitySet::SYS_CHROOT,
            Self::SysPtrace => CapabilitySet::SYS_PTRACE,
            Self::SysResource => CapabilitySet::SYS_RESOURCE,
        }
    }

    /// As capabilities(7) names it, without `CAP_`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chown => "CHOWN",
            Self::DacOverride => "DAC_OVERRIDE",
            Self::DacReadSearch => "DAC_READ_SEARCH",
            Self::Fowner => "FOWNER",
            Self::Fsetid => "FSETID",
            Self::IpcLock => "IPC_LOCK",
            Self::Kill => "KILL",
            Self::Setgid => "SETGID",
            Self::Setuid => "SETUID",
            Self::Setpcap => "SETPCAP",
            Self::SysAdmin => "SYS_ADMIN",
            Self::SysChroot => "SYS_CHROOT",
            Self::SysPtrace => "SYS_PTRACE",
            Self::SysResource => "SYS_RESOURCE",
        }
    }
}

/// Whether hushpipe holds this capability.
pub fn holds(capability: Capability) -> bool {
    let held = rustix::thread::capabilities(None);
    held.is_ok_and(|held| held.effective.contains(capability.set()))
}

/// Whether it holds any.
pub fn holds_any() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|held| !held.permitted.is_empty())
}

/// Drops all capabilities of this thread but those. What is left of them.
pub fn keep(wanted: &[Capability]) -> io::Result<Vec<Capability>> {
    let held = rustix::thread::capabilities(None)?;
    let kept: Vec<Capability> = wanted
        .iter()
        .copied()
        .filter(|one| held.permitted.contains(one.set()))
        .collect();
    let sets = kept
        .iter()
        .fold(CapabilitySet::empty(), |sets, one| sets | one.set());
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: held.effective & sets,
            permitted: sets,
            inheritable: held.inheritable & sets,
        },
    )?;
    Ok(kept)
}

/// System calls that a hushpipe which starts nothing more never makes. (An exploit would: executing,
/// tracing, mounting, namespaces, kernel code, keys, and calls with a history of faults.)
const NEEDLESS: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Refuses them to this thread, and to what it starts, with EPERM: how many. Takes no_new_privs or
/// CAP_SYS_ADMIN.
pub fn refuse_needless_calls() -> io::Result<usize> {
    let Some(abi) = Abi::NATIVE else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let numbers: Vec<u32> = NEEDLESS.iter().map(|number| *number as u32).collect();
    Filter::refusing_calls(abi, &numbers).install()?;
    Ok(numbers.len())
}

/// Neither this thread nor what it starts can gain privileges by execve(2).
pub fn gain_none() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

#[cfg(test)]
mod tests {
    use super::super::child::tests::in_a_process_of_its_own;
    use super::*;

    #[test]
    fn calls_that_are_not_needed_fail_and_the_process_lives() {
        let code = in_a_process_of_its_own(|| {
            gain_none().unwrap();
            match refuse_needless_calls() {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => return 0,
                refused => assert!(refused.unwrap() > 40),
            }
            let error = std::process::Command::new("/bin/true")
                .status()
                .unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
            assert!(std::fs::read("/proc/self/status").is_ok());
            assert!(std::thread::spawn(|| 1).join().is_ok());
            0
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn capabilities_are_dropped_for_good() {
        let code = in_a_process_of_its_own(|| {
            let had = holds(Capability::Kill);
            let kept = keep(&[Capability::Kill]).unwrap();
            assert_eq!(kept == [Capability::Kill], had);
            assert_eq!(holds(Capability::Kill), had);
            assert!(!holds(Capability::SysAdmin));
            assert_eq!(holds_any(), had);
            assert!(keep(&[Capability::SysAdmin]).unwrap().is_empty());
            0
        });
        assert_eq!(code, 0);
    }
}
