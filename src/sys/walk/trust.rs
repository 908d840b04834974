//! Whom a directory or a file lets change it.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{self, Mode, OFlags};

use super::acl::{self, Granted};
use super::error::{WalkError, WalkFault, Writer};
use super::rule::{HANDLE, Rule};
use super::system::is_of_system;
use crate::sys::filesystem::{self, Kind, Status};
use crate::sys::users::Database;

const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// A directory that may be passed.
pub(super) struct Trust {
    /// Others can write to it, and cannot change what belongs to others there: it is sticky.
    pub shared: bool,
    /// It, or one above it, belongs to one of [`Rule::ends_with`].
    pub foreign: bool,
    /// Others can write to it, and change what belongs to others there.
    pub open_to: Option<WalkFault>,
}

/// Looks at a directory, with O_PATH, that lies in a trusted one, or in a foreign one.
pub(super) fn of(
    fd: impl AsFd,
    status: Status,
    path: &Path,
    rule: &Rule<'_>,
    in_foreign: bool,
    given: bool,
) -> Result<Trust, WalkError> {
    let foreign = match owner(path, status, rule) {
        Ok(()) => in_foreign,
        Err(_) if given => in_foreign,
        Err(_) if rule.ends_with.contains(&status.uid) => true,
        Err(error) => return Err(error),
    };
    let Some(by) = writer(fd, status, rule) else {
        return Ok(Trust {
            shared: false,
            foreign,
            open_to: None,
        });
    };
    let (sticky, mode) = (status.mode & STICKY != 0, status.mode);
    Ok(Trust {
        shared: true,
        foreign,
        open_to: (!sticky).then_some(WalkFault::Writable { by, mode }),
    })
}

/// Refuses what is no regular file, or can be changed by others. In a directory where others can make
/// entries, one that has another name may have been linked there.
pub(super) fn file(
    fd: impl AsFd,
    status: Status,
    path: &Path,
    rule: &Rule<'_>,
    in_shared: bool,
    given: bool,
) -> Result<(), WalkError> {
    let wrong = |fault| Err(WalkError::new(path, fault));
    if status.kind != Kind::File {
        return wrong(WalkFault::NotFile(status.kind));
    }
    if !given {
        owner(path, status, rule)?;
    }
    if let Some(by) = writer(fd, status, rule) {
        let mode = status.mode;
        return wrong(WalkFault::Writable { by, mode });
    }
    if in_shared && status.links > 1 {
        return wrong(WalkFault::Linked);
    }
    Ok(())
}

/// As a walk checks a file at its end, for one that is open: its kind, its owner, who can write to it.
pub fn check_file(fd: impl AsFd, path: &Path, rule: &Rule<'_>) -> Result<(), WalkError> {
    let status = status(&fd, path)?;
    file(fd, status, path, rule, false, false)
}

/// As a walk checks a directory on its way, for one that is open. Whether others can make entries in it:
/// then it is sticky.
pub fn check_directory(fd: impl AsFd, path: &Path, rule: &Rule<'_>) -> Result<bool, WalkError> {
    let flags = HANDLE | OFlags::DIRECTORY;
    let own = fs::openat(fd, ".", flags, Mode::empty())
        .map_err(|errno| WalkError::system(path, errno))?;
    let trust = of(&own, status(&own, path)?, path, rule, false, false)?;
    match trust.open_to {
        Some(fault) => Err(WalkError::new(path, fault)),
        None => Ok(trust.shared),
    }
}

fn status(fd: impl AsFd, path: &Path) -> Result<Status, WalkError> {
    filesystem::status(fd).map_err(|error| WalkError::new(path, error.into()))
}

/// Refuses what belongs to nobody who is trusted.
pub fn owner(path: &Path, status: Status, rule: &Rule<'_>) -> Result<(), WalkError> {
    let uid = status.uid;
    if is_trusted(uid, rule) {
        return Ok(());
    }
    let unmapped = overflow() == Some(uid);
    if unmapped && is_of_system(path) {
        return Ok(());
    }
    Err(WalkError::new(path, WalkFault::Owner { uid, unmapped }))
}

pub(super) fn is_trusted(uid: u32, rule: &Rule<'_>) -> bool {
    let is_own = || !rule.root_alone && uid == filesystem::effective_uid();
    uid == 0 || rule.owners.contains(&uid) || is_own()
}

/// Whether the rule alone makes an owner trusted.
pub(super) fn is_named(uid: u32, rule: &Rule<'_>) -> bool {
    uid != 0 && uid != filesystem::effective_uid() && rule.owners.contains(&uid)
}

/// Who can write to it and is not trusted.
fn writer(fd: impl AsFd, status: Status, rule: &Rule<'_>) -> Option<Writer> {
    if status.mode & OTHERS_WRITE != 0 {
        return Some(Writer::Everybody);
    }
    // With an ACL these bits are its mask: whom it names can do no more.
    if status.mode & GROUP_WRITE == 0 {
        return None;
    }
    let group = |gid| !is_trusted_group(gid, status.uid, rule);
    match acl::writers(fd) {
        Ok(None) => group(status.gid).then_some(Writer::Group(status.gid)),
        Ok(Some(granted)) => granted.into_iter().find_map(|granted| match granted {
            Granted::OwnGroup => group(status.gid).then_some(Writer::Group(status.gid)),
            Granted::Group(gid) => group(gid).then_some(Writer::AclGroup(gid)),
            Granted::User(uid) => {
                let known = is_trusted(uid, rule) || uid == status.uid;
                (!known).then_some(Writer::AclUser(uid))
            }
        }),
        Err(_) => Some(Writer::Unknown),
    }
}

/// Whether all members of a group are trusted: by its number, or because they are known.
fn is_trusted_group(gid: u32, owner: u32, rule: &Rule<'_>) -> bool {
    gid == 0
        || rule.groups.contains(&gid)
        || match Database::host().members_of(gid) {
            // By convention the number of a user's private group is the user's.
            None => gid == owner,
            Some(members) => {
                let trusted = |uid: &u32| *uid == owner || is_trusted(*uid, rule);
                members.iter().all(trusted)
            }
        }
}

/// Whether uid 0 is root: in a user namespace that maps some users alone, it may be anybody.
pub fn is_root_known() -> bool {
    overflow().is_none()
}

/// The uid that the kernel shows for every user whom this user namespace does not map; `None` where it
/// maps all.
fn overflow() -> Option<u32> {
    static OVERFLOW: OnceLock<Option<u32>> = OnceLock::new();
    *OVERFLOW.get_or_init(|| {
        let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
        let number = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
        let number = number.ok().and_then(|text| text.trim().parse().ok());
        (!maps_all(&map)).then(|| number.unwrap_or(65534))
    })
}

/// Whether a uid_map (user_namespaces(7)) maps every uid.
fn maps_all(map: &str) -> bool {
    let lengths = map.lines().filter_map(|line| {
        let length = line.split_whitespace().nth(2)?;
        length.parse::<u64>().ok()
    });
    lengths.sum::<u64>() >= u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_all_users_maps_all() {
        assert!(maps_all("         0          0 4294967295\n"));
        assert!(!maps_all("         0       1000          1\n"));
        assert!(!maps_all("0 1000 1\n1 100000 65536\n"));
        assert!(!maps_all(""));
    }
}
