//! Files, directories and links relative to a directory's descriptor: nothing is looked up twice
//! by path, and no link is followed that was not asked for.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::mounts;

/// What stands at a name, as lstat(2) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device.
    Other,
}

/// Of a file, by descriptor or name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub kind: Kind,
    /// The filesystem it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits, set-id and sticky bits among them.
    pub mode: u32,
    /// How many names it has.
    pub links: u64,
    /// How many bytes.
    pub size: u64,
    /// When its content was changed last, in seconds and nanoseconds.
    pub modified: (i64, i64),
}

impl Status {
    /// When its content was changed last.
    pub fn modified_at(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.modified;
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let whole = if seconds < 0 {
            SystemTime::UNIX_EPOCH - whole
        } else {
            SystemTime::UNIX_EPOCH + whole
        };
        whole + Duration::from_nanos(nanoseconds.unsigned_abs())
    }

    /// Whether it can be changed again without having another time than now: clocks of filesystems tick every
    /// 10 ms at worst, those of network filesystems every second. So it is with a time of the future.
    pub fn is_racy(&self, now: SystemTime) -> bool {
        const TICK: Duration = Duration::from_secs(2);
        let age = now.duration_since(self.modified_at());
        age.map_or(true, |age| age < TICK)
    }
}

/// A kind of filesystem, by its magic number in statfs(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// tmpfs: memory and, where there is any, swap.
    Tmpfs,
    /// ramfs: memory alone.
    Ramfs,
    /// Anything else.
    Other(u64),
}

impl Filesystem {
    /// Its name as mount(8) shows it; the magic number where it is not a common one.
    pub fn name(self) -> String {
        let name = match self {
            Self::Tmpfs => "tmpfs",
            Self::Ramfs => "ramfs",
            Self::Other(0xef53) => "ext4",
            Self::Other(0x5846_5342) => "xfs",
            Self::Other(0x9123_683e) => "btrfs",
            Self::Other(0x794c_7630) => "overlay",
            Self::Other(0x2fc1_2fc1) => "zfs",
            Self::Other(0xf2f5_2010) => "f2fs",
            Self::Other(0x6969) => "nfs",
            Self::Other(0x6573_5546) => "fuse",
            Self::Other(0x9fa0) => "proc",
            Self::Other(0x6265_6572) => "sysfs",
            Self::Other(0x0102_1997) => "9p",
            Self::Other(magic) => return format!("a filesystem of type {magic:#x}"),
        };
        name.to_owned()
    }
}

// The width of the number of links differs between architectures.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn status_of(stat: &fs::Stat) -> Status {
    Status {
        kind: kind_of(stat.st_mode),
        device: stat.st_dev,
        inode: stat.st_ino,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        links: stat.st_nlink.into(),
        size: stat.st_size as u64,
        modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
    }
}

const fn kind_of(mode: fs::RawMode) -> Kind {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        _ => Kind::Other,
    }
}

/// fstat(2).
pub fn status(fd: impl AsFd) -> io::Result<Status> {
    Ok(status_of(&fs::fstat(fd)?))
}

