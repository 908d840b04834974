//! Empty directories to mount on.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::made::{self, Lock, MARKER};
use super::sweep::{in_use, owned_by_dead, sweep};
use super::{DeliveryError, DeliveryFault, Layout};
use crate::model::{Event, Observer};
use crate::sys::container;
use crate::sys::filesystem::{self, Kind, Status};

/// The directories that hushpipe made to mount on, and holds with all others that mount there: the last
/// one removes them. With the mounts of other namespaces they would go for everybody.
#[derive(Default)]
pub struct MountPoints {
    held: Vec<Point>,
}

struct Point {
    path: PathBuf,
    /// `None`: see [`MountPoints::leave`].
    marker: Option<OwnedFd>,
    /// How many directories above it were made with it.
    above: usize,
}

/// Makes the delivery directories that are not there, and those above them, with mode 0755. What
/// was made is removed again when it cannot be finished. Files that a dead hushpipe left there are
/// removed, and [`Event::Swept`] tells of it.
pub fn make_mount_points(
    layout: &Layout,
    observer: &dyn Observer,
) -> Result<MountPoints, DeliveryError> {
    let mut points = MountPoints::default();
    for directory in &layout.directories {
        check(&directory.path).map_err(|fault| directory.error(fault))?;
        let taken = Point::take(&directory.path, observer);
        let point = taken.map_err(|fault| directory.error(fault))?;
        points.held.extend(point);
    }
    Ok(points)
}

impl Point {
    /// `None`: somebody else made it, for good.
    fn take(path: &Path, observer: &dyn Observer) -> Result<Option<Self>, DeliveryFault> {
        loop {
            if let Some(made) = made::make(path, 0o755, Lock::Shared)? {
                return Ok(Some(Self {
                    path: path.to_owned(),
                    marker: Some(made.marker),
                    above: made.above,
                }));
            }
            let directory = filesystem::open_directory(path).map_err(looked)?;
            let is_file = |status: Status| status.kind == Kind::File;
            let found = filesystem::status_at(&directory, MARKER).map_err(looked)?;
            if !found.is_some_and(is_file) {
                return Ok(None);
            }
            let marker = match filesystem::open_standing_marker_at(&directory, MARKER) {
                Ok(marker) => marker,
                // Gone since; or of a user whose directories are not for others.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
                Err(error) => return Err(looked(error)),
            };
            if sweep(&directory, &marker)? {
                observer.observe(&Event::Swept {
                    path: path.to_owned(),
                });
            }
            if !Lock::Shared.take_in_time(&marker).map_err(looked)? {
                return Err(in_use());
            }
            if filesystem::status(&marker).map_err(looked)?.links == 0 {
                continue;
            }
            let above = made::recorded(&marker).map_err(looked)?;
            if above.is_none() {
                // Only shared files have one in what others made.
                match filesystem::unlink_at(&directory, MARKER) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(looked(error));
                    }
                    _ => return Ok(None),
                }
            }
            return Ok(above.map(|above| Self {
                path: path.to_owned(),
                marker: Some(marker),
                above,
            }));
        }
    }

    /// What others use, and what others put files into, stays.
    fn remove(self) -> io::Result<()> {
        if let Some(marker) = &self.marker {
            let left = filesystem::status(marker)?.links == 0;
            if left || !filesystem::try_lock(marker)? {
                return Ok(());
            }
        }
        match made::remove(&self.path, self.above) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other,
        }
    }
}

impl MountPoints {
    /// Removes what was made and is still empty; what others put files into stays.
    pub fn retire(mut self) -> Result<(), DeliveryError> {
        self.remove()
    }

    /// As [`MountPoints::retire`], for a process that mounted on them itself. After a change of user
    /// it may not: the mounts go with the process, and empty directories stay.
    pub fn unmount(mut self) -> Result<(), DeliveryError> {
        let unmounted = self.held.iter().rev().try_for_each(|point| {
            let what = point.path.display().to_string();
            filesystem::unmount(&point.path)
                .map_err(DeliveryError::system(what, "cannot unmount it"))
        });
        unmounted.and_then(|()| self.remove())
    }

    /// For a process that becomes the program, before it mounts: nobody is there then to hold them,
    /// and nobody may remove them while the program uses them. From now on they are as if others had
    /// made them, to all but this process.
    pub fn leave(&mut self) -> Result<(), DeliveryError> {
        self.held.iter_mut().try_for_each(|point| {
            point.marker = None;
            let what = point.path.display().to_string();
            filesystem::unlink(&point.path.join(MARKER)).map_err(DeliveryError::system(
                what,
                "cannot remove the marker in it",
            ))
        })
    }

    /// Leaves them, as a hushpipe that is killed does.
    #[cfg(test)]
    pub(super) fn keep(mut self) {
        self.held.clear();
    }

    fn remove(&mut self) -> Result<(), DeliveryError> {
        let mut result = Ok(());
        while let Some(point) = self.held.pop() {
            let what = point.path.display().to_string();
            if let Err(error) = point.remove() {
                result = Err(DeliveryError::system(what, "cannot remove it")(error));
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

fn looked(source: io::Error) -> DeliveryFault {
    DeliveryFault::System {
        doing: "cannot look at it",
        source,
    }
}

/// Whether a tmpfs can be mounted there without covering anything.
pub(super) fn check(path: &Path) -> Result<(), DeliveryFault> {
    match standing(path)? {
        Standing::Nothing { above } => can_make_in(&above, path),
        Standing::Empty | Standing::Marked => Ok(()),
        Standing::Entries(entry) => owned_by_dead(path, &entry),
    }
}

/// What stands at a delivery directory's path.
pub(super) enum Standing {
    Nothing {
        above: PathBuf,
    },
    Empty,
    /// Empty but for hushpipe's marker.
    Marked,
    /// The name of one of them.
    Entries(String),
}

/// Looks, and refuses what is no directory.
pub(super) fn standing(path: &Path) -> Result<Standing, DeliveryFault> {
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
    let others = entries.iter().filter(|entry| *entry != MARKER).min();
    Ok(match (others, entries.is_empty()) {
        (Some(entry), _) => Standing::Entries(entry.to_string_lossy().into_owned()),
        (None, true) => Standing::Empty,
        (None, false) => Standing::Marked,
    })
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
