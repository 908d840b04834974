//! Why a delivery directory cannot be used, and what to do about it.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::DeliveryFault;
use super::layout::Directory;
use crate::sys::{container, filesystem};

/// What to do about a directory that cannot be used.
pub(super) fn instead(path: &Path) -> String {
    if container::is_container() {
        let flag = tmpfs_flag(path, filesystem::effective_uid());
        format!("give the container a tmpfs there ({flag})")
    } else {
        "remove it".to_owned()
    }
}

/// A directory that cannot be made, with what to do about it.
pub(super) fn cannot_make(path: &Path, source: io::Error) -> DeliveryFault {
    if source.kind() == io::ErrorKind::ReadOnlyFilesystem {
        return DeliveryFault::Host(
            "it does not exist, and the filesystem is read-only: create the directory in the image"
                .to_owned(),
        );
    }
    // What an image has there is on its disk, or below what the engine mounts and never seen.
    if source.kind() == io::ErrorKind::PermissionDenied && container::is_container() {
        return DeliveryFault::Host(format!(
            "it does not exist, and hushpipe has no right to make it: give the container a tmpfs \
             there ({}), or choose another{}",
            tmpfs_flag(path, filesystem::effective_uid()),
            own_directory()
        ));
    }
    if source.kind() == io::ErrorKind::PermissionDenied {
        return DeliveryFault::Host(format!(
            "it does not exist, and hushpipe has no right to make it: make it first, empty, or \
             choose another{}",
            own_directory()
        ));
    }
    DeliveryFault::System {
        doing: "cannot make the directory",
        source,
    }
}

/// The directory that a login gives an ordinary user.
fn own_directory() -> &'static str {
    if filesystem::effective_uid() != 0 && std::env::var_os("XDG_RUNTIME_DIR").is_some() {
        ", such as one below ${XDG_RUNTIME_DIR}"
    } else {
        ""
    }
}

/// The flag of `docker run` for a tmpfs that a user may deliver into: without options it belongs to
/// root, and has the mode of what the image has there.
pub(super) fn tmpfs_flag(path: &Path, uid: u32) -> String {
    match uid {
        0 => format!("--tmpfs {}", path.display()),
        uid => format!("--tmpfs {}:uid={uid},mode=0700", path.display()),
    }
}

pub(super) fn covered(delivered: &Directory, entry: &str) -> DeliveryFault {
    let name = delivered
        .entries
        .first()
        .map(|entry| entry.name.display().to_string());
    let name = name.unwrap_or_default();
    let path = delivered.path.join(&name);
    DeliveryFault::Host(format!(
        "the directory has other entries ({entry:?}), and hushpipe covers none: deliver to a \
         relative path, `file: {name}`, with `link: {path}`",
        path = path.display(),
    ))
}

pub(super) fn in_use() -> DeliveryFault {
    DeliveryFault::Host(
        "another running hushpipe delivers into it: give each service its own directory".to_owned(),
    )
}

pub(super) fn foreign_entry(name: &OsStr) -> DeliveryFault {
    DeliveryFault::Host(format!(
        "it contains {}, which hushpipe did not make: remove it by hand",
        name.display()
    ))
}
