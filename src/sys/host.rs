//! What this host supports, found out by trying. Every probe leaves nothing behind: what it makes
//! ends with a descriptor that is closed or a child that has ended.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use rustix::fs::{Access, CWD, PROC_SUPER_MAGIC};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    fsconfig_create, fsconfig_set_flag, fsmount, fsopen, mount, mount_change, move_mount,
};
use rustix::process::{DumpableBehavior, PidfdFlags, Resource, getpid};
use rustix::thread::UnshareFlags;

use super::child::{Step as Refused, UserNamespace};
use super::memory;

/// linux/magic.h
const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// How a private mount of the program's own would be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// A mount namespace: takes CAP_SYS_ADMIN.
    Mount,
    /// A user namespace, and a mount namespace in it.
    User,
}

/// A private tmpfs as the probe got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateTmpfs {
    /// By fsopen, fsmount and move_mount (Linux 5.2), else by mount(2).
    pub mount_api: bool,
    /// Kept out of swap (Linux 6.4).
    pub noswap: bool,
}

/// What of a private tmpfs was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// No process could be made for the probe.
    Fork,
    /// unshare(2).
    Unshare,
    /// Writing the maps of the user namespace.
    MapUsers,
    /// Making the mounts of the namespace its own.
    Propagation,
    /// Mounting the tmpfs.
    Mount,
}

impl Step {
    const ALL: [Self; 5] = [
        Self::Fork,
        Self::Unshare,
        Self::MapUsers,
        Self::Propagation,
        Self::Mount,
    ];

    /// What was tried, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Unshare => "unshare",
            Self::MapUsers => "writing uid_map",
            Self::Propagation => "making mounts private",
            Self::Mount => "mounting a tmpfs",
        }
    }
}

/// Tries a private tmpfs as a launch makes it, in a child that ends with all of it.
pub fn private_tmpfs(namespace: Namespace) -> Result<PrivateTmpfs, (Step, io::Error)> {
    let fault = |error: io::Error| (Step::Fork, error);
    let (mut reader, writer) = io::pipe().map_err(fault)?;
    let users = match namespace {
        Namespace::Mount => None,
        Namespace::User => Some(user_namespace()?),
    };
    // SAFETY: hushpipe has one thread, so no lock is held by another; the child only makes system
    // calls and leaves by _exit.
    let child = match unsafe { fork() }.map_err(|errno| fault(errno.into()))? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let told = rustix::io::write(&writer, &answer(try_tmpfs(users.as_ref())));
            // SAFETY: ends the child at once; nothing of the parent's is run or flushed.
            unsafe { libc::_exit(i32::from(told.is_err())) }
        }
    };
    drop(writer);
    let mut bytes = Vec::with_capacity(8);
    let read = reader.read_to_end(&mut bytes);
    waitpid(child, None).map_err(|errno| fault(errno.into()))?;
    read.map_err(fault)?;
    understand(&bytes)
}

/// One as a launch makes it.
fn user_namespace() -> Result<UserNamespace, (Step, io::Error)> {
    let users = UserNamespace::make();
    match users.refusal() {
        None => Ok(users),
        Some(refused) => {
            let step = match refused.step {
                Refused::Unshare => Step::Unshare,
                Refused::MapUsers => Step::MapUsers,
                _ => Step::Fork,
            };
            Err((step, refused.errno.into()))
        }
    }
}

type Tried = Result<PrivateTmpfs, (Step, Errno)>;

/// Six bytes for the pipe: the step that failed or 255, two flags, the errno.
fn answer(tried: Tried) -> Vec<u8> {
    let (step, tmpfs, errno) = match tried {
        Ok(tmpfs) => (u8::MAX, tmpfs, 0),
        Err((step, errno)) => {
            let index = Step::ALL.iter().position(|known| *known == step);
            let none = PrivateTmpfs {
                mount_api: false,
                noswap: false,
            };
            (index.unwrap_or(0) as u8, none, errno.raw_os_error())
        }
    };
    let mut bytes = vec![step, u8::from(tmpfs.mount_api), u8::from(tmpfs.noswap)];
    bytes.extend(errno.to_le_bytes());
    bytes
}

