//! Finding the program, and making sure that it is the right one.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::digest::Digesting;
use super::error::{SpawnError, interpreter};
use super::judged::{Judged, Start, Word};
use crate::model;
use crate::sys::child::Pinned;
use crate::sys::filesystem;

/// Where a program is looked for when PATH is not set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that was found.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    text: CString,
    pinned: Option<Pinned>,
    /// Of a script that was judged.
    line: Vec<Word>,
    judged: Option<Judged>,
}

/// A program's path for messages, what is executed in its place, and the words in place of its
/// `argv[0]`.
pub(super) type Parts = (CString, Option<Pinned>, Vec<Word>);

impl Program {
    /// To be executed by its path.
    pub fn by_path(path: PathBuf) -> Result<Self, SpawnError> {
        let text =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| SpawnError::NulInArgument(0))?;
        Ok(Self {
            path,
            text,
            pinned: None,
            line: Vec::new(),
            judged: None,
        })
    }

    /// To be executed as what has this digest, whatever the path leads to by then: see [`Pinned`]. A
    /// digest says nothing of a script's interpreter, or of shared libraries.
    pub fn pinned(path: PathBuf, expected: model::Sha256) -> Result<Self, SpawnError> {
        let (pinned, found) = pin(&path)?;
        if found != expected {
            return Err(SpawnError::Digest {
                path,
                expected,
                found,
            });
        }
        let mut program = Self::by_path(path)?;
        program.pinned = Some(pinned);
        Ok(program)
    }

    /// To be executed as policy judges it, with its interpreters.
    pub(super) fn judged(
        found: PathBuf,
        start: Start,
        expected: Option<model::Sha256>,
    ) -> Result<Self, SpawnError> {
        let is = start.judged.sha256;
        if let Some(expected) = expected.filter(|expected| *expected != is) {
            return Err(SpawnError::Digest {
                path: found,
                expected,
                found: is,
            });
        }
        Ok(Self {
            pinned: Some(start.executed),
            line: start.line,
            judged: Some(start.judged),
            ..Self::by_path(found)?
        })
    }

    /// What policy is told of it.
    pub fn as_judged(&self) -> Option<&Judged> {
        self.judged.as_ref()
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its file would give to this user and group.
    pub(super) fn privileges(&self, uid: u32, gid: u32) -> Option<&'static str> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(&self.path).ok()?;
        let has = |bit| metadata.mode() & bit != 0;
        if has(libc::S_ISUID) && metadata.uid() != uid {
            Some("has a setuid bit")
        } else if has(libc::S_ISGID) && metadata.gid() != gid {
            Some("has a setgid bit")
        } else if uid != 0 && filesystem::has_capabilities(&self.path) {
            Some("has file capabilities")
        } else {
            None
        }
    }

    pub(super) fn into_parts(self) -> Parts {
        (self.text, self.pinned, self.line)
    }
}

/// Finds a command as execvp(3) does: a name with `/` is a path, any other is looked for in the
/// directories of `path`, which is the program's own PATH. Relative paths are taken from the
/// program's working directory.
pub fn resolve(
    command: &OsStr,
    path: Option<&OsStr>,
    cwd: Option<&Path>,
) -> Result<PathBuf, SpawnError> {
    let place = |path: &Path| cwd.map_or_else(|| path.to_owned(), |cwd| cwd.join(path));
    if command.as_bytes().contains(&b'/') {
        let found = place(Path::new(command));
        return match look(&found) {
            Look::Runs => Ok(found),
            Look::Missing => Err(SpawnError::NotFound {
                command: command.to_string_lossy().into_owned(),
                searched: None,
            }),
            Look::Directory => Err(SpawnError::Directory(found)),
            Look::NotExecutable => Err(SpawnError::NotExecutable(found)),
        };
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut not_executable = None;
    let directories = path.as_bytes().split(|byte| *byte == b':');
    for directory in directories.filter(|_| !command.is_empty()) {
        let directory = if directory.is_empty() {
            b"."
        } else {
            directory
        };
        let candidate = place(&Path::new(OsStr::from_bytes(directory)).join(command));
        match look(&candidate) {
            Look::Runs => return Ok(candidate),
            Look::NotExecutable => not_executable = not_executable.or(Some(candidate)),
            Look::Missing | Look::Directory => {}
        }
    }
    Err(match not_executable {
        Some(candidate) => SpawnError::NotExecutable(candidate),
        None => SpawnError::NotFound {
            command: command.to_string_lossy().into_owned(),
            searched: Some(path.to_owned()),
        },
    })
}

/// What stands at a path.
enum Look {
    Runs,
    Missing,
    Directory,
    NotExecutable,
}

fn look(path: &Path) -> Look {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Look::Directory,
        Ok(metadata) if metadata.is_file() && access(path, AccessFlags::X_OK).is_ok() => Look::Runs,
        // A directory on the way that hushpipe may not search is as good as a missing file only if
        // nothing is known to be there.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Look::Missing,
        _ => Look::NotExecutable,
    }
}

