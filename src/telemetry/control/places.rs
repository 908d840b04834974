//! Where control sockets are: in a directory `hushpipe` of each user, 0700, that launchers make and
//! clients look into.
//!
//! A launcher takes the first that can be used of `$XDG_RUNTIME_DIR/hushpipe`, `/run/hushpipe` (root),
//! `/run/user/UID/hushpipe`, `/dev/shm/hushpipe-UID`: the last is there in a container whose root is
//! read-only. Anyone can make a directory of that name: the launcher then takes
//! `/dev/shm/hushpipe-UID-RANDOM`. Clients look into all of them; root also into those of all users.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::sys::filesystem::{self, Kind};
use crate::sys::held;
use crate::sys::walk::{self, Rule, WalkFault};

/// Memory that is writable even where nothing else is; sticky, so that nobody takes a directory away.
const SHARED_MEMORY: &str = "/dev/shm";
/// How names of places there begin; the user's number follows.
const IN_MEMORY: &str = "hushpipe-";
/// What a socket's name ends in before it listens.
const BEFORE: &str = ".new";
/// How many places of all users are looked for.
const MOST_PLACES: usize = 128;
/// How many of one user are.
const MOST_OF_ONE: usize = 8;
/// How many sockets of another user are asked in each place.
const MOST_SOCKETS: usize = 64;
/// How many entries of another user's directory are looked at.
const MOST_ENTRIES: usize = 4096;

/// A place for a user's sockets, which may not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    parent: PathBuf,
    name: OsString,
    /// Whose launchers are there.
    pub uid: u32,
}

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The system refused.
    #[error("{0}: {1}")]
    System(PathBuf, io::Error),
    /// It, or what it lies in, is not to be trusted.
    #[error("{0}: {1}")]
    Foreign(PathBuf, &'static str),
}

/// A place that is there, and open.
pub(super) struct Made {
    parent: OwnedFd,
    pub(super) directory: OwnedFd,
}

impl Place {
    /// `parent/name`, of a user.
    pub fn new(parent: impl Into<PathBuf>, name: impl Into<OsString>, uid: u32) -> Self {
        Self {
            parent: parent.into(),
            name: name.into(),
            uid,
        }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }

    /// Makes it where it is not there, and opens it. What someone else put there is refused.
    pub(super) fn make(&self) -> Result<Made, Unusable> {
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
        Ok(Made { parent, directory })
    }

    /// Opens it, as its owner or as root.
    pub(super) fn open(&self) -> Result<Made, Unusable> {
        let parent = self.trusted_parent()?;
        let directory = self.open_in(&parent)?;
        Ok(Made { parent, directory })
    }

    /// Removes it, if it is empty, and if what has its name is that open directory: with descriptors
    /// that are open already, as there may be no more.
    pub(super) fn remove(&self, made: &Made) -> io::Result<()> {
        held::remove_at(&made.parent, &self.name, &made.directory)
    }

