//! Empty directories to mount on.

use std::io;
use std::path::{Path, PathBuf};

use super::{DeliveryError, DeliveryFault, Layout};
use crate::sys::container;
use crate::sys::filesystem::{self, Kind};

/// Remembers the directories that hushpipe made, and removes those that are still empty.
#[derive(Default)]
pub struct MountPoints {
    made: Vec<PathBuf>,
}

/// Makes the delivery directories that are not there, and those above them, with mode 0755. What
/// was made is removed again when it cannot be finished.
pub fn make_mount_points(layout: &Layout) -> Result<MountPoints, DeliveryError> {
    let mut points = MountPoints::default();
    for directory in &layout.directories {
        check(&directory.path).map_err(|fault| directory.error(fault))?;
        points.make(&directory.path)?;
    }
    Ok(points)
}

impl MountPoints {
    /// Makes a directory and what is missing above it.
    pub(super) fn make(&mut self, path: &Path) -> Result<(), DeliveryError> {
        let mut missing: Vec<&Path> = Vec::new();
        for ancestor in path.ancestors() {
            let wrong = DeliveryError::system(ancestor.display().to_string(), "cannot look at it");
            if filesystem::status_of_path(ancestor)
                .map_err(wrong)?
                .is_some()
            {
                break;
            }
            missing.push(ancestor);
        }
        for path in missing.into_iter().rev() {
            match filesystem::make_directory(path, 0o755) {
                Ok(_) => self.made.push(path.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(DeliveryError::about(path, cannot_make(path, source))),
            }
        }
        Ok(())
    }

    /// Removes what was made and is still empty; what others put files into stays.
    pub fn retire(mut self) -> Result<(), DeliveryError> {
        self.remove()
    }

    /// As [`MountPoints::retire`], for a process that mounted on them itself. After a change of user
    /// it may not: the mounts go with the process, and empty directories stay.
    pub fn unmount(mut self) -> Result<(), DeliveryError> {
        let unmounted = self.made.iter().rev().try_for_each(|path| {
            let what = path.display().to_string();
            filesystem::unmount(path).map_err(DeliveryError::system(what, "cannot unmount it"))
        });
        unmounted.and_then(|()| self.remove())
    }

    /// Leaves them, as a hushpipe that is killed does.
    #[cfg(test)]
    pub(super) fn keep(mut self) {
        self.made.clear();
    }

    fn remove(&mut self) -> Result<(), DeliveryError> {
        let mut result = Ok(());
        while let Some(path) = self.made.pop() {
            match filesystem::remove_directory(&path) {
                Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                    let what = path.display().to_string();
                    result = Err(DeliveryError::system(what, "cannot remove it")(error));
                }
                _ => {}
            }
        }
        result
    }
}

impl Drop for MountPoints {
    fn drop(&mut self) {
        if self.remove().is_err() {
            // An empty directory stays. Who wants to know calls `retire`.
        }
    }
}

/// Whether a tmpfs can be mounted there without covering anything.
pub(super) fn check(path: &Path) -> Result<(), DeliveryFault> {
    match standing(path)? {
        Standing::Nothing { above } => can_make_in(&above, path),
        Standing::Empty => Ok(()),
        Standing::Entries(entry) => Err(covered(&entry)),
    }
}

/// What stands at a delivery directory's path.
pub(super) enum Standing {
    Nothing {
        above: PathBuf,
    },
    Empty,
    /// The name of one of them.
    Entries(String),
}

/// Looks, and refuses what is no directory.
pub(super) fn standing(path: &Path) -> Result<Standing, DeliveryFault> {
    let looked = |source| DeliveryFault::System {
        doing: "cannot look at it",
        source,
    };
    let Some(status) = filesystem::status_of_path(path).map_err(looked)? else {
        return Ok(Standing::Nothing {
            above: above(path)?,
        });
    };
    if status.kind != Kind::Directory {
        let what = match status.kind {
            Kind::Link => "a symbolic link",
            Kind::File => "a file",
            _ => "no directory",
        };
        return Err(DeliveryFault::Host(format!(
            "it is {what}: a delivery directory is a real, empty directory, or none yet"
        )));
    }
    let directory = filesystem::open_directory(path).map_err(looked)?;
    let entries = filesystem::entries(directory).map_err(looked)?;
    // The least name, so that the same directory gives the same message.
    Ok(entries.iter().min().map_or(Standing::Empty, |entry| {
        Standing::Entries(entry.to_string_lossy().into_owned())
    }))
}

/// The nearest directory above that is there.
fn above(path: &Path) -> Result<PathBuf, DeliveryFault> {
    for ancestor in path.ancestors().skip(1) {
        match std::fs::metadata(ancestor) {
            Ok(found) if found.is_dir() => return Ok(ancestor.to_owned()),
            Ok(_) => {
                return Err(DeliveryFault::Host(format!(
                    "it cannot be made: {} is no directory",
                    ancestor.display()
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(DeliveryFault::System {
                    doing: "cannot look at the directories above it",
                    source,
                });
            }
        }
    }
    Ok(PathBuf::from("/"))
}

fn can_make_in(above: &Path, path: &Path) -> Result<(), DeliveryFault> {
    filesystem::can_make_entries(above).map_err(|source| cannot_make(path, source))
}

/// A directory that cannot be made, with what to do about it.
pub(super) fn cannot_make(path: &Path, source: io::Error) -> DeliveryFault {
    if source.kind() == io::ErrorKind::ReadOnlyFilesystem {
        return DeliveryFault::Host(
            "it is not there, and the filesystem is read-only: create the directory in the image"
                .to_owned(),
        );
    }
    // What an image has there is on its disk, or below what the engine mounts and never seen.
    if source.kind() == io::ErrorKind::PermissionDenied && container::is_container() {
        return DeliveryFault::Host(format!(
            "it is not there, and hushpipe may not make it: give the container a tmpfs there \
             ({}), or choose a directory that it may make",
            tmpfs_flag(path, filesystem::effective_uid())
        ));
    }
    if source.kind() == io::ErrorKind::PermissionDenied {
        return DeliveryFault::Host(
            "it is not there, and hushpipe may not make it: create the directory beforehand, \
             empty, or choose one that it may make"
                .to_owned(),
        );
    }
    DeliveryFault::System {
        doing: "cannot make the directory",
        source,
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

pub(super) fn covered(entry: &str) -> DeliveryFault {
    DeliveryFault::Host(format!(
        "the directory has other entries ({entry:?}), and hushpipe covers none: deliver into a \
         directory of its own, such as a new one below it"
    ))
}