/// Opens a program for reading, so that it can be looked at and then executed by this fd.
pub fn open_program(path: &Path) -> Result<OwnedFd, SpawnError> {
    File::open(path)
        .map(OwnedFd::from)
        .map_err(|source| SpawnError::Unreadable {
            path: path.to_owned(),
            source,
        })
}

/// The SHA-256 digest of an opened file's whole content.
pub fn sha256(file: impl AsFd) -> io::Result<model::Sha256> {
    sha256_and(file, &mut io::sink())
}

/// The same; `also` gets the content as well.
pub(super) fn sha256_and(file: impl AsFd, also: &mut dyn Write) -> io::Result<model::Sha256> {
    let file = File::from(file.as_fd().try_clone_to_owned()?);
    let mut hasher = Digesting::new();
    let mut block = vec![0; 16 * 1024];
    let mut at = 0;
    loop {
        match file.read_at(&mut block, at) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => {
                hasher.write_all(&block[..length])?;
                also.write_all(&block[..length])?;
                at += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The program as it is now, for good, and its digest.
fn pin(path: &Path) -> Result<(Pinned, model::Sha256), SpawnError> {
    let unreadable = |source| SpawnError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = open_program(path)?;
    let original = if starts_as_script(&file).map_err(unreadable)? {
        Err(file)
    } else {
        Pinned::original(file)
    };
    match original {
        Ok(pinned) => {
            let digest = sha256(pinned.file()).map_err(unreadable)?;
            Ok((pinned, digest))
        }
        Err(file) => {
            let mut hasher = Digesting::new();
            let copied = copy(&mut File::from(file), &mut hasher).and_then(|copy| {
                let digest = hasher.finish();
                let script = starts_as_script(&copy)?;
                Ok((Pinned::copy(copy, script)?, digest))
            });
            copied.map_err(|source| SpawnError::NotCopied {
                path: path.to_owned(),
                source,
            })
        }
    }
}

/// Copies; `also` gets what is copied, so that a digest that is made there is of the copy.
pub(super) fn copy(file: &mut File, also: &mut dyn Write) -> io::Result<File> {
    file.rewind()?;
    let mut copy = Pinned::blank()?;
    io::copy(file, &mut Both(&mut copy, also))?;
    Ok(copy)
}

struct Both<'a>(&'a mut File, &'a mut dyn Write);

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1.write_all(&bytes[..written])?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn starts_as_script(file: impl AsFd) -> io::Result<bool> {
    let file = File::from(file.as_fd().try_clone_to_owned()?);
    let mut start = [0; 2];
    match file.read_exact_at(&mut start, 0) {
        Ok(()) => Ok(start == *b"#!"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A script whose interpreter is missing is found out before anything is fetched. A relative one is
/// left to the kernel, and so is what hushpipe may not read.
pub(super) fn look_for_interpreter(path: &Path) -> Result<(), SpawnError> {
    match interpreter(path) {
        Some(interpreter)
            if interpreter.is_absolute() && matches!(interpreter.try_exists(), Ok(false)) =>
        {
            Err(SpawnError::NoInterpreter {
                path: path.to_owned(),
                interpreter: Some(interpreter),
            })
        }
        _ => Ok(()),
    }
}
