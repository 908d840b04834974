//! What is known of a program that policy judges, and how it is executed: see `judge`.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::error::SpawnError;
use crate::model::Sha256;
use crate::sys::child::Pinned;
use crate::sys::filesystem;

/// What is known of a program that will be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its path, without links.
    pub path: PathBuf,
    /// Of its bytes; a script's own.
    pub sha256: Sha256,
    /// These bytes, and those of its interpreters, are executed and no others; of a script, root alone can
    /// change its interpreters and the directories of its PATH.
    pub pinned: bool,
    /// A script's interpreter, the binary that runs in the end, and the digest of its bytes; of several,
    /// the first that others than root can change, and the digest of the bytes of all, in the order in
    /// which they name each other.
    pub interpreter: Option<(PathBuf, Sha256)>,
    /// The file's owner, or that of an interpreter that others than root can change.
    pub owner: u32,
    /// The permission bits of the same file.
    pub mode: u32,
}

/// A word of the command line, before the arguments of the program.
#[derive(Debug)]
pub(super) enum Word {
    Text(CString),
    /// The path of this script, which stays open in the program.
    Script(OwnedFd),
}

/// A program that is ready to be executed.
#[derive(Debug)]
pub(super) struct Start {
    pub executed: Pinned,
    /// In place of `argv[0]`, of a script.
    pub line: Vec<Word>,
    pub judged: Judged,
}

/// A word for execve(2).
pub(super) fn text(word: OsString) -> Result<CString, SpawnError> {
    CString::new(word.into_vec()).map_err(|_| SpawnError::NulInArgument(0))
}

/// Scripts that stay open in the program, and at which numbers.
pub(super) type Scripts = Vec<(OwnedFd, i32)>;

/// The words of the command line before the program's arguments, and the descriptors that they name.
/// Scripts are open at numbers that nothing else takes and that scripts do not use themselves.
pub(super) fn settle(
    line: Vec<Word>,
    taken: &[i32],
    below: u64,
) -> Result<(Vec<CString>, Scripts), SpawnError> {
    let mut fds: Scripts = Vec::new();
    let mut words = Vec::with_capacity(line.len());
    for word in line {
        let script = match word {
            Word::Text(text) => {
                words.push(text);
                continue;
            }
            Word::Script(script) => script,
        };
        let mut free = (200..220).chain(20..200).chain(3..20).filter(|number| {
            u64::try_from(*number).is_ok_and(|number| number < below)
                && !taken.contains(number)
                && !fds.iter().any(|(_, other)| other == number)
        });
        let number = free.next().ok_or_else(|| SpawnError::NotCopied {
            path: filesystem::path_of(script.as_fd()),
            source: io::Error::from_raw_os_error(libc::EMFILE),
        })?;
        words.push(text(OsString::from(format!("/dev/fd/{number}")))?);
        fds.push((script, number));
    }
    Ok((words, fds))
}
