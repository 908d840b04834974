//! Where control sockets are: in a directory `hushpipe` of each user, 0700, that launchers make and
//! clients look into.
//!
//! A launcher takes the first that can be used of `$XDG_RUNTIME_DIR/hushpipe`, `/run/hushpipe` (root),
//! `/run/user/UID/hushpipe`, `/dev/shm/hushpipe-UID`: the last is there in a container whose root is
//! read-only. Clients look into all of them; root also into those of all users.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::sys::beneath;
use crate::sys::filesystem::{self, Kind};

/// Memory that is writable even where nothing else is; sticky, so that nobody takes a directory away.
const SHARED_MEMORY: &str = "/dev/shm";
const STICKY: u32 = 0o1000;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A place for a user's sockets, which may not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    parent: PathBuf,
    name: OsString,
    /// Whose launchers are there.
    pub uid: u32,
    /// The parent is part of every Linux system, whoever owns it: root may have another uid in this
    /// user namespace, or none.
    system: bool,
}

/// Why a place cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// The system refused.
    System(PathBuf, io::Error),
    /// It, or what it lies in, is not to be trusted.
    Foreign(PathBuf, &'static str),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Foreign(path, why) => write!(f, "{}: {why}", path.display()),
        }
    }
}

impl Place {
    /// `parent/name`, of a user.
    pub fn new(parent: impl Into<PathBuf>, name: impl Into<OsString>, uid: u32) -> Self {
        Self {
            parent: parent.into(),
            name: name.into(),
            uid,
            system: false,
        }
    }

    fn of_system(parent: impl Into<PathBuf>, name: impl Into<OsString>, uid: u32) -> Self {
        Self {
            system: true,
            ..Self::new(parent, name, uid)
        }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }

    /// Makes it where it is not there, and opens it. What someone else put there is refused.
    pub(super) fn make(&self) -> Result<OwnedFd, Unusable> {
        let parent = self.trusted_parent()?;
        let path = self.path();
        let system = |error| Unusable::System(path.clone(), error);
        match filesystem::make_directory_at(&parent, &self.name, 0o700) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(system(error)),
        }
        let directory = self.open_in(&parent)?;
        // Whoever opened it to others is overruled: who may enter it may ask.
        filesystem::change_mode(&directory, 0o700).map_err(system)?;
        Ok(directory)
    }

    /// Opens it, as its owner or as root.
    pub fn open(&self) -> Result<OwnedFd, Unusable> {
        self.open_in(&self.trusted_parent()?)
    }

    /// What the place lies in: nobody else can put another directory into its place.
    fn trusted_parent(&self) -> Result<OwnedFd, Unusable> {
        let path = &self.parent;
        let system = |error| Unusable::System(path.clone(), error);
        let parent = beneath::open_directory(path).map_err(system)?;
        let status = filesystem::status(&parent).map_err(system)?;
        if !self.system && status.uid != self.uid && status.uid != 0 {
            return Err(Unusable::Foreign(
                path.clone(),
                "it belongs to someone else",
            ));
        }
        if status.mode & WRITABLE_BY_OTHERS != 0 && status.mode & STICKY == 0 {
            return Err(Unusable::Foreign(path.clone(), "others may write to it"));
        }
        Ok(parent)
    }

    fn open_in(&self, parent: &OwnedFd) -> Result<OwnedFd, Unusable> {
        let system = |error| Unusable::System(self.path(), error);
        let directory = filesystem::open_directory_at(parent, &self.name).map_err(system)?;
        let status = filesystem::status(&directory).map_err(system)?;
        if status.uid != self.uid {
            return Err(Unusable::Foreign(self.path(), "it belongs to someone else"));
        }
        Ok(directory)
    }
}

/// Where a launcher of this user may put its socket, best first. `runtime` is `$XDG_RUNTIME_DIR`.
pub fn of_launcher(uid: u32, runtime: Option<&Path>) -> Vec<Place> {
    let given = runtime.filter(|path| path.is_absolute());
    let given = given.map(|path| Place::new(path, "hushpipe", uid));
    let root = (uid == 0).then(|| Place::of_system("/run", "hushpipe", 0));
    let usual = Place::of_system(format!("/run/user/{uid}"), "hushpipe", uid);
    let memory = Place::of_system(SHARED_MEMORY, format!("hushpipe-{uid}"), uid);
    let mut places: Vec<Place> = given.into_iter().chain(root).collect();
    places.extend([usual, memory]);
    without_doubles(places)
}

/// Where a client of this user looks: where its own launchers may be, and for root also where those
/// of everybody else may be.
pub fn of_client(uid: u32, runtime: Option<&Path>) -> Vec<Place> {
    let mut places = of_launcher(uid, runtime);
    if uid == 0 {
        places.extend(of_others());
    }
    without_doubles(places)
}

fn without_doubles(places: Vec<Place>) -> Vec<Place> {
    let mut kept: Vec<Place> = Vec::new();
    for place in places {
        let known = kept
            .iter()
            .any(|known| (known.uid, known.path()) == (place.uid, place.path()));
        if !known {
            kept.push(place);
        }
    }
    kept
}

fn of_others() -> Vec<Place> {
    let numbered = |directory: &str, prefix: &str| -> Vec<u32> {
        let names = filesystem::open_directory(Path::new(directory)).and_then(filesystem::entries);
        // Where there is no such directory, nobody has a launcher there.
        names
            .unwrap_or_default()
            .iter()
            .filter_map(|name| name.to_str()?.strip_prefix(prefix)?.parse().ok())
            .collect()
    };
    let usual = numbered("/run/user", "")
        .into_iter()
        .map(|uid| Place::of_system(format!("/run/user/{uid}"), "hushpipe", uid));
    let memory = numbered(SHARED_MEMORY, "hushpipe-")
        .into_iter()
        .map(|uid| Place::of_system(SHARED_MEMORY, format!("hushpipe-{uid}"), uid));
    usual.chain(memory).collect()
}

/// The names of sockets in an open place. Nothing else of what lies there is touched.
pub(super) fn sockets(directory: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = filesystem::entries(directory)?
        .into_iter()
        .filter_map(|name| name.into_string().ok())
        .filter(|name| pid_of(name).is_some())
        .collect();
    names.retain(|name| {
        filesystem::status_at(directory, name)
            .is_ok_and(|status| status.is_some_and(|status| status.kind == Kind::Socket))
    });
    names.sort();
    Ok(names)
}

/// `123.sock`, or `123-2.sock` where two PID namespaces share a place.
pub(super) fn pid_of(name: &str) -> Option<u32> {
    let stem = name.strip_suffix(".sock")?;
    let (pid, more) = stem.split_once('-').unwrap_or((stem, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(pid) && digits(more)).then(|| pid.parse().ok())?
}
