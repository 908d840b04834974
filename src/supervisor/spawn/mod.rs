//! From `run:` of the plan to what is executed: program, arguments, environment, identity, limits.
//! Everything is settled and checked here before a secret is fetched; [`Launch::spec`] then adds what
//! is handed over.

mod digest;
mod environment;
mod error;
mod judge;
mod judged;
mod program;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::{RunSpec, Signal};
use crate::sys::child::{Cover, Group, Identity, Spec, UserNamespace};
use crate::sys::limits::{self, Limit};
use crate::sys::mount::PrivateMount;
use crate::sys::signals::Mask;
use crate::sys::trace::Hidden;
use crate::sys::users::{Database, User};

pub use error::SpawnError;
pub use judged::Judged;
use program::look_for_interpreter;
pub use program::{Program, open_program, resolve, sha256};

/// A program that can be launched: all of it is checked, and nothing of it is secret.
#[derive(Debug)]
pub struct Launch {
    program: Program,
    argv: Vec<CString>,
    env: Vec<CString>,
    of_systemd: BTreeMap<OsString, OsString>,
    cwd: Option<CString>,
    umask: Option<u32>,
    identity: Option<Identity>,
    limits: Vec<Limit>,
    core_dumps: bool,
    no_new_privs: bool,
}

/// What is handed over to a launch.
#[derive(Debug)]
pub struct Handover {
    /// Fds and the numbers they get; 0 is standard input.
    pub fds: Vec<(OwnedFd, RawFd)>,
    /// Variables that the kernel's copy of its environment never has.
    pub hidden: Option<Hidden>,
    /// Directories where the program alone sees a fresh tmpfs.
    pub mounts: Vec<PrivateMount>,
    /// Files that it sees empty.
    pub covers: Vec<Cover>,
    /// It gets a user namespace of its own, where hushpipe has no privileges.
    pub apart: bool,
    /// The user namespace for it, where one was made.
    pub users: Option<UserNamespace>,
    /// A pidfd of a process whose mounts it sees, in place of hushpipe's; then `mounts` and `covers` are
    /// empty.
    pub beside: Option<OwnedFd>,
    /// The program's process group.
    pub group: Group,
    /// What is blocked in it: what was blocked when hushpipe was started.
    pub mask: Mask,
    /// What it gets when hushpipe dies.
    pub parent_death: Option<Signal>,
    /// Variables over those of `run.env`.
    pub variables: Vec<(&'static str, OsString)>,
    /// Variables whose value is the program's own process id.
    pub pid_variables: Vec<&'static str>,
}

impl Launch {
    /// Settles everything that `run:` asks for, and finds the program. `inherited` is hushpipe's own
    /// environment. All faults are given, not only the first.
    ///
    /// With `run.sha256` the program is opened, its digest compared, and this very file executed
    /// later.
    pub fn settle(
        run: &RunSpec,
        inherited: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<SpawnError>> {
        let mut faults = Vec::new();
        let users = Users::look_up(run).or_fault(&mut faults);
        let user = users.as_ref().and_then(|users| users.user.as_ref());
        let env = environment::build(&run.env, inherited, user);
        let path = environment::value(&env.variables, "PATH").map(OsStr::to_owned);
        let of_systemd = env.of_systemd;
        let env = environment::to_strings(env.variables, &mut faults);
        let argv = arguments(run, &mut faults);
        let program = find(run, path.as_deref()).or_fault(&mut faults);
        let cwd = directory(run.cwd.as_deref()).or_fault(&mut faults);
        let limits = limits(run, &mut faults);
        match (users, program, cwd) {
            (Some(users), Some(program), Some(cwd)) if faults.is_empty() => Ok(Self {
                program,
                argv,
                env,
                of_systemd,
                cwd,
                umask: run.umask,
                identity: users.identity,
                limits,
                core_dumps: run.core_dumps,
                no_new_privs: run.no_new_privs,
            }),
            _ => Err(faults),
        }
    }

    /// The program that was found.
    pub fn program(&self) -> &Path {
        self.program.path()
    }

    /// What policy is told of the program; on a host with a policy.
    pub fn judged(&self) -> Option<&Judged> {
        self.program.as_judged()
    }

    /// In words, the privileges that the program's file gives to who executes it, and that
    /// no_new_privs takes away: execve(2). `None`: none, or none that its user does not have.
    pub fn privileges_of_the_file(&self) -> Option<&'static str> {
        let (uid, gid) = self.owner();
        self.program.privileges(uid, gid)
    }

