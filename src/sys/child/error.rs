//! What can fail on the way to a program, and what to say about it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What was tried, and the kernel's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildError {
    /// What was tried.
    pub step: Step,
    /// What the kernel answered.
    pub errno: Errno,
}

/// The steps of a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making the channel between hushpipe and its child.
    Channel,
    /// fork(2)
    Fork,
    /// pidfd_open(2)
    Pidfd,
    /// The child ended before it could become the program.
    Vanished,
    /// Making a process group.
    Group,
    /// Making the program's group the terminal's foreground group.
    Foreground,
    /// Not tried: a user namespace would take away the capabilities that hushpipe holds, or the
    /// ways of root.
    Capabilities,
    /// Not tried: in a user namespace there is nobody else to become.
    IdentityInNamespace,
    /// Not tried: in a user namespace no other user or group can own this directory.
    ForeignOwner(PathBuf),
    /// unshare(2)
    Unshare,
    /// setns(2) to the namespaces of another process.
    Beside,
    /// Writing the user namespace's maps.
    MapUsers,
    /// setns(2) to the user namespace that was made for the program.
    Join,
    /// Keeping mounts from reaching the host: `mount --make-rslave /`.
    Propagation,
    /// Mounting a tmpfs there.
    Mount(PathBuf),
    /// Putting an empty file in this one's place.
    Cover(PathBuf),
    /// Handing an fd over at this number.
    Fd(i32),
    /// Closing what was not declared.
    CloseOthers,
    /// setrlimit(2) of this resource.
    Limit(&'static str),
    /// Changing user and groups.
    Identity {
        /// To this user id.
        uid: u32,
        /// To this group id.
        gid: u32,
    },
    /// Changing to this directory.
    Cwd(PathBuf),
    /// prctl(PR_SET_NO_NEW_PRIVS)
    NoNewPrivs,
    /// seccomp(2), for the filter that keeps the program from the terminal's input.
    TerminalFilter,
    /// keyctl(KEYCTL_JOIN_SESSION_KEYRING)
    Keyring,
    /// prctl(PR_SET_PDEATHSIG)
    ParentDeath,
    /// Setting the signal mask and the dispositions.
    Signals,
    /// The pinned program is not what it was when its digest was taken.
    Changed(PathBuf),
    /// execve(2) of this program.
    Exec(PathBuf),
    /// seccomp(2), for the filter that keeps hidden variables from what the program starts.
    Listener,
    /// ptrace(2), for the exec of a program with hidden variables.
    Trace,
    /// Writing hidden variables to this program's stack.
    Stack(PathBuf),
    /// Not tried: this program runs with raised privileges.
    Raised(PathBuf),
    /// Not tried: the hidden variables take more of this program's stack than its limit allows.
    TooLarge(PathBuf),
}

impl ChildError {
    /// Whether this host, or this kernel, does not allow private files: the caller may go on with
    /// shared ones. Faults that would meet shared files too (too many open files, no memory, a
    /// directory that is not there) are not of this kind.
    pub fn isolation_refused(&self) -> bool {
        match self.step {
            Step::Capabilities
            | Step::IdentityInNamespace
            | Step::ForeignOwner(_)
            | Step::MapUsers
            | Step::Propagation => true,
            Step::Unshare | Step::Join | Step::Mount(_) | Step::Cover(_) => !matches!(
                self.errno,
                Errno::MFILE
                    | Errno::NFILE
                    | Errno::NOMEM
                    | Errno::NOENT
                    | Errno::NOTDIR
                    | Errno::STALE
            ),
            _ => false,
        }
    }

    /// Whether a directory was replaced between its making and the mount on it.
    pub const fn was_replaced(&self) -> bool {
        matches!(
            (&self.step, self.errno),
            (Step::Mount(_), Errno::STALE | Errno::NOENT)
        )
    }

    /// Whether a user namespace was not even tried, as it could not do what is needed.
    pub const fn is_untried(&self) -> bool {
        matches!(
            self.step,
            Step::Capabilities | Step::IdentityInNamespace | Step::ForeignOwner(_)
        )
    }

    /// Whether a mount was refused by a security module: without the right to mount, the kernel itself
    /// says EPERM.
    pub fn is_denied_mount(&self) -> bool {
        matches!(
            self.step,
            Step::Propagation | Step::Mount(_) | Step::Cover(_)
        ) && self.errno == Errno::ACCESS
    }

