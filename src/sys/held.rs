//! Directories of hushpipe's own making, held by descriptor: made, locked, swept and removed in one way
//! for deliveries, the notify socket and the control socket.
//!
//! A [`Site`] is where a directory is, or is to be: walked to once ([`super::walk`]), and known by
//! descriptors from then on. No name is resolved again but in a directory that is open, and what is found
//! there is used only if it is what was made, or belongs to this user.
//!
//! A lock is a flock(2). On the directory itself it is held while something is made or taken away in it;
//! on a marker for as long as somebody uses it. Whoever sweeps looks at the lock first: what is unlocked is
//! of a dead one.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, RenameFlags};
use rustix::io::Errno;

use super::filesystem::{self, Status};
use super::walk::{self, Reached, Rule, WalkError, WalkFault};
use super::{beneath, durable};

/// How long what a kill took along may take to die.
pub const DYING: Duration = Duration::from_secs(1);

/// How a directory is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// By one hushpipe alone: its files are in it.
    Exclusive,
    /// By each that mounts on it in a mount namespace of its own.
    Shared,
}

impl Lock {
    /// `false`: somebody else holds it.
    pub fn take(self, marker: &OwnedFd) -> io::Result<bool> {
        match self {
            Self::Exclusive => filesystem::try_lock(marker),
            Self::Shared => filesystem::try_lock_shared(marker),
        }
    }

