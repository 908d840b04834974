//! Why a program cannot be launched.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::{Exit, Sha256};
use crate::sys::child::{ChildError, Step};
use crate::sys::limits::LimitError;
use crate::sys::users::UsersError;

/// Why a program cannot be launched.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No such file.
    #[error(
        "{command:?} was not found{}",
        looked_in(command, searched.as_deref())
    )]
    NotFound {
        /// As it was written.
        command: String,
        /// The PATH that was searched; `None` for a command with a `/`.
        searched: Option<OsString>,
    },
    /// It has no execute permission.
    #[error("{0} is not executable; if it is the right file: chmod +x")]
    NotExecutable(PathBuf),
    /// It is a directory.
    #[error("{0} is a directory, not a program")]
    Directory(PathBuf),
    /// It is neither a binary of this machine nor a script with a `#!` line.
    #[error(
        "{0} is neither a program for this machine nor a script: add a first line such as #!/bin/sh"
    )]
    UnknownFormat(PathBuf),
    /// The interpreter it asks for is not there.
    #[error("{path} cannot run: {}", lacks(interpreter.as_deref()))]
    NoInterpreter {
        /// The program.
        path: PathBuf,
        /// What its `#!` line names; `None` for a binary's dynamic loader.
        interpreter: Option<PathBuf>,
    },
    /// It cannot be read, which its digest needs.
    #[error("cannot read {path}, which checking run.sha256 needs")]
    Unreadable {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could change it, and no copy of it can be made that can be executed.
    #[error(
        "cannot copy {path} into sealed memory, from where a program with run.sha256 is executed \
         if it is a script or others could change it (is vm.memfd_noexec 2?)"
    )]
    NotCopied {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another program is there than the one that policy has judged.
    #[error("{0} was changed after policy had decided on it: start it again")]
    Exchanged(PathBuf),
    /// It is not the program that was meant.
    #[error(
        "{path} has the SHA-256 {found}, but run.sha256 is {expected}; if the program was updated \
         on purpose, update run.sha256"
    )]
    Digest {
        /// The program.
        path: PathBuf,
        /// `run.sha256`
        expected: Sha256,
        /// What it is.
        found: Sha256,
    },
    /// The user or group cannot be told.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// A user without an entry, and no group given.
    #[error("user {uid} has no entry in /etc/passwd and so no known group: set run.group")]
    GroupUnknown {
        /// Its number.
        uid: u32,
    },
    /// hushpipe may not become another user.
    #[error(
        "hushpipe runs as user {} and cannot become user {uid}, group {gid}: start it as root, or \
         remove run.user",
        nix::unistd::geteuid()
    )]
    NotPrivileged {
        /// The user wanted.
        uid: u32,
        /// The group wanted.
        gid: u32,
    },
    /// hushpipe's own groups cannot be read.
    #[error("cannot read hushpipe's own groups")]
    Groups(#[source] io::Error),
    /// The working directory cannot be used.
    #[error("cannot use {path} as run.cwd")]
    Cwd {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A resource limit is wrong.
    #[error("run.rlimits: {0}")]
    Limit(LimitError),
    /// An argument has a NUL byte, which ends an argument.
    #[error("argument {0} of run.command has a NUL byte")]
    NulInArgument(usize),
    /// A variable's value has a NUL byte, which ends a variable.
    #[error("the value of run.env.set.{} has a NUL byte", .0.display())]
    NulInVariable(OsString),
    /// This cannot be a variable's name.
    #[error("run.env.set: {:?} cannot be the name of a variable", .0.display().to_string())]
    VariableName(OsString),
    /// This name is hushpipe's own.
    #[error(
        "run.env.set: {} cannot be set: names that start with HUSHPIPE_ are reserved",
        .0.display()
    )]
    OwnVariable(OsString),
    /// A step on the way to the program failed.
    #[error(transparent)]
    Child(ChildError),
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

fn looked_in(command: &str, path: Option<&OsStr>) -> String {
    let place = path.map_or(": no such file", |_| " in PATH");
    format!("{place}\n  help: {}", not_found_help(command.trim(), path))
}

/// What people mean by a program that is not there.
fn not_found_help(command: &str, path: Option<&OsStr>) -> String {
    let is_variable = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if command
        .split_once('=')
        .is_some_and(|(name, _)| is_variable(name))
    {
        return format!(
            "a shell sets variables so; write `env {command} PROGRAM`, or use run.env.set"
        );
    }
    if command.contains(' ') {
        return format!("write program and arguments as separate words: {command}");
    }
    if SHELL_WORDS.contains(&command) {
        return format!("it is a word of the shell: write `sh -c '{command} ...'`");
    }
    match path {
        Some(path) => format!(
            "install it, or give its full path; PATH is {}",
            shortened(path)
        ),
        None => "check the path; a relative one starts at run.cwd".to_owned(),
    }
}

/// Words of the shell that are no programs.
const SHELL_WORDS: [&str; 10] = [
    "cd", "source", ".", "export", "alias", "set", "eval", "exec", "ulimit", "if",
];

/// The start of a long PATH.
fn shortened(path: &OsStr) -> String {
    const MOST: usize = 45;
    let path = path.display().to_string();
    match path.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path,
    }
}

/// Which interpreter is missing; `None`: a binary's dynamic loader.
fn lacks(interpreter: Option<&Path>) -> String {
    interpreter.map_or_else(
        || {
            "the dynamic loader it was built for is missing (a binary of another C library or \
             another architecture?)"
                .to_owned()
        },
        |path| {
            let path = path.display();
            format!("its #! line names the interpreter {path}, which is missing")
        },
    )
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
            Self::Digest { .. } | Self::Exchanged(_) => Exit::Denied,
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
