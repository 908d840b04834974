//! Why a program cannot be launched.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::{Exit, Sha256};
use crate::sys::child::{ChildError, Step};
use crate::sys::limits::LimitError;
use crate::sys::users::UsersError;

/// Why a program cannot be launched.
#[derive(Debug)]
pub enum SpawnError {
    /// No such file.
    NotFound {
        /// As it was written.
        command: String,
        /// The PATH that was searched; `None` for a command with a `/`.
        searched: Option<OsString>,
    },
    /// It has no execute permission.
    NotExecutable(PathBuf),
    /// It is a directory.
    Directory(PathBuf),
    /// It is neither a binary of this machine nor a script with a `#!` line.
    UnknownFormat(PathBuf),
    /// The interpreter it asks for is not there.
    NoInterpreter {
        /// The program.
        path: PathBuf,
        /// What its `#!` line names; `None` for a binary's dynamic loader.
        interpreter: Option<PathBuf>,
    },
    /// It cannot be read, which its digest needs.
    Unreadable {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could change it, and no copy of it can be made that can be executed.
    NotCopied {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not the program that was meant.
    Digest {
        /// The program.
        path: PathBuf,
        /// `run.sha256`
        expected: Sha256,
        /// What it is.
        found: Sha256,
    },
    /// The user or group cannot be told.
    Users(UsersError),
    /// A user without an entry, and no group given.
    GroupUnknown {
        /// Its number.
        uid: u32,
    },
    /// hushpipe may not become another user.
    NotPrivileged {
        /// The user wanted.
        uid: u32,
        /// The group wanted.
        gid: u32,
    },
    /// hushpipe's own groups cannot be read.
    Groups(io::Error),
    /// The working directory cannot be used.
    Cwd {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A resource limit is wrong.
    Limit(LimitError),
    /// An argument has a NUL byte, which ends an argument.
    NulInArgument(usize),
    /// A variable's value has a NUL byte, which ends a variable.
    NulInVariable(OsString),
    /// This cannot be a variable's name.
    VariableName(OsString),
    /// This name is hushpipe's own.
    OwnVariable(OsString),
    /// A step on the way to the program failed.
    Child(ChildError),
}

impl From<UsersError> for SpawnError {
    fn from(error: UsersError) -> Self {
        Self::Users(error)
    }
}

impl From<ChildError> for SpawnError {
    /// Tells apart what execve(2) answers with one errno, by looking at the program.
    fn from(error: ChildError) -> Self {
        let Step::Exec(path) = &error.step else {
            return Self::Child(error);
        };
        let path = path.clone();
        match error.errno.raw_os_error() {
            libc::ENOENT if path.exists() => Self::NoInterpreter {
                interpreter: interpreter(&path),
                path,
            },
            libc::ENOENT | libc::ENOTDIR => Self::NotFound {
                command: path.display().to_string(),
                searched: None,
            },
            libc::ENOEXEC => Self::UnknownFormat(path),
            libc::EACCES if path.is_dir() => Self::Directory(path),
            _ => Self::Child(error),
        }
    }
}

/// The interpreter that a script's first line names.
pub(super) fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut start = Vec::with_capacity(256);
    File::open(path)
        .ok()?
        .take(256)
        .read_to_end(&mut start)
        .ok()?;
    let line = start.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    let name = line
        .split(u8::is_ascii_whitespace)
        .find(|word| !word.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(name)))
}

impl SpawnError {
    /// The exit code: 126 and 127 for the program, as shells have them; 78 for what the manifest
    /// alone can mend; 77 for a program that is not the pinned one; 71 for what the system refused.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NotFound { .. } => Exit::NotFound,
            Self::NotExecutable(_)
            | Self::Directory(_)
            | Self::UnknownFormat(_)
            | Self::NoInterpreter { .. }
            | Self::Unreadable { .. } => Exit::NotExecutable,
            Self::Digest { .. } => Exit::Denied,
            Self::Users(UsersError::NoUser(_) | UsersError::NoGroup(_))
            | Self::GroupUnknown { .. }
            | Self::Limit(_)
            | Self::NulInArgument(_)
            | Self::NulInVariable(_)
            | Self::VariableName(_)
            | Self::OwnVariable(_) => Exit::Manifest,
            Self::Users(_)
            | Self::NotPrivileged { .. }
            | Self::Groups(_)
            | Self::Cwd { .. }
            | Self::NotCopied { .. } => Exit::Os,
            Self::Child(error) => match &error.step {
                Step::Exec(_) => Exit::NotExecutable,
                Step::Changed(_) => Exit::Denied,
                _ => Exit::Os,
            },
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound {
                command,
                searched: Some(path),
            } => write!(
                f,
                "{command:?} was not found in PATH ({}); give its full path or install it",
                path.display()
            ),
            Self::NotFound { command, .. } => write!(f, "{command:?} was not found: no such file"),
            Self::NotExecutable(path) => write!(
                f,
                "{} is not executable; if it is the right file: chmod +x",
                path.display()
            ),
            Self::Directory(path) => {
                write!(f, "{} is a directory, not a program", path.display())
            }
            Self::UnknownFormat(path) => write!(
                f,
                "{} is neither a program for this machine nor a script with a #! line; no shell is \
                 tried: add a line such as #!/bin/sh",
                path.display()
            ),
            Self::NoInterpreter {
                path,
                interpreter: Some(interpreter),
            } => write!(
                f,
                "{} cannot run: its #! line names the interpreter {}, which is missing",
                path.display(),
                interpreter.display()
            ),
            Self::NoInterpreter { path, .. } => write!(
                f,
                "{} cannot run: the dynamic loader it was built for is missing (a binary of \
                 another C library or another architecture?)",
                path.display()
            ),
            Self::Unreadable { path, .. } => write!(
                f,
                "cannot read {}, which checking run.sha256 needs",
                path.display()
            ),
            Self::NotCopied { path, .. } => write!(
                f,
                "cannot copy {} into sealed memory, from where a program with run.sha256 is executed \
                 if it is a script or others could change it (is vm.memfd_noexec 2?)",
                path.display()
            ),
            Self::Digest {
                path,
                expected,
                found,
            } => write!(
                f,
                "{} has the SHA-256 {found}, but run.sha256 is {expected}; if the program was \
                 updated on purpose, update run.sha256",
                path.display()
            ),
            error => error.fmt_other(f),
        }
    }
}

