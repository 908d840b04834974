//! Paths walked once: component by component, each opened from the directory before it and checked
//! before it is passed, so that what is reached is what only trusted users can put there. What comes
//! back is a descriptor, and from then on there is no path any more.
//!
//! A directory is trusted if it belongs to root, to hushpipe's own effective user or to an owner that
//! the [`Rule`] names, and if nobody else can write to it. A sticky directory that others can write to
//! (/tmp, /dev/shm) is passed as well: its entries are safe from all but their own owners, so those
//! must be trusted, links included.
//!
//! - Group-writable counts as writable by others, unless the group is root's (0), is named by the rule,
//!   or has no member but trusted owners, by /etc/passwd and /etc/group (a user's private group).
//! - With a POSIX ACL the mode's group bits are its mask, so there is nothing to look for where they
//!   lack `w`; else each entry that grants `w` to another user or group counts.
//! - In a user namespace that does not map every user, the overflow uid stands for root and for every
//!   other unmapped user alike. It is trusted where a system has root's directories (`/`, /usr, /tmp).
//! - What is mounted on an entry of a directory keeps that entry in its place (rename(2) and unlink(2)
//!   fail with EBUSY), so a mount point is passed whoever can write to the directory: a volume of
//!   Kubernetes in another one of mode 0777.
//! - What an owner that the rule names controls (a directory, a link) leads to files of that owner alone,
//!   or to what root or hushpipe's user put there: not by a link to what others have.
//! - A link is followed by hand, 40 at most, and only from a directory that is trusted itself. The
//!   kernel's own links below /proc are no paths: one is followed only as /proc/self/fd/N, /dev/fd/N or
//!   /dev/std*, a descriptor that hushpipe's caller gave it, and where the rule allows that.

mod acl;
mod error;
mod rule;
mod system;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::filesystem::{self, Kind, Status};
pub use error::{WalkError, WalkFault, Writer};
use rule::HANDLE;
pub use rule::{Links, Rule};
pub use trust::{check_directory, check_file, is_root_known, owner as check_owner};

/// As the kernel's own limit, path_resolution(7).
const MAX_LINKS: usize = 40;

/// Nothing is waited for (a FIFO), nothing becomes a controlling terminal.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// A directory that was reached, for making, mounting and removing below it.
#[derive(Debug)]
pub struct Reached {
    /// Opened with O_PATH.
    pub directory: OwnedFd,
    /// Where it is, as it was walked to: without links.
    pub path: PathBuf,
    /// The names of the path that are not there, the first one first.
    pub missing: Vec<OsString>,
    /// Not all of them are of the path itself: a link on the way leads to nothing.
    pub dangling: bool,
    /// The directories above it, from the root on, as it was walked to.
    pub above: Vec<OwnedFd>,
}

/// Opens a directory for reading.
pub fn directory(path: &Path, rule: &Rule<'_>) -> Result<OwnedFd, WalkError> {
    let here = place(path, rule)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat(&here, ".", flags, Mode::empty()).map_err(|errno| WalkError::system(path, errno))
}

/// As [`directory`], with O_PATH: also one that may be entered and not be read.
pub fn place(path: &Path, rule: &Rule<'_>) -> Result<OwnedFd, WalkError> {
    Walk::start(path, rule)?.place()
}

/// Opens a regular file for reading.
pub fn file(path: &Path, rule: &Rule<'_>) -> Result<OwnedFd, WalkError> {
    if rule.descriptors
        && let Some(number) = descriptor(path)
    {
        return given(path, &number);
    }
    Walk::start(path, rule)?.file()
}

/// As [`place`], beneath a directory that is open already and was checked. No link is followed.
pub fn place_beneath(
    directory: BorrowedFd<'_>,
    shown: &Path,
    path: &Path,
    rule: &Rule<'_>,
) -> Result<OwnedFd, WalkError> {
    let rule = Rule {
        links: Links::Refuse,
        ..*rule
    };
    Walk::beneath(directory, shown, path, &rule)?.place()
}

/// Opens a regular file beneath a directory that is open already and was checked. Links that stay
/// beneath it are followed; EXDEV where one leads out. `shown` is its path, for errors.
pub fn file_beneath(
    directory: BorrowedFd<'_>,
    shown: &Path,
    path: &Path,
    rule: &Rule<'_>,
) -> Result<OwnedFd, WalkError> {
    Walk::beneath(directory, shown, path, rule)?.file()
}