    /// The program's path, where executing it is what failed.
    pub fn program(&self) -> Option<&Path> {
        match &self.step {
            Step::Exec(path) | Step::Changed(path) => Some(path),
            _ => None,
        }
    }

    /// The error of a step that is about nothing with a name.
    pub(super) const fn without_names(fault: Fault) -> Self {
        let step = match fault.at {
            At::Fork => Step::Fork,
            At::Pidfd => Step::Pidfd,
            At::Vanished => Step::Vanished,
            At::Group => Step::Group,
            At::Foreground => Step::Foreground,
            At::Unshare => Step::Unshare,
            At::Beside => Step::Beside,
            At::MapUsers => Step::MapUsers,
            At::Join => Step::Join,
            At::Propagation => Step::Propagation,
            At::CloseOthers => Step::CloseOthers,
            At::NoNewPrivs => Step::NoNewPrivs,
            At::TerminalFilter => Step::TerminalFilter,
            At::Keyring => Step::Keyring,
            At::ParentDeath => Step::ParentDeath,
            At::Signals => Step::Signals,
            At::Listener => Step::Listener,
            At::Trace => Step::Trace,
            _ => Step::Channel,
        };
        Self {
            step,
            errno: fault.errno,
        }
    }

    /// What failed and why, without what to do.
    pub fn cause(&self) -> String {
        if !self.step.has_errno() {
            return self.step.to_string();
        }
        let text = std::io::Error::from(self.errno).to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        format!("{}: {text}", self.step)
    }

    fn advice(&self) -> Option<&'static str> {
        match (&self.step, self.errno) {
            (Step::MapUsers, Errno::ACCESS) => Some(
                "it takes a program in memory, which vm.memfd_noexec=2 or a security module does not \
                 let be executed; `isolation: shared` does without",
            ),
            (Step::Unshare | Step::MapUsers | Step::Join, _) => {
                Some("user namespaces may be turned off here; `isolation: shared` does without")
            }
            (Step::Beside, Errno::PERM) => Some(
                "it takes CAP_SYS_ADMIN, and CAP_SYS_PTRACE where the program runs as another user; \
                 `isolation: shared` does without",
            ),
            (Step::Beside, Errno::INVAL | Errno::BADF | Errno::NOSYS) => {
                Some("it takes Linux 5.8; `isolation: shared` does without")
            }
            (Step::Mount(_), Errno::STALE) => Some(
                "another process replaced that directory while hushpipe started: deliver into one \
                 that only root or hushpipe's user can replace",
            ),
            (Step::Propagation, _) => Some("`isolation: shared` does without"),
            (Step::Fd(_), Errno::BADF | Errno::INVAL) => {
                Some("use a number below the limit of open files (ulimit -n)")
            }
            (Step::Fork, Errno::AGAIN) => Some(
                "the limit of processes is reached (`--pids-limit` of a container, TasksMax= of a \
                 unit, ulimit -u)",
            ),
            (_, Errno::MFILE) => Some("raise the limit of open files (ulimit -n)"),
            (Step::Limit(_), Errno::PERM) => {
                Some("a hard limit can be raised by root (CAP_SYS_RESOURCE) alone")
            }
            (Step::Keyring, Errno::DQUOT) => {
                Some("the quota of keys is used up: kernel.keys.maxkeys, /proc/key-users")
            }
            (Step::Listener, Errno::BUSY) => Some(
                "another seccomp listener supervises system calls here (another hushpipe, or a \
                 container agent), and there can be one alone; deliver by `file` or `fd`",
            ),
            (Step::Listener, Errno::INVAL | Errno::NOSYS) => Some(
                "this kernel has no seccomp user notification (Linux before 5.5, gVisor); deliver by \
                 `file` or `fd`",
            ),
            (Step::Listener, _) => Some(
                "a seccomp filter refuses seccomp(2) (in a unit: `SystemCallFilter=seccomp ptrace`); \
                 allow it, or deliver by `file` or `fd`",
            ),
            (Step::Trace, _) => Some(
                "a seccomp or SELinux policy, kernel.yama.ptrace_scope, or a debugger that traces \
                 hushpipe refuses it (in a unit: `SystemCallFilter=seccomp ptrace`); allow it, or \
                 deliver by `file` or `fd`",
            ),
            (Step::Stack(_), Errno::PERM | Errno::ACCESS | Errno::IO) => Some(
                "hushpipe may not look into it: let the program's user read its file, or give hushpipe \
                 CAP_SYS_PTRACE",
            ),
            (Step::TooLarge(_), _) => Some(
                "raise the limit (`run.rlimits.stack`, ulimit -s), or deliver by `file` or `fd`",
            ),
            (Step::Identity { .. }, Errno::PERM) => {
                Some("start hushpipe as root, or leave out `user` and `group`")
            }
            _ => None,
        }
    }
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())?;
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ChildError {}