impl SpawnError {
    /// What is not about the program's file.
    fn fmt_other(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Users(error) => fmt::Display::fmt(error, f),
            Self::GroupUnknown { uid } => write!(
                f,
                "user {uid} has no entry in /etc/passwd, so its group is not known; set run.group"
            ),
            Self::NotPrivileged { uid, gid } => write!(
                f,
                "hushpipe runs as user {} and may not become user {uid}, group {gid}; start it as \
                 root, or leave out run.user and run.group",
                nix::unistd::geteuid()
            ),
            Self::Groups(_) => f.write_str("cannot read hushpipe's own groups"),
            Self::Cwd { path, .. } => {
                write!(f, "cannot use {} as run.cwd", path.display())
            }
            Self::Limit(error) => write!(f, "run.rlimits: {error}"),
            Self::NulInArgument(index) => {
                write!(f, "argument {index} of run.command has a NUL byte")
            }
            Self::NulInVariable(name) => {
                write!(
                    f,
                    "the value of run.env.set.{} has a NUL byte",
                    name.display()
                )
            }
            Self::VariableName(name) => write!(
                f,
                "run.env.set: {:?} cannot be the name of a variable",
                name.display().to_string()
            ),
            Self::OwnVariable(name) => write!(
                f,
                "run.env.set: {} cannot be set: names that start with HUSHPIPE_ are hushpipe's own",
                name.display()
            ),
            Self::Child(error) => fmt::Display::fmt(error, f),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. }
            | Self::NotCopied { source, .. }
            | Self::Cwd { source, .. }
            | Self::Groups(source) => Some(source),
            Self::Users(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}