    /// As [`Lock::take`], with patience: the child of a hushpipe that was just killed has its locks for
    /// as long as it takes to die.
    pub fn take_in_time(self, marker: &OwnedFd) -> io::Result<bool> {
        let patience = Instant::now() + DYING;
        loop {
            let taken = self.take(marker)?;
            if taken || Instant::now() > patience {
                return Ok(taken);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Where a directory is, or is to be made.
#[derive(Debug)]
pub struct Site {
    /// The directories on the way that are there, from the root on.
    parents: Vec<OwnedFd>,
    /// The name that follows each of them, and the names that are missing; the last one is the
    /// directory's own.
    names: Vec<OsString>,
}

impl Site {
    /// Walks to where `path` is, or as far as there is anything. Its last component is not looked at.
    pub fn find(path: &Path, rule: &Rule<'_>) -> Result<Self, WalkError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(WalkError::system(path, Errno::INVAL));
        };
        let Reached {
            directory,
            path,
            missing,
            above,
            ..
        } = walk::reach(parent, rule)?;
        let walked = path.iter().skip(1).map(OsStr::to_owned);
        Ok(Self {
            names: walked.chain(missing).chain([name.to_owned()]).collect(),
            parents: above.into_iter().chain([directory]).collect(),
        })
    }

    /// Its path, as it was walked to: without links.
    pub fn path(&self) -> PathBuf {
        self.path_to(self.names.len())
    }

    fn path_to(&self, depth: usize) -> PathBuf {
        let root = PathBuf::from("/");
        self.names[..depth]
            .iter()
            .fold(root, |at, name| at.join(name))
    }

    /// The nearest directory above that is there.
    pub fn nearest(&self) -> (&OwnedFd, PathBuf) {
        let depth = self.parents.len() - 1;
        (&self.parents[depth], self.path_to(depth))
    }

    /// How many of the directories above it are missing.
    pub fn missing(&self) -> usize {
        self.names.len() - self.parents.len()
    }

    /// Its own name.
    pub fn name(&self) -> &OsStr {
        self.names.last().expect("a path ends in a name")
    }

    fn parent(&self) -> io::Result<&OwnedFd> {
        let parent = self.parents.get(self.names.len() - 1);
        parent.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// What stands at its name; no link is followed.
    pub fn status(&self) -> io::Result<Option<Status>> {
        match self.parent() {
            Ok(parent) => filesystem::status_at(parent, self.name()),
            Err(_) => Ok(None),
        }
    }

    /// Opens it for reading, if it is a directory.
    pub fn open(&self) -> io::Result<OwnedFd> {
        filesystem::open_directory_at(self.parent()?, self.name())
    }

    /// Makes it under another name, beside the topmost of what is missing, with that; then moves all of
    /// it into its place in one step. `build` fills the new directory before. `None`: somebody else made
    /// it meanwhile, or makes it at this moment. On an error, what was made under the other name may stay,
    /// unlocked.
    pub fn make<T>(
        &mut self,
        temporary: &OsStr,
        mode: u32,
        build: impl FnOnce(&OwnedFd) -> io::Result<T>,
    ) -> io::Result<Option<(OwnedFd, T)>> {
        let base = self.parents.len() - 1;
        let last = self.names.len() - 1;
        let mode_of = |depth: usize| if depth == last { mode } else { 0o755 };
        let top = match fresh_at(&self.parents[base], temporary, mode_of(base)) {
            Err(error) if is_taken(&error) => return Ok(None),
            made => made?,
        };
        // Whoever sweeps looks at this lock first, and may have been here before.
        if !filesystem::try_lock(&top)? || filesystem::status(&top)?.links == 0 {
            return Ok(None);
        }
        let mut chain = vec![top];
        for depth in base + 1..=last {
            let made = fresh_at(&chain[depth - base - 1], &self.names[depth], mode_of(depth))?;
            chain.push(made);
        }
        let directory = chain[last - base].try_clone()?;
        let built = build(&directory)?;
        let parent = &self.parents[base];
        match rename_new(parent, temporary, parent, &self.names[base]) {
            Err(error) if is_taken(&error) => return Ok(None),
            moved => moved?,
        }
        filesystem::unlock(&chain[0])?;
        chain.pop();
        self.parents.extend(chain);
        Ok(Some((directory, built)))
    }

    /// Moves it out of its place, to another name beside the topmost of the `above` directories over it.
    /// `false`: it is not there any more, or something else is.
    pub fn move_away(&self, it: &OwnedFd, above: usize, temporary: &OsStr) -> io::Result<bool> {
        let parent = self.parent()?;
        if !is_at(parent, self.name(), it)? {
            return Ok(false);
        }
        rename_new(
            parent,
            self.name(),
            &self.parents[self.top(above)],
            temporary,
        )?;
        Ok(true)
    }

    /// Undoes [`Site::move_away`], and makes what was above it anew.
    pub fn move_back(&self, above: usize, temporary: &OsStr) -> io::Result<()> {
        let top = self.top(above);
        let mut chain = vec![self.parents[top].try_clone()?];
        for name in &self.names[top..self.names.len() - 1] {
            chain.push(fresh_at(&chain[chain.len() - 1], name, 0o755)?);
        }
        rename_new(&chain[0], temporary, &chain[chain.len() - 1], self.name())
    }

    /// Removes what was moved away, which is empty.
    pub fn remove_moved(&self, above: usize, temporary: &OsStr, it: &OwnedFd) -> io::Result<()> {
        remove_at(&self.parents[self.top(above)], temporary, it)
    }

    /// Removes it where it is, if it is empty.
    pub fn remove(&self, it: &OwnedFd) -> io::Result<()> {
        remove_at(self.parent()?, self.name(), it)
    }

    /// Removes as many of the directories over it as were made with it; those that hold something of
    /// others stay.
    pub fn remove_above(&self, above: usize) -> io::Result<()> {
        for depth in (self.top(above)..self.names.len() - 1).rev() {
            // Whoever was killed here may have come so far.
            let Some(parent) = self.parents.get(depth) else {
                continue;
            };
            match filesystem::remove_directory_at(parent, &self.names[depth]) {
                Err(error) if is_taken(&error) => break,
                other => other?,
            }
        }
        Ok(())
    }

    fn top(&self, above: usize) -> usize {
        (self.names.len() - 1).saturating_sub(above)
    }

    /// The directories on the way that are there, the nearest first, each with the names that follow it.
    pub fn ways(&self) -> impl Iterator<Item = (&OwnedFd, &[OsString])> {
        let ways = self.parents.iter().enumerate().rev();
        ways.map(|(depth, parent)| (parent, &self.names[depth..]))
    }
}

/// Walks to a directory, makes it and those above it that are missing (0700), and opens it for reading. A
/// link that leads to nothing is an error.
pub fn make_directories(path: &Path, rule: &Rule<'_>) -> Result<OwnedFd, WalkError> {
    let reached = walk::reach(path, rule)?;
    let missing = PathBuf::from_iter(&reached.missing);
    let whole = reached.path.join(&missing);
    if reached.dangling {
        return Err(WalkError::new(&whole, WalkFault::Dangling));
    }
    let made = beneath::make_directories(&reached.directory, &missing);
    let made = made.map_err(|error| WalkError::new(&whole, error.into()))?;
    // Where others made it meanwhile, it is theirs.
    walk::check_directory(&made, &whole, rule).map(|_| made)
}

/// Writes a file that all may read, in the place of one that may be there. Its name is there once the
/// file is whole and on the disk. It waits under a name that no other process can have taken.
pub fn publish(directory: impl AsFd, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    let new = unguessable(".new-");
    let file = durable::write_new_at(&directory, &new, bytes, 0o600)?;
    let named = filesystem::change_mode(&file, 0o644)
        .and_then(|()| filesystem::rename_at(&directory, &new, name));
    if let Err(error) = named {
        filesystem::unlink_at(&directory, &new)?;
        return Err(error);
    }
    durable::sync_names(directory)
}

/// Whether something of others is at a name.
pub fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty)
}

/// Makes a directory with exactly these permission bits, and opens it. Where others may rename in
/// `directory`, what was opened may be another one: it is refused unless it is empty and this user's.
pub fn fresh_at(directory: impl AsFd, name: impl AsRef<OsStr>, mode: u32) -> io::Result<OwnedFd> {
    let (directory, name) = (directory.as_fd(), name.as_ref());
    rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o700))?;
    let made = filesystem::open_directory_at(directory, name).and_then(|made| {
        let own = filesystem::status(&made)?.uid == filesystem::effective_uid();
        if !own || !filesystem::entries(&made)?.is_empty() {
            return Err(io::Error::other("it was replaced while it was made"));
        }
        filesystem::change_mode(&made, mode).map(|()| made)
    });
    if made.is_err() {
        // The error that is returned says more than one of this would.
        rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).ok();
    }
    made
}

