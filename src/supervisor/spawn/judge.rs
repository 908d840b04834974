//! The program as policy judges it: what is looked at is what is executed, the interpreters of a script
//! included.
//!
//! A file that only root can change, by a path that only root can change, is executed as it is, by that
//! path, once it is known to lead to the same file still; so its name (comm), `/proc/self/exe`, `$0` and
//! its capabilities are as always. Of any other file, what is executed is [`Pinned`]: the file itself where
//! the kernel vouches for it, else a copy in sealed memory. The `#!` line is carried out here and not by
//! the kernel (execve(2), "Interpreter scripts"), which would open the interpreter by its path once more;
//! `#!/usr/bin/env NAME` is carried out as env(1) does. Shared libraries, and what an interpreter loads,
//! are not looked at.
//!
//! A script does what its interpreter makes of it, and what the programs do that it finds by PATH. So it
//! is known for good only if root alone can change its interpreters and the directories of its PATH.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::digest::Digesting;
use super::error::SpawnError;
use super::judged::{Judged, Start, Word, text};
use super::program::{copy, resolve, sha256_and, starts_as_script};
use crate::model::Sha256;
use crate::sys::child::Pinned;
use crate::sys::filesystem;
use crate::sys::walk::{self, Rule};

/// As the kernel's own: a script's interpreter may be a script, and so on.
const DEEPEST: usize = 5;

/// The kernel reads so much of a `#!` line: BINPRM_BUF_SIZE.
const LINE: usize = 256;

/// One file on the way to the binary.
enum Held {
    /// Only root can change it and its path.
    Root(File),
    Pinned(Pinned),
    Copy(File),
}

struct Looked {
    held: Held,
    path: PathBuf,
    sha256: Sha256,
    script: bool,
    owner: u32,
    mode: u32,
}

/// Looks at a program and all its interpreters. `path` is the program's own PATH.
pub(super) fn judge(
    found: &Path,
    path: Option<&OsStr>,
    cwd: Option<&Path>,
) -> Result<Start, SpawnError> {
    let mut at = absolute(found, cwd);
    let mut line = VecDeque::new();
    let mut name = None;
    let mut judged: Option<Judged> = None;
    let mut weakest = None;
    let mut interpreters = Digesting::new();
    for _ in 0..=DEEPEST {
        let is_first = judged.is_none();
        let looked = if is_first {
            look(&at, &mut io::sink())
        } else {
            look(&at, &mut interpreters)
        }?;
        let judged = judged.get_or_insert_with(|| looked.judged());
        if !is_first && weakest.is_none() {
            weakest = looked.weakens(judged);
        }
        if !looked.script {
            if !is_first {
                let digest = interpreters.finish();
                let shown = weakest.unwrap_or_else(|| looked.path.clone());
                judged.interpreter = Some((shown, digest));
                judged.pinned &= is_of_root(path);
            }
            if let Some(name) = name {
                line.push_front(Word::Text(name));
            }
            let judged = judged.clone();
            return Ok(Start {
                executed: looked.executed(&at)?,
                line: line.into(),
                judged,
            });
        }
        let next = Next::of(
            &looked.first_line().map_err(|e| unreadable(&at, e))?,
            &at,
            path,
            cwd,
        )?;
        judged.pinned &= next.is_known;
        line.push_front(looked.word(&at)?);
        if let Some(argument) = next.argument {
            line.push_front(Word::Text(text(argument)?));
        }
        at = absolute(&next.program, cwd);
        name = Some(text(next.name)?);
    }
    Err(SpawnError::UnknownFormat(found.to_owned()))
}

fn absolute(path: &Path, cwd: Option<&Path>) -> PathBuf {
    let whole = cwd.map_or_else(|| path.to_owned(), |cwd| cwd.join(path));
    std::path::absolute(&whole).unwrap_or(whole)
}

