//! Everything the child needs, laid out before fork: it cannot allocate.

use std::cell::Cell;
use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Gid, Pid};

use super::error::{At, ChildError, Fault, Step};
use super::spec::{Identity, Spec};
use super::terminal_filter::TerminalGuard;
use super::users::UserNamespace;
use crate::sys::fd::Move;
use crate::sys::limits::{self, Limit};
use crate::sys::memory;
use crate::sys::mount::Tmpfs;
use crate::sys::privileges::{self, Capabilities};
use crate::sys::seccomp::{Abi, Filter};
use crate::sys::trace::{self, Hidden};

/// A specification and all that follows from it.
pub(super) struct Prepared {
    pub spec: Spec,
    pub argv: Pointers,
    pub env: Pointers,
    /// What `env` points to beside the specification's own.
    pub pid_variables: Vec<PidVariable>,
    pub namespace: Namespace,
    pub mounts: Vec<Tmpfs>,
    pub moves: Vec<Move>,
    /// The limits asked for, and the one on core dumps.
    pub limits: Vec<Limit>,
    /// The raised limit of open files, which must hold before fds are handed over.
    pub room_for_fds: Option<usize>,
    pub identity: Option<Become>,
    /// The program is another user's: it gets a session keyring of its own.
    pub new_keyring: bool,
    /// Keeps it from the terminal's input.
    pub terminal: TerminalGuard,
    /// For a program with hidden variables.
    pub attended: Option<Attended>,
    /// hushpipe's process id, to notice that it died before PDEATHSIG was set.
    pub parent: Pid,
}

/// Pointers to C strings, NULL at the end.
pub(super) struct Pointers(Vec<*const libc::c_char>);

impl Pointers {
    fn to(strings: &[CString], more: &[PidVariable], last: Option<&CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr());
        let more = more.iter().map(|variable| variable.text.as_ptr().cast());
        let last = last.map(|string| string.as_ptr());
        let all = pointers.chain(more).chain(last);
        Self(all.chain([ptr::null()]).collect())
    }

    pub const fn as_ptr(&self) -> *const *const libc::c_char {
        self.0.as_ptr()
    }
}

/// `NAME=PID`, written when the process that it names is there.
pub(super) struct PidVariable {
    /// The name, `=`, and zeros with room for a number and the end of the string.
    text: Vec<Cell<u8>>,
    digits: usize,
}

impl PidVariable {
    /// As many as an i32 has, and a zero.
    const ROOM: usize = 11;

    fn new(name: &str) -> Self {
        let name = format!("{name}=").into_bytes();
        let digits = name.len();
        let room = std::iter::repeat_n(0, Self::ROOM);
        let text = name.into_iter().chain(room).map(Cell::new).collect();
        Self { text, digits }
    }

    /// Writes the number. No allocation.
    pub fn set(&self, pid: i32) {
        let room = &self.text[self.digits..];
        let mut divisor = 1_000_000_000;
        let mut at = 0;
        while divisor > 0 {
            let digit = pid / divisor % 10;
            if digit > 0 || at > 0 {
                room[at].set(b'0' + digit as u8);
                at += 1;
            }
            divisor /= 10;
        }
        room[at].set(0);
    }
}

/// What it takes to attend the program's exec, and those of what it starts.
pub(super) struct Attended {
    /// Reserves room in the kernel's environment; the last variable.
    pub pad: CString,
    /// What lets the first exec pass.
    pub pass: [u64; 3],
    /// Makes the others wait.
    pub filter: Filter,
}

impl Attended {
    fn new(hidden: &Hidden) -> Result<Self, ChildError> {
        let refused = |at, errno| ChildError::without_names(Fault::new(at, errno));
        let mut random = [0; 24];
        memory::fill_random(&mut random).map_err(|_| refused(At::Listener, Errno::AGAIN))?;
        let word = |index: usize| {
            let bytes = random[index * 8..(index + 1) * 8].try_into();
            u64::from_ne_bytes(bytes.expect("eight bytes"))
        };
        let pass = [word(0), word(1), word(2)];
        let abi = Abi::NATIVE.filter(|_| trace::are_known());
        let abi = abi.ok_or_else(|| refused(At::Trace, Errno::NOSYS))?;
        let pad = CString::new(hidden.pad());
        Ok(Self {
            pad: pad.map_err(|_| refused(At::Trace, Errno::INVAL))?,
            pass,
            filter: Filter::asking_at_exec(abi, pass),
        })
    }
}