    /// What the place lies in: nobody else can put another directory into its place.
    fn trusted_parent(&self) -> Result<OwnedFd, Unusable> {
        let rule = Rule {
            ends_with: &[self.uid],
            ..Rule::STRICT
        };
        walk::place(&self.parent, &rule).map_err(|error| match error.fault {
            WalkFault::System(source) => Unusable::System(error.path, source),
            WalkFault::Owner { .. } => Unusable::Foreign(error.path, "it belongs to someone else"),
            WalkFault::Writable { .. } => Unusable::Foreign(error.path, "others may write to it"),
            _ => Unusable::Foreign(
                error.path,
                "it is no directory, or a link of someone else's",
            ),
        })
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
    let name = held::unguessable(&format!("{IN_MEMORY}{uid}-"));
    let mut places = usual(uid, runtime);
    places.push(Place::new(SHARED_MEMORY, name, uid));
    places
}

/// The places with names that everyone knows.
fn usual(uid: u32, runtime: Option<&Path>) -> Vec<Place> {
    let given = runtime.filter(|path| path.is_absolute());
    let given = given.map(|path| Place::new(path, "hushpipe", uid));
    let root = (uid == 0).then(|| Place::new("/run", "hushpipe", 0));
    let usual = Place::new(format!("/run/user/{uid}"), "hushpipe", uid);
    let memory = Place::new(SHARED_MEMORY, format!("{IN_MEMORY}{uid}"), uid);
    let mut places: Vec<Place> = given.into_iter().chain(root).collect();
    places.extend([usual, memory]);
    without_doubles(places)
}

/// Where the launchers of a user may be.
pub fn of_user(uid: u32, runtime: Option<&Path>) -> Vec<Place> {
    let own = in_memory().into_iter().filter(|place| place.uid == uid);
    without_doubles(usual(uid, runtime).into_iter().chain(own).collect())
}

/// Where the launchers of anybody may be, those of this user first. For root alone: others see their own.
pub fn of_all(uid: u32, runtime: Option<&Path>) -> Vec<Place> {
    let mut places = of_user(uid, runtime);
    if uid == 0 {
        places.extend(of_others());
    }
    without_doubles(places)
}

/// The users besides this one who have a place for launchers, as root sees them.
pub fn others(uid: u32) -> Vec<u32> {
    let places = if uid == 0 { of_others() } else { Vec::new() };
    let mut uids: Vec<u32> = places.iter().map(|place| place.uid).collect();
    uids.retain(|other| *other != uid);
    uids.dedup();
    uids
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

/// Where other users may have launchers, by the lowest numbers first: those of accounts come before
/// those that a user may give away in user namespaces.
fn of_others() -> Vec<Place> {
    let usual = owned("/run/user", "")
        .into_iter()
        .map(|(uid, _)| Place::new(format!("/run/user/{uid}"), "hushpipe", uid));
    let mut places: Vec<Place> = usual.chain(in_memory()).collect();
    places.sort_by_key(|place| place.uid);
    places
}

fn in_memory() -> Vec<Place> {
    let owned = owned(SHARED_MEMORY, IN_MEMORY).into_iter();
    owned
        .map(|(uid, name)| Place::new(SHARED_MEMORY, name, uid))
        .collect()
}

/// The directories there that are named by a user's number, and more after a `-`, and belong to that user:
/// not more than [`MOST_PLACES`], as some of these directories can be written by all, and not more than
/// [`MOST_OF_ONE`] of a user.
fn owned(parent: &str, prefix: &str) -> BTreeSet<(u32, OsString)> {
    let mut owned = BTreeSet::new();
    let Ok(directory) = walk::directory(Path::new(parent), &Rule::STRICT) else {
        // Where there is no such directory, nobody has a launcher there.
        return owned;
    };
    let visited = filesystem::visit_entries(&directory, |name| {
        if let Some(uid) = owner_by_name(&directory, name, prefix) {
            let of_one = (uid, OsString::new())..(uid.saturating_add(1), OsString::new());
            owned.insert((uid, name.to_owned()));
            if owned.range(of_one.clone()).count() > MOST_OF_ONE {
                let last = owned.range(of_one).next_back().cloned();
                last.map(|last| owned.remove(&last));
            } else if owned.len() > MOST_PLACES {
                owned.pop_last();
            }
        }
        ControlFlow::Continue(())
    });
    if visited.is_err() {
        // What was seen so far is there.
    }
    owned
}

fn owner_by_name(directory: &OwnedFd, name: &OsStr, prefix: &str) -> Option<u32> {
    let name_of = name.to_str()?.strip_prefix(prefix)?;
    let uid = name_of.split_once('-').map_or(name_of, |(uid, _)| uid);
    let uid = uid.parse().ok()?;
    let status = filesystem::status_at(directory, name).ok()??;
    (status.kind == Kind::Directory && status.uid == uid).then_some(uid)
}

/// The names of sockets in an open place of this user. Nothing else of what lies there is touched.
pub(super) fn sockets(directory: &OwnedFd) -> io::Result<Vec<String>> {
    named(directory, usize::MAX, |name| pid_of(name).is_some())
}

/// As [`sockets`], in a place of another user, who may have put there what they like; and whether
/// there were more than is looked at.
pub(super) fn some_sockets(directory: &OwnedFd) -> io::Result<(Vec<String>, bool)> {
    let mut names = named(directory, MOST_ENTRIES, |name| pid_of(name).is_some())?;
    let more = names.len() > MOST_SOCKETS;
    names.truncate(MOST_SOCKETS);
    Ok((names, more))
}

/// The sockets that are removed when nobody listens there.
pub(super) fn swept(directory: &OwnedFd) -> io::Result<Vec<String>> {
    named(directory, usize::MAX, |name| {
        let stem = name.strip_suffix(BEFORE).unwrap_or(name);
        pid_of(stem).is_some()
    })
}

fn named(
    directory: &OwnedFd,
    most: usize,
    wanted: impl Fn(&str) -> bool,
) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut visited = 0;
    filesystem::visit_entries(directory, |name| {
        visited += 1;
        let name = name.to_str().filter(|name| wanted(name));
        names.extend(
            name.filter(|name| is_socket(directory, name))
                .map(str::to_owned),
        );
        if visited < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    names.sort();
    Ok(names)
}

fn is_socket(directory: &OwnedFd, name: &str) -> bool {
    filesystem::status_at(directory, name)
        .is_ok_and(|status| status.is_some_and(|status| status.kind == Kind::Socket))
}

/// The name that a socket has before it listens.
pub(super) fn before(name: &str) -> String {
    format!("{name}{BEFORE}")
}

/// `123.sock`, or `123-2.sock` where two PID namespaces share a place.
pub(super) fn pid_of(name: &str) -> Option<u32> {
    let stem = name.strip_suffix(".sock")?;
    let (pid, more) = stem.split_once('-').unwrap_or((stem, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(pid) && digits(more)).then(|| pid.parse().ok())?
}