impl Step {
    const fn has_errno(&self) -> bool {
        !matches!(
            self,
            Self::Vanished
                | Self::Capabilities
                | Self::IdentityInNamespace
                | Self::ForeignOwner(_)
                | Self::Changed(_)
                | Self::Raised(_)
                | Self::TooLarge(_)
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel => f.write_str("cannot talk with the child process"),
            Self::Fork => f.write_str("cannot start a child process"),
            Self::Pidfd => f.write_str("cannot get a pidfd of the child process"),
            Self::Vanished => f.write_str("the child was killed before exec"),
            Self::Group => f.write_str("cannot make a process group for the program"),
            Self::Foreground => f.write_str("cannot give the terminal to the program"),
            Self::Capabilities => f.write_str(
                "private files need CAP_SYS_ADMIN here: in a user namespace the program would lose \
                 the privileges that hushpipe was given",
            ),
            Self::IdentityInNamespace => f.write_str(
                "private files need CAP_SYS_ADMIN here: in a user namespace the program cannot \
                 become another user",
            ),
            Self::ForeignOwner(path) => write!(
                f,
                "private files need CAP_SYS_ADMIN here: in a user namespace {} cannot belong to \
                 another user or group",
                path.display()
            ),
            Self::Unshare => f.write_str("cannot make a mount namespace for the program"),
            Self::Beside => f.write_str("cannot enter the mount namespace of the program"),
            Self::MapUsers => f.write_str("cannot map the user into a user namespace"),
            Self::Join => f.write_str("cannot enter the user namespace of the program"),
            Self::Propagation => f.write_str("cannot keep private mounts from the host"),
            Self::Mount(path) => write!(f, "cannot mount a private tmpfs on {}", path.display()),
            Self::Cover(path) => {
                write!(f, "cannot cover {} for the program", path.display())
            }
            Self::Fd(number) => write!(f, "cannot hand over fd {number}"),
            Self::CloseOthers => f.write_str("cannot close the fds that were not declared"),
            Self::Limit(name) => write!(f, "cannot set the limit {name}"),
            Self::Identity { uid, gid } => write!(f, "cannot become user {uid}, group {gid}"),
            Self::Cwd(path) => write!(f, "cannot change to the directory {}", path.display()),
            Self::NoNewPrivs => f.write_str("cannot set no_new_privs"),
            Self::TerminalFilter => {
                f.write_str("cannot keep the program from the terminal's input by a seccomp filter")
            }
            Self::Keyring => f.write_str("cannot make a session keyring for the program"),
            Self::Signals => f.write_str("cannot set the program's signal mask"),
            Self::ParentDeath => f.write_str("cannot ask for a signal at hushpipe's death"),
            Self::Changed(path) => write!(
                f,
                "{} was changed or replaced after its digest was checked",
                path.display()
            ),
            Self::Exec(path) => write!(f, "cannot execute {}", path.display()),
            Self::Listener => {
                f.write_str("cannot supervise what the program executes, as `getenv` does")
            }
            Self::Trace => f.write_str("cannot trace the start of the program, as `getenv` does"),
            Self::Stack(path) => write!(
                f,
                "cannot write the variables of `getenv` to the stack of {}",
                path.display()
            ),
            Self::Raised(path) => write!(
                f,
                "{} runs with raised privileges: `getenv` does not deliver to it",
                path.display()
            ),
            Self::TooLarge(path) => write!(
                f,
                "the values for `getenv` take more than a quarter of the stack that {} may have",
                path.display()
            ),
        }
    }
}

/// A step without names, as the child knows it: it cannot allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Channel,
    Fork,
    Pidfd,
    Vanished,
    Group,
    Foreground,
    Unshare,
    Beside,
    MapUsers,
    Join,
    Propagation,
    /// By its index in the specification.
    Mount(usize),
    /// By its index in the specification.
    Cover(usize),
    /// By the number it goes to.
    Fd(i32),
    CloseOthers,
    /// By its index in the prepared limits.
    Limit(usize),
    Identity,
    Cwd,
    NoNewPrivs,
    TerminalFilter,
    Keyring,
    ParentDeath,
    Signals,
    Changed,
    Exec,
    Listener,
    Trace,
}

