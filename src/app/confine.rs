//! What hushpipe gives up once its program runs: what it needed to start one, and what it will never
//! need. What a plan may start later (the program again, a command, a store's tool) would inherit it,
//! and is not to have less than the first: then only capabilities go, if any.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::host::{Confinement, Host};
use crate::delivery::is_for_others;
use crate::http;
use crate::model::{
    Delivery, DeliveryKind, Event, Observer, Plan, RotateAction, Site, StoreKind, VaultStore,
    VerifyHow,
};
use crate::sys::landlock::{Access, Ruleset};
use crate::sys::privileges::{self, Capabilities};
use crate::sys::{filesystem, host as kernel};

/// Programs that end within it are not worth it.
const SETTLED: Duration = Duration::from_millis(100);

/// What the system itself reads on behalf of hushpipe: names, servers, certificates, processes.
const SYSTEM: [&str; 11] = [
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/nix/store",
    "/proc",
    "/run/systemd",
    "/sys",
    "/usr",
    "/var/cache",
    "/var/lib/ca-certificates",
];

/// What a launch leaves to hushpipe to do.
pub struct Confined<'a> {
    plan: &'a Plan,
    site: Option<&'a Site>,
    starts: Starts,
    /// What the program's tree executes is held, and by whom it runs.
    attends: Option<Attends>,
    /// The directories that delivery directories are made in.
    around: Vec<PathBuf>,
}

/// Whose processes are held at execve(2), for `getenv`: ptrace(2) asks for an equal user and no fewer
/// capabilities, or for CAP_SYS_PTRACE.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attends {
    Root,
    User,
}

impl Attends {
    fn of(plan: &Plan, host: &Host) -> Option<Self> {
        let is_getenv = |delivery: &Delivery| matches!(delivery.kind, DeliveryKind::Getenv { .. });
        let (uid, _) = host.launch.owner();
        let who = if uid == 0 { Self::Root } else { Self::User };
        plan.deliveries.iter().any(is_getenv).then_some(who)
    }
}

/// What may be started later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Starts {
    Nothing,
    /// Only what runs as another user, without capabilities.
    AsUser,
    /// What may need all that hushpipe was given.
    Anything,
}

impl<'a> Confined<'a> {
    /// For a plan and what a host made of it, before anything is made for the launch.
    pub fn new(plan: &'a Plan, site: Option<&'a Site>, host: &Host, restarts: bool) -> Self {
        let starts = starts(plan, host, restarts);
        let directories = if starts == Starts::Nothing {
            host.layout.directories()
        } else {
            Vec::new()
        };
        let mut around: Vec<PathBuf> = directories.iter().flat_map(|path| around(path)).collect();
        if starts == Starts::Nothing {
            let parents = host.layout.links().filter_map(Path::parent);
            around.extend(parents.map(Path::to_owned));
        }
        Self {
            plan,
            site,
            starts,
            attends: Attends::of(plan, host),
            around,
        }
    }

    /// Gives it up, when the program has run for a moment, and says what.
    pub async fn give_up(self, observer: &dyn Observer) {
        tokio::time::sleep(SETTLED).await;
        // It is each thread's own, and those that come later have it from this one.
        http::lookups_ended().await;
        let protections = self.apply();
        observer.observe(&Event::Confined { protections });
    }

    fn apply(&self) -> Vec<String> {
        let mut protections = Vec::new();
        // A filter and Landlock come first: where nothing can be gained by execve they take no
        // capability.
        if self.starts == Starts::Nothing {
            protections.push(match privileges::gain_none() {
                Ok(()) => "no_new_privs".to_owned(),
                Err(error) => format!("no no_new_privs: {error}"),
            });
            protections.push(self.landlock());
            let but = self.attends.map_or(&[][..], |_| privileges::TRACING);
            protections.push(match privileges::refuse_needless_calls(but) {
                Ok(count) => format!("seccomp: {count} system calls refused"),
                Err(error) => format!("no seccomp filter: {error}"),
            });
        } else {
            let why = "the plan may start a program later, which would inherit them";
            protections.push(format!("no Landlock, no seccomp filter: {why}"));
        }
        protections.push(self.drop_capabilities());
        protections
    }