/// Whose mount namespace the program gets.
pub(super) enum Namespace {
    /// hushpipe's.
    Own,
    /// A new one.
    Mounts,
    /// A new one, in this user namespace.
    User(UserNamespace),
    /// That of another process, and first its user namespace, where hushpipe may do nothing without.
    Of { pidfd: OwnedFd, user: bool },
}

impl Namespace {
    pub const fn needs_user(&self) -> bool {
        matches!(self, Self::User(_))
    }

    /// Whether it lies in a user namespace that is not hushpipe's.
    pub const fn is_of_user(&self) -> bool {
        matches!(self, Self::User(_) | Self::Of { user: true, .. })
    }
}

/// An identity to change to.
pub(super) struct Become {
    pub uid: u32,
    pub gid: u32,
    /// Sorted, without doubles, as the kernel gives them back.
    pub groups: Vec<Gid>,
    /// Room to read them back.
    pub check: Vec<libc::gid_t>,
}

impl Become {
    fn new(identity: &Identity) -> Self {
        let mut groups = identity.groups.clone();
        groups.sort_unstable();
        groups.dedup();
        Self {
            uid: identity.uid,
            gid: identity.gid,
            check: vec![0; groups.len() + 1],
            groups: groups.into_iter().map(Gid::from_raw).collect(),
        }
    }
}

impl Prepared {
    pub fn new(mut spec: Spec) -> Result<Self, ChildError> {
        let identity = identity(&spec)?;
        let namespace = match spec.beside.take() {
            Some(pidfd) => Namespace::Of {
                pidfd,
                user: !privileges::effective().contains(Capabilities::SYS_ADMIN),
            },
            None => namespace(&spec, identity.is_some())?,
        };
        let mounts = spec.mounts.iter().map(Tmpfs::new).collect();
        let moves = spec
            .fds
            .iter()
            .map(|(fd, target)| Move::new(fd.as_raw_fd(), *target))
            .collect();
        let limits = limits(&mut spec);
        let room_for_fds = limits.iter().position(Limit::raises_open_files);
        check_numbers(&spec, room_for_fds.map(|index| &limits[index]))?;
        let pid_variables: Vec<PidVariable> = spec
            .pid_variables
            .iter()
            .map(|name| PidVariable::new(name))
            .collect();
        let own = rustix::process::geteuid().as_raw();
        let new_keyring = identity.as_ref().is_some_and(|other| other.uid != own);
        let attended = spec.hidden.as_ref().map(Attended::new).transpose()?;
        let apart = new_keyring || namespace.is_of_user();
        let terminal = TerminalGuard::new(apart, spec.no_new_privs);
        Ok(Self {
            argv: Pointers::to(&spec.argv, &[], None),
            env: Pointers::to(
                &spec.env,
                &pid_variables,
                attended.as_ref().map(|attended| &attended.pad),
            ),
            attended,
            pid_variables,
            namespace,
            mounts,
            moves,
            limits,
            room_for_fds,
            identity,
            new_keyring,
            terminal,
            parent: rustix::process::getpid(),
            spec,
        })
    }

    /// The error of a step that failed in hushpipe itself.
    pub fn fault(&self, at: At, errno: Errno) -> ChildError {
        self.error(Fault::new(at, errno))
    }

    /// The program's path.
    pub fn program(&self) -> PathBuf {
        path(&self.spec.program)
    }

    /// Gives a fault its names back.
    pub fn error(&self, fault: Fault) -> ChildError {
        let step = match fault.at {
            At::Mount(index) => match self.spec.mounts.get(index) {
                Some(mount) => Step::Mount(mount.point.path()),
                None => Step::Channel,
            },
            At::Cover(index) => match self.spec.covers.get(index) {
                Some(cover) => Step::Cover(path(&cover.path)),
                None => Step::Channel,
            },
            At::Fd(number) => Step::Fd(number),
            At::Limit(index) => match self.limits.get(index) {
                Some(limit) => Step::Limit(limit.name()),
                None => Step::Channel,
            },
            At::Identity => Step::Identity {
                uid: self.identity.as_ref().map_or(0, |identity| identity.uid),
                gid: self.identity.as_ref().map_or(0, |identity| identity.gid),
            },
            At::Cwd => Step::Cwd(self.spec.cwd.as_ref().map(path).unwrap_or_default()),
            At::Changed => Step::Changed(path(&self.spec.program)),
            At::Exec => Step::Exec(self.program()),
            _ => return ChildError::without_names(fault),
        };
        ChildError {
            step,
            errno: fault.errno,
        }
    }
}

