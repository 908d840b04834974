//! The facts, gathered once.

use std::path::PathBuf;

use crate::sys::host::{self, InMemory, Limit, Namespace, Pidfds, PrivateTmpfs};

/// What was found on this host. Why something is missing is text, for people.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub kernel: String,
    pub mount_namespace: Result<PrivateTmpfs, String>,
    pub user_namespace: Result<PrivateTmpfs, String>,
    pub memfd_secret: Result<(), String>,
    pub pidfds: Pidfds,
    pub close_range: bool,
    pub core_pattern: Option<String>,
    pub swaps: Option<Vec<String>>,
    pub ptrace_scope: Option<String>,
    pub memlock: Limit,
    pub nofile: Limit,
    pub proc: bool,
    pub hidepid: Option<String>,
    pub landlock: Option<u32>,
    pub seccomp: Option<String>,
    pub dumpable: Result<bool, String>,
    /// Directories that shared files may go to.
    pub places: Vec<(PathBuf, InMemory)>,
}

impl Host {
    /// Asks the kernel; leaves nothing behind.
    pub fn examine() -> Self {
        let tmpfs = |namespace| {
            host::private_tmpfs(namespace)
                .map_err(|(step, error)| format!("{}: {error}", step.name()))
        };
        let mut places = vec![PathBuf::from("/run"), PathBuf::from("/dev/shm")];
        places.extend(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
        Self {
            kernel: host::kernel(),
            mount_namespace: tmpfs(Namespace::Mount),
            user_namespace: tmpfs(Namespace::User),
            memfd_secret: host::memfd_secret().map_err(|error| error.to_string()),
            pidfds: host::pidfds(),
            close_range: host::close_range(),
            core_pattern: host::setting("kernel/core_pattern"),
            swaps: host::swaps(),
            ptrace_scope: host::setting("kernel/yama/ptrace_scope"),
            memlock: host::memlock(),
            nofile: host::nofile(),
            proc: host::has_proc(),
            hidepid: host::hidepid(),
            landlock: host::landlock_abi(),
            seccomp: host::own_status("Seccomp"),
            dumpable: host::is_dumpable().map_err(|error| error.to_string()),
            places: places
                .into_iter()
                .map(|path| {
                    let found = host::in_memory(&path);
                    (path, found)
                })
                .collect(),
        }
    }
}
