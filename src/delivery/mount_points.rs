//! Empty directories to mount on.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::layout::Directory;
use super::made::{self, Lock, MARKER};
use super::remedies::{cannot_make, in_use, instead};
use super::sweep::{is_marker, owned_by_dead, sweep};
use super::{DeliveryError, DeliveryFault, Layout, Live};
use crate::model::{Event, Observer};
use crate::sys::filesystem::{self, Kind, Status};
use crate::sys::held::Site;
use crate::sys::mount::Point;
use crate::sys::walk;

/// The delivery directories to mount on, and of those that hushpipe made, what it holds with all others
/// that mount there: the last one removes them. With the mounts of other namespaces they would go for
/// everybody.
#[derive(Default)]
pub struct MountPoints {
    held: Vec<Held>,
}

struct Held {
    path: PathBuf,
    /// The names of the deliveries into it.
    names: Vec<OsString>,
    site: Site,
    directory: OwnedFd,
    ours: Option<Ours>,
}

/// Of a directory that hushpipe made.
struct Ours {
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
        let wrong = |fault| directory.error(fault);
        check(directory, layout.user).map_err(wrong)?;
        let held = Held::take(directory, layout.user, observer).map_err(wrong)?;
        points.held.push(held);
    }
    Ok(points)
}

impl Held {
    fn take(
        delivered: &Directory,
        user: Option<u32>,
        observer: &dyn Observer,
    ) -> Result<Self, DeliveryFault> {
        let path = &delivered.path;
        let names: Vec<_> = delivered
            .entries
            .iter()
            .map(|one| one.name.clone())
            .collect();
        let new = |site, directory, ours| Self {
            path: path.clone(),
            names: names.clone(),
            site,
            directory,
            ours,
        };
        loop {
            let site = match made::make(path, user, 0o755, Lock::Shared)? {
                Ok(made) => {
                    let ours = Ours {
                        marker: Some(made.marker),
                        above: made.above,
                    };
                    return Ok(new(made.site, made.directory, Some(ours)));
                }
                Err(site) => site,
            };
            let directory = site.open().map_err(looked)?;
            let status = filesystem::status(&directory).map_err(looked)?;
            check_owner(&site, status, user)?;
            let mut held = new(site, directory, None);
            if held.lock(observer)? {
                return Ok(held);
            }
        }
    }

    /// Holds a directory that is there, if hushpipe made it. `false`: it went meanwhile.
    fn lock(&mut self, observer: &dyn Observer) -> Result<bool, DeliveryFault> {
        let directory = &self.directory;
        let found = filesystem::status_at(directory, MARKER).map_err(looked)?;
        if !found.is_some_and(is_marker) {
            return Ok(true);
        }
        let marker = match filesystem::open_standing_marker_at(directory, MARKER) {
            Ok(marker) => marker,
            // Gone since; or of a user whose directories are not for others.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(true),
            Err(error) => return Err(looked(error)),
        };
        if !is_marker(filesystem::status(&marker).map_err(looked)?) {
            return Ok(false);
        }
        if sweep(directory, &marker)? {
            observer.observe(&Event::Swept {
                path: self.path.clone(),
            });
        }
        if !Lock::Shared.take_in_time(&marker).map_err(looked)? {
            return Err(in_use());
        }
        if filesystem::status(&marker).map_err(looked)?.links == 0 {
            return Ok(false);
        }
        if let Some(above) = made::recorded(&marker).map_err(looked)? {
            self.ours = Some(Ours {
                marker: Some(marker),
                above,
            });
            return Ok(true);
        }
        // Only shared files have one in what others made.
        made::give_back(directory, &marker).map_err(looked)?;
        match filesystem::unlink_at(directory, MARKER) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(looked(error)),
            _ => Ok(true),
        }
    }

    /// What others use, and what others put files into, stays.
    fn remove(self) -> io::Result<()> {
        let Some(ours) = self.ours else {
            return Ok(());
        };
        if let Some(marker) = &ours.marker {
            let left = filesystem::status(marker)?.links == 0;
            if left || !filesystem::try_lock(marker)? {
                return Ok(());
            }
        }
        match made::remove(&self.site, &self.directory, ours.above) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other,
        }
    }

    /// The paths of deliveries at which somebody made a directory that is empty, and removes those.
    fn mistaken(&self) -> Vec<PathBuf> {
        let is_mistaken = |name: &&OsString| {
            let found = filesystem::status_at(&self.directory, name);
            let directory = matches!(found, Ok(Some(found)) if found.kind == Kind::Directory);
            directory && filesystem::remove_directory_at(&self.directory, name).is_ok()
        };
        let names = self.names.iter().filter(is_mistaken);
        names.map(|name| self.path.join(name)).collect()
    }
}