fn path(name: &CString) -> PathBuf {
    PathBuf::from(OsString::from_vec(name.as_bytes().to_vec()))
}

/// The identity to change to; `None` when hushpipe is it already and could not change anything.
fn identity(spec: &Spec) -> Result<Option<Become>, ChildError> {
    let Some(identity) = &spec.identity else {
        return Ok(None);
    };
    let needed = Capabilities::SETUID | Capabilities::SETGID;
    if privileges::effective().contains(needed) {
        Ok(Some(Become::new(identity)))
    } else if identity.is_own() {
        Ok(None)
    } else {
        Err(ChildError {
            step: Step::Identity {
                uid: identity.uid,
                gid: identity.gid,
            },
            errno: Errno::PERM,
        })
    }
}

/// Which namespace the mounts need. In a user namespace the program keeps its user, but nothing
/// else: capabilities count inside alone, and no other user exists. Where hushpipe was given
/// capabilities (or is root and could be relied on for chown or setuid), it is refused.
fn namespace(spec: &Spec, changes_identity: bool) -> Result<Namespace, ChildError> {
    let refuse = |step| {
        Err(ChildError {
            step,
            errno: Errno::PERM,
        })
    };
    let held = privileges::effective();
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if spec.mounts.is_empty() && spec.covers.is_empty() && !spec.apart {
        return Ok(Namespace::Own);
    }
    if held.contains(Capabilities::SYS_ADMIN) {
        return Ok(Namespace::Mounts);
    }
    if changes_identity {
        return refuse(Step::IdentityInNamespace);
    }
    if uid.is_root() || !held.is_empty() {
        return refuse(Step::Capabilities);
    }
    let own = (uid.as_raw(), gid.as_raw());
    if let Some(mount) = spec
        .mounts
        .iter()
        .find(|mount| (mount.uid, mount.gid) != own)
    {
        return refuse(Step::ForeignOwner(mount.point.path()));
    }
    let users = spec.users.clone().unwrap_or_else(UserNamespace::make);
    users.opened().map_err(ChildError::without_names)?;
    Ok(Namespace::User(users))
}

/// What was asked for, and the limit that keeps the program from dumping core; an explicit limit on
/// core dumps has a say only where they are allowed.
fn limits(spec: &mut Spec) -> Vec<Limit> {
    let mut limits = std::mem::take(&mut spec.limits);
    if !spec.core_dumps {
        limits.retain(|limit| !limit.is_core());
        limits.push(limits::no_core_dumps());
    } else if !limits.iter().any(Limit::is_core) {
        limits.push(limits::core_dumps());
    }
    limits
}

/// Numbers beyond the limit of open files are refused before anything is forked.
fn check_numbers(spec: &Spec, raised: Option<&Limit>) -> Result<(), ChildError> {
    let limit = raised.map_or_else(limits::open_files, Limit::soft);
    let beyond = |number: i32| u64::try_from(number).map_or(true, |number| number >= limit);
    match spec.fds.iter().find(|(_, number)| beyond(*number)) {
        Some((_, number)) => Err(ChildError {
            step: Step::Fd(*number),
            errno: Errno::BADF,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_id_is_written_as_it_is_read() {
        let variable = PidVariable::new("LISTEN_PID");
        for pid in [1, 10, 4_194_304, i32::MAX, 907, 7] {
            variable.set(pid);
            let text: Vec<u8> = variable.text.iter().map(Cell::get).collect();
            let text = std::ffi::CStr::from_bytes_until_nul(&text).unwrap();
            assert_eq!(text.to_str().unwrap(), format!("LISTEN_PID={pid}"));
        }
    }
}