/// fstatat(2) that does not follow a link; `None` when nothing is there.
pub fn status_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<Option<Status>> {
    match fs::statat(directory, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(status_of(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As [`status_at`], by path.
pub fn status_of_path(path: &Path) -> io::Result<Option<Status>> {
    status_at(fs::CWD, path)
}

/// Whether a path leads to that file. No server is asked: one that is gone would hold up who looks at
/// any process's open files.
pub fn is_same(path: &Path, file: Status) -> bool {
    let wanted = fs::StatxFlags::INO;
    match fs::statx(fs::CWD, path, AtFlags::STATX_DONT_SYNC, wanted) {
        Ok(found) => {
            let device = fs::makedev(found.stx_dev_major, found.stx_dev_minor);
            found.stx_ino == file.inode && device == file.device
        }
        // Some seccomp filters do not know statx(2).
        Err(Errno::NOSYS | Errno::PERM) => fs::stat(path)
            .map(|found| status_of(&found))
            .is_ok_and(|found| found.inode == file.inode && found.device == file.device),
        Err(_) => false,
    }
}

/// As [`status`], and whether something is mounted there; `None` where only Linux 5.8 could say so.
#[allow(clippy::unnecessary_cast)]
pub fn status_and_mount(fd: impl AsFd) -> io::Result<(Status, Option<bool>)> {
    // stx_attributes_mask says whether the kernel knows.
    const MOUNT_ROOT: fs::StatxAttributes = fs::StatxAttributes::MOUNT_ROOT;
    let Ok(found) = fs::statx(&fd, "", AtFlags::EMPTY_PATH, fs::StatxFlags::BASIC_STATS) else {
        // Some seccomp filters do not know statx(2).
        return Ok((status(fd)?, None));
    };
    let status = Status {
        kind: kind_of(found.stx_mode.into()),
        device: fs::makedev(found.stx_dev_major, found.stx_dev_minor) as u64,
        inode: found.stx_ino,
        uid: found.stx_uid,
        gid: found.stx_gid,
        mode: u32::from(found.stx_mode) & 0o7777,
        links: found.stx_nlink.into(),
        size: found.stx_size,
        modified: (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec.into()),
    };
    let known = found.stx_attributes_mask.contains(MOUNT_ROOT);
    let mounted = found.stx_attributes.contains(MOUNT_ROOT);
    Ok((status, known.then_some(mounted)))
}

/// Whether nothing can be changed by way of an open file's mount.
pub fn is_read_only(fd: impl AsFd) -> bool {
    fs::fstatvfs(fd).is_ok_and(|found| found.f_flag.contains(fs::StatVfsMountFlags::RDONLY))
}

/// Whether a user's own program may be behind an open file's filesystem, and say what it likes of it.
pub fn is_of_user_space(fd: impl AsFd) -> bool {
    const FUSE: u64 = 0x6573_5546;
    !matches!(filesystem(fd), Ok(kind) if kind != Filesystem::Other(FUSE))
}

/// Opens a directory. The last part of the path must not be a link; those before may be.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    open_directory_at(fs::CWD, path)
}

/// As [`open_directory`], relative to another.
pub fn open_directory_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(directory, name.as_ref(), flags, Mode::empty())?)
}

/// Whether a directory, or the directory that a file is in, is another one or lies in it, by whatever path
/// links and mounts either is reached. What is not there, or cannot be entered, is in none.
pub fn is_within(path: &Path, above: &Path) -> io::Result<bool> {
    let open = |from: BorrowedFd<'_>, name: &Path| match fs::openat(
        from,
        name,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => Ok(None),
        Err(error) => Err(io::Error::from(error)),
    };
    let identity = |fd: &OwnedFd| fs::fstat(fd).map(|found| (found.st_dev, found.st_ino));
    let Some(wanted) = open(fs::CWD, above)? else {
        return Ok(false);
    };
    let above = wanted;
    let wanted = identity(&above)?;
    let mut next = open(fs::CWD, path)?;
    if let Some(found) = &next
        && mounts::shows_part_of(found, &above)?
    {
        return Ok(true);
    }
    if let Some(file) = next.take_if(|found| !is_directory(found)) {
        let file = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        next = file
            .parent()
            .map(|parent| open(fs::CWD, parent))
            .transpose()?
            .flatten();
    }
    while let Some(at) = next {
        let found = identity(&at)?;
        if found == wanted {
            return Ok(true);
        }
        next = open(at.as_fd(), Path::new(".."))?;
        // The root is its own parent.
        if next.as_ref().map(identity).transpose()? == Some(found) {
            return Ok(false);
        }
    }
    Ok(false)
}

fn is_directory(fd: &OwnedFd) -> bool {
    fs::fstat(fd).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_dir())
}