fn understand(bytes: &[u8]) -> Result<PrivateTmpfs, (Step, io::Error)> {
    let [step, mount_api, noswap, errno @ ..] = bytes else {
        // It was killed: a seccomp filter may do that.
        let killed = io::Error::other("the probe was killed");
        return Err((Step::Unshare, killed));
    };
    let tmpfs = PrivateTmpfs {
        mount_api: *mount_api == 1,
        noswap: *noswap == 1,
    };
    match Step::ALL.get(usize::from(*step)) {
        None => Ok(tmpfs),
        Some(step) => {
            let errno = errno.try_into().map_or(0, i32::from_le_bytes);
            Err((*step, io::Error::from_raw_os_error(errno)))
        }
    }
}

fn try_tmpfs(users: Option<&UserNamespace>) -> Tried {
    let at = |step| move |errno| (step, errno);
    if let Some(users) = users {
        users.join().map_err(at(Step::MapUsers))?;
    }
    // SAFETY: CLONE_FILES, which would change who owns descriptors, is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.map_err(at(Step::Unshare))?;
    mount_change(
        c"/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )
    .map_err(at(Step::Propagation))?;
    match mount_by_api() {
        Err(Errno::NOSYS | Errno::PERM) => mount_classic(),
        result => result,
    }
    .map_err(at(Step::Mount))
}

fn mount_by_api() -> Result<PrivateTmpfs, Errno> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let noswap = fsconfig_set_flag(&context, c"noswap").is_ok();
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    move_mount(
        &mounted,
        c"",
        CWD,
        c"/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    Ok(PrivateTmpfs {
        mount_api: true,
        noswap,
    })
}

fn mount_classic() -> Result<PrivateTmpfs, Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let noswap = mount(c"probe", c"/", c"tmpfs", flags, Some(c"noswap")).is_ok();
    if !noswap {
        mount(c"probe", c"/", c"tmpfs", flags, None)?;
    }
    Ok(PrivateTmpfs {
        mount_api: false,
        noswap,
    })
}

/// Whether memfd_secret(2) gives pages that the kernel itself does not map.
pub fn memfd_secret() -> io::Result<()> {
    memory::Pages::secret(memory::page_size()).map(drop)
}

/// What pidfds can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pidfds {
    /// pidfd_open(2), Linux 5.3.
    pub open: bool,
    /// pidfd_send_signal(2), Linux 5.1.
    pub signal: bool,
    /// PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9.
    pub group: bool,
}

/// Tries pidfds on hushpipe itself, with signal 0.
pub fn pidfds() -> Pidfds {
    /// linux/pidfd.h
    const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;
    let Ok(pidfd) = rustix::process::pidfd_open(getpid(), PidfdFlags::empty()) else {
        return Pidfds {
            open: false,
            signal: false,
            group: false,
        };
    };
    let send = |flags: libc::c_uint| {
        let nothing = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: signal 0 is only checked for, the siginfo pointer may be null, and the descriptor
        // is open for the length of the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                pidfd.as_raw_fd(),
                0,
                nothing,
                flags,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error().raw_os_error())
        }
    };
    let signal = send(0).is_ok();
    // An unknown flag is EINVAL; a process that leads no group is ESRCH.
    let group = signal && send(PIDFD_SIGNAL_PROCESS_GROUP) != Err(Some(libc::EINVAL));
    Pidfds {
        open: true,
        signal,
        group,
    }
}

/// Whether close_range(2) is there (Linux 5.9).
pub fn close_range() -> bool {
    // SAFETY: no descriptor has this number, so nothing is closed.
    unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) == 0 }
}

/// The version of Landlock, if it is there and switched on.
pub fn landlock_abi() -> Option<u32> {
    const VERSION: libc::c_uint = 1;
    let nothing = std::ptr::null::<u8>();
    // SAFETY: with this flag the call only gives a number; the pointer must be null, the size 0.
    let abi =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) };
    u32::try_from(abi).ok()
}

/// What is mounted at a path that files in memory could go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InMemory {
    /// tmpfs or ramfs, and hushpipe can make files there.
    Yes,
    /// tmpfs or ramfs, but not writable by hushpipe.
    ReadOnly,
    /// Another file system.
    No,
    /// Nothing is there.
    Absent,
}

/// Whether a directory is on tmpfs or ramfs and open to hushpipe.
pub fn in_memory(path: &Path) -> InMemory {
    let Ok(stat) = rustix::fs::statfs(path) else {
        return InMemory::Absent;
    };
    if !matches!(magic(&stat), TMPFS_MAGIC | RAMFS_MAGIC) {
        return InMemory::No;
    }
    match rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => InMemory::Yes,
        Err(_) => InMemory::ReadOnly,
    }
}

