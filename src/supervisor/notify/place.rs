//! Where the program finds its notify socket.
//!
//! It is a path where there is a directory for it, as some libraries know no abstract names: in the
//! unit's RuntimeDirectory=, the user's XDG_RUNTIME_DIR, /run or /tmp, whichever can be written to,
//! lets the program's user pass, and is not covered by the program's private files. Everybody may
//! write to it, as to systemd's own: who is listened to is decided by what the kernel tells of a
//! sender.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sys::{datagram, filesystem, process};

const PREFIX: &str = "hushpipe-notify.";
const SOCKET: &str = "socket";

/// How long what a kill took along may take to die.
const DYING: Duration = Duration::from_secs(1);

/// A socket's name. Dropped, a path is removed, with its directory.
#[derive(Debug)]
pub(super) struct Place {
    name: OsString,
    /// Its lock says that somebody is there.
    directory: Option<(PathBuf, OwnedFd)>,
}

impl Place {
    /// Binds by `bind` in the first directory that will do, else to an abstract name.
    pub fn find<T>(
        uid: u32,
        covered: &[PathBuf],
        bind: impl Fn(&OsStr) -> io::Result<T>,
    ) -> io::Result<(Self, T)> {
        for base in bases(|name| std::env::var_os(name)) {
            if covered.iter().any(|path| base.starts_with(path)) || !lets_pass(&base, uid) {
                continue;
            }
            sweep(&base);
            if let Ok(found) = within(&base, &bind) {
                return Ok(found);
            }
        }
        // Names that nobody can guess, as nobody is kept from taking them before.
        let random = RandomState::new().hash_one(process::id());
        let name = OsString::from(format!("@{PREFIX}{random:016x}"));
        let bound = bind(&name)?;
        let place = Self {
            name,
            directory: None,
        };
        Ok((place, bound))
    }

    /// As `NOTIFY_SOCKET` has it.
    pub fn name(&self) -> &OsStr {
        &self.name
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((directory, _lock)) = &self.directory {
            // What cannot be removed is swept by the next hushpipe that comes here.
            fs::remove_file(directory.join(SOCKET)).ok();
            fs::remove_dir(directory).ok();
        }
    }
}

/// Directories to try, in order.
fn bases(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let runtime = variable("RUNTIME_DIRECTORY").unwrap_or_default();
    // Several are separated by colons.
    let units = runtime.as_bytes().split(|byte| *byte == b':').next();
    let units = units.map(|path| PathBuf::from(OsStr::from_bytes(path)));
    let users = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let common = ["/run", "/tmp"].map(PathBuf::from);
    let all = units.into_iter().chain(users).chain(common);
    all.filter(|path| path.is_absolute()).collect()
}

/// Whether this user may pass through the directory; those above it are as they are for everybody.
fn lets_pass(directory: &Path, uid: u32) -> bool {
    let bit = |metadata: &fs::Metadata| {
        if metadata.uid() == uid { 0o100 } else { 0o001 }
    };
    uid == 0 || fs::metadata(directory).is_ok_and(|metadata| metadata.mode() & bit(&metadata) != 0)
}

fn within<T>(base: &Path, bind: impl Fn(&OsStr) -> io::Result<T>) -> io::Result<(Place, T)> {
    let directory = base.join(format!("{PREFIX}{}", process::id()));
    let lock = filesystem::make_directory(&directory, 0o711)?;
    // Whoever sweeps looks at the lock, and may have been here first.
    if !filesystem::try_lock(&lock)? || filesystem::status(&lock)?.links == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let socket = directory.join(SOCKET);
    let place = Place {
        name: socket.clone().into_os_string(),
        directory: Some((directory, lock)),
    };
    let bound = bind(socket.as_os_str())?;
    fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
    Ok((place, bound))
}