/// Makes a directory with exactly these permission bits, and opens it. Where it cannot be opened, as
/// without a free descriptor, there is none.
pub fn make_directory_at(
    directory: impl AsFd,
    name: impl AsRef<OsStr>,
    mode: u32,
) -> io::Result<OwnedFd> {
    let (directory, name) = (directory.as_fd(), name.as_ref());
    fs::mkdirat(directory, name, Mode::from_raw_mode(0o700))?;
    let made =
        open_directory_at(directory, name).and_then(|made| change_mode(&made, mode).map(|()| made));
    if made.is_err() {
        // The fault that is given says more than one of this would.
        fs::unlinkat(directory, name, AtFlags::REMOVEDIR).ok();
    }
    made
}

/// Makes a regular file that nobody may read yet, and opens it for writing. Fails when the name is
/// taken.
pub fn make_file_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(directory, name.as_ref(), flags, Mode::empty())?)
}

/// Makes a named pipe with these permission bits, less the umask.
pub fn make_fifo_at(directory: impl AsFd, name: impl AsRef<OsStr>, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    Ok(fs::mknodat(
        directory,
        name.as_ref(),
        FileType::Fifo,
        mode,
        0,
    )?)
}

/// Opens a file for locking, and makes it where it is not there; 0600.
pub fn open_marker_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    Ok(fs::openat(
        directory,
        name.as_ref(),
        flags | OFlags::NONBLOCK,
        mode,
    )?)
}

/// As [`open_marker_at`], where it is there.
pub fn open_standing_marker_at(
    directory: impl AsFd,
    name: impl AsRef<OsStr>,
) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(fs::openat(directory, name.as_ref(), flags, Mode::empty())?)
}

/// Opens a regular file to read it and to write over it. No link is followed, and no FIFO is waited for.
pub fn open_for_change_at(
    directory: impl AsFd,
    name: impl AsRef<OsStr>,
) -> io::Result<std::fs::File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::openat(directory, name.as_ref(), flags, Mode::empty())?;
    if status(&file)?.kind != Kind::File {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file.into())
}

/// Makes a symbolic link.
pub fn make_link_at(
    target: impl AsRef<OsStr>,
    directory: impl AsFd,
    name: impl AsRef<OsStr>,
) -> io::Result<()> {
    Ok(fs::symlinkat(target.as_ref(), directory, name.as_ref())?)
}

/// A second name for a file: linkat(2).
pub fn link_at(
    from: impl AsFd,
    old: impl AsRef<OsStr>,
    to: impl AsFd,
    new: impl AsRef<OsStr>,
) -> io::Result<()> {
    let flags = AtFlags::empty();
    Ok(fs::linkat(from, old.as_ref(), to, new.as_ref(), flags)?)
}

/// Where a symbolic link leads.
pub fn read_link_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<PathBuf> {
    let target = fs::readlinkat(directory, name.as_ref(), Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()).into())
}

/// renameat(2) within a directory: what stood at `to` is replaced in one step.
pub fn rename_at(
    directory: impl AsFd,
    from: impl AsRef<OsStr>,
    to: impl AsRef<OsStr>,
) -> io::Result<()> {
    Ok(fs::renameat(
        &directory,
        from.as_ref(),
        &directory,
        to.as_ref(),
    )?)
}

/// Gives a file another name in its directory, which must not be taken (EEXIST): renameat2(2), or a
/// second link and the removal of the first where a filesystem or an old kernel has no such rename.
pub fn rename_new_at(
    directory: impl AsFd,
    from: impl AsRef<OsStr>,
    to: impl AsRef<OsStr>,
) -> io::Result<()> {
    let (directory, from, to) = (directory.as_fd(), from.as_ref(), to.as_ref());
    let flags = fs::RenameFlags::NOREPLACE;
    match fs::renameat_with(directory, from, directory, to, flags) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            link_at(directory, from, directory, to)?;
            unlink_at(directory, from)
        }
        other => Ok(other?),
    }
}

/// unlinkat(2). That it is gone already is no error.
pub fn unlink_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<()> {
    gone(fs::unlinkat(directory, name.as_ref(), AtFlags::empty()))
}

/// unlinkat(2) of an empty directory. That it is gone already is no error.
pub fn remove_directory_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<()> {
    gone(fs::unlinkat(directory, name.as_ref(), AtFlags::REMOVEDIR))
}

