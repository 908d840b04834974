//! What hushpipe may do, given up for good: capabilities, capabilities(7), and system calls, seccomp(2).

use std::io;

use rustix::thread::CapabilitySets;

use super::seccomp::{Abi, Filter};

/// Sets of capabilities, under the names of capabilities(7) without `CAP_`.
pub use rustix::thread::CapabilitySet as Capabilities;

/// What hushpipe may do now; nothing, where the kernel does not say.
pub fn effective() -> Capabilities {
    rustix::thread::capabilities(None).map_or(Capabilities::empty(), |held| held.effective)
}

/// Whether it holds any.
pub fn holds_any() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|held| !held.permitted.is_empty())
}

/// Drops all capabilities of this thread but those. What is left of them.
pub fn keep(wanted: Capabilities) -> io::Result<Capabilities> {
    let held = rustix::thread::capabilities(None)?;
    let kept = held.permitted & wanted;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: held.effective & kept,
            permitted: kept,
            inheritable: held.inheritable & kept,
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

/// What it takes of these to hold processes: ptrace(2).
pub const TRACING: &[libc::c_long] = &[
    libc::SYS_kcmp,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
];

/// Refuses them, less some, to this thread, and to what it starts, with EPERM: how many. Takes no_new_privs or
/// CAP_SYS_ADMIN.
pub fn refuse_needless_calls(but: &[libc::c_long]) -> io::Result<usize> {
    let Some(abi) = Abi::NATIVE else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let needless = NEEDLESS.iter().filter(|number| !but.contains(number));
    let numbers: Vec<u32> = needless.map(|number| *number as u32).collect();
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
            match refuse_needless_calls(&[]) {
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
            let had = effective() & Capabilities::KILL;
            assert_eq!(keep(Capabilities::KILL).unwrap(), had);
            assert_eq!(effective(), had);
            assert_eq!(holds_any(), !had.is_empty());
            assert!(keep(Capabilities::SYS_ADMIN).unwrap().is_empty());
            0
        });
        assert_eq!(code, 0);
    }
}
