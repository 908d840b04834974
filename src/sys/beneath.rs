//! Files opened beneath a directory: neither `..`, nor an absolute path, nor a symbolic link leads
//! out of it (openat2(2), RESOLVE_BENEATH).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::durable;
use super::filesystem::{self, Kind};

/// As the kernel's own limit, path_resolution(7).
const MAX_LINKS: usize = 40;

/// What is read: nothing is waited for (a FIFO), nothing becomes a controlling terminal.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// A directory, to open what is beneath it. Links on the way to it are followed.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fs::open(path, flags, Mode::empty())?)
}

/// As [`open_directory`], for one that may be entered but not be read.
pub fn open_path(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fs::open(path, flags, Mode::empty())?)
}

/// Opens for reading what `path` names beneath `directory`. Symbolic links that stay beneath it are
/// followed; EXDEV where one leads out. Where the kernel has no openat2 (before 5.6) or a seccomp
/// filter refuses it, the path is walked here.
pub fn open_beneath(directory: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: something was renamed meanwhile, and the kernel could not tell whether it is beneath.
    for _ in 0..16 {
        match fs::openat2(directory, path, READ, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => return walk(directory, path),
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens for reading a directory beneath another, name by name. No link is followed, wherever it leads.
pub fn enter(directory: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    descend(directory, path, |_, _| Ok(()))
}

/// As [`enter`], and makes what is missing (0700).
pub fn make_directories(directory: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    // What is open with O_PATH alone cannot be synced.
    let directory = filesystem::open_directory_at(directory, ".")?;
    descend(directory, path, |here, name| {
        match fs::mkdirat(here, name, Mode::RWXU) {
            Ok(()) => durable::sync_names(here),
            Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    })
}

fn descend(
    directory: impl AsFd,
    path: &Path,
    before: impl Fn(BorrowedFd<'_>, &OsStr) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let mut reached: Option<OwnedFd> = None;
    for name in parts(path)? {
        if name == ".." {
            return Err(Errno::XDEV.into());
        }
        let here = reached.as_ref().map_or(directory.as_fd(), AsFd::as_fd);
        before(here, &name)?;
        let entered = filesystem::open_directory_at(here, &name).map_err(|error| {
            // The kernel calls a link no directory here.
            match filesystem::status_at(here, &name) {
                Ok(Some(found)) if found.kind == Kind::Link => link(&name),
                _ => error,
            }
        })?;
        reached = Some(entered);
    }
    reached.map_or_else(|| filesystem::open_directory_at(directory, "."), Ok)
}

fn link(name: &OsStr) -> io::Error {
    io::Error::other(format!("{} is a symbolic link", name.display()))
}

/// Opens a regular file for reading. No link is followed, no FIFO waited for.
pub fn open_file(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<File> {
    open_regular(directory, name.as_ref(), READ)
}

/// All of a regular file of no more than `most` bytes (EFBIG). No link is followed, no FIFO waited for.
pub fn read_file(directory: impl AsFd, name: impl AsRef<OsStr>, most: u64) -> io::Result<Vec<u8>> {
    read_whole(open_file(directory, name)?, most)
}

/// All of an open file, or of a stream, of no more than `most` bytes (EFBIG).
pub fn read_whole(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = from.take(most + 1).read_to_end(&mut bytes)?;
    if read as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Opens a regular file to add to its end, and makes it (0600) where it is not there. No link is
/// followed, no FIFO waited for.
pub fn open_to_append(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open_regular(directory, name.as_ref(), flags)
}

fn open_regular(directory: impl AsFd, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let mode = Mode::RUSR | Mode::WUSR;
    let file = match fs::openat(directory, name, flags | OFlags::NOFOLLOW, mode) {
        Err(Errno::LOOP) => return Err(link(name)),
        opened => opened?,
    };
    if filesystem::status(&file)?.kind != Kind::File {
        let text = format!("{} is no regular file", name.display());
        return Err(io::Error::other(text));
    }
    Ok(file.into())
}

/// Resolves one component after the other, each from the directory before it.
fn walk(directory: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let mut above: Vec<OwnedFd> = Vec::new();
    let mut todo: VecDeque<OsString> = parts(path)?;
    let mut links = 0;
    let handle = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            above.pop().ok_or(Errno::XDEV)?;
            continue;
        }
        let here = above.last().map_or(directory, AsFd::as_fd);
        let next = fs::openat(here, &part, handle, Mode::empty())?;
        match FileType::from_raw_mode(fs::fstat(&next)?.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = fs::readlinkat(&next, "", Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                for part in parts(&target)?.into_iter().rev() {
                    todo.push_front(part);
                }
            }
            FileType::Directory => above.push(next),
            _ if todo.is_empty() => {
                return Ok(fs::openat(
                    here,
                    &part,
                    READ | OFlags::NOFOLLOW,
                    Mode::empty(),
                )?);
            }
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    let here = above.last().map_or(directory, AsFd::as_fd);
    Ok(fs::openat(here, ".", READ, Mode::empty())?)
}

fn parts(path: &Path) -> io::Result<VecDeque<OsString>> {
    path.components()
        .filter(|component| !matches!(component, Component::CurDir))
        .map(|component| match component {
            Component::RootDir | Component::Prefix(_) => Err(Errno::XDEV.into()),
            component => Ok(component.as_os_str().to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn both(directory: &Path, path: &str) -> Result<String, i32> {
        let directory = open_directory(directory).unwrap();
        let read = |result: io::Result<OwnedFd>| {
            let mut text = String::new();
            let mut file = fs::File::from(result.map_err(|error| error.raw_os_error().unwrap())?);
            file.read_to_string(&mut text)
                .map_err(|error| error.raw_os_error().unwrap())?;
            Ok(text)
        };
        let by_kernel = read(open_beneath(directory.as_fd(), Path::new(path)));
        let by_walk = read(walk(directory.as_fd(), Path::new(path)));
        assert_eq!(by_kernel, by_walk, "{path}");
        by_kernel
    }

    #[test]
    fn what_is_beneath_is_opened_by_the_kernel_and_by_walking_alike() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("dir");
        fs::create_dir_all(dir.join("..2024_01/sub")).unwrap();
        fs::write(outer.path().join("outside"), "outside").unwrap();
        fs::write(dir.join("..2024_01/key"), "flipped").unwrap();
        fs::write(dir.join("..2024_01/sub/deep"), "deep").unwrap();
        fs::write(dir.join("plain"), "plain").unwrap();
        for (target, link) in [
            ("..2024_01", "..data"),
            ("..data/key", "key"),
            ("..data/sub", "sub"),
            ("../dir/plain", "around"),
            ("..2024_01/../plain", "back"),
            ("/etc/hostname", "absolute"),
            ("../outside", "out"),
            ("loop", "loop"),
            ("nowhere", "dangling"),
        ] {
            symlink(target, dir.join(link)).unwrap();
        }
        for (path, expected) in [
            ("plain", Ok("plain")),
            ("./plain", Ok("plain")),
            ("key", Ok("flipped")),
            ("sub/deep", Ok("deep")),
            ("back", Ok("plain")),
            ("around", Err(libc::EXDEV)),
            ("absolute", Err(libc::EXDEV)),
            ("/etc/hostname", Err(libc::EXDEV)),
            ("out", Err(libc::EXDEV)),
            ("../outside", Err(libc::EXDEV)),
            ("loop", Err(libc::ELOOP)),
            ("dangling", Err(libc::ENOENT)),
            ("absent", Err(libc::ENOENT)),
            ("plain/x", Err(libc::ENOTDIR)),
            ("sub", Err(libc::EISDIR)),
        ] {
            assert_eq!(both(&dir, path), expected.map(str::to_owned), "{path}");
        }
    }

    #[test]
    fn a_fifo_is_opened_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let directory = open_directory(dir.path()).unwrap();
        assert!(open_beneath(directory.as_fd(), Path::new("fifo")).is_ok());
        assert!(walk(directory.as_fd(), Path::new("fifo")).is_ok());
    }
}