/// The directory that holds what a path names, with O_PATH, and its name there. What is there, if
/// anything, is not looked at.
pub fn parent(path: &Path, rule: &Rule<'_>) -> Result<(OwnedFd, OsString), WalkError> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(WalkError::system(path, Errno::INVAL));
    };
    let above = if above.as_os_str().is_empty() {
        Path::new(".")
    } else {
        above
    };
    Ok((place(above, rule)?, name.to_owned()))
}

/// Walks as far as there is anything: the last directory that is there, and the names that are not.
pub fn reach(path: &Path, rule: &Rule<'_>) -> Result<Reached, WalkError> {
    let mut walk = Walk::start(path, rule)?;
    let (last, missing) = match walk.go()? {
        End::Directory(last) => (last, Vec::new()),
        End::File { step, .. } => return Err(step.error(WalkFault::NotDirectory)),
        End::Missing { here, names, .. } => (here, names),
    };
    let above = walk.steps.into_iter().map(|step| step.fd.into_owned());
    let opened = last.fd.into_owned().and_then(|directory| {
        let above = above.collect::<io::Result<_>>()?;
        Ok((directory, above))
    });
    let (directory, above) = opened.map_err(|error| WalkError::new(path, error.into()))?;
    Ok(Reached {
        directory,
        path: last.path,
        dangling: missing.len() > walk.of_path,
        missing,
        above,
    })
}

/// The number of a path that names one of this process's own descriptors.
fn descriptor(path: &Path) -> Option<OsString> {
    let standard = [
        ("/dev/stdin", "0"),
        ("/dev/stdout", "1"),
        ("/dev/stderr", "2"),
    ];
    let standard = standard.iter().find(|(name, _)| path == Path::new(name));
    if let Some((_, number)) = standard {
        return Some(OsString::from(number));
    }
    let (parent, name) = (path.parent()?, path.file_name()?);
    let is_own = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"]
        .iter()
        .any(|own| parent == Path::new(own));
    let is_number = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    (is_own && is_number).then(|| name.to_owned())
}

/// Opens what the caller gave anew, or, where that cannot be opened (a socket), takes it as it is.
fn given(path: &Path, number: &OsStr) -> Result<OwnedFd, WalkError> {
    let by_path = Path::new("/proc/self/fd").join(number);
    match fs::openat(CWD, by_path, READ, Mode::empty()) {
        Err(Errno::NXIO) => {
            let path_only = Path::new("/proc/self/fd").join(number);
            fs::openat(
                CWD,
                path_only,
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
            )
        }
        other => other,
    }
    .map_err(|errno| WalkError::system(path, errno))
}

/// A component that was reached.
struct Step<'a> {
    fd: Handle<'a>,
    status: Status,
    path: PathBuf,
    /// Others can put things beside its entries: it is sticky.
    shared: bool,
    /// It belongs to one of [`Rule::ends_with`], or lies below such a directory.
    foreign: bool,
    /// Others can change its entries: nothing but a mount point is safe there.
    open_to: Option<WalkFault>,
    /// See [`Rule::mounts`].
    given: bool,
}

/// Of what was reached: opened on the way, or, where the walk begins beneath a directory, lent.
enum Handle<'a> {
    Opened(OwnedFd),
    Lent(BorrowedFd<'a>),
}

impl AsFd for Handle<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Opened(fd) => fd.as_fd(),
            Self::Lent(fd) => *fd,
        }
    }
}

impl Handle<'_> {
    fn into_owned(self) -> io::Result<OwnedFd> {
        match self {
            Self::Opened(fd) => Ok(fd),
            Self::Lent(fd) => fd.try_clone_to_owned(),
        }
    }
}

impl Step<'_> {
    fn error(&self, fault: WalkFault) -> WalkError {
        WalkError::new(&self.path, fault)
    }

    /// Others cannot change its entries.
    fn closed(&mut self) -> Result<(), WalkError> {
        match self.open_to.take() {
            Some(fault) => Err(self.error(fault)),
            None => Ok(()),
        }
    }
}

enum End<'a> {
    Directory(Step<'a>),
    File {
        step: Step<'a>,
        name: OsString,
    },
    Missing {
        here: Step<'a>,
        at: PathBuf,
        names: Vec<OsString>,
    },
}

struct Walk<'a> {
    rule: &'a Rule<'a>,
    /// The way from the root, or from where the walk is held beneath.
    steps: Vec<Step<'a>>,
    beneath: bool,
    todo: VecDeque<OsString>,
    links: usize,
    /// The names of the path itself that follow the last link on it, in number; the other ones to come are
    /// of a link's target.
    of_path: usize,
    /// A file is wanted at its end.
    for_file: bool,
    control: Option<Control>,
}