/// renameat2(2), where nothing may stand at `new`. Filesystems that cannot promise that, such as some of
/// networks, replace an empty directory there.
pub fn rename_new(
    from: impl AsFd,
    old: impl AsRef<OsStr>,
    to: impl AsFd,
    new: impl AsRef<OsStr>,
) -> io::Result<()> {
    let (old, new) = (old.as_ref(), new.as_ref());
    match rustix::fs::renameat_with(&from, old, &to, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => Ok(rustix::fs::renameat(from, old, to, new)?),
        other => Ok(other?),
    }
}

/// Whether that name in a directory is that open directory or file.
pub fn is_at(directory: impl AsFd, name: impl AsRef<OsStr>, it: impl AsFd) -> io::Result<bool> {
    let it = filesystem::status(it)?;
    let found = filesystem::status_at(directory, name)?;
    Ok(found.is_some_and(|found| (found.device, found.inode) == (it.device, it.inode)))
}

/// Removes an open directory, if it is empty, by its name in another. What took its name stays.
pub fn remove_at(directory: impl AsFd, name: impl AsRef<OsStr>, it: impl AsFd) -> io::Result<()> {
    if is_at(&directory, name.as_ref(), it)? {
        filesystem::remove_directory_at(directory, name)?;
    }
    Ok(())
}

/// Opens a directory of this user's by its name in one where others may have theirs. Anybody else's is
/// refused.
pub fn open_own_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<OwnedFd> {
    let opened = filesystem::open_directory_at(directory, name)?;
    if filesystem::status(&opened)?.uid != filesystem::effective_uid() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(opened)
}

/// A name that nobody can guess, or take before it is used.
pub fn unguessable(prefix: &str) -> OsString {
    let random = RandomState::new().hash_one(super::process::id());
    OsString::from(format!("{prefix}{random:016x}"))
}

/// Does what takes a path alone, in a directory that is open: by way of /proc, else with it as the
/// working directory. hushpipe has one thread: nothing else meets the change.
pub fn by_path<T>(
    directory: impl AsFd,
    name: impl AsRef<OsStr>,
    act: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let way = filesystem::path_of(directory.as_fd());
    if filesystem::status_of_path(&way).is_ok_and(|found| found.is_some()) {
        return act(&way.join(name.as_ref()));
    }
    filesystem::within(directory, || act(Path::new(name.as_ref())))?
}

/// Opens for reading a directory that is open with O_PATH.
pub fn readable(directory: impl AsFd) -> io::Result<OwnedFd> {
    filesystem::open_directory_at(directory, ".")
}