    fn drop_capabilities(&self) -> String {
        if !privileges::holds_any() {
            return "capabilities: none".to_owned();
        }
        let needed = match self.attends {
            Some(Attends::Root) => None,
            _ => needed(self.starts, has_fifos(self.plan)),
        };
        let Some(mut needed) = needed else {
            let why = if self.attends == Some(Attends::Root) {
                "`getenv` holds processes of root, which have them"
            } else {
                "what the plan may start later runs with them"
            };
            return format!("capabilities: all that were given, as {why}");
        };
        if self.attends.is_some() {
            needed |= Capabilities::SYS_PTRACE | Capabilities::SETUID | Capabilities::SETGID;
        }
        match privileges::keep(needed) {
            Ok(kept) => {
                let names: Vec<&str> = kept.iter_names().map(|(name, _)| name).collect();
                format!("capabilities: {}", names.join(" "))
            }
            Err(error) => format!("capabilities: all that were given: {error}"),
        }
    }

    fn landlock(&self) -> String {
        if has_fifos(self.plan) {
            return "no Landlock: whoever reads a FIFO is found in /proc".to_owned();
        }
        if self.attends.is_some() {
            return "no Landlock: it would keep hushpipe from holding processes, as `getenv` does"
                .to_owned();
        }
        let reads = reads(self.plan, self.site);
        match self.restrict(reads.as_deref()) {
            Ok(()) if reads.is_some() => "Landlock: files to read and to write".to_owned(),
            Ok(()) => "Landlock: files to write".to_owned(),
            Err(error) => format!("no Landlock: {error}"),
        }
    }

    fn restrict(&self, reads: Option<&[PathBuf]>) -> std::io::Result<()> {
        let rules = Ruleset::new(reads.is_some())?;
        for path in self.around.iter().chain(&writes(self.plan, self.site)) {
            rules.allow_path(path, Access::Write)?;
        }
        for path in reads.unwrap_or_default() {
            rules.allow_path(path, Access::Read)?;
        }
        rules.restrict()
    }
}

/// Landlock would keep hushpipe from what /proc says of programs that it does not confine: who has a
/// FIFO open.
fn has_fifos(plan: &Plan) -> bool {
    let is_fifo = |kind: &DeliveryKind| matches!(kind, DeliveryKind::Fifo { .. });
    plan.deliveries
        .iter()
        .any(|delivery| is_fifo(&delivery.kind))
}

fn starts(plan: &Plan, host: &Host, restarts: bool) -> Starts {
    let actions = plan
        .secrets
        .values()
        .filter_map(|secret| secret.on_rotate.as_ref());
    let acts = |action: &RotateAction| {
        matches!(action, RotateAction::Restart | RotateAction::Command { .. })
    };
    let verify = plan.on_rotate.verify.as_ref();
    let verifies = verify.is_some_and(|verify| matches!(verify.how, VerifyHow::Command(_)));
    let is_tool = |kind: &StoreKind| matches!(kind, StoreKind::Command(_));
    if plan.stores.values().any(|store| is_tool(&store.kind)) {
        return Starts::Anything;
    }
    let program =
        restarts || verifies || acts(&plan.on_rotate.action) || actions.into_iter().any(acts);
    let (uid, _) = host.launch.owner();
    match (program, &host.confinement) {
        (false, _) => Starts::Nothing,
        (true, Confinement::NotNeeded) if uid != 0 => Starts::AsUser,
        (true, _) => Starts::Anything,
    }
}

/// The capabilities that may still be needed; `None`: all.
fn needed(starts: Starts, fifos: bool) -> Option<Capabilities> {
    if starts == Starts::Anything {
        return None;
    }
    // Files of other users, memory that is locked, signals.
    let mut needed = Capabilities::CHOWN
        | Capabilities::DAC_OVERRIDE
        | Capabilities::DAC_READ_SEARCH
        | Capabilities::FOWNER
        | Capabilities::FSETID
        | Capabilities::IPC_LOCK
        | Capabilities::KILL;
    if starts == Starts::AsUser {
        // Another identity, mounts and namespaces (setns(2) asks for SYS_CHROOT as well), limits.
        needed |= Capabilities::SETGID
            | Capabilities::SETUID
            | Capabilities::SETPCAP
            | Capabilities::SYS_ADMIN
            | Capabilities::SYS_CHROOT
            | Capabilities::SYS_PTRACE
            | Capabilities::SYS_RESOURCE;
    } else {
        // To find readers, or processes that a mount option of /proc hides.
        if fifos || kernel::hidepid().is_some() {
            needed |= Capabilities::SYS_PTRACE;
        }
        // Without the first, signals are sent as their receiver's user.
        if !privileges::effective().contains(Capabilities::KILL) {
            needed |= Capabilities::SETUID;
        }
    }
    Some(needed)
}