fn unreadable(path: &Path, source: io::Error) -> SpawnError {
    SpawnError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

fn look(path: &Path, also: &mut dyn io::Write) -> Result<Looked, SpawnError> {
    let wrong = |source| unreadable(path, source);
    let file = File::open(path).map_err(wrong)?;
    let metadata = file.metadata().map_err(wrong)?;
    let by_descriptor = filesystem::path_of(file.as_fd());
    let whole = std::fs::read_link(by_descriptor).or_else(|_| path.canonicalize());
    let whole = whole.map_err(wrong)?;
    let held = hold(path, file).map_err(|source| SpawnError::NotCopied {
        path: path.to_owned(),
        source,
    })?;
    let digest = sha256_and(held.file(), also).map_err(wrong)?;
    Ok(Looked {
        script: starts_as_script(held.file()).map_err(wrong)?,
        held,
        path: whole,
        sha256: digest,
        owner: metadata.uid(),
        mode: metadata.mode() & 0o7777,
    })
}

/// From here on it cannot change, but by root.
fn hold(path: &Path, file: File) -> io::Result<Held> {
    if only_root_changes(path, &file) {
        return Ok(Held::Root(file));
    }
    let file = match Pinned::original(file.into()) {
        Ok(pinned) if !starts_as_script(pinned.file())? => return Ok(Held::Pinned(pinned)),
        Ok(pinned) => pinned.into_file(),
        Err(file) => file,
    };
    // Its digest is made with those of all others.
    copy(&mut File::from(file), &mut io::sink()).map(Held::Copy)
}

/// Whether programs that are found by this PATH are root's: what is not there, root alone can make.
fn is_of_root(path: Option<&OsStr>) -> bool {
    let Some(path) = path else { return true };
    let mut directories = path.as_bytes().split(|byte| *byte == b':');
    directories.all(|directory| {
        let directory = Path::new(OsStr::from_bytes(directory));
        directory.is_absolute()
            && walk::place(directory, &Rule::ROOT).map_or_else(|error| error.is_missing(), |_| true)
    })
}

fn only_root_changes(path: &Path, file: &File) -> bool {
    let Ok(walked) = walk::file(path, &Rule::ROOT) else {
        return false;
    };
    let same = |walked: &OwnedFd| {
        let (one, other) = (filesystem::status(walked)?, filesystem::status(file)?);
        io::Result::Ok((one.device, one.inode) == (other.device, other.inode))
    };
    same(&walked).unwrap_or(false)
}

impl Held {
    fn file(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Root(file) | Self::Copy(file) => file.as_fd(),
            Self::Pinned(pinned) => pinned.file(),
        }
    }
}

impl Looked {
    fn judged(&self) -> Judged {
        Judged {
            path: self.path.clone(),
            sha256: self.sha256,
            pinned: true,
            interpreter: None,
            owner: self.owner,
            mode: self.mode,
        }
    }

    /// Of an interpreter that others than root can change: it stands for all, with its owner and mode.
    fn weakens(&self, judged: &mut Judged) -> Option<PathBuf> {
        if matches!(self.held, Held::Root(_)) {
            return None;
        }
        judged.pinned = false;
        (judged.owner, judged.mode) = (self.owner, self.mode);
        Some(self.path.clone())
    }

