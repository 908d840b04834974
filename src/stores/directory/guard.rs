//! Who can change a file: only root, hushpipe's own user and its groups may.

use std::path::Path;

use rustix::fs::{FileType, Stat};
use rustix::process::{getegid, geteuid, getgroups};

use crate::stores::Fault;

const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// hushpipe's user, for messages.
pub(super) fn own_uid() -> u32 {
    geteuid().as_raw()
}

/// Refuses what is no regular file, and a file that somebody else can change.
pub(super) fn check_file(stat: &Stat, path: &Path) -> Result<(), Fault> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile {
        return Err(not_a_file(path, kind));
    }
    check_owner(stat, path)?;
    check_writers(stat, path)
}

/// Refuses a directory in which somebody else can replace files. With the sticky bit, as Kubernetes
/// mounts have, others can add files but not replace any.
pub(super) fn check_directory(stat: &Stat, path: &Path) -> Result<(), Fault> {
    check_owner(stat, path)?;
    if stat.st_mode & STICKY != 0 {
        return Ok(());
    }
    check_writers(stat, path)
}

/// What stands where a file is expected.
pub(super) fn not_a_file(path: &Path, kind: FileType) -> Fault {
    let kind = match kind {
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Socket => "a socket or a device",
        _ => "no file",
    };
    Fault::Malformed {
        reason: format!("{} is {kind}: a regular file is expected", path.display()),
    }
}

fn check_owner(stat: &Stat, path: &Path) -> Result<(), Fault> {
    if stat.st_uid == 0 || stat.st_uid == own_uid() {
        return Ok(());
    }
    let (path, owner, own) = (path.display(), stat.st_uid, own_uid());
    Err(Fault::Denied {
        reason: format!("{path} belongs to uid {owner}, who can change it: chown {own} {path}"),
    })
}

fn check_writers(stat: &Stat, path: &Path) -> Result<(), Fault> {
    let path = path.display();
    if stat.st_mode & OTHERS_WRITE != 0 {
        return Err(Fault::Denied {
            reason: format!("everybody can change {path}: chmod o-w {path}"),
        });
    }
    if stat.st_mode & GROUP_WRITE != 0 && !is_own_group(stat.st_gid) {
        let group = stat.st_gid;
        return Err(Fault::Denied {
            reason: format!("group {group} can change {path}: chmod g-w {path}"),
        });
    }
    Ok(())
}

fn is_own_group(gid: u32) -> bool {
    gid == 0
        || gid == getegid().as_raw()
        || getgroups().is_ok_and(|groups| groups.iter().any(|group| group.as_raw() == gid))
}