    /// Its working directory, where it is not hushpipe's.
    pub fn cwd(&self) -> Option<PathBuf> {
        let cwd = self.cwd.as_ref()?;
        Some(PathBuf::from(OsStr::from_bytes(cwd.as_bytes())))
    }

    /// Its arguments.
    pub fn argv(&self) -> &[CString] {
        &self.argv
    }

    /// Its environment, as `NAME=value`.
    pub fn env(&self) -> &[CString] {
        &self.env
    }

    /// What systemd said to hushpipe by this variable, if the program may know of it: `run.env` keeps
    /// these from the program as it does others. They are not in its environment yet.
    pub fn of_systemd(&self, name: &str) -> Option<&OsStr> {
        environment::value(&self.of_systemd, name)
    }

    /// Whom it runs as; `None`: as hushpipe.
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether it may become another user's: by a setuid program, or as it keeps hushpipe's own user
    /// and capabilities.
    pub const fn may_change_user(&self) -> bool {
        !self.no_new_privs || self.identity.is_none()
    }

    /// User and group that own what is delivered to it.
    pub fn owner(&self) -> (u32, u32) {
        self.identity.as_ref().map_or_else(
            || {
                (
                    nix::unistd::geteuid().as_raw(),
                    nix::unistd::getegid().as_raw(),
                )
            },
            |identity| (identity.uid, identity.gid),
        )
    }

    /// Sets a variable, as a delivery needs it (`CREDENTIALS_DIRECTORY`), over what is there.
    pub fn set_variable(&mut self, name: &str, value: &OsStr) -> Result<(), SpawnError> {
        let text = environment::to_string(OsStr::new(name), value)?;
        let start = format!("{name}=");
        self.env
            .retain(|variable| !variable.as_bytes().starts_with(start.as_bytes()));
        self.env.push(text);
        Ok(())
    }