/// Where hushpipe makes, changes and removes files, beside what it delivers.
fn writes(plan: &Plan, site: Option<&Site>) -> Vec<PathBuf> {
    let mut paths = ["/dev", "/run", "/tmp", "/var/lib/hushpipe"]
        .map(PathBuf::from)
        .to_vec();
    let named = [
        "XDG_RUNTIME_DIR",
        "RUNTIME_DIRECTORY",
        "XDG_STATE_HOME",
        "HUSHPIPE_STATE_DIRECTORY",
    ];
    paths.extend(named.iter().filter_map(std::env::var_os).map(PathBuf::from));
    paths.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    if let Some(site) = site {
        let approvals = site.approvals.iter();
        paths.extend(approvals.map(|approvals| approvals.directory.clone()));
        if let Some(audit) = &site.audit {
            paths.push(audit.directory.clone());
            paths.extend(audit.key_file.parent().map(Path::to_owned));
        }
    }
    paths.retain(|path| path.is_dir());
    for store in plan.stores.values() {
        if let StoreKind::Vault(vault) = &store.kind {
            // A secret id may be removed once it was used.
            let files = files_of(vault);
            paths.extend(files.filter_map(|file| file.parent().map(Path::to_owned)));
        }
    }
    paths.retain(|path| path.is_absolute() && path != Path::new("/"));
    paths
}

/// What a delivery directory is made in and removed from: the nearest directory that is there before
/// the launch, and the one above it, as another hushpipe may have made the first.
fn around(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let there = directory.ancestors().skip(1).filter(|path| path.is_dir());
    let there: Vec<&Path> = there.take(2).collect();
    let shared = there.first().is_some_and(|path| is_for_others(path));
    let count = if shared { 1 } else { 2 };
    there.into_iter().take(count).map(Path::to_owned)
}

/// Where hushpipe reads files. `None`: links may lead it elsewhere one day.
fn reads(plan: &Plan, site: Option<&Site>) -> Option<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    if let Some(site) = site {
        // Policies and approvals are read again at each rotation.
        let policy = site.policy.iter();
        files.extend(policy.map(|policy| policy.directory.clone()));
        if let Some(approvals) = &site.approvals {
            files.extend([approvals.signers.clone(), approvals.directory.clone()]);
        }
        if let Some(audit) = &site.audit {
            files.extend([audit.key_file.clone(), audit.directory.join("tile")]);
            files.extend(audit.fingerprint_key_file.clone());
        }
    }
    for store in plan.stores.values() {
        match &store.kind {
            StoreKind::Directory(_) | StoreKind::Command(_) => return None,
            StoreKind::Sealed(sealed) => {
                files.extend([sealed.path.clone(), sealed.identity_file.clone()]);
            }
            StoreKind::Vault(vault) => {
                files.extend(files_of(vault).cloned());
                files.extend(vault.tls.ca_file.clone());
                files.extend(vault.tls.ca_path.clone());
            }
        }
    }
    let requests = plan
        .secrets
        .values()
        .filter_map(|secret| secret.source.request.as_ref());
    files.extend(requests.filter_map(|request| request.token_file.clone()));
    // It is read again when the main process ends.
    let forking = plan.run.startup.forking.as_ref();
    files.extend(forking.and_then(|forking| forking.pid_file.clone()));
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        files.extend(std::env::var_os(name).map(PathBuf::from));
    }
    let has_links = |path: &PathBuf| filesystem::has_links(path);
    if files.iter().any(has_links) {
        return None;
    }
    let parents = files
        .iter()
        .filter_map(|file| file.parent().map(Path::to_owned));
    let system = SYSTEM.map(PathBuf::from).into_iter();
    Some(parents.chain(system.filter(|path| path.is_dir())).collect())
}

/// The files that a vault store logs in and shows itself with.
fn files_of(vault: &VaultStore) -> impl Iterator<Item = &PathBuf> {
    let client = vault.tls.client.iter();
    let client = client.flat_map(|client| [&client.certificate, &client.key]);
    vault.auth.files().into_iter().chain(client)
}
