//! A tmpfs on a directory, by the mount API of Linux 5.2 (fsopen, fsmount, move_mount), or by
//! mount(2) where that is missing or a seccomp filter refuses it. No allocation while mounting.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount,
    unmount,
};

/// The most a private tmpfs may hold. Pages are taken as they are used: the limit stops a fault from
/// eating the host's memory, and leaves room for two generations of many large secrets.
const SIZE: &str = "268435456";

/// A directory to mount on, known by what it is: what takes its place meanwhile is not mounted on.
///
/// A descriptor stands for a directory in its own mount namespace. In a new one the path, which has no
/// links, is walked again, and has to lead to the same directory.
#[derive(Clone, Debug)]
pub struct Point {
    /// The names from the root on.
    names: Vec<CString>,
    /// Keeps its number from being another's.
    _directory: Arc<OwnedFd>,
    device: u64,
    inode: u64,
}

impl Point {
    /// Of a directory that was reached by a path without links.
    pub fn new(path: &Path, directory: impl AsFd) -> io::Result<Self> {
        let directory = directory.as_fd().try_clone_to_owned()?;
        let status = super::filesystem::status(&directory)?;
        let names = path
            .iter()
            .skip(1)
            .map(|name| CString::new(name.as_bytes()));
        Ok(Self {
            names: names.collect::<Result<_, _>>()?,
            _directory: Arc::new(directory),
            device: status.device,
            inode: status.inode,
        })
    }

    /// Of a directory that is there, whoever can change what it lies in: what is put into its place later
    /// is not mounted on.
    pub fn of(path: &Path) -> io::Result<Self> {
        let path = std::fs::canonicalize(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, &path, flags, Mode::empty())?;
        Self::new(&path, directory)
    }

    /// Its path, without links.
    pub fn path(&self) -> PathBuf {
        let names = self
            .names
            .iter()
            .map(|name| OsStr::from_bytes(name.as_bytes()));
        let mut path = OsString::from_vec(b"/".to_vec());
        for (index, name) in names.enumerate() {
            if index > 0 {
                path.push("/");
            }
            path.push(name);
        }
        path.into()
    }

    /// Reaches it in this process's mount namespace, and the directory that it lies in. ESTALE: it is not
    /// what was looked at. No allocation.
    fn reach(&self) -> Result<Here, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut parent = rustix::fs::openat(CWD, c"/", flags, Mode::empty())?;
        let mut directory = rustix::fs::openat(&parent, c".", flags, Mode::empty())?;
        for name in &self.names {
            let next = match rustix::fs::openat(&directory, name.as_c_str(), flags, Mode::empty()) {
                Err(Errno::LOOP | Errno::NOTDIR | Errno::NOENT) => return Err(Errno::STALE),
                opened => opened?,
            };
            parent = std::mem::replace(&mut directory, next);
        }
        Ok(Here { parent, directory })
    }

    /// As [`Point::reach`], if it is what was looked at.
    fn reach_same(&self) -> Result<Here, Errno> {
        let here = self.reach()?;
        let found = rustix::fs::fstat(&here.directory)?;
        if (found.st_dev, found.st_ino) == (self.device, self.inode) {
            Ok(here)
        } else {
            Err(Errno::STALE)
        }
    }

    /// umount2(2) of what this process mounted there, though it may still be in use. That nothing is
    /// mounted there is no error.
    pub fn unmount(&self) -> io::Result<()> {
        let mounted = self.reach()?.directory;
        let found = super::filesystem::status(&mounted)?;
        if (found.device, found.inode) == (self.device, self.inode) {
            return Ok(());
        }
        let unmounted =
            super::filesystem::within(&mounted, || unmount(c".", UnmountFlags::DETACH))?;
        Ok(unmounted?)
    }
}

/// A directory that the program alone sees as a fresh tmpfs.
#[derive(Clone, Debug)]
pub struct PrivateMount {
    /// Where.
    pub point: Point,
    /// Owner of the tmpfs's root.
    pub uid: u32,
    /// Group of the tmpfs's root.
    pub gid: u32,
    /// Permission bits of the tmpfs's root.
    pub mode: u32,
    /// Nothing can be written there, or made: it would be lost with the last process that sees the mount.
    pub read_only: bool,
}