    /// Everything that the child needs. Fails when a variable cannot be set.
    pub fn spec(mut self, handover: Handover) -> Result<Spec, SpawnError> {
        for (name, value) in &handover.variables {
            self.set_variable(name, value)?;
        }
        let (program, pinned, line) = self.program.into_parts();
        let mut fds = handover.fds;
        if !line.is_empty() {
            let taken: Vec<RawFd> = fds.iter().map(|(_, number)| *number).collect();
            let (words, scripts) = judged::settle(line, &taken, limits::open_files())?;
            self.argv.splice(..1, words);
            fds.extend(scripts);
        }
        Ok(Spec {
            program,
            pinned,
            argv: self.argv,
            env: self.env,
            pid_variables: handover.pid_variables,
            cwd: self.cwd,
            umask: self.umask,
            identity: self.identity,
            fds,
            hidden: handover.hidden,
            limits: self.limits,
            core_dumps: self.core_dumps,
            no_new_privs: self.no_new_privs,
            mask: handover.mask,
            parent_death: handover.parent_death.map(Signal::number),
            group: handover.group,
            mounts: handover.mounts,
            covers: handover.covers,
            apart: handover.apart,
            users: handover.users,
            beside: handover.beside,
        })
    }
}

/// Keeps a fault for later, and goes on.
trait OrFault<T> {
    fn or_fault(self, faults: &mut Vec<SpawnError>) -> Option<T>;
}

impl<T> OrFault<T> for Result<T, SpawnError> {
    fn or_fault(self, faults: &mut Vec<SpawnError>) -> Option<T> {
        self.map_err(|fault| faults.push(fault)).ok()
    }
}

/// The user that `run:` names, and the identity that follows from it.
struct Users {
    user: Option<User>,
    identity: Option<Identity>,
}

impl Users {
    fn look_up(run: &RunSpec) -> Result<Self, SpawnError> {
        if run.user.is_none() && run.group.is_none() && run.supplementary_groups.is_none() {
            return Ok(Self {
                user: None,
                identity: None,
            });
        }
        let database = Database::host();
        let user = run
            .user
            .as_deref()
            .map(|name| database.user(name))
            .transpose()?;
        let group = run
            .group
            .as_deref()
            .map(|name| database.group(name))
            .transpose()?;
        let own = Identity::current().map_err(SpawnError::Groups)?;
        let (uid, gid) = match &user {
            None => (own.uid, group.unwrap_or(own.gid)),
            Some(user) => {
                let gid = group.or_else(|| user.entry.as_ref().map(|entry| entry.gid));
                (
                    user.uid,
                    gid.ok_or(SpawnError::GroupUnknown { uid: user.uid })?,
                )
            }
        };
        let groups = match (&run.supplementary_groups, &user) {
            (Some(names), _) => names
                .iter()
                .map(|name| database.group(name))
                .collect::<Result<_, _>>()?,
            (None, Some(user)) => database.groups_of(user)?,
            (None, None) => own.groups,
        };
        let identity = Identity { uid, gid, groups };
        if identity.can_be_taken() {
            Ok(Self {
                user,
                identity: Some(identity),
            })
        } else {
            Err(SpawnError::NotPrivileged { uid, gid })
        }
    }
}

fn arguments(run: &RunSpec, faults: &mut Vec<SpawnError>) -> Vec<CString> {
    let mut arguments = Vec::with_capacity(run.command.len());
    let first = run.startup.argv0.iter().chain(run.command.first()).take(1);
    for (index, argument) in first.chain(run.command.iter().skip(1)).enumerate() {
        match CString::new(argument.as_bytes()) {
            Ok(argument) => arguments.push(argument),
            Err(_) => faults.push(SpawnError::NulInArgument(index)),
        }
    }
    arguments
}

fn find(run: &RunSpec, path: Option<&OsStr>) -> Result<Program, SpawnError> {
    let command = run
        .command
        .first()
        .map_or(OsStr::new(""), OsString::as_os_str);
    let found = resolve(command, path, run.cwd.as_deref())?;
    look_for_interpreter(&found)?;
    match run.sha256 {
        expected if run.judged => {
            let start = judge::judge(&found, path, run.cwd.as_deref())?;
            Program::judged(found, start, expected)
        }
        None => Program::by_path(found),
        Some(digest) => Program::pinned(found, digest),
    }
}

/// The working directory. That it is there is looked at now, as far as hushpipe can see it; whether
/// the program's user may enter it turns out in the child.
fn directory(cwd: Option<&Path>) -> Result<Option<CString>, SpawnError> {
    let Some(cwd) = cwd else {
        return Ok(None);
    };
    let fault = |source| SpawnError::Cwd {
        path: cwd.to_owned(),
        source,
    };
    match std::fs::metadata(cwd) {
        Ok(metadata) if !metadata.is_dir() => {
            return Err(fault(std::io::ErrorKind::NotADirectory.into()));
        }
        Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => {
            return Err(fault(error));
        }
        _ => {}
    }
    let text = CString::new(cwd.as_os_str().as_bytes());
    text.map(Some)
        .map_err(|_| fault(std::io::ErrorKind::InvalidInput.into()))
}

fn limits(run: &RunSpec, faults: &mut Vec<SpawnError>) -> Vec<Limit> {
    let mut limits = Vec::with_capacity(run.rlimits.len());
    for (name, (soft, hard)) in &run.rlimits {
        match Limit::new(name, *soft, *hard) {
            Ok(limit) => limits.push(limit),
            Err(fault) => faults.push(SpawnError::Limit(fault)),
        }
    }
    limits
}