impl MountPoints {
    /// What to mount on, in the layout's order.
    pub fn points(&self) -> Result<Vec<Point>, DeliveryError> {
        let points = self.held.iter().map(|held| {
            let what = held.path.display().to_string();
            Point::new(&held.site.path(), &held.directory)
                .map_err(DeliveryError::system(what, "cannot look at it"))
        });
        points.collect()
    }

    /// For a process that becomes the program, before it mounts: nobody is there then to hold them,
    /// and nobody may remove them while the program uses them. From now on they are as if others had
    /// made them, to all but this process.
    pub fn leave(&mut self) -> Result<(), DeliveryError> {
        let held = self.held.iter_mut();
        for held in held.filter(|held| held.ours.is_some()) {
            held.ours.iter_mut().for_each(|ours| ours.marker = None);
            let what = held.path.display().to_string();
            let unmarked = filesystem::unlink_at(&held.directory, MARKER);
            unmarked.map_err(DeliveryError::system(
                what,
                "cannot remove the marker in it",
            ))?;
        }
        Ok(())
    }

    /// Leaves them, as a hushpipe that is killed does.
    #[cfg(test)]
    pub(super) fn keep(mut self) {
        self.held.clear();
    }

    fn remove_all(&mut self) -> Result<(), DeliveryError> {
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

impl Live for MountPoints {
    fn mistaken(&self) -> Vec<PathBuf> {
        self.held.iter().flat_map(Held::mistaken).collect()
    }

    /// Removes what was made and is still empty; what others put files into stays.
    fn remove(mut self: Box<Self>) -> Result<(), DeliveryError> {
        self.remove_all()
    }

    /// For a process that mounted on them itself. After a change of user it may not unmount: the mounts
    /// go with the process, and empty directories stay.
    fn give_up(mut self: Box<Self>) -> Result<(), DeliveryError> {
        let unmounted = self.points().and_then(|points| {
            points.iter().rev().try_for_each(|point| {
                let what = point.path().display().to_string();
                point
                    .unmount()
                    .map_err(DeliveryError::system(what, "cannot unmount it"))
            })
        });
        unmounted.and_then(|()| self.remove_all())
    }
}

impl Drop for MountPoints {
    fn drop(&mut self) {
        if self.remove_all().is_err() {
            // An empty directory stays. Who wants to know calls `remove`.
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
pub(super) fn check(delivered: &Directory, user: Option<u32>) -> Result<(), DeliveryFault> {
    let path = &delivered.path;
    let site = made::find(path, user)?;
    match standing(&site, user)? {
        Standing::Nothing => can_make(&site, path),
        Standing::Empty | Standing::Marked => Ok(()),
        Standing::Entries(entry) => owned_by_dead(&site, delivered, &entry),
    }
}

/// What stands at a delivery directory's path.
pub(super) enum Standing {
    Nothing,
    Empty,
    /// Empty but for hushpipe's marker.
    Marked,
    /// The name of one of them.
    Entries(String),
}

/// Looks, and refuses what is no directory, or another user's.
pub(super) fn standing(site: &Site, user: Option<u32>) -> Result<Standing, DeliveryFault> {
    let Some(status) = site.status().map_err(looked)? else {
        return Ok(Standing::Nothing);
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
    check_owner(site, status, user)?;
    let directory = site.open().map_err(looked)?;
    let entries = filesystem::entries(directory).map_err(looked)?;
    // The least name, so that the same directory gives the same message.
    let others = entries.iter().filter(|entry| *entry != MARKER).min();
    Ok(match (others, entries.is_empty()) {
        (Some(entry), _) => Standing::Entries(entry.to_string_lossy().into_owned()),
        (None, true) => Standing::Empty,
        (None, false) => Standing::Marked,
    })
}

/// Its owner could remove it, and put another one into its place.
pub(super) fn check_owner(
    site: &Site,
    status: Status,
    user: Option<u32>,
) -> Result<(), DeliveryFault> {
    let rule = walk::Rule {
        owners: user.as_slice(),
        ..walk::Rule::STRICT
    };
    let owned = walk::check_owner(&site.path(), status, &rule);
    owned.map_err(|_| {
        DeliveryFault::Host(format!(
            "the directory belongs to uid {}, and neither to root, to hushpipe nor to the program's \
             user: choose another, or {}",
            status.uid,
            instead(&site.path())
        ))
    })
}

/// Whether what is missing can be made.
pub(super) fn can_make(site: &Site, path: &Path) -> Result<(), DeliveryFault> {
    let (nearest, _) = site.nearest();
    filesystem::can_make_entries(nearest).map_err(|source| cannot_make(path, source))
}