/// A failed step, as it goes over the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub at: At,
    pub errno: Errno,
}

impl Fault {
    pub const fn new(at: At, errno: Errno) -> Self {
        Self { at, errno }
    }

    /// Nine bytes: the step, its index, the errno.
    pub fn to_bytes(self) -> [u8; 9] {
        let index = match self.at {
            At::Mount(index) | At::Cover(index) | At::Limit(index) => index as i32,
            At::Fd(number) => number,
            _ => 0,
        };
        let mut bytes = [self.at.tag(); 9];
        bytes[1..5].copy_from_slice(&index.to_ne_bytes());
        bytes[5..].copy_from_slice(&self.errno.raw_os_error().to_ne_bytes());
        bytes
    }

    /// Reads what [`Fault::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; 9]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let (index, errno) = rest.split_first_chunk::<4>()?;
        let index = i32::from_ne_bytes(*index);
        let errno = i32::from_ne_bytes(errno.try_into().ok()?);
        Some(Self {
            at: At::from_tag(*tag, index)?,
            errno: Errno::from_raw_os_error(errno),
        })
    }
}

impl At {
    /// The steps without an index, by tag.
    const PLAIN: [Self; 23] = [
        Self::Channel,
        Self::Fork,
        Self::Pidfd,
        Self::Vanished,
        Self::Group,
        Self::Foreground,
        Self::Unshare,
        Self::Beside,
        Self::MapUsers,
        Self::Join,
        Self::Propagation,
        Self::CloseOthers,
        Self::Identity,
        Self::Cwd,
        Self::NoNewPrivs,
        Self::TerminalFilter,
        Self::Keyring,
        Self::ParentDeath,
        Self::Signals,
        Self::Changed,
        Self::Exec,
        Self::Listener,
        Self::Trace,
    ];
    const MOUNT: u8 = 100;
    const FD: u8 = 101;
    const LIMIT: u8 = 102;
    const COVER: u8 = 103;

    fn tag(self) -> u8 {
        match self {
            Self::Mount(_) => Self::MOUNT,
            Self::Fd(_) => Self::FD,
            Self::Limit(_) => Self::LIMIT,
            Self::Cover(_) => Self::COVER,
            plain => Self::PLAIN
                .iter()
                .position(|known| *known == plain)
                .map_or(0, |tag| tag as u8),
        }
    }

    fn from_tag(tag: u8, index: i32) -> Option<Self> {
        match tag {
            Self::MOUNT => Some(Self::Mount(index as usize)),
            Self::FD => Some(Self::Fd(index)),
            Self::LIMIT => Some(Self::Limit(index as usize)),
            Self::COVER => Some(Self::Cover(index as usize)),
            plain => Self::PLAIN.get(usize::from(plain)).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_arrives_as_it_was_sent() {
        let indexed = [At::Cover(2), At::Mount(3), At::Fd(1000), At::Limit(15)];
        for at in At::PLAIN.into_iter().chain(indexed) {
            let fault = Fault::new(at, Errno::NOENT);
            assert_eq!(Fault::from_bytes(fault.to_bytes()), Some(fault));
        }
        assert_eq!(Fault::from_bytes([99; 9]), None);
    }

    #[test]
    fn an_error_says_what_on_what_and_why() {
        let error = ChildError {
            step: Step::Cwd(PathBuf::from("/srv/app")),
            errno: Errno::ACCESS,
        };
        assert_eq!(
            error.to_string(),
            "cannot change to the directory /srv/app: Permission denied"
        );
    }

    #[test]
    fn only_a_refused_isolation_has_a_way_out() {
        let refused = |step, errno| ChildError { step, errno }.isolation_refused();
        let target = PathBuf::from("/run/secrets");
        assert!(refused(Step::Unshare, Errno::PERM));
        assert!(refused(Step::Unshare, Errno::NOSPC));
        assert!(refused(Step::Mount(target.clone()), Errno::ACCESS));
        assert!(!refused(Step::Mount(target), Errno::NOENT));
        assert!(!refused(Step::Unshare, Errno::NOMEM));
        assert!(!refused(Step::Cwd(PathBuf::new()), Errno::ACCESS));
    }
}