/// A mount point in a mount namespace.
struct Here {
    parent: OwnedFd,
    directory: OwnedFd,
}

/// A tmpfs to be mounted, with all texts that the kernel wants.
pub(crate) struct Tmpfs {
    point: Point,
    mode: CString,
    uid: CString,
    gid: CString,
    size: CString,
    read_only: bool,
    /// All options at once, for mount(2).
    options: CString,
    options_noswap: CString,
}

/// A tmpfs that is mounted.
pub(crate) struct Mounted {
    /// Its root, opened for reading and as the place of openat(2) and renameat(2).
    pub directory: OwnedFd,
    /// Whether the kernel keeps it out of swap (Linux 6.4; not in a user namespace).
    pub noswap: bool,
}

fn text(text: String) -> CString {
    CString::new(text).expect("made of digits, letters, '=' and ','")
}

impl Tmpfs {
    pub fn new(mount: &PrivateMount) -> Self {
        let (mode, uid, gid) = (mount.mode, mount.uid, mount.gid);
        let options = format!("mode={mode:o},uid={uid},gid={gid},size={SIZE}");
        Self {
            point: mount.point.clone(),
            mode: text(format!("{mode:o}")),
            uid: text(uid.to_string()),
            gid: text(gid.to_string()),
            size: text(SIZE.to_owned()),
            read_only: mount.read_only,
            options_noswap: text(format!("{options},noswap")),
            options: text(options),
        }
    }

    /// Mounts it: nosuid, nodev, noexec, out of swap where the kernel allows that.
    pub fn mount(&self) -> Result<Mounted, Errno> {
        match self.by_mount_api() {
            Err(Errno::NOSYS | Errno::PERM) => self.by_mount(),
            result => result,
        }
    }

    fn by_mount_api(&self) -> Result<Mounted, Errno> {
        let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, c"source", c"hushpipe")?;
        fsconfig_set_string(&context, c"mode", self.mode.as_c_str())?;
        fsconfig_set_string(&context, c"uid", self.uid.as_c_str())?;
        fsconfig_set_string(&context, c"gid", self.gid.as_c_str())?;
        fsconfig_set_string(&context, c"size", self.size.as_c_str())?;
        // EINVAL in a user namespace, and before Linux 6.4; the context stays usable.
        let noswap = fsconfig_set_flag(&context, c"noswap").is_ok();
        fsconfig_create(&context)?;
        let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, self.read_only);
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        move_mount(
            &mount,
            c"",
            &self.point.reach_same()?.directory,
            c"",
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
        )?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&mount, c".", flags, Mode::empty())?;
        Ok(Mounted { directory, noswap })
    }

    /// mount(2) takes a path: the working directory is one that leads to the mount point alone.
    fn by_mount(&self) -> Result<Mounted, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let before = rustix::fs::openat(CWD, c".", flags, Mode::empty())?;
        let here = self.point.reach_same()?;
        rustix::process::fchdir(&here.directory)?;
        let noswap = self.on_working_directory();
        rustix::process::fchdir(before)?;
        let noswap = noswap?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = self.point.names.last().map_or(c".", CString::as_c_str);
        let directory = rustix::fs::openat(&here.parent, name, flags, Mode::empty())?;
        // What was moved into its place meanwhile is on the filesystem of what it lies in.
        let device = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| stat.st_dev);
        if device(&directory)? == device(&here.parent)? {
            return Err(Errno::STALE);
        }
        Ok(Mounted { directory, noswap })
    }

    fn on_working_directory(&self) -> Result<bool, Errno> {
        let mut flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        flags.set(MountFlags::RDONLY, self.read_only);
        let attempt = |options: &CString| {
            let options = Some(options.as_c_str());
            mount(c"hushpipe", c".", c"tmpfs", flags, options)
        };
        match attempt(&self.options_noswap) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL) => attempt(&self.options).map(|()| false),
            Err(errno) => Err(errno),
        }
    }
}