/// Whether /proc is procfs.
pub fn has_proc() -> bool {
    rustix::fs::statfs("/proc").is_ok_and(|stat| magic(&stat) == PROC_SUPER_MAGIC as u64)
}

/// The type's width differs by architecture.
#[allow(clippy::unnecessary_cast)]
const fn magic(stat: &rustix::fs::StatFs) -> u64 {
    stat.f_type as u64 & 0xffff_ffff
}

/// `hidepid=` of the mount at /proc, proc(5); `None` when it is not set.
pub fn hidepid() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let proc = mounts
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some("/proc"))?;
    proc.split([' ', ',']).find_map(|option| {
        let value = option.strip_prefix("hidepid=")?;
        (!matches!(value, "0" | "off")).then(|| value.to_owned())
    })
}

/// A line of /proc/self/status, such as `Seccomp`.
pub fn own_status(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        Some(value.trim().to_owned())
    })
}

/// A setting of /proc/sys, such as `kernel/core_pattern`.
pub fn setting(name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
    Some(text.trim_end().to_owned())
}

/// The areas that the kernel swaps to; `None` where /proc/swaps cannot be read.
pub fn swaps() -> Option<Vec<String>> {
    let text = fs::read_to_string("/proc/swaps").ok()?;
    let areas = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next());
    Some(areas.map(str::to_owned).collect())
}

/// A limit of getrlimit(2), soft and hard; `None` is infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What holds now.
    pub soft: Option<u64>,
    /// Up to which it can be raised.
    pub hard: Option<u64>,
}

/// RLIMIT_MEMLOCK, in bytes.
pub fn memlock() -> Limit {
    limit(Resource::Memlock)
}

/// RLIMIT_NOFILE.
pub fn nofile() -> Limit {
    limit(Resource::Nofile)
}

fn limit(resource: Resource) -> Limit {
    let limit = rustix::process::getrlimit(resource);
    Limit {
        soft: limit.current,
        hard: limit.maximum,
    }
}

/// Whether hushpipe itself could be dumped or attached to by its own user.
pub fn is_dumpable() -> io::Result<bool> {
    Ok(rustix::process::dumpable_behavior()? == DumpableBehavior::Dumpable)
}

/// The host's name: uname(2).
pub fn name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

/// The kernel's release, such as `6.1.0-18-amd64`.
pub fn kernel() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_through_the_pipe_as_it_was() {
        let tmpfs = PrivateTmpfs {
            mount_api: true,
            noswap: false,
        };
        assert_eq!(understand(&answer(Ok(tmpfs))).unwrap(), tmpfs);
        for step in Step::ALL {
            let (known, error) = understand(&answer(Err((step, Errno::PERM)))).unwrap_err();
            assert_eq!((known, error.raw_os_error()), (step, Some(libc::EPERM)));
        }
        assert!(understand(b"").is_err());
    }

    #[test]
    fn probes_of_mounts_leave_nothing_behind() {
        let state = || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let namespace = fs::read_link("/proc/self/ns/mnt").unwrap();
            (mounts, namespace)
        };
        let before = state();
        for namespace in [Namespace::Mount, Namespace::User] {
            match private_tmpfs(namespace) {
                Ok(tmpfs) if namespace == Namespace::User => assert!(!tmpfs.noswap),
                Ok(_) => assert!(own_status("CapEff").is_some()),
                Err((step, error)) => {
                    assert!(step != Step::Fork, "{error}");
                    assert!(error.raw_os_error().is_some(), "{error}");
                }
            }
        }
        assert_eq!(state(), before);
    }

    #[test]
    fn what_proc_says_is_read() {
        assert!(has_proc());
        assert!(["0", "1", "2"].contains(&own_status("Seccomp").unwrap().as_str()));
        assert!(own_status("Nonsense").is_none());
        assert!(setting("kernel/core_pattern").is_some());
        assert!(swaps().is_some());
        assert!(nofile().soft.is_some());
        assert!(!kernel().is_empty());
    }

    #[test]
    fn file_systems_are_told_apart() {
        assert_eq!(in_memory(Path::new("/proc")), InMemory::No);
        assert_eq!(in_memory(Path::new("/nonexistent")), InMemory::Absent);
    }

    #[test]
    fn pidfds_build_on_each_other() {
        let pidfds = pidfds();
        assert!(pidfds.open || !pidfds.signal);
        assert!(pidfds.signal || !pidfds.group);
    }
}
