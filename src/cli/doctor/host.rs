//! The facts, gathered once.

use std::path::{Path, PathBuf};

use crate::app::site;
use crate::model::Site;
use crate::sys::host::{self, InMemory, Limit, Namespace, Pidfds, PrivateTmpfs};
use crate::sys::walk::{self, Rule, WalkError};

/// Why the maps of a user namespace cannot be written by a program in memory.
const NO_PROGRAM: &str =
    ": vm.memfd_noexec=2 or a security module does not let a program in memory be executed";

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
    /// The host's site.
    pub site: SiteState,
    /// Directories that shared files may go to.
    pub places: Vec<(PathBuf, InMemory)>,
}

impl Host {
    /// Asks the kernel; leaves nothing behind.
    pub fn examine() -> Self {
        let tmpfs = |namespace| {
            host::private_tmpfs(namespace).map_err(|(step, error)| {
                let refused = matches!(step, host::Step::MapUsers)
                    && error.kind() == std::io::ErrorKind::PermissionDenied;
                let why = if refused { NO_PROGRAM } else { "" };
                format!("{}: {error}{why}", step.name())
            })
        };
        let mut places = vec![PathBuf::from("/run"), PathBuf::from("/dev/shm")];
        places.extend(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
        Self {
            site: SiteState::examine(),
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

/// The site, and what it names.
#[derive(Clone, Debug)]
pub(super) enum SiteState {
    /// This host has none.
    None,
    /// It cannot be used, and nothing can be launched.
    Bad(String),
    /// What it requires, and what is wrong with the files that it names, or with how it was found.
    Good(Box<Site>, Vec<String>),
}

impl SiteState {
    fn examine() -> Self {
        match site::load() {
            Err(error) => Self::Bad(error.text()),
            Ok(found) => match found.site {
                None => Self::None,
                Some(site) => {
                    let mut faults = found.warnings;
                    faults.extend(faults_of(&site));
                    Self::Good(Box::new(site), faults)
                }
            },
        }
    }
}

fn missing(error: WalkError) -> Result<(), WalkError> {
    if error.is_missing() {
        Ok(())
    } else {
        Err(error)
    }
}

/// Of the files and directories that must be there.
fn faults_of(site: &Site) -> Vec<String> {
    let mut faults = Vec::new();
    let mut look = |key: &str, found: Result<(), WalkError>| {
        // Keys and signers may be closed to an ordinary user.
        let denied = |error: &WalkError| error.kind() == Some(std::io::ErrorKind::PermissionDenied);
        if let Some(error) = found.err().filter(|error| !denied(error)) {
            let source = std::error::Error::source(&error);
            let source = source.map(|source| format!(": {source}"));
            faults.push(format!("{key}: {error}{}", source.unwrap_or_default()));
        }
    };
    let file = |path: &Path| walk::file(path, &Rule::ROOT).map(drop);
    if let Some(policy) = &site.policy {
        let found = walk::place(&policy.directory, &Rule::ROOT).map(drop);
        look("policy.directory", found);
    }
    if let Some(manifests) = &site.manifests {
        look("manifests.signers", file(&manifests.signers));
    }
    if let Some(approvals) = &site.approvals {
        look("approvals.signers", file(&approvals.signers));
    }
    if let Some(audit) = &site.audit {
        // It is made with its first record.
        let found = walk::place(&audit.directory, &Rule::STRICT).map(drop);
        look("audit.directory", found.or_else(missing));
        let key = walk::file(&audit.key_file, &Rule::STRICT).map(drop);
        look("audit.key_file", key.or_else(missing));
        if let Some(key) = &audit.fingerprint_key_file {
            look("audit.fingerprint_key_file", file(key));
        }
    }
    faults
}