    /// Of a script.
    fn first_line(&self) -> io::Result<Vec<u8>> {
        let file = File::from(self.held.file().try_clone_to_owned()?);
        let mut start = [0; LINE];
        let mut length = 0;
        while length < LINE {
            match file.read_at(&mut start[length..], length as u64) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let line = start[2..length].split(|byte| *byte == b'\n').next();
        Ok(line.unwrap_or_default().to_vec())
    }

    /// How a script is named to its interpreter.
    fn word(self, at: &Path) -> Result<Word, SpawnError> {
        match self.held {
            Held::Root(_) => text(at.as_os_str().to_owned()).map(Word::Text),
            Held::Copy(file) => {
                let copy = Pinned::copy(file, true).map_err(|error| unreadable(at, error))?;
                Ok(Word::Script(copy.into_file()))
            }
            Held::Pinned(pinned) => Ok(Word::Script(pinned.into_file())),
        }
    }

    fn executed(self, at: &Path) -> Result<Pinned, SpawnError> {
        let wrong = |source| SpawnError::NotCopied {
            path: at.to_owned(),
            source,
        };
        match self.held {
            Held::Root(file) => {
                let path = text(at.as_os_str().to_owned())?;
                Pinned::of_root(file.into(), path).map_err(wrong)
            }
            Held::Copy(file) => Pinned::copy(file, false).map_err(wrong),
            Held::Pinned(pinned) => Ok(pinned),
        }
    }
}

/// What a `#!` line starts.
struct Next {
    program: PathBuf,
    /// Its `argv[0]`.
    name: OsString,
    argument: Option<OsString>,
    /// It is known what will be executed: not so with options of env(1).
    is_known: bool,
}

impl Next {
    /// The kernel takes the first word, and all that follows it as one argument.
    fn of(
        line: &[u8],
        script: &Path,
        path: Option<&OsStr>,
        cwd: Option<&Path>,
    ) -> Result<Self, SpawnError> {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let line = line.trim_ascii();
        let end = line.iter().position(blank).unwrap_or(line.len());
        let (program, rest) = line.split_at(end);
        if program.is_empty() {
            return Err(SpawnError::UnknownFormat(script.to_owned()));
        }
        let rest = rest.trim_ascii();
        let word = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let is_env = matches!(program, b"/usr/bin/env" | b"/bin/env");
        let looks_like_env = Path::new(OsStr::from_bytes(program)).ends_with("env");
        if is_env && is_plain(rest) {
            let name = word(rest);
            return Ok(Self {
                program: resolve(&name, path, cwd)?,
                name,
                argument: None,
                is_known: true,
            });
        }
        Ok(Self {
            program: PathBuf::from(word(program)),
            name: word(program),
            argument: (!rest.is_empty()).then(|| word(rest)),
            is_known: !looks_like_env,
        })
    }
}

/// What env(1) takes for the name of a program.
fn is_plain(word: &[u8]) -> bool {
    let odd = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'=';
    !word.is_empty() && word[0] != b'-' && !word.iter().any(odd)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use sha2::Digest as _;

    use super::super::judged::settle;
    use super::*;

    /// A directory where another user could change what is there.
    struct Open(tempfile::TempDir);

    impl Open {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let mode = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(directory.path(), mode).unwrap();
            Self(directory)
        }

        fn program(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        }
    }

    fn hex(bytes: &[u8]) -> Sha256 {
        Sha256(sha2::Sha256::digest(bytes).into())
    }

    fn judged(path: &Path) -> Start {
        judge(path, Some(OsStr::new("/usr/bin:/bin")), None).unwrap()
    }

    /// The words, and what the scripts among them hold.
    fn shown(line: Vec<Word>) -> Vec<String> {
        let word = |word| match word {
            Word::Text(text) => text.into_string().unwrap(),
            Word::Script(file) => {
                let file = File::from(file);
                let mut bytes = [0; 64];
                let length = file.read_at(&mut bytes, 0).unwrap();
                assert!(file.write_at(b"x", 0).is_err(), "it is not sealed");
                String::from_utf8(bytes[..length].to_vec()).unwrap()
            }
        };
        line.into_iter().map(word).collect()
    }

    #[test]
    fn a_binary_of_root_is_executed_by_its_path() {
        let start = judged(Path::new("/bin/true"));
        let whole = std::fs::canonicalize("/bin/true").unwrap();
        assert_eq!(start.judged.sha256, hex(&std::fs::read(&whole).unwrap()));
        assert_eq!(start.judged.path, whole);
        assert!(start.judged.pinned && start.line.is_empty());
        assert_eq!(start.judged.interpreter, None);
    }

    #[test]
    fn a_script_that_others_can_change_is_copied_and_its_interpreter_executed() {
        let open = Open::new();
        let text = b"#!/bin/sh -e \necho";
        let start = judged(&open.program("s", text));
        let shell = std::fs::canonicalize("/bin/sh").unwrap();
        let digest = hex(&std::fs::read(&shell).unwrap());
        assert_eq!(start.judged.sha256, hex(text));
        assert_eq!(start.judged.interpreter, Some((shell, digest)));
        assert!(start.judged.pinned);
        let words = ["/bin/sh", "-e", "#!/bin/sh -e \necho"];
        assert_eq!(shown(start.line), words);
    }