/// What was opened.
struct Seen<'a> {
    fd: Handle<'a>,
    status: Status,
    /// Whether something is mounted there, where the kernel says so.
    mounted: Option<bool>,
}

impl<'a> Seen<'a> {
    fn of(fd: Handle<'a>) -> io::Result<Self> {
        let (status, mounted) = filesystem::status_and_mount(fd.as_fd())?;
        Ok(Self {
            fd,
            status,
            mounted,
        })
    }

    /// Whether something is mounted at it, in a directory that was reached before it. Before Linux 5.8 one
    /// whose directory is not known is none.
    fn is_mount_point(&self, above: Option<&Step<'_>>) -> bool {
        let other = |above: &Step<'_>| self.status.device != above.status.device;
        self.mounted.unwrap_or_else(|| above.is_some_and(other))
    }
}

/// On the way was something of an owner that the rule names.
#[derive(Clone, Copy)]
struct Control {
    uid: u32,
    /// A link that this owner may have made was followed.
    led: bool,
}

impl<'a> Walk<'a> {
    fn start(path: &Path, rule: &'a Rule<'a>) -> Result<Self, WalkError> {
        let whole = absolute(path)?;
        let mut walk = Self {
            rule,
            steps: Vec::new(),
            beneath: false,
            todo: VecDeque::new(),
            links: 0,
            of_path: usize::MAX,
            for_file: false,
            control: None,
        };
        walk.restart_at_root()?;
        walk.push(&whole);
        Ok(walk)
    }

    fn beneath(
        directory: BorrowedFd<'a>,
        shown: &Path,
        path: &Path,
        rule: &'a Rule<'a>,
    ) -> Result<Self, WalkError> {
        let mut walk = Self {
            rule,
            steps: Vec::new(),
            beneath: true,
            todo: VecDeque::new(),
            links: 0,
            of_path: usize::MAX,
            for_file: false,
            control: None,
        };
        walk.pass(Handle::Lent(directory), shown.to_owned())?;
        if path.is_absolute() {
            return Err(WalkError::system(path, Errno::XDEV));
        }
        walk.push(path);
        Ok(walk)
    }

    fn restart_at_root(&mut self) -> Result<(), WalkError> {
        let root = Path::new("/");
        let fd = fs::openat(CWD, root, HANDLE | OFlags::DIRECTORY, Mode::empty());
        self.steps.clear();
        let fd = fd.map_err(|errno| WalkError::system(root, errno))?;
        self.pass(Handle::Opened(fd), root.to_owned())
    }

