//! Why a path was not walked to its end. The texts name paths, users and modes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::system::is_of_system;
use crate::sys::filesystem::Kind;

/// Which component, and what is wrong with it.
#[derive(Debug)]
pub struct WalkError {
    /// The component, as it was walked to.
    pub path: PathBuf,
    /// What is wrong.
    pub fault: WalkFault,
}

/// What is wrong with a component.
#[derive(Debug)]
pub enum WalkFault {
    /// It belongs to a user that is not trusted.
    Owner {
        /// The owner; the overflow uid where this user namespace does not map it.
        uid: u32,
        /// Whether this user namespace does not map the owner.
        unmapped: bool,
    },
    /// Others can write to it.
    Writable {
        /// Who.
        by: Writer,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a link, and none is followed here.
    Link,
    /// A trusted owner's link leads to what that owner does not have.
    Led {
        /// Whose it is.
        uid: u32,
        /// Who controls the way.
        by: u32,
    },
    /// A link on the way to it leads to nothing.
    Dangling,
    /// It is a link of /proc that leads to an object, not to a path.
    MagicLink,
    /// It is no directory.
    NotDirectory,
    /// It is no regular file, but this.
    NotFile(Kind),
    /// It has further names, and others can make them where it is.
    Linked,
    /// The kernel's word.
    System(io::Error),
}

/// Who can write to what others must not write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Every user of this host.
    Everybody,
    /// The members of its group.
    Group(u32),
    /// A user whom an ACL names.
    AclUser(u32),
    /// The members of a group that an ACL names.
    AclGroup(u32),
    /// An ACL that cannot be read decides.
    Unknown,
}

impl WalkError {
    pub(in crate::sys) fn new(path: &Path, fault: WalkFault) -> Self {
        Self {
            path: path.to_owned(),
            fault,
        }
    }

    pub(in crate::sys) fn system(path: &Path, errno: Errno) -> Self {
        Self::new(path, WalkFault::System(errno.into()))
    }

    /// Whether it failed because the component is not there.
    pub fn is_missing(&self) -> bool {
        self.kind() == Some(io::ErrorKind::NotFound)
    }

    /// What the kernel said, if it did.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match &self.fault {
            WalkFault::System(error) => Some(error.kind()),
            _ => None,
        }
    }

    /// A command that closes it to those who must not write to it; `None` where there is none. A
    /// directory of another user goes to root or to nobody: what else lies there is not the caller's.
    pub fn remedy(&self, own_uid: u32) -> Option<String> {
        let path = self.path.display();
        match self.fault {
            WalkFault::Owner { unmapped: true, .. } => None,
            WalkFault::Owner { .. } if is_of_system(&self.path) => {
                Some(format!("chown root {path}"))
            }
            WalkFault::Owner { .. } if own_uid != 0 && self.path.is_dir() => None,
            // A home, or a project: to give it to root would lock its user out.
            WalkFault::Owner { .. } if self.path.is_dir() => None,
            WalkFault::Owner { .. } => Some(format!("chown {own_uid} {path}")),
            WalkFault::Writable { by, .. } => Some(match by {
                Writer::Everybody => format!("chmod o-w {path}"),
                Writer::Group(_) => format!("chmod g-w {path}"),
                Writer::AclUser(uid) => format!("setfacl -x u:{uid} {path}"),
                Writer::AclGroup(gid) => format!("setfacl -x g:{gid} {path}"),
                Writer::Unknown => format!("setfacl -b {path}"),
            }),
            _ => None,
        }
    }

    /// What to do, for the end of a message: a command, or words; empty where there is nothing to say.
    pub fn help(&self, own_uid: u32) -> String {
        match (&self.fault, self.remedy(own_uid)) {
            (_, Some(command)) => format!(": {command}"),
            (WalkFault::Owner { unmapped: true, .. }, None) => {
                ": within a user namespace, such as that of a program which hushpipe started for an \
                 ordinary user, this cannot be trusted. Run hushpipe outside of it, or copy what it needs \
                 to a directory of yours"
                    .to_owned()
            }
            (WalkFault::Owner { uid, .. }, None) if own_uid == 0 => format!(
                ": run hushpipe as that user, without sudo (setpriv --reuid {uid} --regid {uid} --clear-groups)"
            ),
            (WalkFault::Owner { .. }, None) => format!(
                ": move the project below a directory that only you (uid {own_uid}) or root can change"
            ),
            _ => String::new(),
        }
    }

    /// The owner, if trusting that user would do.
    pub const fn foreign_owner(&self) -> Option<u32> {
        match self.fault {
            WalkFault::Owner {
                uid,
                unmapped: false,
            } => Some(uid),
            _ => None,
        }
    }
}

impl From<io::Error> for WalkFault {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            WalkFault::Owner {
                uid,
                unmapped: false,
            } => {
                write!(f, "{path} belongs to uid {uid}, which can change it")
            }
            WalkFault::Owner {
                uid,
                unmapped: true,
            } => write!(
                f,
                "{path} belongs to a user that this user namespace does not map (shown as uid {uid}), \
                 which can change it"
            ),
            WalkFault::Writable { by, mode } => match by {
                Writer::Everybody => write!(f, "others can write to {path} (mode {mode:04o})"),
                Writer::Group(gid) => {
                    write!(f, "the group {gid} can write to {path} (mode {mode:04o})")
                }
                Writer::AclUser(uid) => write!(f, "an ACL lets uid {uid} write to {path}"),
                Writer::AclGroup(gid) => write!(f, "an ACL lets the group {gid} write to {path}"),
                Writer::Unknown => write!(f, "{path} has an ACL that cannot be read"),
            },
            WalkFault::Link => write!(f, "{path} is a symbolic link"),
            WalkFault::Led { uid, by } => write!(
                f,
                "{path} belongs to uid {uid}, and uid {by}, which is trusted with its own files alone, \
                 leads there by a link"
            ),
            WalkFault::Dangling => {
                write!(f, "{path} is not there, and a symbolic link leads to it")
            }
            WalkFault::MagicLink => write!(f, "{path} is a link of /proc, which is no path"),
            WalkFault::NotDirectory => write!(f, "{path} is not a directory"),
            WalkFault::NotFile(kind) => write!(f, "{path} is {}, not a regular file", named(*kind)),
            WalkFault::Linked => write!(
                f,
                "{path} has more than one name, in a directory where others can make one"
            ),
            WalkFault::System(_) => write!(f, "cannot open {path}"),
        }
    }
}

const fn named(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "a file",
        Kind::Directory => "a directory",
        Kind::Link => "a symbolic link",
        Kind::Fifo => "a FIFO",
        Kind::Socket => "a socket",
        Kind::Other => "a device",
    }
}

impl std::error::Error for WalkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            WalkFault::System(error) => Some(error),
            _ => None,
        }
    }
}