    #[test]
    fn interpreters_that_are_scripts_are_judged_as_well() {
        let open = Open::new();
        let inner = open.program("inner", b"#!/bin/sh\n");
        let line = format!("#!{} a b\n", inner.display());
        let start = judged(&open.program("outer", line.as_bytes()));
        let shell = std::fs::read("/bin/sh").unwrap();
        let both = [&b"#!/bin/sh\n"[..], &shell].concat();
        // What others can change shows, and not the shell behind it.
        let shown = inner.canonicalize().unwrap();
        assert_eq!(start.judged.interpreter, Some((shown, hex(&both))));
        assert!(!start.judged.pinned);
        assert_eq!(
            self::shown(start.line),
            ["/bin/sh", "#!/bin/sh\n", "a b", &line[..line.len().min(64)]]
        );
        let own = open.0.path().join("loop");
        open.program("loop", format!("#!{}\n", own.display()).as_bytes());
        assert!(judge(&own, None, None).is_err());
    }

    #[test]
    fn env_is_looked_through_where_it_has_no_options() {
        let open = Open::new();
        let start = judged(&open.program("s", b"#!/usr/bin/env sh\n"));
        let shell = std::fs::canonicalize("/bin/sh").unwrap();
        assert_eq!(start.judged.interpreter.as_ref().unwrap().0, shell);
        assert!(start.judged.pinned);
        assert_eq!(shown(start.line), ["sh", "#!/usr/bin/env sh\n"]);
        let start = judged(&open.program("o", b"#!/usr/bin/env -S sh -e\n"));
        assert!(!start.judged.pinned, "what env starts is not known");
        let missing = open.program("m", b"#!/usr/bin/env no-such-program\n");
        assert!(judge(&missing, None, None).is_err());
    }

    #[test]
    fn a_script_of_roots_is_not_pinned_if_the_path_of_others_finds_its_programs() {
        let place = tempfile::tempdir_in("/root").unwrap();
        let script = place.path().join("tool");
        let executable = |path: &Path, text: &str| {
            std::fs::write(path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        executable(&script, "#!/usr/bin/env sh\n");
        let good = "/usr/bin:/bin:/no/such/directory";
        let start = judge(&script, Some(OsStr::new(good)), None).unwrap();
        let shell = std::fs::canonicalize("/bin/sh").unwrap();
        assert!(start.judged.pinned && start.judged.owner == 0);
        assert_eq!(start.judged.interpreter.unwrap().0, shell);
        let open = Open::new();
        let evil = open.program("sh", b"#!/bin/sh\necho evil\n");
        std::os::unix::fs::chown(&evil, Some(4242), None).unwrap();
        let path = format!("{}:{good}", open.0.path().display());
        let judged = judge(&script, Some(OsStr::new(&path)), None)
            .unwrap()
            .judged;
        assert_eq!((judged.pinned, judged.owner), (false, 4242));
        assert_eq!(judged.interpreter.unwrap().0, evil.canonicalize().unwrap());
        assert_eq!(judged.path, script);
        // A shell's commands are found there as well.
        executable(&script, "#!/bin/sh\ncat x\n");
        for path in [&*path, "bin:/bin", ":/bin", "/tmp/x:/bin"] {
            let start = judge(&script, Some(OsStr::new(path)), None).unwrap();
            assert!(!start.judged.pinned, "{path}");
            assert_eq!(start.judged.interpreter.unwrap().0, shell);
        }
        executable(&script, "#!/opt/env sh\n");
        assert!(judge(&script, Some(OsStr::new(good)), None).is_err());
    }

    #[test]
    fn scripts_are_open_at_numbers_that_are_free() {
        let script = || Word::Script(File::open("/dev/null").unwrap().into());
        let (words, fds) = settle(vec![script(), script()], &[200], 1024).unwrap();
        let numbers: Vec<i32> = fds.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, [201, 202]);
        assert_eq!(words[1].to_str().unwrap(), "/dev/fd/202");
        let (_, few) = settle(vec![script()], &[3], 5).unwrap();
        assert_eq!(few[0].1, 4);
        assert!(settle(vec![script()], &[3, 4], 5).is_err());
    }
}
