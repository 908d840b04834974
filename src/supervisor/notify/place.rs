//! Where the program finds its notify socket.
//!
//! It is a path where there is a directory for it, as some libraries know no abstract names: in the
//! unit's RuntimeDirectory=, the user's XDG_RUNTIME_DIR, /run or /tmp, whichever can be written to,
//! lets the program's user pass, and is not covered by the program's private files. Everybody may
//! write to it, as to systemd's own: who is listened to is decided by what the kernel tells of a
//! sender.
//!
//! The directory may be the program's user's: in it, hushpipe makes one of its own under a name that
//! cannot be guessed, and does all by the descriptors of both.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sys::walk::{self, Links, Rule};
use crate::sys::{datagram, filesystem, held, process};

const PREFIX: &str = "hushpipe-notify.";
const SOCKET: &str = "socket";

/// A socket's name. Dropped, a path is removed, with its directory.
#[derive(Debug)]
pub(super) struct Place {
    name: OsString,
    _made: Option<Made>,
}

/// The directory that holds a socket.
#[derive(Debug)]
struct Made {
    base: OwnedFd,
    name: OsString,
    /// Its lock says that somebody is there.
    directory: OwnedFd,
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed is swept by the next hushpipe that comes here.
        filesystem::unlink_at(&self.directory, SOCKET).ok();
        held::remove_at(&self.base, &self.name, &self.directory).ok();
    }
}

impl Place {
    /// Binds by `bind` in the first directory that will do, else to an abstract name.
    pub fn find<T>(
        uid: u32,
        covered: &[PathBuf],
        bind: impl Fn(&OsStr) -> io::Result<T>,
    ) -> io::Result<(Self, T)> {
        for path in bases(|name| std::env::var_os(name)) {
            if covered.iter().any(|covered| path.starts_with(covered)) {
                continue;
            }
            let Some(base) = Base::find(path, uid) else {
                continue;
            };
            sweep(&base);
            if let Ok(found) = within(base, &bind) {
                return Ok(found);
            }
        }
        // Names that nobody can guess, as nobody is kept from taking them before.
        let name = held::unguessable(&format!("@{PREFIX}"));
        let bound = bind(&name)?;
        Ok((Self { name, _made: None }, bound))
    }

    /// As `NOTIFY_SOCKET` has it.
    pub fn name(&self) -> &OsStr {
        &self.name
    }
}

/// A directory to make one in.
struct Base {
    path: PathBuf,
    directory: OwnedFd,
}

impl Base {
    /// `None`: others could change it, or it keeps the program's user out; those above it are as they are
    /// for everybody.
    fn find(path: PathBuf, uid: u32) -> Option<Self> {
        let rule = Rule {
            ends_with: &[uid],
            links: Links::Follow,
            ..Rule::STRICT
        };
        let directory = walk::place(&path, &rule).ok()?;
        let base = Self { path, directory };
        base.lets_pass(uid).then_some(base)
    }

