//! A tmpfs on a directory, by the mount API of Linux 5.2 (fsopen, fsmount, move_mount), or by
//! mount(2) where that is missing or a seccomp filter refuses it. No allocation while mounting.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount,
};

use super::child::PrivateMount;

/// The most a private tmpfs may hold. Pages are taken as they are used: the limit stops a fault from
/// eating the host's memory, and leaves room for two generations of many large secrets.
const SIZE: &str = "268435456";

/// A tmpfs to be mounted, with all texts that the kernel wants.
pub(crate) struct Tmpfs {
    target: CString,
    mode: CString,
    uid: CString,
    gid: CString,
    size: CString,
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
            target: mount.target.clone(),
            mode: text(format!("{mode:o}")),
            uid: text(uid.to_string()),
            gid: text(gid.to_string()),
            size: text(SIZE.to_owned()),
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
        let mount = fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        )?;
        move_mount(
            &mount,
            c"",
            CWD,
            self.target.as_c_str(),
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS,
        )?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&mount, c".", flags, Mode::empty())?;
        Ok(Mounted { directory, noswap })
    }

    fn by_mount(&self) -> Result<Mounted, Errno> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let target = self.target.as_c_str();
        let attempt = |options: &CString| {
            mount(
                c"hushpipe",
                target,
                c"tmpfs",
                flags,
                Some(options.as_c_str()),
            )
        };
        let noswap = match attempt(&self.options_noswap) {
            Ok(()) => true,
            Err(Errno::INVAL) => {
                attempt(&self.options)?;
                false
            }
            Err(errno) => return Err(errno),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, target, flags, Mode::empty())?;
        Ok(Mounted { directory, noswap })
    }
}