    /// What is to be walked before the rest.
    fn push(&mut self, path: &Path) {
        for component in path.components().rev() {
            match component {
                Component::Normal(name) => self.todo.push_front(name.to_owned()),
                Component::ParentDir => self.todo.push_front(OsString::from("..")),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
    }

    /// Checks a directory, and goes on from there.
    fn pass(&mut self, fd: Handle<'a>, path: PathBuf) -> Result<(), WalkError> {
        let seen = Seen::of(fd).map_err(|error| WalkError::new(&path, error.into()))?;
        self.pass_seen(seen, path)
    }

    fn pass_seen(&mut self, seen: Seen<'a>, path: PathBuf) -> Result<(), WalkError> {
        let above = self.steps.last();
        let given = self.is_given(&seen);
        let foreign = above.is_some_and(|above| above.foreign);
        let Seen { fd, status, .. } = seen;
        let trust = trust::of(&fd, status, &path, self.rule, foreign, given)?;
        let uid = status.uid;
        let led = self.control.is_some_and(|control| control.led);
        if !given && !led && trust::is_named(uid, self.rule) {
            self.control = Some(Control { uid, led });
        }
        self.steps.push(Step {
            fd,
            status,
            path,
            shared: trust.shared,
            foreign: trust.foreign,
            open_to: trust.open_to,
            given,
        });
        Ok(())
    }

    /// Whether it lies on a mount as [`Rule::mounts`] means them. What a walk is held beneath was walked to
    /// by the same rule.
    fn is_given(&self, seen: &Seen<'_>) -> bool {
        if !self.rule.mounts {
            return false;
        }
        let (fd, status, above) = (&seen.fd, seen.status, self.steps.last());
        let mounted = seen.is_mount_point(above);
        match above {
            Some(above) if !mounted => above.given,
            None if !mounted && !self.beneath => false,
            None if !mounted && trust::is_trusted(status.uid, self.rule) => false,
            // The root of everything is read-only in many containers and services.
            None if !self.beneath => false,
            _ => filesystem::is_read_only(fd) && !filesystem::is_of_user_space(fd),
        }
    }

    fn go(&mut self) -> Result<End<'a>, WalkError> {
        while let Some(name) = self.todo.pop_front() {
            if name == ".." {
                self.up()?;
                continue;
            }
            let Some(seen) = self.open(&name)? else {
                self.steps.last_mut().map_or(Ok(()), Step::closed)?;
                return self.missing(name);
            };
            let path = self.here().path.join(&name);
            self.stays(&seen)?;
            match seen.status.kind {
                Kind::Directory => self.pass_seen(seen, path)?,
                Kind::Link => self.follow(&seen.fd, seen.status, &path)?,
                _ if !self.todo.is_empty() => {
                    return Err(WalkError::new(&path, WalkFault::NotDirectory));
                }
                _ => {
                    let given = self.is_given(&seen);
                    let step = Step {
                        fd: seen.fd,
                        status: seen.status,
                        path,
                        shared: false,
                        foreign: self.here().foreign,
                        open_to: None,
                        given,
                    };
                    return Ok(End::File { step, name });
                }
            }
        }
        let mut last = self.steps.pop().expect("the walk began somewhere");
        last.closed()?;
        Ok(End::Directory(last))
    }

    /// Nobody can put anything else in the place of what was opened: nobody can write to the directory, or
    /// something is mounted there.
    fn stays(&mut self, seen: &Seen<'_>) -> Result<(), WalkError> {
        let here = self.steps.last_mut().expect("the walk began somewhere");
        if here.open_to.is_some()
            && seen.is_mount_point(Some(here))
            && !filesystem::is_of_user_space(&seen.fd)
        {
            return Ok(());
        }
        here.closed()
    }

    fn here(&self) -> &Step<'a> {
        self.steps.last().expect("the walk began somewhere")
    }

    /// `/..` is `/`.
    fn up(&mut self) -> Result<(), WalkError> {
        if self.steps.len() > 1 {
            self.steps.pop();
        } else if self.beneath {
            return Err(WalkError::system(&self.here().path, Errno::XDEV));
        }
        Ok(())
    }