fn gone(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The names in a directory, without `.` and `..`, from its start.
pub fn entries(directory: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    visit_entries(directory, |name| {
        names.push(name.to_owned());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// As [`entries`], of one that was just opened for reading, and is closed then.
pub fn entries_of(directory: OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    visit(fs::Dir::new(directory)?, |name| {
        names.push(name.to_owned());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// Shows each name in a directory, without `.` and `..`, from its start, until the visitor breaks off:
/// for directories in which others may make as many entries as they like.
pub fn visit_entries(
    directory: impl AsFd,
    each: impl FnMut(&OsStr) -> ControlFlow<()>,
) -> io::Result<()> {
    visit(fs::Dir::read_from(directory)?, each)
}

fn visit(directory: fs::Dir, mut each: impl FnMut(&OsStr) -> ControlFlow<()>) -> io::Result<()> {
    for entry in directory {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && each(OsStr::from_bytes(name)).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// What a descriptor's filesystem is.
pub fn filesystem(fd: impl AsFd) -> io::Result<Filesystem> {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    // The field's type differs between architectures; magic numbers have 32 bits.
    #[allow(clippy::unnecessary_cast)]
    let magic = fs::fstatfs(fd)?.f_type as u64 & 0xffff_ffff;
    Ok(match magic {
        TMPFS_MAGIC => Filesystem::Tmpfs,
        RAMFS_MAGIC => Filesystem::Ramfs,
        other => Filesystem::Other(other),
    })
}

/// Whether this process may make entries in a directory, by its effective ids.
pub fn can_make_entries(directory: impl AsFd) -> io::Result<()> {
    let access = fs::Access::WRITE_OK | fs::Access::EXEC_OK;
    Ok(fs::accessat(directory, ".", access, AtFlags::EACCESS)?)
}

/// flock(2), exclusive, for as long as the descriptor is open. `false`: someone else holds it, and what
/// this descriptor held before is given up.
pub fn try_lock(fd: impl AsFd) -> io::Result<bool> {
    lock(fd, FlockOperation::NonBlockingLockExclusive)
}

/// A file of this name in a directory, made where it is missing, that is locked as long as it is open.
/// `None`: someone else has it.
pub fn lock_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<Option<OwnedFd>> {
    let marker = open_marker_at(directory, name)?;
    Ok(try_lock(&marker)?.then_some(marker))
}

/// As [`try_lock`], with others that do the same.
pub fn try_lock_shared(fd: impl AsFd) -> io::Result<bool> {
    lock(fd, FlockOperation::NonBlockingLockShared)
}

fn lock(fd: impl AsFd, how: FlockOperation) -> io::Result<bool> {
    match fs::flock(fd, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives up what [`try_lock`] took.
pub fn unlock(fd: impl AsFd) -> io::Result<()> {
    Ok(fs::flock(fd, FlockOperation::Unlock)?)
}

/// Gives a file to a group, where that is another one. A process that may not do that (EPERM: it is neither
/// root nor in the group) leaves it as it is: it is still its owner's.
pub fn give_to_group(fd: impl AsFd, group: Option<u32>) -> io::Result<()> {
    match change_owner(fd, None, group) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

/// fchown(2), where the owner is another; `None` keeps. Services are often forbidden the call.
pub fn change_owner(fd: impl AsFd, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let status = fs::fstat(&fd)?;
    let other = |wanted: Option<u32>, is: u32| wanted.is_some_and(|wanted| wanted != is);
    if !other(uid, status.st_uid) && !other(gid, status.st_gid) {
        return Ok(());
    }
    let (uid, gid) = (uid.map(fs::Uid::from_raw), gid.map(fs::Gid::from_raw));
    Ok(fs::fchown(fd, uid, gid)?)
}

/// fchmod(2).
pub fn change_mode(fd: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(fs::fchmod(fd, Mode::from_raw_mode(mode))?)
}

/// Lets everybody read and write what has a name in a directory that nobody else can change.
pub fn open_to_all_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o666);
    Ok(fs::chmodat(
        directory,
        name.as_ref(),
        mode,
        AtFlags::empty(),
    )?)
}

/// Writes all of it.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The soft limit of open descriptors: a number is below it. `None`: no limit.
pub fn descriptor_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// The effective uid.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The effective gid.
pub fn effective_gid() -> u32 {
    rustix::process::getegid().as_raw()
}

/// The path by which this process reaches an open file again, where /proc is mounted.
pub fn path_of(fd: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// Opens once more what a descriptor stands for, by way of /proc. `None`: there is no /proc.
pub fn reopen_readonly(fd: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    match fs::open(path_of(fd), flags, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Runs `act` with a directory as the working directory, for calls that know paths alone, and goes
/// back. hushpipe has one thread: nobody else meets the change.
pub fn within<R>(directory: impl AsFd, act: impl FnOnce() -> R) -> io::Result<R> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let before = fs::open(".", flags, Mode::empty())?;
    rustix::process::fchdir(directory)?;
    let result = act();
    rustix::process::fchdir(before)?;
    Ok(result)
}

/// Whether a symbolic link is among the components of a path, or one cannot be looked at.
pub fn has_links(path: &Path) -> bool {
    path.canonicalize().map_or(true, |real| real != path)
}

/// Whether a file gives capabilities to who executes it: `security.capability` of capabilities(7).
pub fn has_capabilities(path: &Path) -> bool {
    let mut value = [0_u8; 32];
    rustix::fs::getxattr(path, "security.capability", &mut value).is_ok()
}

/// A path without links and `..`, as far as it is there.
pub fn settled(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(found) = ancestor.canonicalize() {
            return match path.strip_prefix(ancestor) {
                Ok(rest) if !rest.as_os_str().is_empty() => found.join(rest),
                _ => found,
            };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_followed_that_was_not_asked_for() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = open_directory(temporary.path()).unwrap();
        make_link_at("/tmp", &directory, "link").unwrap();
        assert!(open_directory_at(&directory, "link").is_err());
        assert!(make_file_at(&directory, "link").is_err());
        assert!(open_marker_at(&directory, "link").is_err());
        let status = status_at(&directory, "link").unwrap().unwrap();
        assert_eq!(status.kind, Kind::Link);
        assert_eq!(read_link_at(&directory, "link").unwrap(), Path::new("/tmp"));
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = open_directory(temporary.path()).unwrap();
        let one = open_marker_at(&directory, "m").unwrap();
        let two = open_marker_at(&directory, "m").unwrap();
        assert!(try_lock(&one).unwrap());
        assert!(!try_lock(&two).unwrap());
        drop(one);
        assert!(try_lock(&two).unwrap());
    }

    #[test]
    fn memory_and_disk_are_told_apart() {
        let shm = open_directory(Path::new("/dev/shm")).unwrap();
        assert_eq!(filesystem(shm).unwrap(), Filesystem::Tmpfs);
        let proc = open_directory(Path::new("/proc")).unwrap();
        assert_eq!(filesystem(proc).unwrap().name(), "proc");
    }

    #[test]
    fn modes_are_exact_whatever_the_umask() {
        use std::os::unix::fs::PermissionsExt;
        let temporary = tempfile::tempdir().unwrap();
        let directory = open_directory(temporary.path()).unwrap();
        make_directory_at(&directory, "d", 0o777).unwrap();
        let mode = std::fs::metadata(temporary.path().join("d")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7777, 0o777);
        let file = make_file_at(&directory, "f").unwrap();
        write_all(&file, b"abc").unwrap();
        change_mode(&file, 0o440).unwrap();
        let mode = std::fs::metadata(temporary.path().join("f")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7777, 0o440);
    }

    #[test]
    fn capabilities_of_a_file_are_seen() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("f");
        std::fs::write(&file, "").unwrap();
        assert!(!has_capabilities(&file));
        // CAP_NET_BIND_SERVICE, permitted and effective: linux/capability.h, VFS_CAP_REVISION_2.
        let value: Vec<u8> = [0x0200_0001_u32, 1 << 10, 0, 0, 0]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect();
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(&file, "security.capability", &value, flags).is_err() {
            return; // it takes root, and a file system that keeps it
        }
        assert!(has_capabilities(&file));
    }
}