/// Removes what a hushpipe of this user left that was killed: nobody holds it, and nobody listens
/// there. What cannot be looked at or removed stays.
fn sweep(base: &Path) {
    let Ok(entries) = filesystem::open_directory(base).and_then(filesystem::entries) else {
        return;
    };
    // For all of them together.
    let patience = Instant::now() + DYING;
    for name in entries {
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        // The child of one that was just killed holds all that it held, until it is dead as well.
        while sweep_one(&base.join(&name)).is_ok_and(|swept| !swept)
            && number.parse().is_ok_and(process::is_gone)
            && Instant::now() < patience
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether it went. No link is followed: in /tmp, names are anybody's to choose. Only its owner can put
/// something else into the place of a directory there.
fn sweep_one(path: &Path) -> io::Result<bool> {
    let directory = filesystem::open_directory(path)?;
    if filesystem::status(&directory)?.uid != filesystem::effective_uid() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if !filesystem::try_lock(&directory)? {
        return Ok(false);
    }
    let socket = filesystem::status_at(&directory, SOCKET)?;
    if socket.is_some() && !datagram::is_abandoned(path.join(SOCKET).as_os_str()) {
        return Ok(false);
    }
    filesystem::unlink_at(&directory, SOCKET)?;
    filesystem::remove_directory(path).map(|()| true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn bind(name: &OsStr) -> io::Result<UnixDatagram> {
        UnixDatagram::bind(name)
    }

    #[test]
    fn the_units_directory_comes_first() {
        let variables = |name: &str| match name {
            "RUNTIME_DIRECTORY" => Some(OsString::from("/run/one:/run/two")),
            "XDG_RUNTIME_DIR" => Some(OsString::from("/run/user/7")),
            _ => None,
        };
        let expected = ["/run/one", "/run/user/7", "/run", "/tmp"].map(PathBuf::from);
        assert_eq!(bases(variables), expected);
        assert_eq!(bases(|_| None), ["/run", "/tmp"].map(PathBuf::from));
    }

    #[test]
    fn everybody_can_reach_the_socket_and_nothing_stays_of_it() {
        let base = tempfile::tempdir().unwrap();
        let (place, _socket) = within(base.path(), bind).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let socket = Path::new(place.name());
        assert_eq!(mode(socket), 0o666);
        assert_eq!(mode(socket.parent().unwrap()), 0o711);
        drop(place);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_dead_one_left_is_removed_and_a_living_one_is_not() {
        let base = tempfile::tempdir().unwrap();
        let left = |name: &str| {
            let directory = base.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&directory).unwrap();
            bind(directory.join(SOCKET).as_os_str()).unwrap()
        };
        let living = left("1");
        drop(left("2"));
        // Killed before there was a socket, or when it was gone already.
        fs::create_dir(base.path().join(format!("{PREFIX}3"))).unwrap();
        let other = base.path().join("other");
        fs::create_dir(&other).unwrap();
        drop(bind(other.join(SOCKET).as_os_str()).unwrap());
        let link = base.path().join(format!("{PREFIX}4"));
        std::os::unix::fs::symlink(&other, &link).unwrap();
        sweep(base.path());
        let mut names: Vec<_> = fs::read_dir(base.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [&format!("{PREFIX}1"), &format!("{PREFIX}4"), "other"]
        );
        assert!(other.join(SOCKET).exists(), "a link was followed");
        drop(living);
    }

    #[test]
    fn what_a_dying_child_still_holds_is_waited_for() {
        let base = tempfile::tempdir().unwrap();
        // Higher than process ids can be.
        let left = base.path().join(format!("{PREFIX}4194305"));
        let lock = filesystem::make_directory(&left, 0o711).unwrap();
        assert!(filesystem::try_lock(&lock).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                drop(lock);
            });
            sweep(base.path());
        });
        assert!(!left.exists());
    }

    #[test]
    fn one_that_has_no_socket_yet_is_not_swept_and_a_dead_one_of_its_number_is() {
        let base = tempfile::tempdir().unwrap();
        let while_another_starts = |name: &OsStr| {
            sweep(base.path());
            bind(name)
        };
        drop(within(base.path(), while_another_starts).unwrap());

        fs::create_dir(base.path().join(format!("{PREFIX}{}", process::id()))).unwrap();
        assert!(within(base.path(), bind).is_err(), "the test tests nothing");
        sweep(base.path());
        within(base.path(), bind).unwrap();
    }

    #[test]
    fn a_directory_that_keeps_the_user_out_is_not_taken() {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), Permissions::from_mode(0o700)).unwrap();
        let own = fs::metadata(base.path()).unwrap().uid();
        assert!(lets_pass(base.path(), own));
        assert!(!lets_pass(base.path(), own + 1));
        fs::set_permissions(base.path(), Permissions::from_mode(0o711)).unwrap();
        assert!(lets_pass(base.path(), own + 1));
        assert!(!lets_pass(Path::new("/nonexistent"), 1));
    }
}