    /// One name in the directory that was reached: no link is followed, whatever becomes of it
    /// meanwhile. A directory is opened as one, so that what is mounted on demand is.
    fn open(&self, name: &OsStr) -> Result<Option<Seen<'a>>, WalkError> {
        let here = self.here();
        let kind = if self.for_file && self.todo.is_empty() {
            OFlags::empty()
        } else {
            OFlags::DIRECTORY
        };
        let opened = match open_one(here.fd.as_fd(), name, HANDLE | kind) {
            Err(Errno::NOTDIR | Errno::LOOP) => open_one(here.fd.as_fd(), name, HANDLE),
            other => other,
        };
        let wrong = |error: io::Error| WalkError::new(&here.path.join(name), error.into());
        match opened {
            Ok(fd) => Seen::of(Handle::Opened(fd)).map(Some).map_err(wrong),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(wrong(errno.into())),
        }
    }

    fn follow(&mut self, link: &Handle<'_>, status: Status, path: &Path) -> Result<(), WalkError> {
        let here = self.here();
        let wanted = match self.rule.links {
            Links::Follow => true,
            Links::Before => !self.todo.is_empty(),
            Links::Refuse => false,
        };
        if !wanted || here.foreign {
            return Err(WalkError::new(path, WalkFault::Link));
        }
        if here.shared {
            trust::owner(path, status, self.rule)?;
        }
        if is_magic(here) {
            return Err(WalkError::new(path, WalkFault::MagicLink));
        }
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(WalkError::system(path, Errno::LOOP));
        }
        let own = !trust::is_named(status.uid, self.rule);
        let control = self.control.or((!own).then_some(Control {
            uid: status.uid,
            led: false,
        }));
        self.control = control.map(|control| Control {
            // A link of root's or hushpipe's own that has one name is where they put it.
            led: control.led || !own || status.links > 1,
            ..control
        });
        let target = fs::readlinkat(link.as_fd(), "", Vec::new());
        let target = target.map_err(|errno| WalkError::system(path, errno))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        self.of_path = self.of_path.min(self.todo.len());
        if target.is_absolute() {
            if self.beneath {
                return Err(WalkError::system(path, Errno::XDEV));
            }
            self.restart_at_root()?;
        }
        self.push(&target);
        Ok(())
    }

    fn missing(&mut self, first: OsString) -> Result<End<'a>, WalkError> {
        let here = self.steps.pop().expect("the walk began somewhere");
        let names: Vec<OsString> = [first].into_iter().chain(self.todo.drain(..)).collect();
        // The whole of it: who reads the error knows the path, not where the walk ended.
        let at = names
            .iter()
            .fold(here.path.clone(), |at, name| at.join(name));
        if names.iter().any(|name| name == "..") {
            return Err(WalkError::system(&at, Errno::NOENT));
        }
        Ok(End::Missing { here, at, names })
    }

    fn place(mut self) -> Result<OwnedFd, WalkError> {
        match self.go()? {
            End::Directory(step) => {
                self.is_of_who_leads(&step)?;
                let owned = step.fd.into_owned();
                owned.map_err(|error| WalkError::new(&step.path, error.into()))
            }
            End::File { step, .. } => Err(step.error(WalkFault::NotDirectory)),
            End::Missing { at, .. } => Err(WalkError::system(&at, Errno::NOENT)),
        }
    }

    /// Who may change the way is not trusted with what others have: that is not reached by a link, or by
    /// one of several names.
    fn is_of_who_leads(&self, step: &Step<'_>) -> Result<(), WalkError> {
        let (uid, links) = (step.status.uid, step.status.links);
        let is_file = step.status.kind == Kind::File;
        match self.control {
            Some(control) if uid != control.uid && !step.given => {
                if control.led || is_file && links > 1 {
                    let by = control.uid;
                    return Err(step.error(WalkFault::Led { uid, by }));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn file(mut self) -> Result<OwnedFd, WalkError> {
        self.for_file = true;
        match self.go()? {
            End::Directory(step) => Err(step.error(WalkFault::NotFile(Kind::Directory))),
            End::Missing { at, .. } => Err(WalkError::system(&at, Errno::NOENT)),
            End::File { step, name } => {
                trust::file(
                    &step.fd,
                    step.status,
                    &step.path,
                    self.rule,
                    self.here().shared,
                    step.given,
                )?;
                self.is_of_who_leads(&step)?;
                self.open_file(&step, &name)
            }
        }
    }

    /// Opens it for reading, and makes sure that it is what was looked at.
    fn open_file(&self, step: &Step<'_>, name: &OsStr) -> Result<OwnedFd, WalkError> {
        let wrong = |errno: Errno| WalkError::system(&step.path, errno);
        let here = self.here().fd.as_fd();
        let opened = open_one(here, name, READ | OFlags::NOFOLLOW).map_err(wrong)?;
        let status =
            filesystem::status(&opened).map_err(|error| step.error(WalkFault::from(error)))?;
        if (status.device, status.inode) != (step.status.device, step.status.inode) {
            // Replaced since, by somebody who may: as good as a name that is not there at the moment.
            return Err(wrong(Errno::AGAIN));
        }
        Ok(opened)
    }
}

/// One name and no way out of the directory: openat2(2) says so to the kernel, where it knows the call.
fn open_one(here: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match fs::openat2(here, name, flags, Mode::empty(), resolve) {
        // Unknown, or a seccomp filter's answer; EAGAIN: something was renamed meanwhile.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {
            rustix::io::retry_on_intr(|| fs::openat(here, name, flags, Mode::empty()))
        }
        other => other,
    }
}

/// Links below /proc, but for those in its own root (/proc/self, /proc/mounts): they lead to objects, and
/// their text is a description.
fn is_magic(directory: &Step<'_>) -> bool {
    const PROC: u64 = 0x9fa0;
    const PROC_ROOT: u64 = 1;
    let kind = filesystem::filesystem(directory.fd.as_fd());
    matches!(kind, Ok(filesystem::Filesystem::Other(PROC))) && directory.status.inode != PROC_ROOT
}

/// A relative path begins at the working directory, whose own path is walked as well.
fn absolute(path: &Path) -> Result<PathBuf, WalkError> {
    if path.as_os_str().is_empty() {
        return Err(WalkError::system(path, Errno::NOENT));
    }
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let cwd =
        rustix::process::getcwd(Vec::new()).map_err(|errno| WalkError::system(path, errno))?;
    let cwd = PathBuf::from(OsString::from_vec(cwd.into_bytes()));
    if !cwd.is_absolute() {
        // "(unreachable)": outside of this process's root.
        return Err(WalkError::system(path, Errno::NOENT));
    }
    Ok(cwd.join(path))
}