    fn lets_pass(&self, uid: u32) -> bool {
        let lets = |status: filesystem::Status| {
            status.mode & if status.uid == uid { 0o100 } else { 0o001 } != 0
        };
        uid == 0 || filesystem::status(&self.directory).is_ok_and(lets)
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

fn within<T>(base: Base, bind: impl Fn(&OsStr) -> io::Result<T>) -> io::Result<(Place, T)> {
    let name = held::unguessable(&format!("{PREFIX}{}.", process::id()));
    let made = Made {
        directory: held::fresh_at(&base.directory, &name, 0o711)?,
        base: base.directory,
        name,
    };
    // Whoever sweeps looks at the lock, and may have been here first.
    let directory = &made.directory;
    if !filesystem::try_lock(directory)? || filesystem::status(directory)?.links == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let bound = held::by_path(directory, SOCKET, |path| bind(path.as_os_str()))?;
    filesystem::open_to_all_at(directory, SOCKET)?;
    let path = base.path.join(&made.name).join(SOCKET);
    let place = Place {
        name: path.into_os_string(),
        _made: Some(made),
    };
    Ok((place, bound))
}

/// Removes what a hushpipe of this user left that was killed: nobody holds it, and nobody listens
/// there. What cannot be looked at or removed stays.
fn sweep(base: &Base) {
    let entries = held::readable(&base.directory).and_then(filesystem::entries);
    // For all of them together.
    let patience = Instant::now() + held::DYING;
    for name in entries.unwrap_or_default() {
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        let number = number.split('.').next().unwrap_or_default();
        // The child of one that was just killed holds all that it held, until it is dead as well.
        while sweep_one(base, &name).is_ok_and(|swept| !swept)
            && number.parse().is_ok_and(process::is_gone)
            && Instant::now() < patience
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether it went. No link is followed: in /tmp, names are anybody's to choose. Only its owner can put
/// something else into the place of a directory there.
fn sweep_one(base: &Base, name: &OsStr) -> io::Result<bool> {
    let directory = held::open_own_at(&base.directory, name)?;
    if !filesystem::try_lock(&directory)? {
        return Ok(false);
    }
    let is_abandoned = |path: &Path| Ok(datagram::is_abandoned(path.as_os_str()));
    let socket = filesystem::status_at(&directory, SOCKET)?;
    if socket.is_some() && !held::by_path(&directory, SOCKET, is_abandoned)? {
        return Ok(false);
    }
    filesystem::unlink_at(&directory, SOCKET)?;
    held::remove_at(&base.directory, name, &directory).map(|()| true)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn bind(name: &OsStr) -> io::Result<UnixDatagram> {
        UnixDatagram::bind(name)
    }

    fn base(directory: &tempfile::TempDir) -> Base {
        Base::find(directory.path().to_owned(), filesystem::effective_uid()).unwrap()
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
        let root = tempfile::tempdir().unwrap();
        let (place, _socket) = within(base(&root), bind).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let socket = Path::new(place.name());
        assert_eq!(mode(socket), 0o666);
        assert_eq!(mode(socket.parent().unwrap()), 0o711);
        drop(place);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_dead_one_left_is_removed_and_a_living_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let left = |name: &str| {
            let directory = root.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&directory).unwrap();
            bind(directory.join(SOCKET).as_os_str()).unwrap()
        };
        let living = left("1");
        drop(left("2"));
        // Killed before there was a socket, or when it was gone already.
        fs::create_dir(root.path().join(format!("{PREFIX}3"))).unwrap();
        let other = root.path().join("other");
        fs::create_dir(&other).unwrap();
        drop(bind(other.join(SOCKET).as_os_str()).unwrap());
        let link = root.path().join(format!("{PREFIX}4"));
        std::os::unix::fs::symlink(&other, &link).unwrap();
        sweep(&base(&root));
        let mut names: Vec<_> = fs::read_dir(root.path())
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
        let root = tempfile::tempdir().unwrap();
        // Higher than process ids can be.
        let left = root.path().join(format!("{PREFIX}4194305"));
        let lock =
            filesystem::make_directory_at(base(&root).directory, left.file_name().unwrap(), 0o711)
                .unwrap();
        assert!(filesystem::try_lock(&lock).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                drop(lock);
            });
            sweep(&base(&root));
        });
        assert!(!left.exists());
    }

    #[test]
    fn one_that_has_no_socket_yet_is_not_swept_and_a_dead_one_of_its_number_is() {
        let root = tempfile::tempdir().unwrap();
        let while_another_starts = |name: &OsStr| {
            sweep(&base(&root));
            bind(name)
        };
        drop(within(base(&root), while_another_starts).unwrap());

        let dead = root.path().join(format!("{PREFIX}{}", process::id()));
        fs::create_dir(&dead).unwrap();
        sweep(&base(&root));
        assert!(!dead.exists());
    }

    #[test]
    fn a_directory_that_keeps_the_user_out_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let own = filesystem::effective_uid();
        fs::set_permissions(root.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(base(&root).lets_pass(own));
        assert!(!base(&root).lets_pass(own + 1));
        fs::set_permissions(root.path(), Permissions::from_mode(0o711)).unwrap();
        assert!(base(&root).lets_pass(own + 1));
        assert!(Base::find("/nonexistent".into(), 1).is_none());
    }

    #[test]
    fn a_directory_that_others_can_change_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let own = filesystem::effective_uid();
        fs::set_permissions(root.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(Base::find(root.path().to_owned(), own).is_none());
        fs::set_permissions(root.path(), Permissions::from_mode(0o1777)).unwrap();
        assert!(Base::find(root.path().to_owned(), own).is_some());
        if own != 0 {
            return; // Only root gives directories away.
        }
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(root.path(), Some(4321), None).unwrap();
        assert!(Base::find(root.path().to_owned(), 1).is_none());
        assert!(
            Base::find(root.path().to_owned(), 4321).is_some(),
            "the program's own"
        );
    }

    #[test]
    fn a_directory_that_is_swapped_while_the_socket_is_made_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let precious = root.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join(SOCKET), "").unwrap();
        fs::set_permissions(precious.join(SOCKET), Permissions::from_mode(0o600)).unwrap();
        // As soon as hushpipe's own directory is there, its name leads to another.
        let swapping = |name: &OsStr| {
            let entries = fs::read_dir(root.path()).unwrap();
            let paths = entries.map(|entry| entry.unwrap().path());
            let made = paths.into_iter().find(|path| *path != precious).unwrap();
            fs::rename(&made, root.path().join("moved")).unwrap();
            std::os::unix::fs::symlink(&precious, &made).unwrap();
            bind(name)
        };
        let (place, _socket) = within(base(&root), swapping).unwrap();
        let mode = fs::metadata(precious.join(SOCKET)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let made = fs::metadata(root.path().join("moved").join(SOCKET)).unwrap();
        assert_eq!(made.mode() & 0o777, 0o666);
        drop(place);
        assert!(precious.join(SOCKET).exists());
    }
}
